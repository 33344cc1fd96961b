"""`themis view`: the pages of a store, served to this machine's browser alone, and while runs go on.

Read-only. Each address has a token that nobody else can know; the names of host and origin are checked, so that no
other page can have the browser ask here. Three threads read, each with the store opened for itself, as stores want it:
one what is told of whole runs (`shelf`), one what pages ask for, one what is searched for. So a page waits neither for
a large run nor for somebody's long search.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from themis_core import RunRecord, RunResult, SpecError, ThemisError
from themis_plugin_report.gathering import AS_USUAL, Gathered, Wanted, opened, runs_of
from themis_plugin_report.index import Index, Query
from themis_plugin_report.page import PAGE, listed, policy, rendered, told_of, waiting
from themis_plugin_report.shelf import Shelf
from themis_plugin_report.tables import tables
from themis_plugin_report.trials import groups, text_of
from themis_plugin_report.verdicts import Verdict, verdicts

__all__ = ["Site", "application"]

T = TypeVar("T")
LONGEST_SEARCH_S = 5.0
MOST_DIGITS = 9
"""Of a number in a request: SQLite holds it also times `PAGE`."""
LONGEST_SAID = 60
"""Characters of a wrong parameter that the answer repeats."""


class BadRequest(Exception):
    """A request that can't be answered; the message says which parameter is wrong, and how."""


class Site:
    """What is served of one store. All is called in one thread; the shelf may be shared with others."""

    def __init__(self, spec: Path | None, project: Path | None, shelf: Shelf) -> None:
        self._files = ExitStack()
        self._shelf = shelf
        self._results, self._store = self._files.enter_context(opened(spec, project))

    def close(self) -> None:
        self._files.close()

    def _gathered(self, run_ids: Sequence[str]) -> Gathered | None:
        return self._shelf.told_of(runs_of(self._results, run_ids))

    def runs(self) -> str:
        """The page that lists the runs."""
        return listed([(run, f"run?{urlencode({'id': run.run_id})}") for run in self._results.runs()])

    def page(self, run_ids: Sequence[str]) -> str:
        made = self._gathered(run_ids)
        if made is None:
            return waiting(runs_of(self._results, run_ids))
        return rendered(made, connect="'self'", live=True)

    def progress(self, run_ids: Sequence[str]) -> dict[str, Any]:
        """How far the runs are, and what their numbers are by now."""
        runs = runs_of(self._results, run_ids)
        made = self._gathered(run_ids)
        scores = None if made is None else next((each for each in tables(made) if each.name == "scores"), None)
        return {
            "whole": made is not None and made.whole,
            "running": any(run.status == "running" for run in runs),
            "planned": sum(run.manifest["trials"] for run in runs),
            "trials": sum(run.trials for run in runs),
            "failed": sum(run.failed for run in runs),
            "verdicts": [] if made is None else [*map(_verdicts, made.runs, made.results)],
            "told": None if made is None or not made.whole else told_of(made),
            "scores": None
            if scores is None
            else {
                "header": scores.header,
                "rows": scores.rows,
                "above": scores.above,
                "figures": sorted(scores.figures),
            },
        }

    def find(self, run_ids: Sequence[str], asked: dict[str, str]) -> dict[str, Any]:
        """One page of the results that are asked for."""
        made, query = self._gathered(run_ids), _query(asked)
        if made is None or not made.whole:
            return {"groups": [], "total": 0, "reading": True}
        first = _whole_number(asked, "page") * PAGE
        if words := asked.get("search", "").lower():
            return self._searched(made, query, words, first)
        entries = made.index.entries(query, first, PAGE)
        found = list(groups(self._store, made.index, entries))
        return {"groups": found, "total": made.index.count(query)}

    def _searched(self, made: Gathered, query: Query, words: str, first: int) -> dict[str, Any]:
        """Read result after result until the page is full and one more is there, or the time is up."""
        until, found, seen = time.monotonic() + LONGEST_SEARCH_S, [], 0
        more = stopped = False
        for group in groups(self._store, made.index, made.index.entries(query)):
            alike = [trial for trial in group["trials"] if words in text_of(group, trial)]
            for trial in alike:
                if first <= seen < first + PAGE:
                    found.append({**group, "trials": [trial]})
                seen += 1
            more, stopped = seen > first + PAGE, time.monotonic() > until
            if more or stopped:
                break
        return {"groups": found, "total": min(seen, first + PAGE), "more": more, "stopped": stopped and not more}

    def alike(self, run_ids: Sequence[str], n: int) -> dict[str, Any]:
        """All results of one result's item."""
        made = self._gathered(run_ids)
        return {"groups": [] if made is None else list(groups(self._store, made.index, made.index.alike(n)))}


def _verdicts(run: RunRecord, result: RunResult) -> list[dict[str, str]]:
    found = verdicts(run, result) or [Verdict("No scores yet")]
    return [{"kind": each.kind, "text": each.text, "more": each.more} for each in found]


