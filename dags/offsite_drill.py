"""Prove that an index can be restored from a copy outside of Pinecone.

The DAG copies the newest Ready backup to an object store, imports the copy into a new index, reads all records of that
index to prove that it has those of the copy, and deletes the index. The connection `conn_id` can be of another project,
and the index can be in another cloud and region.
"""

from pathlib import Path

from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import DAG, Param

from airflow_pinecone.copies import export_backup, import_copy

with DAG(
    "offsite_drill",
    schedule=None,
    params={
        "index": Param("docs-example", type="string", title="Index", description="The index whose backup to copy."),
        "destination": Param(
            f"file://{Path(AIRFLOW_HOME) / 'pinecone-copies'}",
            type="string",
            title="Destination",
            description="A folder for all copies, such as s3://aws_default@bucket/pinecone.",
        ),
        "target": Param(
            "offsite-drill", type="string", title="New index", description="The index to create, and to delete."
        ),
        "conn_id": Param(
            "pinecone_default", type="string", title="Connection", description="The connection of the new index."
        ),
        "cloud": Param("", type="string", title="Cloud", description="The cloud of the new index; empty for the same."),
        "region": Param(
            "", type="string", title="Region", description="The region of the new index; empty for the same."
        ),
    },
    tags=["pinecone", "copy", "restore"],
    doc_md=__doc__,
):
    export = export_backup("{{ params.index }}", destination="{{ params.destination }}", retries=1)
    proof = import_copy(
        "{{ ti.xcom_pull(task_ids='export_backup.finish')['url'] }}",
        "{{ params.target }}",
        conn_id="{{ params.conn_id }}",
        cloud="{{ params.cloud }}",
        region="{{ params.region }}",
        delete_index=True,
        retries=1,
    )
    export >> proof
