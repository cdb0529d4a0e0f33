"""What the status of a backup or a restore means, and how times are read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from airflow_pinecone.models import (
    BackupModel,
    Phase,
    RestoreModel,
    backup_phase,
    created_at,
    restore_job_phase,
    restore_phase,
)

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
    assert backup_phase(status) == phase


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
    assert restore_job_phase(status) == phase


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
