"""The datasets of OpenLineage. Only Airflow's OpenLineage provider calls this module.

An index is the dataset ``INDEX``, and its backups are the dataset ``INDEX/backups``. Their namespace is ``pinecone``.

Airflow imports this module when a DAG file creates an asset, also without OpenLineage. So the functions import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.common.compat.sdk import Asset
    from airflow.providers.openlineage.extractors import OperatorLineage


def index_dataset(index_name: str) -> Dataset:
    """Return the dataset of an index."""
    return _dataset(index_name)


def backups_dataset(index_name: str) -> Dataset:
    """Return the dataset of the backups of an index, which is also that of ``backup_asset(index_name)``."""
    return _dataset(f"{index_name}/backups")


def asset_dataset(asset: Asset, lineage_context: Any) -> Dataset:
    """Convert an Asset with a ``pinecone://`` URI. Airflow's OpenLineage provider calls this."""
    parts = urlsplit(asset.uri)
    return _dataset(f"{parts.netloc}{parts.path}")


def lineage(inputs: list[Dataset], outputs: list[Dataset]) -> OperatorLineage[Dataset, Any]:
    """Return the lineage of a task, from what it has read to what it has written."""
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(inputs=inputs, outputs=outputs)


def _dataset(name: str) -> Dataset:
    from airflow.providers.common.compat.openlineage.facet import Dataset

    return Dataset(namespace="pinecone", name=name)
