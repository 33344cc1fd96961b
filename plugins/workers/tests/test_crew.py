"""A crew keeps its places at work, replaces who is lost, and knows when that leads nowhere. No time passes here."""

from __future__ import annotations

import pytest

from themis_workers import Crew, Judged, RunningWorker, WorkerEnd


class Scripted(RunningWorker):
    """A worker whose end a test says."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.end: WorkerEnd | None = None
        self.stopped = self.killed = 0
        self.raises: BaseException | None = None

    @property
    def name(self) -> str:
        return self._name

    def poll(self) -> WorkerEnd | None:
        if self.raises is not None:
            raise self.raises
        return self.end

    def stop(self) -> None:
        self.stopped += 1

    def kill(self) -> None:
        self.killed += 1
        self.end = WorkerEnd(-9, "killed by SIGKILL")

    def log_tail(self) -> str:
        return f"log of {self._name}"


def judge(end: WorkerEnd) -> Judged:
    by_code: dict[int | None, Judged] = {0: "done", 2: "hopeless", 3: "broken"}
    return by_code.get(end.exit_code, "lost")


class Stage:
    """A crew of scripted workers, and a clock that only moves when told."""

    def __init__(self, size: int = 1, retries: int = 2) -> None:
        self.now = 0.0
        self.started: list[Scripted] = []
        self.refuses: Exception | None = None
        self.crew = Crew(self._start, size, retries, judge, clock=lambda: self.now)
        self.crew.look()

    def _start(self, place: int) -> Scripted:
        if self.refuses is not None:
            raise self.refuses
        self.started.append(Scripted(f"{place}-{len(self.started)}"))
        return self.started[-1]

    def loses(self, end: WorkerEnd) -> float | None:
        """End the latest worker, and return after how long another one takes its place."""
        self.started[-1].end = end
        (told,) = self.crew.look()
        return told.again_in_s

    def passes(self, seconds: float) -> int:
        """Let time pass, and return how many were started by then in all."""
        self.now += seconds
        self.crew.look()
        return len(self.started)


KILLED = WorkerEnd(-9, "killed by SIGKILL")


def test_all_that_end_by_themselves_are_the_end_of_the_crew() -> None:
    stage = Stage(size=2)
    assert not stage.crew.is_over
    for each in stage.started:
        each.end = WorkerEnd(0, counts={"done": 1})
    assert stage.crew.look() == []
    assert (stage.crew.is_over, stage.crew.cause) == (True, "")
    assert [each.name for each in stage.crew.ended] == ["1-0", "2-1"]


def test_who_is_lost_is_replaced_after_waits_that_double_until_it_was_lost_too_often() -> None:
    stage = Stage(retries=2)
    assert stage.loses(KILLED) == 1.0
    assert (stage.passes(0.9), stage.crew.waits_s) == (1, pytest.approx(0.1))
    assert stage.passes(0.2) == 2
    assert stage.loses(KILLED) == 2.0
    assert stage.passes(2.0) == 3
    assert stage.loses(KILLED) is None
    assert (stage.crew.is_over, stage.crew.cause) == (True, "killed by SIGKILL")


def test_a_place_that_gets_something_done_counts_anew() -> None:
    stage = Stage(retries=1)
    for _ in range(10):
        assert stage.loses(KILLED) == 1.0
        stage.passes(1.0)
        stage.crew.has_done(stage.started[-1].name)
    assert stage.crew.cause == ""


def test_one_place_that_is_lost_for_good_leaves_the_others_at_work() -> None:
    stage = Stage(size=2, retries=0)
    stage.started[0].end = KILLED
    (told,) = stage.crew.look()
    assert (told.again_in_s, told.log, told.times) == (None, "log of 1-0", 1)
    assert (stage.crew.is_over, stage.crew.cause) == (False, "")
    stage.started[1].end = WorkerEnd(0)
    stage.crew.look()
    assert stage.crew.is_over


def test_what_breaks_in_one_way_three_times_is_the_end_of_all() -> None:
    stage = Stage(size=3, retries=9)
    for each in stage.started:
        each.end = WorkerEnd(3, "no such model")
    assert [told.again_in_s for told in stage.crew.look()] == [1.0, 1.0, None]
    assert stage.crew.cause == "no such model"


def test_a_node_that_takes_many_workers_with_it_is_no_such_cause() -> None:
    stage = Stage(size=4, retries=1)
    for each in stage.started:
        each.end = KILLED
    assert [told.again_in_s for told in stage.crew.look()] == [1.0] * 4
    assert (stage.crew.cause, stage.passes(1.0)) == ("", 8)


def test_what_no_worker_can_do_ends_all_at_once() -> None:
    stage = Stage(size=2, retries=9)
    stage.started[0].end = WorkerEnd(2, "no such file")
    stage.crew.look()
    assert stage.crew.cause == "no such file"


def test_a_start_that_raises_is_a_loss() -> None:
    stage = Stage(size=0)
    stage.refuses = OSError("no processes left")
    crew = Crew(stage._start, 1, 0, judge, clock=lambda: stage.now)
    (told,) = crew.look()
    assert (told.name, told.cause) == ("worker 1", "it could not be started: no processes left")
    assert (crew.is_over, crew.cause) == (True, told.cause)


def test_a_poll_that_raises_is_a_loss_and_the_worker_is_ended() -> None:
    stage = Stage()
    stage.started[0].raises = RuntimeError("gone")
    (told,) = stage.crew.look()
    assert (told.cause, stage.started[0].killed) == ("it could not be asked how it is: gone", 1)


def test_a_crew_that_stops_asks_each_once_and_starts_nobody() -> None:
    stage = Stage(size=2)
    stage.loses(KILLED)
    stage.crew.stop()
    stage.crew.stop()
    assert (stage.passes(99), [each.stopped for each in stage.started]) == (2, [1, 0])
    stage.started[0].end = WorkerEnd(130)
    assert stage.crew.look() == []
    assert (stage.crew.is_over, stage.crew.cause) == (True, "")


def test_a_crew_that_is_killed_is_over_with_the_next_look() -> None:
    stage = Stage(size=2)
    stage.crew.kill()
    assert (stage.crew.look(), stage.crew.is_over, [each.killed for each in stage.started]) == ([], True, [1, 1])


def test_a_crew_that_retires_starts_nobody_and_lets_the_others_go_on() -> None:
    stage = Stage(size=2)
    stage.started[0].end = KILLED
    stage.crew.look()
    stage.crew.retire()
    assert (stage.passes(99), stage.crew.is_over, [each.stopped for each in stage.started]) == (2, False, [0, 0])
    stage.started[1].end = WorkerEnd(0)
    stage.crew.look()
    assert (stage.crew.is_over, stage.crew.cause) == (True, "")
