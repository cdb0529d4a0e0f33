"""Values that several tests use."""

API_KEY = "pc-test-key-0123456789"
INDEX = "docs-example"
CONN_ID = "pinecone_default"
# The environment variable with the connection that operators, sensors and the hook use by default.
CONNECTION_VARIABLE = "AIRFLOW_CONN_PINECONE_DEFAULT"
