"""Extract, back up, reindex: the reindex runs only once the backup is Ready.

``{"index": "my-index"}`` as the run's params backs up another index. Put your own work into ``extract`` and
``reindex``; as they stand they change nothing in Pinecone.
"""

import logging
from typing import Any

import pendulum
from airflow.sdk import DAG, task

from airflow_pinecone.operators import CreateBackupOperator

log = logging.getLogger(__name__)

with DAG(
    "reindex_with_backup",
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1),
    params={"index": "docs-example"},
    default_args={"retries": 2},
):

    @task
    def extract() -> list[dict[str, str]]:
        """Read what is to be indexed."""
        return [{"id": "doc-1", "text": "Vectors keep well."}, {"id": "doc-2", "text": "Backups keep them."}]

    @task
    def reindex(documents: list[dict[str, str]], backup: dict[str, Any]) -> int:
        """Write the documents to the index. The backup from before is the way back."""
        log.info("Reindexing %d documents; the way back is backup %s", len(documents), backup["backup_id"])
        return len(documents)

    documents = extract()
    backup = CreateBackupOperator(
        task_id="backup", index_name="{{ params.index }}", description="Before a reindex", wait_for_completion=True
    )
    documents >> backup
    reindex(documents, backup.output)
