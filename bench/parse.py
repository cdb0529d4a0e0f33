"""Measure what a DAG file pays for its imports each time Airflow parses it.

Each case runs as a DAG file does in the DAG processor: a parent that has loaded ``airflow.sdk`` calls ``gc.freeze()``
and forks a process for each parse. Bytecode is present. The official provider is read from OFFICIAL_PROVIDER_DIR.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What the DAG file of each case imports.
CASES = {
    "airflow": "from airflow.providers.common.compat.sdk import BaseOperator",
    "official": "from airflow.providers.pinecone.operators.pinecone import PineconeIngestOperator",
    "backup": (
        "from airflow_pinecone.operators import CreateBackupOperator\nfrom airflow_pinecone.sensors import BackupSensor"
    ),
    "all": "from airflow_pinecone.operators import *\nfrom airflow_pinecone.sensors import *",
}


def measure(repeats: int = 50) -> dict[str, Any]:
    """Measure each case in a new process.

    Args:
        repeats: The number of parses for each case.

    Returns:
        The medians of each case, as ``{"cpu_ms": ..., "mib": ...}``, and under ``ratio`` those of ``backup`` divided
        by those of ``official``. The cases are ``airflow`` (what every provider pays), ``official``, ``backup``
        (CreateBackupOperator and BackupSensor) and ``all`` (all operators and sensors of this package).
    """
    command = [sys.executable, "-W", "ignore", __file__, str(repeats)]
    # Without bytecode, a parse would mostly compile.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def _measure_here(repeats: int) -> dict[str, Any]:
    _load_airflow()
    parses = {name: _parse_of(statements) for name, statements in CASES.items()}
    for parse in parses.values():
        _in_fork(parse)  # Writes the bytecode and warms the disk cache.
    gc.collect()
    gc.freeze()
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    for _ in range(repeats):
        for name, parse in parses.items():
            samples[name].append(_in_fork(parse))
    result: dict[str, Any] = {}
    for name, pairs in samples.items():
        cpu, memory = (statistics.median(values) for values in zip(*pairs, strict=True))
        result[name] = {"cpu_ms": round(cpu, 2), "mib": round(memory, 2)}
    result["ratio"] = {key: round(result["backup"][key] / result["official"][key], 2) for key in ("cpu_ms", "mib")}
    return result


def _load_airflow() -> None:
    """Load what the DAG processor has loaded, and make the official provider importable."""
    importlib.import_module("airflow.sdk")
    providers = importlib.import_module("airflow.providers")
    folder = Path(os.environ["OFFICIAL_PROVIDER_DIR"])
    providers.__path__ = [*providers.__path__, str(folder / "airflow" / "providers")]


def _parse_of(statements: str) -> Callable[[], object]:
    code = compile(statements, "dag.py", "exec")
    return lambda: exec(code, {})


def _in_fork(function: Callable[[], object]) -> tuple[float, float]:
    """Call a function in a fork, and return the milliseconds of CPU and the MiB of private memory that it took."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            memory, cpu = _private_kib(), time.process_time()
            function()
            cpu, memory = time.process_time() - cpu, _private_kib() - memory
            os.write(writer, json.dumps([cpu * 1000, memory / 1024]).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        output = pipe.read()
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("A parse failed; see its error above.")
    cpu_ms, mib = json.loads(output)
    return cpu_ms, mib


def _private_kib() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(_measure_here(int(sys.argv[1]))))
    else:
        print(json.dumps(measure(), indent=2))
