"""How the page shows numbers, charts and restore snippets."""

from __future__ import annotations

import ast
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from airflow_pinecone.api.models import BackupModel
from airflow_pinecone.common.inputs import validate_index_name
from airflow_pinecone.policy import IndexRules
from airflow_pinecone.rules.report import Project
from airflow_pinecone.ui.formats import show_change, show_duration, show_number, show_size
from airflow_pinecone.ui.index_page import index_page, restore_snippet
from airflow_pinecone.ui.links import Links
from airflow_pinecone.ui.overview import Known, judge
from airflow_pinecone.ui.reading import Copy
from airflow_pinecone.ui.trend import HEIGHT, WIDTH, trend_of

NOW = datetime(2025, 6, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def backup(**fields: Any) -> BackupModel:
    defaults = {
        "backup_id": "b",
        "source_index_name": "docs",
        "source_index_id": "i",
        "status": "Ready",
        "created_at": "2025-06-15T00:00:00Z",
    }
    return cast("BackupModel", {**defaults, **fields})


def known_of(*backups: BackupModel) -> Known:
    return judge(Copy(Project([], backups, []), NOW), IndexRules(86400), NOW)


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        (show_duration, 0, "0 s"),
        (show_duration, 59.9, "59 s"),
        (show_duration, 60, "1 min"),
        (show_duration, 3661, "1 h 1 min"),
        (show_duration, 86400, "1 day"),
        (show_duration, 86400 + 59 * 60, "1 day"),
        (show_duration, 2 * 86400 + 5 * 3600, "2 days 5 h"),
        (show_size, None, "unknown"),
        (show_size, 0, "0 B"),
        (show_size, 999, "999 B"),
        (show_size, 1000, "1.0 kB"),
        (show_size, 999_949, "999.9 kB"),
        (show_size, 999_950, "1.0 MB"),
        (show_size, 1_234_567_890, "1.2 GB"),
        (show_size, 10**16, "10,000.0 TB"),
        (show_number, None, "unknown"),
        (show_number, 0, "0"),
        (show_number, 53_560, "53,560"),
        (show_change, None, "unknown"),
        (show_change, 0.0, "+0.0%"),
        (show_change, -0.204, "-20.4%"),
        (show_change, -0.99962, "-99.9%"),
        (show_change, -1.0, "-100.0%"),
    ],
)
def test_format(show: Callable[[Any], str], value: float | None, text: str) -> None:
    assert show(value) == text


# Charts


@pytest.mark.parametrize(
    ("values", "points"),
    [
        ([], []),
        ([(NOW, None)], []),
        ([(NOW, 5)], [(WIDTH / 2, 6)]),
        ([(NOW, 7), (NOW + HOUR, 7)], [(6, 6), (WIDTH - 6, 6)]),
        ([(NOW, 0), (NOW + HOUR, 0)], [(6, HEIGHT - 6), (WIDTH - 6, HEIGHT - 6)]),
        ([(NOW, 1), (NOW, 2)], [(WIDTH / 2, HEIGHT / 2), (WIDTH / 2, 6)]),
    ],
    ids=["empty", "no value", "one value", "equal values", "zeros", "same time"],
)
def test_points_of_a_chart(values: Any, points: list[tuple[float, float]]) -> None:
    assert [(point.x, point.y) for point in trend_of(values).points] == points


def test_chart_goes_from_the_oldest_to_the_newest_and_from_0_to_the_highest() -> None:
    trend = trend_of([(NOW, 100), (NOW - 4 * HOUR, 0), (NOW - HOUR, None), (NOW - 2 * HOUR, 50)])
    assert [(point.x, point.y) for point in trend.points] == [
        (6, HEIGHT - 6),
        (WIDTH / 2, HEIGHT / 2),
        (WIDTH - 6, 6),
    ]
    assert trend.highest == 100
    assert trend.line == "6,114 300,60 594,6"


def test_chart_has_the_dated_ready_backups_of_the_current_index() -> None:
    known = known_of(
        backup(record_count=1),
        backup(backup_id="failed", status="Failed", record_count=2),
        backup(backup_id="undated", created_at=None, record_count=3),
        backup(backup_id="earlier", source_index_id="h", created_at="2025-06-01T00:00:00Z", record_count=4),
        backup(backup_id="uncounted", record_count=None),
    )
    page = index_page(known, "docs", Links(""))
    assert page is not None
    assert [point.value for point in page.records.points] == [1]
    assert page.size.points == ()
    assert [row.backup_id for row in page.earlier_backups] == ["earlier"]
    assert [row.created_at for row in page.backups][-1] is None


# Snippets


@pytest.mark.parametrize("name", ["docs", "a" * 45, "a" * 35 + "-" + "b" * 9, "1"])
def test_snippet_restores_into_a_valid_new_index(name: str) -> None:
    source = restore_snippet(backup(source_index_name=name), "pinecone_default")
    constants = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    (target,) = [value for value in constants if isinstance(value, str) and value.endswith("-restored")]
    assert validate_index_name(target) != name


@pytest.mark.parametrize("text", ['"""', "\\", "\n", "'\"", "{x}", "\N{HEBREW LETTER ALEF}", "\u202e", "a b"])
def test_snippet_quotes_each_text(text: str) -> None:
    source = restore_snippet(backup(backup_id=text, source_index_name=text), text)
    tree = ast.parse(source)
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert constants.count(text) == 2
    assert len([node for node in ast.walk(tree) if isinstance(node, ast.Call)]) == 2
    assert source.isascii()


def test_snippet_is_a_dag_file() -> None:
    pytest.importorskip("airflow.sdk")
    namespace: dict[str, Any] = {}
    exec(restore_snippet(backup(), "pinecone_default"), namespace)
    operator = namespace["CreateIndexFromBackupOperator"]
    assert operator.__name__ == "CreateIndexFromBackupOperator"
