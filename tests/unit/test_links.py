"""The links on a task: when they are pushed, where they lead, and that they survive to the end of the task."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import conf
from support.clock import FakeClock
from support.constants import CONNECTION_VARIABLE, INDEX
from support.operators import PATHS
from support.tasks import TaskInstance, make_task, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import CreateBackupOperator, CreateIndexFromBackupOperator, VerifyBackupOperator
from airflow_pinecone.runtime import links
from airflow_pinecone.runtime.airflow_versions import can_show_pages
from airflow_pinecone.runtime.links import BackupLink, ConsoleLink, push_links
from airflow_pinecone.sensors import BackupSensor, RestoreJobSensor

pytestmark = pytest.mark.usefixtures("world")
needs_pages = pytest.mark.skipif(not can_show_pages(), reason="the page needs Airflow 3.1.1")

BACKUP, CONSOLE = "_link_BackupLink", "_link_ConsoleLink"
ID = "8c85e612-ed1c-4f97-9f8c-8194e07bcf71"


def url_of(backup_id: str, prefix: str = "") -> str:
    task = "dag_id=etl&run_id=manual__1&task_id=backup&map_index=-1"
    return f"{prefix}/pinecone-backups/backups/{backup_id}?connection=pinecone_default&{task}"


def new_task() -> Any:
    """Make what the links need of a task."""
    return SimpleNamespace(hook=PineconeHook(), log=logging.getLogger(__name__))


@pytest.fixture
def ti() -> TaskInstance:
    return TaskInstance()


@needs_pages
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_create_pushes_the_link_before_it_waits(
    emulator: Emulator, clock: FakeClock, ti: TaskInstance, path: dict[str, Any]
) -> None:
    emulator.next_backup(ready_after=60)
    seen: list[Any] = []
    clock.on_sleep = lambda _: seen.append(ti.xcoms.get(BACKUP))
    run_try(make_task(CreateBackupOperator, clock, index_name=INDEX, **path), ti, lambda: seen.append(ti.xcoms[BACKUP]))
    url = url_of(emulator.backups[0]["backup_id"])
    assert ti.xcoms[BACKUP] == url
    assert set(seen) == ({url} if path["wait_for_completion"] else set())
    assert ti.xcoms[CONSOLE] == ""


@needs_pages
def test_other_tasks_link_to_their_backup(emulator: Emulator, clock: FakeClock) -> None:
    backup_id = emulator.add_backup(INDEX)["backup_id"]
    for cls, arguments in (
        (CreateIndexFromBackupOperator, {"index_name": "new"}),
        (VerifyBackupOperator, {}),
        (BackupSensor, {}),
    ):
        ti = TaskInstance()
        assert run_try(make_task(cls, clock, backup_id=backup_id, **arguments), ti).state == "success"
        assert ti.xcoms[BACKUP] == url_of(backup_id)


@needs_pages
def test_task_that_fails_has_the_link(emulator: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    backup_id = emulator.add_backup(INDEX, status="Failed")["backup_id"]
    task = make_task(BackupSensor, clock, backup_id=backup_id)
    assert run_try(task, ti).state == "failed"
    # Airflow calls this at the end, and stores the result again.
    assert BackupLink().get_link(task, ti_key=ti) == url_of(backup_id)


@needs_pages
def test_link_is_not_read_by_the_process_that_pushed_it(emulator: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    """Airflow logs an error if it does not find an XCom."""
    task = make_task(VerifyBackupOperator, clock, backup_id=emulator.add_backup(INDEX)["backup_id"])
    assert run_try(task, ti).state == "success"
    # Without a key, nothing can be read.
    assert BackupLink().get_link(task, ti_key=None) == ti.xcoms[BACKUP]
    assert ConsoleLink().get_link(task, ti_key=None) == ti.xcoms[CONSOLE] == ""


@needs_pages
def test_path_into_a_custom_xcom_backend_is_never_a_link(
    emulator: Emulator, clock: FakeClock, ti: TaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow reads a link past the backend, and stores it past the backend at the end of the task."""
    sdk = pytest.importorskip("airflow.sdk.bases.xcom")

    class Backend(sdk.BaseXCom):  # type: ignore[misc, name-defined]
        @staticmethod
        def serialize_value(value: Any, **_: Any) -> Any:
            return "s3://bucket/path"

    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom", Backend)
    backup_id = emulator.add_backup(INDEX)["backup_id"]
    task = make_task(VerifyBackupOperator, clock, backup_id=backup_id)
    assert run_try(task, ti).state == "success"
    assert BACKUP not in ti.xcoms
    assert BackupLink().get_link(task, ti_key=ti) == url_of(backup_id)
    # The trigger may have timed out. Then Airflow resumes the task in another process, and it pushes nothing.
    ti.xcoms[BACKUP] = "s3://bucket/path"
    assert BackupLink().get_link(task.recreate(), ti_key=ti) == ""


