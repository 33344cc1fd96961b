"""Calls in processes: what a stranger's code does there costs its own call, and the next one is made as ever."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from themis_lanes import Crashed, Overdue, Processes, Raised, process

STRANGER = '''
import asyncio, ctypes, os, pickle, re, signal, socket, subprocess, sys, threading, time
from dataclasses import dataclass

class Unfit(Exception):
    """Can't be pickled, nor unpickled, as its only argument is missing in the pickle."""
    def __init__(self, text, *, code):
        super().__init__(text)
        self.lock = threading.Lock()

class Mute(Exception):
    def __str__(self):
        raise KeyError("no text")

class Slow(Exception):
    def __str__(self):
        while True: pass

class Late:
    """Does, when it is unpickled, what it is told."""
    def __init__(self, what): self.what = what
    def __reduce__(self): return (late, (self.what,))

def late(what):
    return exec(what, globals())

def write_to_socket(content):
    for fd in range(3, 1_000):
        try: socket.socket(fileno=os.dup(fd)).send(content)
        except OSError: pass

@dataclass(frozen=True)
class Stranger:
    name: str = "one"

    def give(self, value): return value
    def pid(self): return os.getpid()
    def run(self, code): exec(code, globals())
    def value(self, code): return eval(code, globals())
    def raises(self, kind, *args, **more): raise eval(kind, globals())(*args)
    def touch(self, path, code):
        open(path, "w").write(str(os.getpid()))
        exec(code, globals())

@dataclass(frozen=True)
class Counted:
    """Writes a line to a file whenever it is unpickled."""
    path: str
    def __setstate__(self, state):
        self.__dict__.update(state)
        open(self.path, "a").write("loaded\\n")
    def give(self, value): return value

@dataclass(frozen=True)
class Awkward:
    code: str
    def __setstate__(self, state): exec(state["code"], globals())
    def give(self, value): return value

@dataclass(frozen=True)
class Shy:
    kind: str
    def __getstate__(self): raise eval(self.kind)("shy")

@dataclass(frozen=True)
class Locked:
    lock: object
    def give(self, value): return value
