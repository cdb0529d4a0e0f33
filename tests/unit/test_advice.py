"""What a rejected request means: a table of responses, their errors, and what a user can do."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from airflow_pinecone.api.advice import REFUSALS, Refusal, Response, refusal_of, request_error
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.settings import Settings
from airflow_pinecone.errors import (
    BackupInUse,
    BackupNotReady,
    Conflict,
    DeletionProtected,
    Forbidden,
    NotFound,
    PaymentRequired,
    PermissionDenied,
    PineconePermanentError,
    PineconeRequestError,
    PineconeTransientError,
    PlanRequired,
    QuotaExceeded,
    Unauthorized,
)

SETTINGS = Settings("c-1", "https://api.pinecone.test", "key", "2025-10", 30.0)
VERSIONS_OF_THE_ADVICE = "2026-04 or 2026-07"
CREATE, RESTORE, DELETE = "create_backup", "create_index_from_backup", "delete_backup"
GET, LIST = "describe_backup", "list_project_backups"
# What only the message of Pinecone says.
NO_ADVICE = ""
QUOTA_OF_INDEXES = "reached its quota of indexes. Delete an index"
QUOTA_OF_BACKUPS = "reached its quota of backups. Delete old ones, for example with PruneBackupsOperator"
QUOTA_OF_NAMESPACES = "more namespaces than a backup may have"
MAYBE_BACKUPS = "reached a quota. If it is that of backups, delete old ones"
MAYBE_INDEXES = "reached a quota. If it is that of indexes, delete one"
NO_BACKUPS_IN_PLAN = "plan of this project does not include backups. Upgrade it"
NO_PERMISSION = "API key of connection c-1 lacks permission"
NOT_FROM_PINECONE = "Check the host of connection c-1, and any proxy or firewall"
API_VERSION = f"Set api_version in the extra field of connection c-1 to {VERSIONS_OF_THE_ADVICE}, if the message asks"
HTML = "<!DOCTYPE html><title>403</title> Your client does not have permission to get URL /backups from this server."
FULL_TEXT = "Index creation failed. Indexes with full_text_search fields are not supported in CMEK-encrypted projects"


class Case(NamedTuple):
    """A refusal in an exact text and at least two paraphrases of it."""

    status: int
    code: str | None
    operation: str
    error: type[PineconeRequestError]
    advice: str
    texts: tuple[str, ...]
    resource: str = "my-docs"

    @property
    def id(self) -> str:
        return f"{self.status} {self.code} {self.operation} {self.texts[0][:40]}"


# Refusals whose advice was wrong once.
MISTAKEN = [
    Case(
        403,
        None,
        RESTORE,
        QuotaExceeded,
        QUOTA_OF_INDEXES,
        (
            "This project already contains 20 serverless indexes, the maximum per project. Delete an unused index.",
            "The limit of 20 indexes per project has been reached.",
            "Too many indexes in this project. You do not have permission to create another one.",
        ),
    ),
    Case(
        403,
        "FORBIDDEN",
        RESTORE,
        QuotaExceeded,
        QUOTA_OF_INDEXES,
        (
            "You've reached the max serverless indexes allowed in project Default (5). Use namespaces to partition "
            "your data into logical groups, or upgrade your plan to add more serverless indexes.",
            "Increase your quota or upgrade to create more indexes.",
            "Your plan permits a maximum of 5 serverless indexes per project. Upgrade it.",
        ),
    ),
    Case(
        403,
        "QUOTA_EXCEEDED",
        RESTORE,
        QuotaExceeded,
        QUOTA_OF_INDEXES,
        (
            "Request failed. You've reached the max serverless indexes allowed in project X. Use namespaces instead.",
            "No permission to create an index. Upgrade your plan.",
            "Serverless indexes: 20",
        ),
    ),
    Case(
        403,
        "QUOTA_EXCEEDED",
        CREATE,
        QuotaExceeded,
        QUOTA_OF_NAMESPACES,
        (
            "Namespaces per serverless backup: 2000",
            "The number of namespaces of a backup is limited to 2000.",
            "Too many namespaces for a backup. Upgrade your plan.",
        ),
    ),
    Case(
        412,
        "FAILED_PRECONDITION",
        RESTORE,
        PineconePermanentError,
        NO_ADVICE,
        (
            FULL_TEXT,
            "Full-text search cannot be combined with a customer-managed key.",
            "The conversion of the index has failed.",
        ),
    ),
    Case(
        400,
        "INVALID_ARGUMENT",
        CREATE,
        PineconePermanentError,
        NO_ADVICE,
        (
            "not supported for full-text search indexes",
            "Backups of document indexes are not available.",
            "Index 'my-pod-docs' has a field that cannot be backed up",
        ),
    ),
    Case(
        403,
        None,
        LIST,
        PineconeTransientError,
        NOT_FROM_PINECONE,
        (HTML, "<html><head></head>Quota exceeded</html>", "<?xml version='1.0'?><Error>AccessDenied</Error>"),
    ),
]
# The name of a resource decides nothing, whether it is of the request or another one.
NAMES = [
    *(
        Case(
            404,
            code,
            operation,
            NotFound,
            "API key of connection c-1 belongs to",
            (
                "Index docs-version-2026-07 not found",
                "docs-version-2026-07 was not found in this project. Try version-2026-07-docs.",
                "Resource 'api-version-2026-07' does not exist",
            ),
        )
        for code in ("NOT_FOUND", None)
        for operation in (LIST, DELETE, CREATE)
    ),
    Case(
        404,
        "NOT_FOUND",
        LIST,
        NotFound,
        "API key of connection c-1 belongs to",
        ("Index version not found. Try 2026-07.", "2026-07: no index version", "Version of project 2026-07 not found"),
        resource="version",
    ),
    Case(
        403,
        "FORBIDDEN",
        LIST,
        PermissionDenied,
        NO_PERMISSION,
        (
            "Permission control::backups::list is required for index subscription-docs",
            "Not authorized to read index upgrade-plan",
            "The role of this key does not include index quota-limit-reached-max",
        ),
    ),
    Case(
        403,
        "FORBIDDEN",
        LIST,
        PermissionDenied,
        NO_PERMISSION,
        (
            "Permission control::backups::list is required for index quota",
            "Access denied: quota",
            "This API key has no access to 'quota'",
        ),
        resource="quota",
    ),
    Case(
        403,
        "PERMISSION_DENIED",
        LIST,
        PermissionDenied,
        NO_PERMISSION,
        (
            "Permission control::backups::list is required for index subscription-docs",
            "Access to index plan is denied",
            "You cannot list the backups of tier",
        ),
    ),
    Case(
        412,
        "FAILED_PRECONDITION",
        CREATE,
        PineconePermanentError,
        NO_ADVICE,
        (
            "Index quota-docs is still initializing",
            "Index too-many-indexes is not ready",
            "quota-docs has no data yet",
        ),
    ),
]
# Words that only quotas have decide for each of these statuses, and words for any limit for 403.
QUOTAS = [
    Case(status, code, operation, QuotaExceeded, advice, texts)
    for statuses, operation, advice, texts in (
        (
            (400, 403, 412, 422),
            CREATE,
            QUOTA_OF_NAMESPACES,
            ("Namespaces per serverless backup: 2000", "Namespace quota reached", "Too many namespaces"),
        ),
        (
            (400, 403, 412, 422),
            LIST,
            "names a quota of namespaces",
            ("Namespaces per index: 2000", "Namespace quota reached", "Too many namespaces"),
        ),
        (
            (400, 403, 412, 422),
            CREATE,
            QUOTA_OF_BACKUPS,
            (
                "Too many backups in this project",
                "This project already contains 500 backups",
                "The backup quota is 500",
            ),
        ),
        ((400, 403, 412, 422), CREATE, MAYBE_BACKUPS, ("Quota reached", "Above the project's quota", "Quota: 500")),
        (
            (400, 403, 412, 422),
            RESTORE,
            QUOTA_OF_INDEXES,
            ("Too many indexes in this project", "This project already contains 20 indexes", "The index quota is 20"),
        ),
        ((400, 403, 412, 422), RESTORE, MAYBE_INDEXES, ("Quota reached", "Above the project's quota", "Quota: 20")),
        (
            (400, 403, 412, 422),
            LIST,
            "reached a quota. Ask Pinecone for a higher one",
            ("Quota reached", "Above the project's quota", "Quota: 20"),
        ),
        (
            (403,),
            CREATE,
            QUOTA_OF_NAMESPACES,
            (
                "You reached the namespace limit",
                "Number of namespaces: limit reached",
                "You have reached a limit: the number of namespaces is 2000",
            ),
        ),
        (
            (403,),
            LIST,
            "names a quota of namespaces",
            (
                "You reached the namespace limit",
                "Number of namespaces: limit reached",
                "You have reached the limit: the number of namespaces is 100",
            ),
        ),
        (
            (403,),
            CREATE,
            QUOTA_OF_BACKUPS,
            ("The limit of 500 backups per project", "You have reached the limit of backups", "500 backups: exhausted"),
        ),
        (
            (403,),
            CREATE,
            MAYBE_BACKUPS,
            ("You have reached the limit", "Limit reached", "The maximum is 500 per project"),
        ),
        (
            (403,),
            RESTORE,
            QUOTA_OF_INDEXES,
            ("The limit of 20 indexes per project", "You have reached the limit of indexes", "Indexes: limit reached"),
        ),
        (
            (403,),
            RESTORE,
            MAYBE_INDEXES,
            ("You have reached the limit", "Limit reached", "The maximum is 20 per project"),
        ),
        (
            (403,),
            LIST,
            "reached a quota. Ask Pinecone for a higher one",
            ("You have reached the limit", "Limit reached", "The maximum is 20 per project"),
        ),
    )
    for status in statuses
    for code in ((None, "FORBIDDEN", "PERMISSION_DENIED") if status == 403 else (None,))
]
# A text that exceeds its length, or a number that is too high, is no quota.
LENGTHS = [
    Case(
        status,
        code,
        operation,
        PineconePermanentError,
        NO_ADVICE,
        (
            "Backup name exceeds the max length allowed (45)",
            "description exceeds the maximum of 256 characters per backup",
            "Description has reached the maximum length",
            "retention.expire_after_days exceeds the maximum of 90 days allowed per project",
            "The name has reached its limit of 45 characters per name",
        ),
    )
    for status, code in ((400, "INVALID_ARGUMENT"), (412, "FAILED_PRECONDITION"), (422, "UNPROCESSABLE_ENTITY"))
    for operation in (CREATE, RESTORE, "create_backup_schedule")
]
# What is not from Pinecone.
FOREIGN = [
    Case(status, None, operation, PineconeTransientError, NOT_FROM_PINECONE, (HTML, "<html>Log in", "<!doctype html>"))
    for status in (400, 401, 404, 407, 409, 412, 429, 451)
    for operation in (CREATE, RESTORE, DELETE, GET)
]
FOREIGN += [
    Case(200, None, GET, PineconeTransientError, NOT_FROM_PINECONE, ("<html>", "Welcome", "")),
    Case(302, None, GET, PineconePermanentError, NOT_FROM_PINECONE, ("", "Moved", "<html>")),
]
VERSION_TEXTS = (
    "API version 2025-10 is no longer supported.",
    "Unsupported version: use a newer one",
    "Version '2025-10' was removed. Use '2027-04'.",
    "X-Pinecone-Api-Version 2025-10 is outdated",
    "This index requires API version 2026-07 or later.",
    "2025-10 is not a version of this API",
    "The index was created with API version 2025-04 and cannot be backed up",
    "API version 2025-10 has no backup schedules.",
)
VERSIONS = [
    Case(status, code, operation, PineconePermanentError, API_VERSION, VERSION_TEXTS)
    for status, code in ((400, "INVALID_ARGUMENT"), (404, "NOT_FOUND"), (410, None), (426, None), (403, "FORBIDDEN"))
    for operation in (CREATE, DELETE, LIST)
]
# The code decides, whatever the words say.
CODES = [
    Case(
        403,
        "QUOTA_EXCEEDED",
        CREATE,
        QuotaExceeded,
        QUOTA_OF_BACKUPS,
        ("Backups per project: 500", "Upgrade to create more backups.", "No permission for more backups."),
    ),
    Case(
        403,
        "QUOTA_EXCEEDED",
        CREATE,
        QuotaExceeded,
        MAYBE_BACKUPS,
        ("Too many", "You lack permission.", "Your plan has been used up."),
    ),
    Case(
        403,
        "QUOTA_EXCEEDED",
        RESTORE,
        QuotaExceeded,
        MAYBE_INDEXES,
        ("Storage: 2 TB", "Upgrade your plan.", "Access denied"),
    ),
    Case(
        403,
        "QUOTA_EXCEEDED",
        LIST,
        QuotaExceeded,
        "reached a quota. Ask Pinecone for a higher one",
        ("Too many", "You lack permission.", "Upgrade"),
    ),
    Case(
        403,
        "QUOTA_EXCEEDED",
        RESTORE,
        QuotaExceeded,
        "names a quota of namespaces",
        ("Namespaces per serverless index: 100", "The namespace quota is 100", "Too many namespaces."),
    ),
    Case(
        429,
        "QUOTA_EXCEEDED",
        CREATE,
        QuotaExceeded,
        MAYBE_BACKUPS,
        ("The project quota is 5 pods.", "Upgrade your account", "Increase the quota"),
    ),
    Case(
        403,
        "PERMISSION_DENIED",
        CREATE,
        PlanRequired,
        NO_BACKUPS_IN_PLAN,
        (
            "Your organization's plan does not include backups. Upgrade your plan to create backups.",
            "Backups are not available for your plan",
            "Upgrade to use backups: the Starter tier has none.",
        ),
    ),
    Case(
        403,
        "PERMISSION_DENIED",
        LIST,
        PlanRequired,
        "does not permit this. Upgrade the plan",
        ("Scheduled backups are not available for your plan", "Please upgrade", "Not part of your subscription"),
    ),
    Case(
        403,
        "PERMISSION_DENIED",
        CREATE,
        PermissionDenied,
        NO_PERMISSION,
        ("Access denied: Permission control::backups::create is required", "No right to do this", "Not for you"),
    ),
    Case(
        403,
        "PERMISSION_DENIED",
        "delete_index",
        DeletionProtected,
        "Disable its deletion",
        (
            "Deletion protection is enabled for this index. Disable deletion protection before retrying.",
            "You lack permission: the index is protected from deletion.",
            "deletion_protection: enabled",
        ),
    ),
    Case(
        403,
        "PERMISSION_DENIED",
        RESTORE,
        PlanRequired,
        "does not permit this. Upgrade the plan",
        (
            "Deletion protection is not available on the Starter plan.",
            "Upgrade to use deletion protection",
            "Your plan does not include deletion protection",
        ),
    ),
    Case(
        403,
        "PERMISSION_DENIED",
        RESTORE,
        QuotaExceeded,
        QUOTA_OF_INDEXES,
        (
            "You've reached the max serverless indexes allowed in project Default (5). Upgrade your plan.",
            "Increase your quota of indexes, or upgrade your plan.",
            "The limit of 5 indexes per project has been reached. Please upgrade.",
        ),
    ),
    Case(
        404,
        "NOT_FOUND",
        DELETE,
        NotFound,
        "API key of connection c-1 belongs to",
        ("No such backup", "Backup of version 2 not found", "My backup does not exist"),
    ),
    Case(
        409,
        "ALREADY_EXISTS",
        RESTORE,
        Conflict,
        "Choose another name",
        ("Resource already exists.", "Duplicate", "There is such an index"),
    ),
    Case(
        409,
        "ALREADY_EXISTS",
        "create_backup_schedule",
        Conflict,
        NO_ADVICE,
        ("This index already has an enabled backup schedule.", "Duplicate", "A schedule is enabled"),
    ),
    Case(403, "PAYMENT_REQUIRED", CREATE, PaymentRequired, "past-due invoices", ("Pay up", "Upgrade", "No permission")),
    Case(403, "UNAUTHENTICATED", CREATE, Unauthorized, "password field of connection c-1", ("Key", "Quota", "No plan")),
]
# Without a code that decides, the words do.
WORDS = [
    Case(
        403,
        "FORBIDDEN",
        "delete_index",
        DeletionProtected,
        "Disable its deletion",
        (
            "Deletion protection is enabled for this index. Disable deletion protection before retrying.",
            "The index is protected from deletion by its plan.",
            "deletion_protection: enabled",
        ),
    ),
    Case(
        403,
        "FORBIDDEN",
        CREATE,
        QuotaExceeded,
        QUOTA_OF_BACKUPS,
        (
            "Increase your quota or upgrade to create more backups.",
            "You've reached the max backups allowed in project Default (500).",
            "Backups exceed the maximum; resource exhausted",
        ),
    ),
    Case(
        403,
        "RESOURCE_EXHAUSTED",
        CREATE,
        QuotaExceeded,
        MAYBE_BACKUPS,
        ("Resource exhausted", "Nothing is left", "Your plan is used up"),
    ),
    Case(
        403,
        None,
        CREATE,
        QuotaExceeded,
        QUOTA_OF_NAMESPACES,
        ("Namespaces per serverless backup: 2000", "Namespace quota reached", "Too many namespaces"),
    ),
    Case(
        403,
        None,
        RESTORE,
        QuotaExceeded,
        "names a quota of namespaces",
        ("Namespaces per serverless index: 100", "The namespace quota is 100", "Too many namespaces."),
    ),
    Case(
        403, "FORBIDDEN", RESTORE, QuotaExceeded, MAYBE_INDEXES, ("Quota reached", "Exhausted", "You reached a limit")
    ),
    Case(
        400,
        None,
        RESTORE,
        QuotaExceeded,
        QUOTA_OF_INDEXES,
        (
            "Request failed. You've reach the max serverless indexes allowed in project Chatbot (0).",
            "This project already contains 5 indexes",
            "The maximum number of indexes is 5",
        ),
    ),
    Case(
        403,
        "FORBIDDEN",
        LIST,
        QuotaExceeded,
        "reached a quota. Ask Pinecone for a higher one",
        ("Quota reached", "The monthly limit is reached", "Exhausted"),
    ),
    Case(
        400,
        "INVALID_ARGUMENT",
        CREATE,
        PineconePermanentError,
        "cannot back up pod-based indexes",
        (
            "Index docs is pod-based. Backups require a serverless index.",
            "Backups of pod indexes are not supported",
            "Only serverless indexes can be backed up",
        ),
    ),
    Case(
        400,
        "INVALID_ARGUMENT",
        CREATE,
        PineconePermanentError,
        "customer-managed encryption key",
        (
            "Backups are not supported in projects with a customer-managed encryption key",
            "CMEK projects cannot be backed up",
            "The encryption key of this project is managed by the customer",
        ),
    ),
    Case(
        403,
        "FORBIDDEN",
        CREATE,
        PlanRequired,
        NO_BACKUPS_IN_PLAN,
        ("Not available on the Starter plan.", "Please upgrade to use this feature", "Not in the free tier"),
    ),
    Case(
        403,
        "FORBIDDEN",
        RESTORE,
        PlanRequired,
        "Upgrade the plan",
        ("Please upgrade", "Not available on the Starter plan.", "Not part of your subscription"),
    ),
    Case(
        403,
        "FORBIDDEN",
        GET,
        PermissionDenied,
        NO_PERMISSION,
        ("This key may not use the control plane.", "Access denied", "You do not have the permission backups::read"),
    ),
    Case(
        409,
        None,
        RESTORE,
        Conflict,
        "Choose another name",
        ("Resource already exists.", "The name is taken", "Index name in use"),
    ),
    Case(
        412,
        "FAILED_PRECONDITION",
        DELETE,
        BackupInUse,
        "Wait until it has finished",
        (
            "Unable to delete backup. There are pending restore jobs for this backup: ['670e8400']",
            "The backup is in use.",
            "An index is being restored from this backup",
            "Cannot delete backup: an index is being created from it.",
            "Index docs-2 is still being created from this backup",
            "The backup is the source of an index that is initializing",
        ),
    ),
    Case(
        412,
        "FAILED_PRECONDITION",
        DELETE,
        BackupInUse,
        "If a restore from this backup is running, wait",
        ("Cannot delete backup", "The precondition is not met", ""),
    ),
    Case(
        412,
        "FAILED_PRECONDITION",
        DELETE,
        PineconePermanentError,
        NO_ADVICE,
        ("It has a hold", "Locked", "The backup is protected by a policy", "It is within its retention"),
    ),
    Case(
        412,
        "FAILED_PRECONDITION",
        DELETE,
        PineconePermanentError,
        NO_ADVICE,
        ("The backup is not ready", "Backup is in state Initializing", "The backup is not yet completed"),
    ),
    Case(
        412,
        "FAILED_PRECONDITION",
        RESTORE,
        BackupNotReady,
        "for example with BackupSensor",
        (
            "Backup 670e8400-e29b-41d4-a716-446655440000 is not completed",
            "The backup is not ready",
            "The backup is still initializing.",
            "Backup must be in Ready state",
            "Backup is in state Initializing",
            "The backup must be Ready before it can be restored",
            "The status of the backup is 'Initializing'",
        ),
    ),
    Case(
        422,
        "UNPROCESSABLE_ENTITY",
        CREATE,
        PineconePermanentError,
        "name and the description",
        (
            "Failed to deserialize the JSON body into the target type: missing field `name` at line 1 column 16",
            "The body could not be parsed",
            "Not JSON",
        ),
    ),
]
# Neither a code nor words are known. Then only a status that has one meaning says what to do.
STATUSES = [
    Case(401, None, "list_indexes", Unauthorized, "password field of connection c-1", ("Invalid API key", "Quota", "")),
    Case(402, None, CREATE, PaymentRequired, "past-due invoices", ("Pay all past due invoices", "Pay up", "")),
    Case(
        403,
        "FORBIDDEN",
        CREATE,
        Forbidden,
        NO_ADVICE,
        ("Not today", "The planet is forbidden", "Blocked in region podunk by rule 4711", ""),
    ),
    Case(404, "NOT_FOUND", GET, NotFound, "API key of connection c-1 belongs to", ("Index x not found.", "No", "")),
    Case(404, "NOT_FOUND", GET, NotFound, "API key", ("Backup nightly-2026-07 not found", "2026-07-01", "version-2")),
    Case(409, "ABORTED", RESTORE, Conflict, NO_ADVICE, ("Concurrent change", "Locked", "")),
    Case(409, "ALREADY_EXISTS", CREATE, Conflict, NO_ADVICE, ("Resource already exists.", "Taken", "")),
    Case(412, "FAILED_PRECONDITION", GET, PineconePermanentError, NO_ADVICE, ("Not ready", "Pending", "")),
    Case(
        400,
        "INVALID_ARGUMENT",
        CREATE,
        PineconePermanentError,
        NO_ADVICE,
        ("Name exceeds the maximum length of 45", "The description exceeds the 256 character limit", "Bad plan"),
    ),
    Case(422, "UNPROCESSABLE_ENTITY", CREATE, PineconePermanentError, NO_ADVICE, ("Failed", "Invalid name", "")),
    Case(451, None, GET, PineconePermanentError, NO_ADVICE, ("Legal", "Blocked", "")),
    Case(
        429,
        "RESOURCE_EXHAUSTED",
        GET,
        QuotaExceeded,
        "until the next month",
        (
            "Request failed. You've reached your read unit limit for the current month.",
            "Monthly read units are used up",
            "The egress of this month is exhausted",
        ),
    ),
    Case(
        429,
        "RESOURCE_EXHAUSTED",
        GET,
        PineconeTransientError,
        "in a pool",
        ("Request failed. You've reached the max list requests per second for index docs.", "Wait a minute", "Slow"),
    ),
    Case(429, "RESOURCE_EXHAUSTED", CREATE, PineconeTransientError, "in a pool", ("Too many, quota", "Max rate", "")),
    Case(408, None, GET, PineconeTransientError, "clear the task when Pinecone responds", ("", "<html>", "Timeout")),
    *(
        Case(status, code, CREATE, PineconeTransientError, "https://status.pinecone.io", ("", "<html>", "API version"))
        for status, code in ((500, None), (502, None), (503, "QUOTA_EXCEEDED"), (599, None))
    ),
]
CASES = [*MISTAKEN, *NAMES, *QUOTAS, *LENGTHS, *FOREIGN, *VERSIONS, *CODES, *WORDS, *STATUSES]


def operation_of(case: Case) -> Operation:
    return Operation(case.operation, "GET", ("indexes", case.resource, "backups"), "do something")


def error_of(case: Case, text: str) -> PineconeRequestError:
    response = Response(case.status, case.code, text, "req-7", None)
    return request_error(operation_of(case), response, SETTINGS, max_retry_after=60.0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_response_has_an_error_and_advice(case: Case) -> None:
    assert len(case.texts) >= 3
    for text in case.texts:
        error = error_of(case, text)
        assert type(error) is case.error, text
        assert error.can_retry is issubclass(case.error, PineconeTransientError)
        assert (error.status_code, error.code, error.message) == (case.status, case.code, text)
        what, why, *advice, ids = str(error).splitlines()
        assert what == "Could not do something."
        assert why == f"{error.reason[0].upper()}{error.reason[1:]}."
        assert f"HTTP {case.status}" in why
        assert text[:30].rstrip(".") in why
        assert ("not a response from Pinecone" in error.reason) is (case.advice == NOT_FROM_PINECONE)
        assert ids == "Pinecone request id: req-7."
        assert case.advice in "".join(advice), text
        if not case.advice:
            assert all(line.startswith("The message continues: ") for line in advice), text
        assert all(len(line) <= 135 for line in str(error).splitlines())
        assert "{" not in str(error)
        # Each reason has its own advice.
        known = {
            row.advice.format(connection="connection c-1", versions=VERSIONS_OF_THE_ADVICE)
            for row in REFUSALS
            if row.advice
        }
        assert sum(advice in str(error) for advice in known) <= 1


def test_each_row_of_the_table_decides_three_texts() -> None:
    decided: dict[int, set[str]] = {position: set() for position in range(len(REFUSALS))}
    for case in CASES:
        for text in case.texts:
            row = refusal_of(operation_of(case), Response(case.status, case.code, text, None, None))
            decided[next(n for n, each in enumerate(REFUSALS) if each is row)].add(text)
    assert [REFUSALS[n] for n, texts in decided.items() if len(texts) < 3] == []


def test_code_decides_before_the_words_and_the_words_before_the_status() -> None:
    """The code PERMISSION_DENIED has several reasons: words for two of them decide before it."""

    def rank(row: Refusal) -> int:
        if row.codes == ("PERMISSION_DENIED",):
            return 3
        if row.words in ("deletion protection", "quota", "limit"):
            return 2
        return 0 if row.is_html else 1 if row.codes else 4 if row.words else 5

    rows = [row for row in REFUSALS if any(400 <= status < 500 and status != 408 for status in row.statuses)]
    assert [rank(row) for row in rows] == sorted(map(rank, rows))


@pytest.mark.parametrize("status", range(100, 1000))
def test_every_status_has_a_row(status: int) -> None:
    operation = Operation("list_indexes", "GET", ("indexes",), "list the indexes")
    assert isinstance(refusal_of(operation, Response(status, None, "", None, None)), Refusal)


@pytest.mark.parametrize(("retry_after", "shown"), [(None, False), (60.0, False), (61.0, True), (1e9, True)])
def test_long_retry_after_is_in_the_message(retry_after: float | None, shown: bool) -> None:
    operation = Operation("list_indexes", "GET", ("indexes",), "list the indexes")
    error = request_error(operation, Response(429, None, "", None, retry_after), SETTINGS, max_retry_after=60.0)
    assert ("Pinecone asks to retry after" in str(error)) is shown
    assert error.retry_after == retry_after


def test_retry_after_of_a_refusal_that_is_not_retried_is_not_in_the_message() -> None:
    operation = Operation("list_indexes", "GET", ("indexes",), "list the indexes")
    error = request_error(operation, Response(403, None, "Quota reached", None, 3600.0), SETTINGS, max_retry_after=60.0)
    assert "retry" not in str(error)


def test_long_message_is_truncated_in_the_text_only() -> None:
    operation = Operation("list_indexes", "GET", ("indexes",), "list the indexes")
    error = request_error(operation, Response(400, "INVALID", "m" * 500, None, None), SETTINGS, max_retry_after=60.0)
    assert error.message == "m" * 500
    assert all(len(line) < 130 for line in str(error).splitlines())


def test_long_message_of_an_unknown_refusal_continues_in_the_next_line() -> None:
    operation = Operation("list_indexes", "GET", ("indexes",), "list the indexes")
    text = " ".join(f"word-{number}" for number in range(22))
    error = request_error(operation, Response(403, "FORBIDDEN", f"{text}.", None, None), SETTINGS, max_retry_after=60.0)
    _, why, more = str(error).splitlines()
    shown = why.split("'")[1].removesuffix("...") + more.split("'")[1]
    assert shown == text


@pytest.mark.parametrize(
    ("since", "in_use", "advised"),
    [
        ("2025-10", "2025-10", "to 2026-04 or 2026-07, if"),
        ("2025-10", "2026-04", "to 2025-10 or 2026-07, if"),
        ("2025-10", "unstable", "to 2025-10 or 2026-04 or 2026-07, if"),
        ("2026-07", "2025-10", "to 2026-07, if"),
        ("2026-07", "2026-04", "to 2026-07, if"),
        ("2026-07", "2026-07", ""),
    ],
)
@pytest.mark.parametrize("status", [400, 404])
def test_advised_versions_have_the_call_and_are_not_in_use(since: str, in_use: str, advised: str, status: int) -> None:
    operation = Operation("x", "GET", ("indexes",), "do something", since)
    response = Response(status, None, f"API version {in_use} is not supported", None, None)
    error = request_error(operation, response, replace(SETTINGS, api_version=in_use), max_retry_after=60.0)
    assert type(error) is PineconePermanentError
    advice = "".join(str(error).splitlines()[2:])
    assert advised in advice
    assert bool(advice) is bool(advised)
