"""Drives a run that workers work on: starts them, shows one progress, replaces who is lost, and passes Ctrl-C on.

    driver ─ plan, whole ─ the store's parts are opened ─ workers are started by a launcher
               │  every second: poll each worker; read from the store how far the run is
               │  lost: another one takes its place, within the budget
               │  Ctrl-C: all are asked to end in good order; again: all are ended
               └─ nobody is at work any longer: the one end of a run

A driver calls no engine and saves no trial. What is done is in the store alone, so another driver can go on.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from themis_core.components import Holder, PartsRecord, Store
from themis_core.errors import PluginError, SpecError, StorageError, ThemisError
from themis_core.execution import Progress, Writer, how_many_parts, now
from themis_core.planning import Plan
from themis_core.plugins import calling, from_outside
from themis_core.records import RunCost, RunFinished, RunRecord, RunStarted
from themis_core.session.launching import Launcher
from themis_core.session.manifests import manifest_of
from themis_core.session.orders import WorkOrder
from themis_core.session.passes import COUNTED
from themis_interrupts import in_good_order
from themis_plain import own
from themis_secrets import without_secrets
from themis_wording import counted
from themis_workers import Crew, Judged, RunningWorker, Told, WorkerEnd

__all__ = ["RETRIES", "Crewed", "Driven", "drive"]

log = logging.getLogger("themis")
progress_log = logging.getLogger("themis.progress")

RETRIES: Final = 3
"""How often a worker is replaced that is lost again and again without getting anything done."""
LOOK_S = 0.2
SEE_S = 1.0
"""Seconds between two looks into the store."""
LEAVE_S = 30.0
"""Seconds that workers have to end in good order if the driver ends with an error, or if all is done."""
RETIRE_S = 10.0
"""Seconds after the last part was done in which workers end by themselves."""
_ERRORS: Final[Mapping[int | None, type[ThemisError]]] = {2: SpecError, 3: PluginError, 4: StorageError}
_STOPPED: Final = 6
_JUDGED: Final[Mapping[int | None, Judged]] = {0: "done", 5: "done", _STOPPED: "done", 2: "hopeless", 3: "broken"}
"""By exit code. One whose trials failed, or whose budget is used up, has ended by itself; all others are lost."""


@dataclass(frozen=True, slots=True)
class Driven:
    """What is known of an end that is not in the store."""

    interrupted: bool
    cause: str
    """Why the workers could not go on; empty if they were done, or were asked to end."""
    stopped: str
    """What a worker said whose budget was used up; empty if there was none."""


@dataclass(frozen=True, slots=True)
class Crewed:
    """That workers make a run: what they are told, who starts them, how often one is replaced."""

    order: WorkOrder
    launcher: Launcher
    retries: int

    def __post_init__(self) -> None:
        if type(self.order.workers) is not int or self.order.workers < 1:
            raise SpecError(f"workers is {self.order.workers!r}, not a number from 1 on")
        if type(self.retries) is not int or self.retries < 0:
            raise SpecError(f"worker_retries is {self.retries!r}, not a number from 0 on")

    def check(self, *, shard: bool, detach: bool) -> None:
        """Refuse what workers can't be combined with."""
        if shard:
            raise SpecError("workers divide a run among them: leave out the shard, or the workers")
        if detach:
            raise SpecError("detach leaves batches, and workers hand in none: leave out detach, or the workers")


async def drive(made: Plan, writer: Writer, crew: Crewed, report: Callable[[Progress], None] | None) -> Driven:
    """Have workers make a run that this process holds as its driver, until nobody is at work any longer.

    Raises what a worker's error says that no worker can mend, once all have ended. The second Ctrl-C ends them at once.
    """
    if made.composition.project.execution_policy.batches is not None:
        raise SpecError(
            "workers hand in no batches, for each would hand in some of the requests: leave out the workers, or "
            "execution_policy.batches"
        )
    composition = made.composition
    order = crew.order.planned(made.run_id, composition.plugins, composition.variables())
    order = replace(order, workers=_useful(made, order.workers))
    driver = _Driver(made, writer, order, crew.launcher, report, crew.retries)
    loop = asyncio.get_running_loop()
    is_well = False
    try:
        await driver.begin()
        with in_good_order(lambda: loop.call_soon_threadsafe(driver.interrupt)):
            driven = await driver.run()
        is_well = not driven.cause
    except Exception:
        await driver.leave()
        raise
    finally:
        driver.crew.kill()
        with _blamed(crew.launcher, "close"):
            crew.launcher.close(keep_logs=not is_well)
        if not is_well and (logs := crew.launcher.logs):
            log.error("the logs of the workers are in %s", logs)
    return driven


def _useful(made: Plan, workers: int) -> int:
    """How many of so many workers would get something to do: each of the others would start engines for nothing."""
    calls = made.composition.project.execution_policy.max_calls
    most = min(how_many_parts(made.count(), workers), workers if calls is None else calls)
    if most < workers:
        why = "max_calls allows" if most == calls else "there are trials for"
        progress_log.warning("%s of %d: %s no more", counted(most, "worker"), workers, why)
    return min(workers, most)


