"""Operators for backups of Pinecone indexes.

Each class is imported when it is first used, so that a DAG file only pays for those that it uses.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_pinecone.operators.audit import AuditBackupsOperator as AuditBackupsOperator
    from airflow_pinecone.operators.create import CreateBackupOperator as CreateBackupOperator
    from airflow_pinecone.operators.delete import DeleteBackupOperator as DeleteBackupOperator
    from airflow_pinecone.operators.prune import PruneBackupsOperator as PruneBackupsOperator
    from airflow_pinecone.operators.prune_copies import PruneCopiesOperator as PruneCopiesOperator
    from airflow_pinecone.operators.restore import CreateIndexFromBackupOperator as CreateIndexFromBackupOperator
    from airflow_pinecone.operators.schedule import DeleteBackupScheduleOperator as DeleteBackupScheduleOperator
    from airflow_pinecone.operators.schedule import EnsureBackupScheduleOperator as EnsureBackupScheduleOperator
    from airflow_pinecone.operators.start_import import StartImportOperator as StartImportOperator
    from airflow_pinecone.operators.verify import VerifyBackupOperator as VerifyBackupOperator
    from airflow_pinecone.operators.verify_copy import VerifyCopyOperator as VerifyCopyOperator

_MODULES = {
    "AuditBackupsOperator": "audit",
    "CreateBackupOperator": "create",
    "CreateIndexFromBackupOperator": "restore",
    "DeleteBackupOperator": "delete",
    "DeleteBackupScheduleOperator": "schedule",
    "EnsureBackupScheduleOperator": "schedule",
    "PruneBackupsOperator": "prune",
    "PruneCopiesOperator": "prune_copies",
    "StartImportOperator": "start_import",
    "VerifyBackupOperator": "verify",
    "VerifyCopyOperator": "verify_copy",
}

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
