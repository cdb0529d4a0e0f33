"""PineconeHook: an Airflow connection becomes settings and a client, and every method calls the client."""

from __future__ import annotations

import inspect
import json
import sys
import uuid
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any
from unittest.mock import create_autospec, sentinel

import pytest
import requests_mock as mock_requests
from airflow.providers.common.compat.sdk import AirflowNotFoundException, Connection, redact
from requests import Request
from support.clients import set_connection
from support.clock import FakeClock
from support.constants import API_KEY, CONNECTION_VARIABLE
from support.frames import frames_of
from support.wire import Certificate, Wire, http_response

from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.api.settings import Settings
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import (
    NotFound,
    PineconeConnectionError,
    PineconeInputError,
    PineconePermanentError,
    PineconeTransientError,
)
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.policy import IndexRules, Policy

# The methods that search are for this package, which calls the client.
CLIENT_METHODS = {
    name: method
    for name, method in vars(PineconeClient).items()
    if inspect.isfunction(method) and not name.startswith(("_", "find_"))
}


# From the connection to the client


URIS = {
    f"pinecone://:{API_KEY}@": "https://api.pinecone.io",
    f"pinecone://:{API_KEY}@api.pinecone.io": "https://api.pinecone.io",
    f"pinecone://:{API_KEY}@api.pinecone.io:443/?timeout=5": "https://api.pinecone.io",
    f"pinecone://:{API_KEY}@https%3A%2F%2Fapi.pinecone.io": "https://api.pinecone.io",
    f"pinecone://http://:{API_KEY}@127.0.0.1:5080": "http://127.0.0.1:5080",
    f"pinecone://:{API_KEY}@127.0.0.1:5080/http": "http://127.0.0.1:5080",
    f"pinecone://:{API_KEY}@127.0.0.1:80/http": "http://127.0.0.1",
    f"pinecone://:{API_KEY}@[::1]:5080/http": "http://[::1]:5080",
}


@pytest.mark.parametrize(("uri", "url"), URIS.items())
def test_connection_as_a_uri(monkeypatch: pytest.MonkeyPatch, uri: str, url: str) -> None:
    set_connection(monkeypatch, uri)
    settings = PineconeHook().settings
    assert (settings.url, settings.api_key) == (url, API_KEY)
    assert settings.timeout == (5 if "timeout" in uri else 30)


def test_connection_becomes_settings_and_a_client(
    monkeypatch: pytest.MonkeyPatch, requests_mock: mock_requests.Mocker
) -> None:
    set_connection(monkeypatch, host="api.pinecone.test", extra={"api_version": "2026-04", "timeout": 7.5})
    requests_mock.get("https://api.pinecone.test/indexes", json={"indexes": []})
    hook = PineconeHook()
    assert hook.settings == Settings("pinecone_default", "https://api.pinecone.test", API_KEY, "2026-04", 7.5)
    assert hook.client.list_indexes() == []
    (sent,) = requests_mock.request_history
    assert sent.headers["Api-Key"] == API_KEY
    assert sent.headers["X-Pinecone-Api-Version"] == "2026-04"
    assert sent.timeout == 7.5


def test_connection_has_the_id_of_the_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    set_connection(monkeypatch, password="another-key")
    set_connection(monkeypatch, conn_id="production")
    assert PineconeHook("production").settings.api_key == API_KEY
    assert PineconeHook().conn_id == PineconeHook.default_conn_name == "pinecone_default"
    assert PineconeHook().settings.api_key == "another-key"


def test_connection_is_read_when_it_is_first_needed_and_then_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = PineconeHook()
    with pytest.raises(PineconeInputError):
        hook.get_conn()
    set_connection(monkeypatch)
    session = hook.get_conn()
    monkeypatch.delenv("AIRFLOW_CONN_PINECONE_DEFAULT")
    assert session is hook.get_conn() is hook.client.session
    assert session.prepare_request(Request("GET", "https://api.pinecone.io")).headers["Api-Key"] == API_KEY


