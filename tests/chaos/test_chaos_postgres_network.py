"""Postgres as people run it: over TCP with scram and TLS, behind a pooler, with a standby, over silent links."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.benchmark import Benchmark, make_benchmark
from lab.checking import digest_of, ended_well, opened
from lab.network import Link, Standby, certificate, pooler
from lab.workers import Worker, Workers, wait_until

from themis_core import StorageError
from themis_core.testing.postgres import PostgresServer
from themis_core.testing.server import ScriptedServer
from themis_plugin_postgres.backend import PostgresBlobStorageSpec

Count = Callable[[int, int], int]
Figures = Callable[..., None]
TRIALS = 200
URL = "CHAOS_POSTGRES"
PASSWORD = "s3cret-of-chaos"
TELLING = ("--format", "json")
"""Arguments of a run that says what it waits for."""
SCRAM = f"CREATE ROLE ada SUPERUSER LOGIN PASSWORD '{PASSWORD}'"


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer(tcp=True) as started:
        started.execute(SCRAM)
        yield started


def database_of(postgres: PostgresServer) -> str:
    return postgres.new_database().partition("?")[0].rpartition("/")[2]


@pytest.fixture
def made(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Benchmark, dict[str, str]]]:
    """Makes a benchmark whose store is reached by ports, the model server's ledger empty; and its environment."""
    numbers = iter(range(1_000))

    def make(
        database: str, *ports: int, options: str = "", latency_s: float = 0.1, **more: Any
    ) -> tuple[Benchmark, dict[str, str]]:
        server.reset({"latency_s": latency_s})
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        url = f"postgresql://ada:{PASSWORD}@{hosts}/{database}{options}"
        monkeypatch.setenv(URL, url)
        storage = {
            "backend": "postgres",
            "url_env": URL,
            "blobs": "store/blobs",
            "inline_limit_bytes": 1024,
            **more,
        }
        folder = tmp_path / str(next(numbers))
        return make_benchmark(folder, server.base_url, trials=TRIALS, storage=storage), {URL: url}

    return make


def some_saved(benchmark: Benchmark, worker: Worker, count: int = 20) -> None:
    wait_until(lambda: benchmark.count() >= count or worker.ended)
    assert not worker.ended, worker.said


Made = Callable[..., tuple[Benchmark, dict[str, str]]]


def test_a_server_over_tcp_with_scram_that_restarts_loses_nothing(
    postgres: PostgresServer, made: Made, workers: Workers, server: ScriptedServer, quiet: Callable[[int], str]
) -> None:
    expected = quiet(TRIALS)
    benchmark, environment = made(database_of(postgres), postgres.port)
    worker = workers.start(benchmark, environment=environment)
    some_saved(benchmark, worker)
    postgres.restart("immediate", down_s=0.5)
    assert worker.wait() == 0, worker.said
    assert ended_well(benchmark, server, expected) == []
    assert server.count == TRIALS
    assert PASSWORD not in worker.said


def test_a_server_with_tls_is_used_and_one_that_wants_it_says_so(
    made: Made, workers: Workers, server: ScriptedServer, quiet: Callable[[int], str], figures: Figures
) -> None:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs or not shutil.which("openssl"):
        figures(NOT_RUN="TLS needs Debian's package postgresql, and openssl")
        pytest.skip("NOT RUN: TLS needs Debian's package postgresql, and openssl")
    expected = quiet(TRIALS)
    with PostgresServer(tcp=True, programs=programs[-1]) as postgres:
        postgres.execute(SCRAM)
        data = postgres._folder / "data"
        certificate(data)
        rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
        (data / "pg_hba.conf").write_text(rules)
        postgres.execute("ALTER SYSTEM SET ssl = on")
        postgres.restart()
        benchmark, environment = made(
            database_of(postgres), postgres.port, options=f"?sslmode=verify-full&sslrootcert={data / 'server.crt'}"
        )
        worker = workers.start(benchmark, environment=environment)
        assert worker.wait() == 0, worker.said
        assert ended_well(benchmark, server, expected) == []
        for options in ("?sslmode=disable", "?sslmode=verify-full&sslrootcert=/etc/hostname"):
            refused, environment = made(database_of(postgres), postgres.port, options=options)
            worker = workers.start(refused, environment=environment)
            assert worker.wait() == 4, worker.said
            assert "correct sslmode" in worker.said


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_a_pooler_is_used_by_sessions_and_refused_by_transactions(
    postgres: PostgresServer,
    made: Made,
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    figures: Figures,
    mode: str,
) -> None:
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        figures(NOT_RUN="a pooler needs PgBouncer (apt-get install pgbouncer)")
        pytest.skip("NOT RUN: a pooler needs PgBouncer (apt-get install pgbouncer)")
    expected = quiet(TRIALS)
    with pooler(program, postgres, "ada", PASSWORD, mode, tmp_path / "pooler") as port:
        benchmark, environment = made(database_of(postgres), port)
        worker = workers.start(benchmark, environment=environment)
        code = worker.wait()
        if mode == "session":
            assert code == 0, worker.said
            assert ended_well(benchmark, server, expected) == []
        else:
            assert code == 4, worker.said
            assert "a pooler that hands it to several clients" in worker.said
            assert "pool_mode = session" in worker.said
            assert server.count == 0


