"""The Documents API: the operations on the documents of a document index, since version 2026-07."""

from collections.abc import Callable, Iterable
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
)
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.filters import predicate
from airflow_pinecone.emulator.messages import ApiRequest, Json
from airflow_pinecone.emulator.namespaces import Namespace, Namespaces, put, writable
from airflow_pinecone.emulator.records import Document, Model, document_of, encode, floats
from airflow_pinecone.emulator.resources import Index
from airflow_pinecone.emulator.vector_bodies import (
    read_body,
    read_id,
    read_ids,
    read_metadata,
    read_namespace,
    read_written,
    typed,
    whole_number,
)
from airflow_pinecone.emulator.versions import Version

_MAX_LISTED = 100
_MAX_FETCHED = 10_000


class Documents:
    """The operations on documents. Each gets the request, the time, its version, and the variables of its path."""

    def __init__(self, data_plane: DataPlane) -> None:
        """Create the operations on the indexes of a data plane."""
        self._data_plane = data_plane
        self._limits = data_plane.limits

    def routes(self) -> list[tuple[str, str, Any]]:
        """Return the method and the path of each operation."""
        path = f"{HOST}/namespaces/{{namespace}}/documents"
        return [
            ("POST", f"{path}/list", self._list),
            ("POST", f"{path}/fetch", self._fetch),
            ("POST", f"{path}/upsert", self._upsert),
            ("POST", f"{path}/update", self._update),
            ("POST", f"{path}/delete", self._delete),
            ("POST", f"{path}/search", self._search),
        ]

    async def _list(self, request: ApiRequest, now: float, version: Version, host: str, namespace: str) -> Result:
        index = self._index(host, version)
        body = read_body(request, {"prefix", "limit", "pagination_token"})
        limit = str(whole_number(body, "limit", _MAX_LISTED, _MAX_LISTED))
        token = typed(body, "pagination_token", str, "")
        page = keyset.read_page({"prefix": typed(body, "prefix", str, ""), "limit": limit, "paginationToken": token})
        self._limits.check(index, "list", now)
        ids, next_token = page.of(find_namespace(index, namespace, now).ids_from(page.start))
        documents = encode([{"_id": document_id} for document_id in ids])
        return 200, self._answer(documents, namespace, next_token, 1)

    async def _fetch(self, request: ApiRequest, now: float, version: Version, host: str, namespace: str) -> Result:
        index = self._index(host, version)
        body = read_body(request, {"ids", "filter", "include_fields", "pagination_token", "limit"})
        if bool(body.get("ids")) == bool(body.get("filter")):
            raise ApiError(400, "A request to fetch documents has exactly one of ids and filter.")
        limit = whole_number(body, "limit", _MAX_FETCHED, 100)
        token = typed(body, "pagination_token", str)
        if body.get("ids") and token is not None:
            raise ApiError(400, "A request to fetch documents by ids has no pages, so no pagination_token.")
        self._limits.check(index, "fetch", now)
        found = find_namespace(index, namespace, now)
        next_token = None
        if body.get("ids"):
            ids = read_ids(body)
        else:
            page = keyset.Page("", keyset.read_token(token) if token else None, limit)
            selects = predicate(body["filter"])
            ids, next_token = page.of(i for i in found.ids_from(page.start) if selects(found.get(i).metadata))
        documents = [document for document in map(found.get, ids) if document is not None]
        included = set(typed(body, "include_fields", list, [])) or {"*"}
        shown = {document.id: _with_fields(document.to_api(), included) for document in documents}
        return 200, self._answer(encode(shown), namespace, next_token, max(1, -(-len(shown) // 10)))

    async def _upsert(self, request: ApiRequest, now: float, version: Version, host: str, namespace: str) -> Result:
        index = self._index(host, version)
        read_namespace(namespace)
        _, items = read_written(request, {"documents"}, "documents")
        documents = [_read_document(item, index) for item in items]
        self._data_plane.write(index, lambda namespaces: put(namespaces, internal(namespace), documents), now)
        return 202, {"upserted_count": len(documents)}

    async def _update(self, request: ApiRequest, now: float, version: Version, host: str, namespace: str) -> Result:
        index = self._index(host, version)
        known = {"documents", "filter", "set_fields", "remove_fields"}
        body = read_body(request, known)
        # Empty ones change nothing. They are ignored.
        new_fields, removed = typed(body, "set_fields", dict, {}), typed(body, "remove_fields", list, [])
        if "documents" in body:
            if body.get("filter") is not None or new_fields or removed:
                raise ApiError(400, "documents does not combine with filter, set_fields and remove_fields.")
            _, items = read_written(request, known, "documents")
            updates = [_read_update(item, index) for item in items]
            self._data_plane.write(index, lambda namespaces: _change(namespaces, namespace, updates), now)
            return 202, {}
        if not body.get("filter") or not (new_fields or removed):
            raise ApiError(400, "An update has documents, or a filter with set_fields or remove_fields.")
        selects = predicate(body["filter"])
        _, change = _read_update({"_id": "x", **new_fields, "_remove_fields": removed}, index)

        def write(namespaces: Namespaces) -> None:
            selected = _selected(namespaces.get(internal(namespace)), selects)
            _change(namespaces, namespace, [(document_id, change) for document_id in selected])

        matched = len(_selected(find_namespace(index, namespace, now), selects))
        self._data_plane.write(index, write, now)
        return 202, {"matched_records": matched}

    async def _delete(self, request: ApiRequest, now: float, version: Version, host: str, namespace: str) -> Result:
        index = self._index(host, version)
        body = read_body(request, {"ids", "filter", "delete_all"})
        everything = typed(body, "delete_all", bool, False)
        if everything + bool(body.get("ids")) + bool(body.get("filter")) != 1:
            raise ApiError(400, "A delete request has exactly one of ids, filter and delete_all.")
        selects = predicate(body.get("filter") or {})
        ids = read_ids(body) if body.get("ids") else None
        check_namespace_to_delete(index, namespace, now)

        def write(namespaces: Namespaces) -> None:
            if internal(namespace) in namespaces:
                changed = writable(namespaces, internal(namespace))
                for document_id in ids or _selected(changed, selects):
                    changed.remove(document_id)

        answer: Model = {}
        if body.get("filter"):
            answer = {"matched_records": len(_selected(find_namespace(index, namespace, now), selects))}
        self._data_plane.write(index, write, now)
        return 202, answer

    async def _search(self, request: ApiRequest, now: float, version: Version, host: str, namespace: str) -> Result:
        self._index(host, version)
        raise ApiError(501, "The emulator does not emulate the search for documents.")

    def _index(self, host: str, version: Version) -> Index:
        """Return the index of a host; 404 in a version without documents, and 400 for a vector index."""
        if not version.has_documents:
            raise ApiError(404, f"API version {version.name} has no documents.")
        index = self._data_plane.index(host)
        if not index.is_document_index:
            raise ApiError(400, f"Index {index.name} is not a document index. Use the vectors API.")
        return index

    def _answer(self, documents: bytes, namespace: str, next_token: str | None, read_units: int) -> Json:
        usage = {"read_units": self._limits.charge(read_units), "egress_bytes": len(documents)}
        body: Model = {"documents": orjson.Fragment(documents), "namespace": namespace, "usage": usage}
        if next_token:
            body["pagination"] = {"next": next_token}
        return Json(encode(body))


_Update = tuple[str, Callable[[Document], Document]]


def _read_document(body: Any, index: Index) -> Document:
    """Return a document of a request; 400 if it is invalid or has no field of the schema."""
    fields = _read_fields(body, index)
    if not set(fields) & set(index.model["schema"]["fields"]):
        raise ApiError(400, f"Document {body['_id']} has no field of the schema of index {index.name}.")
    return document_of(body, index.model["schema"]["fields"])


def _read_update(body: Any, index: Index) -> _Update:
    """Return the id of a document, and the function that changes it."""
    removed = body.get("_remove_fields", []) if isinstance(body, dict) else []
    if not isinstance(removed, list) or not all(isinstance(name, str) for name in removed):
        raise ApiError(400, "The fields to remove must be a list of names.")
    body = {name: value for name, value in body.items() if name != "_remove_fields"} if isinstance(body, dict) else body
    both = sorted(set(_read_fields(body, index)) & set(removed))
    if both:
        raise ApiError(400, f"A field cannot be both set and removed: {', '.join(both)}.")
    changes = document_of(body, index.model["schema"]["fields"]).fields

    def change(document: Document) -> Document:
        fields = {**document.fields, **changes}
        return Document(document.id, {name: value for name, value in fields.items() if name not in removed})

    return body["_id"], change


def _read_fields(body: Any, index: Index) -> Model:
    """Return the fields of a document; 400 if its id or one of them is invalid."""
    if not isinstance(body, dict):
        raise ApiError(400, "A document must be an object.")
    read_id(body.get("_id"))
    fields = {name: value for name, value in body.items() if name != "_id" and value is not None}
    others = dict(fields)
    for name, settings in index.model["schema"]["fields"].items():
        kind = settings.get("type")
        if name in fields and kind in {"dense_vector", "sparse_vector"}:
            _check_vector(name, others.pop(name), settings)
        elif name in fields and kind == "string" and not isinstance(others.pop(name), str):
            raise ApiError(400, f"The field {name} must be a string.")
    read_metadata(others)
    return fields


def _check_vector(name: str, value: Any, settings: Model) -> None:
    """Raise 400 if a vector in a document is invalid."""
    sparse = settings["type"] == "sparse_vector"
    valid = isinstance(value, dict) and set(value) == {"indices", "values"} if sparse else isinstance(value, list)
    numbers = (value["values"] if sparse else value) if valid else None
    if not isinstance(numbers, list) or not all(type(number) in {int, float} for number in numbers):
        raise ApiError(400, f"The field {name} must be a {settings['type']}.")
    length = len(value["indices"]) if sparse else settings["dimension"]
    if len(numbers) != length or not np.isfinite(floats(numbers)).all():
        raise ApiError(400, f"The field {name} must have {length} numbers in the range of 32-bit floats.")


def _with_fields(document: Model, included: Iterable[str]) -> Model:
    """Return a document with the fields that a request includes."""
    if "*" in included:
        return document
    return {name: value for name, value in document.items() if name == "_id" or name in included}


def _selected(namespace: Namespace | None, selects: Callable[[Model], bool]) -> list[str]:
    """Return the ids of the documents that a filter selects."""
    if namespace is None:
        return []
    return [document_id for document_id in namespace.ids_from("") if selects(namespace.get(document_id).metadata)]


def _change(namespaces: Namespaces, namespace: str, updates: Iterable[_Update]) -> None:
    """Change documents. Those that do not exist are ignored."""
    if internal(namespace) not in namespaces:
        return
    changed = writable(namespaces, internal(namespace))
    for document_id, change in updates:
        document = changed.get(document_id)
        if document is not None:
            changed.put(change(document))
