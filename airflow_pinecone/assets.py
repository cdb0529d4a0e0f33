"""The Asset of an index's backups. It can schedule DAGs, which read the details of a backup from its events.

In Airflow 2, an Asset is a Dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, urlsplit

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_pinecone.api.models import covers_writes_until
from airflow_pinecone.common.inputs import validate_index_name
from airflow_pinecone.errors import PineconeInputError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.api.models import BackupModel

__all__ = ["backup_asset"]

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

    Add it to the ``outlets`` of a CreateBackupOperator, and use it as the ``schedule`` of DAGs that run after each
    backup. If the operator is mapped or its ``index_name`` is a template, add an AssetAlias to the ``outlets`` instead:
    the operator updates this asset of its index through the alias.

    Args:
        index_name: The index. It cannot be a template, because Airflow has to know its assets before a run.

    Returns:
        The Asset ``pinecone://INDEX/backups``.

    Raises:
        PineconeInputError: The name is invalid. This is a ValueError.
    """
    return Asset(uri=backups_uri(validate_index_name(index_name)))


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
        elif isinstance(outlet, Asset):
            if _is_of_backups(outlet.uri) and (asset is None or outlet.uri != asset.uri):
                warn(
                    "The event of %s has no details, because backup %s is of index %s. If the task is mapped or its "
                    "index_name is a template, use an AssetAlias in its outlets.",
                    outlet.uri,
                    facts["backup_id"],
                    source,
                )
            else:
                context["outlet_events"][outlet].extra.update(facts)


def _asset_of(index_name: Any) -> Asset | None:
    try:
        return backup_asset(index_name)
    except PineconeInputError:
        return None


def _is_of_backups(uri: str) -> bool:
    """Return whether a URI is that of the backups of any index."""
    parts = urlsplit(uri)
    return parts.scheme == SCHEME and parts.path == "/backups"
