"""How tasks get a copy, and the results of mapped tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_pinecone.common.text import explain, show_value
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.runtime.airflow_versions import storage_path

if TYPE_CHECKING:
    from airflow_pinecone.copying.read import CopyReader


def url_of_copy(copy: Any) -> str:
    """Return the URL of the folder of a copy.

    Args:
        copy: A URL, an ObjectStoragePath, or a dict with ``url``.

    Raises:
        PineconeInputError: It is none of them.
    """
    url = copy.get("url") if isinstance(copy, Mapping) else copy
    text = "" if url is None else str(url).rstrip("/")
    if "://" not in text or not text.isprintable():
        raise PineconeInputError(
            f"copy must be the URL of the folder of a copy, or the result of its export, not {show_value(copy)}."
        )
    return text


def open_copy(url: str) -> CopyReader:
    """Return the reader of a copy.

    Args:
        url: The folder of the copy.

    Raises:
        PineconeInputError: A package is not installed.
    """
    try:
        from airflow_pinecone.copying.read import CopyReader
        from airflow_pinecone.copying.store import CopyStore
    except ImportError as error:
        raise PineconeInputError(
            explain(
                "The copy cannot be read.",
                f"package {error.name} is not installed",
                "Install airflow-pinecone[copies] on the workers.",
            )
        ) from error
    return CopyReader(CopyStore(storage_path(url)))


def rows_of(results: Any) -> list[Any]:
    """Return the results of a mapped task, without those that do not exist."""
    # A slice: at the end of an iteration, Airflow 3 logs that it did not find another XCom.
    return [row for row in (results or ())[:] if row]
