"""Lose Pinecone's response to a create request, as a network failure does."""

import json
import os

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import CreateOutcomeUnknown
from airflow_pinecone.hooks import PineconeHook

with Emulator(api_key="test-key", indexes=["docs-example"]) as emulator:
    os.environ["AIRFLOW_CONN_PINECONE_DEFAULT"] = json.dumps(
        {"conn_type": "pinecone", "host": emulator.url, "password": emulator.api_key}
    )
    emulator.fault("POST", "/indexes/docs-example/backups", drop="after")
    try:
        PineconeHook().create_backup("docs-example", name="nightly")
    except CreateOutcomeUnknown as error:
        print(f"{type(error).__name__}: {len(emulator.backups)} backup exists")
