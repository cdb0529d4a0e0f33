"""Create an index. ``PineconeHook.create_index`` gives access to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_pinecone.api import responses
from airflow_pinecone.api.models import IndexModel
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.transport import Transport
from airflow_pinecone.common.inputs import validate_index_name, validate_object


def create_index(transport: Transport, body: Mapping[str, Any]) -> IndexModel:
    """Create an index; see ``PineconeHook.create_index``."""
    name = validate_index_name((validate_object(body, "body") or {}).get("name"))
    operation = Operation("create_index", "POST", ("indexes",), f"create index {name}")
    return transport.create(operation, body, lambda answer, _: responses.index(answer, operation, name))
