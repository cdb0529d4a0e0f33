"""What `make demo` says when it cannot run; that it runs is in tests/airflow."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def demo(**environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("PINECONE_API_KEY", "INDEX", "PORT", "KEEP")}
    return subprocess.run(
        [sys.executable, "tools/demo.py"], cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=60
    )


def make_environment(python: str, airflow: str = "3.3.2", constraints: str = "constraints.txt") -> str:
    """Let the making of an environment fail, and return what it says."""
    ended = subprocess.run(
        ["sh", "tools/environment.sh", python, "no-such-venv", constraints, airflow],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert not (ROOT / "no-such-venv").exists()
    return ended.stderr


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = demo(PORT=port)
    assert ended.returncode == 1
    assert ended.stderr == f"make demo: port {port} cannot be used: Address already in use. " + (
        "Choose another, or leave PORT out for a free one\n"
    )


def test_a_port_that_is_none() -> None:
    ended = demo(PORT="eighty")
    assert ended.returncode == 1
    assert "PORT must be a number" in ended.stderr


@pytest.mark.parametrize("half", [{"INDEX": "docs"}, {"PINECONE_API_KEY": "k"}])
def test_half_of_what_a_real_index_needs(half: dict[str, str]) -> None:
    ended = demo(**half)
    assert ended.returncode == 1
    assert "set both PINECONE_API_KEY and INDEX" in ended.stderr


def test_a_missing_python() -> None:
    assert "no-python was not found; install Python 3.11 to 3.13" in make_environment("no-python")


def test_a_python_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.10.13 && exit 0\nexit 1\n')
    old.chmod(0o755)
    said = make_environment(str(old))
    assert "Airflow 3.3.2 wants Python 3.11 to 3.13" in said
    assert "Python 3.10.13" in said


def test_an_airflow_without_constraints() -> None:
    said = make_environment(sys.executable, "9.9.9", "constraints-9.9.9.txt")
    assert "there is no constraints-9.9.9.txt for Airflow 9.9.9" in said
    assert "constraints.txt" in said
