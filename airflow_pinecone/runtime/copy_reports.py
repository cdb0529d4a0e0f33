"""Write and read the reports about the verifications of copies."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from airflow_pinecone.api.models import parse_time
from airflow_pinecone.common.text import explain, show_url
from airflow_pinecone.copying.store import CopyStore
from airflow_pinecone.errors import ConnectionNotFound, CopyFailed, CopyRefused
from airflow_pinecone.rules.copied import copy_facts
from airflow_pinecone.rules.copy_format import MANIFEST, InvalidCopy, encode, parse_manifest
from airflow_pinecone.rules.copy_retention import FoundCopy
from airflow_pinecone.rules.report import CopyFacts, CopySource, IndexCopies
from airflow_pinecone.runtime.copies import copy_store

log = logging.getLogger(__name__)

FORMAT, KIND = 1, "airflow-pinecone-verified-copy"
_FOLDER = "copy/verified"
LATEST = f"{_FOLDER}/latest.json"
# The folder of the copies of an index has its id, which only a backup tells.
_WHY_NO_ID = "the id of the index is unknown, because it has no backup that tells it"
_THREADS = 8
_OLDEST = datetime.min.replace(tzinfo=UTC)


def read_copies(
    destination: Any, sources: Mapping[str, CopySource], *, check: Callable[[], object] = lambda: None
) -> dict[str, IndexCopies]:
    """Read the newest copies of some indexes. This does not fail: the result says which are unknown, and why.

    Some indexes are read at the same time: each one takes a few requests, one after the other.

    Args:
        destination: The folder to which the exports write the copies.
        sources: The indexes, by their names.
        check: Called between the requests, in several threads. What it raises is not caught.
    """
    check()
    try:
        store = copy_store(destination)
    except (CopyFailed, ConnectionNotFound) as error:
        return dict.fromkeys(sources, _unreadable(destination, error))

    def read(name: str) -> IndexCopies:
        check()
        try:
            newest, damaged = _newest(store, name, sources[name], check)
            facts = None if newest is None else _facts(newest, store)
            why_unknown = "" if facts or sources[name].index_id else _WHY_NO_ID
            return IndexCopies(facts, why_unknown, tuple(store.url_of(copy.path) for copy in damaged))
        except CopyFailed as error:
            return _unreadable(destination, error)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="pinecone-copies") as threads:
        found = dict(zip(sources, threads.map(read, sources), strict=True))
    if any(copies.newest or copies.why_unknown not in ("", _WHY_NO_ID) for copies in found.values()):
        return found
    try:
        if store.exists():
            return found
    except CopyFailed as error:
        return dict.fromkeys(sources, _unreadable(destination, error))
    return dict.fromkeys(sources, IndexCopies(None, f"folder {show_url(destination)} does not exist"))


def _unreadable(destination: Any, error: CopyFailed | ConnectionNotFound) -> IndexCopies:
    # The text of another library can have anything, so only the log has it.
    log.warning("Could not read the copies in %s: %s", show_url(destination), error.reason)
    why = ": its connection was not found" if isinstance(error, ConnectionNotFound) else ""
    return IndexCopies(None, f"folder {show_url(destination)} could not be read{why}")


def _newest(
    store: CopyStore, index_name: str, source: CopySource, check: Callable[[], object]
) -> tuple[FoundCopy | None, list[FoundCopy]]:
    """Return the newest copy of an index that is not known to be damaged, and the newer ones that are.

    Not all manifests are read: those of the backups that exist are in the order of the backups.
    """
    folders = [f"{source.index_id}/{name}" for name in store.folders(source.index_id)] if source.index_id else []
    created = {f"{source.index_id}/{backup_id}": moment or _OLDEST for backup_id, moment in source.backups.items()}
    known = sorted((path for path in folders if path in created), key=created.__getitem__, reverse=True)
    live = sorted((name for name in store.folders(index_name) if name.startswith("live-")), reverse=True)

    damaged = []

    def copies(paths: Iterable[str]) -> Iterator[FoundCopy]:
        for path in paths:
            check()
            copy = _copy(store, path, index_name)
            if copy is not None and is_known_damaged(store, copy):
                damaged.append(copy)
            elif copy is not None:
                yield copy

    def time_of(copy: FoundCopy) -> datetime:
        return parse_time(copy.created_at) or _OLDEST

    newest = [next(copies(known), None), next(copies(f"{index_name}/{name}" for name in live), None)]
    found = [copy for copy in newest if copy] + list(copies(path for path in folders if path not in created))
    best = max(found, key=time_of, default=None)
    newer = [copy for copy in damaged if best is None or time_of(copy) > time_of(best)]
    return best, sorted(newer, key=time_of, reverse=True)


def _copy(store: CopyStore, path: str, index_name: str) -> FoundCopy | None:
    content = store.read(f"{path}/{MANIFEST}")
    try:
        manifest = None if content is None else parse_manifest(content)
    except InvalidCopy as error:
        log.warning("The manifest of copy %s is invalid: %s.", path, error)
        return None
    if content is None or manifest is None or manifest["index_name"] != index_name:
        return None
    return FoundCopy(path, manifest, sha256_of(content))


def _facts(copy: FoundCopy, destination: CopyStore) -> CopyFacts:
    return copy_facts(copy, destination.url_of(copy.path), read_verified(destination, copy.path, copy.manifest_sha256))


def is_known_damaged(destination: CopyStore, copy: FoundCopy) -> bool:
    """Return whether the last verification of a copy has failed.

    Args:
        destination: The folder of the copies.
        copy: The copy.

    Raises:
        CopyFailed: The store failed.
    """
    return is_failure(read_verified(destination, copy.path, copy.manifest_sha256))


def check_not_damaged(store: CopyStore, what: str) -> None:
    """Refuse a copy that has not passed its last verification.

    Args:
        store: The folder of the copy. It may have no manifest.
        what: What cannot be done, as the first line of the message.

    Raises:
        CopyRefused: It is damaged.
        CopyFailed: The store failed.
    """
    content = store.read(MANIFEST)
    if content is not None and is_failure(read_verified(store, "", sha256_of(content))):
        raise CopyRefused(
            explain(
                what,
                "the copy in the folder did not pass its last verification",
                "Use another copy, or export to another destination. If the files were repaired, verify it again.",
                f"Folder: {store.url}.",
            )
        )


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of a file, as the reports have it."""
    return hashlib.sha256(content).hexdigest()


