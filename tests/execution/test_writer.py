"""The thread that owns the store: what can't be encoded fails alone, and nothing leaves anybody waiting."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from themis_core import Event, Item, ItemRecorded, StorageError, TrialFinished
from themis_core.execution import Writer
from themis_core.plugins import in_force
from themis_core.specs import ExecutionPolicySpec
from themis_core.testing.memory import MemoryStore

BROKEN_DISK = StorageError("the disk is full")


def awaited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class Planted(MemoryStore):
    """A store whose `append` raises what its events' items plant, and which counts its commits."""

    def __init__(self, closing: BaseException | None = None) -> None:
        super().__init__()
        self.closing = closing
        self.groups: list[list[str]] = []

    def append(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, ItemRecorded) and isinstance(planted := event.item.reference, BaseException):
                raise planted
        super().append(events)
        self.groups.append([event.item.id for event in events if isinstance(event, ItemRecorded)])

    def close(self) -> None:
        super().close()
        if self.closing is not None:
            raise self.closing


def item(name: str, reference: Any = None) -> ItemRecorded:
    return ItemRecorded(Item(id=name, fields={}, reference=reference, digest=name))


def trial(name: str) -> TrialFinished:
    return TrialFinished(
        "run", "2026-01-01T00:00:00Z", "s", f"t-{name}", name, name, "v", "m", "default", 0, (), "answered", None,
        False, (),
    )  # fmt: skip


async def saved(writer: Writer, jobs: Sequence[Sequence[Event]]) -> list[str]:
    """How each of some saves ended that were begun together."""
    ends = await asyncio.gather(*(writer.save(job) for job in jobs), return_exceptions=True)
    return ["saved" if end is None else f"{type(end).__name__}: {end}" for end in ends]


@pytest.mark.parametrize(
    ("planted", "says"),
    [
        (TypeError("no JSON"), "TypeError: no JSON"),
        (ValueError("nan"), "ValueError: nan"),
        (OverflowError("too large"), "OverflowError: too large"),
        (RecursionError("too deep"), "RecursionError: too deep"),
    ],
)
@awaited
async def test_what_cannot_be_encoded_fails_alone_and_saving_goes_on(planted: Exception, says: str) -> None:
    store = Planted()
    writer = Writer(lambda: store)
    await writer.start()
    jobs: list[list[Event]] = [[item(f"i{number}")] for number in range(9)]
    jobs[4] = [item("bad", planted), trial("bad")]
    ends = await saved(writer, jobs)
    assert ends[:4] + ends[5:] == ["saved"] * 8
    assert ends[4] == (
        "Unsavable: trial t-bad (slice 's', item 'bad'): not saved, for it holds what no store can encode "
        f"({says}). Look for a component that returns or changes such a value, an item's fields included."
    )
    assert (writer.error, await saved(writer, [[item("later")]])) == (None, ["saved"])
    assert sorted(name for group in store.groups for name in group) == sorted(
        [f"i{number}" for number in range(9) if number != 4] + ["later"]
    )
    await writer.stop()


@awaited
async def test_who_waits_alone_is_not_kept_waiting_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    kept_open: list[float] = []
    monkeypatch.setattr("themis_core.execution.writer.time.sleep", kept_open.append)
    store = Planted()
    writer = Writer(lambda: store)
    await writer.start()
    for number in range(3):
        await writer.save([item(f"i{number}")])
        await writer.read(lambda store: store.items([]))
    assert (store.groups, kept_open) == ([["i0"], ["i1"], ["i2"]], [])
    jobs: list[list[Event]] = [[item(f"j{number}")] for number in range(9)]
    await saved(writer, jobs)
    await writer.stop()
    assert kept_open, "several waited"


@awaited
async def test_who_comes_first_after_several_waits_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    kept_open: list[float] = []
    monkeypatch.setattr("themis_core.execution.writer.time.sleep", kept_open.append)
    begun, gate = threading.Event(), threading.Event()

    class Held(Planted):
        def append(self, events: Sequence[Event]) -> None:
            begun.set()
            assert gate.wait(10)
            super().append(events)

    store = Held()
    writer = Writer(lambda: store)
    await writer.start()
    saves = [asyncio.create_task(writer.save([item("i0")]))]
    assert await asyncio.to_thread(begun.wait, 10)
    saves += [asyncio.create_task(writer.save([item(f"i{number}")])) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*saves)
    kept_open.clear()
    await writer.save([item("alone")])
    first = len(kept_open)
    await writer.save([item("alone again")])
    await writer.stop()
    assert (first, len(kept_open)) == (1, 1)


@awaited
async def test_events_that_real_encoders_refuse_fail_alone() -> None:
    store = MemoryStore()
    writer = Writer(lambda: store)
    await writer.start()
    ends = await saved(writer, [[item("a")], [item("bad", {1, 2})], [item("b")]])
    assert [end.split(":")[0] for end in ends] == ["saved", "Unsavable", "saved"]
    assert sorted(await writer.read(lambda store: store.items(["a", "bad", "b"]))) == ["a", "b"]
    await writer.stop()


