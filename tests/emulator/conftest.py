"""Fixtures for the tests of the emulator."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import requests
from support.emulator_client import Ask, AskInThread


@pytest.fixture
def ask_in_thread(ask: Ask) -> Iterator[AskInThread]:
    """Send a request in another thread: `future = ask_in_thread("GET", "/backups")`."""
    with ThreadPoolExecutor(4) as pool:

        def ask_in_thread(method: str, path: str, **kwargs: Any) -> Future[requests.Response]:
            return pool.submit(ask, method, path, **kwargs)

        yield ask_in_thread
