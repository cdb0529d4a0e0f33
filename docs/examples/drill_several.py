"""Test the backups of several indexes every week, one after another. Each run has its own log and its own alert."""

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG

INDEXES = ["docs-example", "docs-images"]

with DAG("drill_several", schedule="@weekly", catchup=False):
    TriggerDagRunOperator.partial(
        task_id="test",
        trigger_dag_id="restore_drill",
        wait_for_completion=True,
        deferrable=True,
        # Each test needs one more index in the project while it runs.
        max_active_tis_per_dagrun=1,
        map_index_template="{{ task.conf['index'] }}",
    ).expand(conf=[{"index": name} for name in INDEXES])
