"""Make a PineconeClient without an Airflow connection, or an Airflow connection with any fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.api.settings import Settings
from airflow_pinecone.api.transport import Log
from airflow_pinecone.common.clock import Clock
from support.constants import API_KEY, CONN_ID


def ignore(message: str) -> None:
    """Log nothing."""


def make_client(
    url: str,
    clock: Clock,
    *,
    api_key: str = API_KEY,
    api_version: str = "2025-10",
    timeout: float = 5.0,
    log: Log = ignore,
) -> PineconeClient:
    """Make a client.

    Args:
        url: The control plane.
        clock: The clock for pauses between attempts.
        api_key: The API key.
        api_version: The version of the API.
        timeout: Seconds to connect, and then for the whole response.
        log: Called with a message when a request is repeated.

    Returns:
        The client.
    """
    return PineconeClient(Settings(CONN_ID, url, api_key, api_version, timeout), log, clock=clock)


def set_connection(
    monkeypatch: pytest.MonkeyPatch, uri: str | None = None, *, conn_id: str = CONN_ID, **fields: Any
) -> None:
    """Set an Airflow connection for the rest of the test.

    Args:
        monkeypatch: The fixture.
        uri: The connection as a URI.
        conn_id: The id of the connection.
        fields: Without a URI, the fields of the connection. The password is the API key by default.
    """
    value = uri or json.dumps({"conn_type": "pinecone", "password": API_KEY, **fields})
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", value)
