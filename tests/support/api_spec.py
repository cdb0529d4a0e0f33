"""Check exchanges with the emulator against Pinecone's published OpenAPI description."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from openapi_schema_validator import OAS30Validator, oas30_format_checker

from airflow_pinecone.emulator import Exchange

FOLDER_VARIABLE = "PINECONE_SPEC_DIR"
_FILES = "db_control_*.oas.yaml"
_DATA_PLANE_FILES = "db_data_*.oas.yaml"


class Mismatch(AssertionError):
    """An exchange does not match the published description."""


@dataclass(frozen=True)
class Deviation:
    """A response of the emulator that the description does not list.

    Attributes:
        method: The HTTP method; None for any.
        path: The path as in the description; None for any.
        status: The status of the response.
        reason: Why the emulator deviates.
    """

    method: str | None
    path: str | None
    status: int
    reason: str


DEVIATIONS = (
    Deviation("POST", "/indexes/{index_name}/backups", 404, "the service returns 404 for an unknown index"),
    Deviation("DELETE", "/backups/{backup_id}", 412, "a backup cannot be deleted while a restore from it is running"),
    Deviation("GET", "/indexes/{index_name}/backups", 400, "an invalid limit or token is an error"),
    Deviation("GET", "/backups", 400, "an invalid limit or token is an error"),
    Deviation("GET", "/restore-jobs", 400, "an invalid limit or token is an error"),
    Deviation(None, "", 404, "the version has no backup schedules"),
    Deviation(None, None, 405, "the API has no operation with this method and path"),
    Deviation(None, None, 413, "the body is larger than the emulator reads"),
    Deviation(None, None, 414, "the URL is longer than the emulator accepts"),
    Deviation(None, None, 501, "the emulator does not emulate this call"),
)
# Parameters of the descriptions that Pinecone published later. The files of 2025-10 and 2026-04 do not have them.
LATER_PARAMETERS = {("GET", "/indexes/{index_name}/backups", "include_deleted")}
# The version `unstable` has no description. The emulator shows it like this one.
_LIKE = {"unstable": "2026-07"}
# Clients have received null in these fields, although the description does not allow it. Tests set them with
# `fields=`. Clients have also received tags whose values are not strings.
NULLABLE_FIELDS = {
    *("name", "description", "schema", "record_count", "namespace_count", "size_bytes", "tags", "created_at"),
    *("dimension", "metric", "completed_at", "percent_complete"),
}
# Clients can receive 64-bit numbers as text. Tests set them with `fields=`.
TEXT_NUMBERS = {"record_count", "namespace_count", "size_bytes"}
# The path of the data plane of an index in the emulator: the first part is the host in the service.
_DATA_PLANE = re.compile(r"/data-plane/[^/]*")
# The statuses of responses to requests without an API key or a supported version: no description applies to them.
_INVALID_HEADERS_STATUSES = {400, 401}
# The statuses of responses to invalid requests, which may differ from the description.
_INVALID_REQUEST_STATUSES = {400, 401, 405, 413, 414, 422, 501}


class Description:
    """One version of the published description."""

    def __init__(self, document: dict[str, Any]) -> None:
        """Wrap a parsed OpenAPI 3.0 document."""
        self._document = document
        # Fewest parameters first: /indexes/create-for-model also matches /indexes/{index_name}.
        self._templates = sorted(document["paths"], key=lambda template: template.count("{"))

    def check(self, exchange: Exchange) -> None:
        """Raise Mismatch if the exchange does not match. A response that a fault altered is not checked."""
        where = f"{exchange.method} {exchange.path} {exchange.status}"
        template = self._template(exchange)
        operation = self._document["paths"].get(template, {}).get(exchange.method.lower())
        problems: list[str] = []
        if operation is None:
            # Another version has the operation.
            if not _deviates(exchange, template) and exchange.status not in _INVALID_HEADERS_STATUSES:
                problems.append("the operation is not described")
        else:
            if exchange.status not in _INVALID_REQUEST_STATUSES or _altered(exchange):
                problems += self._request_problems(exchange, operation, template)
            if exchange.status is not None and not _altered(exchange):
                problems += self._response_problems(exchange, operation, template)
        if problems:
            raise Mismatch(f"{where} does not match the published description: " + "; ".join(problems))

    def _template(self, exchange: Exchange) -> str:
        segments = exchange.path.split("/")
        for template in self._templates:
            parts = template.split("/")
            described = exchange.method.lower() in self._document["paths"][template]
            if described and len(parts) == len(segments) and all(map(_segment_matches, parts, segments)):
                return str(template)
        return ""

    def _request_problems(self, exchange: Exchange, operation: dict[str, Any], template: str) -> Iterator[str]:
        parameters = {(p["in"], p["name"]): p for p in map(self._resolved, operation.get("parameters", []))}
        for name, value in exchange.query.items():
            if ("query", name) not in parameters:
                if (exchange.method, template, name) not in LATER_PARAMETERS:
                    yield f"query parameter {name} is unknown"
                continue
            schema = parameters["query", name]["schema"]
            yield from self._problems(f"query parameter {name}", _parsed(value, schema), schema)
        for (place, name), parameter in parameters.items():
            given = {"query": exchange.query, "header": exchange.headers}.get(place)
            if given is not None and parameter.get("required") and name not in given:
                yield f"{place} parameter {name} is missing"
        if "Api-Key" not in exchange.headers:
            yield "header Api-Key is missing"
        body = self._resolved(operation.get("requestBody", {}))
        if exchange.body is not None:
            if not body:
                yield "a request body is not described"
            else:
                yield from self._problems("request body", exchange.body, body["content"]["application/json"]["schema"])
        elif body.get("required"):
            yield "the request body is missing"

    def _response_problems(self, exchange: Exchange, operation: dict[str, Any], template: str) -> Iterator[str]:
        responses = operation["responses"]
        response = responses.get(str(exchange.status), responses.get(f"{str(exchange.status)[0]}XX"))
        if response is None:
            if not _deviates(exchange, template):
                yield f"the status {exchange.status} is not described"
            return
        content = self._resolved(response).get("content")
        if not content:
            if exchange.answer is not None:
                yield "a response body is not described"
            return
        [media_type] = content
        schema = content[media_type]["schema"]
        yield from self._problems("response", exchange.answer, schema, nullable=NULLABLE_FIELDS)

    def _problems(self, what: str, value: Any, schema: dict[str, Any], nullable: Iterable[str] = ()) -> Iterator[str]:
        whole = {"allOf": [schema], "components": self._document.get("components", {})}
        validator = OAS30Validator(whole, format_checker=oas30_format_checker)
        for error in validator.iter_errors(value):
            path = list(error.absolute_path)
            if nullable and error.instance is None and path[-1:] and path[-1] in nullable:
                continue
            if nullable and "tags" in path[:-1]:  # the value of a tag
                continue
            if nullable and path[-1:] and path[-1] in TEXT_NUMBERS and str(error.instance).isdecimal():
                continue
            yield f"{what} at /{'/'.join(map(str, path))}: {error.message}"

    def _resolved(self, value: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in value:
            target: Any = self._document
            for name in value["$ref"].removeprefix("#/").split("/"):
                target = target[name]
            value = target
        return value


def check_exchanges(exchanges: Iterable[Exchange], descriptions: Mapping[str, Description]) -> None:
    """Check exchanges, each against the description of the version in its request header.

    Args:
        exchanges: The exchanges that an emulator recorded.
        descriptions: The descriptions by API version.

    Raises:
        Mismatch: An exchange does not match its description.
    """
    for exchange in exchanges:
        version = exchange.headers.get("X-Pinecone-Api-Version", "")
        if host := _DATA_PLANE.match(exchange.path):
            version = f"{version} data plane"
            request = replace(exchange, path=exchange.path[host.end() :])
            # The service also answers this GET request, which no description has.
            if version in descriptions and (request.method, request.path) != ("GET", "/describe_index_stats"):
                descriptions[version].check(_with_kept_bodies(request))
            continue
        version = _LIKE.get(version, version)
        if version in descriptions:
            descriptions[version].check(exchange)
        elif exchange.status not in _INVALID_HEADERS_STATUSES:
            raise Mismatch(f"{exchange.method} {exchange.path}: no description of version {version!r}")


def _with_kept_bodies(exchange: Exchange) -> Exchange:
    """Return an exchange with the data plane without the bodies that are too large to be kept."""
    if exchange.status == 200 and exchange.answer is None:
        exchange = replace(exchange, answer={})
    if exchange.body is None and exchange.method == "POST" and int(exchange.headers.get("Content-Length", 0)) > 65536:
        exchange = replace(exchange, body={"vectors": []})
    return exchange


def load_descriptions() -> Mapping[str, Description]:
    """Return the descriptions in the folder PINECONE_SPEC_DIR by API version, or none if it is not set."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return _load(folder) if folder else {}


