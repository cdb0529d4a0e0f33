"""The datasets of OpenLineage. Only Airflow's OpenLineage provider uses this module.

An index is the dataset ``INDEX``, and its backups are the dataset ``INDEX/backups``. Their namespace is ``pinecone``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.openlineage.facet import Dataset
from airflow.providers.openlineage.extractors import OperatorLineage

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset

_NAMESPACE = "pinecone"


def index_dataset(index_name: str) -> Dataset:
    """Return the dataset of an index."""
    return Dataset(namespace=_NAMESPACE, name=index_name)


def backups_dataset(index_name: str) -> Dataset:
    """Return the dataset of the backups of an index, which is also that of ``backup_asset(index_name)``."""
    return Dataset(namespace=_NAMESPACE, name=f"{index_name}/backups")


def asset_dataset(asset: Asset, lineage_context: Any) -> Dataset:
    """Convert an Asset with a ``pinecone://`` URI. Airflow's OpenLineage provider calls this."""
    parts = urlsplit(asset.uri)
    return Dataset(namespace=_NAMESPACE, name=f"{parts.netloc}{parts.path}")


def lineage(inputs: list[Dataset], outputs: list[Dataset]) -> OperatorLineage[Dataset, Any]:
    """Return the lineage of a task, from what it has read to what it has written."""
    return OperatorLineage(inputs=inputs, outputs=outputs)
