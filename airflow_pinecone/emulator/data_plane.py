"""The data plane: the operations on the records of an index, below the path of its host."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import orjson

from airflow_pinecone.emulator import keyset
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.limits import Limits
from airflow_pinecone.emulator.messages import ApiRequest, Body, Json
from airflow_pinecone.emulator.namespaces import Namespace, StoredNamespace
from airflow_pinecone.emulator.project import Project
from airflow_pinecone.emulator.records import Model, Record, encode
from airflow_pinecone.emulator.resources import Index
from airflow_pinecone.emulator.scenario import Scenario
from airflow_pinecone.emulator.versions import Version

PATH = "/data-plane/"
# The name of the default namespace, which is "" in the other calls.
DEFAULT_NAMESPACE = "__default__"
_MAX_FETCHED = 1000
_MAX_NAME = 512

# The status and the body of a response.
_Result = tuple[int, Body]


class DataPlane:
    """The operations on records. Each gets the request, the time, its version, and the variables of its path."""

    def __init__(self, project: Project, scenario: Scenario) -> None:
        """Create the operations on the records of a project."""
        self._project = project
        self._scenario = scenario
        self._limits = Limits(scenario)

    def routes(self) -> list[tuple[str, str, Any]]:
        """Return the method and the path of each operation."""
        host = PATH + "{host}"
        return [
            ("GET", f"{host}/describe_index_stats", self._describe_index_stats),
            ("POST", f"{host}/describe_index_stats", self._describe_index_stats),
            ("GET", f"{host}/vectors/list", self._list),
            ("GET", f"{host}/vectors/fetch", self._fetch),
            ("GET", f"{host}/namespaces", self._list_namespaces),
            ("GET", f"{host}/namespaces/{{namespace}}", self._describe_namespace),
        ]

    async def _describe_index_stats(self, request: ApiRequest, now: float, version: Version, host: str) -> _Result:
        index = self._index(host)
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

    async def _list(self, request: ApiRequest, now: float, version: Version, host: str) -> _Result:
        index = self._vector_index(host)
        query = request.query
        _refuse_unknown(query, {"namespace", "prefix", "limit", "paginationToken"})
        page = keyset.read_page(query)
        self._limits.check(index, "list", now)
        namespace = _namespace(index, query.get("namespace", ""), now)
        ids, token = page.of(namespace.ids_from(page.start))
        body: Model = {
            "vectors": [{"id": record_id} for record_id in ids],
            "namespace": query.get("namespace", ""),
            "usage": {"readUnits": self._limits.charge(1)},
        }
        if token:
            body["pagination"] = {"next": token}
        return 200, Json(encode(body))

    async def _fetch(self, request: ApiRequest, now: float, version: Version, host: str) -> _Result:
        index = self._vector_index(host)
        query = request.query
        _refuse_unknown(query, {"namespace", "ids"})
        ids = request.query_values("ids")
        if not 1 <= len(ids) <= _MAX_FETCHED:
            raise ApiError(400, f"A fetch request has 1 to {_MAX_FETCHED} ids, not {len(ids)}.")
        self._limits.check(index, "fetch", now)
        namespace = _namespace(index, query.get("namespace", ""), now)
        records = [record for record in map(namespace.get, dict.fromkeys(ids)) if record is not None]
        return 200, self._fetched(records, {"namespace": query.get("namespace", "")}, version)

    async def _list_namespaces(self, request: ApiRequest, now: float, version: Version, host: str) -> _Result:
        index = self._index(host)
        query = request.query
        _refuse_unknown(query, {"prefix", "limit", "paginationToken"})
        page = keyset.read_page(query)
        namespaces = {name or DEFAULT_NAMESPACE: records for name, records in index.namespaces(now).items()}
        names = sorted(name for name in namespaces if name.startswith(page.prefix))
        shown, token = page.of(name for name in names if name >= page.start)
        body: Model = {
            "namespaces": [_described(name, namespaces[name], version) for name in shown],
            "total_count": len(names),
        }
        if token:
            body["pagination"] = {"next": token}
        return 200, body

    async def _describe_namespace(
        self, request: ApiRequest, now: float, version: Version, host: str, namespace: str
    ) -> _Result:
        namespaces = self._index(host).namespaces(now)
        name = _internal(namespace)
        if name and name not in namespaces:
            raise ApiError(404, f"Namespace {name} not found.")
        return 200, _described(namespace, namespaces.get(name, StoredNamespace()), version)

    def _fetched(self, records: Iterable[Record], fields: Model, version: Version) -> Json:
        """Return the body of a response with whole records."""
        vectors = {record.id: record.to_api() for record in records}
        content = encode(vectors)
        usage = {"readUnits": self._limits.charge(max(1, -(-len(vectors) // 10)))}
        if version.counts_egress:
            usage["egressBytes"] = len(content)
        return Json(encode({"vectors": orjson.Fragment(content), **fields, "usage": usage}))

    def _index(self, host: str) -> Index:
        for index in self._project.indexes.values():
            if index.data_plane_path == PATH + host:
                return index
        raise ApiError(404, f"No index has the host {host}.")

    def _vector_index(self, host: str) -> Index:
        """Return the index of a host; 400 if it is a document index."""
        index = self._index(host)
        if index.is_document_index:
            raise ApiError(400, f"Index {index.name} has a schema with document fields. Use the Documents API.")
        return index


def rpc_status(error: ApiError) -> Body:
    """Return the body of an error of the data plane, which has another shape than one of the control plane."""
    if isinstance(error.body, str):
        return error.body
    return {"code": _RPC_CODES.get(error.status, 2), "message": str(error), "details": []}


_RPC_CODES = {
    400: 3,
    401: 16,
    403: 7,
    404: 5,
    409: 6,
    412: 9,
    413: 3,
    414: 3,
    422: 3,
    429: 8,
    500: 13,
    501: 12,
    503: 14,
}


def _internal(name: str) -> str:
    """Return the name under which an index keeps a namespace."""
    return "" if name == DEFAULT_NAMESPACE else name


def _namespace(index: Index, name: str, now: float) -> Namespace:
    """Return a namespace of an index. One that does not exist is empty."""
    return index.namespaces(now).get(_internal(name), StoredNamespace())


def _described(name: str, namespace: Namespace, version: Version) -> Model:
    count = len(namespace)
    described: Model = {"name": name, "record_count": str(count) if version.counts_as_text else count}
    if namespace.schema is not None:
        described["schema"] = namespace.schema
    if version.counts_as_text:
        sample = islice(namespace.ids_from(""), 1)
        described["size_bytes"] = str(count * sum(namespace.get(record_id).size for record_id in sample))
    return described


def _refuse_unknown(query: Mapping[str, str], known: set[str]) -> None:
    """Raise 400 if a request has a query parameter that is not known."""
    unknown = sorted(set(query) - known)
    if unknown:
        raise ApiError(400, f"Unknown query parameters: {', '.join(unknown)}.")
