"""The part of `make cluster-test` that copies an index to S3 while a worker is killed.

The Compose stack runs with two workers, and with moto's S3 server in a container. `copy_outside` copies a backup of an
index with generated records. When some parts are exported, a worker is killed with SIGKILL while it exports others. In
the end, the copy must be complete, and have the digests of the index.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import requests
from airflow_api import FINISHED, AirflowApi, AirflowError
from botocore.exceptions import ClientError
from cluster import REPLICAS, SCHEDULER, TASKS, Cluster, Task
from cluster_verdict import CopyOutcome, problems_of_copy
from local_airflow import free_port
from stack import CheckFailed, log_in, run, say, wait_until
from upath import UPath

from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.api.settings import Settings
from airflow_pinecone.copying.read import CopyReader
from airflow_pinecone.copying.store import CopyStore
from airflow_pinecone.errors import CopyFailed
from airflow_pinecone.rules.copy_format import ids_file, part_record
from airflow_pinecone.rules.digests import NamespaceDigest

ROOT = Path(__file__).resolve().parents[1]
DAG, EXPORT, LIST = "copy_outside", "export_backup.export", "export_backup.list_ids"
INDEX, BUCKET = "docs-large", "copies"
RECORDS, DIMENSION, PARTS = 300_000, 256, 16
# The bytes of such a record before compression, about.
RECORD_BYTES = 1_140
# The share of the parts that are exported when the worker is killed.
KILL_AT = 0.25
# The seconds since the killed tasks have read the ids of their parts. In the first ones, a task only starts.
KILL_AFTER = 5
RUN_TIMEOUT = 1800
REGION = "us-east-1"
# moto accepts any keys.
ACCESS_KEY = SECRET_KEY = "testing"  # noqa: S105
# Any image with Python is a base for moto. The one of Airflow is already there.
STORE = """\
ARG AIRFLOW_IMAGE
FROM ${AIRFLOW_IMAGE}
RUN pip install --quiet --no-cache-dir "moto[s3,server]"
ENTRYPOINT ["moto_server", "--host", "0.0.0.0", "--port", "5000"]
"""
STORE_CHECK = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/moto-api/', timeout=5)"


class CopyCluster(Cluster):
    """A cluster with an S3 server, that copies an index.

    Args:
        folder: An empty folder for the DAG and the settings.
        records: The number of records of the index.
    """

    def __init__(self, folder: Path, records: int) -> None:
        """Write the DAG and the settings; nothing is started yet."""
        self.records = records
        port = free_port()
        self.store_url = f"http://127.0.0.1:{port}"
        store = folder / "store"
        store.mkdir()
        store.joinpath("Dockerfile").write_text(STORE)
        extra = {"endpoint_url": "http://store:5000", "region_name": REGION}
        connection = {"conn_type": "aws", "login": ACCESS_KEY, "password": SECRET_KEY, "extra": extra}
        services: dict[str, dict[str, Any]] = {
            # The seconds until the tasks of the killed worker are tried again. The default is 300.
            "scheduler": {"environment": {**SCHEDULER, "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120"}},
            "worker": {"environment": {"AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection)}},
            "store": {
                "build": {"context": str(store), "args": {"AIRFLOW_IMAGE": "${AIRFLOW_IMAGE}"}},
                "ports": [f"127.0.0.1:{port}:5000"],
                "healthcheck": {"test": ["CMD", "python", "-c", STORE_CHECK], "interval": "10s", "timeout": "10s"},
            },
        }
        emulator = ["--index", INDEX, "--seed-records", str(records), "--dimension", str(DIMENSION)]
        emulator += ["--ready-after", "2", "--restore-after", "10"]
        source = copy_dag_source(records * RECORD_BYTES // PARTS)
        super().__init__(folder, {f"{DAG}.py": source}, emulator, services=services, worker_concurrency=2)

    @cached_property
    def s3(self) -> Any:
        """A client of the S3 server."""
        keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region_name": REGION}
        return boto3.client("s3", endpoint_url=self.store_url, **keys)

    @cached_property
    def pinecone(self) -> PineconeClient:
        """A client of the emulator."""
        return PineconeClient(Settings("cluster", self.emulator_url, self.api_key, "2025-10", 30), say)

    @cached_property
    def url(self) -> str:
        """The folder of the copy, which the first task of the run has returned."""
        return str(self.results("export_backup.plan")[-1]["url"])

    @property
    def copy(self) -> CopyReader:
        """The reader of the copy."""
        options: dict[str, Any] = {"endpoint_url": self.store_url, "client_kwargs": {"region_name": REGION}}
        url = self.url.replace("aws_default@", "")
        return CopyReader(CopyStore(UPath(url, key=ACCESS_KEY, secret=SECRET_KEY, **options)))

    def is_exported(self, part: int) -> bool:
        """Return whether a part is complete."""
        key = f"{self.url.partition(f'{BUCKET}/')[2]}/{part_record(part)}"
        try:
            self.s3.head_object(Bucket=BUCKET, Key=key)
        except ClientError:
            return False
        return True

    def work_of(self, host: str) -> list[Task]:
        """Return what a worker does, if it is in the middle of parts: each mapped task exports one."""
        tasks = self.tasks(f"state = 'running' AND hostname = '{host}'")
        log = run(["docker", "logs", "--until", f"{KILL_AFTER}s", self.container("store")], errors=True)

        def is_in_part(task: Task) -> bool:
            # `list_ids` has written the same file.
            has_ids = re.search(rf'"GET \S+/{ids_file(task.map_index)} HTTP', log)
            return task.task_id == EXPORT and has_ids is not None and not self.is_exported(task.map_index)

        return tasks if tasks and all(map(is_in_part, tasks)) else []

    def fetches(self) -> int:
        """Return the number of answered requests for records of the scratch index, since its ids were listed."""
        (row,) = self.rows(f"SELECT end_date FROM task_instance WHERE task_id = '{LIST}'")  # noqa: S608
        log = run(["docker", "logs", "--since", row["end_date"], self.container("emulator")], errors=True)
        scratch = f"/data-plane/{self.results('export_backup.plan')[-1]['scratch']}-"
        return sum(scratch in line and "/vectors/fetch " in line for line in log.splitlines())

    def written_again(self) -> list[str]:
        """Return the keys of the objects that were written more than once. The bucket keeps all versions."""
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET)
        versions = Counter(row["Key"] for page in pages for row in page.get("Versions", []))
        return sorted(key for key, count in versions.items() if count > 1)

    def digests(self) -> dict[str, str]:
        """Read the source index, and return the digest of each namespace."""
        reader = self.pinecone.records(INDEX)
        digests = {}
        for namespace in reader.namespaces():
            digest = NamespaceDigest()
            for batch in reader.read(namespace):
                digest.add(batch.records)
            digests[namespace] = str(digest)
        return digests


def copy_dag_source(part_bytes: int) -> str:
    """Return the example without a schedule, with smaller parts, and with a shorter delay between its tries."""
    source = (ROOT / "dags" / f"{DAG}.py").read_text()
    changes = {
        "retries=2)": f"retries=2, retry_delay=20, part_bytes={part_bytes}, deferrable=True)",
        # Its first run would start at once, with another index.
        'schedule="@weekly"': "schedule=None",
    }
    for old, new in changes.items():
        if source.count(old) != 1:
            raise ValueError(f"{DAG} does not contain {old!r} once")
        source = source.replace(old, new)
    return source


def check_copy(cluster: CopyCluster) -> None:
    """Start the cluster, copy the index while a worker is killed, and check the copy.

    Raises:
        CheckFailed: The stack did not start, or a check failed.
    """
    stack = cluster.stack
    stack.up(worker=REPLICAS["worker"])
    api = log_in(stack)
    say(f"all containers are healthy; the API is on port {stack.port}")
    cluster.s3.create_bucket(Bucket=BUCKET)
    cluster.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    backup_id = cluster.pinecone.create_backup(INDEX)["backup_id"]
    wait_until(
        lambda: cluster.pinecone.describe_backup(backup_id)["status"] == "Ready", 60, lambda: "the backup to be Ready"
    )
    api.wait_until(lambda: api.request("GET", f"dags/{DAG}").ok, 180, f"DAG {DAG}")
    api.api("PATCH", f"dags/{DAG}", json={"is_paused": False})
    run_id = api.trigger(DAG, {"index": INDEX, "destination": f"s3://aws_default@{BUCKET}/pinecone"})
    started = time.monotonic()
    wait_for_parts(cluster, api, run_id)
    exported = exported_parts(cluster)
    killed = cluster.kill("worker", cluster.work_of)
    killed_after = time.monotonic() - started
    say(f"worker: killed in the middle of {len(killed)} parts, when {exported} were exported")
    wait_until(
        lambda: state_of(api, run_id) in FINISHED,
        RUN_TIMEOUT - (time.monotonic() - started),
        lambda: f"the run; {exported_parts(cluster)} parts are exported",
    )
    duration = time.monotonic() - started
    say(f"the run ended after {duration:.0f} s: {state_of(api, run_id)}")
    report_copy(cluster, killed, exported, killed_after, duration)
    if state_of(api, run_id) != "success":
        raise CheckFailed("The run failed.")
    if len(stack.hosts("worker")) != REPLICAS["worker"] - 1:
        raise CheckFailed("The killed worker has come back.")


def state_of(api: AirflowApi, run_id: str) -> str | None:
    """Return the state of the run, or None if the API does not answer."""
    with suppress(AirflowError, requests.RequestException):
        return api.run_state(DAG, run_id)
    return None


def exported_parts(cluster: CopyCluster) -> int:
    """Return the number of parts that tasks have exported."""
    return len(cluster.tasks(f"task_id = '{EXPORT}' AND state = 'success'"))


def wait_for_parts(cluster: CopyCluster, api: AirflowApi, run_id: str) -> None:
    """Wait until enough parts are exported.

    Raises:
        CheckFailed: They were not exported in time, or the run has finished.
    """

    def enough() -> bool:
        if state_of(api, run_id) in FINISHED:
            raise CheckFailed("The run has finished before the worker was killed.")
        return exported_parts(cluster) >= KILL_AT * PARTS

    wait_until(enough, RUN_TIMEOUT, lambda: f"parts; {exported_parts(cluster)} are exported")


def report_copy(cluster: CopyCluster, killed: list[Task], exported: int, killed_after: float, duration: float) -> None:
    """Check the copy, and print the tables.

    Raises:
        CheckFailed: The copy is not complete or differs from the index, or more was exported again than was killed.
    """
    copy = cluster.copy
    try:
        copy.verify(3)
    except CopyFailed as error:
        raise CheckFailed(str(error)) from None
    totals, parts = copy.manifest["totals"], copy.manifest["parts"]
    max_ids = cluster.pinecone.records(INDEX).max_ids
    outcome = CopyOutcome(
        source=cluster.digests(),
        copy={row["name"]: row["digest"] for row in copy.manifest["namespaces"]},
        other_indexes=[index["name"] for index in cluster.pinecone.list_indexes() if index["name"] != INDEX],
        tasks=[(row["task_id"], row["map_index"], row["try_number"], row["state"]) for row in cluster.rows(TASKS)],
        killed=[task.map_index for task in killed],
        results=cluster.results(EXPORT),
        written_again=cluster.written_again(),
        fetches=cluster.fetches(),
        needed=[math.ceil(part["records"] / max_ids) for part in parts],
    )
    problems = problems_of_copy(outcome, EXPORT)
    retried = len(killed) - len(problems["killed, not tried again"])
    print("\n| fault | after | parts then | hit | of them, tried again |\n| --- | ---: | ---: | --- | ---: |")
    hit = f"{len(killed)} tasks in the middle of a part"
    print(f"| a worker is killed with SIGKILL | {killed_after:.0f} s | {exported} | {hit} | {retried} |")
    figures = {
        "records": f"{totals['records']:,}",
        "parts": len(parts),
        "MB": f"{totals['bytes'] / 10**6:.0f}",
        **{kind: len(found) for kind, found in problems.items()},
        "requests for records": f"{sum(outcome.needed):,} + {outcome.fetched_again:,}",
        "duration": f"{duration:.0f} s",
    }
    print(f"\n| {' | '.join(figures)} |\n|{' ---: |' * len(figures)}")
    print(f"| {' | '.join(map(str, figures.values()))} |\n", flush=True)
    if wrong := {kind: found for kind, found in problems.items() if found}:
        raise CheckFailed(f"After the run: {wrong}")
