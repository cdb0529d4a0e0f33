"""The FastAPI app that serves the page: documents for a browser, and fragments for Airflow's own page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from airflow_pinecone.common.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.common.text import iso
from airflow_pinecone.runtime.airflow_versions import newest_return_value
from airflow_pinecone.ui.audit import ReadResult, read_audit
from airflow_pinecone.ui.copies import Copies, reader_of_copies, with_copies
from airflow_pinecone.ui.formats import UNKNOWN, show_minute, show_number, show_size
from airflow_pinecone.ui.index_page import index_page, page_of_backup
from airflow_pinecone.ui.links import Links, task_of
from airflow_pinecone.ui.overview import Known, age_of_old_copy, judge, overview
from airflow_pinecone.ui.project_cache import NOTHING, Answer, CopyCache, ProjectCache
from airflow_pinecone.ui.reading import FOLDER_DEADLINE, Copy, read_copy
from airflow_pinecone.ui.restore_tests import Tests, reader_of_tests, with_tests
from airflow_pinecone.ui.settings import PageSettings, read_settings
from airflow_pinecone.ui.trend import HEIGHT, WIDTH

T = TypeVar("T")

_FOLDER = Path(__file__).parent
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'self'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _StaticFiles(StaticFiles):
    """Static files that a browser must not use from its cache after an upgrade."""

    async def get_response(self, path: str, scope: Any) -> Response:
        """Return a file."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def build_app() -> FastAPI:
    """Build the app from Airflow's configuration, for users who may read connections.

    Returns:
        The app.

    Raises:
        Exception: The configuration is invalid, or this Airflow is not supported.
    """
    from airflow.api_fastapi.core_api.security import requires_access_connection

    settings = read_settings()
    cache = ProjectCache(read_copy, settings.connections)
    return create_app(
        settings,
        cache,
        requires_access_connection("GET"),
        tests=cache_of_tests(settings, cache),
        copies=cache_of_copies(settings, cache),
    )


def cache_of_tests(
    settings: PageSettings, projects: ProjectCache, *, clock: Clock = SYSTEM_CLOCK
) -> CopyCache[Tests] | None:
    """Return the cache of the restore tests, which are of the first connection; None if the settings have no folder."""
    if not (settings.restore_tests and settings.connections):
        return None
    read = reader_of_tests(settings.restore_tests, projects.last, clock=clock)
    return CopyCache(read, settings.connections[:1], deadline=FOLDER_DEADLINE, clock=clock)


def cache_of_copies(
    settings: PageSettings, projects: ProjectCache, *, clock: Clock = SYSTEM_CLOCK
) -> CopyCache[Copies] | None:
    """Return the cache of the copies outside of Pinecone, as ``cache_of_tests`` does."""
    if not (settings.copies and settings.connections):
        return None
    read = reader_of_copies(settings.copies, projects.last, clock=clock)
    return CopyCache(read, settings.connections[:1], deadline=FOLDER_DEADLINE, clock=clock)