class _Watched(RunningWorker):
    """A worker of a launcher: each call of it ends in time, and is blamed for what goes wrong."""

    def __init__(self, inner: RunningWorker, order: WorkOrder, who: str) -> None:
        self._inner = inner
        self._order = order
        self._who = who

    @property
    def name(self) -> str:
        return self._order.name

    def poll(self) -> WorkerEnd | None:
        with calling(self._who, "poll", but=()):
            end = self._inner.poll()
            if end is not None and not isinstance(end, WorkerEnd):
                raise TypeError(f"it returned {end!r:.80}, not a WorkerEnd")
        return end

    def stop(self) -> None:
        with calling(self._who, "stop", but=()):
            self._inner.stop()

    def kill(self) -> None:
        with calling(self._who, "kill", but=()):
            self._inner.kill()

    def log_tail(self) -> str:
        with calling(self._who, "log_tail", but=()):
            return str(self._inner.log_tail())

    @property
    def note(self) -> str:
        with calling(self._who, "note", but=()):
            return str(self._inner.note)


def _blamed(launcher: Launcher, during: str) -> Any:
    return calling(_who(launcher), during)


def _who(launcher: Launcher) -> str:
    return f"launcher {type(launcher).__name__}"


def _goes_on(error: BaseException) -> bool:
    """Whether what a launcher raised is not the loss of one worker: the user's Ctrl-C, or the end of the run."""
    return from_outside(error) or isinstance(error, SpecError | StorageError)


