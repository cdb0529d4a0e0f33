"""The folder of a copy in an object store, or on a disk. Airflow's ObjectStoragePath gives access to it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_pinecone.common.text import explain, one_line
from airflow_pinecone.errors import CopyFailed, CopyRefused
from airflow_pinecone.rules.copy_format import DELETED, MANIFEST


class CopyStore:
    """Read and write the files of one copy.

    A file is written in one piece, from a local file: a file that is opened for writing in an object store is
    published, truncated, if an error ends the writing. Nothing is renamed or deleted.

    Args:
        folder: The folder, an ObjectStoragePath.
    """

    def __init__(self, folder: Any) -> None:
        self.url = str(folder)
        self._fs = folder.fs
        self._root = _without_protocol(self.url)
        # By default, S3's file system has ten chunks of 50 MiB of a file in memory.
        self._put_options = {"max_concurrency": 1} if _protocol(self.url) in ("s3", "s3a") else {}
        # A listing that fsspec has cached may be older than a file.
        self._fs.invalidate_cache()

    def url_of(self, name: str) -> str:
        """Return the URL of a file."""
        return f"{self.url.rstrip('/')}/{name}"

    def exists(self) -> bool:
        """Return whether the folder exists. In an object store, a folder without files does not."""
        with self._errors("find", "the folder"):
            self._fs.invalidate_cache()
            return bool(self._fs.exists(self._root))

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file; None if there is none."""
        with self._errors("read", name):
            try:
                content: bytes = self._fs.cat_file(self._path(name))
            except FileNotFoundError:
                return None
            return content

    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes; None if there is none."""
        with self._errors("read", name):
            self._fs.invalidate_cache(self._parent(name))
            try:
                return int(self._fs.info(self._path(name))["size"])
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with tempfile.NamedTemporaryFile(prefix="pinecone-copy-") as file:
            file.write(content)
            file.flush()
            self.put(name, Path(file.name))

    def put(self, name: str, file: Path) -> None:
        """Upload a local file, and check that the size is the same."""
        with self._errors("write", name):
            if _is_local(self.url):
                # In an object store, this would create a bucket that does not exist.
                self._fs.makedirs(self._parent(name), exist_ok=True)
            self._fs.put_file(str(file), self._path(name), **self._put_options)
        size, expected = self.size(name), file.stat().st_size
        if size != expected:
            raise self._error("write", name, f"it has {size} bytes in the store, and {expected} were written")

    def download(self, name: str, file: Path) -> bool:
        """Download a file, and return whether there is one."""
        with self._errors("read", name):
            try:
                self._fs.get_file(self._path(name), str(file))
            except FileNotFoundError:
                return False
        return True

    def folders(self, name: str = "") -> list[str]:
        """Return the names of the folders in a folder, in their order."""
        return self._names(name, "directory")

    def files(self, name: str) -> list[str]:
        """Return the names of the files in a folder, in their order."""
        return self._names(name, "file")

    def _names(self, name: str, kind: str) -> list[str]:
        path = self._path(name) if name else self._root
        with self._errors("list", name or "the folder"):
            self._fs.invalidate_cache(path)
            try:
                rows = self._fs.ls(path, detail=True)
            except FileNotFoundError:
                return []
        names = (row["name"].rstrip("/").rpartition("/")[2] for row in rows if row["type"] == kind)
        return sorted(each for each in names if each)

    def has_files(self, name: str) -> bool:
        """Return whether there is a file in a folder, or in a folder below."""
        with self._errors("list", name):
            self._fs.invalidate_cache()
            try:
                rows = self._fs.find(self._path(name), detail=True)
            except FileNotFoundError:
                return False
            return any(row["type"] == "file" for row in rows.values())

    def delete(self, name: str) -> None:
        """Delete a file or a folder, if it exists. Check it after: S3's file system ignores that a file is denied."""
        with self._errors("delete", name):
            self._fs.invalidate_cache(self._parent(name))
            try:
                self._fs.rm(self._path(name), recursive=True)
            except FileNotFoundError:
                return

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _parent(self, name: str) -> str:
        return self._path(name).rpartition("/")[0]

    @contextmanager
    def _errors(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except CopyFailed:
            raise
        except Exception as error:  # Each store has errors of its own.
            raise self._error(verb, name, f"{type(error).__name__}: {one_line(error)}") from error

    def _error(self, verb: str, name: str, reason: str) -> CopyFailed:
        return CopyFailed(
            explain(
                f"Could not {verb} {name} of a copy.",
                reason,
                "Check the connection of the store and its rights. If no retry is left, clear the task group.",
                f"Folder: {self.url}.",
            ),
            reason=reason,
        )


def check_not_deleted(store: CopyStore, index_name: str) -> None:
    """Fail if a prune is deleting an earlier copy in a folder.

    Args:
        store: The folder.
        index_name: The index whose copy is to be written.

    Raises:
        CopyRefused: A prune is deleting it.
    """
    # If the store denied the deletion, the manifest is still there.
    if store.read(DELETED) is not None and store.read(MANIFEST) is None:
        raise CopyRefused(
            explain(
                f"Index {index_name} cannot be copied to this folder.",
                "a prune has begun to delete an earlier copy there",
                "Run the prune again, then clear the task group.",
                f"Folder: {store.url}.",
            )
        )


def _protocol(url: str) -> str:
    protocol, separator, _ = url.partition("://")
    return protocol if separator else "file"


def _is_local(url: str) -> bool:
    return _protocol(url) in ("file", "local")


def _without_protocol(url: str) -> str:
    """Return the path of a URL for the file system. In Airflow 2, paths have the id of the connection."""
    _, separator, rest = url.partition("://")
    if not separator:
        return url
    host, slash, path = rest.partition("/")
    host = host.rpartition("@")[2]
    return f"{slash}{path}" if _is_local(url) else f"{host}{slash}{path}"
