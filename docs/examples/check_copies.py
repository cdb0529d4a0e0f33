"""Copy an index every week, check the copy, and keep four weekly and twelve monthly copies."""

from airflow.sdk import DAG

from airflow_pinecone.copies import export_backup
from airflow_pinecone.operators import PruneCopiesOperator, VerifyCopyOperator

DESTINATION = "s3://aws_default@vault/pinecone"

with DAG("check_copies", schedule="@weekly", catchup=False, default_args={"retries": 2}):
    copy = export_backup("docs-example", destination=DESTINATION)
    verify = VerifyCopyOperator(
        task_id="verify", copy="{{ ti.xcom_pull(task_ids='export_backup.finish')['url'] }}", level=2
    )
    prune = PruneCopiesOperator(
        task_id="prune", destination=DESTINATION, index_name="docs-example", keep_weekly=4, keep_monthly=12
    )
    copy >> verify >> prune
