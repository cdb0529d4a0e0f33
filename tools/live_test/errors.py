"""Requests that the service refuses."""

from __future__ import annotations

import secrets
from uuid import uuid4

from airflow_pinecone.errors import NotFound, PineconePermanentError, Unauthorized
from live_test.api import Response
from live_test.run import NotPossible, Run, refusal_of

_REQUEST_ID = "x-pinecone-request-id"


def check_version(run: Run) -> None:
    """The version is supported."""
    response = run.api.get("/indexes")
    if response.status in (401, 403):
        raise NotPossible(f"{response.outcome}: {response.message}")
    if not run.equal("the version is supported", response.outcome, "200", detail=_problem(response)):
        raise NotPossible("the version is not supported")
    rows = response.model.get("indexes")
    run.true("list indexes: the rows are in `indexes`", "a list", isinstance(rows, list), type(rows).__name__)


def check_headers(run: Run) -> None:
    """An invalid key or version is refused."""
    response = run.api.get("/indexes", headers={"Api-Key": "pc-" + secrets.token_hex(16)})
    run.refused("send an invalid API key", response, 401, error=Unauthorized)
    run.note("send an invalid API key: Content-Type", response.headers.get("Content-Type"))
    response = run.api.get("/indexes", headers={"X-Pinecone-Api-Version": "1999-01"})
    run.refused("send an unknown API version", response, 400, error=PineconePermanentError)
    named = refusal_of(response).words == "version"
    run.true("send an unknown API version: the message names it", "yes", named, "yes" if named else response.message)


def check_unknown_ids(run: Run) -> None:
    """An unknown id or name is not found."""
    index = "airflow-pinecone-none-" + secrets.token_hex(5)
    response = run.api.get(f"/indexes/{index}")
    run.refused("describe an unknown index", response, 404, error=NotFound)
    body_is_error = response.model.get("status") == 404 and bool(response.code and response.message)
    run.true(
        "an error has status, error.code and error.message", "yes", body_is_error, "yes" if body_is_error else "no"
    )
    has_id = bool(response.headers.get(_REQUEST_ID) or response.headers.get("x-request-id"))
    run.true(f"a response has the header {_REQUEST_ID} or x-request-id", "yes", has_id, "yes" if has_id else "no")
    run.refused("list the backups of an unknown index", run.api.get(f"/indexes/{index}/backups"), 404, error=NotFound)
    run.refused(
        "create a backup of an unknown index", run.api.post(f"/indexes/{index}/backups", {}), 404, error=NotFound
    )
    run.refused("describe an unknown backup", run.api.get(f"/backups/{uuid4()}"), 404, error=NotFound)
    run.refused("delete an unknown backup", run.api.delete(f"/backups/{uuid4()}"), 404, error=NotFound)
    run.refused("delete an unknown index", run.api.delete(f"/indexes/{index}"), 404, error=NotFound)
    run.refused("describe an unknown restore job", run.api.get(f"/restore-jobs/{uuid4()}"), 404, error=NotFound)
    # The target has the name of this run, so that it is deleted if the service accepts the request.
    target = run.created.new_index_name(run.api)
    run.refused(
        "restore an unknown backup",
        run.api.post(f"/backups/{uuid4()}/create-index", {"name": target}),
        404,
        error=NotFound,
    )


def check_invalid_names(run: Run) -> None:
    """An invalid name is refused."""
    name = run.created.new_index_name(run.api, end="-")
    response = run.api.post("/indexes", run.expected.index_body(name, {}))
    run.refused("create an index with an invalid name", response, 400, 422, error=PineconePermanentError)


def check_invalid_token(run: Run) -> None:
    """An invalid token of a page is refused."""
    run.refused(
        "list backups with an invalid token",
        run.api.get("/backups", {"paginationToken": "invalid"}),
        400,
        error=PineconePermanentError,
    )


ERRORS = (check_headers, check_unknown_ids, check_invalid_names, check_invalid_token)


def _problem(response: Response) -> str:
    return "" if response.status == 200 else response.message
