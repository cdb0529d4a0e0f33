"""The metrics that operators and sensors send through Airflow's Stats."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from support.clock import FakeClock
from support.constants import INDEX
from support.operators import NO_WAIT, TRIGGERER, WAITS
from support.tasks import Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.operators import AuditBackupsOperator, CreateBackupOperator, CreateIndexFromBackupOperator
from airflow_pinecone.runtime import metrics
from airflow_pinecone.sensors import BackupSensor

HOUR = 3600.0
TAGS = {"index": INDEX}

pytestmark = pytest.mark.usefixtures("world")


class Sent:
    """Stands for Airflow's Stats, and keeps what is sent."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any, dict[str, str] | None]] = []

    def incr(self, name: str, *, tags: dict[str, str]) -> None:
        self.calls.append(("incr", name, 1, tags))

    def gauge(self, name: str, value: float, *, tags: dict[str, str] | None = None) -> None:
        self.calls.append(("gauge", name, value, tags))

    def timing(self, name: str, value: float, *, tags: dict[str, str]) -> None:
        self.calls.append(("timing", name, value, tags))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    sent = Sent()
    monkeypatch.setattr(metrics, "Stats", sent)
    return sent


@pytest.fixture
def run(clock: FakeClock) -> Callable[..., Outcome]:
    def run(cls: Any, **arguments: Any) -> Outcome:
        return run_try(make_task(cls, clock, **arguments), TaskInstance())

    return run


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_backup_that_becomes_ready(
    emulator: Emulator, clock: FakeClock, run: Callable[..., Outcome], sent: Sent, wait: dict[str, Any]
) -> None:
    emulator.next_backup(ready_after=60)
    created_at = clock.time()
    outcome = run(CreateBackupOperator, index_name=INDEX, poke_interval=30, **wait)
    assert sent.calls == [
        ("incr", "pinecone.backup.ready", 1, TAGS),
        ("gauge", "pinecone.backup.last_ready", created_at, TAGS),
        ("timing", "pinecone.backup.duration", 60_000, TAGS),
        ("gauge", "pinecone.backup.records", 96, TAGS),
        ("gauge", "pinecone.backup.bytes", outcome.value["size_bytes"], TAGS),
    ]


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_backup_that_fails(emulator: Emulator, run: Callable[..., Outcome], sent: Sent, wait: dict[str, Any]) -> None:
    emulator.next_backup(ready_after=60, fails=True)
    run(CreateBackupOperator, index_name=INDEX, **wait)
    assert sent.calls == [("incr", "pinecone.backup.failed", 1, TAGS)]


@pytest.mark.parametrize("options", [{}, {"mode": "reschedule"}, {"deferrable": True}], ids=str)
@pytest.mark.parametrize("status", ["Ready", "Failed"])
def test_backup_that_a_sensor_waits_for(
    emulator: Emulator, run: Callable[..., Outcome], sent: Sent, options: dict[str, Any], status: str
) -> None:
    backup = emulator.add_backup(INDEX, status=status)
    run(BackupSensor, backup_id=backup["backup_id"], **options)
    assert (sent.calls[0][1], sent.calls[0][3]) == (f"pinecone.backup.{status.lower()}", TAGS)
    assert (
        len([name for _, name, _, _ in sent.calls if name in ("pinecone.backup.ready", "pinecone.backup.failed")]) == 1
    )


def test_metrics_that_cannot_be_sent_do_not_fail_the_task(
    emulator: Emulator, run: Callable[..., Outcome], sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no StatsD")

    monkeypatch.setattr(sent, "incr", fail)
    assert run(CreateBackupOperator, index_name=INDEX, wait_for_completion=True).state == "success"


def test_missing_numbers_are_not_sent(emulator: Emulator, run: Callable[..., Outcome], sent: Sent) -> None:
    backup = emulator.add_backup(INDEX, record_count=None, size_bytes=..., created_at=...)
    run(BackupSensor, backup_id=backup["backup_id"])
    assert sent.calls == [("incr", "pinecone.backup.ready", 1, TAGS)]


def test_tasks_that_do_not_wait_for_a_new_backup_send_nothing(
    emulator: Emulator, run: Callable[..., Outcome], sent: Sent
) -> None:
    backup = emulator.add_backup(INDEX, age=HOUR)
    assert run(CreateBackupOperator, index_name=INDEX, **NO_WAIT).state == "success"
    assert run(CreateBackupOperator, index_name=INDEX, reuse_within=2 * HOUR, **TRIGGERER).state == "success"
    assert run(CreateIndexFromBackupOperator, backup_id=backup["backup_id"], index_name="new").state == "success"
    assert sent.calls == []


def test_wait_that_times_out_sends_nothing(emulator: Emulator, run: Callable[..., Outcome], sent: Sent) -> None:
    emulator.next_backup(backup_ends="never")
    assert run(CreateBackupOperator, index_name=INDEX, timeout=60, wait_for_completion=True).state == "up_for_retry"
    assert sent.calls == []


def test_audit_sends_the_age_of_each_newest_backup(emulator: Emulator, run: Callable[..., Outcome], sent: Sent) -> None:
    emulator.add_index("without")
    emulator.add_backup(INDEX, age=HOUR)
    emulator.add_backup(INDEX, age=2 * HOUR)
    assert run(AuditBackupsOperator, max_age=2 * HOUR).state == "failed"
    assert sent.calls == [
        ("gauge", "pinecone.index.backup_age", HOUR, TAGS),
        ("gauge", "pinecone.project.backups", 2, None),
    ]


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    """Send the metrics to OpenTelemetry with Airflow's own class. It reads them, and exports nothing."""
    reader = InMemoryMetricReader()
    try:
        otel_logger = import_module("airflow._shared.observability.metrics.otel_logger")
    except ModuleNotFoundError:  # Airflow before 3.2
        otel_logger = import_module("airflow.metrics.otel_logger")
    monkeypatch.setattr(metrics, "Stats", otel_logger.SafeOtelLogger(MeterProvider([reader])))
    return reader


def test_metrics_reach_opentelemetry(
    emulator: Emulator, clock: FakeClock, run: Callable[..., Outcome], exported: InMemoryMetricReader
) -> None:
    emulator.next_backup(ready_after=60)
    created_at = clock.time()
    backup = run(CreateBackupOperator, index_name=INDEX, poke_interval=30, wait_for_completion=True).value
    data: Any = exported.get_metrics_data()
    ((scope,),) = (resource.scope_metrics for resource in data.resource_metrics)
    points = {
        metric.name: (point.sum if hasattr(point, "sum") else point.value, dict(point.attributes))
        for metric in scope.metrics
        for point in metric.data.data_points
    }
    assert points == {
        "airflow.pinecone.backup.ready": (1, TAGS),
        "airflow.pinecone.backup.last_ready": (created_at, TAGS),
        "airflow.pinecone.backup.duration": (60_000, TAGS),
        "airflow.pinecone.backup.records": (96, TAGS),
        "airflow.pinecone.backup.bytes": (backup["size_bytes"], TAGS),
    }
