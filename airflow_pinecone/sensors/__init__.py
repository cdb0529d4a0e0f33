"""Sensors for backups of Pinecone indexes, and for restores from them.

Each class is imported when it is first used, so that a DAG file only pays for those that it uses.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_pinecone.sensors.backup import BackupSensor as BackupSensor
    from airflow_pinecone.sensors.bulk_import import ImportSensor as ImportSensor
    from airflow_pinecone.sensors.freshness import BackupFreshnessSensor as BackupFreshnessSensor
    from airflow_pinecone.sensors.restore import RestoreJobSensor as RestoreJobSensor
    from airflow_pinecone.sensors.schedule import ScheduledBackupSensor as ScheduledBackupSensor

_MODULES = {
    "BackupFreshnessSensor": "freshness",
    "BackupSensor": "backup",
    "ImportSensor": "bulk_import",
    "RestoreJobSensor": "restore",
    "ScheduledBackupSensor": "schedule",
}

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
