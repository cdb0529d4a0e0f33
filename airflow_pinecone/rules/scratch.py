"""The scratch index of a restore test or a copy: its name, and the tags that identify it.

All tries of a run have the same name, also after a clear: an index that an earlier one has left is found and deleted.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Literal

from airflow_pinecone.api.models import IndexModel, tags_of
from airflow_pinecone.rules.identity import ORIGIN_TAG, Origin

Purpose = Literal["restore test", "copy"]

# Their values are the id of the backup.
TEST_TAG, COPY_TAG = "airflow-pinecone-restore-test", "airflow-pinecone-copy"
# Its value is the digest of the run, and when the test or the copy started.
RUN_TAG = "airflow-pinecone-restore-run"
_TAGS: dict[Purpose, str] = {"restore test": TEST_TAG, "copy": COPY_TAG}
_TIME = "%Y%m%dT%H%M%SZ"


def run_digest(origin: Origin) -> str:
    """Return the hash of a run. A clear does not change it, not even one of a finished run."""
    fields = [origin.dag_id, origin.run_id, origin.task_id, origin.map_index]
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:32]


def scratch_name(run: str, purpose: Purpose = "restore test") -> str:
    """Return the name of the scratch index of a run."""
    return f"{purpose.replace(' ', '-')}-{run[:12]}"


def scratch_tags(run: str, backup_id: str, now: datetime, purpose: Purpose = "restore test") -> dict[str, str]:
    """Return the tags of a new scratch index, besides that of the restore task.

    Args:
        run: The digest of the run.
        backup_id: The id of the backup.
        now: The time.
        purpose: What it is for.
    """
    return {_TAGS[purpose]: backup_id, RUN_TAG: f"{run}-{now.astimezone(UTC).strftime(_TIME)}"}


def is_scratch(index: IndexModel) -> bool:
    """Return whether a restore test or a copy created an index, and will delete it.

    It inherits the other tags of its backup.
    """
    tags = tags_of(index)
    return bool(tags.get(ORIGIN_TAG) and any(tags.get(tag) for tag in _TAGS.values()))


def source_tags(index: IndexModel) -> dict[str, str]:
    """Return the tags of a scratch index that its backup had."""
    own = {ORIGIN_TAG, RUN_TAG, *_TAGS.values()}
    return {name: value for name, value in tags_of(index).items() if name not in own}


def is_scratch_of(index: IndexModel, run: str) -> bool:
    """Return whether a restore test or a copy created an index, in a run."""
    return is_scratch(index) and str(tags_of(index).get(RUN_TAG)).startswith(f"{run}-")


def scratch_started_at(index: IndexModel) -> datetime | None:
    """Return when the run started that created a scratch index; None if it is none, or if that is unknown."""
    time = str(tags_of(index).get(RUN_TAG)).rpartition("-")[2]
    if not is_scratch(index):
        return None
    try:
        return datetime.strptime(time, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
