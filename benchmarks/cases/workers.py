"""Workers of one run on Postgres: trials a second, what is not waiting, and whether they come to the same result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.bench import Bench
from benchmarks.over_http import server, with_themis
from benchmarks.table import Row
from themis_core import StorageBackend
from themis_core.testing.postgres import PostgresServer

TRIALS = 20_000
LATENCY_S = 0.02
IN_FLIGHT = 128
"""Of all workers together: enough for 6,400 trials a second, which no machine of two cores comes near."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What one run took; CPU is of all its processes."""

    per_s: float
    themis_ms: float
    postgres_ms: float
    stored_kb: float
    """With its text, and without what an empty database has."""
    indices_kb: float
    wal_kb: float
    digest: str


def rows(bench: Bench) -> Iterator[Row]:
    count = bench.count(TRIALS)
    with PostgresServer(fsync=True) as postgres, server(LATENCY_S) as started:
        alone = ran(bench, postgres, started.base_url, count)
        one, two, four = (ran(bench, postgres, started.base_url, count, workers=number) for number in (1, 2, 4))
    base = {"one worker": one.per_s}
    yield Row("20,000 at 20 ms on Postgres, one worker: trials a second", one.per_s, {"no worker": alone.per_s})
    yield Row("– two workers", two.per_s, base)
    yield Row("– four workers", four.per_s, base)
    yield Row("– CPU ms a trial of Themis, one worker", one.themis_ms, {"no worker": alone.themis_ms})
    yield Row("– four workers", four.themis_ms, {"one worker": one.themis_ms})
    yield Row("– CPU ms a trial of Postgres, one worker", one.postgres_ms, {"no worker": alone.postgres_ms})
    yield Row("– four workers", four.postgres_ms, {"one worker": one.postgres_ms})
    yield Row("– kB a trial in Postgres, its text included", four.stored_kb, {"no worker": alone.stored_kb})
    yield Row("– kB of that in indices", four.indices_kb, {"no worker": alone.indices_kb})
    yield Row("– kB of WAL a trial", four.wal_kb, {"no worker": alone.wal_kb})
    unlike = sum(each.digest != alone.digest for each in (one, two, four))
    yield Row("– results unlike that of no worker", unlike, goal=0)


def ran(bench: Bench, postgres: PostgresServer, base_url: str, count: int, workers: int = 0) -> Ran:
    """A run in a new database; with 0 workers it is one process alone."""
    url = postgres.new_database()
    spec = {"policy": {"max_in_flight_work_items": IN_FLIGHT}, "storage": {"backend": "postgres", "url": url}}
    how = ("--workers", str(workers)) if workers else ()
    found: dict[str, float] = {}
    digests: list[str] = []

    def read(place: Path) -> None:
        after = looked_at(postgres, url)
        found.update({name: (after[name] - before[name]) / count for name in after})
        digests.append(digest_of(storage_of(url), place))

    before = looked_at(postgres, url)
    figures = with_themis(bench, base_url, count, read, times=1, core=None, arguments=how, **spec)
    return Ran(
        count / figures.wall_s,
        1000 * figures.cpu_s / count,
        1000 * found["cpu_s"],
        found["size_kb"],
        found["indices_kb"],
        found["wal_kb"],
        digests[0],
    )


def looked_at(postgres: PostgresServer, url: str) -> dict[str, float]:
    """What the server has taken so far, and the database."""
    import psycopg

    with psycopg.connect(url) as connection:
        name = urlsplit(url).path[1:]
        sizes = connection.execute(
            "SELECT pg_database_size(%s), coalesce(sum(pg_indexes_size(relid)), 0)::bigint,"
            " pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint FROM pg_stat_user_tables",
            (name,),
        ).fetchone()
    assert sizes is not None
    kb = dict(zip(("size_kb", "indices_kb", "wal_kb"), (each / 1000 for each in sizes), strict=True))
    return {"cpu_s": postgres.cpu_s(), **kb}


def storage_of(url: str) -> StorageBackend:
    from themis_plugin_postgres.backend import PostgresBlobStorageSpec

    return PostgresBlobStorageSpec(url=url)


def digest_of(storage: StorageBackend, place: Path) -> str:
    """Of the canonical export of the store's one run, which holds nothing of how it came about."""
    from themis_plugin_interop.canonical import canonical_digest

    with closing(storage.open(place, mode="read")) as store:
        (run,) = store.runs()
        return canonical_digest(store, run.run_id)
