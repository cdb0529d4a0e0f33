"""Validation of request bodies, with the rules and defaults of the published description."""

import json
import re
from collections.abc import Mapping
from typing import Any

from airflow_pinecone.emulator.errors import ApiError

INVALID_BODY = "Failed to deserialize the JSON body into the target type: "
# The largest number of 32 bits.
_MAX_NUMBER = 2**31 - 1
# A value that is nested deeper could exceed Python's recursion limit when it is copied or encoded.
_MAX_DEPTH = 128
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?")
METRICS = ("cosine", "euclidean", "dotproduct")
_READ_MODES = ("OnDemand", "Dedicated")
_DEDICATED: dict[str, Any] = {"node_type": "b1", "scaling": "Manual", "manual": {"replicas": 1, "shards": 1}}
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


def is_name(name: str) -> bool:
    """Return whether an index or, since version 2026-07, a backup can have this name."""
    return bool(_NAME.fullmatch(name))


def check_index_name(name: str) -> None:
    """Raise ApiError 400 if the name of an index is invalid."""
    if not is_name(name):
        raise ApiError(
            400,
            f"Index name {name!r} must be 1-45 characters long, start and end with an alphanumeric character"
            ", and consist only of lower case alphanumeric characters or '-'.",
        )


def check_cloud(cloud: str, region: str) -> None:
    """Raise ApiError 404 if the cloud of a new index is unknown."""
    if cloud not in _CLOUDS:
        raise ApiError(404, f"Resource cloud: {cloud} region: {region} not found.")


def check_dimension(dimension: int) -> None:
    """Raise ApiError 400 if the dimension of a dense index is out of range."""
    if not 1 <= dimension <= 20000:
        raise ApiError(400, "The dimension must be from 1 to 20000.")


def read_object(content: bytes, content_type: str) -> dict[str, Any]:
    """Return the JSON object in a request body. Raises ApiError 400 or 422 if there is none."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise ApiError(400, "Bad request. Expected a request with Content-Type: application/json.")
    try:
        value = parse_json(content)
    except ValueError as error:
        raise ApiError(422, INVALID_BODY + str(error)) from None
    if not isinstance(value, dict):
        raise ApiError(422, INVALID_BODY + "expected an object")
    return value


def parse_create_backup(body: dict[str, Any]) -> dict[str, Any]:
    """Return the name and the description of a new backup; both are optional."""
    return {name: typed(body, name, str) for name in ("name", "description") if name in body}


def parse_create_index_from_backup(body: dict[str, Any]) -> dict[str, Any]:
    """Return the name, tags and deletion protection of the index that a backup is restored into."""
    return {"name": index_name(body)} | deletion_protection(body) | tags(body)


def parse_create_index(body: dict[str, Any]) -> dict[str, Any]:
    """Return the model of a new index, with defaults filled in."""
    spec = _spec(required(body, "spec", dict))
    model = {"name": index_name(body), "spec": spec} | deletion_protection(body) | tags(body)
    sparse = one_of(body, "vector_type", ("dense", "sparse"), "dense") == "sparse"
    model["vector_type"] = "sparse" if sparse else "dense"
    model["metric"] = one_of(body, "metric", METRICS, "dotproduct" if sparse else "cosine")
    model["dimension"] = typed(body, "dimension", int) if "dimension" in body else None
    if sparse != (model["dimension"] is None):
        raise ApiError(400, "A dense index requires a dimension. A sparse index must not have one.")
    if sparse and model["metric"] != "dotproduct":
        raise ApiError(400, "The metric of a sparse index must be dotproduct.")
    if not sparse:
        check_dimension(model["dimension"])
    return model


def parse_configure_index(body: dict[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an index's model that a request to configure the index changes.

    A tag with the value "" is removed, as in the service.
    """
    if "embed" in body:
        raise ApiError(501, "The emulator does not emulate integrated embedding (embed).")
    changes = deletion_protection(body) | tags(body)
    if "tags" in changes:
        merged = {**model["tags"], **changes["tags"]}
        changes["tags"] = {name: value for name, value in merged.items() if value != ""}
    if "spec" in body:
        index_type, settings = _split_spec(typed(body, "spec", dict))
        if index_type not in model["spec"]:
            raise ApiError(400, f"The index is not of type {index_type}.")
        if index_type == "pod":
            settings = {
                name: value for name, value in _pod_settings(settings).items() if name in {"replicas", "pod_type"}
            }
        elif "read_capacity" in settings:
            settings = _read_capacity(settings, model["spec"][index_type].get("read_capacity"))
        else:
            settings = {}
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
        required(settings, "environment", str)
        required(settings, "pod_type", str)
        return {index_type: {"pods": 1, "replicas": 1, "shards": 1} | _pod_settings(settings)}
    if index_type == "byoc":
        shown = {"environment": required(settings, "environment", str)}
    else:
        shown = {"cloud": required(settings, "cloud", str), "region": required(settings, "region", str)}
        check_cloud(shown["cloud"], shown["region"])
        if "source_collection" in settings:
            shown["source_collection"] = typed(settings, "source_collection", str)
    return {index_type: shown | _metadata_schema(settings) | _read_capacity(settings)}


