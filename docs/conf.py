"""Configuration of the documentation site. Build it with `make docs`."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import airflow_pinecone

# autodoc imports Airflow, which writes its configuration to AIRFLOW_HOME.
airflow_home = tempfile.TemporaryDirectory(prefix="airflow-pinecone-docs-")
os.environ["AIRFLOW_HOME"] = airflow_home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

# The reference shows the current help text.
generated = Path(__file__).parent / "_build" / "generated"
generated.mkdir(parents=True, exist_ok=True)
help_text = subprocess.run(
    [sys.executable, "-m", "airflow_pinecone.emulator", "--help"],
    check=True,
    capture_output=True,
    env={**os.environ, "COLUMNS": "100"},
).stdout
(generated / "emulator_help.txt").write_bytes(help_text)

project = "airflow-pinecone"
author = "The airflow-pinecone authors"
project_copyright = author
version = release = airflow_pinecone.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "examples", "benchmarks"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "airflow-pinecone"
html_copy_source = False
html_show_sourcelink = False


def mark_code(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn the single backticks and asterisks of a docstring into code; reStructuredText gives them other meanings."""
    for number, line in enumerate(lines):
        line = re.sub(r"(?<![:`])`([^`]+)`(?!`)", r"``\1``", line)
        lines[number] = re.sub(r'"(\*+)"', r"``\1``", line)


def setup(app: Any) -> None:
    """Run `mark_code` before napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", mark_code, priority=400)
