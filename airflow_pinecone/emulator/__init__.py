"""An emulator of Pinecone on your machine: indexes and their records, backups, backup schedules and restores.

In a test::

    with Emulator(api_key="test-key", indexes=["docs-example"]) as emulator:
        emulator.next_backup(fails=True)
        ...  # send requests to emulator.url

On the command line: ``python -m airflow_pinecone.emulator --help``. The emulator needs the extra ``emulator``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_pinecone.emulator import damage
    from airflow_pinecone.emulator.faults import Fault
    from airflow_pinecone.emulator.handler import Exchange
    from airflow_pinecone.emulator.server import Emulator

__all__ = ["Emulator", "Exchange", "Fault", "damage"]

_MODULES = {
    "Emulator": "airflow_pinecone.emulator.server",
    "Exchange": "airflow_pinecone.emulator.handler",
    "Fault": "airflow_pinecone.emulator.faults",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that `python -m airflow_pinecone.emulator` can report that one of its packages is missing.
    if name == "damage":
        return import_module("airflow_pinecone.emulator.damage")
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
