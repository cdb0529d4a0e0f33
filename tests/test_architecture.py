"""Which module may import which, what a parse of a DAG file pays, and where there is sleep."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_pinecone

PACKAGE = "airflow_pinecone"
ROOT = Path(airflow_pinecone.__file__).parent
FILES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}

# The picture in the README, as text. A module that is not here may import nothing of ours.
_TASKS = "triggers hooks polling identity models errors"
ARROWS = {
    "operators": f"{_TASKS} retention verification assets kills",
    "sensors": _TASKS,
    "triggers": "hooks polling kills models errors",
    "kills": "hooks models errors",
    "hooks": f"{PACKAGE} connections transport models errors",
    "connections": "transport errors",
    "transport": "errors",
    "polling": "models errors",
    "identity": "models",
    "retention": "models identity errors",
    "verification": "models errors",
}


def imports(name):
    """Modules of ours that a module imports, anywhere in it: also within functions and TYPE_CHECKING."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports by a relative path in line {node.lineno}"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in FILES else node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            pytest.fail(f"{name} imports by a call in line {node.lineno}: no arrow can be seen")
    return {module for module in found if module.split(".")[0] == PACKAGE}


def short(module):
    return module.removeprefix(f"{PACKAGE}.")


def room(module):
    """The room of the picture that a module is in: a package is one room."""
    return short(module).split(".")[0]


def allowed(name):
    if short(name) in ("operators", "sensors"):  # The face of a package: it hands out what is in it.
        return {module for module in FILES if short(module).startswith(f"{short(name)}.")}
    if room(name) == "operators":
        drawn = {module for module in FILES if room(module) in ARROWS["operators"].split()}
        return drawn | {f"{PACKAGE}.operators.waiting"}
    if room(name) == "emulator":
        return {module for module in FILES if room(module) == "emulator"}
    return {module for module in FILES if room(module) in ARROWS.get(room(name), "").split()}


@pytest.mark.parametrize("name", FILES)
def test_every_import_is_an_arrow_that_is_drawn(name):
    undrawn = imports(name) - allowed(name)
    assert not undrawn, f"{name} must not import {', '.join(sorted(undrawn))}"


def test_every_arrow_leads_from_a_module_to_a_module():
    modules = {room(name) for name in FILES}
    assert set(ARROWS) <= modules
    assert {target for targets in ARROWS.values() for target in targets.split()} <= modules


def test_no_arrow_leads_back():
    """Python would forgive some circles; a reader would not."""
    for name in FILES:
        if short(name).startswith("emulator"):
            continue
        seen, ahead = set(), {name}
        while ahead:
            step = {target for module in ahead for target in imports(module)} - seen
            seen |= step
            ahead = step
        assert name not in seen, f"{name} imports itself by way of others"


def test_sleep_is_called_in_one_module():
    sleepers = set()
    for name, path in FILES.items():
        if short(name).startswith("emulator."):
            continue  # its own house: it lets its event loop go round once
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute | ast.Name) and ast.unparse(called).split(".")[-1] == "sleep":
                sleepers.add(short(name))
            if isinstance(node, ast.ImportFrom) and any(alias.name == "sleep" for alias in node.names):
                sleepers.add(short(name))
    assert sleepers == {"polling"}


def test_the_package_itself_holds_the_version_and_nothing_else():
    body = ast.parse(FILES[PACKAGE].read_text(encoding="utf-8")).body
    assert [type(node) for node in body] == [ast.Expr, ast.Assign]
    assert ast.unparse(body[1]).startswith("__version__ = ")


# What a parse pays

_NEWLY_IMPORTED = """
import importlib, json, sys
sdk = importlib.import_module("airflow.providers.common.compat.sdk")
for name in sys.argv[1].split():
    getattr(sdk, name)
before = set(sys.modules)
for name in sys.argv[2:]:
    importlib.import_module(name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""
# Not of the Python that everybody has: what is dear, and what only a running task needs.
_DEAR = ("requests", "urllib3", "tenacity", "aiohttp", "airflow.triggers", "sqlalchemy", "pydantic", "pinecone")
_LATER = tuple(f"{PACKAGE}.{name}" for name in ("hooks", "transport", "triggers", "kills", "emulator"))


def sdk_names(name):
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "airflow.providers.common.compat.sdk":
            yield from (alias.name for alias in node.names)


def test_a_parse_pays_for_no_heavy_import():
    users = [f"{PACKAGE}.operators", f"{PACKAGE}.sensors"]
    theirs = " ".join(
        name for file in FILES if room(file) in ("operators", "sensors", "assets") for name in sdk_names(file)
    )
    command = [sys.executable, "-W", "ignore", "-c", _NEWLY_IMPORTED, theirs, *users]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    new = json.loads(run.stdout.splitlines()[-1])
    assert set(users) < set(new)
    dear = [found for found in new if any(f"{found}.".startswith(f"{root}.") for root in _DEAR + _LATER)]
    assert dear == []


def test_airflow_finds_the_provider_without_its_hook():
    """Airflow asks every provider when it starts: this must cost next to nothing."""
    code = f"import json, sys; import {PACKAGE}.provider_info; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = json.loads(run.stdout.splitlines()[-1])
    assert not {"airflow", "requests", "tenacity", f"{PACKAGE}.hooks"} & set(loaded)