'''

COPIES = "os.waitpid(os.fork() or sys.exit(os.waitpid(os.fork() or sys.exit(7), 0)[1] >> 8), 0)[1] >> 8"
BURN = "while True: pass"
BURN_IN_C = "re.match(r'(a+)+$', 'a' * 64 + 'b')"  # never lets another thread of Python have its turn
SOON = 20.0
"""Seconds that no call of these tests needs, even on a busy machine."""


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "lanes_stranger.py").write_text(STRANGER, "utf-8")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    import lanes_stranger  # type: ignore[import-not-found]

    yield lanes_stranger
    sys.modules.pop("lanes_stranger")


@pytest.fixture
def pool() -> Iterator[Processes]:
    threads = threading.active_count()
    files = open_files()
    made = Processes(1, memory_mb=1024)
    yield made
    made.close()
    gc.collect()
    assert threading.active_count() == threads
    assert open_files() <= files  # one that another test left open may be closed meanwhile
    assert children() == []


def open_files() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()} if sys.platform == "linux" else set()


OTHERS: set[int] = set()
"""Processes that other tests have left running, such as a database."""


@pytest.fixture(autouse=True)
def _know_the_others() -> None:
    OTHERS.clear()
    OTHERS.update(children())


def children() -> list[int]:
    """Return the processes that this one has, those that ended and were not waited for included, but no others'."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text("utf-8").rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(stat.parent.name))
    return sorted(set(found) - OTHERS)


def run(call: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(call)


async def outcome(pool: Processes, target: object, method: str, *args: object, limit_s: float = SOON) -> object:
    """Return what a call gives, or the kind and the text of how it ended."""
    try:
        return await pool.call(target, method, args, limit_s)
    except (Crashed, Overdue, Raised, TypeError) as error:
        return type(error), str(error)


async def written(path: Path) -> str:
    """Return what another process writes, as soon as it did."""
    while not (text := content(path)):  # noqa: ASYNC110 - another process sets no event
        await asyncio.sleep(0.01)
    return text


def content(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def gone(pid: int) -> bool:
    """Wait until a process has ended, whoever's it is; a zombie that its new parent leaves behind has."""
    until = time.monotonic() + SOON
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


def test_a_worker_is_used_for_many_calls_and_a_target_is_loaded_once(
    pool: Processes, stranger: Any, tmp_path: Path
) -> None:
    counted, seen = stranger.Counted(str(tmp_path / "loads")), stranger.Stranger()

    async def calls() -> tuple[list[object], set[int]]:
        values = [await pool.call(counted, "give", (number,), SOON) for number in range(5)]
        return values, {await pool.call(seen, "pid", (), SOON) for _ in range(3)}

    values, pids = run(calls())
    assert values == [0, 1, 2, 3, 4]
    assert (tmp_path / "loads").read_text("utf-8") == "loaded\n"
    assert len(pids) == 1
    assert pids != {os.getpid()}
    # From another loop, the same worker.
    assert run(pool.call(seen, "pid", (), SOON)) in pids


def test_no_more_workers_run_than_the_pool_is_large(stranger: Any) -> None:
    pool = Processes(2, memory_mb=None)

    async def calls() -> list[int]:
        one = stranger.Stranger()
        return await asyncio.gather(*(pool.call(one, "pid", (), SOON) for _ in range(12)))

    with contextlib.closing(pool):
        assert 1 <= len(set(run(calls()))) <= 2
        assert len(children()) <= 2


COMPUTE = "end = time.thread_time() + 0.02\nwhile time.thread_time() < end: sum(range(1000))"


@pytest.mark.parametrize(("code", "most"), [(COMPUTE, 1), ("time.sleep(0.02)", 3), ("time.sleep(0.1)", 3)])
def test_workers_beyond_the_first_are_for_calls_that_wait(
    stranger: Any, monkeypatch: pytest.MonkeyPatch, code: str, most: int
) -> None:
    monkeypatch.setattr("themis_lanes.processes.PATIENCE_S", 1_000.0)
    monkeypatch.setattr("themis_lanes.processes.COMPUTING", 0.2)  # others compute on this machine as well
    pool = Processes(3, at_first=1, memory_mb=None)

    async def calls() -> None:
        one = stranger.Stranger()
        await asyncio.gather(*(pool.call(one, "run", (code,), SOON) for _ in range(12)))

    with contextlib.closing(pool):
        run(calls())
        assert len(children()) == most


def test_a_call_that_is_stuck_keeps_the_others_waiting_no_longer_than_there_is_patience(stranger: Any) -> None:
    pool = Processes(2, at_first=1, memory_mb=None)

    async def calls() -> object:
        stuck = asyncio.create_task(pool.call(stranger.Stranger(), "run", (BURN,), 1_000))
        await asyncio.sleep(0)
        value = await asyncio.wait_for(pool.call(stranger.Stranger(), "give", (7,), SOON), SOON)
        stuck.cancel()
        return value

    with contextlib.closing(pool):
        assert run(calls()) == 7


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("os._exit(3)", (Crashed, "its process ended with exit code 3")),
        ("os._exit(0)", (Crashed, "its process ended with exit code 0")),
        ("os.kill(os.getpid(), signal.SIGKILL)", (Crashed, "its process was ended by SIGKILL")),
        ("ctypes.string_at(0)", (Crashed, "its process was ended by SIGSEGV")),
        ("os.abort()", (Crashed, "its process was ended by SIGABRT")),
        ("bytearray(2 << 30)", (Crashed, "its process ran out of memory (limit 1024 MB)")),
        ("[' ' * 20_000_000 for _ in range(300)]", (Crashed, "its process ran out of memory (limit 1024 MB)")),
        ("raise MemoryError", (Crashed, "its process ran out of memory (limit 1024 MB)")),
        (BURN, (Overdue, "not done within 0.5 s")),
        (BURN_IN_C, (Overdue, "not done within 0.5 s")),
        ("time.sleep(1_000)", (Overdue, "not done within 0.5 s")),
        (
            "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64)); time.sleep(1_000)",
            (Overdue, "not done within 0.5 s"),
        ),
        ("raise Slow", (Overdue, "not done within 0.5 s")),
        ("os.closerange(3, 1_000)", (Crashed, "its process ended with exit code 1")),
        (
            "os.closerange(3, 1_000); time.sleep(1_000)",
            (Crashed, "its process closed the socket that its answers come from"),
        ),
        ("write_to_socket(b'garbage')", (Crashed, "its process wrote to the socket that its answers come from")),
        ("write_to_socket(b'laneD' + bytes(15) + b'\x09abc'); time.sleep(1_000)", (Overdue, "not done within 0.5 s")),
    ],
)
def test_a_call_that_ends_its_process_or_never_ends_costs_itself_alone(
    pool: Processes, stranger: Any, code: str, expected: object
) -> None:
    async def calls() -> list[object]:
        one = stranger.Stranger()
        limit_s = 0.5 if expected[0] is Overdue else SOON  # type: ignore[index]
        return [
            await outcome(pool, one, "give", 1),
            await outcome(pool, one, "run", code, limit_s=limit_s),
            await outcome(pool, one, "give", 2),
        ]

    assert run(calls()) == [1, expected, 2]


@pytest.mark.parametrize(
    ("kind", "arguments", "text"),
    [
        ("ValueError", ["wrong"], "ValueError: wrong"),
        ("SystemExit", [3], "SystemExit: 3"),
        ("KeyboardInterrupt", [], "KeyboardInterrupt"),
        ("GeneratorExit", [], "GeneratorExit"),
        ("asyncio.CancelledError", [], "CancelledError"),
        ("BaseException", ["odd"], "BaseException: odd"),
        ("RecursionError", ["deep"], "RecursionError: deep"),
        ("Mute", [], "Mute: (no text: its __str__ raised KeyError)"),
        ("lambda: Unfit('unfit', code=1)", [], "Unfit: unfit"),
        ("ValueError", ["\ud800"], "ValueError: \ud800"),
        ("ValueError", ["x" * 5_000_000], f"ValueError: {'x' * 4_000}… (5,000,000 characters)"),
    ],
)
def test_what_a_method_raises_is_told_by_name_text_and_traceback(
    pool: Processes, stranger: Any, kind: str, arguments: list[object], text: str
) -> None:
    async def calls() -> tuple[Raised, bool]:
        one = stranger.Stranger()
        pid = await pool.call(one, "pid", (), SOON)
        with pytest.raises(Raised) as caught:
            await pool.call(one, "raises", (kind, *arguments), SOON)
        return caught.value, pid == await pool.call(one, "pid", (), SOON)

    raised, same_worker = run(calls())
    assert str(raised) == text
    assert same_worker
    assert len(raised.traceback) <= 8_000
    if len(text) < 100 and kind != "Mute":
        assert "in raises" in raised.traceback
        assert "worker.py" not in raised.traceback


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "threading.Lock()",
            "TypeError: what it returned can't be sent to another process: cannot pickle '_thread.lock' object",
        ),
        (
            "lambda: None",
            "can't be sent to another process: ",
        ),
        (
            "Late('raise ValueError(1)')",
            "ValueError: what it returned can't be sent to another process: 1",
        ),
    ],
)
def test_a_result_that_is_no_plain_value_is_told_and_the_worker_goes_on(
    pool: Processes, stranger: Any, code: str, expected: str
) -> None:
    async def calls() -> list[object]:
        one = stranger.Stranger()
        return [
            await pool.call(one, "pid", (), SOON),
            await outcome(pool, one, "value", code),
            await pool.call(one, "pid", (), SOON),
        ]

    before, (kind, text), after = run(calls())
    assert kind is Raised
    assert expected in text
    assert before == after


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("os._exit(4)", (Crashed, "its process ended with exit code 4")),
        ("while True: pass", (Overdue, "not done within 0.5 s")),
    ],
)
def test_a_result_that_ends_who_reads_it_ends_the_worker_and_not_the_parent(
    pool: Processes, stranger: Any, code: str, expected: object
) -> None:
    async def calls() -> list[object]:
        one = stranger.Stranger()
        await pool.call(one, "pid", (), SOON)
        limit_s = 0.5 if expected[0] is Overdue else SOON  # type: ignore[index]
        return [
            await outcome(pool, one, "value", f"Late({code!r})", limit_s=limit_s),
            await outcome(pool, one, "give", 2),
        ]

    assert run(calls()) == [expected, 2]


@pytest.mark.parametrize("ends", ["ValueError(1)", "SystemExit(1)", "asyncio.CancelledError()"])
def test_a_result_that_can_be_read_in_the_worker_alone_is_told(pool: Processes, stranger: Any, ends: str) -> None:
    code = f"if os.getpid() == {os.getpid()}: raise {ends}"

    async def calls() -> list[object]:
        one = stranger.Stranger()
        return [
            await pool.call(one, "pid", (), SOON),
            await outcome(pool, one, "value", f"Late({code!r})"),
            await pool.call(one, "pid", (), SOON),
        ]

    before, (kind, text), after = run(calls())
    assert kind is Raised
    assert "what it returned can't be read in this process: " in text
    assert before == after


def test_what_can_not_be_sent_is_a_type_error_and_starts_no_process(pool: Processes, stranger: Any) -> None:
    locked = stranger.Locked(threading.Lock())

    async def calls() -> list[object]:
        return [await outcome(pool, locked, "give", 1), await outcome(pool, stranger.Stranger(), "give", lambda: 1)]

    target, arguments = run(calls())
    assert target == (TypeError, "Locked can't be sent to another process: cannot pickle '_thread.lock' object")
    assert arguments[0] is TypeError
    assert arguments[1].startswith("the arguments of give can't be sent to another process: ")
    assert children() == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise ValueError(1)", (Raised, "ValueError: it can't be loaded in another process: 1")),
        ("raise SystemExit(1)", (Raised, "SystemExit: it can't be loaded in another process: 1")),
        ("os._exit(5)", (Crashed, "its process ended with exit code 5")),
        ("bytearray(2 << 30)", (Crashed, "its process ran out of memory (limit 1024 MB)")),
        (BURN, (Crashed, "its process was not ready within 3 s")),
    ],
)
def test_a_target_that_can_not_be_loaded_is_told(stranger: Any, code: str, expected: object) -> None:
    pool = Processes(1, memory_mb=1024, start_s=3.0 if code == BURN else SOON)

    async def calls() -> list[object]:
        return [
            await outcome(pool, stranger.Awkward(code), "give", 1, limit_s=0.01),
            await outcome(pool, stranger.Stranger(), "give", 2),
        ]

    with contextlib.closing(pool):
        assert run(calls()) == [expected, 2]


@pytest.mark.parametrize("kind", ["SystemExit", "asyncio.CancelledError", "ValueError"])
def test_a_target_that_raises_when_it_is_pickled_is_a_type_error(pool: Processes, stranger: Any, kind: str) -> None:
    told = run(outcome(pool, stranger.Shy(kind), "give", 1))
    assert told == (TypeError, "Shy can't be sent to another process: shy")


def test_arguments_that_can_not_be_read_are_told(pool: Processes, stranger: Any) -> None:
    argument = stranger.Late("raise ValueError(1)")
    told = run(outcome(pool, stranger.Stranger(), "give", argument))
    assert told == (Raised, "ValueError: its arguments can't be read in another process: 1")


def test_the_start_of_a_worker_and_its_imports_do_not_count_as_the_call(pool: Processes, stranger: Any) -> None:
    slow = stranger.Awkward("time.sleep(1.2)")
    assert run(outcome(pool, slow, "give", 1, limit_s=1.0)) == 1


def test_twenty_megabytes_go_there_and_back(pool: Processes, stranger: Any) -> None:
    value = bytes(range(256)) * 80_000
    assert run(outcome(pool, stranger.Stranger(), "give", value)) == value


def test_an_answer_that_arrived_while_the_loop_stood_still_counts(pool: Processes, stranger: Any) -> None:
    value = bytes(3_000_000)  # more than the socket holds

    async def calls() -> object:
        one = stranger.Stranger()
        await pool.call(one, "give", (value,), SOON)
        small = asyncio.ensure_future(outcome(pool, one, "give", 1, limit_s=0.5))
        await asyncio.sleep(0)
        time.sleep(1.5)  # noqa: ASYNC251 - that is the case
        first = await small
        large = asyncio.ensure_future(outcome(pool, one, "value", "bytes(3_000_000)", limit_s=0.5))
        await asyncio.sleep(0)
        time.sleep(1.5)  # noqa: ASYNC251 - that is the case
        return first, await large

    assert run(calls()) == (1, value)


def test_what_a_component_prints_goes_to_standard_error_and_damages_nothing(stranger: Any, tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
sys.path.insert(0, {str(tmp_path / "modules")!r})
from lanes_stranger import Stranger
from themis_lanes import Processes

async def main():
    pool = Processes(1, memory_mb=None)
    told = await pool.call(Stranger(), "run", ({PRINTS!r},), 20)
    read = await pool.call(Stranger(), "value", ("sys.stdin.read()",), 20)
    pool.close()
    return told, read

print(asyncio.run(main()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert (done.stdout, done.returncode) == ("(None, '')\n", 0)
    assert sorted(done.stderr.split()) == ["c", "child", "python", "write"]


PRINTS = """
print("python")
os.write(1, b"write\\n")
subprocess.run(["echo", "child"], check=True)
ctypes.CDLL(None).puts(b"c")
ctypes.CDLL(None).fflush(None)
"""


def test_the_worker_finds_the_modules_of_its_parent_and_none_of_its_folder(
    stranger: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for name in ("json", "pickle", "functools", "fractions"):
        (here / f"{name}.py").write_text("raise SystemExit('shadowed')", "utf-8")
    monkeypatch.chdir(here)
    pool = Processes(1, memory_mb=None)
    with contextlib.closing(pool):
        value = run(
            outcome(pool, stranger.Stranger(), "value", "(__import__('fractions').__file__, os.getcwd(), sys.path)")
        )
    import fractions

    assert value == (fractions.__file__, str(here), [str(each) for each in sys.path])


def test_what_a_component_started_ends_with_it(pool: Processes, stranger: Any, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    code = f"""
child = subprocess.Popen(["sleep", "1000"])
open({str(path)!r}, "w").write(str(child.pid))
time.sleep(1_000)
"""

    async def calls() -> None:
        running = asyncio.ensure_future(pool.call(stranger.Stranger(), "run", (code,), SOON))
        await written(path)
        running.cancel()
        await asyncio.wait([running])

    run(calls())
    assert gone(int(path.read_text("utf-8")))


def test_a_copy_of_the_worker_neither_answers_nor_hides_its_end(pool: Processes, stranger: Any) -> None:
    async def calls() -> list[object]:
        one = stranger.Stranger()
        return [
            await outcome(pool, one, "value", COPIES),
            await outcome(pool, one, "run", "os._exit(6) if os.fork() else time.sleep(1_000)"),
            await outcome(pool, one, "run", "os.fork()"),
            await outcome(pool, one, "run", "os.system('sleep 1000 &'); os._exit(6)"),
            await outcome(pool, one, "give", 2),
        ]

    crashed = Crashed, "its process ended with exit code 6"
    assert run(calls()) == [7, crashed, None, crashed, 2]


def test_a_copy_of_the_parent_that_is_made_while_a_worker_starts_hides_no_end(
    pool: Processes, stranger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, copies, threads = process._started, [], []

    def copy() -> None:
        if not (number := os.fork()):
            time.sleep(1_000)
            os._exit(0)
        copies.append(number)

    def meanwhile(*args: int) -> Any:
        threads.append(threading.Thread(target=copy))
        threads[-1].start()
        threads[-1].join(0.2)
        return start(*args)

    monkeypatch.setattr(process, "_started", meanwhile)
    try:
        told = run(outcome(pool, stranger.Stranger(), "run", "os._exit(6)", limit_s=5))
    finally:
        threads[0].join()
        os.kill(copies[0], signal.SIGKILL)
        os.waitpid(copies[0], 0)
    assert told == (Crashed, "its process ended with exit code 6")


@pytest.mark.parametrize(
    "code", ["time.sleep(1_000)", BURN, BURN_IN_C, "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1_000)"]
)
def test_workers_end_when_their_parent_is_killed(stranger: Any, tmp_path: Path, code: str) -> None:
    path = tmp_path / "pid"
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(tmp_path / "modules")!r})
from lanes_stranger import Stranger
from themis_lanes import Processes

asyncio.run(Processes(1, memory_mb=None).call(Stranger(), "touch", ({str(path)!r}, {code!r}), 1_000))
"""
    parent = subprocess.Popen([sys.executable, "-c", script])
    worker = int(run(asyncio.wait_for(written(path), 60)))
    parent.kill()
    parent.wait()
    assert gone(worker)


def test_workers_end_when_their_parent_is_killed_of_which_there_is_a_copy(stranger: Any, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    script = f"""
import asyncio, os, sys, time
sys.path.insert(0, {str(tmp_path / "modules")!r})
from lanes_stranger import Stranger
from themis_lanes import Processes

async def calls():
    pool = Processes(1, memory_mb=None)
    await pool.call(Stranger(), "give", (1,), 1_000)
    if not os.fork():
        time.sleep(1_000)
    await pool.call(Stranger(), "touch", ({str(path)!r}, "time.sleep(1_000)"), 1_000)

asyncio.run(calls())
"""
    parent = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    worker = int(run(asyncio.wait_for(written(path), 60)))
    parent.kill()
    parent.wait()
    try:
        assert gone(worker)
    finally:
        os.killpg(parent.pid, signal.SIGKILL)


def test_where_the_kernel_does_not_tell_a_thread_sees_that_the_parent_ended() -> None:
    code = """
import fcntl, os, sys
del fcntl.F_SETSIG
from themis_lanes import worker
os.setsid()
read, write = os.pipe()
worker.follow(read)
os.close(write)
while True: pass
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL


def test_ctrl_c_is_the_parents_alone(pool: Processes, stranger: Any) -> None:
    async def calls() -> list[object]:
        one = stranger.Stranger()
        pid = await pool.call(one, "pid", (), SOON)
        assert os.getpgid(pid) == pid
        os.kill(pid, signal.SIGINT)
        return [
            await outcome(pool, one, "run", "os.kill(os.getpid(), signal.SIGINT)"),
            pid == await pool.call(one, "pid", (), SOON),
        ]

    assert run(calls()) == [None, True]


def test_a_worker_that_ended_between_calls_is_replaced(pool: Processes, stranger: Any) -> None:
    async def calls() -> list[object]:
        one = stranger.Stranger()
        pid = await pool.call(one, "pid", (), SOON)
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)
        return [await outcome(pool, one, "give", 1), pid == await pool.call(one, "pid", (), SOON)]

    assert run(calls()) == [1, False]


def test_a_cancelled_call_frees_its_place_and_ends_its_worker(pool: Processes, stranger: Any, tmp_path: Path) -> None:
    async def calls() -> tuple[str, object, list[tuple[str, bool]]]:
        one = stranger.Stranger()
        path = tmp_path / "pid"
        running = asyncio.ensure_future(pool.call(one, "touch", (str(path), BURN), SOON, label="mine/slow.score"))
        pid = await written(path)
        waiting = [asyncio.ensure_future(pool.call(one, "give", (number,), SOON)) for number in range(3)]
        await asyncio.sleep(0)
        seen = [(label, seconds > 0) for label, seconds in pool.running()]
        waiting[0].cancel()
        running.cancel()
        await asyncio.wait([running, waiting[0]])
        assert running.cancelled()
        assert waiting[0].cancelled()
        return pid, await asyncio.gather(*waiting[1:]), seen

    pid, given, seen = run(calls())
    assert given == [1, 2]
    assert seen == [("mine/slow.score", True)]
    assert gone(int(pid))
    assert pool.running() == []


def test_a_place_that_came_in_the_moment_of_a_cancellation_is_not_lost(pool: Processes, stranger: Any) -> None:
    async def calls() -> object:
        one = stranger.Stranger()
        first = asyncio.ensure_future(pool.call(one, "give", (1,), SOON))
        second = asyncio.ensure_future(pool.call(one, "give", (2,), SOON))
        first.add_done_callback(lambda _: second.cancel())
        await asyncio.wait([first, second])
        return await asyncio.wait_for(pool.call(one, "give", (3,), SOON), SOON)

    assert run(calls()) == 3


def test_closing_ends_calls_that_run_and_calls_that_wait(pool: Processes, stranger: Any, tmp_path: Path) -> None:
    async def calls() -> list[object]:
        one = stranger.Stranger()
        path = tmp_path / "pid"
        running = asyncio.ensure_future(outcome(pool, one, "touch", str(path), BURN))
        await written(path)
        waiting = asyncio.ensure_future(outcome(pool, one, "give", 1))
        await asyncio.sleep(0)
        pool.close()
        pool.close()
        return [await running, await waiting, await outcome(pool, one, "give", 1)]

    assert run(calls()) == [(Crashed, "the pool was closed")] * 3


def test_closing_ends_a_worker_that_starts(pool: Processes, stranger: Any) -> None:
    async def calls() -> object:
        starting = asyncio.ensure_future(outcome(pool, stranger.Awkward(BURN), "give", 1))
        await asyncio.sleep(0)
        assert [label for label, _ in pool.running()] == ["give"]
        pool.close()
        return await starting

    assert run(calls()) == (Crashed, "the pool was closed")


def test_a_loop_that_ends_in_the_middle_of_a_call_leaves_a_pool_that_can_be_used(
    pool: Processes, stranger: Any
) -> None:
    async def leave() -> None:
        asyncio.ensure_future(pool.call(stranger.Stranger(), "run", (BURN,), SOON))  # noqa: RUF006
        await asyncio.sleep(0)

    run(leave())
    assert run(outcome(pool, stranger.Stranger(), "give", 1)) == 1


def test_more_targets_than_a_worker_keeps_can_be_called(
    pool: Processes, stranger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("themis_lanes.processes.MOST_PICKLES", 3)

    async def calls() -> list[object]:
        many = [stranger.Stranger(f"{number}") for number in range(300)]
        return [await pool.call(each, "value", ("self.name if 0 else 1",), SOON) for each in [*many, *many[:5]]]

    assert run(calls()) == [1] * 305


def test_a_process_that_can_not_be_started_is_a_crash(
    pool: Processes, stranger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        told = run(outcome(pool, stranger.Stranger(), "give", 1))
    assert told == (
        Crashed,
        "its process could not be started: [Errno 2] No such file or directory: '/nowhere/python'",
    )
    assert run(outcome(pool, stranger.Stranger(), "give", 1)) == 1


def test_an_interrupt_from_a_component_still_ends_what_it_started(pool: Processes, stranger: Any) -> None:
    code = "(lambda child: (child.send_signal(signal.SIGINT), child.wait())[1])(subprocess.Popen(['sleep', '1000']))"
    assert run(outcome(pool, stranger.Stranger(), "value", code)) == -signal.SIGINT


def test_without_files_left_it_is_a_crash_and_none_are_lost(
    pool: Processes, stranger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left() -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("themis_lanes.process.os.pipe", none_left)
        told = run(outcome(pool, stranger.Stranger(), "give", 1))
    assert told == (Crashed, "its process could not be started: [Errno 24] Too many open files")
    assert run(outcome(pool, stranger.Stranger(), "give", 1)) == 1


def test_without_posix_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("themis_lanes.processes.os", type("Os", (), {"name": "nt"}))
    with pytest.raises(RuntimeError, match="need a POSIX system"):
        Processes(1, memory_mb=None)
