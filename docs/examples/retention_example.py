"""Apply retention rules to ten weeks of nightly backups, and print what is kept on a calendar."""

from datetime import UTC, date, datetime, timedelta

from airflow_pinecone.api.models import BackupModel
from airflow_pinecone.rules.retention import RetentionRules, plan

FIRST, LAST = date(2025, 4, 1), date(2025, 6, 11)
# The job did not run for three nights.
MISSING = {date(2025, 6, 5), date(2025, 6, 6), date(2025, 6, 7)}
RULES = RetentionRules(keep_last=2, keep_daily=5, keep_weekly=4, keep_monthly=3)


def nightly_backups() -> list[BackupModel]:
    """Return a Ready backup for each night, made at 02:00 UTC."""
    nights = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
    return [
        {
            # Each backup has its night as id.
            "backup_id": f"{night}",
            "source_index_id": "the-index",
            "source_index_name": "docs-example",
            "cloud": "aws",
            "region": "us-east-1",
            "status": "Ready",
            "created_at": f"{night}T02:00:00Z",
        }
        for night in nights
        if night not in MISSING
    ]


def main() -> None:
    """Print the kept backups with their reasons, and a calendar of all nights."""
    now = datetime(2025, 6, 11, 3, tzinfo=UTC)
    decisions = plan(nightly_backups(), RULES, source_index_id="the-index", now=now, owned_only=False)
    print(f"{len(decisions.kept)} backups are kept, {len(decisions.deleted)} are deleted\n")
    for decision in decisions.kept:
        day = f"{date.fromisoformat(decision.backup['backup_id']):%a %Y-%m-%d}"
        for reason in decision.reasons:
            print(f"{day:14}  {reason}")
            day = ""
    kept = {decision.backup["backup_id"] for decision in decisions.kept}
    deleted = {decision.backup["backup_id"] for decision in decisions.deleted}
    print("\nWeek of     Mo Tu We Th Fr Sa Su   # kept, . deleted, - no backup")
    monday = FIRST - timedelta(days=FIRST.weekday())
    while monday <= LAST:
        days = [monday + timedelta(days=n) for n in range(7)]
        marks = [
            "#" if f"{day}" in kept else "." if f"{day}" in deleted else "-" if FIRST <= day <= LAST else " "
            for day in days
        ]
        print(f"{monday}   {'  '.join(marks)}".rstrip())
        monday += timedelta(days=7)


if __name__ == "__main__":
    main()
