"""How to create an index like another one: the body of the request, from an index or a backup of any API version."""

from __future__ import annotations

from typing import Any, NamedTuple

from airflow_pinecone.api.models import BackupModel, IndexModel, dimension_of, document_fields, is_pod_based, metric_of
from airflow_pinecone.common.inputs import validate_index_name, validate_tags
from airflow_pinecone.common.text import explain, one_line
from airflow_pinecone.errors import PineconeInputError

# Since this version, an index has a schema and a deployment. `unstable` sorts after it, too.
_SCHEMA_VERSION = "2026-07"
_DENSE, _SPARSE = "_values", "_sparse_values"


class VectorSettings(NamedTuple):
    """What an index stores, and how it compares it. None of this can be changed later.

    Attributes:
        vector_type: ``dense`` or ``sparse``.
        dimension: The number of dense values of a record; None for a sparse index.
        metric: The metric.
    """

    vector_type: str
    dimension: int | None
    metric: str

    def __str__(self) -> str:
        """Return the settings as words, such as ``dense, 1536 dimensions, cosine``."""
        dimensions = [] if self.dimension is None else [f"{self.dimension} dimensions"]
        return ", ".join([self.vector_type, *dimensions, self.metric])


def vector_settings(model: IndexModel | BackupModel, what: str) -> VectorSettings:
    """Return the settings of an index, or of the index of a backup, as any API version shows them.

    Args:
        model: The index or the backup.
        what: What the settings are needed for, as the first line of a message.

    Raises:
        PineconeInputError: It is pod-based, a document index or an integrated index, or its settings are unknown.
    """
    index: Any = model
    if is_pod_based(index):
        raise _refused(what, "it is pod-based, and Pinecone offers pods no longer", "Migrate it to serverless.")
    if embedding := embedding_of(index):
        raise _refused(
            what,
            f"the model {embedding} of Pinecone embeds its texts, and records with values may not be written to it",
            "Create an index without a model yourself, and import into it with into_existing=True.",
        )
    if document_fields(index) is not None:
        raise _refused(
            what, "it is a document index, whose records have no values", "Use a backup of Pinecone for this index."
        )
    fields, dimension, metric = _fields_of(index), dimension_of(index), metric_of(index)
    if dimension is not None and metric is not None:
        return VectorSettings("dense", dimension, metric)
    is_sparse = (
        index.get("vector_type") == "sparse"
        or (_SPARSE in fields and _DENSE not in fields)
        # Before version 2026-07, a backup has no vector type.
        or ("backup_id" in index and dimension is None and metric == "dotproduct")
    )
    if is_sparse and dimension is None:
        return VectorSettings("sparse", None, "dotproduct")
    raise _refused(what, "its dimension or its metric is unknown", "Create the index yourself.")


def create_index_body(
    model: IndexModel | BackupModel,
    *,
    name: str,
    api_version: str,
    cloud: str | None = None,
    region: str | None = None,
    tags: dict[str, str] | None = None,
    deletion_protection: str | None = None,
) -> dict[str, Any]:
    """Return the body of a request that creates a serverless index like another one.

    The dimension, the metric, the vector type and the metadata fields that are indexed stay. A read capacity is not
    copied: the new index is on demand.

    Args:
        model: The index, or a backup of it, as any version of the API returned it.
        name: The name of the new index.
        api_version: The version of the API that gets the request.
        cloud: The cloud of the new index; None for that of the model.
        region: The region of the new index; None for that of the model.
        tags: The tags of the new index. Those of the model are not copied.
        deletion_protection: ``enabled`` or ``disabled``; None is disabled.

    Returns:
        The body, in the shape of the version.

    Raises:
        PineconeInputError: The index cannot be created like the model; the text says why.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/create_index
    """
    what = f"Could not create index {validate_index_name(name)}."
    index: Any = model
    settings = vector_settings(model, what)
    if index.get("cmek_id"):
        raise _refused(
            what,
            "the original is encrypted with a key of yours, and the new index would not be",
            "Create the index yourself, and import into it with into_existing=True.",
        )
    cloud, region = _location(index, cloud, region, what)
    metadata = _metadata_fields(index)
    body: dict[str, Any] = {"name": name}
    if api_version >= _SCHEMA_VERSION:
        if metadata:
            raise _refused(
                what,
                f"only some metadata fields of the original are indexed, which version {api_version} cannot create",
                'Set {"api_version": "2026-04"} in the extra field of the connection.',
            )
        dense = {"type": "dense_vector", "dimension": settings.dimension, "metric": settings.metric}
        field = {_SPARSE: {"type": "sparse_vector"}} if settings.dimension is None else {_DENSE: dense}
        body["schema"] = {"fields": field}
        body["deployment"] = {"deployment_type": "managed", "cloud": cloud, "region": region}
    else:
        serverless: dict[str, Any] = {"cloud": cloud, "region": region}
        if metadata:
            serverless["schema"] = {"fields": metadata}
        body |= {"vector_type": settings.vector_type, "metric": settings.metric, "spec": {"serverless": serverless}}
        if settings.dimension is not None:
            body["dimension"] = settings.dimension
    if validate_tags(tags):
        body["tags"] = dict(tags or {})
    if deletion_protection is not None:
        body["deletion_protection"] = deletion_protection
    return body


def _location(index: Any, cloud: str | None, region: str | None, what: str) -> tuple[str, str]:
    """Return the cloud and the region of a new index."""
    spec, deployment = _object(index, "spec"), _object(index, "deployment")
    places = [_object(spec, "serverless"), deployment, index]
    place: Any = next((each for each in places if each.get("cloud") and each.get("region")), {})
    if cloud is not None and region is None and cloud != place.get("cloud"):
        raise _refused(what, f"the region in the cloud {one_line(cloud)} is unknown", "Set region, too.")
    cloud, region = cloud or place.get("cloud"), region or place.get("region")
    if not (isinstance(cloud, str) and isinstance(region, str)):
        why = "the original is not serverless" if spec or deployment else "the cloud and the region are unknown"
        raise _refused(what, why, "Set cloud and region, such as aws and us-east-1.")
    return cloud, region


def embedding_of(index: Any) -> str:
    """Return the name of the model that embeds the texts of an index; empty if there is none."""
    if embed := _object(index, "embed"):
        return one_line(embed.get("model") or "unknown")
    models = [field.get("model") for field in _fields_of(index).values() if field.get("type") == "semantic_text"]
    return one_line(models[0] or "unknown") if models else ""


def _metadata_fields(index: Any) -> dict[str, Any]:
    """Return the metadata fields that are indexed; empty if all are."""
    fields = _fields_of(index) | _fields_of(_object(_object(index, "spec"), "serverless"))
    return {name: {"filterable": True} for name, field in fields.items() if field.get("filterable") is True}


def _fields_of(holder: Any) -> dict[str, dict[str, Any]]:
    fields = _object(_object(holder, "schema"), "fields")
    return {name: field for name, field in fields.items() if isinstance(field, dict)}


def _object(holder: Any, field: str) -> dict[str, Any]:
    value = holder.get(field)
    return value if isinstance(value, dict) else {}


def _refused(what: str, why: str, advice: str) -> PineconeInputError:
    return PineconeInputError(explain(what, why, advice))
