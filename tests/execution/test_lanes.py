"""Slow scoring: requests go on meanwhile, answers are saved first, and each call ends, whatever it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import Event, GenerationRecorded, ItemRecorded, TrialFinished
from themis_core.components import Component
from themis_core.execution import gathering
from themis_sql.store import SqlStore

PLUGIN = '''
import asyncio, json, os, threading, time
from pathlib import Path
from typing import Any

from themis_core import (
    Capabilities, Engine, Generation, Judge, JudgeRequest, Metric, Score, ToScore, hookimpl,
)

THEMIS_CONTRACT_VERSION = 1
HERE = Path(__file__).parent
LOCK = threading.Lock()
ALONE = threading.Lock()


def note(*facts: Any) -> None:
    with LOCK, (HERE / "log.jsonl").open("a") as log:
        log.write(json.dumps(facts) + "\\n")


def noted(what: str) -> int:
    path = HERE / "log.jsonl"
    return path.read_text().count(f'["{what}"') if path.exists() else 0


def wait_for(what: str, count: int) -> None:
    end = time.monotonic() + 30
    while noted(what) < count:
        if time.monotonic() > end:
            raise RuntimeError(f"never {count} of {what}")
        time.sleep(0.01)


class Echo(Engine):
    async def generate(self, request):
        note("called", request.item_id)
        await asyncio.sleep(0.005)
        return Generation("answered", text=request.messages[-1]["content"])


class Base(Metric):
    def score(self, item, generation, value):
        return Score(float(value == item.id))


class Last(Base):
    """Scores nothing before all answers were asked for."""

    def score(self, item, generation, value):
        wait_for("called", 6)
        return super().score(item, generation, value)


class Apart(Base):
    runs_in = "process"

    def score(self, item, generation, value):
        return Score(1.0, details={"pid": os.getpid()})


class Whoever(Base):
    lock: bool = False

    def model_post_init(self, context):
        if self.lock:
            object.__setattr__(self, "__dict__", {**self.__dict__, "held": threading.Lock()})

    def score(self, item, generation, value):
        return Score(1.0, details={"pid": os.getpid(), "lock": self.lock})


class Awaiting(Base):
    async def score(self, item, generation, value):
        await asyncio.sleep(0.01)
        note("awaited", threading.current_thread() is threading.main_thread())
        return Score(1.0)


class Together(Base):
    """Needs several of its calls at the same time."""

    at_once = 3

    def score(self, item, generation, value):
        note("entered")
        wait_for("entered", 3)
        return Score(1.0)


class Alone(Base):
    """Needs to be called once at a time."""

    def score(self, item, generation, value):
        assert ALONE.acquire(blocking=False)
        time.sleep(0.01)
        ALONE.release()
        return Score(1.0)


class Batched(Base):
    batch_size = 4

    def score_batch(self, answers):
        note("batch", len(answers))
        assert all(isinstance(each, ToScore) for each in answers)
        if any(each.item.id == os.environ.get("BAD_ITEM") for each in answers):
            raise ValueError("this one")
        scores = [self.score(*each) for each in answers]
        return scores[: len(scores) - int(os.environ.get("TOO_FEW", 0))]


class Lazy(Base):
    """Yields its scores, from the thread in which it runs."""

    batch_size = 4

    def score_batch(self, answers):
        for each in answers:
            note("yielded", threading.current_thread() is threading.main_thread())
            yield self.score(*each)


class HangsAtOne(Base):
    batch_size = 8

    def score_batch(self, answers):
        if any(each.item.id == "i3" for each in answers):
            time.sleep(3600)
        return [self.score(*each) for each in answers]


class Waiting(Base):
    """Says late that it can't be asked."""

    def unscorable(self, item):
        note("asked")
        time.sleep(3600)


class Asking(Judge):
    async def requests(self, judged):
        await asyncio.sleep(0)
        return [JudgeRequest([{"role": "user", "content": "judge"}])]

    def score(self, judged, replies):
        return Score(1.0)


class Quick(Asking):
    runs_in = "inline"

    def requests(self, judged):
        return [JudgeRequest([{"role": "user", "content": "judge"}])]


class Local(Engine):
    capabilities = Capabilities(local=True)

    async def generate(self, request):
        return Generation("answered", text=request.messages[-1]["content"])


class Better(Judge):
    """Compares with model `b`, and asks nobody."""

    asks_models = False

    @property
    def baseline_model(self):
        return "b"

    def requests(self, judged):
        return []

    def score(self, judged, replies):
        return Score(float(judged.baseline.text == judged.generation.text))