def create_app(
    settings: PageSettings,
    cache: ProjectCache,
    access: Callable[..., Any],
    *,
    tests: CopyCache[Tests] | None = None,
    copies: CopyCache[Copies] | None = None,
    read_result: ReadResult = newest_return_value,
    clock: Clock = SYSTEM_CLOCK,
) -> FastAPI:
    """Create the app.

    Args:
        settings: The settings.
        cache: The projects of the connections in the settings.
        access: A FastAPI dependency that raises an HTTPException with the status 401 or 403 if the user may not read
            the connection whose id is the path parameter ``connection_id``.
        tests: The restore tests of the first connection in the settings; None if the page shows none.
        copies: The copies outside of Pinecone, of the same connection; None if the page shows none.
        read_result: Reads the last result of a task, for the audit of the settings.
        clock: The clock.

    Returns:
        The app. It only has routes for GET.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.mount("/static", _StaticFiles(directory=_FOLDER / "static"))
    render = _Renderer(settings.connections)
    # A page with 1,000 backups takes about 0.1 s. In a thread, it does not block Airflow's event loop.
    render_limiter = CapacityLimiter(1)

    async def name_connection(request: Request) -> None:
        # Airflow checks the permission for the connection that this path parameter names.
        connection_id = _links(request, settings).connection or None
        request.scope["path_params"] = {**request.path_params, "connection_id": connection_id}

    checks = [Depends(name_connection), Depends(access)]

    async def serve(request: Request, show: Callable[[Links, Answer[Copy], Known], Response]) -> Response:
        links = _links(request, settings)
        if not settings.connections:
            return render("off.html", links)
        if links.connection not in settings.connections:
            return render("unknown_connection.html", links, status=404)
        answer = await cache.get(links.connection)
        if answer.copy is None:
            return render("failure.html", links, answer)
        copy = answer.copy
        # Restore tests, copies and an audit are of one project: that of the first connection.
        is_first = links.connection == settings.connections[0]
        if is_first:
            # Both are read at the same time.
            found_tests, found_copies = await asyncio.gather(
                _answer(tests, links.connection), _answer(copies, links.connection)
            )
            copy = with_tests(copy, found_tests) if found_tests else copy
            copy = with_copies(copy, found_copies) if found_copies else copy

        def judge_and_show() -> Response:
            audit = read_audit(settings.audit, settings.rules, read_result) if settings.audit and is_first else None
            return show(links, answer, judge(copy, settings.rules, clock.utcnow(), audit))

        return await to_thread.run_sync(judge_and_show, limiter=render_limiter)

    @app.get("/", dependencies=checks)
    async def get_overview(request: Request) -> Response:
        def show(links: Links, answer: Answer[Copy], known: Known) -> Response:
            page = overview(known, links, settings.rules)
            return render("overview.html", links, answer, known.now, page=page)

        return await serve(request, show)

    # With ``:path``, a name may contain slashes: backups can name an index in any way.
    @app.get("/indexes/{index_name:path}", dependencies=checks)
    async def get_index(request: Request, index_name: str) -> Response:
        def show(links: Links, answer: Answer[Copy], known: Known) -> Response:
            page = index_page(known, index_name, links)
            if page is None:
                return render("unknown_index.html", links, answer, known.now, status=404, index_name=index_name)
            return render("index.html", links, answer, known.now, page=page)

        return await serve(request, show)

    # The links on tasks lead here: a task may not know the index of its backup.
    @app.get("/backups/{backup_id:path}", dependencies=checks)
    async def get_backup(request: Request, backup_id: str) -> Response:
        def show(links: Links, answer: Answer[Copy], known: Known) -> Response:
            page = page_of_backup(known, backup_id, links)
            if page is None:
                return render("unknown_backup.html", links, answer, known.now, status=404, backup_id=backup_id)
            return render("index.html", links, answer, known.now, page=page)

        return await serve(request, show)

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> Response:
        links = _links(request, settings)
        if error.status_code == 401 or error.detail == "Invalid JWT token":
            if links.in_airflow or "text/html" not in request.headers.get("Accept", ""):
                # A program gets no login form. static/nav.js leads to it.
                return Response(status_code=401, headers=_HEADERS)
            return RedirectResponse(links.login(_requested_page(request, links)), status_code=303, headers=_HEADERS)
        if error.status_code == 403:
            return render("forbidden.html", links, status=403)
        return await http_exception_handler(request, error)

    return app


async def _answer(cache: CopyCache[T] | None, connection: str) -> Answer[T] | None:
    return None if cache is None else await cache.get(connection)


class _Renderer:
    """Renders a template as the response to a request."""

    def __init__(self, connections: Sequence[str]) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["time"] = show_minute
        self._environment.globals.update(
            connections=connections,
            unknown=UNKNOWN,
            chart_size=(WIDTH, HEIGHT),
            show_number=show_number,
            show_size=show_size,
        )

    def __call__(
        self,
        template: str,
        links: Links,
        answer: Answer[Copy] = NOTHING,
        now: datetime | None = None,
        *,
        status: int = 200,
        **context: object,
    ) -> Response:
        """Render a template.

        Args:
            template: The name of the template.
            links: The URLs of the page.
            answer: What is known of the project.
            now: The time of the request.
            status: The status of the response.
            **context: Values for the template.
        """
        html = self._environment.get_template(template).render(
            layout="fragment.html" if links.in_airflow else "document.html",
            links=links,
            failure=answer.failure,
            old=age_of_old_copy(answer.copy, now) if answer.copy and now else "",
            as_of=iso(answer.copy.read_at) if answer.copy else None,
            restores_failure=answer.copy.restores_failure if answer.copy else None,
            **context,
        )
        return HTMLResponse(html, status_code=status, headers=_HEADERS)


def _requested_page(request: Request, links: Links) -> str:
    match request.path_params:
        case {"index_name": str() as index_name}:
            return links.index(index_name)
        case {"backup_id": str() as backup_id}:
            return links.backup(backup_id)
    return links.overview()


def _links(request: Request, settings: PageSettings) -> Links:
    """Return the URLs for the page that a request asks for."""
    default = settings.connections[0] if settings.connections else ""
    query = request.query_params
    in_airflow = query.get("fragment") == "1"
    return Links(settings.prefix, query.get("connection") or default, in_airflow, task_of(query))
