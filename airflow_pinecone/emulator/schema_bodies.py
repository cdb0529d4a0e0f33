"""Validation of the request bodies that differ in API version 2026-07."""

import itertools
from collections.abc import Mapping
from typing import Any

from airflow_pinecone.emulator import request_bodies as bodies
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.shapes import DENSE_FIELD, SPARSE_FIELD, index_of

_CREATE_INDEX = {"name", "deployment", "schema", "cmek_id", "read_capacity", "tags", "deletion_protection"}
_CONFIGURE_INDEX = {"deployment", "schema", "read_capacity", "tags", "deletion_protection"}
_MAX_TEXT_FIELDS = 100
_numbers = itertools.count(1)


def parse_create_backup(body: dict[str, Any]) -> dict[str, Any]:
    """Return the name and the description of a new backup; both are optional."""
    fields = bodies.parse_create_backup(body)
    if "name" in fields and not bodies.is_name(fields["name"]):
        raise ApiError(
            400,
            "Backup name must be 1-45 characters long, start and end with an alphanumeric character, and consist only "
            "of lower case alphanumeric characters or '-'.",
        )
    return fields


def parse_create_index_from_backup(body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the index that a backup is restored into. Its `read_capacity` is accepted and ignored."""
    if body.get("tags", {}) is None:
        body = {**body, "tags": {}}
    if "read_capacity" in body:
        bodies.read_capacity(body)
    return bodies.parse_create_index_from_backup(body)


def parse_create_index(body: dict[str, Any]) -> dict[str, Any]:
    """Return the model of a new index, in the shape that the emulator keeps."""
    bodies.refuse_unknown(body, _CREATE_INDEX)
    schema = {"fields": _fields(bodies.required(bodies.required(body, "schema", dict), "fields", dict))}
    name = body["name"] if "name" in body else f"index-{next(_numbers)}"
    model = {"schema": schema, "deployment": _deployment(body)} | bodies.read_capacity(body)
    if "cmek_id" in body:
        model["cmek_id"] = bodies.typed(body, "cmek_id", str)
        if any(settings["type"] == "string" for settings in schema["fields"].values()):
            raise ApiError(400, "An index with full_text_search fields cannot have a cmek_id.")
    return index_of(model | _common_settings({**body, "name": name}, {"name": bodies.index_name({"name": name})}))


def parse_configure_index(body: dict[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an index's model that a request to configure the index changes."""
    bodies.refuse_unknown(body, _CONFIGURE_INDEX)
    if "schema" in body:
        raise ApiError(501, "The emulator does not emulate integrated embedding (schema).")
    [index_type] = model["spec"]
    settings: dict[str, Any] = {}
    if "deployment" in body:
        settings = bodies.typed(body, "deployment", dict)
        bodies.refuse_unknown(settings, {"replicas", "pod_type"})
        if index_type != "pod":
            raise ApiError(400, "Only the deployment of a pod-based index can be changed.")
    if "read_capacity" in body:
        settings = {"read_capacity": bodies.typed(body, "read_capacity", dict)}
        if index_type == "pod":
            raise ApiError(400, "A pod-based index has no read capacity.")
    common = _common_settings(body, {})
    return bodies.parse_configure_index(common | ({"spec": {index_type: settings}} if settings else {}), model)


def _common_settings(body: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with the tags and the deletion protection of a request; null is the same as no tags."""
    settings |= bodies.deletion_protection(body)
    return settings | bodies.tags(body) if body.get("tags") is not None else settings


def _deployment(body: dict[str, Any]) -> dict[str, Any]:
    if "deployment" not in body:
        return {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"}
    deployment = bodies.typed(body, "deployment", dict)
    deployment_type = bodies.required(deployment, "deployment_type", str)
    if deployment_type == "byoc":
        bodies.refuse_unknown(deployment, {"deployment_type", "environment"})
        bodies.required(deployment, "environment", str)
        return dict(deployment)
    if deployment_type != "managed":
        raise ApiError(422, f"{bodies.INVALID_BODY}unknown variant `{deployment_type}`, expected `managed` or `byoc`")
    bodies.refuse_unknown(deployment, {"deployment_type", "cloud", "region", "environment"})
    bodies.check_cloud(bodies.required(deployment, "cloud", str), bodies.required(deployment, "region", str))
    return {name: value for name, value in deployment.items() if name != "environment"}


def _fields(fields: dict[str, Any]) -> dict[str, Any]:
    parsed = {name: _field(bodies.typed(fields, name, dict)) for name in fields}
    if not fields:
        raise ApiError(400, "The schema must have at least one field.")
    types = [settings["type"] for settings in parsed.values()]
    if types.count("dense_vector") > 1 or types.count("sparse_vector") > 1:
        raise ApiError(400, "The schema can have one dense_vector field and one sparse_vector field.")
    if types.count("string") > _MAX_TEXT_FIELDS:
        raise ApiError(400, f"The schema can have {_MAX_TEXT_FIELDS} full_text_search fields.")
    reserved = {DENSE_FIELD: "dense_vector", SPARSE_FIELD: "sparse_vector"}
    if set(parsed) <= set(reserved):
        for name, settings in parsed.items():
            if settings["type"] != reserved[name] or "description" in settings:
                raise ApiError(400, f"The field {name} must be a {reserved[name]} without a description.")
        return parsed
    for name in parsed:
        if name.startswith(("_", "$")) or not 1 <= len(name.encode()) <= 64:
            raise ApiError(400, f"The field name {name!r} is reserved, empty or longer than 64 bytes.")
    return parsed


def _field(field: dict[str, Any]) -> dict[str, Any]:
    field_type = bodies.required(field, "type", str)
    parsed: dict[str, Any] = {"type": field_type}
    if field.get("description") is not None or (field_type == "string" and "description" in field):
        parsed["description"] = bodies.typed(field, "description", str)
        if len(parsed["description"].encode()) > 256:
            raise ApiError(400, "The description of a field can have 256 bytes.")
    if field_type == "dense_vector":
        parsed["dimension"] = bodies.required(field, "dimension", int)
        parsed["metric"] = bodies.one_of(field, "metric", bodies.METRICS, bodies.required(field, "metric", str))
        bodies.check_dimension(parsed["dimension"])
    elif field_type == "string":
        bodies.refuse_unknown(field, {"type", "description", "full_text_search"})
        parsed["full_text_search"] = _full_text_search(bodies.required(field, "full_text_search", dict))
    elif field_type != "sparse_vector":
        expected = "`dense_vector`, `sparse_vector` or `string`"
        raise ApiError(422, f"{bodies.INVALID_BODY}unknown variant `{field_type}`, expected {expected}")
    return parsed


def _full_text_search(settings: dict[str, Any]) -> dict[str, Any]:
    bodies.refuse_unknown(settings, {"language", "stemming", "stop_words", "ngram"})
    parsed = {"language": bodies.typed(settings, "language", str) if "language" in settings else "en"}
    parsed |= {name: bodies.flag(settings, name) for name in ("stemming", "stop_words")}
    if parsed["stop_words"] and not parsed["stemming"]:
        raise ApiError(400, "stop_words requires stemming.")
    if "ngram" in settings:
        ngram = bodies.typed(settings, "ngram", dict)
        bodies.refuse_unknown(ngram, {"min_gram", "max_gram", "prefix_only"})
        least, most = (bodies.required(ngram, name, int) for name in ("min_gram", "max_gram"))
        if not 1 <= least <= most <= 10 or parsed["stemming"]:
            raise ApiError(400, "ngram needs 1 <= min_gram <= max_gram <= 10, and excludes stemming and stop_words.")
        parsed["ngram"] = {"min_gram": least, "max_gram": most, "prefix_only": bodies.flag(ngram, "prefix_only")}
    return parsed