class Never(Engine):
    capabilities = Capabilities(local=True)

    async def generate(self, request):
        await asyncio.sleep(3600)


class Unsized(Base):
    batch_size = 0

    def score_batch(self, answers): ...


class WithoutBatches(Base):
    batch_size = 2


class Stuck(Base):
    """Never returns, and can't be interrupted in a thread."""

    def score(self, item, generation, value):
        note("stuck")
        time.sleep(3600)


class Counted(Base):
    shown: int = 0
    not_identity = frozenset({"shown"})

    def score(self, item, generation, value):
        note("scored", item.id)
        return Score(1.0)


class Unpicklable(Base):
    runs_in = "process"

    def model_post_init(self, context):
        object.__setattr__(self, "__dict__", {**self.__dict__, "held": threading.Lock()})


class Odd(Base):
    runs_in = "somewhere"


@hookimpl
def themis_register_engines(register):
    register("echo", Echo)
    register("never", Never)
    register("local", Local)


@hookimpl
def themis_register_judges(register):
    register("asking", Asking)
    register("quick", Quick)
    register("better", Better)


@hookimpl
def themis_register_metrics(register):
    for cls in (
        Unsized, WithoutBatches, Lazy, HangsAtOne, Waiting, Base, Whoever, Last, Apart, Awaiting, Together,
        Alone, Batched, Stuck, Counted, Unpicklable, Odd,
    ):  # fmt: skip
        register(cls.__name__.lower(), cls)
