"""How tasks get a copy, and the results of mapped tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_pinecone.common.text import explain, one_line, show_value
from airflow_pinecone.copying.store import CopyStore
from airflow_pinecone.errors import ConnectionNotFound, CopyFailed, CopyRefused, PineconeInputError
from airflow_pinecone.runtime.airflow_versions import connection_of, storage_path

if TYPE_CHECKING:
    from airflow_pinecone.copying.read import CopyReader


def url_of_copy(copy: Any, name: str = "copy") -> str:
    """Return the URL of the folder of a copy, or of several.

    Args:
        copy: A URL, an ObjectStoragePath, or a dict with ``url``.
        name: The name of the parameter, for the message.

    Raises:
        PineconeInputError: It is none of them.
    """
    url = copy.get("url") if isinstance(copy, Mapping) else copy
    text = "" if url is None else str(url).rstrip("/")
    if "://" not in text or not text.isprintable():
        raise PineconeInputError(
            f"{name} must be the URL of a folder, or the result of an export, not {show_value(copy)}."
        )
    return text


def copy_store(url: Any) -> CopyStore:
    """Open the folder of a copy, or of several.

    Args:
        url: Its URL.

    Raises:
        ConnectionNotFound: Airflow did not find its connection.
        CopyRefused: The URL or its provider is invalid.
        CopyFailed: The folder cannot be opened; a retry can succeed.
    """
    try:
        folder = storage_path(url)
        conn_id = connection_of(folder)
        if conn_id:
            # Airflow itself only logs a warning, and uses the store without credentials.
            BaseHook.get_connection(conn_id)
        return CopyStore(folder)
    except AirflowNotFoundException as error:
        raise ConnectionNotFound(
            explain(
                "The folder of a copy cannot be opened.",
                f"Airflow did not find connection {one_line(conn_id)}",
                "It does not exist, or the secrets backend that has it cannot be reached.",
                f"Folder: {one_line(url)}.",
            )
        ) from error
    except Exception as error:  # Each store, and each version of Airflow, has errors of its own.
        is_final = isinstance(error, ImportError | ValueError)
        raise (CopyRefused if is_final else CopyFailed)(
            explain(
                "The folder of a copy cannot be opened.",
                f"{type(error).__name__}: {one_line(error)}",
                "Check the URL, its Airflow connection, and that the provider of the store is installed.",
                f"Folder: {one_line(url)}.",
            )
        ) from error


def check_packages() -> None:
    """Check that the packages of the extra ``copies`` are installed, or raise PineconeInputError."""
    try:
        import airflow_pinecone.copying.parquet  # noqa: F401
    except ImportError as error:
        raise PineconeInputError(
            explain(
                "A copy cannot be read or written.",
                f"package {error.name} is not installed",
                "Install airflow-pinecone[copies] on the workers.",
            )
        ) from error


def open_copy(url: str) -> CopyReader:
    """Return the reader of a copy.

    Args:
        url: The folder of the copy.

    Raises:
        PineconeInputError: A package is not installed.
        ConnectionNotFound, CopyRefused, CopyFailed: The folder cannot be opened.
    """
    check_packages()
    from airflow_pinecone.copying.read import CopyReader

    return CopyReader(copy_store(url))


def rows_of(results: Any) -> list[Any]:
    """Return the results of a mapped task, without those that do not exist."""
    # A slice: at the end of an iteration, Airflow 3 logs that it did not find another XCom.
    return [row for row in (results or ())[:] if row]
