"""Calls that don't end by themselves are ended, in the main thread and in others; those that do are left in peace."""

import asyncio
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from themis_lanes import Overdue, Raised, Threads, beside, in_time, stuck, timed, watching

LIMIT_S = 0.2


def burn():
    while True:
        pass


def sleep_for_ever():
    while True:
        time.sleep(3600)


def wait_for_ever():
    threading.Event().wait()


def catch_exceptions_and_go_on():
    while True:
        try:
            time.sleep(0.01)
            raise ValueError
        except Exception:  # noqa: BLE001 - as careless code does
            pass


def swallow_one_interrupt():
    try:
        burn()
    except BaseException:  # noqa: BLE001 - as careless code does
        burn()


def search_a_catastrophic_pattern():
    re.search(r"(a+)+$", "a" * 64 + "b")


HANGS = [
    burn,
    sleep_for_ever,
    wait_for_ever,
    catch_exceptions_and_go_on,
    swallow_one_interrupt,
    search_a_catastrophic_pattern,
]
IN_THREADS = HANGS[:-1]
"""`re` holds the interpreter's lock, and looks for signals in the main thread alone: elsewhere only a process helps."""
IN_PYTHON = [burn, catch_exceptions_and_go_on, swallow_one_interrupt]


@pytest.mark.parametrize("hang", HANGS)
def test_in_the_main_thread_whatever_hangs_is_interrupted(hang):
    with watching(), pytest.raises(Overdue) as caught:
        in_time("mine/slow.score", LIMIT_S, hang)
    assert (caught.value.limit_s, caught.value.left_behind) == (LIMIT_S, False)


@pytest.mark.parametrize("hang", IN_THREADS)
def test_in_a_pool_whatever_hangs_costs_its_call_alone(hang):
    async def run():
        threads = Threads(2)
        calls = [threads.call("mine/slow.score", LIMIT_S, hang) for _ in range(3)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        result = await threads.call("mine/quick.score", LIMIT_S, lambda: 42)
        threads.close()
        return ended, result

    with watching():
        ended, result = asyncio.run(run())
    left_behind = hang not in IN_PYTHON
    assert [(type(each), each.left_behind) for each in ended] == [(Overdue, left_behind)] * 3
    assert result == 42


@pytest.mark.parametrize("hang", IN_THREADS)
def test_beside_a_thread_without_a_loop_whatever_hangs_is_left(hang):
    with pytest.raises(Overdue):
        beside("mine/slow.aggregate", LIMIT_S, hang)
    assert beside("mine/quick.aggregate", LIMIT_S, lambda: 42) == 42


def raised_in_a_thread(error):
    """What comes to who awaits a call that raises this."""

    def fail():
        raise error

    async def run():
        threads = Threads(1)
        try:
            await threads.call("mine/slow.score", LIMIT_S, fail)
        except (SystemExit, asyncio.CancelledError, GeneratorExit, Raised) as raised:
            return raised
        finally:
            threads.close()

    with watching():
        return asyncio.run(run())


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), GeneratorExit("x")])
def test_what_a_call_raises_is_raised_where_it_is_awaited(error):
    assert raised_in_a_thread(error) is error


@pytest.mark.parametrize("error", [KeyboardInterrupt("mine"), StopIteration("mine")])
def test_what_would_be_taken_for_something_else_is_told_by_name(error):
    raised = raised_in_a_thread(error)
    assert (type(raised), str(raised)) == (Raised, f"{type(error).__name__}: mine")


def test_a_call_that_is_in_time_meets_no_interrupt_later():
    with watching():
        for _ in range(20):
            with pytest.raises(Overdue):
                in_time("mine/slow.score", 0.06, time.sleep, 0.2)
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            in_time("mine/quick.score", 5, lambda: None)


def test_what_is_returned_after_an_interrupt_was_not_in_time():
    def swallow():
        try:
            burn()
        except BaseException:  # noqa: BLE001 - as careless code does
            return 1.0

    with watching(), pytest.raises(Overdue):
        in_time("mine/slow.score", LIMIT_S, swallow)


