"""Estimate what a restore test costs. Nothing here does I/O or reads a clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypedDict

from airflow_pinecone.api.models import BackupModel, count_of, dimension_of

# Pinecone charges one read unit for a page of ids, and one for so many records; a request costs at least one.
IDS_PER_READ_UNIT = 100
RECORDS_PER_READ_UNIT = 10
# The least that a query costs, in read units. Above this, it is one for each GB of the namespace.
_READ_UNITS_PER_QUERY = 0.25
# About the bytes of a number in a response, and of a record besides its dense values.
_BYTES_PER_NUMBER, _BYTES_PER_RECORD = 12, 400
# How many records of an index all tasks together read in a second.
RECORDS_PER_SECOND = 2_000


class Estimate(TypedDict):
    """What a restore test will cost, as JSON types. None is unknown.

    Attributes:
        records: The records of the backup.
        read_units: The read units for the records of the restored index, those of the index it is compared with, and
            the queries.
        response_bytes: The bytes of the responses, not compressed. It is unknown without dense vectors.
        minutes: The time to read the records, without the restore.
    """

    records: int | None
    read_units: int | None
    response_bytes: int | None
    minutes: int | None


def estimate(backup: BackupModel, *, reference: Mapping[str, int] | None, sample: float, queries: int) -> Estimate:
    """Estimate what a restore test costs, from the counts of the backup and of the index.

    Args:
        backup: The backup.
        reference: The record counts of the namespaces of the index with which it is compared; None if it is not.
        sample: The share of the records to read.
        queries: The number of queries for each namespace.
    """
    count, dimension = count_of(backup.get("record_count")), dimension_of(backup)
    if count is None:
        return Estimate(records=None, read_units=None, response_bytes=None, minutes=None)
    namespaces = count_of(backup.get("namespace_count")) or 1
    read_units = max(namespaces, math.ceil(count / IDS_PER_READ_UNIT))
    read_units += max(namespaces, math.ceil(count * sample / RECORDS_PER_READ_UNIT))
    for number in (reference or {}).values():
        read_units += max(1, math.ceil(number / IDS_PER_READ_UNIT))
        read_units += max(1, math.ceil(number * sample / RECORDS_PER_READ_UNIT))
    if dimension is not None and sample >= 1:
        gigabytes = (count_of(backup.get("size_bytes")) or 0) / 1e9
        read_units += math.ceil(queries * max(_READ_UNITS_PER_QUERY * namespaces, gigabytes))
    size = None if dimension is None else dimension * _BYTES_PER_NUMBER + _BYTES_PER_RECORD
    to_read = (count + sum((reference or {}).values())) * sample
    return Estimate(
        records=count,
        read_units=read_units,
        response_bytes=None if size is None else round(to_read * size),
        minutes=math.ceil(to_read / RECORDS_PER_SECOND / 60),
    )


def why_too_expensive(cost: Estimate, max_read_units: float | None) -> str:
    """Return why a restore test must not start, as a clause for a message; empty if it may."""
    if max_read_units is None:
        return ""
    if cost["read_units"] is None:
        return (
            f"the record_count of the backup is unknown, and so is the cost: unknown is not zero. "
            f"The limit is {max_read_units:,.0f} read units"
        )
    if cost["read_units"] <= max_read_units:
        return ""
    return f"it would cost about {cost['read_units']:,} read units, and the limit is {max_read_units:,.0f}"
