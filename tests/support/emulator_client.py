"""The types of the fixtures that send requests to an emulator."""

from concurrent.futures import Future
from typing import Any, Protocol

import requests


class Ask(Protocol):
    """The type of the fixture `ask`: `ask("POST", "/indexes/docs-example/backups", json={})`."""

    def __call__(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """Send a request with the API key and the API version, and return the response."""


class AskInThread(Protocol):
    """The type of the fixture `ask_in_thread`."""

    def __call__(self, method: str, path: str, **kwargs: Any) -> Future[requests.Response]:
        """Send a request in another thread, and return the future response."""
