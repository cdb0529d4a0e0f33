"""The tests on each tested Airflow and Python. `make matrix` and `make matrix-real` run this and print a table."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import nox

# The Pythons that each Airflow supports.
AIRFLOWS = {
    "2.11.2": ["3.11", "3.12"],
    "3.0.6": ["3.11", "3.12"],
    "3.1.8": ["3.11", "3.12", "3.13"],
    "3.2.1": ["3.11", "3.12", "3.13"],
    "3.2.2": ["3.11", "3.12", "3.13"],
    "3.3.2": ["3.11", "3.12", "3.13"],
}
ROOT = Path(__file__).parent
RESULTS = ROOT / ".matrix"
FAST_TESTS = [
    "tests/unit",
    "tests/emulator",
    "tests/matrix/test_copy_dags.py",
    "tests/matrix/test_examples.py",
    "tests/matrix/test_restore_test_dag.py",
]

nox.options.default_venv_backend = "uv"
# By default uv does not trust the certificates of the system, which may include those of a company's proxy.
os.environ.setdefault("UV_SYSTEM_CERTS", "true")
nox.options.reuse_existing_virtualenvs = True
# A Python that is not installed is not a passed test.
nox.options.error_on_missing_interpreters = True

all_versions = nox.parametrize(
    ("python", "airflow"),
    [
        nox.param(python, airflow, id=f"{airflow}-{python}")
        for airflow, pythons in AIRFLOWS.items()
        for python in pythons
    ],
)


@nox.session
@all_versions
def fast(session: nox.Session, airflow: str) -> None:
    """Run the tests that need no Airflow processes, and the example DAGs with dag.test()."""
    _install(session, airflow)
    _test(session, airflow, "-n", "3", "--dist", "worksteal", *FAST_TESTS)


@nox.session(python="3.11")
@nox.parametrize("airflow", list(AIRFLOWS), ids=list(AIRFLOWS))
def real(session: nox.Session, airflow: str) -> None:
    """Run every way to wait in real Airflow processes."""
    _install(session, airflow)
    _test(session, airflow, "tests/matrix/test_every_airflow.py")


@nox.session(python="3.11")
@nox.parametrize("airflow", ["2.11.2", "3.1.8"], ids=["2.11.2", "3.1.8"])
def lowest(session: nox.Session, airflow: str) -> None:
    """Run the fast tests with the lowest versions that pyproject.toml allows."""
    _install(session, airflow)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dependencies = project["dependencies"] + project["optional-dependencies"]["emulator"]
    session.install(*(d.replace(">=", "==") for d in dependencies if not d.startswith("apache-airflow>")))
    _test(session, airflow, "-n", "3", "--dist", "worksteal", *FAST_TESTS)


def _install(session: nox.Session, airflow: str) -> None:
    # An earlier result must not look like the result of this run.
    _result(session, airflow).unlink(missing_ok=True)
    name = f"constraints-{airflow}.txt"
    constraints = ["-c", name if (ROOT / name).exists() else "constraints.txt"]
    session.install(*constraints, "-e", ".[dev]", f"apache-airflow=={airflow}")
    official = ["--no-deps", "--target", _official(session), "apache-airflow-providers-pinecone"]
    session.install(*constraints, *official)
    session.install("-c", "constraints-client-10.txt", "--no-deps", "--target", _client_10(session), "pinecone")


def _test(session: nox.Session, airflow: str, *arguments: str) -> None:
    environment = {
        "OFFICIAL_PROVIDER_DIR": _official(session),
        "OFFICIAL_CLIENT_10_DIR": _client_10(session),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    session.run("pytest", "-q", f"--junitxml={_result(session, airflow)}", *arguments, env=os.environ | environment)


def _result(session: nox.Session, airflow: str) -> Path:
    kind = session.name.partition("(")[0].partition("-")[0]
    return RESULTS / f"{kind}-{airflow}-{session.python}.xml"


def _official(session: nox.Session) -> str:
    # In a folder of its own: one test adds it to the path to check that both providers work together.
    return str(Path(session.virtualenv.location) / "official")


def _client_10(session: nox.Session) -> str:
    # In a folder of its own, too: the environment has an earlier Pinecone client.
    return str(Path(session.virtualenv.location) / "client-10")
