"""Secrets, privileges and choices that `make docker-test` and `make cluster-test` do not show when they run."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from airflow_pinecone.emulator import Emulator

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker/compose.yaml").read_text()
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()
EXAMPLE_TEXT = (ROOT / "docker/.env.example").read_text()
HELM_VALUES: dict[str, Any] = yaml.safe_load((ROOT / "docker/helm-values.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
# Compose fails on an empty ${NAME:?message} and replaces an empty ${NAME:-default}. $${NAME} is left to the container.
VARIABLES = re.findall(r"(?<!\$)\$\{([A-Z_]+)(:[?-])?([^}]*)\}", COMPOSE)
SECRETS = {name for name, kind, _ in VARIABLES if kind == ":?"}
SECRET = re.compile(r"PASSWORD|SECRET|FERNET|_KEY|AUTH$")
MAKE_ENV = runpy.run_path(str(ROOT / "docker/make_env.py"))

each_service = pytest.mark.parametrize("name", SERVICES)


def settings_in(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))


EXAMPLE = settings_in(EXAMPLE_TEXT)


def test_every_variable_is_in_the_example_with_its_default() -> None:
    defaults = {name: default for name, kind, default in VARIABLES if kind == ":-"}
    assert {name for name, kind, _ in VARIABLES if not kind} == set()
    assert defaults | dict.fromkeys(SECRETS, "") == EXAMPLE


def test_an_empty_secret_stops_the_stack_and_is_named() -> None:
    assert {name for name in EXAMPLE if SECRET.search(name)} == SECRETS
    assert [name for name, kind, message in VARIABLES if kind == ":?" and name not in message] == []


@each_service
def test_no_service_contains_a_secret(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if SECRET.search(variable) and not variable.endswith("_FILE"):
            assert re.fullmatch(r"\$\{([A-Z_]+):\?[^}]+\}", value), f"{variable} of {name} is not a secret from .env"
        for password in re.findall(r"://\w*:([^@]+)@", str(value)):
            assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", password), f"{variable} of {name} holds a password"


def test_only_services_that_call_pinecone_get_the_key() -> None:
    holders = {name for name, service in SERVICES.items() if "PINECONE_API_KEY" in str(service.get("environment"))}
    assert holders == {"triggerer", "worker", "emulator"}


@each_service
def test_a_service_has_minimal_privileges_and_restarts(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert not {"privileged", "pid", "ipc", "network_mode", "devices", "userns_mode"} & set(service)
    assert str(service.get("user", "")).partition(":")[0] not in ("0", "root")
    assert "docker.sock" not in str(service.get("volumes"))
    assert name == "postgres" or "cap_add" not in service
    assert service["restart"] == ("no" if name == "init" else "unless-stopped")


def test_only_the_api_server_publishes_a_port_and_on_loopback() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"api-server": ["${AIRFLOW_BIND:-127.0.0.1}:${AIRFLOW_PORT:-8080}:8080"]}


def test_the_dags_are_mounted_read_only() -> None:
    for name in ("worker", "dag-processor", "scheduler", "api-server", "triggerer"):
        assert "${DAGS_DIR:-../dags}:/opt/airflow/dags:ro" in SERVICES[name]["volumes"]


def test_the_image_runs_as_the_user_airflow() -> None:
    assert re.findall(r"^USER +(\S+)", DOCKERFILE, re.MULTILINE) == ["airflow"]
    assert "USER airflow" in DOCKERFILE.splitlines()[-1]


def test_the_dockerfile_the_example_and_the_helm_chart_have_the_same_airflow() -> None:
    (image,) = re.findall(r"^ARG AIRFLOW_IMAGE=(\S+)", DOCKERFILE, re.MULTILINE)
    assert image == EXAMPLE["AIRFLOW_IMAGE"] == f"apache/airflow:{HELM_VALUES['airflowVersion']}"


def test_the_build_context_has_only_what_the_image_copies() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    copied = {
        name for names in re.findall(r"^COPY --\S+ (.+) \S+$", DOCKERFILE, re.MULTILINE) for name in names.split()
    }
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied


def test_every_secret_is_generated() -> None:
    one, two = (settings_in(MAKE_ENV["fill"](EXAMPLE_TEXT)) for _ in range(2))
    assert {name for name in one if one[name] != two[name]} == SECRETS
    assert len({one[name] for name in SECRETS}) == len(SECRETS)
    for name in SECRETS:
        assert re.fullmatch(r"[\w-]{43}=" if name == "AIRFLOW_FERNET_KEY" else r"[0-9a-f]{64}", one[name])


def test_the_env_file_is_private_and_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / ".env"
    monkeypatch.setattr("sys.argv", ["make_env.py", str(target)])
    main: Callable[[], None] = MAKE_ENV["main"]
    main()
    assert target.stat().st_mode & 0o777 == 0o600
    before = target.read_text()
    with pytest.raises(SystemExit, match="was not changed"):
        main()
    assert target.read_text() == before


def test_the_values_of_the_helm_chart_give_the_key_to_tasks_and_triggerers_only() -> None:
    secret = {"secretKeyRef": {"name": "pinecone", "key": "connection"}}
    expected = [{"name": "AIRFLOW_CONN_PINECONE_DEFAULT", "valueFrom": secret}]
    assert HELM_VALUES["workers"]["kubernetes"]["env"] == HELM_VALUES["triggerer"]["env"] == expected
    assert not {"env", "secret", "extraEnv", "extraEnvFrom"} & set(HELM_VALUES)
    for name, part in HELM_VALUES.items():
        assert name in ("workers", "triggerer") or "pinecone" not in str(part).replace("airflow-pinecone", "")


@pytest.fixture
def cluster_test(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "docker"))
    import cluster_test

    return cluster_test


@pytest.mark.parametrize(
    ("service", "task_ids", "enough"),
    [
        ("worker", [], False),
        ("worker", ["protect.verify", "list_indexes"], False),
        ("worker", ["protect.verify", "protect.backup"], True),
        ("triggerer", ["protect.backup"] * 2, False),
        ("triggerer", ["protect.backup"] * 3, True),
        ("scheduler", [], False),
        ("scheduler", ["protect.verify"], True),
        ("postgres", [], False),
    ],
)
def test_the_cluster_test_kills_a_part_only_while_it_works(
    cluster_test: ModuleType, service: str, task_ids: list[str], enough: bool
) -> None:
    tasks = [cluster_test.Task(task_id, number, 1) for number, task_id in enumerate(task_ids)]
    assert cluster_test.has_work(service, tasks) is enough


def test_the_cluster_test_runs_the_example_that_copies_an_index(cluster_test: ModuleType) -> None:
    import cluster_copy

    source = cluster_copy.copy_dag_source(28_500_000)
    assert "part_bytes=28500000" in source
    assert "schedule=None" in source
    assert source.count("export_backup(") == 1
    compile(source, "copy_outside.py", "exec")


def test_the_cluster_test_finds_all_backups_although_responses_are_lost(cluster_test: ModuleType) -> None:
    """It would not see a second backup of an index that is on a later page."""
    with Emulator("key", ["docs-example"]) as emulator:
        for _ in range(201):
            emulator.add_backup("docs-example")
        lost = emulator.fault("GET", "/backups", times=2, drop="after")
        found = [backup["backup_id"] for backup in cluster_test.backups_in(emulator.url, "key")]
        assert sorted(found) == sorted(backup["backup_id"] for backup in emulator.backups)
        assert lost.hits == 2
