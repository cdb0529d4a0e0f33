"""An emulator of Pinecone's control plane: indexes, backups and restores, on your own machine.

In a test::

    with Emulator(api_key="test-key", indexes=["docs-example"]) as emulator:
        emulator.next_backup(fails=True)
        ...  # speak to emulator.url

On the command line: ``python -m airflow_pinecone.emulator --help``. Needs the extra ``emulator``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_pinecone.emulator.faults import Fault
    from airflow_pinecone.emulator.server import Emulator, Exchange

__all__ = ["Emulator", "Exchange", "Fault"]


def __getattr__(name: str) -> Any:
    # Lazy, so that `python -m airflow_pinecone.emulator` can say what to install when aiohttp is missing.
    if name == "Fault":
        from airflow_pinecone.emulator.faults import Fault

        return Fault
    if name in __all__:
        from airflow_pinecone.emulator import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
