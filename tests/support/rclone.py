"""rclone's S3 server, another implementation of S3 than that of `support.object_stores`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.object_stores import ACCESS_KEY, SECRET_KEY


@contextmanager
def rclone_server(folder: Path) -> Iterator[str]:
    """Run the server, without faults, and return its URL.

    Args:
        folder: The folder of the buckets.
    """
    command = [str(Path(sys.executable).with_name("rclone")), "serve", "s3", "--addr", "127.0.0.1:0"]
    command += ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--config", "", "--cache-dir", str(folder / ".cache")]
    process = subprocess.Popen([*command, str(folder)], stderr=subprocess.PIPE, text=True)
    try:
        yield next(iter(process.stderr or ())).rpartition("[")[2].rstrip().rstrip("]/")
    finally:
        process.terminate()
        process.communicate()
