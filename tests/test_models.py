"""What a backup's status means."""

import pytest

from airflow_pinecone.models import phase


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("Ready", "succeeded"),
        ("Failed", "failed"),
        ("InitializationFailed", "failed"),
        ("Initializing", "running"),
        ("Pending", "running"),
        ("Scheduled", "running"),
        ("ready", "running"),
        ("SomethingNew", "running"),
        ("", "running"),
    ],
)
def test_the_phase_of_a_status(status, meaning):
    assert phase(status) == meaning