@cache
def _load(folder: str) -> Mapping[str, Description]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    descriptions = {}
    for path in Path(folder).glob(_FILES):
        document = yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506 (the loader is safe)
        descriptions[document["info"]["version"]] = Description(document)
    if not descriptions:
        raise FileNotFoundError(f"{FOLDER_VARIABLE}: no {_FILES} in {folder}")
    for path in Path(folder).glob(_DATA_PLANE_FILES):
        document = yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506 (the loader is safe)
        descriptions[f"{document['info']['version']} data plane"] = Description(document)
    return descriptions


def _parsed(value: str, schema: dict[str, Any]) -> Any:
    """Return a query parameter as the value that its schema describes."""
    if schema.get("type") == "integer" and value.removeprefix("-").isdecimal():
        return int(value)
    if schema.get("type") == "array":
        return [value]
    if schema.get("type") == "boolean" and value in {"true", "false"}:
        return value == "true"
    return value


def _segment_matches(part: str, segment: str) -> bool:
    return bool(segment) if part.startswith("{") else part == segment


def _altered(exchange: Exchange) -> bool:
    return exchange.fault is not None and exchange.fault.alters_response


def _deviates(exchange: Exchange, template: str) -> bool:
    return any(
        deviation.status == exchange.status
        and deviation.method in {None, exchange.method}
        and deviation.path in {None, template}
        for deviation in DEVIATIONS
    )