@dataclass(slots=True)
class _Driver:
    """One drive of one plan."""

    made: Plan
    writer: Writer
    order: WorkOrder
    launcher: Launcher
    report: Callable[[Progress], None] | None
    retries: int
    crew: Crew = field(init=False)
    progress: Progress = field(init=False)
    _orders: dict[str, WorkOrder] = field(default_factory=dict)
    _seen: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By part of a worker, what it reported last; of those that ended as well."""
    _before: RunCost = field(default_factory=RunCost)
    _interrupted: bool = False
    _done_since: float | None = None
    _said: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.progress = Progress(self.made.count())
        self.crew = Crew(self._start, self.order.workers, self.retries, _judged, from_outside=_goes_on)

    async def begin(self) -> None:
        """Let the launcher check what it is asked for, hand out the parts, and note that the run begins."""
        run_id, composition = self.made.run_id, self.made.composition
        many = how_many_parts(self.made.count(), self.order.workers)
        # First: a store that has no parts is no place for workers, wherever they are.
        await self.writer.read(lambda store: store.open_parts(run_id, many))
        with _blamed(self.launcher, "check"):
            self.launcher.check(self.order, composition.needs(), self.order.workers)
        started = RunStarted(run_id, now(), manifest_of(self.made))
        await self.writer.save([started])
        composition.plugins.observers("themis_run_started").tell(lambda: own({"event": started}))

    async def run(self) -> Driven:
        record = await self.writer.read(lambda store: store.run(self.made.run_id))
        self._before = await self.writer.read(lambda store: store.cost(self.made.run_id))
        self.progress.stored = self.progress.reused = record.trials - record.failed if record else 0
        next_look = 0.0
        while True:
            for told in self.crew.look():
                self._tell(told)
                await self._end_lost(f"worker {told.name}")
            if self.crew.cause:
                self.crew.stop()
            if time.monotonic() >= next_look or self.crew.is_over:
                await self._see()
                next_look = time.monotonic() + SEE_S
            if self.crew.is_over:
                break
            await asyncio.sleep(LOOK_S)
        self._tell_logs()
        if error := self._error():
            raise error
        await self._until_let_go()
        ended = self.crew.ended
        stopped = [f"worker {each.name} {each.end.message}" for each in ended if each.end.exit_code == _STOPPED]
        return Driven(self._interrupted, _plain(self.crew.cause), stopped[0] if stopped else "")

    def interrupt(self) -> None:
        """Ask all workers to end in good order."""
        self._interrupted = True
        at_work = counted(len(self.crew.running), "worker")
        progress_log.warning("stopping: %s end in good order; Ctrl-C again stops them now", at_work)
        self.crew.stop()

    async def leave(self) -> None:
        """Let the workers end in good order, for some time: the driver has an error to tell."""
        self.crew.stop()
        end = time.monotonic() + LEAVE_S
        while not self.crew.is_over and time.monotonic() < end:
            self.crew.look()
            await asyncio.sleep(LOOK_S)

    def _start(self, place: int) -> RunningWorker:
        order = replace(self.order, name=f"{place}-{secrets.token_hex(2)}")
        with calling(_who(self.launcher), "start", but=(SpecError, PluginError, StorageError)):
            worker = self.launcher.start(order)
            if not isinstance(worker, RunningWorker):
                raise TypeError(f"it returned {worker!r:.80}, not a RunningWorker")
        self._orders[order.part] = order
        return _Watched(worker, order, _who(self.launcher))

    async def _see(self) -> None:
        """Read from the store how far the run and its workers are."""

        run_id = self.made.run_id

        def look(store: Store) -> tuple[RunRecord | None, Sequence[Holder], PartsRecord]:
            return store.run(run_id), store.at_work(run_id), store.parts(run_id)

        record, holders, parts = await self.writer.read(look)
        if 0 < parts.of <= parts.finished:
            self._retire()
        for holder in holders:
            if holder.part in self._orders:
                self._seen[holder.part] = holder.progress
                if _number(holder.progress, "done") > _number(holder.progress, "reused"):
                    self.crew.has_done(self._orders[holder.part].name)
        line = self.progress
        if record is not None:
            line.done, line.failed = record.trials, record.failed
        line.generated, line.judged, line.simulated = map(self._sum, ("generated", "judged", "simulated"))
        running = {f"worker {each.name}" for each in self.crew.running}
        line.in_flight = sum(int(_number(each, "in_flight")) for part, each in self._seen.items() if part in running)
        line.cost = sum((_cost(each) for each in self._seen.values()), self._before)
        line.note = self._note(running)
        if self.report is not None:
            self.report(line)

    async def _end_lost(self, part: str) -> None:
        """Store the end of a worker that could not say it itself, with what it did by its last report."""
        await self._see()
        executions = await self.writer.read(lambda store: store.executions(self.made.run_id))
        if not any(each.part == part and each.finished_at is None for each in executions):
            return  # it was lost before it began, or ended by itself
        told = self._seen.get(part, {})
        counts: dict[str, Any] = {name: int(_number(told, name)) for name in COUNTED}
        counts |= {"cost": told.get("cost"), "unknown_cost_calls": int(_number(told, "unknown_cost_calls"))}
        ended = RunFinished(self.made.run_id, now(), "interrupted", {**counts, "errors": {}, "warnings": {}}, part)
        await self.writer.save([ended])

    async def _until_let_go(self) -> None:
        """Wait for the locks of workers that were killed, which end with their leases: the end of a run needs all."""
        while left := await self.writer.read(self._still_held):
            self.progress.note = f"waiting for the lock of {left[0]} to run out"
            if self.report is not None:
                self.report(self.progress)
            await asyncio.sleep(SEE_S)

    def _still_held(self, store: Store) -> list[str]:
        return sorted(each.part for each in store.at_work(self.made.run_id) if each.part in self._orders)

    def _retire(self) -> None:
        """All parts are done: let who has one in hand end by itself, and end who waits to begin, or hangs."""
        self.crew.retire()
        if self._done_since is None:
            self._done_since = time.monotonic()
        elif (since := time.monotonic() - self._done_since) > RETIRE_S + LEAVE_S:
            self.crew.kill()  # it hangs: others have done what it had
        elif since > RETIRE_S:
            self.crew.stop()

    def _sum(self, name: str) -> int:
        return sum(int(_number(each, name)) for each in self._seen.values())

    def _note(self, running: set[str]) -> str:
        """How many are at work, and what they wait for."""
        notes = [str(self._seen[part].get("note") or "") for part in sorted(running & self._seen.keys())]
        for worker in self.crew.running:
            with suppress(PluginError):
                notes.append(worker.note)
        waits = self.crew.waits_s
        again = f"the next one is started in {waits:.0f} s" if waits is not None else ""
        told = [f"{counted(len(running), 'worker')} of {self.order.workers}", again, *notes]
        return "; ".join(dict.fromkeys(filter(None, told)))

    def _tell(self, told: Told) -> None:
        then = "nobody takes its place"
        if told.again_in_s is not None:
            then = f"another one takes its place in {told.again_in_s:.0f} s ({told.times} of {self.retries})"
        cause, _, more = told.cause.partition("\n")
        tail = _indented(self._news(f"{more}\n{told.log}"))
        log.warning("worker %s was lost: %s; %s%s", told.name, _plain(cause), then, tail)

    def _tell_logs(self) -> None:
        """Pass on what workers said that ended by themselves, each line once: warnings of components, say."""
        for each in self.crew.ended:
            if news := self._news(each.log):
                log.warning("worker %s wrote:%s", each.name, _indented(news))

    def _news(self, text: str) -> list[str]:
        """Lines that no worker has said before."""
        lines = [line for line in without_secrets(text).splitlines() if line.strip() and not self._said[line]]
        self._said.update(lines)
        return lines

    def _error(self) -> ThemisError | None:
        """What a worker ended with that none of them could mend, as `themis run` would have told it."""
        code = self.crew.code
        if not self.crew.cause or code not in _ERRORS:
            return None
        return _ERRORS[code](_plain(self.crew.cause))


def _judged(end: WorkerEnd) -> Judged:
    return _JUDGED.get(end.exit_code, "lost")


def _number(progress: Mapping[str, Any], name: str) -> float:
    found = progress.get(name)
    return found if isinstance(found, int | float) else 0


def _cost(progress: Mapping[str, Any]) -> RunCost:
    """What the calls of a worker cost, as it reported it."""
    known, most = progress.get("cost"), progress.get("unknown_cost_most", 0.0)
    return RunCost(known, int(_number(progress, "unknown_cost_calls")), most)


def _plain(cause: str) -> str:
    return without_secrets(cause).strip()


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"\n    {line}" for line in lines[-20:])
