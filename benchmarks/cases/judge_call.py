"""Answers that a model judges, beside the same answers without a judge: the rest is what a judge's call costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import made
from benchmarks.bench import Bench
from benchmarks.over_http import CLIENTS, bare_loop, server, with_themis
from benchmarks.table import Row

ANSWERS = {
    "rule": "judge",
    "find": {"marker": r"(?s).*VERDICT-([0-9a-f]{10})"},
    "rows": [{"pattern": "VERDICT-", "output": "It says the same.\nVERDICT-{marker}: CORRECT"}],
    "output": "Some words before it.\nA: 7",
}


def rows(bench: Bench) -> Iterator[Row]:
    count = bench.count(2_000)
    with server(0, ANSWERS) as started:
        url = started.base_url
        judge = {"id": "judge/correctness", "judge": {"model": made.on_http(url) | {"model_id": "judge"}}}
        plain = with_themis(bench, url, count)

        def each_asked_once(place: Path) -> None:
            if started.count != 2 * count:
                raise RuntimeError(f"{started.count} requests, not one for each answer and one for each verdict")
            started.reset()

        started.reset()
        judged = with_themis(bench, url, count, each_asked_once, metrics=(made.FREE, judge))
        bare = {client: 1000 * bare_loop(bench, client, url, count, made.IN_FLIGHT).cpu_s / count for client in CLIENTS}
    yield Row("a judge's call, beyond its answer: CPU ms", 1000 * (judged.cpu_s - plain.cpu_s) / count, bare, goal=0.4)
