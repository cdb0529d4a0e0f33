"""The two shapes of an index: dimension and spec, or schema and deployment.

The emulator keeps an index in the shape of API version 2025-10. A document index, which has fields of its own, also has
its `schema`. These functions convert to and from the shape of 2026-07.
"""

import copy
from typing import Any, NamedTuple

Model = dict[str, Any]

# The reserved fields of an index that the vectors API serves.
DENSE_FIELD, SPARSE_FIELD = "_values", "_sparse_values"
READY_ON_DEMAND = {"mode": "OnDemand", "status": {"state": "Ready"}}


class Location(NamedTuple):
    """Where an index is."""

    cloud: str
    region: str


def location(spec: Model) -> Location:
    """Return the cloud and the region of an index."""
    if "serverless" in spec:
        return Location(spec["serverless"]["cloud"], spec["serverless"]["region"])
    if "byoc" in spec:
        cloud, _, region = spec["byoc"]["environment"].partition("-")
        return Location(cloud, region)
    return Location("aws", spec["pod"]["environment"])


def metadata_schema(spec: Model) -> Model | None:
    """Return the metadata fields that were configured for filtering, or None."""
    [settings] = spec.values()
    schema: Model | None = settings.get("schema")
    return schema


def typed_schema(model: Model) -> Model:
    """Return the schema of an index with typed fields."""
    if "schema" in model:
        schema: Model = copy.deepcopy(model["schema"])
        return schema
    fields: Model = {}
    if "dimension" in model:
        fields[DENSE_FIELD] = {"type": "dense_vector", "dimension": model["dimension"], "metric": model["metric"]}
    # A dense index can store sparse values, too.
    fields[SPARSE_FIELD] = {"type": "sparse_vector"}
    for name, settings in ((metadata_schema(model["spec"]) or {}).get("fields") or {}).items():
        fields[name] = {"filterable": settings.get("filterable", True)}
    return {"fields": fields}


def has_full_text(model: Model) -> bool:
    """Return whether an index has fields for full-text search."""
    return any("full_text_search" in settings for settings in typed_schema(model)["fields"].values())


def deployment(spec: Model) -> Model:
    """Return the deployment of an index."""
    if "serverless" in spec:
        return {"deployment_type": "managed", **location(spec)._asdict()}
    if "byoc" in spec:
        return {"deployment_type": "byoc", "environment": spec["byoc"]["environment"]}
    pod = {name: value for name, value in spec["pod"].items() if name in {"environment", "pod_type"}}
    sizes = {name: spec["pod"].get(name, 1) for name in ("replicas", "shards")}
    return {"deployment_type": "pod", **pod, **sizes}


def read_capacity(spec: Model) -> Model | None:
    """Return the read capacity of an index, or None for a pod-based index."""
    if "pod" in spec:
        return None
    [settings] = spec.values()
    capacity: Model = copy.deepcopy(settings.get("read_capacity", READY_ON_DEMAND))
    return capacity


def spec_of(deployment: Model, read_capacity: Model) -> Model:
    """Return the spec of an index with this deployment and read capacity."""
    settings = {name: value for name, value in deployment.items() if name != "deployment_type"}
    index_type = {"managed": "serverless", "byoc": "byoc", "pod": "pod"}[deployment["deployment_type"]]
    return {index_type: settings if index_type == "pod" else {**settings, "read_capacity": read_capacity}}


def vector_settings(fields: Model) -> Model:
    """Return the dimension, the metric and the vector type of an index with these fields.

    An index without vectors has no such settings. The versions before 2026-07 show it like a sparse index.
    """
    for settings in fields.values():
        if settings.get("type") == "dense_vector":
            return {"vector_type": "dense", "metric": settings["metric"], "dimension": settings["dimension"]}
    return {"vector_type": "sparse", "metric": "dotproduct", "dimension": None}


def index_of(fields: Model) -> Model:
    """Return fields of an index in the shape that the emulator keeps. They may have either shape, or a mix of both."""
    model = dict(fields)
    if "deployment" in model or "read_capacity" in model:
        default = {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"}
        capacity = model.pop("read_capacity", READY_ON_DEMAND)
        model["spec"] = spec_of(model.pop("deployment", default), copy.deepcopy(capacity))
    if "schema" in model:
        model = {**vector_settings(model["schema"]["fields"]), **model}
        if set(model["schema"]["fields"]) <= {DENSE_FIELD, SPARSE_FIELD}:
            del model["schema"]
    return model
