"""Configuration of the documentation site. Build it with `make docs`."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sphinx.directives.code import LiteralInclude

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
# Pages include the tables of the benchmarks.
tables = ["table", "records", "restore-tests", "copies-matrix", "copies-speed"]
exclude_patterns = ["_build", "examples", *(f"benchmarks/{name}.md" for name in tables)]

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


# How an import of an example begins, and the first Airflow that has what it imports.
FIRST_AIRFLOW = {
    "from airflow.sdk import .*DeadlineAlert": "3.2",
    "from airflow.providers.standard.operators.hitl ": "3.1",
    "from airflow.sdk ": "3.0",
}


class Example(LiteralInclude):
    """A `literalinclude` whose caption says which Airflow a DAG file needs, if it is later than 2.11."""

    def run(self) -> list[Any]:
        """Add the caption, and include the file."""
        code = Path(self.env.relfn2path(self.arguments[0])[1]).read_text(encoding="utf-8")
        for imported, airflow in FIRST_AIRFLOW.items():
            if re.search(f"^{imported}", code, re.MULTILINE):
                self.options.setdefault("caption", f"Needs Airflow {airflow} or later")
                break
        return super().run()


def setup(app: Any) -> None:
    """Run `mark_code` before napoleon, whose priority is 500, and mark the examples."""
    app.connect("autodoc-process-docstring", mark_code, priority=400)
    app.add_directive("literalinclude", Example, override=True)
