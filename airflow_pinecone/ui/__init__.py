"""The page "Pinecone backups" in Airflow's UI. It only reads, and nothing else imports it."""
