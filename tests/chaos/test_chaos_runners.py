"""Two runners at once, signals, and budgets: who may call, and when no more."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from lab.benchmark import IN_FLIGHT, Benchmark, make_benchmark
from lab.checking import ended_well, now, opened
from lab.workers import Worker, Workers, wait_until

from themis_core.testing.server import ScriptedServer

Count = Callable[[int, int], int]
Figures = Callable[..., None]
TRIALS = 200


def test_of_two_runners_one_wins_and_the_other_leaves_naming_it(
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    count: Count,
    figures: Figures,
) -> None:
    draw, expected, times, slowest = random.Random(7), quiet(TRIALS), count(50, 2), 0.0
    for number in range(times):
        server.reset({"latency_s": 0.02})
        benchmark = make_benchmark(tmp_path / str(number), server.base_url, trials=TRIALS)
        first = workers.start(benchmark)
        if number % 2:  # else both at once, and either may win
            wait_until(lambda: server.count > 0)
            time.sleep(draw.uniform(0, 0.1))
        began = time.monotonic()
        second = workers.start(benchmark)
        loser = first_to_end(first, second)
        winner = first if loser is second else second
        slowest = max(slowest, time.monotonic() - began)
        assert loser.wait() == 4, loser.said
        assert f"process {winner.pid} " in loser.said or not number % 2  # at the very start its name may not be there
        assert winner.wait() == 0, winner.said
        assert ended_well(benchmark, server, expected) == []
        assert server.count == TRIALS
    assert slowest < count(2, 10)  # with small counts, other tests may be at work on the machine
    figures(times=times, called_twice=0, slowest_to_leave_s=round(slowest, 2))


def first_to_end(*workers: Worker) -> Worker:
    while True:
        for each in workers:
            with suppress(TimeoutError):
                each.wait(0.01)
                return each


def test_two_runners_without_a_lock_are_caught(workers: Workers, server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"latency_s": 0.1})  # long enough that both are at work at one time
    benchmark = make_benchmark(tmp_path / "run", server.base_url, trials=TRIALS)
    both = [workers.start(benchmark, broken="locks nothing") for _ in range(2)]
    for each in both:
        each.wait()
    assert server.count > TRIALS


def started_after(server: ScriptedServer, instant: float) -> int:
    return sum(each.started > instant for each in server.requests())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_calls_and_keeps_what_was_answered(
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    count: Count,
    figures: Figures,
    number: signal.Signals,
    code: int,
) -> None:
    draw, expected, times, interrupted = random.Random(8), quiet(TRIALS), count(40, 2), 0
    for attempt in range(times):
        server.reset({"latency_s": 0.02})
        benchmark = make_benchmark(tmp_path / str(attempt), server.base_url, trials=TRIALS)
        worker = workers.start(benchmark)
        wait_until(lambda: server.count > 0)
        time.sleep(draw.uniform(0, 0.3))
        sent = time.monotonic()
        worker.kill(number)
        ended = worker.wait()
        assert ended in (code, 0), worker.said
        interrupted += ended == code
        assert started_after(server, sent + 0.25) == 0
        assert now(benchmark, benchmark.acknowledged()) == []
        with opened(benchmark) as store:
            saved = sum(run.trials for run in store.runs())
        assert saved == server.count, "what was asked was answered, and what was answered is saved"
        assert workers.run(benchmark) == 0
        assert ended_well(benchmark, server, expected) == []
        assert server.count == TRIALS
    assert interrupted
    figures(signals=times, interrupted=interrupted, lost=0, doubled=0)


def test_a_second_ctrl_c_ends_the_run_within_two_seconds(
    workers: Workers, server: ScriptedServer, tmp_path: Path, count: Count, figures: Figures
) -> None:
    times, slowest = count(20, 1), 0.0
    for attempt in range(times):
        server.reset({"latency_s": 30})
        benchmark = make_benchmark(tmp_path / str(attempt), server.base_url, trials=TRIALS)
        worker = workers.start(benchmark)
        wait_until(lambda: server.count >= IN_FLIGHT)
        worker.kill(signal.SIGINT)
        time.sleep(0.3)
        again = time.monotonic()
        worker.kill(signal.SIGINT)
        assert worker.wait(10) == 130, worker.said
        slowest = max(slowest, time.monotonic() - again)
        assert server.count == IN_FLIGHT
        assert now(benchmark, benchmark.acknowledged()) == []
    assert slowest < count(2, 9)  # with small counts, other tests may be at work on the machine
    figures(times=times, slowest_s=round(slowest, 2))


def test_a_runner_that_ignores_ctrl_c_is_caught(workers: Workers, server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"latency_s": 0.05})
    benchmark = make_benchmark(tmp_path / "run", server.base_url, trials=TRIALS)
    worker = workers.start(benchmark, broken="ignores Ctrl-C")
    wait_until(lambda: server.count > 0)
    sent = time.monotonic()
    worker.kill(signal.SIGINT)
    assert worker.wait() == 0
    assert started_after(server, sent + 0.25) > 0


PRICE = {"input_per_million": 1_000_000.0, "output_per_million": 1_000_000.0}
"""A token costs 1."""


def cost(server: ScriptedServer) -> tuple[int, int]:
    """What all calls cost together, and the dearest one: the scripted server counts a token per 4 characters."""
    costs = [2 * (len(each.prompt) // 4 + 1) for each in server.requests()]
    return sum(costs), max(costs, default=0)


def until_it_ends(workers: Workers, benchmark: Benchmark, kills: int, draw: random.Random) -> int:
    """Run it, killed so often on the way; return the exit code of the last execution."""
    for _ in range(kills):
        worker = workers.start(benchmark)
        wanted = benchmark.count() + draw.randint(1, 20)
        wait_until(lambda wanted=wanted, worker=worker: benchmark.count() >= wanted or worker.ended)
        with suppress(ProcessLookupError):
            worker.kill()
        worker.wait()
    return workers.run(benchmark)


MAX_TOKENS = 600
"""More than any answer has: what a call can cost at most is known before it starts."""


@pytest.mark.parametrize("usage", [True, False], ids=["usage", "no usage"])
@pytest.mark.parametrize("kills", [0, 3])
def test_a_budget_of_money_is_exceeded_by_nothing_but_what_a_kill_cut_off(
    workers: Workers, server: ScriptedServer, tmp_path: Path, count: Count, figures: Figures, kills: int, usage: bool
) -> None:
    draw, times, highest = random.Random(9), count(10, 1), 0.0
    for number in range(times):
        server.reset({"latency_s": 0.02, "usage": usage})
        limit = draw.randint(3_000, 9_000)
        folder, policy = tmp_path / str(number), {"max_cost": limit}
        benchmark = make_benchmark(
            folder, server.base_url, trials=TRIALS, policy=policy, price=PRICE, params={"max_tokens": MAX_TOKENS}
        )
        assert until_it_ends(workers, benchmark, kills, draw) == 6
        spent, dearest = cost(server)
        # What was in flight at a kill was paid for and is not there to be counted.
        assert spent <= limit + kills * IN_FLIGHT * dearest
        highest = max(highest, spent / limit)
        assert workers.run(benchmark) == 6  # what is left may do for a shorter prompt, and for no more
        assert cost(server)[0] <= limit + kills * IN_FLIGHT * dearest
    figures(times=times, kills=kills, usage=usage, most_of_the_budget_spent=round(highest, 3))


def test_a_budget_of_calls_is_kept_exactly(
    workers: Workers, server: ScriptedServer, tmp_path: Path, count: Count, figures: Figures
) -> None:
    draw, times = random.Random(10), count(10, 2)
    for number in range(times):
        server.reset({"latency_s": 0.005, "faults": [{"every": 7, "status": 500}]})
        limit = draw.randint(1, 150)
        benchmark = make_benchmark(
            tmp_path / str(number),
            server.base_url,
            trials=TRIALS,
            policy={"max_calls": limit, "backoff_base_s": 0.01},
        )
        assert (workers.run(benchmark), server.count) == (6, limit)
    figures(times=times, overshoot=0)


def test_a_runner_that_ignores_its_budget_is_caught(workers: Workers, server: ScriptedServer, tmp_path: Path) -> None:
    benchmark = make_benchmark(
        tmp_path / "run", server.base_url, trials=TRIALS, policy={"max_cost": 1_000}, price=PRICE
    )
    workers.run(benchmark, broken="ignores the budget")
    spent, dearest = cost(server)
    assert spent > 1_000 + IN_FLIGHT * dearest
