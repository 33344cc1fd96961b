"""A run over HTTP and its bare loops: the client on one core, a scripted server on another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import made
from benchmarks.bench import Bench
from benchmarks.measuring import CLIENT_CORE, SERVER_CORE, Figures, measured

__all__ = ["CLIENTS", "bare_loop", "server", "with_bare_loops", "with_themis"]

CLIENTS = ("aiohttp", "pyreqwest")
"""Of the bare loops; the first is what ratios are to."""


@contextmanager
def server(latency_s: float, answers: Mapping[str, Any] | None = None) -> Iterator[Any]:
    """A server that echoes, or says what the script's `answers` are."""
    from themis_core.testing.server import ScriptedServer

    script = {"latency_s": latency_s, "answers": answers or {"rule": "echo"}}
    with ScriptedServer(script, cpu=SERVER_CORE) as started:
        yield started


def with_themis(
    bench: Bench,
    base_url: str,
    count: int,
    read: Callable[[Path], None] = lambda place: None,
    *,
    times: int = 3,
    core: int | None = CLIENT_CORE,
    arguments: Sequence[str] = (),
    **spec: Any,
) -> Figures:
    """Run a spec (other keywords as of `made.spec_file`) in a new store each time; `read` looks into its folder."""

    def once(place: Path) -> Figures:
        made.questions(place, count)
        figures = bench.themis("run", made.spec_file(place, made.on_http(base_url), **spec), *arguments, core=core)
        read(place)
        return figures

    return bench.repeated(once, times)


def bare_loop(bench: Bench, client: str, base_url: str, count: int, in_flight: int, times: int = 3) -> Figures:
    def once(place: Path) -> Figures:
        files = (str(made.questions(place, count)), str(place / "bare.sqlite3"))
        return measured(("-m", "benchmarks.cases.bare_http", client, base_url, *files, str(in_flight)))

    return bench.repeated(once, times)


def with_bare_loops(bench: Bench, count: int, latency_s: float) -> tuple[Figures, dict[str, Figures]]:
    """Themis, and the bare loop of each client, with as many in flight."""
    with server(latency_s) as started:
        url = started.base_url
        bare = {client: bare_loop(bench, client, url, count, made.IN_FLIGHT) for client in CLIENTS}
        return with_themis(bench, url, count), bare
