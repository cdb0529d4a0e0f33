"""Backups for the demo and the screenshots: a history for an index, and a project with problems."""

from __future__ import annotations

from airflow_pinecone.emulator import Emulator

DAY = 24 * 3600.0
_BYTES_PER_RECORD = 4160


def add_history(emulator: Emulator, index_name: str, *, records: int, days: int = 21, newest_age: float = DAY) -> None:
    """Add a Ready backup for each day, of an index that grows.

    Args:
        emulator: The emulator.
        index_name: The index.
        records: The number of records in the newest one.
        days: The number of backups.
        newest_age: The age of the newest one, in seconds.
    """
    for day in range(days):
        count = round(records * (1 - 0.024 * day + 0.009 * (day % 4)))
        emulator.add_backup(
            index_name, age=newest_age + day * DAY, record_count=count, size_bytes=count * _BYTES_PER_RECORD
        )


def add_problems(emulator: Emulator) -> None:
    """Add indexes that have no fresh backup, for different reasons, and backups of a deleted index.

    Args:
        emulator: The emulator.
    """
    for name in ("articles", "images", "products", "support-tickets"):
        emulator.add_index(name)
    add_history(emulator, "images", records=41_200, days=12, newest_age=3.2 * DAY)
    add_history(emulator, "products", records=7_350, days=9, newest_age=0.4 * DAY)
    emulator.add_backup("products", age=0.1 * DAY, status="Failed")
    add_history(emulator, "support-tickets", records=250_000, days=30, newest_age=0.2 * DAY)
    emulator.add_backup("old-articles", age=120 * DAY, record_count=18_500, size_bytes=18_500 * _BYTES_PER_RECORD)
