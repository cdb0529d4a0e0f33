"""Test that the newest Ready backup of an index can be restored, with all its records.

The DAG restores the backup into a scratch index, reads each record of it, compares it with the record of the index, and
deletes the scratch index, whether the test passes or fails. The task `report` has the result.
"""

from airflow.sdk import DAG, Param

from airflow_pinecone.restore_test import restore_test

with DAG(
    "restore_drill",
    schedule=None,
    params={
        "index": Param("docs-example", type="string", title="Index", description="The index whose backup to restore."),
    },
    tags=["pinecone", "restore"],
    doc_md=__doc__,
):
    restore_test("{{ params.index }}", retries=1)
