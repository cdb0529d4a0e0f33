"""The emulator on the command line, as a process."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import requests

from airflow_pinecone.emulator.command_line import main

KEY = "pc-cli-key-9876543210"
COMMAND = [sys.executable, "-m", "airflow_pinecone.emulator"]
HEADERS = {"Api-Key": KEY, "X-Pinecone-Api-Version": "2025-10"}


def environment(**changes):
    return {name: v for name, v in os.environ.items() if name != "PINECONE_API_KEY"} | changes


@contextmanager
def running(*arguments, **changes):
    with subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**changes),
    ) as process:
        try:
            line = process.stdout.readline()
            match = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", line)
            assert match, (line, process.poll())
            yield process, match[1]
        finally:
            process.kill()


def call(method, url, **kwargs):
    return requests.request(method, url, headers=HEADERS, timeout=20, **kwargs)


def run(*arguments, **changes):
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=30, env=environment(**changes), check=False
    )


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(stop):
    with running("--index", "docs-example:7", "--index", "other", PINECONE_API_KEY=KEY) as (process, url):
        made = call("POST", url + "/indexes/docs-example/backups", json={})
        assert (made.status_code, made.json()["record_count"]) == (201, 7)
        assert call("GET", url + "/backups/" + made.json()["backup_id"]).json()["status"] == "Ready"
        assert call("PUT", url + "/indexes").status_code == 501
        process.send_signal(stop)
        output, log = process.communicate(timeout=20)
        assert process.returncode == 0
    assert output == ""
    assert "POST /indexes/docs-example/backups 201" in log
    assert "NOT EMULATED: PUT /indexes" in log
    assert KEY not in log
    assert "Traceback" not in log


def test_settings_and_faults():
    with running(
        *("--api-key", KEY, "--index", "docs-example"),
        *("--backup-ends", "InitializationFailed", "--listing-lag", "1000", "--quota", "2"),
        *("--fault", "POST /indexes/*/backups nth=1 drop=after"),
        *("--fault", "GET /backups/* status=503 retry_after=2 times=1"),
        *("--fault", "GET /indexes drip=body body=ab"),
        *("--fault", "GET /indexes endless=yes"),
        PINECONE_API_KEY="another",
    ) as (_, url):
        with pytest.raises(requests.exceptions.ConnectionError):
            call("POST", url + "/indexes/docs-example/backups", json={})
        made = call("POST", url + "/indexes/docs-example/backups", json={})
        assert call("POST", url + "/indexes/docs-example/backups", json={}).status_code == 403
        assert call("GET", url + "/backups").json() == {"data": []}
        path = "/backups/" + made.json()["backup_id"]
        failed = call("GET", url + path)
        assert (failed.status_code, failed.headers["Retry-After"]) == (503, "2")
        assert call("GET", url + path).json()["status"] == "InitializationFailed"
        begun = time.monotonic()
        assert call("GET", url + "/indexes").text == "ab"
        assert time.monotonic() - begun >= 0.4
        with call("GET", url + "/indexes", stream=True) as endless:
            assert endless.raw.read(100_000).rstrip().endswith(b"}]}")


def test_times_and_lags():
    with running(*("--api-key", KEY, "--index", "docs-example", "--ready-after", "1000", "--lag-describe", "1000")) as (
        _,
        url,
    ):
        made = call("POST", url + "/indexes/docs-example/backups", json={}).json()
        assert call("GET", url + "/backups").json()["data"][0]["status"] == "Initializing"
        assert call("GET", url + "/backups/" + made["backup_id"]).status_code == 404


@pytest.mark.parametrize(
    ("arguments", "found", "listed"),
    [
        (["--restore-ends", "Cancelled"], "Cancelled", 1),
        (["--restore-after", "1000"], "Pending", 1),
        (["--restore-lag", "1000"], 404, 0),
    ],
)
def test_restores(arguments, found, listed):
    with running("--api-key", KEY, "--index", "docs-example", *arguments) as (_, url):
        backup_id = call("POST", url + "/indexes/docs-example/backups", json={}).json()["backup_id"]
        made = call("POST", url + f"/backups/{backup_id}/create-index", json={"name": "new"}).json()
        assert call("GET", url + "/restore-jobs/" + made["restore_job_id"]).json()["status"] == found
        assert len(call("GET", url + "/restore-jobs").json()["data"]) == listed


def test_a_port_in_use():
    with running("--api-key", KEY) as (_, url):
        port = url.rpartition(":")[2]
        done = run("--api-key", KEY, "--port", port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Cannot listen on 127.0.0.1:{port}: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_no_key(capsys, monkeypatch):
    monkeypatch.delenv("PINECONE_API_KEY", raising=False)
    with pytest.raises(SystemExit, match="2"):
        main(["--port", "0"])
    assert "PINECONE_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "70000"],
        ["--port", "x"],
        ["--index", ":5"],
        ["--index", "a:many"],
        ["--index", "a", "--index", "a"],
        ["--ready-after", "-1"],
        ["--ready-after", "nan"],
        ["--quota", "-1"],
        ["--fault", "GET /backups colour=red"],
    ],
)
def test_wrong_arguments_are_explained(capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        main(["--api-key", KEY, "--port", "0", *arguments])
    assert f"argument {arguments[0]}: " in capsys.readouterr().err


def test_help_tells_of_faults_and_defaults():
    done = run("--help")
    assert done.returncode == 0
    for word in ("--fault", "drop=before", "drip=head", "endless=yes", "PINECONE_API_KEY", "5080", "(500)", "2025-10"):
        assert word in done.stdout


def test_a_missing_aiohttp_says_what_to_install(tmp_path):
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError('no aiohttp', name='aiohttp')\n")
    done = run("--help", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "pip install 'airflow-pinecone[emulator]'" in done.stderr
    assert "Traceback" not in done.stderr
