"""A PostgreSQL server in a folder of its own, on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from local_airflow import free_port

_START_SECONDS = 30.0


class MissingProgram(Exception):
    """A program that the benchmark needs is not installed."""


def find_programs() -> Path:
    """Return the folder of PostgreSQL's programs.

    Raises:
        MissingProgram: PostgreSQL is not installed.
    """
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for folder in reversed(folders):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise MissingProgram("PostgreSQL was not found; on Debian and Ubuntu: apt-get install postgresql")


class Postgres:
    """The server, as a context manager. Its data is deleted at the end."""

    def __init__(self) -> None:
        """Find the programs; nothing is started yet."""
        self._programs = find_programs()
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    @property
    def url(self) -> str:
        """The URL for SQLAlchemy."""
        return f"postgresql+psycopg2://bench@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> Postgres:
        """Start the server, and wait until it accepts connections."""
        self._folder = Path(tempfile.mkdtemp(prefix="airflow-pinecone-postgres-"))
        try:
            self._start(self._folder)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop the server."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # A fast shutdown.
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, folder: Path) -> None:
        user: str | None = None
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root. Its packages create this user.
            user = "postgres"
            account = pwd.getpwnam(user)
            os.chown(folder, account.pw_uid, account.pw_gid)
        data = folder / "data"
        log = (folder / "log").open("wb")
        subprocess.run(
            [self._programs / "initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-sync"],
            stdout=log,
            stderr=log,
            check=True,
            cwd=folder,
            user=user,
        )
        options = [
            *("-h", "127.0.0.1", "-p", str(self.port), "-k", str(folder)),
            *("-c", "max_connections=400", "-c", "fsync=off", "-c", "shared_buffers=128MB"),
        ]
        self._process = subprocess.Popen(
            [self._programs / "postgres", "-D", data, *options],
            stdout=log,
            stderr=log,
            cwd=folder,
            user=user,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    text = (folder / "log").read_text(errors="replace")[-1000:]
                    raise RuntimeError(f"PostgreSQL did not start: {text}") from None
                time.sleep(0.2)
            else:
                return