@pytest.mark.parametrize(
    ("planted", "says"),
    [
        (BROKEN_DISK, "StorageError: the disk is full"),
        (LookupError("a bug"), "StorageError: saving failed: LookupError: a bug"),
        (SystemExit(3), "StorageError: saving failed: SystemExit: 3"),
    ],
)
@awaited
async def test_a_store_that_fails_fails_every_save_from_then_on(planted: BaseException, says: str) -> None:
    writer = Writer(Planted)
    await writer.start()
    assert await saved(writer, [[item("a", planted)]]) == [says]
    assert await saved(writer, [[item("b")]]) == [says]
    assert f"{type(writer.error).__name__}: {writer.error}" == says
    await writer.stop()


def broken(error: BaseException) -> Callable[[Any], Any]:
    def look(store: Any) -> Any:
        raise error

    return look


@pytest.mark.parametrize(
    ("raised", "kind", "says"),
    [
        (KeyError("a bug"), KeyError, "a bug"),
        (StopIteration(), StorageError, "the store failed: StopIteration"),
        (asyncio.CancelledError(), StorageError, "the store failed: CancelledError"),
        (SystemExit(3), StorageError, "the store failed: SystemExit: 3"),
    ],
)
@awaited
async def test_a_look_up_that_raises_is_told_and_the_next_one_works(
    raised: BaseException, kind: type[Exception], says: str
) -> None:
    writer = Writer(MemoryStore)
    await writer.start()
    with pytest.raises(kind, match=says):
        await writer.read(broken(raised))
    assert await writer.read(lambda store: store.items(["a"])) == {}
    await writer.stop()


@pytest.mark.parametrize(
    ("closing", "says"),
    [
        (BROKEN_DISK, "the disk is full"),
        (OSError("gone"), "closing the store failed: OSError: gone"),
        (SystemExit(3), "closing the store failed: SystemExit: 3"),
    ],
)
@awaited
async def test_a_store_that_does_not_close_is_told_where_stop_is_awaited(closing: BaseException, says: str) -> None:
    writer = Writer(lambda: Planted(closing))
    await writer.start()
    await writer.save([item("a")])
    with pytest.raises(StorageError, match=says):
        await writer.stop()


@awaited
async def test_a_writer_that_was_never_started_has_nothing_to_stop() -> None:
    await Writer(MemoryStore).stop()


@pytest.mark.parametrize("stops", [False, True])
def test_a_store_that_does_not_open_is_told_once_and_leaves_no_thread(stops: bool) -> None:
    threads: list[threading.Thread] = []

    def no_store() -> MemoryStore:
        threads.append(threading.current_thread())
        raise StorageError("no such folder")

    async def start() -> None:
        writer = Writer(no_store)
        try:
            await writer.start()
        finally:
            if stops:
                await writer.stop()

    for _ in range(20):  # the loop is closed as soon as the error is told: the thread must not tell it more
        with pytest.raises(StorageError, match="no such folder"):
            asyncio.run(start())
    for thread in threads:
        thread.join(10)
    assert [thread.is_alive() for thread in threads] == [False] * 20


def test_a_loop_that_is_closed_early_leaves_no_error_in_the_thread() -> None:
    at_work, go_on = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def slow(store: Any) -> None:
        threads.append(threading.current_thread())
        at_work.set()
        go_on.wait(10)

    async def leave() -> None:
        writer = Writer(MemoryStore)
        await writer.start()
        looking = asyncio.create_task(writer.read(slow))
        await asyncio.to_thread(at_work.wait, 10)
        looking.cancel()
        writer._jobs.put(None)

    asyncio.run(leave())
    go_on.set()
    threads[0].join(10)
    assert not threads[0].is_alive()


@awaited
async def test_a_store_that_lets_one_wait_is_told_once_and_again_when_it_has_answered_meanwhile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("themis_core.execution.writer.PATIENCE_S", 0.05)
    told = asyncio.Event()

    class Tells(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.set()

    logging.getLogger("themis.progress").addHandler(handler := Tells())
    writer = Writer(MemoryStore)
    await writer.start()
    for _ in range(2):
        go_on = threading.Event()
        looking = asyncio.create_task(writer.read(lambda store, go_on=go_on: go_on.wait(10)))  # type: ignore[misc]
        await told.wait()
        told.clear()
        writer._say_if_it_waits()
        go_on.set()
        assert await looking
    logging.getLogger("themis.progress").removeHandler(handler)
    assert caplog.messages == ["waiting for the store for 0.05 s; nothing is lost by ending the run meanwhile"] * 2
    await writer.stop()


class Standing(MemoryStore):
    """A store of which one call does not return before it is let go."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method
        self.released = threading.Event()

    def _perhaps(self, method: str) -> None:
        if method == self.method:
            self.released.wait()

    def append(self, events: Sequence[Event]) -> None:
        self._perhaps("append")
        super().append(events)

    def close(self) -> None:
        self._perhaps("close")
        super().close()


@pytest.mark.parametrize("method", ["open", "append", "read", "close"])
@awaited
async def test_a_store_that_does_not_answer_is_given_up(method: str) -> None:
    store = Standing(method)

    def open_store() -> Standing:
        store._perhaps("open")
        return store

    with in_force(ExecutionPolicySpec(storage_timeout_s=0.3)):
        writer = Writer(open_store)

    async def use() -> None:
        await writer.start()
        await writer.save([item("a")])
        await writer.read(lambda store: store._perhaps("read"))  # type: ignore[attr-defined]
        await writer.stop()

    with pytest.raises(StorageError, match=r"did not answer for 0\.3 s \(execution_policy\.storage_timeout_s\)"):
        await use()
    if method != "close":
        await writer.stop()
    store.released.set()