def _query(asked: Mapping[str, str]) -> Query:
    """What a request asks for. Raises BadRequest with words on what is wrong."""
    shown = asked.get("shown") or "all"
    if shown not in Index.SHOWN:
        raise BadRequest(f"shown: {shown[:LONGEST_SAID]!r} is none of {', '.join(Index.SHOWN)}")
    return Query(
        shown,
        _whole_number(asked, "scorer"),
        _whole_number(asked, "system") if asked.get("system") else None,
        asked.get("slice") or None,
        _facet(asked["metadata"]) if asked.get("metadata") else None,
    )


def _whole_number(asked: Mapping[str, str], name: str) -> int:
    text = asked.get(name) or "0"
    if not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS):
        raise BadRequest(f"{name}: {text[:LONGEST_SAID]!r} is no whole number of up to {MOST_DIGITS} digits")
    return int(text)


def _facet(text: str) -> tuple[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not (isinstance(found, list) and len(found) == 2 and all(isinstance(each, str) for each in found)):
        raise BadRequest(f'metadata: {text[:LONGEST_SAID]!r} is no JSON list of two texts, such as ["level", "a"]')
    return found[0], found[1]


def application(
    spec: Path | None, project: Path | None, token: str, hosts: Sequence[str], wanted: Wanted = AS_USUAL
) -> ASGIApp:
    """The ASGI application; `hosts` are the names, with the port, that a browser may call it by, and `wanted` is what
    is asked for of each page.

    Raises StoreMissing when it starts, if there is no store.
    """
    threads = {name: ThreadPoolExecutor(1, f"themis-view-{name}") for name in ("pages", "searches")}
    sites: dict[str, Site] = {}

    async def in_thread(name: str, what: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads[name], what, *given)

    async def read(what: Callable[[Site], T], name: str = "pages") -> T:
        return await in_thread(name, what, sites[name])

    @asynccontextmanager
    async def life(app: Starlette) -> Any:
        shelf = Shelf(spec, project, wanted)
        for name in threads:
            sites[name] = await in_thread(name, Site, spec, project, shelf)
        yield
        for name, thread in threads.items():
            await read(Site.close, name)
            thread.shutdown()
        shelf.close()

    async def runs(request: Request) -> Response:
        return HTMLResponse(await read(Site.runs))

    async def page(request: Request) -> Response:
        ids = request.query_params.getlist("id")
        return HTMLResponse(await read(lambda each: each.page(ids)))

    async def progress(request: Request) -> Response:
        ids = request.query_params.getlist("id")
        return _json(await read(lambda each: each.progress(ids)))

    async def find(request: Request) -> Response:
        ids, asked = request.query_params.getlist("id"), dict(request.query_params)
        return _json(await read(lambda each: each.find(ids, asked), "searches" if asked.get("search") else "pages"))

    async def alike(request: Request) -> Response:
        ids, asked = request.query_params.getlist("id"), dict(request.query_params)
        if not asked.get("n"):
            raise BadRequest("n: the number of a result is missing")
        n = _whole_number(asked, "n")
        return _json(await read(lambda each: each.alike(ids, n)))

    def wrong(request: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), 404 if isinstance(error, SpecError) else 400)

    paths = {"": runs, "run": page, "api/progress": progress, "api/results": find, "api/alike": alike}
    routes = [Route(f"/{token}/{path}", endpoint, methods=["GET"]) for path, endpoint in paths.items()]
    handlers = dict.fromkeys((ThemisError, BadRequest), wrong)
    app = Starlette(routes=routes, lifespan=life, exception_handlers=handlers)
    return _Guard(app, token, hosts)


def _json(told: Any) -> Response:
    """In ASCII, since texts of models may hold lone surrogates, which UTF-8 can't."""
    return Response(json.dumps(told, allow_nan=False), media_type="application/json")


class _Guard:
    """Lets through what this machine's reader asks, and nothing that another page or a changed name sends here."""

    def __init__(self, app: ASGIApp, token: str, hosts: Sequence[str]) -> None:
        self._app, self._token, self._hosts = app, token, hosts
        self._headers = [
            (b"content-security-policy", f"{policy(chr(39) + 'self' + chr(39))}; frame-ancestors 'none'".encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
            (b"cross-origin-resource-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            refused = self._refused(scope)
            answer = self._app if refused is None else refused
            await answer(scope, receive, partial(self._sent, send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if headers.get("host") not in self._hosts:
            return PlainTextResponse("not served under this name", 421)
        if headers.get("origin", f"http://{headers['host']}") != f"http://{headers['host']}":
            return PlainTextResponse("not served to other pages", 403)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return PlainTextResponse("not served to other pages", 403)
        first = scope["path"].removeprefix("/").partition("/")[0]  # a path may be `*`
        if not secrets.compare_digest(first.encode("utf-8", "surrogatepass"), self._token.encode()):
            return PlainTextResponse("the address that `themis view` printed has more to it", 404)
        return None

    async def _sent(self, send: Send, message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *self._headers]}
        await send(message)
