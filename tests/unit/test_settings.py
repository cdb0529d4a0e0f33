"""How the fields of a connection become the settings of a client: every valid and every invalid field."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Connection
from support.constants import API_KEY as KEY
from support.frames import frames_of

from airflow_pinecone.api.settings import Settings, settings_from
from airflow_pinecone.errors import PineconeInputError


def make_settings(*, extra: Any = None, **fields: Any) -> Settings:
    """Make the settings from a connection with an API key and some other fields."""
    text = extra if extra is None or isinstance(extra, str) else json.dumps(extra)
    connection = Connection(conn_id="prod", **{"conn_type": "pinecone", "password": KEY, "extra": text, **fields})
    return settings_from(connection, "prod")


def test_defaults() -> None:
    assert make_settings() == Settings("prod", "https://api.pinecone.io", KEY, "2025-10", 30.0)


def test_all_fields() -> None:
    settings = make_settings(
        host="api.pinecone.test", port=8443, extra={"api_version": "2026-04", "timeout": 5, "allow_http": True, "x": 1}
    )
    assert settings == Settings("prod", "https://api.pinecone.test:8443", KEY, "2026-04", 5.0)


@pytest.mark.parametrize("conn_type", ["pinecone", "generic", "http"])
def test_connection_of_another_type(conn_type: str) -> None:
    extra = {"region": "us-east-1", "project_id": "abc123", "debug_curl": True}
    assert make_settings(conn_type=conn_type, login="us-east-1-aws", extra=extra) == make_settings()


def test_repr_omits_the_key() -> None:
    assert KEY not in repr(make_settings())
    assert "https://api.pinecone.io" in repr(make_settings())


# The host

HOSTS: list[tuple[dict[str, Any], str]] = [
    ({"host": None}, "https://api.pinecone.io"),
    ({"host": ""}, "https://api.pinecone.io"),
    ({"host": "  api.pinecone.io\n"}, "https://api.pinecone.io"),
    ({"host": "api.pinecone.io"}, "https://api.pinecone.io"),
    ({"host": "https://api.pinecone.io"}, "https://api.pinecone.io"),
    ({"host": "https://api.pinecone.io/"}, "https://api.pinecone.io"),
    ({"host": "HTTPS://API.Pinecone.io"}, "https://api.pinecone.io"),
    ({"host": "api.pinecone.io:8443"}, "https://api.pinecone.io:8443"),
    ({"host": "https://api.pinecone.io:8443"}, "https://api.pinecone.io:8443"),
    ({"host": "https://api.svc.example.com"}, "https://api.svc.example.com"),
    ({"host": "api.pinecone.io", "port": 8443}, "https://api.pinecone.io:8443"),
    ({"host": "api.pinecone.io:1", "port": 8443}, "https://api.pinecone.io:1"),
    ({"host": "api.pinecone.io", "schema": "https"}, "https://api.pinecone.io"),
    ({"host": "127.0.0.1:5080", "schema": "http"}, "http://127.0.0.1:5080"),
    ({"host": "http://127.0.0.1:5080"}, "http://127.0.0.1:5080"),
    ({"host": "http://127.1.2.3"}, "http://127.1.2.3"),
    ({"host": "http://localhost:5080"}, "http://localhost:5080"),
    ({"host": "http://[::1]:5080"}, "http://[::1]:5080"),
    ({"host": "::1", "port": 5080, "schema": "http"}, "http://[::1]:5080"),
    ({"host": "2001:db8::7"}, "https://[2001:db8::7]"),
    ({"host": "http://pinecone_emulator:5080", "extra": {"allow_http": True}}, "http://pinecone_emulator:5080"),
    ({"host": "http://pinecone.test", "extra": {"allow_http": "true"}}, "http://pinecone.test"),
    ({"host": "http://pinecone.test", "extra": {"allow_http": "True"}}, "http://pinecone.test"),
]


@pytest.mark.parametrize(("fields", "url"), HOSTS)
def test_host(fields: dict[str, Any], url: str) -> None:
    assert make_settings(**fields).url == url


@pytest.mark.parametrize(("timeout", "seconds"), [(5, 5), ("7.5", 7.5), (600, 600), (1e-3, 1e-3), (None, 30), ("", 30)])
def test_timeout(timeout: Any, seconds: float) -> None:
    assert make_settings(extra={"timeout": timeout}).timeout == seconds


@pytest.mark.parametrize("api_version", ["2025-10", "2026-04", "2026-07", "unstable", None, ""])
def test_api_version(api_version: str | None) -> None:
    assert make_settings(extra={"api_version": api_version}).api_version == (api_version or "2025-10")


# Invalid fields

INVALID_HOSTS = [
    *("https://api.pinecone.io/v1", "https://api.pinecone.io?x=1", "https://api.pinecone.io/#x", "api.pinecone.io/v1"),
    *("ftp://api.pinecone.io", "file:///etc/passwd", "unix:///run/x.sock", "https://", "http:///x", "a b", "a,b"),
    *("https://[::1", "https://[fe80::1%25eth0]", "https://api.pinecone.io:port", "https://api.pinecone.io:99999"),
    *("https://\u00e4.x", "x" * 10_000, "http://" + "x" * 10_000),
    *("https://a..b", "a..b", "ab.cd..ef", ".a", "a.", "https://-a.b", "a-.b", "a.-b:443", "x" * 64, f"a.{'x' * 64}.b"),
    *("https://[::g]", "1:2:3", "::ffff:999.1.1.1"),
]
INVALID_KEYS = [
    f"{KEY}\n",
    f"{KEY}\r\nX: y",
    f" {KEY}",
    "pc key 12345",
    "pc-k\u00e9y-12345",
    "pc-key\t12345",
]
INVALID_KEYS += ["pc\0key"]
QUOTED_KEYS = [
    f'"{KEY}"',
    f"'{KEY}'",
    f'"{KEY}',
    f"{KEY}'",
    f"`{KEY}`",
    f"\u201c{KEY}\u201d",
    f"\u2018{KEY}\u2019",
    '"',
    '""',
]
INDEX_HOSTS = [
    "docs-abc123.svc.aped-4627-b74a.pinecone.io",
    "https://docs-abc123.svc.aped-4627-b74a.pinecone.io",
    "https://docs-abc123.svc.us-east1-gcp.pinecone.io:443/",
    "https://docs-abc123.svc.private.aped-4627-b74a.pinecone.io/describe_index_stats",
    "http://Docs-abc123.SVC.aped-4627-b74a.Pinecone.io",
]
INVALID_EXTRAS = ["no json", "[1]", '"x"', "5", "{"]
INVALID_VERSIONS = [
    *("9999-99", "2025-04", "2024-07", "latest", "2025-1", "2025-11", "2025-10\n", "20\uff12\uff16-04", 2025, ["x"]),
    *("x" * 10_000, {"a": ["x" * 10_000]}, KEY),
]
INVALID_TIMEOUTS = [0, -1, 601, "soon", "nan", "inf", [5], {"s": 5}, 10**400, "-0", "x" * 10_000, [KEY]]
NO_PERMISSIONS = [False, "false", "no", 0, None, "", [True], {"a": 1}]
INVALID: list[tuple[dict[str, Any], str]] = [
    *(({"host": host}, "the host is invalid") for host in INVALID_HOSTS),
    ({"host": "api.pinecone.io", "schema": "nonsense"}, "the host is invalid"),
    ({"host": "api.pinecone.io", "port": 99999}, "99999 is not a valid port"),
    ({"host": "api.pinecone.io", "port": -1}, "-1 is not a valid port"),
    ({"host": "https://user:secret@api.pinecone.io"}, "contains a user or a password"),
    ({"host": "user@api.pinecone.io"}, "contains a user or a password"),
    ({"host": "https://:secret@api.pinecone.io"}, "contains a user or a password"),
    ({"host": "evil.test\\@api.pinecone.io"}, "contains a user or a password"),
    ({"host": "http://api.pinecone.io"}, "plain http to api.pinecone.io would send the API key unencrypted"),
    ({"host": "api.pinecone.io", "schema": "http"}, "plain http to api.pinecone.io"),
    ({"host": "http://10.0.0.1:5080"}, '"allow_http": true'),
    ({"host": "http://127.0.0.1.evil.test"}, "plain http to 127.0.0.1.evil.test"),
    ({"host": "http://localhost.evil.test"}, "plain http to localhost.evil.test"),
    ({"host": "http://128.0.0.1"}, "plain http to 128.0.0.1"),
    ({"host": "http://0.0.0.0"}, "plain http to 0.0.0.0"),
    *(({"host": "http://pinecone.test", "extra": {"allow_http": v}}, "plain http to") for v in NO_PERMISSIONS),
    ({"password": None}, "it has no API key"),
    ({"password": ""}, "it has no API key"),
    *(({"password": key}, "not a valid API key") for key in INVALID_KEYS),
    *(({"password": key}, "the API key is in quotes; enter it without them") for key in QUOTED_KEYS),
    *(({"host": host}, "is the host of an index, not the control plane; leave the host empty") for host in INDEX_HOSTS),
    *(({"extra": extra}, "not a JSON object") for extra in INVALID_EXTRAS),
    *(({"extra": {"api_version": version}}, "api_version in the extra field") for version in INVALID_VERSIONS),
    *(({"extra": {"timeout": timeout}}, "timeout in the extra field") for timeout in INVALID_TIMEOUTS),
]


# Airflow 2 warns about an extra that is not JSON.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("fields", "problem"), INVALID, ids=lambda value: str(value)[:60])
def test_error_names_the_invalid_field_and_never_the_key(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(PineconeInputError) as caught:
        make_settings(**fields)
    text = str(caught.value)
    assert text.startswith("Connection prod ")
    assert problem in text
    assert text.isprintable()
    assert len(text) < 800
    assert "secret" not in text
    assert KEY not in text
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert KEY not in repr([caught.value.args, vars(caught.value)])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("fields", "problem"), INVALID, ids=lambda value: str(value)[:60])
def test_no_frame_of_the_error_holds_the_key_or_the_connection(fields: dict[str, Any], problem: str) -> None:
    """Error trackers call repr on the variables of each frame. The repr of an Airflow connection contains the key."""
    with pytest.raises(PineconeInputError) as caught:
        make_settings(**fields)
    key = str(fields.get("password", KEY))
    frames = frames_of(caught.value, "airflow_pinecone.")
    assert frames
    for frame in frames:
        assert not any(isinstance(value, Connection) for value in frame.f_locals.values())
        for name, value in frame.f_locals.items():
            assert not key or key not in repr(value), name


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"password": 12345678}, "not a valid API key"),
        ({"extra": "[" * 100_000}, "not a JSON object"),
        ({"host": ["x"]}, "the host is invalid"),
    ],
    ids=["password", "extra", "host"],
)
def test_field_that_only_some_secret_backends_can_return(fields: dict[str, Any], problem: str) -> None:
    """Airflow 2 refuses such values when a connection is made."""
    connection: Any = SimpleNamespace(
        **{"password": KEY, "host": "-", "port": None, "schema": None, "extra": "", **fields}
    )
    with pytest.raises(PineconeInputError, match=problem) as caught:
        settings_from(connection, "prod")
    frames = frames_of(caught.value, "airflow_pinecone.")
    assert not any(KEY in repr(value) for frame in frames for value in frame.f_locals.values())


def test_fingerprint_tells_connections_apart_and_identifies_no_key() -> None:
    settings = [Settings("pinecone_default", url, key, "2025-10", 30.0) for url in "ab" for key in ("key-1", "key-2")]
    assert len({each.fingerprint for each in settings}) == 4
    assert replace(settings[0], api_version="2026-07").fingerprint != settings[0].fingerprint
    assert replace(settings[0], conn_id="another", timeout=5.0).fingerprint == settings[0].fingerprint
    # Even if all but a few characters of the key were known, many keys would have the same fingerprint.
    keys = (replace(settings[0], api_key=f"key-{n}") for n in range(300_000))
    assert sum(each.fingerprint == settings[0].fingerprint for each in keys) > 1
