"""A driver starts workers by any launcher, tells how they are, and ends when nobody is at work. Its store is a fake."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import BenchmarkSpec, Launcher, LocalLauncher, Needs, RunFinished, RunStarted, WorkOrder
from themis_core.components import Holder, PartsRecord
from themis_core.planning import survey
from themis_core.plugins import compose, in_force
from themis_core.reading import load_specs
from themis_core.records import ExecutionRecord, RunCost, RunRecord
from themis_core.session import driving
from themis_core.session.driving import Crewed, Driven, drive
from themis_workers import Machine, RunningWorker, WorkerEnd

BENCHMARK: dict[str, Any] = {
    "benchmark_id": "b",
    "slices": [
        {
            "slice_id": "s",
            "dataset": {
                "source": "files/inline",
                "fields": {"id": "q", "reference": "q", "output": "q"},
                "extras": {"rows": [{"q": str(number)} for number in range(20)]},
            },
            "scores": [{"name": "e", "metrics": ["text/exact_match"]}],
        }
    ],
}
DONE = WorkerEnd(0)
KILLED = WorkerEnd(-9, "killed by SIGKILL")


@pytest.fixture(autouse=True)
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_S", "SEE_S", "RETIRE_S"):
        monkeypatch.setattr(driving, name, 0.0)
    monkeypatch.setattr("themis_workers.crew.FIRST_WAIT_S", 0.0)


class Store:
    """What a driver asks of a store; a test sets what it says."""

    def __init__(self) -> None:
        self.trials = 0
        self.failed = 0
        self.opened: list[int] = []
        self.holders: list[Holder] = []
        self.finished = 0
        self.begun: list[ExecutionRecord] = []

    def run(self, run_id: str) -> RunRecord:
        return RunRecord(run_id, "running", "", None, {}, {}, self.trials, self.failed)

    def cost(self, run_id: str) -> RunCost:
        return RunCost(1.0)

    def open_parts(self, run_id: str, of: int) -> int:
        self.opened.append(of)
        return of

    def at_work(self, run_id: str) -> Sequence[Holder]:
        return self.holders

    def parts(self, run_id: str) -> PartsRecord:
        return PartsRecord(4, self.finished, 0)

    def executions(self, run_id: str) -> Sequence[ExecutionRecord]:
        return self.begun


class Writer:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.saved: list[Any] = []

    async def read(self, look: Callable[[Any], Any]) -> Any:
        return look(self.store)

    async def save(self, events: Sequence[Any]) -> None:
        self.saved += events


class Scripted(RunningWorker):
    """A worker that ends as its script says: after a poll for each None."""

    def __init__(self, order: WorkOrder, script: Sequence[Any]) -> None:
        self.order = order
        self.script = list(script)
        self.stopped = self.killed = 0
        self.log = ""

    @property
    def name(self) -> str:
        return self.order.name

    def poll(self) -> Any:
        if self.killed:
            return KILLED
        if self.stopped:
            return WorkerEnd(130, "interrupted")
        now = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(now, BaseException):
            raise now
        return now

    def stop(self) -> None:
        self.stopped += 1

    def kill(self) -> None:
        self.killed += 1

    def log_tail(self) -> str:
        return self.log


class Scripts(Launcher):
    """Starts workers with one script after the other, the last one again and again."""

    def __init__(self, *scripts: Sequence[Any], log: str = "") -> None:
        self.scripts = list(scripts)
        self.log = log
        self.checked: list[tuple[Needs, int]] = []
        self.started: list[Scripted] = []
        self.closed: list[bool] = []

    def check(self, order: WorkOrder, needs: Needs, workers: int) -> None:
        self.checked.append((needs, workers))

    def start(self, order: WorkOrder) -> Any:
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if isinstance(script, BaseException):
            raise script
        self.started.append(Scripted(order, script))
        self.started[-1].log = self.log
        return self.started[-1]

    def close(self, *, keep_logs: bool) -> None:
        self.closed.append(keep_logs)


class Stage:
    def __init__(self, folder: Path, launcher: Launcher, workers: int = 2, retries: int = 1) -> None:
        self.store = Store()
        self.writer = Writer(self.store)
        spec = BenchmarkSpec.model_validate(BENCHMARK)
        self.loaded = load_specs(spec, None, (), None, (), folder)
        self.crew = Crewed(WorkOrder.of(spec, workers, base_dir=folder), launcher, retries)
        self.lines: list[dict[str, Any]] = []
        self.seen: Callable[[], None] = lambda: None

    def _report(self, now: Any) -> None:
        self.lines.append({name: getattr(now, name) for name in ("planned", "done", "failed", "generated", "in_flight",
                                                                 "note", "cost", "reused")})  # fmt: skip
        self.seen()

    def drive(self) -> Driven:
        with in_force(self.loaded.project.execution_policy):
            made = survey(compose(self.loaded), self.loaded.place)
            self.made = made
            return asyncio.run(drive(made, self.writer, self.crew, self._report))  # type: ignore[arg-type]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "themis"]


def test_workers_are_started_with_names_of_their_own_and_the_run_ends_with_them(tmp_path: Path) -> None:
    launcher = Scripts([None, None, DONE])
    stage = Stage(tmp_path, launcher)
    driven = stage.drive()
    assert driven == Driven(interrupted=False, cause="", stopped="")
    (started,) = stage.writer.saved
    assert isinstance(started, RunStarted)
    assert (started.run_id, started.part, started.manifest["trials"]) == (stage.made.run_id, None, 20)
    assert stage.store.opened == [8]  # few, for 20 trials
    assert launcher.checked == [(Needs(), 2)]
    names = [each.order.name for each in launcher.started]
    assert [name[:2] for name in names] == ["1-", "2-"]
    assert {each.order.run_id for each in launcher.started} == {stage.made.run_id}
    assert launcher.started[0].order.load().benchmark == stage.loaded.benchmark
    assert launcher.closed == [False]


def test_one_line_tells_what_all_workers_do_and_how_many_there_are(tmp_path: Path) -> None:
    stage = Stage(tmp_path, launcher := Scripts([None] * 6 + [DONE]))
    stage.store.trials = 5  # of an earlier driver

    def works() -> None:
        stage.store.trials += 1
        progress = {"done": 2, "reused": 0, "generated": 3, "in_flight": 4, "cost": 0.5, "unknown_cost_calls": 0,
                    "note": "waiting for the endpoint"}  # fmt: skip
        at_work = [each for each in launcher.started if each.script != [DONE]]
        stage.store.holders = [Holder(each.order.part, 1, "h", "", progress) for each in at_work]
        stage.store.holders.append(Holder("worker of somebody else", 1, "h", "", progress))

    stage.seen = works
    stage.drive()
    line = stage.lines[3]
    assert (line["planned"], line["done"], line["reused"], line["generated"], line["in_flight"]) == (20, 8, 5, 6, 8)
    assert line["cost"] == RunCost(2.0)
    assert line["note"] == "2 workers of 2; waiting for the endpoint"
    assert (stage.lines[-1]["in_flight"], stage.lines[-1]["generated"]) == (0, 6)


def test_who_is_lost_is_replaced_and_told_with_the_end_of_its_log_without_secrets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hush-hush-hush")
    launcher = Scripts([KILLED], [DONE], log="a line\nkey hush-hush-hush\n")
    driven = Stage(tmp_path, launcher, workers=1).drive()
    assert (driven.cause, len(launcher.started)) == ("", 2)
    lost = f"worker {launcher.started[0].order.name} was lost: killed by SIGKILL"
    then = "; another one takes its place in 0 s (1 of 1)\n    a line\n    key ***"
    assert told(caplog) == [lost + then]  # the second one said nothing new


def test_the_end_of_a_lost_worker_is_stored_for_it_with_what_it_last_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path, launcher := Scripts([None, None, KILLED], [DONE]), workers=1)

    def works() -> None:
        part = launcher.started[0].order.part
        begun = len(launcher.started) == 1
        stage.store.holders = [Holder(part, 1, "h", "", {"generated": 3, "cost": 0.5})] if begun else []
        stage.store.begun = [ExecutionRecord(part, "running", "", None, {}, {})]

    stage.seen = works
    stage.drive()
    started, ended = stage.writer.saved
    assert isinstance(ended, RunFinished)
    assert (ended.run_id, ended.status, ended.part) == (started.run_id, "interrupted", launcher.started[0].order.part)
    assert (ended.counts["generated"], ended.counts["cost"]) == (3, 0.5)


def test_what_a_worker_wrote_that_ended_well_is_passed_on_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Stage(tmp_path, launcher := Scripts([DONE], log="the judge is slow\n"), workers=3).drive()
    assert told(caplog) == [f"worker {launcher.started[0].order.name} wrote:\n    the judge is slow"]


def test_a_worker_that_is_lost_again_and_again_is_the_cause_of_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    launcher = Scripts([KILLED])
    driven = Stage(tmp_path, launcher, workers=2, retries=2).drive()
    assert (driven.cause, len(launcher.started), launcher.closed) == ("killed by SIGKILL", 6, [True])
    assert told(caplog)[-1].endswith("killed by SIGKILL; nobody takes its place")


@pytest.mark.parametrize(("code", "error"), [(2, themis.SpecError), (3, themis.PluginError), (4, themis.StorageError)])
def test_what_no_worker_can_do_is_raised_as_a_run_would_have(
    tmp_path: Path, code: int, error: type[themis.ThemisError]
) -> None:
    launcher = Scripts([WorkerEnd(code, "engine x can't start")])
    with pytest.raises(error, match="engine x can't start"):
        Stage(tmp_path, launcher, workers=2, retries=9 if code < 4 else 0).drive()
    assert len(launcher.started) <= 4
    assert launcher.closed == [True]


def test_others_are_asked_to_end_when_one_says_what_no_worker_can_do(tmp_path: Path) -> None:
    launcher = Scripts([None], [None, WorkerEnd(2, "no such file")])
    with pytest.raises(themis.SpecError, match="no such file"):
        Stage(tmp_path, launcher).drive()
    assert [each.stopped for each in launcher.started] == [1, 0]


def test_trials_that_failed_and_a_budget_that_is_used_up_are_no_losses(tmp_path: Path) -> None:
    launcher = Scripts([WorkerEnd(5)], [WorkerEnd(6, "is stopped: max_cost reached")])
    driven = Stage(tmp_path, launcher).drive()
    stopped = f"worker {launcher.started[1].order.name} is stopped: max_cost reached"
    assert (driven, len(launcher.started)) == (Driven(interrupted=False, cause="", stopped=stopped), 2)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ([ValueError("odd")], r"launcher Scripts failed at poll: ValueError: odd; another"),
        ([SystemExit(0)], r"launcher Scripts failed at poll: SystemExit: 0; another"),
        (["gone"], r"failed at poll: TypeError: it returned 'gone', not a WorkerEnd; another"),
    ],
)
def test_what_a_launcher_does_wrong_is_blamed_on_it_and_costs_one_worker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, script: list[Any], told: str
) -> None:
    launcher = Scripts(script, [DONE])
    assert Stage(tmp_path, launcher, workers=1).drive().cause == ""
    assert launcher.started[0].killed >= 1
    assert caplog.records[0].levelno == logging.WARNING
    assert re.search(told, caplog.records[0].getMessage())


def test_a_worker_that_can_not_be_started_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    launcher = Scripts(OSError("no memory"), [DONE])  # type: ignore[arg-type]
    assert Stage(tmp_path, launcher, workers=1).drive().cause == ""
    assert "could not be started" in caplog.records[0].getMessage()
    assert "no memory" in caplog.records[0].getMessage()


def test_the_first_ctrl_c_asks_all_to_end_and_the_second_ends_them(tmp_path: Path) -> None:
    stage = Stage(tmp_path, launcher := Scripts([None]))
    stage.seen = lambda: signal.raise_signal(signal.SIGINT) if len(stage.lines) == 2 else None
    with themis_listening():
        driven = stage.drive()
    assert (driven.interrupted, driven.cause) == (True, "")
    assert [each.stopped for each in launcher.started] == [1, 1]

    stage = Stage(tmp_path, launcher := Scripts([None]))
    for_good: list[Scripted] = []

    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        for_good[:] = launcher.started
        signal.raise_signal(signal.SIGINT)

    stage.seen = twice
    with themis_listening(), pytest.raises(KeyboardInterrupt):
        stage.drive()
    assert [each.killed for each in for_good] == [1, 1]
    assert launcher.closed == [True]


def themis_listening() -> Any:
    from themis_interrupts import listening

    signal.signal(signal.SIGINT, signal.default_int_handler)
    return listening()


def test_when_all_parts_are_done_nobody_is_started_and_who_has_no_place_is_ended(tmp_path: Path) -> None:
    stage = Stage(tmp_path, launcher := Scripts([None]))
    stage.store.finished = 4
    driven = stage.drive()
    assert (driven.interrupted, driven.cause) == (False, "")
    assert [each.stopped for each in launcher.started] == [1, 1]


def test_an_error_of_the_store_lets_workers_end_in_good_order_first(tmp_path: Path) -> None:
    stage = Stage(tmp_path, launcher := Scripts([None]))

    def lost(run_id: str) -> PartsRecord:
        raise themis.StorageError("the server is gone")

    stage.seen = lambda: setattr(stage.store, "parts", lost)
    with pytest.raises(themis.StorageError, match="the server is gone"):
        stage.drive()
    assert [(each.stopped, each.killed) for each in launcher.started] == [(1, 0), (1, 0)]


@pytest.mark.parametrize("given", [{"workers": 0}, {"workers": True}, {"retries": -1}])
def test_numbers_that_are_none_are_refused(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(themis.SpecError, match="not a number from"):
        Stage(tmp_path, Scripts([DONE]), **given)


@pytest.mark.parametrize(
    ("needs", "advice"),
    [
        (Needs(cpus=1.5), r"4 workers don't fit.*hold 1.5 of 4 cores.*use --workers 2"),
        (Needs(memory_bytes=6 * 10**9), r"hold 6 of 16 GB of memory.*use --workers 2"),
        (Needs(memory_bytes=20 * 10**9), r"hold 20 of 16 GB of memory.*choose another config"),
        (Needs(gpus=1), r"hold 1 of 2 GPUs.*use --workers 2"),
        (Needs(gpus=4), r"hold 4 of 2 GPUs.*choose another config"),
    ],
)
def test_more_workers_than_a_machine_has_room_for_are_refused(needs: Needs, advice: str) -> None:
    launcher = LocalLauncher(Machine(4, 16 * 10**9, ("0", "1")))
    order = WorkOrder("r", "", 4, "spec.yaml")
    with pytest.raises(themis.SpecError, match=advice):
        launcher.check(order, needs, 4)
    launcher.check(order, Needs(gpus=0.5, cpus=1, memory_bytes=4 * 10**9), 4)
    launcher.check(order, Needs(), 400)


def test_each_worker_of_this_machine_sees_the_gpu_that_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "themis_core.session.launching.worker_command",
        lambda order: ["sh", "-c", "echo $CUDA_VISIBLE_DEVICES >&2; read line"],
    )
    launcher = LocalLauncher(Machine(4, None, ("7", "GPU-8a")))
    launcher.check(order := WorkOrder("r", "1-a", 2, "spec.yaml"), Needs(gpus=1), 2)
    workers = [launcher.start(order), launcher.start(WorkOrder("r", "2-b", 2, "spec.yaml"))]
    seen = []
    for each in workers:
        while not each.log_tail():
            assert each.poll() is None
        seen.append(each.log_tail().strip())
    assert seen == ["7", "GPU-8a"]
    workers[1].kill()
    assert workers[1].poll() is not None
    third = launcher.start(WorkOrder("r", "2-c", 2, "spec.yaml"))
    while not third.log_tail():
        assert third.poll() is None
    assert third.log_tail() == "GPU-8a\n"
    for each in (workers[0], third):
        each.kill()
    assert Path(launcher.logs).is_dir()
    launcher.close(keep_logs=False)
    assert not Path(launcher.logs).exists()


def test_a_worker_that_could_not_be_started_holds_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [[str(tmp_path / "missing")], ["sh", "-c", "read line"]]
    monkeypatch.setattr("themis_core.session.launching.worker_command", lambda order: commands.pop(0))
    launcher = LocalLauncher(Machine(4, None, ("7",)))
    launcher.check(order := WorkOrder("r", "1-a", 1, "spec.yaml"), Needs(gpus=1), 1)
    with pytest.raises(FileNotFoundError):
        launcher.start(order)
    launcher.start(order).kill()
    launcher.close(keep_logs=False)


def test_a_launcher_that_refuses_is_closed_and_starts_nobody(tmp_path: Path) -> None:
    class Refuses(Scripts):
        def check(self, order: WorkOrder, needs: Needs, workers: int) -> None:
            raise themis.SpecError("no room")

    stage = Stage(tmp_path, launcher := Refuses([DONE]))
    with pytest.raises(themis.SpecError, match="no room"):
        stage.drive()
    assert (launcher.started, launcher.closed, stage.writer.saved) == ([], [True], [])
