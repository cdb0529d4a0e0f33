"""Does an exchange with the emulator fit Pinecone's published description of the API?"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from openapi_schema_validator import OAS30Validator, oas30_format_checker

FOLDER_VARIABLE = "PINECONE_SPEC_DIR"
_FILES = "db_control_*.oas.yaml"


class Mismatch(AssertionError):
    """An exchange that the published description does not allow."""


@dataclass(frozen=True)
class Deviation:
    """An answer that the emulator gives although the description does not list it. None stands for any."""

    method: str | None
    path: str | None
    status: int
    reason: str


DEVIATIONS = (
    Deviation("POST", "/indexes/{index_name}/backups", 404, "the service answers so for an unknown index"),
    Deviation("GET", "/indexes/{index_name}/backups", 400, "a wrong limit or token needs some answer"),
    Deviation("GET", "/backups", 400, "a wrong limit or token needs some answer"),
    Deviation("GET", "/restore-jobs", 400, "a wrong limit or token needs some answer"),
    Deviation(None, None, 501, "the emulator says loudly what it does not emulate"),
)
# Fields of an answer that clients have seen to be null, though the description has no null at all; tests lay
# them over an answer with `fields=`. Values of tags have been seen to be other than strings.
NULL_AT_TIMES = {
    *("name", "description", "schema", "record_count", "namespace_count", "size_bytes", "tags", "created_at"),
    *("dimension", "metric", "completed_at", "percent_complete"),
}
# Not of the control plane, so in none of these descriptions.
NOT_DESCRIBED = "/data-plane/"
# The emulator insists on a key and on a version that it knows; without them there is nothing to look it up in.
_NO_VERSION = {400, 401}
# What the emulator refuses by these may break the description: that is why it was refused.
_REFUSALS = {400, 401, 422, 501}


class Description:
    """One version of the published description."""

    def __init__(self, document: dict[str, Any]) -> None:
        """Take a document of OpenAPI 3.0, parsed."""
        self._document = document
        # The fewest parameters first: /indexes/create-for-model is not an /indexes/{index_name}.
        self._templates = sorted(document["paths"], key=lambda template: template.count("{"))

    def check(self, exchange: Any) -> None:
        """Raise Mismatch unless the exchange fits; an answer that a fault altered is not looked at."""
        where = f"{exchange.method} {exchange.path} {exchange.status}"
        template = self._template(exchange)
        operation = self._document["paths"].get(template, {}).get(exchange.method.lower())
        problems: list[str] = []
        if operation is None:
            if not _deviates(exchange, template):
                problems.append("there is no such operation")
        else:
            if exchange.status not in _REFUSALS or _altered(exchange):
                problems += self._request_problems(exchange, operation)
            if exchange.status is not None and not _altered(exchange):
                problems += self._answer_problems(exchange, operation, template)
        if problems:
            raise Mismatch(f"{where} does not fit the published description: " + "; ".join(problems))

    def _template(self, exchange: Any) -> str:
        segments = exchange.path.split("/")
        for template in self._templates:
            parts = template.split("/")
            described = exchange.method.lower() in self._document["paths"][template]
            if described and len(parts) == len(segments) and all(map(_fits, parts, segments)):
                return str(template)
        return ""

    def _request_problems(self, exchange: Any, operation: dict[str, Any]) -> Iterator[str]:
        parameters = {(p["in"], p["name"]): p for p in map(self._resolved, operation.get("parameters", []))}
        for name, value in exchange.query.items():
            if ("query", name) not in parameters:
                yield f"query parameter {name} is unknown"
                continue
            schema = parameters["query", name]["schema"]
            number = schema.get("type") == "integer" and value.removeprefix("-").isdecimal()
            yield from self._problems(f"query parameter {name}", int(value) if number else value, schema)
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

    def _answer_problems(self, exchange: Any, operation: dict[str, Any], template: str) -> Iterator[str]:
        answer = operation["responses"].get(str(exchange.status))
        if answer is None:
            if not _deviates(exchange, template):
                yield f"the status {exchange.status} is not described"
            return
        content = self._resolved(answer).get("content")
        if not content:
            if exchange.answer is not None:
                yield "an answer's body is not described"
            return
        schema = content["application/json"]["schema"]
        yield from self._problems("answer", exchange.answer, schema, null_at_times=NULL_AT_TIMES)

    def _problems(
        self, what: str, value: Any, schema: dict[str, Any], null_at_times: Iterable[str] = ()
    ) -> Iterator[str]:
        whole = {"allOf": [schema], "components": self._document.get("components", {})}
        validator = OAS30Validator(whole, format_checker=oas30_format_checker)
        for error in validator.iter_errors(value):
            path = list(error.absolute_path)
            if null_at_times and error.instance is None and path[-1:] and path[-1] in null_at_times:
                continue
            if null_at_times and "tags" in path[:-1]:
                continue
            yield f"{what} at /{'/'.join(map(str, path))}: {error.message}"

    def _resolved(self, value: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in value:
            target: Any = self._document
            for name in value["$ref"].removeprefix("#/").split("/"):
                target = target[name]
            value = target
        return value


def check_exchanges(exchanges: Iterable[Any], descriptions: Mapping[str, Description]) -> None:
    """Check exchanges, each against the description of the version in its header.

    Args:
        exchanges: What an emulator recorded.
        descriptions: By version.

    Raises:
        Mismatch: When one does not fit.
    """
    for exchange in exchanges:
        if exchange.path.startswith(NOT_DESCRIBED):
            continue
        version = exchange.headers.get("X-Pinecone-Api-Version")
        if version in descriptions:
            descriptions[version].check(exchange)
        elif exchange.status not in _NO_VERSION:
            raise Mismatch(f"{exchange.method} {exchange.path}: no description of the version {version!r}")


def published() -> Mapping[str, Description]:
    """Return the descriptions in the folder that PINECONE_SPEC_DIR names, by version; none if it is unset."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return _load(folder) if folder else {}


@cache
def _load(folder: str) -> Mapping[str, Description]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    descriptions = {}
    for path in Path(folder).glob(_FILES):
        document = yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506 (a safe loader)
        descriptions[document["info"]["version"]] = Description(document)
    if not descriptions:
        raise FileNotFoundError(f"{FOLDER_VARIABLE}: no {_FILES} in {folder}")
    return descriptions


def _fits(part: str, segment: str) -> bool:
    return bool(segment) if part.startswith("{") else part == segment


def _altered(exchange: Any) -> bool:
    return exchange.fault is not None and exchange.fault.alters


def _deviates(exchange: Any, template: str) -> bool:
    return any(
        deviation.status == exchange.status
        and deviation.method in {None, exchange.method}
        and deviation.path in {None, template}
        for deviation in DEVIATIONS
    )
