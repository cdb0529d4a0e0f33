"""Try retention rules on ten weeks of nightly backups in the emulator, and print what is kept on a calendar."""

import json
import os
from datetime import date, timedelta
from typing import Any

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.operators import PruneBackupsOperator

FIRST, LAST = date(2025, 4, 1), date(2025, 6, 11)
# The job did not run for three nights.
MISSING = {date(2025, 6, 5), date(2025, 6, 6), date(2025, 6, 7)}
RULES: dict[str, Any] = {"keep_last": 2, "keep_daily": 5, "keep_weekly": 4, "keep_monthly": 3}


def dry_run() -> dict[str, Any]:
    """Create a backup for each night, made at 02:00 UTC, and return what a prune would do."""
    with Emulator(api_key="test-key", indexes=["docs-example"]) as emulator:
        for night in (FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)):
            if night not in MISSING:
                emulator.add_backup("docs-example", created_at=f"{night}T02:00:00Z")
        os.environ["AIRFLOW_CONN_PINECONE_DEFAULT"] = json.dumps(
            {"conn_type": "pinecone", "host": emulator.url, "password": emulator.api_key}
        )
        # owned_only=False, because the operators did not create these backups.
        prune = PruneBackupsOperator(
            task_id="prune", index_name="docs-example", dry_run=True, owned_only=False, **RULES
        )
        return prune.execute({})


def table() -> str:
    """Return the kept backups with their reasons, and a calendar of all nights."""
    result = dry_run()
    lines = [f"{len(result['kept'])} backups are kept, {len(result['skipped'])} would be deleted", ""]
    for backup in result["kept"]:
        day = f"{date.fromisoformat(backup['created_at'][:10]):%a %Y-%m-%d}"
        for reason in backup["reasons"]:
            lines.append(f"{day:14}  {reason}")
            day = ""
    marks = {backup["created_at"][:10]: "#" for backup in result["kept"]}
    # A dry run skips what it would delete.
    marks |= {backup["created_at"][:10]: "." for backup in result["skipped"]}
    lines += ["", "Week of     Mo Tu We Th Fr Sa Su   # kept, . deleted, - no backup"]
    monday = FIRST - timedelta(days=FIRST.weekday())
    while monday <= LAST:
        days = [monday + timedelta(days=number) for number in range(7)]
        week = [marks.get(f"{day}", "-" if FIRST <= day <= LAST else " ") for day in days]
        lines.append(f"{monday}   {'  '.join(week)}".rstrip())
        monday += timedelta(days=7)
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
