"""One trial in a new store: what every command waits for."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.over_http import CLIENTS, bare_loop, server, with_themis
from benchmarks.table import Row

TIMES = 7


def rows(bench: Bench) -> Iterator[Row]:
    with server(0) as started:
        url = started.base_url
        bare = {client: bare_loop(bench, client, url, 1, 1, TIMES).wall_s for client in CLIENTS}
        yield Row("one trial, new store: wall s", with_themis(bench, url, 1, times=TIMES).wall_s, bare, goal=0.5)
