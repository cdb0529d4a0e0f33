"""The example of a DAG test in the documentation passes. It runs a DAG with Airflow's own dag.test()."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.dag_files import needs_airflow_3
from support.pytest_options import LOAD_PLUGIN

ROOT = Path(__file__).resolve().parents[2]


@needs_airflow_3
def test_the_example_passes(tmp_path: Path) -> None:
    # As a reader runs it: in its own process, with its own home of Airflow.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    example = ROOT / "docs" / "examples" / "test_my_dag.py"
    options = [*LOAD_PLUGIN, "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path)]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(example)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert "2 passed" in result.stdout, result.stdout + result.stderr
    assert result.returncode == 0
