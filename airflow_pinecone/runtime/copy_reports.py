"""Open the folders of copies, and write and read the reports about their verifications."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_pinecone.common.text import explain, one_line, show_value
from airflow_pinecone.copying.store import CopyStore
from airflow_pinecone.errors import CopyRefused, PineconeInputError
from airflow_pinecone.rules.copy_format import encode
from airflow_pinecone.runtime.airflow_versions import storage_path

if TYPE_CHECKING:
    from airflow_pinecone.copying.read import VerifiedCopy

FORMAT, KIND = 1, "airflow-pinecone-verified-copy"
_FOLDER = "copy/verified"
LATEST = f"{_FOLDER}/latest.json"


def copy_store(url: Any) -> CopyStore:
    """Open the folder of a copy, or of several.

    Args:
        url: Its URL, or an ObjectStoragePath.

    Raises:
        CopyRefused: The folder cannot be opened.
    """
    try:
        return CopyStore(storage_path(url))
    except Exception as error:  # Each store, and each version of Airflow, has errors of its own.
        raise CopyRefused(
            explain(
                "The folder of a copy cannot be opened.",
                f"{type(error).__name__}: {one_line(error)}",
                "Check the URL, its Airflow connection, and that the provider of the store is installed.",
                f"Folder: {one_line(url)}.",
            )
        ) from error


def url_of_copy(value: Any, name: str) -> str:
    """Return the URL of a copy: a URL, or the result of an export, which has one.

    Raises:
        PineconeInputError: It is neither.
    """
    url = value.get("url") if isinstance(value, Mapping) else value
    text = "" if url is None or isinstance(url, Mapping) else str(url)
    if not text or text in ("None", "/") or text.startswith("{"):
        raise PineconeInputError(
            f"{name} must be the URL of a folder, or the result of an export, not {show_value(value)}."
        )
    return text


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