def test_what_a_shared_session_could_do_is_caught_in_each_transaction(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler that was not recognised: the session is another's all of a sudden, and leads to another store."""
    url = f"postgresql://ada:{PASSWORD}@127.0.0.1:{postgres.port}/{database_of(postgres)}"
    monkeypatch.setenv(URL, url)
    own, other = (PostgresBlobStorageSpec(url_env=URL, schema_name=name).open(tmp_path) for name in ("own", "other"))
    from themis_core.testing.events import run_started

    session: Any = own._database  # type: ignore[attr-defined]
    session.run("SET search_path TO other")
    own.append([run_started("mine")])
    assert [each.run_id for each in own.runs()] == ["mine"]
    assert list(other.runs()) == []
    session.run("SET themis.session = 'another'")
    with pytest.raises(StorageError, match="a pooler that hands it to several clients"):
        own.append([run_started("more")])
    assert [each.run_id for each in own.runs()] == ["mine"]
    for each in (own, other):
        each.close()


def test_a_standby_that_lagged_and_was_promoted_ends_with_every_trial(
    made: Made, workers: Workers, quiet: Callable[[int], str], count: Count, figures: Figures
) -> None:
    expected, lost = quiet(TRIALS), 0
    for _ in range(count(5, 1)):
        with PostgresServer(tcp=True) as primary:
            primary.execute(SCRAM)
            database = database_of(primary)
            with Standby(primary) as standby:
                both = "?target_session_attrs=read-write"
                benchmark, environment = made(
                    database, primary.port, standby.port, options=both, lease_s=5, latency_s=0.5
                )
                worker = workers.start(benchmark, environment=environment, arguments=TELLING)
                some_saved(benchmark, worker, 30)
                standby.lag()
                some_saved(benchmark, worker, benchmark.count() + 30)
                primary.stop("immediate")
                standby.promote()
                assert worker.wait(120) == 0, worker.said
                assert "that it had acknowledged: asked again" in worker.said
                lost += 1
                with opened(benchmark) as store:
                    assert digest_of(store) == expected
                    assert list(store.verify()) == []
    figures(promoted=lost, unfinished=0)


@pytest.mark.parametrize("new_too", [False, True], ids=["cut in silence", "stalled"])
def test_a_link_that_falls_silent_is_noticed_and_nothing_is_lost(
    postgres: PostgresServer,
    made: Made,
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    count: Count,
    figures: Figures,
    *,
    new_too: bool,
) -> None:
    expected, times, longest = quiet(TRIALS), count(10, 1), 0.0
    for _ in range(times):
        with Link(postgres.port) as link:
            benchmark, environment = made(database_of(postgres), link.port, connect_timeout_s=2)
            worker = workers.start(benchmark, environment=environment, arguments=TELLING)
            some_saved(benchmark, worker)
            began = time.monotonic()
            link.fall_silent(new_too=new_too)
            timer = threading.Timer(5, link.take_new)
            timer.start()
            assert worker.wait(60) == 0, worker.said
            timer.join()
            longest = max(longest, time.monotonic() - began)
            assert "no reply for" in worker.said
            assert ended_well(benchmark, server, expected) == []
            assert server.count == TRIALS
    assert longest < 40
    figures(times=times, longest_s=round(longest, 1), lost=0)


def test_a_store_that_does_not_look_into_silence_is_caught(
    postgres: PostgresServer, made: Made, workers: Workers
) -> None:
    with Link(postgres.port) as link:
        benchmark, environment = made(database_of(postgres), link.port, connect_timeout_s=2)
        worker = workers.start(benchmark, environment=environment, broken="waits for ever")
        some_saved(benchmark, worker)
        link.fall_silent()
        with pytest.raises(TimeoutError):
            worker.wait(12)
        worker.kill()
        worker.wait()


def test_an_execution_that_trusts_its_own_count_is_caught(made: Made, workers: Workers) -> None:
    """The control of the promoted standby: it takes all for done, asks for nothing again, and trials are missing."""
    with PostgresServer(tcp=True) as primary:
        primary.execute(SCRAM)
        database = database_of(primary)
        with Standby(primary) as standby:
            both = "?target_session_attrs=read-write"
            benchmark, environment = made(database, primary.port, standby.port, options=both, lease_s=5, latency_s=0.5)
            worker = workers.start(benchmark, environment=environment, broken="counts by itself")
            some_saved(benchmark, worker, 30)
            standby.lag()
            some_saved(benchmark, worker, benchmark.count() + 30)
            primary.stop("immediate")
            standby.promote()
            code = worker.wait(120)
            with opened(benchmark) as store:
                (run,) = store.runs()
                assert run.trials < TRIALS
                assert (code, run.status) == (5, "failed")  # result and record go by what is stored