def is_failure(report: Mapping[str, Any] | None) -> bool:
    """Return whether the report of a verification says that the copy is damaged."""
    return report is not None and report.get("level") == 0


def write_verified(
    store: CopyStore,
    verified: Mapping[str, Any],
    who: Mapping[str, Any],
    at: datetime,
    *,
    manifest_sha256: str,
    is_newest: bool = True,
) -> str:
    """Write the report of a verification, and return the name of its file.

    Args:
        store: The folder of the copy.
        verified: What was verified.
        who: The DAG, the run, the task and the seconds.
        at: When the verification ended.
        manifest_sha256: The SHA-256 of the file of the manifest.
        is_newest: Whether an audit and the page must believe this report. They do not if the last one has found damage
            that this verification could not see.

    Raises:
        CopyFailed: The store denied it, or failed.
    """
    about = {"verified_at": at.astimezone(UTC).isoformat(), "manifest_sha256": manifest_sha256}
    name = f"{_FOLDER}/{at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}.json"
    content = encode({"format": FORMAT, "kind": KIND, **verified, **who, **about})
    store.write(name, content)
    if is_newest:
        store.write(LATEST, content)
    return name


def read_verified(destination: CopyStore, path: str, manifest_sha256: str) -> dict[str, Any] | None:
    """Return the last report about a manifest; None if there is none that this release can read.

    Args:
        destination: The folder of the copies, or of one copy.
        path: The folder of the copy in it; empty for ``destination``.
        manifest_sha256: The SHA-256 of the file of the manifest. A report about another one says nothing.

    Raises:
        CopyFailed: The store failed.
    """
    content = destination.read(f"{path}/{LATEST}".lstrip("/"))
    try:
        report = None if content is None else json.loads(content)
    except ValueError:
        return None
    if not isinstance(report, dict):
        return None
    about = (FORMAT, KIND, manifest_sha256)
    return report if (report.get("format"), report.get("kind"), report.get("manifest_sha256")) == about else None