'''


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")

    def write(self, *metrics: Any, items: int = 6, **policy: Any) -> Path:
        spec = {
            "project": {
                "plugins": {"mine": {"path": "mine.py", "identity": "version"}},
                "execution_policy": {"max_retries": 0, **policy},
            },
            "benchmark": {
                "benchmark_id": "b",
                "models": [{"model_id": "m", "provider": "mine/echo"}],
                "prompt_variants": [{"id": "v", "messages": [{"role": "user", "content": "{{ item.id }}"}]}],
                "slices": [
                    {
                        "slice_id": "s",
                        "dataset": {
                            "source": "files/inline",
                            "extras": {"rows": [{"id": f"i{n}"} for n in range(items)]},
                        },
                        "generation": {},
                        "scores": [{"name": "all", "metrics": list(metrics)}],
                    }
                ],
            },
        }
        path = self.folder / "spec.json"
        path.write_text(json.dumps(spec), encoding="utf-8")
        return path

    def run(self, *metrics: Any, **settings: Any) -> themis.RunResult:
        return themis.run(self.write(*metrics, **settings))

    def noted(self, what: str) -> list[list[Any]]:
        path = self.folder / "log.jsonl"
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
        return [line[1:] for line in lines if line[0] == what]

    def scores(self, result: themis.RunResult) -> dict[str, tuple[float | None, str | None]]:
        with themis.open_results(self.folder / "spec.json") as results:
            return {row.item_id: (row.value, row.reason) for row in results.score_rows(result.run_id)}

    def details(self, result: themis.RunResult) -> list[dict[str, Any]]:
        with themis.open_results(self.folder / "spec.json") as results:
            rows = results.trials(result.run_id)
            return [
                score["result"]["details"]
                for row in rows
                for score in results.trial(result.run_id, row.trial_id)["scores"]
            ]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_requests_go_on_while_a_metric_waits(bench: Bench) -> None:
    result = bench.run("mine/last", max_in_flight_work_items=1)
    assert (result.status, [row.value for row in result.scores]) == ("completed", [1.0])
    assert len(bench.noted("called")) == 6


def test_a_metric_in_a_process_is_called_in_others_than_this_one(bench: Bench) -> None:
    result = bench.run("mine/apart", scoring_processes=2)
    processes = {each["pid"] for each in bench.details(result)}
    assert result.status == "completed"
    assert 1 <= len(processes) <= 2
    assert os.getpid() not in processes


def test_a_metric_that_says_nothing_runs_in_a_process_if_it_can_be_pickled_else_in_a_thread(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Component, "runs_in", None)
    result = bench.run(
        {"id": "mine/whoever", "name": "a"}, {"id": "mine/whoever", "name": "b", "config": {"lock": True}}
    )
    processes = {each["lock"]: each["pid"] == os.getpid() for each in bench.details(result)}
    assert processes == {False: False, True: True}


def test_an_async_metric_is_awaited_in_the_event_loop(bench: Bench) -> None:
    assert bench.run("mine/awaiting").status == "completed"
    assert bench.noted("awaited") == [[True]] * 6


def test_as_many_calls_run_at_once_as_the_component_says(bench: Bench) -> None:
    assert bench.run("mine/together", "mine/alone").status == "completed"


def test_scores_of_equal_identity_are_made_once(bench: Bench) -> None:
    two = [{"id": "mine/counted", "name": f"by {number}", "config": {"shown": number}} for number in (1, 5)]
    result = bench.run(*two)
    assert [(row.metric, row.value, row.n) for row in result.scores] == [("by 1", 1.0, 6), ("by 5", 1.0, 6)]
    assert sorted(bench.noted("scored")) == [[f"i{number}"] for number in range(6)]


def test_a_batch_holds_as_many_answers_as_there_are_up_to_its_size(bench: Bench) -> None:
    result = bench.run("mine/batched", items=9)
    sizes = [size for (size,) in bench.noted("batch")]
    assert (result.status, [row.value for row in result.scores]) == ("completed", [1.0])
    assert sum(sizes) == 9
    assert max(sizes) <= 4


def test_an_answer_at_which_a_batch_fails_costs_its_own_score(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAD_ITEM", "i4")
    scores = bench.scores(bench.run("mine/batched", items=9))
    assert scores.pop("i4") == (None, "metric_error")
    assert set(scores.values()) == {(1.0, None)}


def test_a_batch_that_comes_back_too_short_gives_no_score_to_the_wrong_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOO_FEW", "1")
    result = bench.run("mine/batched", items=3)
    assert set(bench.scores(result).values()) == {(None, "metric_error")}
    assert "score_batch returned a list of length 2, not 3, one for each call" in result.errors["metric_error"]


def test_a_batch_that_is_yielded_is_made_where_the_metric_runs(bench: Bench) -> None:
    result = bench.run("mine/lazy")
    assert [row.value for row in result.scores] == [1.0]
    assert bench.noted("yielded") == [[False]] * 6


def test_an_answer_that_hangs_in_a_batch_costs_its_own_score(bench: Bench) -> None:
    scores = bench.scores(bench.run("mine/hangsatone", items=16, seconds_per_call=0.3))
    assert scores.pop("i3") == (None, "metric_timeout")
    assert set(scores.values()) == {(1.0, None)}


def test_a_component_that_hangs_before_the_run_is_not_asked_about_every_item(bench: Bench) -> None:
    result = bench.run("mine/waiting", items=12, seconds_per_call=0.2)
    assert [row.reasons for row in result.scores] == [{"metric_timeout": 12}]
    assert len(bench.noted("asked")) <= 8


def test_the_questions_of_a_judge_may_be_awaited(bench: Bench) -> None:
    judge = {"id": "mine/asking", "judge": {"model": {"model_id": "j", "provider": "mine/echo"}}}
    path = bench.write(judge)
    assert [row["calls"] for row in themis.plan(path).judges] == [6]
    assert [(row.value, row.n) for row in themis.run(path).scores] == [(1.0, 6)]


def test_a_baseline_that_comes_later_in_the_spec_is_waited_for_by_nobody_who_is_before_it(bench: Bench) -> None:
    path = bench.write("mine/better", items=70)
    spec = json.loads(path.read_text("utf-8"))
    spec["benchmark"]["models"] = [{"model_id": name, "provider": "mine/local"} for name in ("a", "b")]
    path.write_text(json.dumps(spec), "utf-8")
    rows = {row.model_id: (row.n, row.value, row.reasons) for row in themis.run(path).scores}
    assert rows == {"a": (70, 1.0, {}), "b": (0, None, {"is_baseline": 70})}


def test_a_local_engine_that_waits_for_ever_meets_its_deadline(bench: Bench) -> None:
    path = bench.write("mine/base", items=2, attempt_timeout_s=0.3)
    path.write_text(path.read_text("utf-8").replace("mine/echo", "mine/never"), "utf-8")
    result = themis.run(path)
    assert (result.failed, list(result.errors)) == (2, ["timeout"])


def test_a_run_in_another_thread_than_the_main_one_ends_what_hangs(bench: Bench) -> None:
    path = bench.write("mine/waiting", "mine/stuck", items=2, seconds_per_call=0.2)
    results: list[themis.RunResult] = []
    thread = threading.Thread(target=lambda: results.append(themis.run(path)))
    thread.start()
    thread.join(60)
    assert [row.reasons for row in results[0].scores] == [{"metric_timeout": 2}] * 2


def test_a_metric_of_which_no_call_comes_back_is_given_up_and_the_run_ends(bench: Bench) -> None:
    result = bench.run("mine/stuck", "mine/base", items=12, seconds_per_call=0.2)
    assert len(bench.noted("stuck")) == 3
    assert "left behind" in result.errors["metric_timeout"]
    by_metric = {row.metric: (row.n, row.reasons) for row in result.scores}
    assert by_metric == {"mine/stuck": (0, {"metric_timeout": 12}), "mine/base": (12, {})}
    assert len(bench.noted("called")) == 12


@pytest.fixture
def stuck(bench: Bench) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own, of which all calls are made and a score does not come."""
    path = bench.write("mine/stuck", items=3, seconds_per_call=3600)
    # Where the tests run in the background, SIGINT is ignored, and what they start would inherit that.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code = f"{listening}import sys, themis_core; r = themis_core.run(sys.argv[1]); print(r.note); sys.exit(r.exit_code)"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 60
        while not (bench.noted("stuck") and len(bench.noted("called")) == 3):
            assert time.monotonic() < end
            time.sleep(0.02)
        while themis.plan(path).to_call:
            assert time.monotonic() < end, "answers are saved while a score is made"
            time.sleep(0.1)
        yield process
        process.kill()


def test_answers_are_saved_before_a_slow_score_is_made(bench: Bench, stuck: subprocess.Popen[str]) -> None:
    stuck.kill()
    stuck.wait(timeout=30)
    assert themis.plan(bench.folder / "spec.json").to_call == 0


def test_scores_that_are_made_about_the_same_time_are_one_commit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    append = SqlStore.append

    def counted(self: SqlStore, events: Sequence[Event]) -> None:
        groups.append(sum(isinstance(event, TrialFinished) for event in events))
        append(self, events)

    monkeypatch.setattr(SqlStore, "append", counted)
    bench.run("mine/together")
    assert sum(groups) == 6
    assert max(groups) > 1


@pytest.mark.parametrize("refused", [None, "i2"])
def test_an_item_is_saved_once_beside_its_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, refused: str | None
) -> None:
    saved: list[tuple[set[str], list[str]]] = []
    append = SqlStore.append

    def noted(self: SqlStore, events: Sequence[Event]) -> None:
        asked = {event.request.item_id for event in events if isinstance(event, GenerationRecorded)}
        if refused in asked:
            raise TypeError("nothing that a store can encode")
        append(self, events)
        saved.append((asked, [event.item.id for event in events if isinstance(event, ItemRecorded)]))

    monkeypatch.setattr(SqlStore, "append", noted)
    result = bench.run("mine/alone")
    assert (result.failed, result.scores[0].n) == ((0, 6) if refused is None else (1, 5))
    assert [asked for asked, items in saved if asked and asked != set(items)] == []
    assert sorted(item for _, items in saved for item in items) == [f"i{number}" for number in range(6)]


def test_a_judges_reply_waits_for_no_others(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "LONGEST_S", 3600)
    judge = {"id": "mine/quick", "judge": {"model": {"model_id": "j", "provider": "mine/echo"}}}
    assert bench.run(judge).scores[0].n == 6


def test_an_interrupt_waits_for_no_score_that_does_not_come(bench: Bench, stuck: subprocess.Popen[str]) -> None:
    stuck.send_signal(signal.SIGINT)
    output, _ = stuck.communicate(timeout=60)
    assert (stuck.returncode, output.strip()) == (
        130, "interrupted: what arrived is saved; run the same command again to go on",
    )  # fmt: skip
    assert themis.plan(bench.folder / "spec.json").to_call == 0


def test_what_a_budget_ends_is_scored_as_far_as_it_was_paid_for(bench: Bench) -> None:
    result = bench.run("mine/alone", max_calls=3, max_in_flight_work_items=2)
    assert (result.status, result.generated, [row.n for row in result.scores]) == ("stopped", 3, [3])


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("unpicklable", "cannot pickle"),
        ("odd", "runs_in is 'somewhere', not one of inline, thread, process"),
        ("unsized", "batch_size is 0, not a number of answers"),
        ("withoutbatches", "batch_size is more than 1, and there is no score_batch"),
    ],
)
def test_a_component_that_can_not_run_where_it_says_is_refused_before_a_call(
    bench: Bench, metric: str, said: str
) -> None:
    with pytest.raises(themis.PluginError, match=said):
        bench.run(f"mine/{metric}")
    assert bench.noted("called") == []
