"""Decisions about what Pinecone returned. Nothing here does I/O, reads a clock or knows Airflow."""