@pytest.mark.parametrize("value", [None, '{"conn_type": "pinecone"}'], ids=["missing", "invalid"])
def test_connection_that_cannot_be_read_again_after_a_401_stays(
    emulator: Emulator, connection: None, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    hook = PineconeHook()
    assert len(hook.list_indexes()) == 1
    monkeypatch.delenv(CONNECTION_VARIABLE)
    if value:
        monkeypatch.setenv(CONNECTION_VARIABLE, value)
    emulator.fault("GET", "/indexes", status=401)
    with pytest.raises(PineconePermanentError, match="HTTP 401"):
        hook.list_indexes()
    assert len(hook.list_indexes()) == 1


def test_settings_do_not_show_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Error trackers record the ``repr`` of a variable, or its items if it is a sequence."""
    set_connection(monkeypatch)
    settings = PineconeHook().settings
    assert API_KEY not in repr(settings)
    assert not isinstance(settings, Iterable)


def test_connection_that_does_not_exist_is_named() -> None:
    hook = PineconeHook("no_such_connection")
    with pytest.raises(
        PineconeInputError, match=r"^Connection no_such_connection cannot be used: Airflow did not find it"
    ) as caught:
        hook.list_indexes()
    assert isinstance(caught.value.__cause__, AirflowNotFoundException)
    assert hook.test_connection() == (False, str(caught.value))


@pytest.mark.parametrize(
    "value", ["{", '{"password": "key-12345", "extra": "[1]"}', '{"password": "key-12345", "extra": "text"}']
)
def test_connection_that_airflow_cannot_read(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """For an invalid extra, only Airflow 3.0 and 3.1 fail to read the connection. Others pass it on."""
    monkeypatch.setenv(CONNECTION_VARIABLE, value)
    with pytest.raises(
        PineconeInputError, match=r"^Connection pinecone_default cannot be used: (.|\n)* JSON object"
    ) as caught:
        PineconeHook().list_indexes()
    if isinstance(caught.value.__cause__, AirflowNotFoundException):
        assert CONNECTION_VARIABLE in str(caught.value)


@pytest.mark.parametrize("conn_id", [None, "", 5, ["pinecone_default"]], ids=repr)
def test_invalid_id_of_a_connection(conn_id: Any) -> None:
    with pytest.raises(PineconeInputError) as caught:
        PineconeHook(conn_id).list_indexes()
    assert str(caught.value) == f"conn_id must be the id of an Airflow connection, not {conn_id!r}."


@pytest.mark.parametrize(
    "fields", [{"host": "a..b"}, {"extra": {"timeout": 0}}, {"extra": "[1]"}, {"password": f"{API_KEY}\n"}], ids=str
)
def test_no_frame_of_an_error_holds_the_key(monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]) -> None:
    set_connection(monkeypatch, **fields)
    with pytest.raises(PineconeInputError) as caught:
        PineconeHook().list_indexes()
    frames = frames_of(caught.value, "airflow_pinecone.")
    modules = {frame.f_globals["__name__"] for frame in frames}
    # Airflow 3.0 and 3.1 do not return a connection with an invalid extra.
    assert "airflow_pinecone.hooks" in modules
    assert modules <= {"airflow_pinecone.hooks", "airflow_pinecone.api.settings"}
    values = [value for frame in frames for value in frame.f_locals.values()]
    assert not any(API_KEY in repr(value) or isinstance(value, Connection) for value in values)


def test_repeated_requests_are_logged_and_use_the_clock(
    emulator: Emulator, connection: None, clock: FakeClock, logged: Callable[[], str]
) -> None:
    emulator.fault("GET", "/indexes", status=503, headers={"Retry-After": "7"})
    assert len(PineconeHook(clock=clock).list_indexes()) == 1
    assert clock.slept == [7]
    assert "list the indexes: HTTP 503" in logged()


@pytest.mark.parametrize("conn_type", ["pinecone", "generic", "http"])
def test_connection_of_the_official_provider(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, conn_type: str
) -> None:
    set_connection(
        monkeypatch,
        conn_type=conn_type,
        host=emulator.url,
        login="us-east-1-aws",
        extra={"region": "us-east-1", "project_id": "abc123", "debug_curl": True},
    )
    assert [index["name"] for index in PineconeHook().list_indexes()] == ["docs-example"]
    (sent,) = emulator.requests
    assert "Authorization" not in sent.headers


def test_reading_the_settings_masks_the_key() -> None:
    key = f"pc-{uuid.uuid4()}"

    class Hook(PineconeHook):
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            """Return a connection that Airflow has not masked."""
            return Connection(conn_id=conn_id, conn_type="pinecone", password=key)

    hook = Hook()
    assert redact(f"before: {key}") == f"before: {key}"
    assert hook.settings.api_key == key
    assert redact(f"after: {key}") == "after: ***"


# Most invalid connections are in test_settings.py.
@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"password": ""}, "it has no API key"),
        ({"host": "http://api.pinecone.io"}, "plain http"),
        ({"extra": {"timeout": 0}}, "timeout in the extra field"),
    ],
)
@pytest.mark.parametrize("name", CLIENT_METHODS)
def test_every_method_raises_an_error_for_an_invalid_connection(
    monkeypatch: pytest.MonkeyPatch,
    requests_mock: mock_requests.Mocker,
    fields: dict[str, Any],
    problem: str,
    name: str,
) -> None:
    set_connection(monkeypatch, **fields)
    positional, keywords = arguments_of(CLIENT_METHODS[name])
    with pytest.raises(PineconeInputError, match=problem) as caught:
        getattr(PineconeHook(), name)(*positional, **keywords)
    assert API_KEY not in str(caught.value)
    assert requests_mock.request_history == []


@pytest.mark.parametrize("extra", [{"verify": False}, {"verify_ssl": "false"}, {"ssl": False}], ids=str)
def test_no_field_turns_tls_verification_off(
    monkeypatch: pytest.MonkeyPatch, certificate: Certificate, extra: dict[str, Any]
) -> None:
    with Wire(http_response(b'{"indexes": []}'), tls=certificate) as wire:
        set_connection(monkeypatch, host=wire.url, extra=extra)
        with pytest.raises(PineconeConnectionError, match="REQUESTS_CA_BUNDLE") as caught:
            PineconeHook().list_indexes(retry=False)
        assert not caught.value.sent
        assert wire.requests == []


# The methods of the client


def arguments_of(method: Callable[..., Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return a distinct value for each parameter of a method, except self: positional ones, and keywords."""
    positional, keywords = [], {}
    for parameter in list(inspect.signature(method).parameters.values())[1:]:
        value = getattr(sentinel, parameter.name)
        if parameter.kind is parameter.KEYWORD_ONLY:
            keywords[parameter.name] = value
        else:
            positional.append(value)
    return positional, keywords


@pytest.mark.parametrize("name", CLIENT_METHODS)
def test_signature_is_that_of_the_client(name: str) -> None:
    assert inspect.signature(getattr(PineconeHook, name)) == inspect.signature(CLIENT_METHODS[name])


@pytest.mark.parametrize("name", CLIENT_METHODS)
def test_method_calls_that_of_the_client(name: str) -> None:
    hook = PineconeHook()
    client = hook.client = create_autospec(PineconeClient, instance=True)
    positional, keywords = arguments_of(CLIENT_METHODS[name])
    result = getattr(hook, name)(*positional, **keywords)
    method = getattr(client, name)
    method.assert_called_once_with(*positional, **keywords)
    assert len(client.method_calls) == 1
    returns_nothing = inspect.signature(CLIENT_METHODS[name]).return_annotation == "None"
    assert result is (None if returns_nothing else method.return_value)


def test_defaults_are_those_of_the_client() -> None:
    hook = PineconeHook()
    client = hook.client = create_autospec(PineconeClient, instance=True)
    hook.create_backup("docs-example")
    client.create_backup.assert_called_once_with("docs-example", name=None, description=None)
    hook.list_backups()
    client.list_backups.assert_called_once_with(None, include_deleted=False, retry=True)
    hook.create_index_from_backup("b-1", name="docs-2")
    client.create_index_from_backup.assert_called_once_with(
        "b-1", name="docs-2", tags=None, deletion_protection=None, read_capacity=None
    )


# The questions that a DAG asks


@pytest.mark.usefixtures("connection")
def test_newest_ready_backup(emulator: Emulator) -> None:
    hook = PineconeHook()
    assert hook.newest_ready_backup("docs-example") is None
    emulator.add_backup("docs-example", age=200, source_index_id="earlier")
    newest = emulator.add_backup("docs-example", age=100)
    emulator.add_backup("docs-example", age=50, status="Failed")
    assert hook.newest_ready_backup("docs-example") == newest
    hook.delete_index("docs-example")
    assert hook.newest_ready_backup("docs-example") == newest
    with pytest.raises(NotFound):
        hook.newest_ready_backup("no-such-index")


@pytest.mark.usefixtures("connection")
def test_backup_report(emulator: Emulator) -> None:
    emulator.add_index("late")
    emulator.add_backup("docs-example", age=100)
    emulator.add_backup("late", age=200)
    hook = PineconeHook()
    policy = Policy(IndexRules(max_age=150), {"never": IndexRules(max_age=150, max_restore_age=150)})
    report = hook.backup_report(policy, include=["docs-*", "late", "other"], exclude="x-*")
    assert [(row["index_name"], row["status"]) for row in report["indexes"]] == [
        ("late", "late"),
        ("docs-example", "ok"),
    ]
    assert report["missing"] == ["other"]
    assert len(hook.backup_report(policy, exclude="late")["indexes"]) == 1
    # The restore jobs matter only if a rule needs them.
    emulator.fault("GET", "/restore-jobs", status=400, times=None)
    assert len(hook.backup_report(Policy(IndexRules(max_age=150)))["indexes"]) == 2
    with pytest.raises(PineconePermanentError):
        hook.backup_report(policy)


@pytest.mark.parametrize("arguments", [{"policy": Policy(IndexRules(0))}, {"include": [1]}, {"exclude": ""}], ids=str)
def test_invalid_report_sends_nothing(emulator: Emulator, connection: None, arguments: dict[str, Any]) -> None:
    with pytest.raises(PineconeInputError):
        PineconeHook().backup_report(**{"policy": Policy(IndexRules(max_age=1)), **arguments})
    assert emulator.requests == []


@pytest.mark.parametrize(("max_timeout", "timeout"), [(None, 7.5), (3.0, 3.0), (60.0, 7.5)])
def test_timeout_of_the_connection_can_be_limited(
    monkeypatch: pytest.MonkeyPatch, max_timeout: float | None, timeout: float
) -> None:
    set_connection(monkeypatch, extra={"timeout": 7.5})
    assert PineconeHook(max_timeout=max_timeout).settings.timeout == timeout


# The button in the UI


def test_working_connection(emulator: Emulator, connection: None) -> None:
    assert PineconeHook().test_connection() == (True, "Connected. The project has 1 index.")
    emulator.add_index("more")
    assert PineconeHook().test_connection() == (True, "Connected. The project has 2 indexes.")


@pytest.mark.parametrize(
    ("fields", "fault", "problem"),
    [
        ({}, {"status": 401}, "Check the API key"),
        ({}, {"status": 503}, "HTTP 503"),
        ({}, {"drop": "before"}, "Could not list the indexes"),
        ({}, {"body": "<html>"}, "Check the host of connection"),
        ({}, {"body": {"indexes": 5}}, "list of indexes"),
        ({"password": ""}, {}, "no API key"),
        ({"password": f"'{API_KEY}'"}, {}, "the API key is in quotes"),
        ({"host": "docs-1.svc.aped-4627-b74a.pinecone.io"}, {}, "is the host of an index, not the control plane"),
        ({"extra": {"timeout": 0}}, {}, "timeout in the extra field"),
    ],
)
def test_connection_that_does_not_work_is_tried_once(
    emulator: Emulator,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, Any],
    fault: dict[str, Any],
    problem: str,
) -> None:
    if fault:
        emulator.fault("GET", "/indexes", times=None, **fault)
    set_connection(monkeypatch, **{"host": emulator.url, **fields})
    works, message = PineconeHook(clock=clock).test_connection()
    assert works is False
    assert problem in message
    assert API_KEY not in message
    assert len(emulator.requests) == bool(fault)
    assert clock.slept == []


