"""Validation of request bodies, with the rules and defaults of the published description."""

import json
import re
from collections.abc import Mapping
from typing import Any

from airflow_pinecone.emulator.errors import ApiError

_INVALID_BODY = "Failed to deserialize the JSON body into the target type: "
# A value that is nested deeper could exceed Python's recursion limit when it is copied or encoded.
_MAX_DEPTH = 128
_INDEX_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?")
_METRICS = ("cosine", "euclidean", "dotproduct")
_CLOUDS = ("gcp", "aws", "azure")


def parse_json(content: bytes) -> Any:
    """Parse JSON as strictly as the service. Raises ValueError also for NaN, infinity and half of a surrogate pair."""
    try:
        value = json.loads(content.decode())
        _check_depth(value)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeError as error:
        raise ValueError(f"invalid Unicode: {error}") from None
    except RecursionError:
        raise ValueError("recursion limit exceeded") from None
    return value


def check_index_name(name: str) -> None:
    """Raise ApiError 400 if the name of an index is invalid."""
    if not _INDEX_NAME.fullmatch(name):
        raise ApiError(
            400,
            f"Index name {name!r} must be 1-45 characters long, start and end with an alphanumeric character"
            ", and consist only of lower case alphanumeric characters or '-'.",
        )


def read_object(content: bytes, content_type: str) -> dict[str, Any]:
    """Return the JSON object in a request body. Raises ApiError 400 or 422 if there is none."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise ApiError(400, "Bad request. Expected a request with Content-Type: application/json.")
    try:
        value = parse_json(content)
    except ValueError as error:
        raise ApiError(422, _INVALID_BODY + str(error)) from None
    if not isinstance(value, dict):
        raise ApiError(422, _INVALID_BODY + "expected an object")
    return value


def parse_create_backup(body: dict[str, Any]) -> dict[str, Any]:
    """Return the name and the description of a new backup; both are optional."""
    return {name: _typed(body, name, str) for name in ("name", "description") if name in body}


def parse_create_index_from_backup(body: dict[str, Any]) -> dict[str, Any]:
    """Return the name, tags and deletion protection of the index that a backup is restored into."""
    return {"name": _index_name(body)} | _deletion_protection(body) | _tags(body)


def parse_create_index(body: dict[str, Any]) -> dict[str, Any]:
    """Return the model of a new index, with defaults filled in."""
    spec = _spec(_required(body, "spec", dict))
    model = {"name": _index_name(body), "spec": spec} | _deletion_protection(body) | _tags(body)
    sparse = _one_of(body, "vector_type", ("dense", "sparse"), "dense") == "sparse"
    model["vector_type"] = "sparse" if sparse else "dense"
    model["metric"] = _one_of(body, "metric", _METRICS, "dotproduct" if sparse else "cosine")
    model["dimension"] = _typed(body, "dimension", int) if "dimension" in body else None
    if sparse != (model["dimension"] is None):
        raise ApiError(400, "A dense index requires a dimension. A sparse index must not have one.")
    if sparse and model["metric"] != "dotproduct":
        raise ApiError(400, "The metric of a sparse index must be dotproduct.")
    if not sparse and not 1 <= model["dimension"] <= 20000:
        raise ApiError(400, "The dimension must be from 1 to 20000.")
    return model


def parse_configure_index(body: dict[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an index's model that a request to configure the index changes.

    A tag with the value "" is removed, as in the service.
    """
    if "embed" in body:
        raise ApiError(501, "The emulator does not emulate integrated embedding (embed).")
    changes = _deletion_protection(body) | _tags(body)
    if "tags" in changes:
        tags = {**model["tags"], **changes["tags"]}
        changes["tags"] = {name: value for name, value in tags.items() if value != ""}
    if "spec" in body:
        index_type, settings = _split_spec(_typed(body, "spec", dict))
        if index_type not in model["spec"]:
            raise ApiError(400, f"The index is not of type {index_type}.")
        if index_type == "pod":
            settings = {name: settings[name] for name in ("replicas", "pod_type") if name in settings}
        elif "read_capacity" in settings:
            settings = _read_capacity(settings)
        changes["spec"] = {index_type: {**model["spec"][index_type], **settings}}
    return changes


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH):
        containers = [item for item in level if isinstance(item, (dict, list))]
        level = [item for each in containers for item in (each.values() if isinstance(each, dict) else each)]
    if any(isinstance(item, (dict, list)) for item in level):
        raise ValueError("recursion limit exceeded")


def _spec(spec: dict[str, Any]) -> dict[str, Any]:
    index_type, settings = _split_spec(spec)
    if index_type == "pod":
        _required(settings, "environment", str)
        _required(settings, "pod_type", str)
        return {index_type: {"pods": 1, "replicas": 1, "shards": 1} | settings}
    if index_type == "byoc":
        _required(settings, "environment", str)
    else:
        cloud, region = _required(settings, "cloud", str), _required(settings, "region", str)
        if cloud not in _CLOUDS:
            raise ApiError(404, f"Resource cloud: {cloud} region: {region} not found.")
    return {index_type: settings | _read_capacity(settings)}


def _split_spec(spec: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the index type (serverless, pod or byoc) and its settings."""
    if len(spec) != 1 or not set(spec) <= {"serverless", "pod", "byoc"}:
        raise ApiError(422, _INVALID_BODY + "expected one of serverless, pod, byoc")
    index_type = next(iter(spec))
    return index_type, _typed(spec, index_type, dict)


def _read_capacity(settings: dict[str, Any]) -> dict[str, Any]:
    capacity = _typed(settings, "read_capacity", dict) if "read_capacity" in settings else {"mode": "OnDemand"}
    if _required(capacity, "mode", str) == "Dedicated":
        _required(capacity, "dedicated", dict)
    return {"read_capacity": {**capacity, "status": {"state": "Ready"}}}


def _index_name(body: dict[str, Any]) -> str:
    name: str = _required(body, "name", str)
    check_index_name(name)
    return name


def _deletion_protection(body: dict[str, Any]) -> dict[str, Any]:
    key = "deletion_protection"
    return {key: _one_of(body, key, ("disabled", "enabled"), "disabled")} if key in body else {}


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


def _required(body: dict[str, Any], name: str, expected_type: type) -> Any:
    if name not in body:
        raise ApiError(422, f"{_INVALID_BODY}missing field `{name}`")
    return _typed(body, name, expected_type)


def _typed(body: dict[str, Any], name: str, expected_type: type) -> Any:
    value = body[name]
    # bool is a subclass of int in Python, but not in JSON.
    if not isinstance(value, expected_type) or isinstance(value, bool):
        raise ApiError(422, f"{_INVALID_BODY}{name}: invalid type")
    return value
