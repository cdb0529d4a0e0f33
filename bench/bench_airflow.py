"""A real Airflow on PostgreSQL in front of the emulator, and what its processes use."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import psutil
from control_plane import API_KEY, ControlPlane
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from local_airflow import LocalAirflow
from sqlalchemy import create_engine, text

FOLDER = Path(__file__).resolve().parent
PARTS = ("worker", "triggerer", "scheduler", "api-server")
_SAMPLE_SECONDS = 1.0


def create_certificate(path: Path) -> None:
    """Create a certificate for 127.0.0.1 that signs itself, in a file with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))


class BenchAirflow(LocalAirflow):
    """An Airflow whose parts are started one by one, on PostgreSQL. Its triggerer can be replaced.

    Args:
        home: An existing folder.
        database: The URL of the database.
        service: The control plane.
        certificate: The certificate of the control plane.
    """

    parts = ("scheduler", "dag_processor")

    def __init__(self, home: Path, database: str, service: ControlPlane, certificate: Path) -> None:
        """Store the arguments; nothing is started yet."""
        self.reads = home / "connection_reads"
        settings = {
            "PYTHONPATH": str(FOLDER),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__CORE__PARALLELISM": "64",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__TRIGGERER__CAPACITY": "1000",
            "AIRFLOW__SECRETS__BACKEND": "probes.CountingBackend",
            "BENCH_CONNECTION_READS": str(self.reads),
            "REQUESTS_CA_BUNDLE": str(certificate),
            # The SDK uses httpx, which reads this one.
            "SSL_CERT_FILE": str(certificate),
            "PINECONE_API_KEY": API_KEY,
            "PINECONE_CONTROLLER_HOST": service.url(),
        }
        super().__init__(home, dags=FOLDER / "bench_dags", connections={}, settings=settings)
        del self.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS"]
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._database = create_engine(database)

    def start(self, timeout: float = 180.0) -> None:
        """Create the tables, start all parts but the triggerer, and wait until they are healthy."""
        passwords = self.home / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({self.username: self.password}))
        try:
            self._run("db", "migrate").wait(timeout)
            self._standalone = self._run("api-server")
            self.start_part("scheduler")
            self.start_part("dag-processor")
            self.wait_until(self._is_healthy, timeout, "Airflow to be healthy")
            self.log_in(self.username, self.password)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop Airflow."""
        super().stop()
        self._database.dispose()

    def replace_triggerer(self) -> None:
        """Start a triggerer, after the end of the one that runs."""
        self.stop_triggerer()
        running = self._triggerers()
        self.start_part("triggerer")
        self.wait_until(lambda: self._triggerers() > running, 60, "the triggerer")

    def stop_triggerer(self) -> None:
        """Kill the triggerer, if one runs."""
        for popen in [popen for popen in self._parts if str(popen.args).endswith("'triggerer']")]:
            tree = _tree(popen.pid)
            for process in tree:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(tree, timeout=10)
            popen.wait(10)
            self._parts.remove(popen)

    def _triggerers(self) -> int:
        count = self.query("SELECT count(*) FROM job WHERE job_type = 'TriggererJob' AND latest_heartbeat IS NOT NULL")
        return int(count[0][0])

    def query(self, statement: str, **values: Any) -> list[Any]:
        """Return the rows of a query."""
        with self._database.connect() as connection:
            return list(connection.execute(text(statement), values).all())

    def execute(self, statement: str, **values: Any) -> None:
        """Change rows."""
        with self._database.begin() as connection:
            connection.execute(text(statement), values)

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """Delete a run, whatever its state. Its triggers stop, and its tasks are killed."""
        self.execute("UPDATE dag_run SET state = 'failed' WHERE run_id = :run_id", run_id=run_id)
        self.api("DELETE", f"dags/{dag_id}/dagRuns/{run_id}")

    def connection_reads(self) -> int:
        """Return how often the triggers have read a connection from Airflow's database so far."""
        lines = self.reads.read_text(encoding="utf-8").splitlines() if self.reads.exists() else []
        # The process of the triggers passes each reading on to its parent, which is the triggerer.
        return sum(line.startswith(f"{self.part('triggerer').pid} ") for line in lines)

    def add_connection(self, conn_id: str, service: ControlPlane) -> None:
        """Add a connection to Airflow's database."""
        body = {"connection_id": conn_id, "conn_type": "pinecone", "host": service.url(), "password": API_KEY}
        self.api("POST", "connections", json=body)

    def count_tasks(self, run_id: str, state: str) -> int:
        """Return how many tasks of a run are in a state."""
        rows = self.query(
            "SELECT count(*) FROM task_instance WHERE run_id = :run_id AND state = :state", run_id=run_id, state=state
        )
        return int(rows[0][0])

    def defer(self, run_id: str, triggers: list[tuple[str, Mapping[str, Any]]]) -> float:
        """Defer all tasks of a run of many_deferred, and return when that was."""
        command = [sys.executable, str(FOLDER / "defer_tasks.py"), run_id]
        subprocess.run(
            command, input=json.dumps(triggers).encode(), env=self.environment, check=True, stdout=subprocess.DEVNULL
        )
        return time.time()

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of each part so far, with those of its processes that have ended."""
        scheduler = self.part("scheduler")
        with scheduler.oneshot():
            times = scheduler.cpu_times()
        children = sum(_cpu(process) for process in _tree(scheduler.pid)[1:])
        result = {
            "scheduler": times.user + times.system,
            "worker": children + times.children_user + times.children_system,
            "api-server": sum(map(_cpu, _tree(self._api_server.pid))),
            "triggerer": 0.0,
        }
        with suppress(Exception):
            result["triggerer"] = sum(map(_cpu, _tree(self.part("triggerer").pid)))
        return result

    def memory(self, part: str) -> float:
        """Return the MiB of private memory of the triggerer or, for ``worker``, of the processes of tasks."""
        tree = _tree(self.part("triggerer").pid) if part == "triggerer" else self.task_processes()
        return sum(map(_memory, tree)) / 2**20

    def task_processes(self) -> list[psutil.Process]:
        """Return the processes of tasks: each is a child of a worker of the LocalExecutor."""
        return [task for worker in self.part("scheduler").children() for task in worker.children()]

    def slots(self) -> int:
        """Return how many worker slots tasks hold now."""
        return int(self.query("SELECT count(*) FROM task_instance WHERE state = 'running'")[0][0])

    @property
    def _api_server(self) -> psutil.Process:
        if self._standalone is None:
            raise RuntimeError("Airflow is not running")
        return psutil.Process(self._standalone.pid)


def measure(airflow: BenchAirflow, service: ControlPlane, seconds: float, memory_of: str) -> dict[str, Any]:
    """Measure an Airflow for a while.

    Args:
        airflow: The Airflow.
        service: The control plane.
        seconds: How long.
        memory_of: The part whose memory is read: ``worker`` or ``triggerer``.

    Returns:
        ``requests``, ``connections`` and ``cpu`` (by part) for each minute, the mean ``slots``, and ``mib``.
    """
    counters, cpu, started = service.counters(), airflow.cpu(), time.monotonic()
    slots: list[int] = []
    while (left := started + seconds - time.monotonic()) > 0:
        slots.append(airflow.slots())
        time.sleep(min(_SAMPLE_SECONDS, left))
    counters_after, cpu_after, ended = service.counters(), airflow.cpu(), time.monotonic()
    minutes = (ended - started) / 60
    return {
        "requests": (counters_after.requests - counters.requests) / minutes,
        "connections": (counters_after.connections - counters.connections) / minutes,
        "cpu": {part: (cpu_after[part] - cpu[part]) / minutes for part in PARTS},
        "slots": sum(slots) / max(len(slots), 1),
        "mib": airflow.memory(memory_of),
    }


def _tree(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _cpu(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def _memory(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_full_info().uss)
    return 0
