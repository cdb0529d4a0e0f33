"""The official Pinecone client 10, which is not in the environment, because client 9 is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Names a folder in which the client is installed.
FOLDER_VARIABLE = "OFFICIAL_CLIENT_10_DIR"
TESTS = Path(__file__).with_name("official_client_10.py")


def test_official_client_10() -> None:
    folder = os.environ.get(FOLDER_VARIABLE, "")
    if not Path(folder, "pinecone").is_dir():
        pytest.fail(
            f"{FOLDER_VARIABLE} must name a folder with pinecone 10 in it (pip install --no-deps --target). "
            "`make test-fast` creates one and sets the variable."
        )
    paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    completed = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", TESTS],
        cwd=TESTS.parents[2],
        env=environment | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert completed.returncode == 0, completed.stdout
