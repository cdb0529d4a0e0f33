"""The Asset of an index's backups: DAGs are scheduled by it, and read the backup's facts from its events.

On Airflow 2 an Asset is a Dataset.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

from airflow.providers.common.compat.sdk import Asset

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

SCHEME = "pinecone"
# What an event says of a backup. Not its description: that is free text.
_FACTS = (
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
    """Make the Asset of an index's backups.

    Put it among the ``outlets`` of a CreateBackupOperator, and DAGs that are scheduled by it run after each backup.

    Args:
        index_name: The index; not templated, as Airflow knows its assets before any run.

    Returns:
        The Asset ``pinecone://INDEX/backups``.

    Raises:
        ValueError: This cannot be the name of an index.
    """
    if not (isinstance(index_name, str) and re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?", index_name)):
        raise ValueError(f"{index_name!r} cannot be the name of an index: 1 to 45 of a-z, 0-9 and -, not templated")
    return Asset(uri=f"{SCHEME}://{index_name}/backups")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Normalize an Asset URI; Airflow calls this for every ``pinecone://`` URI of any DAG.

    Args:
        uri: The URI in parts. Its path may be any: others name more than backups.

    Returns:
        The same, with the index name in lower case.

    Raises:
        ValueError: It names no index, or holds a user or a password, which Airflow would store.
    """
    if uri.username is not None or uri.password is not None:
        raise ValueError(f"URI format {SCHEME}:// must not contain a user or a password")
    if not uri.netloc:
        raise ValueError(f"URI format {SCHEME}:// must contain the name of an index, such as {SCHEME}://docs/backups")
    return uri._replace(netloc=uri.netloc.lower())


def fill_events(context: Context, outlets: Iterable[Any], backup: Mapping[str, Any]) -> None:
    """Fill the event of every Asset among the outlets of a task with a backup's facts.

    Args:
        context: The task's context.
        outlets: The task's outlets. An AssetAlias, or what is no Asset at all, is left alone.
        backup: The backup. A fact that it does not have becomes None.
    """
    for outlet in outlets:
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra.update({fact: backup.get(fact) for fact in _FACTS})