def test_the_time_in_the_queue_is_not_the_calls():
    async def run():
        threads = Threads(1)
        calls = [threads.call(str(each), 0.5, lambda: time.sleep(0.2)) for each in range(6)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        threads.close()
        return ended

    with watching():
        assert asyncio.run(run()) == [None] * 6


def test_a_queued_call_that_nobody_waits_for_is_not_made():
    made = []

    async def run():
        threads = Threads(1)
        release = threading.Event()
        first = asyncio.create_task(threads.call("first", 10, release.wait))
        await asyncio.sleep(0)
        second = asyncio.create_task(threads.call("second", 10, lambda: made.append(2)))
        await asyncio.sleep(0)
        second.cancel()
        release.set()
        await first
        await threads.call("third", 10, lambda: made.append(3))
        threads.close()

    with watching():
        asyncio.run(run())
    assert made == [3]


def test_what_takes_long_is_named_with_its_seconds():
    seen = []

    async def run():
        threads = Threads(1)
        release = threading.Event()
        call = asyncio.create_task(threads.call("mine/slow.score", 10, release.wait))
        while not (found := stuck(0.1)):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        seen.extend(found)
        release.set()
        await call
        threads.close()

    with watching():
        asyncio.run(run())
    [(label, seconds)] = seen
    assert label == "mine/slow.score"
    assert 0.1 < seconds < 10
    assert stuck(0) == []


def test_a_ctrl_c_during_an_overdue_call_stays_one():
    def swallow_and_be_interrupted():
        try:
            burn()
        except BaseException:  # noqa: BLE001 - as careless code does
            raise KeyboardInterrupt from None

    with watching(), pytest.raises(KeyboardInterrupt):
        in_time("mine/slow.score", LIMIT_S, swallow_and_be_interrupted)


def test_handlers_of_signals_and_timers_are_as_before_when_nobody_watches():
    numbers = (signal.SIGURG, signal.SIGVTALRM)
    before = [signal.getsignal(each) for each in numbers]
    with watching(), watching():
        assert signal.getsignal(signal.SIGURG) is not before[0]
    assert [signal.getsignal(each) for each in numbers] == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0


def test_a_block_is_bounded_as_a_call_is():
    with watching(), pytest.raises(Overdue), timed("mine/slow.check", LIMIT_S):
        burn()


def test_a_context_variable_of_the_caller_is_seen_in_the_thread():
    from contextvars import ContextVar

    place = ContextVar("place", default="none")

    async def run():
        place.set("here")
        threads = Threads(1)
        seen = await threads.call("mine/x.score", 5, place.get)
        threads.close()
        return seen

    with watching():
        assert asyncio.run(run()) == "here"


def test_an_interrupt_that_comes_while_its_call_is_left_is_the_last(monkeypatch):
    """The interrupt may come at any step of the watch's own code: then it must not go on interrupting what follows."""
    monkeypatch.setattr("themis_lanes.watch.LOOK_S", 0.0005)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    failed = []

    def work():
        for _ in range(300):
            with suppress(Overdue):
                in_time("mine/slow.score", 0.002, time.sleep, 0.0019)
        until = time.monotonic() + 0.6
        try:
            while time.monotonic() < until:
                sum(range(100))
        except BaseException as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    try:
        with watching():
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            work()
    finally:
        sys.setswitchinterval(interval)
    assert failed == []


UNDER_A_TRACER = """
import sys, threading, time
from themis_lanes import in_time, watching
{tracer}
asleep = threading.Thread(
    target=lambda: in_time("mine/slow.score", 0.1, time.sleep, 30), daemon=True
)
with watching():
    asleep.start()
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        sum(range(100))
        (lambda: None)()
print("went on")
"""
TRACERS = {
    "settrace": "trace = lambda *_: trace\nsys.settrace(trace)\nthreading.settrace(trace)",
    "coverage": "import coverage\ncoverage.Coverage(data_file=None, messages=False).start()",
    "none": "",
}


@pytest.mark.parametrize("tracer", TRACERS)
def test_a_call_that_sleeps_on_stops_no_other_thread_under_a_tracer(tracer, tmp_path):
    """CPython 3.11 would enter no function any more, in any thread."""
    script = UNDER_A_TRACER.format(tracer=TRACERS[tracer])
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("went on\n", 0), done.stderr


COPIED = """
import asyncio, os, sys
from themis_lanes import Threads, beside, in_time, watched, watching

def copies():
    copy = os.fork()
    if not copy:
        {end}
    print(os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]), flush=True)

async def awaits():
    await asyncio.sleep(0)
    copies()

async def steps():
    await watched("mine/copies.score", 30, awaits())

async def in_a_thread():
    await Threads(1).call("mine/copies.score", 30, copies)

with watching():
    {call}
print("went on", flush=True)
"""
CALLS = {
    "inline": "in_time('mine/copies.score', 30, copies)",
    "beside": "beside('mine/copies.score', 30, copies)",
    "thread": "asyncio.run(in_a_thread())",
    "async": "asyncio.run(steps())",
}
ENDED = "a process that mine/copies.score made by os.fork() has ended: "


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        ("return", 0, ""),
        ("raise ValueError('planted')", 1, f"{ENDED}ValueError: planted\n"),
        ("raise KeyboardInterrupt", 1, f"{ENDED}KeyboardInterrupt\n"),
        ("sys.exit(0)", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no')", 1, ""),
    ],
)
def test_a_copy_of_the_process_that_leaves_its_call_ends(call, end, code, told):
    """It would go on with the run, and ask and save what the other one does."""
    script = COPIED.format(call=CALLS[call], end=end)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == (f"{code}\nwent on\n", told, 0)
