"""What may stand in a request's body, and what the published description makes of it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from airflow_pinecone.emulator.errors import ApiError

_CANNOT_READ = "Failed to deserialize the JSON body into the target type: "
_INDEX_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?")
_METRICS = ("cosine", "euclidean", "dotproduct")
_CLOUDS = ("gcp", "aws", "azure")


def read_object(body: bytes, content_type: str) -> dict[str, Any]:
    """Read a request's body.

    Args:
        body: The bytes that were sent.
        content_type: The request's Content-Type.

    Returns:
        The JSON object in it.

    Raises:
        ApiError: 400 when it is not declared to be JSON, 422 when it is not a JSON object.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise ApiError(400, "Bad request. Expected a request with Content-Type: application/json.")
    try:
        value = json.loads(body)
    except ValueError as error:
        raise ApiError(422, _CANNOT_READ + str(error)) from None
    if not isinstance(value, dict):
        raise ApiError(422, _CANNOT_READ + "expected an object")
    return value


def backup_request(body: dict[str, Any]) -> dict[str, Any]:
    """Return the name and description for a new backup, each if given."""
    return {name: _typed(body, name, str) for name in ("name", "description") if name in body}


def restore_request(body: dict[str, Any]) -> dict[str, Any]:
    """Return name, tags and deletion protection for a new index; 400 when a value is not allowed."""
    index = {"name": _index_name(body)}
    return index | _protection(body) | _tags(body)


def index_request(body: dict[str, Any]) -> dict[str, Any]:
    """Return the index that a request to create one asks for, as the API shows it."""
    spec = _spec(_required(body, "spec", dict))
    model = {"name": _index_name(body), "spec": spec} | _protection(body) | _tags(body)
    sparse = _one_of(body, "vector_type", ("dense", "sparse"), "dense") == "sparse"
    model["vector_type"] = "sparse" if sparse else "dense"
    model["metric"] = _one_of(body, "metric", _METRICS, "dotproduct" if sparse else "cosine")
    model["dimension"] = _typed(body, "dimension", int) if "dimension" in body else None
    if sparse != (model["dimension"] is None):
        raise ApiError(400, "A dense index needs a dimension, a sparse index has none.")
    if sparse and model["metric"] != "dotproduct":
        raise ApiError(400, "The metric of a sparse index must be dotproduct.")
    if not sparse and not 1 <= model["dimension"] <= 20000:
        raise ApiError(400, "The dimension must be from 1 to 20000.")
    return model


def configure_request(body: dict[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request to configure an index changes in its `model`; a tag set to "" is taken away."""
    if "embed" in body:
        raise ApiError(501, "The emulator does not emulate integrated embedding (embed).")
    changes = _protection(body) | _tags(body)
    if "tags" in changes:
        tags = {**model["tags"], **changes["tags"]}
        changes["tags"] = {name: value for name, value in tags.items() if value != ""}
    if "spec" in body:
        kind, settings = _only(_typed(body, "spec", dict))
        if kind not in model["spec"]:
            raise ApiError(400, f"The index is not of the kind {kind}.")
        if kind == "pod":
            settings = {name: settings[name] for name in ("replicas", "pod_type") if name in settings}
        elif "read_capacity" in settings:
            settings = _read_capacity(settings)
        changes["spec"] = {kind: {**model["spec"][kind], **settings}}
    return changes


def _spec(spec: dict[str, Any]) -> dict[str, Any]:
    kind, settings = _only(spec)
    if kind == "pod":
        _required(settings, "environment", str)
        _required(settings, "pod_type", str)
        return {kind: {"pods": 1, "replicas": 1, "shards": 1} | settings}
    if kind == "byoc":
        _required(settings, "environment", str)
    else:
        cloud, region = _required(settings, "cloud", str), _required(settings, "region", str)
        if cloud not in _CLOUDS:
            raise ApiError(404, f"Resource cloud: {cloud} region: {region} not found.")
    return {kind: settings | _read_capacity(settings)}


def _only(spec: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if len(spec) != 1 or not set(spec) <= {"serverless", "pod", "byoc"}:
        raise ApiError(422, _CANNOT_READ + "expected one of serverless, pod, byoc")
    kind = next(iter(spec))
    return kind, _typed(spec, kind, dict)


def _read_capacity(settings: dict[str, Any]) -> dict[str, Any]:
    capacity = _typed(settings, "read_capacity", dict) if "read_capacity" in settings else {"mode": "OnDemand"}
    if _required(capacity, "mode", str) == "Dedicated":
        _required(capacity, "dedicated", dict)
    return {"read_capacity": {**capacity, "status": {"state": "Ready"}}}


def _index_name(body: dict[str, Any]) -> str:
    name: str = _required(body, "name", str)
    if not _INDEX_NAME.fullmatch(name):
        raise ApiError(
            400,
            f"Index name {name!r} must be 1-45 characters long, start and end with an alphanumeric character"
            ", and consist only of lower case alphanumeric characters or '-'.",
        )
    return name


def _protection(body: dict[str, Any]) -> dict[str, Any]:
    key = "deletion_protection"
    return {key: _one_of(body, key, ("disabled", "enabled"), "")} if key in body else {}


def _tags(body: dict[str, Any]) -> dict[str, Any]:
    if "tags" not in body:
        return {}
    tags = _typed(body, "tags", dict)
    for name in tags:
        _typed(tags, name, str)
    return {"tags": tags}


def _one_of(body: dict[str, Any], name: str, allowed: tuple[str, ...], default: str) -> str:
    value: str = _typed(body, name, str) if name in body else default
    if value not in allowed:
        raise ApiError(400, f"The {name} must be one of {', '.join(allowed)}, not {value!r}.")
    return value


def _required(body: dict[str, Any], name: str, kind: type) -> Any:
    if name not in body:
        raise ApiError(422, f"{_CANNOT_READ}missing field `{name}`")
    return _typed(body, name, kind)


def _typed(body: dict[str, Any], name: str, kind: type) -> Any:
    value = body[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ApiError(422, f"{_CANNOT_READ}{name}: invalid type")
    return value
