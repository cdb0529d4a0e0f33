"""Pinecone over HTTP. Nothing here knows Airflow."""
