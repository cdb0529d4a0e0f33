"""Check the files in docker/ without Docker; `make docker-test` and `make cluster-test` run the stack."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from airflow_pinecone.emulator import Emulator

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker/compose.yaml").read_text()
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()
EXAMPLE = dict(
    line.split("=", 1)
    for line in (ROOT / "docker/.env.example").read_text().splitlines()
    if line and not line.startswith("#")
)
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
# Compose fails on an empty ${NAME:?message} and replaces an empty ${NAME:-default}. $${NAME} is left to the container.
VARIABLES = re.findall(r"(?<!\$)\$\{([A-Z_]+)(:[?-])?([^}]*)\}", COMPOSE)
SECRETS = {name for name, kind, _ in VARIABLES if kind == ":?"}
SECRET = re.compile(r"PASSWORD|SECRET|FERNET|_KEY|AUTH$")
# Services without a health check: they exit, and the other services wait for their exit code.
WITHOUT_HEALTHCHECK = {"init"}


def test_the_stack_has_its_services() -> None:
    assert set(SERVICES) == {
        *("postgres", "redis", "init", "api-server", "scheduler"),
        *("dag-processor", "triggerer", "worker", "emulator"),
    }


def test_every_variable_is_in_the_example_with_its_default() -> None:
    defaults = {name: default for name, kind, default in VARIABLES if kind == ":-"}
    assert {name for name, kind, _ in VARIABLES if not kind} == set()
    assert defaults | dict.fromkeys(SECRETS, "") == EXAMPLE


def test_an_empty_secret_stops_the_stack_and_is_named() -> None:
    assert {name for name in EXAMPLE if SECRET.search(name)} == SECRETS
    for name, kind, message in VARIABLES:
        if kind == ":?":
            assert name in message


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_contains_a_secret(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if SECRET.search(variable) and not variable.endswith("_FILE"):
            assert re.fullmatch(r"\$\{([A-Z_]+):\?[^}]+\}", value), f"{variable} of {name} is not a secret from .env"
        for password in re.findall(r"://\w*:([^@]+)@", str(value)):
            assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", password), f"{variable} of {name} holds a password"


def test_only_services_that_call_pinecone_get_the_key() -> None:
    holders = {name for name, service in SERVICES.items() if "PINECONE_API_KEY" in str(service.get("environment"))}
    assert holders == {"triggerer", "worker", "emulator"}


def test_the_connection_is_valid_json() -> None:
    (text,) = {SERVICES[name]["environment"]["AIRFLOW_CONN_PINECONE_DEFAULT"] for name in ("triggerer", "worker")}
    values = {"PINECONE_HOST": "https://api.pinecone.io", "PINECONE_API_KEY": "pcsk_1"}
    connection = yaml.safe_load(re.sub(r"\$\{([A-Z_]+)[^}]*\}", lambda match: values[match[1]], text))
    assert connection == {
        "conn_type": "pinecone",
        "host": "https://api.pinecone.io",
        "password": "pcsk_1",
        "extra": {"allow_http": True},
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check_and_restarts(name: str) -> None:
    if name in WITHOUT_HEALTHCHECK:
        assert "healthcheck" not in SERVICES[name]
        assert SERVICES[name]["restart"] == "no"
    else:
        check = SERVICES[name]["healthcheck"]
        assert check["test"]
        assert {"interval", "timeout", "retries"} <= set(check)
        assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_the_services_it_needs(name: str) -> None:
    depends_on = SERVICES[name].get("depends_on", {})
    for other, how in depends_on.items():
        ends = other in WITHOUT_HEALTHCHECK
        assert how == {"condition": "service_completed_successfully" if ends else "service_healthy"}
    if name not in ("postgres", "redis", "init", "emulator"):
        assert {"postgres", "redis", "init"} <= set(depends_on)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_minimal_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert not {"privileged", "pid", "ipc", "network_mode", "devices", "userns_mode"} & set(service)
    assert str(service.get("user", "")).partition(":")[0] not in ("0", "root")
    assert "docker.sock" not in str(service.get("volumes"))
    if name != "postgres":
        assert "cap_add" not in service


def test_only_the_api_server_publishes_a_port_and_on_loopback() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"api-server": ["${AIRFLOW_BIND:-127.0.0.1}:${AIRFLOW_PORT:-8080}:8080"]}


@pytest.mark.parametrize("name", ["worker", "triggerer", "scheduler"])
def test_a_service_can_be_scaled(name: str) -> None:
    assert not {"container_name", "hostname", "ports"} & set(SERVICES[name])


def test_the_cluster_test_runs_the_example_with_more_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docker"))
    import cluster_test

    changed = set(cluster_test.dag_source().splitlines()) - set(
        (ROOT / "dags/backup_fleet.py").read_text().splitlines()
    )
    assert [line.strip() for line in changed] == [
        'default_args={"retries": 3, "retry_delay": pendulum.duration(seconds=20)},'
    ]


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
    monkeypatch: pytest.MonkeyPatch, service: str, task_ids: list[str], enough: bool
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docker"))
    import cluster_test

    tasks = [cluster_test.Task(task_id, number, 1) for number, task_id in enumerate(task_ids)]
    assert cluster_test.has_work(service, tasks) is enough


def test_the_dags_are_mounted_read_only() -> None:
    for name in ("worker", "dag-processor", "scheduler", "api-server", "triggerer"):
        assert "${DAGS_DIR:-../dags}:/opt/airflow/dags:ro" in SERVICES[name]["volumes"]
    assert (ROOT / "docker" / EXAMPLE["DAGS_DIR"] / "reindex_with_backup.py").is_file()


def test_the_image_runs_as_the_user_airflow() -> None:
    assert re.findall(r"^USER +(\S+)", DOCKERFILE, re.MULTILINE) == ["airflow"]
    assert "USER airflow" in DOCKERFILE.splitlines()[-1]


def test_the_dockerfile_and_the_example_use_the_same_base_image() -> None:
    (image,) = re.findall(r"^ARG AIRFLOW_IMAGE=(\S+)", DOCKERFILE, re.MULTILINE)
    assert image == EXAMPLE["AIRFLOW_IMAGE"]


def test_the_build_context_has_only_what_the_image_copies() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    copied = {
        name for names in re.findall(r"^COPY --\S+ (.+) \S+$", DOCKERFILE, re.MULTILINE) for name in names.split()
    }
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


def test_every_secret_is_generated(make_env: ModuleType) -> None:
    example = (ROOT / "docker/.env.example").read_text()
    one, two = (dict(re.findall(r"^([A-Z_]+)=(.*)$", make_env.fill(example), re.MULTILINE)) for _ in range(2))
    assert {name for name in one if one[name] != two[name]} == SECRETS
    assert len({one[name] for name in SECRETS}) == len(SECRETS)
    for name in SECRETS - {"AIRFLOW_FERNET_KEY"}:
        assert re.fullmatch(r"[0-9a-f]{64}", one[name])
    assert re.fullmatch(r"[\w-]{43}=", one["AIRFLOW_FERNET_KEY"])


def test_the_env_file_is_private_and_never_overwritten(
    make_env: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / ".env"
    monkeypatch.setattr("sys.argv", ["make_env.py", str(target)])
    make_env.main()
    assert target.stat().st_mode & 0o777 == 0o600
    before = target.read_text()
    with pytest.raises(SystemExit, match="was not changed"):
        make_env.main()
    assert target.read_text() == before


def test_the_values_of_the_helm_chart_give_the_key_to_tasks_and_triggerers_only() -> None:
    values = yaml.safe_load((ROOT / "docker/helm-values.yaml").read_text())
    secret = {"secretKeyRef": {"name": "pinecone", "key": "connection"}}
    expected = [{"name": "AIRFLOW_CONN_PINECONE_DEFAULT", "valueFrom": secret}]
    assert values["workers"]["kubernetes"]["env"] == values["triggerer"]["env"] == expected
    assert not {"env", "secret", "extraEnv", "extraEnvFrom"} & set(values)
    for name, part in values.items():
        assert name in ("workers", "triggerer") or "pinecone" not in str(part).replace("airflow-pinecone", "")


def test_the_values_of_the_helm_chart_have_the_airflow_version_of_the_image() -> None:
    values = yaml.safe_load((ROOT / "docker/helm-values.yaml").read_text())
    assert EXAMPLE["AIRFLOW_IMAGE"] == f"apache/airflow:{values['airflowVersion']}"


@pytest.mark.parametrize("count", [0, 100, 201])
def test_the_cluster_test_counts_all_backups_although_responses_are_lost(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docker"))
    import cluster_test

    with Emulator("key", ["docs-example"]) as emulator:
        for _ in range(count):
            emulator.add_backup("docs-example")
        lost = emulator.fault("GET", "/backups", times=2, drop="after")
        found = cluster_test.backups_in(emulator.url, "key")
        assert {backup["backup_id"] for backup in found} == {backup["backup_id"] for backup in emulator.backups}
        assert len(found) == count
        assert lost.hits == 2


@pytest.fixture
def make_env() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_env", ROOT / "docker/make_env.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
