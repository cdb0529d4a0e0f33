"""What a running task shares: its try, its failures, its links, its metrics and the versions of Airflow."""
