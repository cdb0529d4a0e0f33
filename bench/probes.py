"""What `make bench` runs inside Airflow's processes to look at them: a secrets backend and a trigger."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.secrets import BaseSecretsBackend
from airflow.triggers.base import BaseTrigger, TriggerEvent


class CountingBackend(BaseSecretsBackend):
    """Has no connection, and counts how often Airflow asks for one, in the file that the benchmark names."""

    def get_connection(self, conn_id: str, team_name: str | None = None) -> None:
        """Count the reading. Airflow then reads the connection from its database.

        Args:
            conn_id: The id of the connection.
            team_name: The team that reads it.
        """
        with Path(os.environ["BENCH_CONNECTION_READS"]).open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {conn_id}\n")


class LookupTrigger(BaseTrigger):
    """Resolve a name each second, as the trigger of another package does, and record how long that takes.

    Args:
        path: The file to which each look-up adds a line: the time of its end, and its seconds.
    """

    def __init__(self, *, path: str) -> None:
        """Store the arguments."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = path

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of the class, and its arguments."""
        return "probes.LookupTrigger", {"path": self.path}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Resolve names until Airflow stops the trigger."""
        loop = asyncio.get_running_loop()
        while True:
            started = time.monotonic()
            await loop.getaddrinfo("localhost", 443)
            with Path(self.path).open("a", encoding="utf-8") as file:
                file.write(f"{time.time()} {time.monotonic() - started}\n")
            await asyncio.sleep(1)
        yield TriggerEvent(None)
