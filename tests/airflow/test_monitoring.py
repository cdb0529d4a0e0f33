"""What a real Airflow tells others about backups: an email of the audit, metrics, and lineage."""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from local_airflow import LocalAirflow, free_port
from support.real_airflow import API_KEY, ROOT

from airflow_pinecone.emulator import Emulator

INDEX = "docs-example"

# The deadline of backup_audit, with seconds instead of minutes, on a run that waits for a file.
DEADLINE_DAG = """
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, task
from backup_audit import options

options["deadline"].interval = timedelta(seconds=1)

with DAG("deadline", schedule=None, params={"file": ""}, **options):

    @task.sensor(poke_interval=1)
    def wait_for_file(params):
        return Path(params["file"]).exists()

    wait_for_file()
"""


class Inbox:
    """The messages that a local SMTP server has received, as text."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep a message; aiosmtpd calls this."""
        message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        body = message.get_body(("html", "plain"))
        assert body is not None
        self.messages.append(f"To: {message['To']}\nSubject: {message['Subject']}\n\n{body.get_content()}")
        return "250 OK"


class StatsdListener:
    """A UDP socket that receives what Airflow sends to StatsD."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._stopped = False
        self._thread = threading.Thread(target=self._receive)
        self.port: int = self._socket.getsockname()[1]
        self.metrics: list[str] = []

    def __enter__(self) -> StatsdListener:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped = True
        # An empty packet ends the wait for the next one.
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _receive(self) -> None:
        while not self._stopped:
            self.metrics += self._socket.recv(65536).decode().splitlines()

    def named(self, name: str) -> list[str]:
        """Return the metrics of a name: their tags, value and type."""
        start = f"airflow.pinecone.{name}"
        return [metric.removeprefix(start) for metric in self.metrics if metric.startswith((f"{start},", f"{start}:"))]


@pytest.fixture(scope="module")
def inbox() -> Iterator[tuple[Inbox, int]]:
    """Run an SMTP server, and return its messages and its port."""
    inbox = Inbox()
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield inbox, controller.port
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def statsd() -> Iterator[StatsdListener]:
    with StatsdListener() as listener:
        yield listener


@pytest.fixture(scope="module")
def monitored(
    emulator: Emulator, inbox: tuple[Inbox, int], statsd: StatsdListener, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalAirflow]:
    """Run an Airflow with the example DAGs whose metrics and email go to this process."""
    home = tmp_path_factory.mktemp("monitored")
    dags = home / "dags"
    shutil.copytree(ROOT / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    (dags / "deadline.py").write_text(DEADLINE_DAG)
    with LocalAirflow(
        home,
        dags=dags,
        connections={
            "pinecone_default": {"conn_type": "pinecone", "host": emulator.url, "password": API_KEY},
            "smtp_default": {
                "conn_type": "smtp",
                "host": "127.0.0.1",
                "port": inbox[1],
                "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"},
            },
        },
        settings={
            # The runs of DAGs with a schedule would create backups, too.
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_PORT": str(statsd.port),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(home / "lineage.json"), "append": True}
            ),
        },
    ) as airflow:
        yield airflow


@pytest.fixture
def run(monitored: LocalAirflow) -> Callable[..., str]:
    """Run a DAG, and return the state of the run: `run("reindex_with_backup", index="docs-example")`."""

    def run(dag_id: str, **params: str) -> str:
        run_id = monitored.trigger(dag_id, params)
        monitored.api("PATCH", f"dags/{dag_id}", json={"is_paused": False})
        return monitored.wait_for_run(dag_id, run_id, 120)

    return run


def test_audit_sends_an_email_that_names_the_index(
    emulator: Emulator, run: Callable[..., str], inbox: tuple[Inbox, int], monitored: LocalAirflow
) -> None:
    emulator.add_index("never-backed-up")
    assert run("backup_audit") == "failed"

    def failed() -> list[str]:
        return [message for message in inbox[0].messages if "is unprotected" in message]

    monitored.wait_until(failed, 30, "an email")
    message = failed()[0]
    assert "To: data-team@example.com" in message
    assert "never-backed-up (unprotected): it has no Ready backup." in message
    subject = message.partition("Subject: ")[2].splitlines()[0]
    assert re.fullmatch(r"\[[^/]+:\d+\] Index \S+ is unprotected, and 1 more failed", subject)
    urls = re.findall(r'<a href="(http://[^/]+/[^"]+)">([^<]+)</a>', message)
    assert [text for _, text in urls] == ["Backups of the index", "Run", "Log"]
    assert "/pinecone-backups/indexes/" in urls[0][0]
    assert urls[2][0].startswith(f"{urls[1][0]}/tasks/audit")


def test_audit_that_does_not_finish_sends_an_email(
    inbox: tuple[Inbox, int], monitored: LocalAirflow, tmp_path: Path
) -> None:
    file = tmp_path / "done"
    monitored.api("PATCH", "dags/deadline", json={"is_paused": False})
    run_id = monitored.trigger("deadline", {"file": str(file)})

    def late() -> list[str]:
        text = f"Run {run_id} did not finish within 30 minutes."
        return [message for message in inbox[0].messages if text in message]

    monitored.wait_until(late, 60, "the email of the deadline")
    assert late()[0].startswith("To: data-team@example.com")
    assert "Subject: The audit of the Pinecone backups did not finish in time" in late()[0]
    file.touch()
    assert monitored.wait_for_run("deadline", run_id, 60) == "success"


def test_metrics_are_sent_to_statsd(
    emulator: Emulator, run: Callable[..., str], statsd: StatsdListener, monitored: LocalAirflow
) -> None:
    emulator.next_backup(INDEX, ready_after=2)
    assert run("reindex_with_backup", index=INDEX) == "success"
    monitored.wait_until(lambda: statsd.named("backup.bytes"), 30, "the metrics of the backup")
    assert statsd.named("backup.ready") == [f",index={INDEX}:1|c"]
    assert statsd.named("backup.records") == [f",index={INDEX}:96|g"]
    (duration,) = statsd.named("backup.duration")
    assert duration.startswith(f",index={INDEX}:")
    assert 2000 <= float(duration.partition(":")[2].removesuffix("|ms")) < 60_000
    emulator.next_backup(INDEX, fails=True)
    monitored.trigger("reindex_with_backup", {"index": INDEX})
    monitored.wait_until(lambda: statsd.named("backup.failed"), 60, "the metric of the failed backup")
    assert statsd.named("backup.failed") == [f",index={INDEX}:1|c"]


def lineage_events(home: Path, job: str) -> list[dict[str, Any]]:
    """Return the OpenLineage events of a job that has completed."""
    file = home / "lineage.json"
    events = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [event for event in events if event["job"]["name"] == job and event["eventType"] == "COMPLETE"]


def test_lineage_leads_from_the_index_to_its_backups_and_to_the_restored_index(
    emulator: Emulator, run: Callable[..., str], monitored: LocalAirflow
) -> None:
    assert run("reindex_with_backup", index=INDEX) == "success"
    assert run("restore_drill", index=INDEX) == "success"

    def names(job: str, field: str) -> list[str]:
        monitored.wait_until(lambda: lineage_events(monitored.home, job), 30, f"the lineage of {job}")
        return [dataset["name"] for dataset in lineage_events(monitored.home, job)[-1][field]]

    assert names("reindex_with_backup.backup", "inputs") == [INDEX]
    assert names("reindex_with_backup.backup", "outputs") == [f"{INDEX}/backups"]
    assert names("restore_drill.restore_test.restore", "inputs") == [f"{INDEX}/backups"]
    assert names("restore_drill.restore_test.restore", "outputs")[0].startswith("restore-test-")
