"""How often each index needs a backup. The DAGs backup_fleet and backup_audit use this module."""

from datetime import timedelta

from airflow_pinecone.policy import IndexRules

# The indexes that no key below matches are backed up daily. Add to the time between two backups how long one takes, and
# some time for retries.
MAX_AGE = timedelta(hours=30)
# The first key that matches an index decides.
POLICY = {
    "tag:tier=gold": IndexRules(max_age=timedelta(hours=8), max_restore_age=timedelta(days=31), max_shrink=0.2),
    "scratch-*": IndexRules(max_age=timedelta(days=30)),
}