def _read_capacity(settings: dict[str, Any], current: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the read capacity as in `read_capacity`. Before version 2026-07, one on demand has no other fields."""
    capacity = settings.get("read_capacity")
    if isinstance(capacity, dict) and capacity.get("mode") == "OnDemand":
        refuse_unknown(capacity, {"mode"})
    return read_capacity(settings, current)


def _pod_settings(settings: dict[str, Any]) -> dict[str, Any]:
    types: dict[str, type] = {"environment": str, "pod_type": str, "source_collection": str}
    types |= dict.fromkeys(("pods", "replicas", "shards"), int)
    shown = {name: typed(settings, name, kind) for name, kind in types.items() if name in settings}
    if not all(1 <= value <= _MAX_NUMBER for value in shown.values() if isinstance(value, int)):
        raise ApiError(400, f"The numbers of pods, replicas and shards must be from 1 to {_MAX_NUMBER}.")
    return shown


def _metadata_schema(settings: dict[str, Any]) -> dict[str, Any]:
    if "schema" not in settings:
        return {}
    fields = required(typed(settings, "schema", dict), "fields", dict)
    for name in fields:
        flag(typed(fields, name, dict), "filterable", default=True)
    return {"schema": {"fields": fields}}


def _split_spec(spec: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the index type (serverless, pod or byoc) and its settings."""
    if len(spec) != 1 or not set(spec) <= {"serverless", "pod", "byoc"}:
        raise ApiError(422, INVALID_BODY + "expected one of serverless, pod, byoc")
    index_type = next(iter(spec))
    return index_type, typed(spec, index_type, dict)


def read_capacity(settings: dict[str, Any], current: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the read capacity in the settings of an index, with only the fields that a response has.

    A change of a dedicated read capacity keeps what it does not name of the `current` one.
    """
    capacity = typed(settings, "read_capacity", dict) if "read_capacity" in settings else {"mode": "OnDemand"}
    mode = required(capacity, "mode", str)
    if mode not in _READ_MODES:
        raise ApiError(400, f"The mode of the read capacity must be one of {', '.join(_READ_MODES)}, not {mode!r}.")
    ready = {"state": "Ready"}
    if mode == "OnDemand":
        return {"read_capacity": {"mode": mode, "status": ready}}
    given = required(capacity, "dedicated", dict)
    earlier = (current or {}).get("dedicated") or _DEDICATED
    manual = typed(given, "manual", dict) if "manual" in given else {}
    dedicated = {
        "node_type": typed(given, "node_type", str) if "node_type" in given else earlier["node_type"],
        "scaling": typed(given, "scaling", str) if "scaling" in given else earlier["scaling"],
        "manual": {n: typed(manual, n, int) if n in manual else earlier["manual"][n] for n in ("replicas", "shards")},
    }
    if not (0 <= dedicated["manual"]["replicas"] <= _MAX_NUMBER and 1 <= dedicated["manual"]["shards"] <= _MAX_NUMBER):
        raise ApiError(400, "The read capacity must have at least 0 replicas and 1 shard.")
    return {"read_capacity": {"mode": mode, "dedicated": dedicated, "status": ready}}


def index_name(body: dict[str, Any]) -> str:
    """Return the valid name of an index in a request."""
    name: str = required(body, "name", str)
    check_index_name(name)
    return name


def deletion_protection(body: dict[str, Any]) -> dict[str, Any]:
    """Return the deletion protection in a request, if it has one."""
    key = "deletion_protection"
    return {key: one_of(body, key, ("disabled", "enabled"), "disabled")} if key in body else {}


def tags(body: dict[str, Any]) -> dict[str, Any]:
    """Return the tags in a request, if it has some."""
    if "tags" not in body:
        return {}
    values = typed(body, "tags", dict)
    for name in values:
        typed(values, name, str)
    return {"tags": values}


def one_of(body: dict[str, Any], name: str, allowed: tuple[str, ...], default: str) -> str:
    """Return a text field that must have one of the allowed values; 400 otherwise."""
    value: str = typed(body, name, str) if name in body else default
    if value not in allowed:
        raise ApiError(400, f"The {name} must be one of {', '.join(allowed)}, not {value!r}.")
    return value


def required(body: dict[str, Any], name: str, expected_type: type) -> Any:
    """Return a field that a request must have; 422 if it is missing or has another type."""
    if name not in body:
        raise ApiError(422, f"{INVALID_BODY}missing field `{name}`")
    return typed(body, name, expected_type)


def typed(body: dict[str, Any], name: str, expected_type: type) -> Any:
    """Return a field of a request; 422 if it has another type."""
    value = body[name]
    # bool is a subclass of int in Python, but not in JSON.
    if not isinstance(value, expected_type) or isinstance(value, bool):
        raise ApiError(422, f"{INVALID_BODY}{name}: invalid type")
    return value


def refuse_unknown(body: dict[str, Any], known: set[str]) -> None:
    """Raise ApiError 422 if a request has a field that is not known."""
    unknown = sorted(set(body) - known)
    if unknown:
        raise ApiError(422, f"{INVALID_BODY}unknown field `{unknown[0]}`, expected one of {sorted(known)}")


def flag(body: dict[str, Any], name: str, *, default: bool = False) -> bool:
    """Return a field that is true or false; 422 if it is something else."""
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise ApiError(422, f"{INVALID_BODY}{name}: invalid type")
    return value
