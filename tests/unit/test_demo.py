"""What `make demo` and the creation of its environment print when they cannot run; tests/airflow runs the demo."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def demo(**environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("PINECONE_API_KEY", "INDEX", "PORT", "KEEP")}
    return subprocess.run(
        [sys.executable, "tools/demo.py"], cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=60
    )


def create_environment(python: str, airflow: str = "3.3.2", constraints: str = "constraints.txt") -> str:
    """Run tools/environment.sh with arguments that make it fail, and return its error output."""
    process = subprocess.run(
        ["sh", "tools/environment.sh", python, "no-such-venv", constraints, airflow],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode != 0
    assert not (ROOT / "no-such-venv").exists()
    return process.stderr


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = demo(PORT=port)
    assert process.returncode == 1
    assert process.stderr == f"make demo: port {port} cannot be used: Address already in use. " + (
        "Choose another port, or unset PORT to use a free one\n"
    )


def test_an_invalid_port() -> None:
    process = demo(PORT="eighty")
    assert process.returncode == 1
    assert "PORT must be a number" in process.stderr


@pytest.mark.parametrize("settings", [{"INDEX": "docs"}, {"PINECONE_API_KEY": "k"}])
def test_a_real_index_needs_both_settings(settings: dict[str, str]) -> None:
    process = demo(**settings)
    assert process.returncode == 1
    assert "set both PINECONE_API_KEY and INDEX" in process.stderr


def test_a_missing_python() -> None:
    assert "no-python was not found; install Python 3.11 to 3.14" in create_environment("no-python")


def test_a_python_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.10.13 && exit 0\nexit 1\n')
    old.chmod(0o755)
    output = create_environment(str(old))
    assert "Airflow 3.3.2 needs Python 3.11 to 3.14" in output
    assert "Python 3.10.13" in output


def test_an_unsupported_airflow() -> None:
    output = create_environment(sys.executable, "9.9.9", "constraints-9.9.9.txt")
    assert "constraints-9.9.9.txt was not found" in output
    assert "available: constraints-2.11.2.txt" in output
