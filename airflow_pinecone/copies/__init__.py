"""The task groups that copy an index outside of Pinecone, and import a copy.

Each one is imported when it is first used, so that a DAG file only pays for those that it uses.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_pinecone.copies.export_group import export_backup as export_backup
    from airflow_pinecone.copies.import_group import import_copy as import_copy

_MODULES = {"export_backup": "export_group", "import_copy": "import_group"}

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
