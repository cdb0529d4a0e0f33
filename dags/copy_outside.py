"""Copy the newest Ready backup of an index to an object store every week.

The DAG restores the backup into a scratch index, exports each record to Parquet files, writes a manifest, and deletes
the scratch index. A closed account, a leaked key or a lost region of Pinecone do not affect the copy.
"""

from pathlib import Path

from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import DAG, Param

from airflow_pinecone.copies import export_backup

with DAG(
    "copy_outside",
    schedule="@weekly",
    catchup=False,
    params={
        "index": Param("docs-example", type="string", title="Index", description="The index whose backup to copy."),
        "destination": Param(
            f"file://{Path(AIRFLOW_HOME) / 'pinecone-copies'}",
            type="string",
            title="Destination",
            description="A folder for all copies, such as s3://aws_default@bucket/pinecone.",
        ),
    },
    tags=["pinecone", "copy"],
    doc_md=__doc__,
):
    export_backup("{{ params.index }}", destination="{{ params.destination }}", max_read_units=2_000_000, retries=2)
