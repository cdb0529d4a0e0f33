"""What the tests of several operators share."""

from __future__ import annotations

from typing import Any

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.rules.identity import Origin, describe

# The paths of an operator: without a wait, with a wait in the worker, and with a wait in the triggerer.
NO_WAIT: dict[str, Any] = {"wait_for_completion": False}
WORKER: dict[str, Any] = {"wait_for_completion": True, "deferrable": False}
TRIGGERER: dict[str, Any] = {"wait_for_completion": True, "deferrable": True}
WAITS = {"worker": WORKER, "triggerer": TRIGGERER}
PATHS = {"no wait": NO_WAIT, **WAITS}

# Faults with which Pinecone processes a create request, and its response is lost.
LOST_RESPONSES: dict[str, dict[str, Any]] = {
    "dropped": {"drop": "after"},
    "503": {"status": 503, "work": True},
    "500": {"status": 500, "work": True},
    "408": {"status": 408, "work": True},
    "not JSON": {"body": b"<html>", "work": True},
    "timed out": {"hang": "after"},
}

# The description of a backup that this package created.
OUR_DESCRIPTION = describe(None, Origin("etl", "manual__1", "backup", -1, "2025-05-14T16:37:25+00:00", 1))


def methods(emulator: Emulator) -> list[str]:
    """Return the HTTP methods of the requests to an emulator."""
    return [exchange.method for exchange in emulator.requests]


def allow_any_response(emulator: Emulator, *paths: str) -> None:
    """Let the responses to GET requests deviate from the published description of the API.

    A response that a fault changes need not match the description.
    """
    for path in paths:
        emulator.fault("GET", path, headers={"x-changed": "yes"}, times=None)
