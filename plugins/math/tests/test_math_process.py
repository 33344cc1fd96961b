"""Comparing is bounded in time, and its process comes and goes with the one that needs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from themis_core import Generation, Item, Score
from themis_plugin_math import process
from themis_plugin_math.equivalent import Equivalent
from themis_plugin_math.process import Worker

ANSWERED = Generation("answered", text="…")
REQUEST = {
    "reference": "3",
    "answer": "3",
    "percent_as_fraction": True,
    "tolerance": "0.0",
    "relative_tolerance": "0.0",
}
HUGE = "9^{9^{9^9}}"


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    "answer",
    [
        HUGE,
        "(9^9)!!!",
        "((10!)!)!",
        "(123456789)!",
        "2^{" * 30 + "9" + "}" * 30,
        "(x+1)^{99999} = (x+2)^{99999} = y",
        "+".join(f"\\sqrt[{n}]{{x^{n}+{n}}}" for n in range(2, 90)),
        "|" * 900 + "1" + "|" * 900,
        "\\{" + ",".join(f"\\sqrt{{{n}}}" for n in range(2, 200)) + "\\}",
        "\\sin(" * 39 + "x" + ")" * 39,
        "\\boxed{" * 100_000,
    ],
    ids=lambda answer: answer[:24],
)
def test_no_answer_takes_longer_than_the_bound(answer: str) -> None:
    item = Item("1", {}, r"\{x^2 + 1, 2, 3\}")
    assert Equivalent(timeout_s=60).unscorable(item) is None  # the process runs, and the reference is known
    Equivalent(timeout_s=60).score(item, ANSWERED, "1")
    began = time.monotonic()
    score = Equivalent(timeout_s=1).score(item, ANSWERED, answer)
    assert time.monotonic() - began < 1 + 30  # 1 s is the bound; a busy machine may notice late
    assert score.value == 0.0 or score.reason in ("metric_timeout", "metric_error")


def test_what_takes_too_long_is_unscored_and_the_next_answer_is_scored() -> None:
    item = Item("1", {}, "3")
    assert Equivalent(timeout_s=60).score(item, ANSWERED, "3") == Score(1.0)
    late = Equivalent(timeout_s=0.5).score(item, ANSWERED, HUGE)
    assert (late.value, late.reason) == (None, "metric_timeout")
    assert late.details == {"error": "it took longer than 0.5 s"}
    assert Equivalent(timeout_s=60).score(item, ANSWERED, "3") == Score(1.0)


def test_a_reference_that_takes_too_long_is_no_bad_one() -> None:
    assert Equivalent(timeout_s=0.5).unscorable(Item("1", {}, f"{HUGE} + 1")) == "metric_timeout"


def test_the_process_starts_with_the_first_request_is_kept_and_ends_on_close(worker: Worker) -> None:
    assert worker.pid is None
    assert worker.ask(REQUEST, 60) == {"equal": True}
    first = worker.pid
    assert worker.ask(REQUEST, 60) == {"equal": True}
    assert worker.pid == first
    worker.close()
    assert first is not None
    assert not is_running(first)


def test_a_killed_process_is_reaped_and_replaced(worker: Worker) -> None:
    worker.ask(REQUEST, 60)
    first = worker.pid
    assert first is not None
    with pytest.raises(TimeoutError, match=r"longer than 0\.3 s"):
        worker.ask({**REQUEST, "answer": HUGE}, 0.3)
    assert not is_running(first)  # a zombie would still have its id
    assert worker.ask(REQUEST, 60) == {"equal": True}
    assert worker.pid != first


def test_a_process_that_somebody_killed_is_replaced(worker: Worker) -> None:
    worker.ask(REQUEST, 60)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    time.sleep(0.2)
    assert worker.ask(REQUEST, 60) == {"equal": True}


def test_threads_share_the_process_and_each_gets_its_own_reply(worker: Worker) -> None:
    replies: dict[int, bool] = {}

    def ask(number: int) -> None:
        for _ in range(5):
            replies[number] = worker.ask({**REQUEST, "answer": str(number)}, 60)["equal"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == {0: False, 1: False, 2: False, 3: True, 4: False}


PARENT = """
import os, sys, threading, time
from themis_plugin_math.process import shared_worker
worker = shared_worker()
request = {request!r}
worker.ask(request, 60)
print(worker.pid, flush=True)
if sys.argv[1] == "busy":
    threading.Timer(0.5, lambda: os.kill(os.getpid(), 9)).start()
    worker.ask({{**request, "answer": {huge!r}}}, 3)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("end", ["normally", "killed", "busy"])
def test_no_process_is_left_behind_however_its_parent_ends(end: str) -> None:
    code = PARENT.format(request=REQUEST, huge=HUGE)
    done = subprocess.run([sys.executable, "-c", code, end], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    pid = int(done.stdout)
    deadline = time.monotonic() + 15
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(pid)


def test_scoring_imports_sympy_in_the_worker_alone() -> None:
    code = (
        "import sys\nfrom themis_core import Generation, Item\n"
        "from themis_plugin_math.equivalent import Equivalent\n"
        "score = Equivalent(timeout_s=60).score(Item('1', {}, '3'), Generation('answered', text='3'), '3')\n"
        "print(score.value, 'sympy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("1.0 False\n", "")


def test_a_worker_that_cannot_start_costs_the_score_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Worker()
    monkeypatch.setattr("themis_plugin_math.equivalent.shared_worker", lambda: broken)
    monkeypatch.setattr(process.sys, "executable", "/bin/false")
    score = Equivalent().score(Item("1", {}, "3"), ANSWERED, "3")
    assert (score.value, score.reason) == (None, "metric_error")
    assert "ended with code 1" in score.details["error"]
