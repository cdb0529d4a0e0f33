"""The command line interface of the emulator."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from airflow_pinecone.emulator.command_line import main
from airflow_pinecone.emulator.scenario import Scenario

KEY = "pc-cli-key-9876543210"
COMMAND = [sys.executable, "-m", "airflow_pinecone.emulator"]
HEADERS = {"Api-Key": KEY, "X-Pinecone-Api-Version": "2025-10"}


class Running(NamedTuple):
    process: "subprocess.Popen[str]"
    url: str

    def request(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        return requests.request(method, self.url + path, headers=HEADERS, timeout=20, **kwargs)


def environment(changes: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PINECONE_API_KEY"} | changes


@contextmanager
def running(*arguments: str, **changes: str) -> Iterator[Running]:
    """Run the command with these changes of the environment until the end of the block."""
    with subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(changes),
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            match = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", line)
            assert match, (line, process.poll())
            yield Running(process, match[1])
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def returns_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `main` stop as soon as it listens, so that a test fails and does not hang if an argument is accepted."""
    monkeypatch.setattr(signal, "pthread_sigmask", lambda how, signals: None)
    monkeypatch.setattr(signal, "sigwait", lambda signals: signal.SIGTERM)


def run(*arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=30, env=environment(changes), check=False
    )


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_runs_until_a_signal(stop_signal: signal.Signals) -> None:
    with running("--index", "docs-example:7", "--index", "other", PINECONE_API_KEY=KEY) as emulator:
        created = emulator.request("POST", "/indexes/docs-example/backups", json={})
        assert (created.status_code, created.json()["record_count"]) == (201, 7)
        assert emulator.request("GET", "/backups/" + created.json()["backup_id"]).json()["status"] == "Ready"
        assert emulator.request("PUT", "/collections").status_code == 501
        emulator.process.send_signal(stop_signal)
        output, log = emulator.process.communicate(timeout=20)
        assert emulator.process.returncode == 0
    assert output == ""
    assert "POST /indexes/docs-example/backups 201" in log
    assert "Not emulated: PUT /collections" in log
    assert KEY not in log
    assert "Traceback" not in log


def test_several_settings_and_faults() -> None:
    with running(
        *("--api-key", KEY, "--index", "docs-example"),
        *("--backup-ends", "InitializationFailed", "--listed-after", "1000", "--quota", "2"),
        *("--fault", "POST /indexes/*/backups nth=1 drop=after"),
        *("--fault", "GET /backups/* status=503 retry_after=2 times=1"),
        *("--fault", "GET /indexes drip=body body=ab"),
        *("--fault", "GET /indexes endless=yes"),
        PINECONE_API_KEY="another",
    ) as emulator:
        with pytest.raises(requests.exceptions.ConnectionError):
            emulator.request("POST", "/indexes/docs-example/backups", json={})
        created = emulator.request("POST", "/indexes/docs-example/backups", json={})
        assert emulator.request("POST", "/indexes/docs-example/backups", json={}).status_code == 403
        assert emulator.request("GET", "/backups").json() == {"data": []}
        path = "/backups/" + created.json()["backup_id"]
        failed = emulator.request("GET", path)
        assert (failed.status_code, failed.headers["Retry-After"]) == (503, "2")
        assert emulator.request("GET", path).json()["status"] == "InitializationFailed"
        start = time.monotonic()
        assert emulator.request("GET", "/indexes").text == "ab"
        assert time.monotonic() - start >= 0.4  # two bytes at five bytes a second
        with emulator.request("GET", "/indexes", stream=True) as endless:
            assert endless.raw.read(100_000).rstrip().endswith(b"}]}")


@pytest.mark.parametrize(
    ("arguments", "backup", "job", "listed_jobs"),
    [
        (["--ready-after", "1000"], "Initializing", 400, 0),
        (["--described-after", "1000"], 404, 404, 0),
        (["--restore-ends", "Cancelled"], "Ready", "Cancelled", 1),
        (["--restore-after", "1000"], "Ready", "Pending", 1),
        (["--restore-visible-after", "1000"], "Ready", 404, 0),
    ],
)
def test_settings(arguments: list[str], backup: str | int, job: str | int, listed_jobs: int) -> None:
    with running("--api-key", KEY, "--index", "docs-example", *arguments) as emulator:
        created = emulator.request("POST", "/indexes/docs-example/backups", json={}).json()
        path = "/backups/" + created["backup_id"]
        assert emulator.request("GET", path).json()["status"] == backup
        assert len(emulator.request("GET", "/backups").json()["data"]) == 1
        restored = emulator.request("POST", path + "/create-index", json={"name": "new"}).json()
        if "restore_job_id" in restored:
            restored = emulator.request("GET", "/restore-jobs/" + restored["restore_job_id"]).json()
        assert restored["status"] == job
        assert len(emulator.request("GET", "/restore-jobs").json()["data"]) == listed_jobs


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_port_in_use(host: str, shown: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"this machine does not have the address {host}")
    with listener:
        port = listener.getsockname()[1]
        completed = run("--api-key", KEY, "--host", host, "--port", str(port))
    assert completed.returncode == 1
    assert completed.stderr.startswith(f"Cannot listen on {shown}:{port}: Address already in use")
    assert "Traceback" not in completed.stderr
    assert completed.stdout == ""


