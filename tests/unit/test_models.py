"""What the status of a backup or a restore means, and how times are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from airflow_pinecone.api.models import (
    BackupModel,
    Phase,
    RestoreModel,
    backup_phase,
    created_at,
    restore_job_phase,
    restore_phase,
    xcom_safe,
)

try:
    from airflow.sdk.bases.xcom import BaseXCom
except ImportError:  # Airflow 2
    from airflow.models.xcom import BaseXCom  # type: ignore[no-redef]

UNKNOWN_STATUSES = ["", "SomethingNew", "Scheduled", "Pending", "Initializing", "InProgress", "ready", "completed"]


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("Ready", "succeeded"),
        ("Failed", "failed"),
        ("InitializationFailed", "failed"),
        ("Completed", "running"),
        *((status, "running") for status in UNKNOWN_STATUSES),
    ],
)
def test_backup_phase(status: str, phase: Phase) -> None:
    assert backup_phase({"status": status}) == phase  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("Completed", "succeeded"),
        ("Failed", "failed"),
        ("Cancelled", "failed"),
        ("Ready", "running"),
        *((status, "running") for status in UNKNOWN_STATUSES),
    ],
)
def test_restore_job_phase(status: str, phase: Phase) -> None:
    assert restore_job_phase({"status": status}) == phase  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("status", "index_ready", "phase"),
    [
        ("Completed", True, "succeeded"),
        ("Completed", False, "running"),
        ("Pending", True, "running"),
        ("Failed", False, "failed"),
        ("Cancelled", True, "failed"),
    ],
)
def test_restore_succeeds_only_with_its_index(status: str, index_ready: bool, phase: Phase) -> None:
    assert restore_phase(cast("RestoreModel", {"status": status, "index_ready": index_ready})) == phase


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-05-14T16:37:25.625540Z", datetime(2025, 5, 14, 16, 37, 25, 625540, tzinfo=UTC)),
        ("2025-05-14T16:37:25.625540123Z", datetime(2025, 5, 14, 16, 37, 25, 625540, tzinfo=UTC)),
        ("2025-05-14T16:37:25+00:00", datetime(2025, 5, 14, 16, 37, 25, tzinfo=UTC)),
        ("2025-05-14T18:37:25+02:00", datetime(2025, 5, 14, 16, 37, 25, tzinfo=UTC)),
        ("2025-05-14T16:37:25", datetime(2025, 5, 14, 16, 37, 25, tzinfo=UTC)),
    ],
)
def test_created_at(text: str, moment: datetime) -> None:
    assert created_at(cast("BackupModel", {"created_at": text})) == moment
    assert getattr(created_at(cast("BackupModel", {"created_at": text})), "tzinfo", None) is UTC


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"created_at": None},
        {"created_at": 1747240645},
        {"created_at": ""},
        {"created_at": "soon"},
        {"created_at": "2025-05-14\n16:37:25Z"},
        {"created_at": "2025-05-14T16:37:25." + "0" * 100 + "Z"},
        {"created_at": "0001-01-01T00:00:00+23:00"},
        {"created_at": "9999-12-31T23:59:59-23:00"},
    ],
    ids=lambda model: str(model)[:40],
)
def test_missing_or_invalid_created_at(model: Any) -> None:
    assert created_at(model) is None


def through_xcom(value: Any) -> Any:
    """Return what another task pulls after a task has pushed a value."""
    stored: Any = BaseXCom.serialize_value(value, key="return_value", dag_id="d", task_id="t", run_id="r")
    # Airflow 3 stores the value as JSON, Airflow 2 returns the JSON.
    stored = stored if isinstance(stored, bytes) else json.loads(json.dumps(stored))
    return BaseXCom.deserialize_value(SimpleNamespace(value=stored))


TEXT_FIELD = {"type": "str", "filterable": True}
OFFENDING: dict[str, dict[str, Any]] = {
    "id": {"__id__": TEXT_FIELD},
    "class name": {"__classname__": TEXT_FIELD},
    "encoded object": {"__classname__": "builtins.tuple", "__version__": 1, "__data__": ["x"]},
    "encoded unknown class": {"__classname__": "no.such.Class", "__version__": 1},
    "encoded by Airflow 2": {"__type": "tuple", "__var": ["x"]},
    "encoded dict of Airflow 2": {"__type": "dict", "__var": {"x": 1}},
    "all": {"__id__": 1, "__classname__": 2, "__version__": 3, "__data__": 4, "__type": 5, "__var": 6, "x": 7},
    "nested": {"x": [{"__id__": {"__classname__": 1}}]},
    "renamed key exists": {"__id__": 1, "___id__": 2, "____id__": 3},
}


@pytest.mark.parametrize("fields", OFFENDING.values(), ids=OFFENDING)
def test_backup_with_reserved_keys_passes_through_xcom(fields: dict[str, Any]) -> None:
    backup = {"backup_id": "b-1", "status": "Ready", "schema": {"fields": fields}, "tags": fields}
    safe = xcom_safe(backup)
    assert through_xcom(safe) == safe
    assert (safe["backup_id"], safe["status"]) == ("b-1", "Ready")
    # No key and no value is lost.
    renamed = cast("dict[str, Any]", safe["schema"])["fields"]
    assert [key.lstrip("_") for key in renamed] == [key.lstrip("_") for key in fields]
    assert len(set(renamed)) == len(fields)
    # The value itself is unchanged, and a second call changes nothing.
    assert backup["tags"] is fields
    assert xcom_safe(safe) == safe


@pytest.mark.parametrize("key", ["__id__", "__classname__"])
def test_airflow_refuses_a_reserved_key(key: str) -> None:
    """If this fails, xcom_safe need not rename the key for this version of Airflow."""
    with pytest.raises(AttributeError, match="reserved key"):
        through_xcom({key: 1})


def test_airflow_takes_a_reserved_key_for_a_class() -> None:
    with pytest.raises(ImportError, match="allow list"):
        through_xcom({"x": {"__type": "no.such.Class", "__var": 1}})


def test_reserved_keys_are_renamed() -> None:
    fields = {"__id__": 1, "__classname__": {"__type": [{"__id__": 2}]}, "name": 3}
    assert xcom_safe(fields) == {"___id__": 1, "___classname__": {"___type": [{"___id__": 2}]}, "name": 3}
    assert xcom_safe({"__id__": 1, "___id__": 2}) == {"____id__": 1, "___id__": 2}


@pytest.mark.parametrize(
    "value",
    [
        *(None, "__id__", 5, 1.5, True, [], {}, ["__id__"], {"x": "__id__"}),
        {"__version__": 1, "__data__": 2, "__var": 3, "__source": 4, "__cache__": 5, "_id": 6, "id": 7, "__ID__": 8},
    ],
    ids=str,
)
def test_other_keys_are_not_renamed(value: Any) -> None:
    assert xcom_safe(value) == value
    assert through_xcom({"x": value}) == {"x": value}
