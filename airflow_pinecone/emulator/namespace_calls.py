"""The stats of an index and its namespaces: the operations that all kinds of indexes have."""

from typing import Any

from airflow_pinecone.emulator import keyset
from airflow_pinecone.emulator.data_plane import (
    DEFAULT_NAMESPACE,
    HOST,
    DataPlane,
    Result,
    check_namespace_to_delete,
    find_namespace,
    internal,
    refuse_unknown_query,
)
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.messages import ApiRequest
from airflow_pinecone.emulator.namespaces import Namespace, Namespaces, StoredNamespace
from airflow_pinecone.emulator.records import Model
from airflow_pinecone.emulator.resources import Index, timestamp
from airflow_pinecone.emulator.vector_bodies import read_body, read_namespace, typed
from airflow_pinecone.emulator.versions import Version

_MAX_SCHEMA_FIELDS = 50


class NamespaceCalls:
    """The operations on namespaces. Each gets the request, the time, its version, and the variables of its path."""

    def __init__(self, data_plane: DataPlane) -> None:
        """Create the operations on the indexes of a data plane."""
        self._data_plane = data_plane

    def routes(self) -> list[tuple[str, str, Any]]:
        """Return the method and the path of each operation."""
        return [
            ("GET", f"{HOST}/describe_index_stats", self._describe_index_stats),
            ("POST", f"{HOST}/describe_index_stats", self._describe_index_stats),
            ("GET", f"{HOST}/namespaces", self._list),
            ("POST", f"{HOST}/namespaces", self._create),
            ("GET", f"{HOST}/namespaces/{{namespace}}", self._describe),
            ("DELETE", f"{HOST}/namespaces/{{namespace}}", self._delete),
            ("GET", f"{HOST}/namespace-aliases", self._list_aliases),
        ]

    async def _describe_index_stats(self, request: ApiRequest, now: float, version: Version, host: str) -> Result:
        index = self._data_plane.index(host)
        if request.content:
            _refuse_filter(read_body(request, {"filter"}), index)
        namespaces = index.namespaces(now)
        default = version.default_namespace
        stats: Model = {
            "namespaces": {name or default: {"vectorCount": len(records)} for name, records in namespaces.items()},
            "indexFullness": 0.0,
            "totalVectorCount": sum(map(len, namespaces.values())),
            "metric": index.model["metric"],
            "vectorType": index.model["vector_type"],
        }
        if index.dimension is not None:
            stats["dimension"] = index.dimension
        return 200, stats

    async def _list(self, request: ApiRequest, now: float, version: Version, host: str) -> Result:
        index = self._data_plane.index(host)
        query = request.query
        refuse_unknown_query(query, {"prefix", "limit", "paginationToken"})
        page = keyset.read_page(query)
        namespaces = {name or DEFAULT_NAMESPACE: records for name, records in index.namespaces(now).items()}
        names = sorted(name for name in namespaces if name.startswith(page.prefix))
        shown, token = page.of(name for name in names if name >= page.start)
        body: Model = {
            "namespaces": [_described(index, name, namespaces[name], version) for name in shown],
            "total_count": len(names),
        }
        if token:
            body["pagination"] = {"next": token}
        return 200, body

    async def _create(self, request: ApiRequest, now: float, version: Version, host: str) -> Result:
        index = self._data_plane.index(host)
        body = read_body(request, {"name", "schema"})
        name = read_namespace(typed(body, "name", str, ""))
        if not internal(name):
            raise ApiError(400, f"The default namespace, {DEFAULT_NAMESPACE}, always exists. It cannot be created.")
        if name in index.contents.latest(now):  # even if requests do not see it yet
            raise ApiError(409, f"Namespace {name} already exists.")
        namespace = StoredNamespace(schema=_read_schema(body))

        def write(namespaces: Namespaces) -> None:
            namespaces.setdefault(name, namespace.copy())

        self._data_plane.write(index, write, now)
        return 200, _described(index, name, namespace, version)

    async def _describe(self, request: ApiRequest, now: float, version: Version, host: str, namespace: str) -> Result:
        index = self._data_plane.index(host)
        if internal(namespace) and internal(namespace) not in index.namespaces(now):
            raise ApiError(404, f"Namespace {namespace} not found.")
        return 200, _described(index, namespace, find_namespace(index, namespace, now), version)

    async def _delete(self, request: ApiRequest, now: float, version: Version, host: str, namespace: str) -> Result:
        index = self._data_plane.index(host)
        check_namespace_to_delete(index, namespace, now)
        self._data_plane.write(index, lambda namespaces: _remove(namespaces, internal(namespace)), now)
        return 200, {}

    async def _list_aliases(self, request: ApiRequest, now: float, version: Version, host: str) -> Result:
        if not version.has_aliases:
            raise ApiError(501, f"API version {version.name} has no namespace aliases.")
        index = self._data_plane.index(host)
        query = request.query
        refuse_unknown_query(query, {"prefix", "limit", "paginationToken"})
        page = keyset.read_page(query)
        aliases = {name: index.namespace_aliases[name] for name in sorted(index.namespace_aliases)}
        names = [name for name in aliases if name.startswith(page.prefix)]
        shown, token = page.of(name for name in names if name >= page.start)
        body: Model = {"total_count": len(names)}
        if shown:
            time = timestamp(0.0)
            rows = [{"name": name, "target_namespace": aliases[name] or DEFAULT_NAMESPACE} for name in shown]
            body["namespace_aliases"] = [{**row, "created_at": time, "updated_at": time} for row in rows]
        if token:
            body["pagination"] = {"next": token}
        return 200, body


def _remove(namespaces: Namespaces, name: str) -> None:
    namespaces.pop(name, None)


def _refuse_filter(body: Model, index: Index) -> None:
    """Raise an error if a request for stats has a filter: 400, or 501 for a pod-based index, which supports it."""
    if not typed(body, "filter", dict):
        return
    if "pod" in index.model["spec"]:
        raise ApiError(501, "The emulator does not emulate the stats of the records that a filter selects.")
    raise ApiError(400, f"Index {index.name} is serverless, so its stats do not support a filter. Leave it out.")


def _read_schema(body: Model) -> Model | None:
    """Return the schema of a new namespace, or None."""
    schema: Model | None = typed(body, "schema", dict)
    if schema is None:
        return None
    fields = typed(schema, "fields", dict, {})
    if set(schema) != {"fields"} or len(fields) > _MAX_SCHEMA_FIELDS:
        raise ApiError(400, f"A schema has only fields, at most {_MAX_SCHEMA_FIELDS}.")
    for name in fields:
        if typed(fields, name, dict, {}) != {"filterable": True}:
            raise ApiError(400, f"Field {name} of the schema must be filterable.")
    return schema


def _described(index: Index, name: str, namespace: Namespace, version: Version) -> Model:
    count = len(namespace)
    described: Model = {"name": name, "record_count": str(count) if version.counts_as_text else count}
    if namespace.schema is not None:
        described["schema"] = namespace.schema
        described["indexed_fields"] = {"fields": sorted(namespace.schema["fields"])}
    if version.counts_as_text:
        described["size_bytes"] = str(count * 4 * (index.dimension or 16))
    return described
