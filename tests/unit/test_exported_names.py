"""The public names of the package: the page that lists them, and what the examples import."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_pinecone
from airflow_pinecone.rules import report

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "public-names.md"
OPERATORS = PAGE.with_name("operators.md")
# What users are shown as code to write.
SHOWN = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "guides").glob("*.md")),
    *sorted((ROOT / "dags").glob("*.py")),
    *sorted((ROOT / "docs" / "examples").glob("*.py")),
]


def names_of_the_code() -> dict[str, list[str]]:
    """Return the names in `__all__` of each module in the folder of the package that has one."""
    modules = [f"airflow_pinecone.{module.name}" for module in pkgutil.iter_modules(airflow_pinecone.__path__)]
    exported = {name: getattr(importlib.import_module(name), "__all__", None) for name in modules}
    return {name: sorted(names) for name, names in exported.items() if names is not None}


def names_on_the_page() -> dict[str, list[str]]:
    """Return the first column of the table below the heading of each module."""
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    named = (re.match(r"`(airflow_pinecone\.\w+)`\n", section) for section in sections)
    return {
        match[1]: sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
        for match, section in zip(named, sections, strict=True)
        if match
    }


def imports_of(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield each module of the package that a file imports or names, and the name that it imports from it, if any."""
    text = path.read_text()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                yield from ((str(node.module), alias.name) for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from ((alias.name, None) for alias in node.names)
    else:
        yield from ((module, name) for module, name in re.findall(r"from ([\w.]+) import (\w+)", text))
        yield from ((module, None) for module in re.findall(r"\bairflow_pinecone(?:\.\w+)+", text))


def test_the_page_lists_the_public_names_of_the_code() -> None:
    assert names_on_the_page() == names_of_the_code()


@pytest.mark.parametrize("module", names_of_the_code())
def test_each_public_name_exists_and_is_documented(module: str) -> None:
    for name in names_of_the_code()[module]:
        assert inspect.getdoc(getattr(importlib.import_module(module), name)), name


@pytest.mark.parametrize(
    "model",
    [
        report.Report,
        report.IndexReport,
        report.Problem,
        report.BackupFacts,
        report.CreatedBy,
        report.RestoreFacts,
        report.Leftover,
    ],
)
def test_the_reference_lists_each_key_of_a_report(model: type) -> None:
    section = OPERATORS.read_text().partition("### The report")[2]
    listed = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", section))))
    assert set(model.__annotations__) - listed == set()


def test_each_error_is_public() -> None:
    errors = importlib.import_module("airflow_pinecone.errors")
    classes = [name for name, _ in inspect.getmembers(errors, inspect.isclass)]
    assert classes == sorted(errors.__all__)


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_users_are_shown_imports_public_names_only(path: Path) -> None:
    public = names_of_the_code()
    private = [
        (module, name)
        for module, name in imports_of(path)
        if module.split(".")[0] == "airflow_pinecone"
        and (module not in public or (name is not None and name not in public[module]))
    ]
    assert private == []
