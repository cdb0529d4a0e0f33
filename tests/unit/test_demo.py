"""What `make demo` and the creation of its environment print when they cannot run; tests/airflow runs the demo."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ("PINECONE_API_KEY", "INDEX", "PORT", "KEEP")


def error_of(*command: str, **settings: str) -> str:
    """Run a command that must fail, and return its error output."""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS} | settings
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert process.returncode == 1
    return process.stderr


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"PORT": "eighty"}, "PORT must be a number"),
        ({"INDEX": "docs"}, "set both PINECONE_API_KEY and INDEX"),
        ({"PINECONE_API_KEY": "k"}, "set both PINECONE_API_KEY and INDEX"),
    ],
)
def test_invalid_settings_of_the_demo(settings: dict[str, str], error: str) -> None:
    assert error in error_of(sys.executable, "tools/demo.py", **settings)


def test_port_of_the_demo_that_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        error = error_of(sys.executable, "tools/demo.py", PORT=port)
    assert f"port {port} cannot be used: Address already in use. Choose another port" in error


OLD_PYTHON = '#!/bin/sh\n[ "$1" = -V ] && echo Python 3.10.13 && exit 0\nexit 1\n'


@pytest.mark.parametrize(
    ("python", "airflow", "constraints", "errors"),
    [
        ("no-python", "3.3.2", "constraints.txt", ["no-python was not found; install Python 3.11 to 3.14"]),
        ("old", "3.3.2", "constraints.txt", ["Airflow 3.3.2 needs Python 3.11 to 3.14", "Python 3.10.13"]),
        (
            sys.executable,
            "9.9.9",
            "constraints-9.9.9.txt",
            ["Airflow 9.9.9 has no file of constraints", "2.11.2 3.0.6", "3.2.2 3.3.2"],
        ),
    ],
)
def test_environment_that_cannot_be_created(
    tmp_path: Path, python: str, airflow: str, constraints: str, errors: list[str]
) -> None:
    if python == "old":
        old = tmp_path / "python3"
        old.write_text(OLD_PYTHON)
        old.chmod(0o755)
        python = str(old)
    output = error_of("sh", "tools/environment.sh", python, "no-such-venv", constraints, airflow)
    assert [error for error in errors if error not in output] == []
    assert not (ROOT / "no-such-venv").exists()


def test_make_reports_an_airflow_without_constraints() -> None:
    """Not make itself, whose message would not name the versions that can be chosen."""
    process = subprocess.run(["make", "demo", "AIRFLOW=9.9.9"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert process.returncode != 0
    assert "make: Airflow 9.9.9 has no file of constraints here; choose one of 2.11.2 " in process.stderr