@needs_pages
@pytest.mark.parametrize("backup_id", ["", None, "a/b", 7])
def test_invalid_id_has_no_link(clock: FakeClock, ti: TaskInstance, backup_id: Any) -> None:
    assert run_try(make_task(BackupSensor, clock, backup_id=backup_id), ti).state == "failed"
    assert ti.xcoms == {}


@needs_pages
def test_invalid_connection_is_reported_by_the_task(
    clock: FakeClock, ti: TaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CONNECTION_VARIABLE)
    outcome = run_try(make_task(VerifyBackupOperator, clock, backup_id=ID), ti)
    assert outcome.state == "up_for_retry"
    assert "does not exist" in outcome.message


@needs_pages
def test_link_that_cannot_be_stored_does_not_fail_the_task(
    emulator: Emulator, clock: FakeClock, ti: TaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    task = make_task(VerifyBackupOperator, clock, backup_id=emulator.add_backup(INDEX)["backup_id"])
    monkeypatch.setattr(ti, "xcom_push", fail)
    assert task.execute(ti.context)["status"] == "Ready"


@needs_pages
@pytest.mark.parametrize(
    ("host", "expected"),
    [(None, True), ("https://api.pinecone.io", True), ("https://api.pinecone.io.example.com", False)],
)
def test_console_is_linked_only_for_pinecone_itself(
    ti: TaskInstance, monkeypatch: pytest.MonkeyPatch, host: str | None, expected: bool
) -> None:
    connection = {"conn_type": "pinecone", "host": host, "password": "key"}
    monkeypatch.setenv(CONNECTION_VARIABLE, json.dumps(connection))
    push_links(ti.context, ID, new_task())
    url = "https://app.pinecone.io/organizations/-/projects/-/backups" if expected else ""
    # Airflow shows no link for an empty URL.
    assert ti.xcoms[CONSOLE] == url
    assert ConsoleLink().get_link(None, ti_key=ti) == url


@needs_pages
def test_link_has_the_path_prefix_of_airflow(ti: TaskInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://example.com/team/airflow/")
    assert conf.get("api", "base_url") == "https://example.com/team/airflow/"
    push_links(ti.context, ID, new_task())
    assert ti.xcoms[BACKUP] == url_of(ID, "/team/airflow")


def test_link_that_was_not_pushed_or_cannot_be_read_is_empty(ti: TaskInstance) -> None:
    assert BackupLink().get_link(None, ti_key=ti) == ""
    ti.xcoms[BACKUP] = {"not": "a text"}
    assert BackupLink().get_link(None, ti_key=ti) == ""
    assert BackupLink().get_link(None, ti_key=None) == ""


def test_older_airflow_gets_no_links(ti: TaskInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "LINKS", ())
    push_links(ti.context, ID, new_task())
    assert ti.xcoms == {}


def test_tasks_have_the_links_that_this_airflow_can_show() -> None:
    expected = ["Backup", "Pinecone console"] if can_show_pages() else []
    for cls in (CreateBackupOperator, CreateIndexFromBackupOperator, VerifyBackupOperator, BackupSensor):
        assert [link.name for link in cls.operator_extra_links] == expected
    assert list(RestoreJobSensor.operator_extra_links) == []
