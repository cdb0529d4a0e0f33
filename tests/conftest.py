"""What all tests share."""

import os
import tempfile

# Before anything imports Airflow: a home of its own, which goes when the tests end, and nothing of the user's.
_home = tempfile.TemporaryDirectory(prefix="airflow-pinecone-tests-")
for _name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[_name]
os.environ["AIRFLOW_HOME"] = _home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"
os.environ["NO_PROXY"] = "127.0.0.1,localhost"


from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from published import check_exchanges, published

from airflow_pinecone.emulator import Emulator

pytest_plugins = ["running"]

API_KEY = "pc-test-key-0123456789"


class Clock:
    """A clock that stands still until it is told to go on: `emulator.clock = clock`."""

    def __init__(self) -> None:
        """Begin somewhere in 2025."""
        self.now = 1_750_000_000.0

    def __call__(self) -> float:
        """Return the time in seconds since the epoch."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Go on by so many seconds."""
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Run an emulator with the index docs-example.

    When PINECONE_SPEC_DIR names a folder with the published descriptions, all that was said to it and all that
    it answered must fit them.
    """
    with Emulator(api_key=API_KEY, indexes=["docs-example"]) as emulator:
        yield emulator
    descriptions = published()
    if descriptions:
        check_exchanges(emulator.requests, descriptions)


@pytest.fixture
def ask(emulator: Emulator) -> Iterator[Callable[..., requests.Response]]:
    """Send plain requests to the emulator: `ask("POST", "/indexes/docs-example/backups", json={})`."""
    with requests.Session() as session:
        session.trust_env = False  # no proxy of the environment
        session.headers.update({"Api-Key": API_KEY, "X-Pinecone-Api-Version": "2025-10"})

        def ask(method: str, path: str, **kwargs: Any) -> requests.Response:
            return session.request(method, emulator.url + path, timeout=20, **kwargs)

        yield ask
