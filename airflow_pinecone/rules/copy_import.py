"""Plan the import of a copy: what it does, and what it costs. Nothing here does I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from airflow_pinecone.api.models import dimension_of, metric_of, xcom_safe
from airflow_pinecone.api.record_bodies import DEFAULT_NAMESPACE
from airflow_pinecone.common.text import counted, explain, one_line
from airflow_pinecone.errors import CopyRefused, PineconeInputError
from airflow_pinecone.rules.copy_format import DATA, CopyNamespace, Manifest, is_importable
from airflow_pinecone.rules.new_index import embedding_of, vector_settings

Method = Literal["import", "upsert"]

# About the bytes of the parts that one task upserts.
_BYTES_PER_ITEM = 256_000_000
# Pinecone's limits of a request that upserts, and of a second.
_RECORDS_PER_REQUEST, _BYTES_PER_REQUEST = 1000, 1_950_000
_REQUESTS_PER_SECOND, _BYTES_PER_SECOND = 100, 50_000_000
# Pinecone says that each import takes at least so long.
_IMPORT_MINUTES = 10
_BYTES_PER_WRITE_UNIT = 1000
# About the bytes of a number in JSON, and of a record besides its values.
_NUMBER_BYTES, _RECORD_BYTES = 12, 400
_IDS_PER_READ_UNIT, _RECORDS_PER_READ_UNIT = 100, 10
# How Pinecone reaches the object stores that Airflow names in another way.
_PROTOCOLS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "file": "file"}
# Tags that this package sets have this prefix. They are not those of the user.
_OWN_TAGS = "airflow-pinecone"


class UpsertItem(TypedDict):
    """The parts of a copy that one task upserts."""

    parts: list[int]


class ImportEstimate(TypedDict):
    """What an import will cost, as JSON types.

    Attributes:
        records: The number of records.
        import_bytes: The bytes that Pinecone imports and charges for.
        write_units: The write units of the upserts.
        requests: The number of requests that upsert.
        request_bytes: The bytes of these requests.
        read_units: The read units of the proof, and of the search for the ids that exist.
        minutes: The time to write the records.
    """

    records: int
    import_bytes: int
    write_units: int
    requests: int
    request_bytes: int
    read_units: int
    minutes: int


class ImportPlan(TypedDict):
    """The plan of an import, as JSON types.

    Attributes:
        url: The folder of the copy.
        index_name: The index to import into.
        method: How the namespaces are imported that Pinecone can import.
        into_existing: Whether the index may have records.
        uri: The folder that Pinecone imports; empty if it imports none.
        created_at: When the copy was written.
        source: The name of the index that was copied.
        backup_id: The backup that was copied; None for the copy of an index.
        namespaces: The number of namespaces.
        upserted_namespaces: The number of namespaces that are upserted.
        records: The number of records.
        aliases: The target namespace of each alias. They are not created.
        notes: What is not carried over.
        estimate: What the import will cost.
    """

    url: str
    index_name: str
    method: Method
    into_existing: bool
    uri: str
    created_at: str
    source: str
    backup_id: str | None
    namespaces: int
    upserted_namespaces: int
    records: int
    aliases: dict[str, str]
    notes: list[str]
    estimate: ImportEstimate


def import_uri(url: str) -> str:
    """Return how Pinecone reaches the data of a copy: without the id of the Airflow connection.

    Args:
        url: The folder of the copy.

    Raises:
        PineconeInputError: Pinecone names this object store in another way.
    """
    protocol, _, rest = url.partition("://")
    if protocol not in _PROTOCOLS:
        raise PineconeInputError(
            explain(
                "The copy cannot be imported.",
                f"it is unknown how Pinecone reaches {one_line(url)}",
                "Set uri, such as https://ACCOUNT.blob.core.windows.net/CONTAINER/FOLDER/data.",
            )
        )
    host, slash, path = rest.partition("/")
    return f"{_PROTOCOLS[protocol]}://{host.rpartition('@')[2]}{slash}{path.rstrip('/')}/{DATA}"


def goes_by_upsert(namespace: CopyNamespace, method: Method) -> bool:
    """Return whether a namespace is upserted."""
    return method == "upsert" or not is_importable(namespace)


def plan_of(
    manifest: Manifest, *, url: str, index_name: str, method: Method, into_existing: bool, uri: str | None
) -> ImportPlan:
    """Plan the import of a copy.

    Args:
        manifest: The manifest of the copy.
        url: The folder of the copy.
        index_name: The index to import into.
        method: How to import.
        into_existing: Whether the index may have records.
        uri: How Pinecone reaches the data; None derives it from the URL.

    Raises:
        CopyRefused: The copy cannot be imported, or not in this way.
        PineconeInputError: Pinecone cannot create such an index, or reach the copy.
    """
    imported = [row for row in manifest["namespaces"] if not goes_by_upsert(row, method)]
    if problem := _why_not_imported(manifest, imported, method):
        raise CopyRefused(
            explain(
                f"The copy of index {one_line(manifest['index_name'])} was not imported into {index_name}.",
                problem,
                "Set method='upsert'.",
                f"Copy: {url}.",
            ),
            reason=problem,
        )
    vector_settings(_without_model(manifest["index"]), f"The copy was not imported into index {index_name}.")
    backup = manifest["backup"] or {}
    return ImportPlan(
        url=url,
        index_name=index_name,
        method=method,
        into_existing=into_existing,
        uri=(uri or import_uri(url)) if method == "import" else "",
        created_at=manifest["created_at"],
        source=manifest["index_name"],
        backup_id=backup.get("backup_id"),
        namespaces=len(manifest["namespaces"]),
        upserted_namespaces=len(manifest["namespaces"]) - len(imported),
        records=manifest["totals"]["records"],
        aliases=manifest["aliases"],
        notes=_notes(manifest),
        estimate=_estimate(manifest, method, into_existing),
    )


def _why_not_imported(manifest: Manifest, imported: list[CopyNamespace], method: Method) -> str:
    """Return why Pinecone cannot import the copy, as a clause; empty if it can."""
    if method != "import":
        return ""
    if model := embedding_of(manifest["index"]):
        return (
            f"the model {model} of Pinecone embeds the texts of the index, and Pinecone's documents contradict each "
            "other about the import into such an index. Upserts write the values into an index without a model"
        )
    with_schema = [row["name"] for row in imported if row["schema"]]
    if with_schema:
        return (
            f"{counted(len(with_schema), 'namespace')} with a schema, such as {one_line(with_schema[0])}, would be "
            "imported without it: a namespace gets its schema when it is created, and an import creates it"
        )
    if not any(row["records"] for row in imported):
        return "it has no namespace with records that Pinecone can import"
    return ""


def _notes(manifest: Manifest) -> list[str]:
    notes = []
    if model := embedding_of(manifest["index"]):
        notes.append(
            f"The model {model} of Pinecone embeds the texts of the original. The new index has no model: it has the "
            "same values, and its queries need vectors."
        )
    if aliases := manifest["aliases"]:
        notes.append(f"Aliases of namespaces are not created: {len(aliases)}, such as {one_line(min(aliases))}.")
    if any(row["schema"] and row["name"] == DEFAULT_NAMESPACE for row in manifest["namespaces"]):
        notes.append("The schema of the default namespace is not carried over: it exists before its schema can be set.")
    if not manifest["frozen"]:
        notes.append("The copy is not frozen: the index could change while it was copied.")
    return notes


def model_of(manifest: Manifest) -> dict[str, Any]:
    """Return the index to create, as the API describes it. The schema of a namespace is not part of it."""
    return dict(xcom_safe(_without_model(manifest["index"])))


def tags_of_copy(manifest: Manifest) -> dict[str, str]:
    """Return the tags of the index that was copied, without those that this package sets."""
    tags = manifest["index"].get("tags") or {}
    return {name: str(value) for name, value in tags.items() if not name.startswith(_OWN_TAGS)}


def _without_model(index: Mapping[str, Any]) -> Any:
    """Return an integrated index as one whose records have values only."""
    dimension, metric = dimension_of(index), metric_of(index)  # type: ignore[arg-type]
    if not embedding_of(index) or metric is None:
        return index
    kept = {name: index[name] for name in ("name", "host", "status", "spec", "deployment", "cmek_id") if name in index}
    vector_type = index.get("vector_type") or ("sparse" if dimension is None else "dense")
    return {**kept, "metric": metric, "vector_type": vector_type, **({"dimension": dimension} if dimension else {})}


def _estimate(manifest: Manifest, method: Method, into_existing: bool) -> ImportEstimate:
    names = {row["name"] for row in manifest["namespaces"] if goes_by_upsert(row, method)}
    dimension = 0 if manifest["columns"] == "sparse" else dimension_of(manifest["index"]) or 0  # type: ignore[arg-type]
    records = stored = sent = imported = 0
    for part in manifest["parts"]:
        if part["namespace"] in names:
            records += part["records"]
            stored += max(part["bytes"], 4 * dimension * part["records"])
            # The responses of the export have the same records, and are about as long.
            sent += part["response_bytes"] or (_NUMBER_BYTES * dimension + _RECORD_BYTES) * part["records"]
        else:
            imported += part["bytes"]
    requests = max(math.ceil(records / _RECORDS_PER_REQUEST), math.ceil(sent / _BYTES_PER_REQUEST))
    seconds = max(requests / _REQUESTS_PER_SECOND, sent / _BYTES_PER_SECOND)
    read_units = sum(
        max(1, math.ceil(row["records"] / _IDS_PER_READ_UNIT)) + math.ceil(row["records"] / _RECORDS_PER_READ_UNIT)
        for row in manifest["namespaces"]
    )
    if into_existing:
        # Each id is requested before its record is upserted, and again if no record was returned.
        read_units += 2 * math.ceil(records / _RECORDS_PER_READ_UNIT)
    return ImportEstimate(
        records=manifest["totals"]["records"],
        import_bytes=imported,
        write_units=max(records, math.ceil(stored / _BYTES_PER_WRITE_UNIT)),
        requests=requests,
        request_bytes=sent,
        read_units=read_units,
        minutes=math.ceil(seconds / 60) + (_IMPORT_MINUTES if imported else 0),
    )


def upsert_items(manifest: Manifest, method: Method, max_tasks: int) -> list[UpsertItem]:
    """Group the parts that are upserted, in their order.

    Args:
        manifest: The manifest of the copy.
        method: How to import.
        max_tasks: The maximum number of groups.
    """
    names = {row["name"] for row in manifest["namespaces"] if goes_by_upsert(row, method)}
    parts = [(part["number"], part["bytes"] + 1) for part in manifest["parts"] if part["namespace"] in names]
    return [UpsertItem(parts=numbers) for numbers in grouped(parts, max_tasks)]


def grouped(rows: list[tuple[Any, int]], max_groups: int, size: int = _BYTES_PER_ITEM) -> list[list[Any]]:
    """Group rows with a size into consecutive groups of about the same size.

    Args:
        rows: The rows, each with its size.
        max_groups: The maximum number of groups.
        size: The least size of a group, about.
    """
    total = sum(row_size for _, row_size in rows)
    number = max(1, min(max_groups, len(rows), math.ceil(total / size)))
    groups: dict[int, list[Any]] = {}
    before = 0
    for row, row_size in rows:
        groups.setdefault(before * number // total, []).append(row)
        before += row_size
    return list(groups.values())
