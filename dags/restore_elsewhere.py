"""Import a copy into another index, and prove that it has all records.

The connection can be of another project. The cloud and the region can differ from those of the original, the dimension
and the metric cannot. The records are upserted. To let Pinecone import the files, which is
cheaper for large copies, set `integration_id` to a storage integration of that project.
"""

from airflow.sdk import DAG, Param

from airflow_pinecone.copies import import_copy

with DAG(
    "restore_elsewhere",
    schedule=None,
    params={
        "copy_url": Param(
            "file:///tmp/pinecone-copies/INDEX_ID/BACKUP_ID",
            type="string",
            title="Copy",
            description="The folder of the copy, as the task `finish` of its export returns it. The documentation "
            "has a program that lists copies.",
        ),
        "index": Param(
            "docs-example-restored", type="string", title="Index", description="The name of the index to create."
        ),
        "conn_id": Param(
            "pinecone_default", type="string", title="Connection", description="The connection of the new index."
        ),
        "cloud": Param("", type="string", title="Cloud", description="The cloud of the new index; empty for the same."),
        "region": Param(
            "", type="string", title="Region", description="The region of the new index; empty for the same."
        ),
    },
    tags=["pinecone", "restore", "copy"],
    doc_md=__doc__,
):
    import_copy(
        "{{ params.copy_url }}",
        "{{ params.index }}",
        conn_id="{{ params.conn_id }}",
        cloud="{{ params.cloud }}",
        region="{{ params.region }}",
        retries=2,
    )