def test_missing_api_key(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PINECONE_API_KEY", raising=False)
    with pytest.raises(SystemExit, match="2"):
        main(["--port", "0"])
    assert "PINECONE_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--port", "70000"], "70000 is not a port"),
        (["--port", "x"], "'x' is not a whole number"),
        (["--index", ":5"], "':5' is not NAME or NAME:RECORDS"),
        (["--index", "a:many"], "'a:many' is not NAME"),
        (["--index", "a", "--index", "a"], "already exists"),
        (["--index", "A_B"], "Index name 'A_B' must"),
        (["--index", "A_B"], "lower case"),
        (["--index", "a:" + "9" * 5000], "is not NAME"),
        (["--host", ""], "must not be empty"),
        (["--port", "9" * 5000], "is not a whole number"),
        (["--quota", "9" * 5000], "is not a whole number"),
        (["--ready-after", "-1"], "-1 is not a number of seconds"),
        (["--ready-after", "nan"], "nan is not a number of seconds"),
        (["--ready-after", "soon"], "soon is not a number of seconds"),
        (["--quota", "-1"], "'-1' is not a whole number"),
        (["--fault", "GET /backups colour=red"], "colour"),
        (["--dimension", "0", "--index", "a"], "from 1 to 20000"),
        (["--dimension", "30000"], "from 1 to 20000"),
        (["--seed-records", "5"], "requires --index"),
        (["--seed-records", "5", "--index", "a:500"], "replaces the RECORDS of --index"),
    ],
)
@pytest.mark.usefixtures("returns_at_once")
def test_error_names_the_invalid_argument(
    capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--api-key", KEY, "--port", "0", *arguments])
    _, name, error = capsys.readouterr().err.partition(f"argument {arguments[0]}: ")
    assert name
    assert reason in error


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "a" * 64])
@pytest.mark.usefixtures("returns_at_once")
def test_unknown_host(capsys: pytest.CaptureFixture[str], host: str) -> None:
    assert main(["--api-key", KEY, "--port", "0", "--host", host]) == 1
    assert capsys.readouterr().err.startswith(f"Cannot listen on {host}:0: ")


def test_help_lists_settings_faults_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    output = capsys.readouterr().out
    settings = {setting.name for setting in fields(Scenario) if setting.init} - {"clock"}
    assert {f"--{name.replace('_', '-')}" for name in settings} <= set(output.replace(",", " ").split())
    for text in ("--fault", "drop=before", "drip=head", "endless=yes", "PINECONE_API_KEY", "5080", "500)", "2025-10"):
        assert text in output


def test_seed_records() -> None:
    arguments = ["--api-key", KEY, "--index", "a", "--index", "b", "--seed-records", "1000", "--dimension", "8"]
    with running(*arguments) as emulator:
        for index in emulator.request("GET", "/indexes").json()["indexes"]:
            path = index["host"].removeprefix(emulator.url)
            stats = emulator.request("GET", path + "/describe_index_stats").json()
            assert (stats["namespaces"], stats["dimension"]) == ({"__default__": {"vectorCount": 1000}}, 8)
            fetched = emulator.request("GET", path + "/vectors/fetch?ids=record-00000999").json()["vectors"]
            assert len(fetched["record-00000999"]["values"]) == 8


@pytest.mark.parametrize("package", ["aiohttp", "numpy", "orjson"])
def test_missing_package(tmp_path: Path, package: str) -> None:
    (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError('no {package}', name={package!r})\n")
    completed = run("--help", PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert completed.returncode == 1
    assert f"requires {package}" in completed.stderr
    assert "pip install 'airflow-pinecone[emulator]'" in completed.stderr
    assert "Traceback" not in completed.stderr
