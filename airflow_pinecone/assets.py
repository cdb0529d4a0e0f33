"""The Assets of an index: its backups, its restore tests, and its copies.

They can schedule DAGs, which read details from events.

In Airflow 2, an Asset is a Dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, urlsplit

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_pinecone.api.models import covers_writes_until
from airflow_pinecone.common.inputs import validate_index_name
from airflow_pinecone.common.text import explain
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.runtime.airflow_versions import is_asset_ref

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.api.models import BackupModel

__all__ = ["backup_asset", "copy_asset", "restore_test_asset"]

SCHEME = "pinecone"
# The fields of a backup that an event contains. The description is free text and is left out.
_FIELDS = (
    "backup_id",
    "name",
    "status",
    "record_count",
    "namespace_count",
    "size_bytes",
    "created_at",
    "source_index_name",
    "source_index_id",
)


def backup_asset(index_name: str) -> Asset:
    """Return the Asset of an index's backups.

    Add it to the ``outlets`` of the VerifyBackupOperator that checks each backup, and use it as the ``schedule`` of
    DAGs that run after it. If the index is only known when the task runs, add an AssetAlias to the ``outlets`` instead:
    the operator updates this asset of its index through the alias.

    Args:
        index_name: The index. It cannot be a template, because Airflow has to know its assets before a run.

    Returns:
        The Asset ``pinecone://INDEX/backups``.

    Raises:
        PineconeInputError: The name is invalid. This is a ValueError.
    """
    return Asset(uri=backups_uri(validate_index_name(index_name)))


def restore_test_asset(index_name: str) -> Asset:
    """Return the Asset of an index's restore tests. A test that has passed updates it.

    Args:
        index_name: The index. It cannot be a template, because Airflow has to know its assets before a run.

    Returns:
        The Asset ``pinecone://INDEX/restore-tests``.

    Raises:
        PineconeInputError: The name is invalid. This is a ValueError.
    """
    return Asset(uri=f"{SCHEME}://{validate_index_name(index_name)}/restore-tests")


def copy_asset(index_name: str) -> Asset:
    """Return the Asset of an index's copies outside of Pinecone. A complete copy updates it.

    Args:
        index_name: The index. It cannot be a template, because Airflow has to know its assets before a run.

    Returns:
        The Asset ``pinecone://INDEX/copies``.

    Raises:
        PineconeInputError: The name is invalid. This is a ValueError.
    """
    return Asset(uri=f"{SCHEME}://{validate_index_name(index_name)}/copies")


def backups_uri(index_name: str) -> str:
    """Return the URI of the Asset of an index's backups."""
    return f"{SCHEME}://{index_name}/backups"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Write the index name in lower case. Airflow calls this for each ``pinecone://`` URI.

    Any path is allowed, because other packages may use the same scheme.

    Raises:
        ValueError: The URI has no index name, or contains a user or a password, which Airflow would store.
    """
    if uri.username is not None or uri.password is not None:
        raise ValueError(f"URI format {SCHEME}:// must not contain a user or a password.")
    if not uri.netloc:
        raise ValueError(f"URI format {SCHEME}:// must contain the name of an index, such as {SCHEME}://docs/backups.")
    return uri._replace(netloc=uri.netloc.lower())


def check_outlets(task: Any, index_name: Any = None) -> None:
    """Check that a task can fill the events of its outlets.

    Args:
        task: An operator or a sensor of this package.
        index_name: The index that it backs up; None or a template if it is only known when the task runs.

    Raises:
        PineconeInputError: The event of the Asset of an index's backups would have no details.
    """
    own = _asset_of(index_name)
    for uri in (outlet_uri for outlet in task.outlets if _is_of_backups(outlet_uri := _uri_of(outlet))):
        what = f"Task {task.task_id} cannot have the asset {uri} in its outlets."
        if not task.fills_events:
            raise PineconeInputError(
                explain(
                    what,
                    f"{type(task).__name__} has no details of a backup for the event.",
                    "Add the asset to the outlets of the VerifyBackupOperator that checks the backup.",
                )
            )
        if own is not None and uri != own.uri:
            raise PineconeInputError(
                explain(
                    what,
                    f"It backs up index {index_name}, so the event would have no details.",
                    f'Use backup_asset("{index_name}"), or an AssetAlias if the task is mapped.',
                )
            )


def add_facts_to_events(
    context: Context, outlets: Iterable[Any], backup: Mapping[str, Any], warn: Callable[..., None]
) -> None:
    """Add the details of a backup to the asset events of a task.

    Through each AssetAlias among the outlets, an event of the Asset of the source index is added. The event of an Asset
    of another index's backups stays as it is. A missing field of the backup becomes None. The details also have
    ``covers_writes_until``, unless ``created_at`` is missing or invalid.
    """
    facts = {field: backup.get(field) for field in _FIELDS}
    covered = covers_writes_until(cast("BackupModel", backup))
    if covered is not None:
        # In the form of Pinecone's created_at.
        facts["covers_writes_until"] = f"{covered.replace(tzinfo=None).isoformat()}Z"
    source = backup.get("source_index_name")
    asset = _asset_of(source)
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            if asset is None:
                warn("The source index of backup %s is unknown, so %s gets no event.", facts["backup_id"], outlet.name)
            else:
                context["outlet_events"][outlet].add(asset, extra=dict(facts))
        elif isinstance(outlet, Asset) or is_asset_ref(outlet):
            uri = outlet.uri if isinstance(outlet, Asset) else _uri_of_ref(context, outlet, warn)
            if uri is not None and _is_of_backups(uri) and (asset is None or uri != asset.uri):
                warn(
                    "The event of %s has no details, because backup %s is of index %s. If the task is mapped or its "
                    "index_name is a template, use an AssetAlias in its outlets.",
                    uri,
                    facts["backup_id"],
                    source,
                )
            elif uri is not None:
                context["outlet_events"][outlet].extra.update(facts)


def add_restore_test_to_events(
    context: Context, outlets: Iterable[Any], record: Mapping[str, Any], warn: Callable[..., None]
) -> None:
    """Add the details of a passed restore test to the asset events of a task; see ``_add_details``."""
    facts = {
        "backup_id": record["backup"]["backup_id"],
        "index_name": record["index_name"],
        "verdict": record["verdict"],
        "sampled": record["sampled"],
        "records": record["read"]["records"],
        "namespaces": record["read"]["namespaces"],
        "compared": record["read"]["compared"],
        "started_at": record["started_at"],
        "ended_at": record["ended_at"],
    }
    _add_details(context, outlets, facts, restore_test_asset(record["index_name"]), "test", warn)


def add_copy_to_events(
    context: Context, outlets: Iterable[Any], copy: Mapping[str, Any], warn: Callable[..., None]
) -> None:
    """Add the details of a complete copy to the asset events of a task; see ``_add_details``."""
    _add_details(context, outlets, copy, copy_asset(copy["index_name"]), "copy", warn)


def _add_details(
    context: Context,
    outlets: Iterable[Any],
    facts: Mapping[str, Any],
    asset: Asset,
    what: str,
    warn: Callable[..., None],
) -> None:
    """Add details to the asset events of a task.

    Through each AssetAlias among the outlets, an event of the asset is added. The event of such an asset of another
    index stays as it is.
    """
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            context["outlet_events"][outlet].add(asset, extra=dict(facts))
            continue
        uri = _uri_of(outlet)
        if uri == asset.uri:
            context["outlet_events"][outlet].extra.update(facts)
        elif urlsplit(uri).scheme == SCHEME and urlsplit(uri).path == urlsplit(asset.uri).path:
            warn("The event of %s has no details, because the %s was of index %s.", uri, what, facts["index_name"])


def has_backups(outlet: Any) -> bool:
    """Return whether an outlet is an Asset of the backups of an index, or a reference to one by its URI."""
    return _is_of_backups(_uri_of(outlet))


def _uri_of(outlet: Any) -> str:
    """Return the URI of an Asset or of a reference to one. That is also its name, unless it has another one."""
    if not isinstance(outlet, Asset) and not is_asset_ref(outlet):
        return ""
    uri = str(getattr(outlet, "uri", "") or outlet.name)
    return Asset(uri=uri).uri if urlsplit(uri).scheme == SCHEME else uri


def _uri_of_ref(context: Context, ref: Any, warn: Callable[..., None]) -> str | None:
    """Return the URI of the Asset of a reference, which Airflow knows; None if Airflow does not find it."""
    try:
        key: Any = context["outlet_events"][ref].key
        return str(key.uri)
    except Exception as error:  # Airflow itself decides whether this fails the task.
        warn("The event of %s has no details, because Airflow did not find the asset. %s", ref, error)
        return None


def _asset_of(index_name: Any) -> Asset | None:
    try:
        return backup_asset(index_name)
    except PineconeInputError:
        return None


def _is_of_backups(uri: str) -> bool:
    """Return whether a URI is that of the backups of any index."""
    parts = urlsplit(uri)
    return parts.scheme == SCHEME and parts.path == "/backups"
