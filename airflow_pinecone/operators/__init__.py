"""Operators for backups of Pinecone indexes.

Each class is imported when it is first used, so that a DAG file only pays for those that it uses.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_pinecone.operators.audit import AuditBackupsOperator
    from airflow_pinecone.operators.create import CreateBackupOperator
    from airflow_pinecone.operators.delete import DeleteBackupOperator
    from airflow_pinecone.operators.prune import PruneBackupsOperator
    from airflow_pinecone.operators.restore import CreateIndexFromBackupOperator
    from airflow_pinecone.operators.verify import VerifyBackupOperator

__all__ = [
    "AuditBackupsOperator",
    "CreateBackupOperator",
    "CreateIndexFromBackupOperator",
    "DeleteBackupOperator",
    "PruneBackupsOperator",
    "VerifyBackupOperator",
]

_MODULES = {
    "AuditBackupsOperator": "audit",
    "CreateBackupOperator": "create",
    "CreateIndexFromBackupOperator": "restore",
    "DeleteBackupOperator": "delete",
    "PruneBackupsOperator": "prune",
    "VerifyBackupOperator": "verify",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
