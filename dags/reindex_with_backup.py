"""Extract documents, back up the index, then reindex.

The reindex runs only when the backup is Ready. Replace `extract` and `reindex` with your own code: here they change
nothing in Pinecone.
"""

import logging
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_pinecone.operators import CreateBackupOperator

log = logging.getLogger(__name__)

with DAG(
    "reindex_with_backup",
    schedule=None,
    params={
        "index": Param("docs-example", type="string", title="Index", description="The index to back up and reindex."),
    },
    default_args={"retries": 2},
    tags=["pinecone", "backup", "reindex"],
    doc_md=__doc__,
):

    @task
    def extract() -> list[dict[str, str]]:
        """Read the documents to index."""
        return [{"id": "doc-1", "text": "The first document."}, {"id": "doc-2", "text": "The second document."}]

    @task
    def reindex(documents: list[dict[str, str]], backup: dict[str, Any]) -> int:
        """Write the documents to the index."""
        log.info("Reindexing %d documents. To roll back, restore backup %s", len(documents), backup["backup_id"])
        return len(documents)

    documents = extract()
    backup = CreateBackupOperator(
        task_id="backup", index_name="{{ params.index }}", description="Before a reindex", wait_for_completion=True
    )
    documents >> backup
    reindex(documents, backup.output)
