"""The vectors API: the operations on the records of a vector index."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import orjson

from airflow_pinecone.emulator import keyset
from airflow_pinecone.emulator.data_plane import (
    HOST,
    DataPlane,
    Result,
    check_namespace_to_delete,
    find_namespace,
    internal,
    refuse_unknown_query,
)
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.filters import predicate
from airflow_pinecone.emulator.messages import ApiRequest, Json
from airflow_pinecone.emulator.namespaces import Namespace, Namespaces, StoredNamespace, put, writable
from airflow_pinecone.emulator.records import Model, Record, encode
from airflow_pinecone.emulator.resources import Index
from airflow_pinecone.emulator.search import Match, search
from airflow_pinecone.emulator.vector_bodies import (
    check_record,
    read_body,
    read_id,
    read_ids,
    read_metadata,
    read_sparse_values,
    read_upsert,
    read_values,
    typed,
    whole_number,
)
from airflow_pinecone.emulator.versions import Version

# The ids of the records of a namespace that a request changes.
Selection = Callable[[Namespace], list[str]]

_MAX_MATCHES = 10_000
_QUERY_FIELDS = {
    *("namespace", "topK", "filter", "includeValues", "includeMetadata", "vector", "sparseVector", "id"),
    *("scanFactor", "maxCandidates"),
}


class Vectors:
    """The operations on records. Each gets the request, the time, its version, and the variables of its path."""

    def __init__(self, data_plane: DataPlane) -> None:
        """Create the operations on the indexes of a data plane."""
        self._data_plane = data_plane
        self._limits = data_plane.limits

    def routes(self) -> list[tuple[str, str, Any]]:
        """Return the method and the path of each operation."""
        return [
            ("GET", f"{HOST}/vectors/list", self._list),
            ("GET", f"{HOST}/vectors/fetch", self._fetch),
            ("POST", f"{HOST}/vectors/fetch_by_metadata", self._fetch_by_metadata),
            ("POST", f"{HOST}/vectors/upsert", self._upsert),
            ("POST", f"{HOST}/vectors/update", self._update),
            ("POST", f"{HOST}/vectors/delete", self._delete),
            ("POST", f"{HOST}/query", self._query),
        ]

    async def _list(self, request: ApiRequest, now: float, version: Version, host: str) -> Result:
        index = self._index(host)
        query = request.query
        refuse_unknown_query(query, {"namespace", "prefix", "limit", "paginationToken"})
        page = keyset.read_page(query)
        self._limits.check(index, "list", now)
        name = query.get("namespace", "")
        ids, token = page.of(find_namespace(index, name, now).ids_from(page.start))
        body: Model = {
            "vectors": [{"id": record_id} for record_id in ids],
            "namespace": name,
            "usage": {"readUnits": self._limits.charge(1)},
        }
        if token:
            body["pagination"] = {"next": token}
        return 200, Json(encode(body))

    async def _fetch(self, request: ApiRequest, now: float, version: Version, host: str) -> Result:
        index = self._index(host)
        query = request.query
        refuse_unknown_query(query, {"namespace", "ids"})
        ids = read_ids({"ids": request.query_values("ids")})
        self._limits.check(index, "fetch", now)
        name = query.get("namespace", "")
        namespace = find_namespace(index, name, now)
        records = [record for record in map(namespace.get, ids) if record is not None]
        return 200, self._fetched(records, {"namespace": name}, version)

    async def _fetch_by_metadata(self, request: ApiRequest, now: float, version: Version, host: str) -> Result:
        index = self._index(host)
        body = read_body(request, {"namespace", "filter", "limit", "paginationToken"})
        if not body.get("filter"):
            raise ApiError(400, "A request to fetch records by metadata must have a filter.")
        selects = predicate(body["filter"])
        token = typed(body, "paginationToken", str, "")
        skip_past = keyset.read_token(token) if token else None
        page = keyset.Page("", skip_past, whole_number(body, "limit", _MAX_MATCHES, 100))
        self._limits.check(index, "fetch", now)
        name = typed(body, "namespace", str, "")
        namespace = find_namespace(index, name, now)
        selected = (i for i in namespace.ids_from(page.start) if selects(namespace.get(i).metadata or {}))
        ids, next_token = page.of(selected)
        fields: Model = {"namespace": name}
        if next_token:
            fields["pagination"] = {"next": next_token}
        return 200, self._fetched(map(namespace.get, ids), fields, version)

    async def _upsert(self, request: ApiRequest, now: float, version: Version, host: str) -> Result:
        index = self._index(host)
        name, records = read_upsert(request, index)
        self._data_plane.write(index, lambda namespaces: put(namespaces, internal(name), records), now)
        return 200, {"upsertedCount": len(records)}

    async def _update(self, request: ApiRequest, now: float, version: Version, host: str) -> Result:
        index = self._index(host)
        known = {"id", "values", "sparseValues", "setMetadata", "namespace", "filter", "dryRun"}
        body = read_body(request, known)
        name = typed(body, "namespace", str, "")
        update = _read_update(body, index)
        selected, answer = _read_updated(body), {}
        if body.get("filter") is not None:
            answer = {"matchedRecords": len(selected(find_namespace(index, name, now)))}
        if not typed(body, "dryRun", bool, False):
            for record in _selected_records(index.contents.latest(now).get(internal(name)), selected):
                check_record(update(record))
            self._data_plane.write(index, _changing(name, update, selected), now)
        return 200, answer

    async def _delete(self, request: ApiRequest, now: float, version: Version, host: str) -> Result:
        index = self._index(host)
        body = read_body(request, {"ids", "deleteAll", "namespace", "filter"})
        name = typed(body, "namespace", str, "")
        selected = _read_selection(body)
        check_namespace_to_delete(index, name, now)

        def write(namespaces: Namespaces) -> None:
            if internal(name) in namespaces:
                namespace = writable(namespaces, internal(name))
                for record_id in selected(namespace):
                    namespace.remove(record_id)

        self._data_plane.write(index, write, now)
        return 200, {}

    async def _query(self, request: ApiRequest, now: float, version: Version, host: str) -> Result:
        index = self._index(host)
        body = read_body(request, _QUERY_FIELDS)
        top_k = whole_number(body, "topK", _MAX_MATCHES)
        name = typed(body, "namespace", str, "")
        namespace = find_namespace(index, name, now)
        values = read_values(body["vector"], index) if body.get("vector") else None
        sparse = read_sparse_values(body["sparseVector"], index) if body.get("sparseVector") else None
        record_id = typed(body, "id", str)
        if (record_id is None) == (values is None and sparse is None):
            raise ApiError(400, "A query has either an id, or a vector, a sparseVector or both.")
        self._limits.check_read_units()
        matches: list[Match] = []
        record = None if record_id is None else namespace.get(record_id)
        if record is not None:
            values, sparse = record.values if len(record.values) else None, record.sparse
        if values is not None or sparse is not None:
            selects = predicate(body.get("filter") or {})
            matches = search(namespace, index.model["metric"], values, sparse, selects, top_k)
        with_values, with_metadata = (
            typed(body, option, bool, False) for option in ("includeValues", "includeMetadata")
        )
        shown = [_shown(match, values=with_values, metadata=with_metadata) for match in matches]
        gigabytes = len(namespace) * 4 * (index.dimension or 0) / 10**9
        usage = {"readUnits": self._limits.charge(max(1, int(np.ceil(gigabytes))))}
        return 200, Json(encode({"results": [], "matches": shown, "namespace": name, "usage": usage}))

    def _index(self, host: str) -> Index:
        """Return the index of a host; 400 if it is a document index."""
        index = self._data_plane.index(host)
        if index.is_document_index:
            raise ApiError(400, f"Index {index.name} is a document index. Use the Documents API.")
        return index

    def _fetched(self, records: Iterable[Record], fields: Model, version: Version) -> Json:
        """Return the body of a response with whole records."""
        vectors = {record.id: record.to_api() for record in records}
        content = encode(vectors)
        usage = {"readUnits": self._limits.charge(max(1, -(-len(vectors) // 10)))}
        if version.counts_egress:
            usage["egressBytes"] = len(content)
        return Json(encode({"vectors": orjson.Fragment(content), **fields, "usage": usage}))


def _read_update(body: Model, index: Index) -> Callable[[Record], Record]:
    """Return a function that updates a record as a request says."""
    changes: Model = {}
    if body.get("values"):
        changes |= {"values": read_values(body["values"], index), "values_json": None}
    if body.get("sparseValues"):
        changes["sparse"] = read_sparse_values(body["sparseValues"], index)
    metadata = read_metadata(body["setMetadata"]) if "setMetadata" in body else {}

    def update(record: Record) -> Record:
        return replace(record.with_metadata(metadata), **changes)

    return update


def _changing(name: str, update: Callable[[Record], Record], selected: Selection) -> Callable[[Namespaces], None]:
    """Return a write that updates the selected records."""

    def write(namespaces: Namespaces) -> None:
        if internal(name) not in namespaces:
            return
        namespace: StoredNamespace = writable(namespaces, internal(name))
        for record in _selected_records(namespace, selected):
            namespace.put(update(record))

    return write


def _selected_records(namespace: Namespace | None, selected: Selection) -> list[Record]:
    """Return the records of a namespace that a request selects. Ids without a record are ignored."""
    if namespace is None:
        return []
    return [record for record in map(namespace.get, selected(namespace)) if record is not None]


def _selected_by(expression: Any) -> Selection:
    """Return a function that returns the ids that a filter selects."""
    selects = predicate(expression)
    return lambda namespace: [i for i in namespace.ids_from("") if selects(namespace.get(i).metadata or {})]


def _read_updated(body: Model) -> Selection:
    """Return the records that an update selects: one by its id, or those that a filter selects."""
    expression = typed(body, "filter", dict)
    if expression is None:
        record_id = read_id(body.get("id"))
        return lambda namespace: [record_id]
    if set(body) & {"id", "values", "sparseValues"} or "setMetadata" not in body:
        raise ApiError(400, "An update with a filter has setMetadata, and no id and no values.")
    if not expression:
        raise ApiError(400, "The filter of an update must not be empty.")
    return _selected_by(expression)


def _read_selection(body: Model) -> Selection:
    """Return the records that a delete request selects."""
    everything = typed(body, "deleteAll", bool, False)
    if everything + bool(body.get("ids")) + bool(body.get("filter")) != 1:
        raise ApiError(400, "A delete request has exactly one of ids, deleteAll and filter.")
    if everything:
        return lambda namespace: list(namespace.ids_from(""))
    if body.get("filter"):
        return _selected_by(body["filter"])
    ids = read_ids(body)
    return lambda namespace: ids


def _shown(match: Match, *, values: bool, metadata: bool) -> Model:
    shown = match.record.to_api() | {"score": match.score}
    if not values:
        shown["values"] = []
        shown.pop("sparseValues", None)
    if not metadata:
        shown.pop("metadata", None)
    return shown
