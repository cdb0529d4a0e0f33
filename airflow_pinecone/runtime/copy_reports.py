"""Write and read the reports about the verifications of copies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_pinecone.copying.store import CopyStore
from airflow_pinecone.rules.copy_format import encode

if TYPE_CHECKING:
    from airflow_pinecone.copying.read import VerifiedCopy

FORMAT, KIND = 1, "airflow-pinecone-verified-copy"
_FOLDER = "copy/verified"
LATEST = f"{_FOLDER}/latest.json"


def write_verified(store: CopyStore, verified: VerifiedCopy, who: Mapping[str, Any], at: datetime) -> str:
    """Write the report of a passed verification, and return the name of its file.

    Args:
        store: The folder of the copy.
        verified: What was verified.
        who: The DAG, the run, the task, the seconds and the SHA-256 of the manifest.
        at: When the verification ended.

    Raises:
        CopyFailed: The store denied it, or failed.
    """
    report = {"format": FORMAT, "kind": KIND, "verified_at": at.astimezone(UTC).isoformat(), **verified, **who}
    name = f"{_FOLDER}/{at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}.json"
    content = encode(report)
    store.write(name, content)
    store.write(LATEST, content)
    return name


def read_verified(store: CopyStore) -> dict[str, Any] | None:
    """Return the newest report of a passed verification; None if there is none that this release can read.

    Raises:
        CopyFailed: The store failed.
    """
    content = store.read(LATEST)
    try:
        report = None if content is None else json.loads(content)
    except ValueError:
        return None
    is_report = isinstance(report, dict) and (report.get("format"), report.get("kind")) == (FORMAT, KIND)
    return report if is_report else None