def test_host_that_refuses_connections(emulator: Emulator, connection: None) -> None:
    emulator.stop()
    works, message = PineconeHook().test_connection()
    assert works is False
    assert emulator.url in message
    with pytest.raises(PineconeTransientError):
        PineconeHook().list_indexes(retry=False)


class Field:
    """A field of a form, as the packages that Airflow 2 installs have it."""

    def __init__(self, label: str, **options: Any) -> None:
        self.label = label
        self.options = options


@pytest.fixture
def form_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install stand-ins for the packages with which Airflow before 3.2 makes its connection forms."""
    contents: dict[str, dict[str, Any]] = {
        "flask_appbuilder": {},
        "flask_appbuilder.fieldwidgets": {"BS3TextFieldWidget": object},
        "wtforms": {"StringField": type("StringField", (Field,), {}), "BooleanField": type("Boolean", (Field,), {})},
        "wtforms.validators": {"Optional": object},
    }
    for name, members in contents.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)


def test_form_of_airflow_before_3_2_has_the_extra_fields(form_packages: None) -> None:
    widgets = PineconeHook.get_connection_form_widgets()
    assert {name: (type(field).__name__, field.label) for name, field in widgets.items()} == {
        "api_version": ("StringField", "API version"),
        "timeout": ("StringField", "Request timeout (seconds)"),
        "allow_http": ("Boolean", "Allow plain http"),
    }
    assert all(field.options["description"] for field in widgets.values())


@pytest.mark.parametrize("missing", ["flask_appbuilder.fieldwidgets", "wtforms"])
def test_form_without_its_packages_has_no_extra_fields(
    form_packages: None, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Airflow would log a warning for an ImportError, and would ignore the names of the other fields."""
    monkeypatch.setitem(sys.modules, missing, None)
    assert PineconeHook.get_connection_form_widgets() == {}


def test_form_of_airflow_before_3_2() -> None:
    form = PineconeHook.get_ui_field_behaviour()
    assert form["relabeling"]["password"] == "API key"
    assert set(form["hidden_fields"]) == {"login", "port", "schema"}
    assert json.loads(form["placeholders"]["extra"])
