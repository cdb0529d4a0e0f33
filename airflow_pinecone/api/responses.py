"""Check that Pinecone's responses contain the fields that this package relies on. Other fields pass through.

An invalid response raises PineconeTransientError, because something between the client and Pinecone may have sent it.
"""

from __future__ import annotations

from typing import Any, cast

from airflow_pinecone.api.models import (
    BackupModel,
    BackupScheduleModel,
    ImportModel,
    ImportStarted,
    IndexModel,
    RestoreJobModel,
    RestoreStarted,
)
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.common.inputs import is_id


def backup(response: Any, operation: Operation) -> BackupModel:
    """Return a response as a backup."""
    _require(response, ("backup_id", "status"), "a backup", operation)
    _check_optional(response, ("source_index_name", "source_index_id"), "a backup", operation)
    return cast("BackupModel", response)


def restore_job(response: Any, operation: Operation) -> RestoreJobModel:
    """Return a response as a restore job."""
    required = ("restore_job_id", "backup_id", "target_index_name", "status")
    _require(response, required, "a restore job", operation)
    _check_optional(response, ("target_index_id",), "a restore job", operation)
    return cast("RestoreJobModel", response)


def restore_started(response: Any, operation: Operation) -> RestoreStarted:
    """Return a response as a restore that has started."""
    _require(response, ("restore_job_id",), "a started restore", operation)
    _check_optional(response, ("index_id",), "a started restore", operation)
    return cast("RestoreStarted", response)


def backup_schedule(response: Any, operation: Operation) -> BackupScheduleModel:
    """Return a response as a backup schedule."""
    _require(response, ("schedule_id",), "a backup schedule", operation)
    if not (isinstance(response.get("name"), str) and isinstance(response.get("enabled"), bool)):
        raise operation.invalid_response("is a backup schedule with an invalid name or enabled")
    return cast("BackupScheduleModel", response)


def bulk_import(response: Any, operation: Operation) -> ImportModel:
    """Return a response as a bulk import."""
    _require(response, ("id", "status"), "an import", operation)
    return cast("ImportModel", response)


def import_started(response: Any, operation: Operation) -> ImportStarted:
    """Return a response as a bulk import that has started."""
    _require(response, ("id",), "a started import", operation)
    return cast("ImportStarted", response)


def index(response: Any, operation: Operation, index_name: str) -> IndexModel:
    """Return a response as the index of a name."""
    if not (
        isinstance(response, dict) and response.get("name") == index_name and isinstance(response.get("status"), dict)
    ):
        raise operation.invalid_response("does not describe this index")
    return cast("IndexModel", response)


def indexes(response: Any, operation: Operation) -> tuple[list[IndexModel], list[Any]]:
    """Return a response as a list of indexes, and the rows that have no valid name."""
    rows = response.get("indexes") if isinstance(response, dict) else None
    if not isinstance(rows, list):
        raise operation.invalid_response("is not a list of indexes")
    valid = [row for row in rows if isinstance(row, dict) and is_id(row.get("name"))]
    return cast("list[IndexModel]", valid), [row for row in rows if row not in valid]


def index_stats(response: Any, operation: Operation) -> dict[str, Any]:
    """Return a response as the stats of an index."""
    if not isinstance(response, dict) or "error" in response:
        raise operation.invalid_response("does not describe the stats of an index")
    return response


def deleted(response: Any, operation: Operation) -> None:
    """Check the response to a DELETE: its body is empty or an object that reports no error."""
    signs = ("error", "errors", "code")
    if response is not None and (not isinstance(response, dict) or any(response.get(s) is not None for s in signs)):
        raise operation.invalid_response("reports an error, so it is unknown whether anything was deleted")


def without_invalid_fields(row: Any) -> Any:
    """Return a row of a listing whose status and optional fields are unknown if they are invalid.

    An unknown status is not final: such a backup is not Ready, and it is never deleted by a prune.
    """
    if not isinstance(row, dict):
        return row
    optional = ("source_index_name", "source_index_id", "target_index_id")
    unknown = {"status": "unknown"} | dict.fromkeys(field for field in optional if field in row)
    return row | {field: value for field, value in unknown.items() if not _is_short_text(row.get(field))}


def page(response: Any, operation: Operation) -> tuple[list[Any], str | None]:
    """Return the rows of a page, and the token of the next page."""
    rows = response.get("data") if isinstance(response, dict) else None
    if not isinstance(rows, list):
        raise operation.invalid_response("is not a list")
    pagination = response.get("pagination")
    token = pagination.get("next") if isinstance(pagination, dict) else None
    return rows, str(token) if token else None


def _require(response: Any, fields: tuple[str, ...], what: str, operation: Operation) -> None:
    """Require that the first field is an id and that all fields are short strings."""
    complete = isinstance(response, dict) and all(_is_short_text(response.get(field)) for field in fields)
    if not (complete and is_id(response[fields[0]])):
        raise operation.invalid_response(f"is not {what} with {' and '.join(fields)}")


def _check_optional(response: dict[str, Any], fields: tuple[str, ...], what: str, operation: Operation) -> None:
    """Require that each field is missing, null or a short string."""
    for field in fields:
        if response.get(field) is not None and not _is_short_text(response[field]):
            raise operation.invalid_response(f"is {what} with an invalid {field}")


def _is_short_text(value: Any) -> bool:
    """Return whether a value is safe to show in a message. The API allows any string as a status."""
    return isinstance(value, str) and len(value) <= 128 and value.isprintable()
