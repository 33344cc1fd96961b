"""Whole runs with a loose plugin file and the real store: what fails costs only itself, and nothing is asked twice."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis

PLUGIN = """
import asyncio
import json
from pathlib import Path

from themis_core import (
    Engine, EngineError, Extraction, Extractor, Generation, Judge, JudgeRequest, Metric, Score, hookimpl,
)

HERE = Path(__file__).parent
RULES = HERE / "rules.json"


def note(*what):
    with open(HERE / "log.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(what) + "\\n")


class Echo(Engine):
    async def start(self):
        note("start")

    async def stop(self):
        note("stop")

    async def generate(self, request):
        said = [message["content"] for message in request.messages]
        note("call", request.model_id, said, request.sample_index)
        for part, status in json.loads(RULES.read_text("utf-8")).items():
            if part not in said[-1]:
                continue
            if status == "slow":
                await asyncio.sleep(0.5)
            elif status in ("refused", "empty"):
                return Generation(status)
            elif status == "bug":
                raise LookupError("no such thing")
            elif status == "object":
                return Generation("answered", text="x", provider={"raw": object()})
            else:
                raise EngineError(status, f"it is {status}")
        return Generation("answered", text=f"re: {said[-1]}")


class Sound(Echo):
    async def generate(self, request):
        note("call", request.model_id, ["sound"], request.sample_index)
        return Generation("answered", text="re: sound")


class Signed(Engine):
    async def generate(self, request):
        note("signed", [message.get("handed_back") for message in request.messages])
        return Generation("answered", text="re", provider={"handed_back": {"sign": len(request.messages)}})


class Broken(Extractor):
    def extract(self, text):
        raise ValueError("cannot read")


class Never(Extractor):
    def extract(self, text):
        return Extraction(reason="no_match")


class Good(Metric):
    def score(self, item, generation, value):
        return Score(float(value.startswith("re: ")))


class Errors(Good):
    higher_is_better = False
    highest = 9.0


class Raising(Metric):
    def score(self, item, generation, value):
        raise KeyError("gold")


class Nan(Metric):
    def score(self, item, generation, value):
        return Score(float("nan"))


class Nothing(Metric):
    def score(self, item, generation, value):
        return None


class Objects(Metric):
    def score(self, item, generation, value):
        return Score(1.0, details={"what": object()})


class Asking(Judge):
    def requests(self, judged):
        return [JudgeRequest([{"role": "user", "content": f"judge {judged.value}"}])]

    def score(self, judged, replies):
        return Score(float(len(replies)), details={"said": replies[0].generation.text})


@hookimpl
def themis_register_engines(register):
    register("echo", Echo)
    register("sound", Sound)
    register("signed", Signed)


@hookimpl
def themis_register_extractors(register):
    register("broken", Broken)
    register("never", Never)


@hookimpl
def themis_register_metrics(register):
    for cls in (Good, Errors, Raising, Nan, Nothing, Objects):
        register(cls.__name__.lower(), cls)


@hookimpl
def themis_register_judges(register):
    register("asking", Asking)


@hookimpl
def themis_run_started(event):
    note("run_started", event.manifest["trials"])


@hookimpl
def themis_trial_finished(event):
    note("trial_finished", event.item_id, event.outcome)
    if (HERE / "fail").exists():
        raise RuntimeError("the observer broke")


@hookimpl
def themis_run_finished(event, summary):
    note("run_finished", event.status, summary["generated"])
"""

GOOD = {"name": "good", "metrics": ["mine/good"]}
JUDGED = {
    "name": "judged",
    "metrics": [{"id": "mine/asking", "judge": {"model": {"model_id": "judge", "provider": "mine/echo"}}}],
}


class Bench:
    """A folder with the plugin, its rules and its log, and the runs of one spec in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
        self.rules({})

    def rules(self, rules: dict[str, str]) -> None:
        (self.folder / "rules.json").write_text(json.dumps(rules), encoding="utf-8")

    def log(self) -> list[list[Any]]:
        """What the plugin noted since this was last asked."""
        path = self.folder / "log.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def calls(self) -> list[str]:
        """The last message of each call since this was last asked, sorted."""
        return sorted(entry[2][-1] for entry in self.log() if entry[0] == "call")

    def spec(
        self, scores: list[dict[str, Any]] | None = None, items: int = 2, policy: dict[str, Any] | None = None,
        follow_ups: tuple[str, ...] = (), slices: tuple[str, ...] = ("s",), **benchmark: Any,
    ) -> dict[str, Any]:  # fmt: skip
        rows = [{"id": f"i{n}", "q": f"q{n}"} for n in range(items)]
        whole = {
            "dataset": {"source": "files/inline", "extras": {"rows": rows}},
            "generation": {},
            "parses": [{"name": "never", "extractors": ["mine/never"]}, {"name": "bad", "extractors": ["mine/broken"]}],
            "scores": scores or [GOOD],
        }  # fmt: skip
        return {
            "project": {
                "plugins": {"mine": {"path": "mine.py", "identity": "version"}},  # its engine is beside its metric
                "execution_policy": {"max_retries": 0, "breaker_failures": 1000, **(policy or {})},
            },
            "benchmark": {
                "benchmark_id": "b",
                "models": [{"model_id": "m", "provider": "mine/echo"}],
                "prompt_variants": [
                    {
                        "id": "v",
                        "messages": [{"role": "user", "content": "{{ item.q }}"}],
                        "follow_ups": [{"role": "user", "content": text} for text in follow_ups],
                    }
                ],
                "slices": [{"slice_id": name, **whole} for name in slices],
                **benchmark,
            },
        }

    def write(self, **changes: Any) -> Path:
        path = self.folder / "spec.json"
        path.write_text(json.dumps(self.spec(**changes)), encoding="utf-8")
        return path

    def run(self, **changes: Any) -> themis.RunResult:
        return themis.run(self.write(**changes))

    def scores(self, result: themis.RunResult) -> list[tuple[str, str, float | None, str | None]]:
        """Item, score, value and reason."""
        with themis.open_results(self.folder / "spec.json") as results:
            rows = results.score_rows(result.run_id)
            return sorted(((row.item_id, row.metric.split("/")[1], row.value, row.reason) for row in rows), key=str)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def told(result: themis.RunResult) -> tuple[str, int, int, int, int]:
    return (result.status, result.generated, result.reused, result.failed, result.exit_code)


# --- scores -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "value", "reason"),
    [
        ({"metrics": ["mine/raising"]}, None, "metric_error"),
        ({"metrics": ["mine/nan"]}, None, "not_finite"),
        ({"metrics": ["mine/nothing"]}, None, "metric_error"),
        ({"metrics": ["mine/objects"]}, None, "metric_error"),  # what can't be stored is no score
        ({"metrics": ["mine/good"], "parse": "bad"}, None, "extractor_error"),
        ({"metrics": ["mine/good"], "parse": "never"}, 0.0, None),
        ({"metrics": ["mine/errors"], "parse": "never"}, 9.0, None),  # lower is better: the worst is the highest
    ],
)
def test_a_broken_component_costs_its_own_score_only(
    bench: Bench, score: dict[str, Any], value: float | None, reason: str | None
) -> None:
    result = bench.run(scores=[{**GOOD, "name": "first"}, {**score, "name": "odd"}], items=1)
    # Of one item, nothing could be scored, or nothing was parsed: that says more of the parse than of the model.
    assert told(result) == ("completed", 1, 0, 0, 5 if value is None or score.get("parse") == "never" else 0)
    name = score["metrics"][0].split("/")[1]
    assert bench.scores(result) == sorted([("i0", "good", 1.0, None), ("i0", name, value, reason)], key=str)


@pytest.mark.parametrize("status", ["refused", "empty"])
def test_an_answer_with_nothing_in_it_gets_the_worst_value_and_no_judge(bench: Bench, status: str) -> None:
    bench.rules({"q0": status})
    result = bench.run(scores=[GOOD, {"name": "errors", "metrics": ["mine/errors"]}, JUDGED])
    assert told(result) == ("completed", 3, 0, 0, 0)  # two answers, and the judge's of the second
    assert bench.scores(result) == [
        ("i0", "asking", 0.0, None), ("i0", "errors", 9.0, None), ("i0", "good", 0.0, None),
        ("i1", "asking", 1.0, None), ("i1", "errors", 1.0, None), ("i1", "good", 1.0, None),
    ]  # fmt: skip
    assert bench.calls() == ["judge re: q1", "q0", "q1"]


@pytest.mark.parametrize(("rule", "code"), [("bug", "engine_error"), ("bad_request", "bad_request")])
def test_a_failed_call_has_no_score_and_is_asked_again(bench: Bench, rule: str, code: str) -> None:
    bench.rules({"q0": rule})
    broken = bench.run()
    assert told(broken) == ("failed", 1, 0, 1, 5)
    assert list(broken.errors) == [code]
    assert (bench.scores(broken), bench.calls()) == ([("i1", "good", 1.0, None)], ["q0", "q1"])
    bench.rules({})
    assert told(bench.run()) == ("completed", 1, 1, 0, 0)
    assert bench.calls() == ["q0"]


def test_an_answer_that_cannot_be_stored_fails_its_trial_only(bench: Bench) -> None:
    bench.rules({"q0": "object"})
    assert told(bench.run()) == ("failed", 1, 0, 1, 5)


# --- nothing is asked twice ---------------------------------------------------------------------------------


def test_the_same_request_in_two_slices_is_sent_once(bench: Bench) -> None:
    bench.rules({"q": "slow"})
    result = bench.run(slices=("s", "t"))
    assert (told(result), result.trials) == (("completed", 2, 2, 0, 0), 4)
    assert bench.calls() == ["q0", "q1"]
    assert [(row.slice_id, row.value, row.n) for row in result.scores] == [("s", 1.0, 2), ("t", 1.0, 2)]


def test_more_samples_only_add_calls(bench: Bench) -> None:
    assert told(bench.run()) == ("completed", 2, 0, 0, 0)
    assert told(bench.run(num_samples=3)) == ("completed", 4, 2, 0, 0)
    calls = [entry[2:] for entry in bench.log() if entry[0] == "call"]
    assert sorted(calls) == sorted([[[f"q{item}"], sample] for item in range(2) for sample in range(3)])


def test_a_slice_without_generation_scores_the_outputs_it_carries(bench: Bench) -> None:
    data = bench.spec()
    (only,) = data["benchmark"]["slices"]
    del only["generation"]
    rows = [
        {"id": "a", "said": "re: yes", "by": "x"},
        {"id": "b", "said": "no", "by": "x"},
        {"id": "c", "said": " ", "by": "y"},
    ]
    only["dataset"] = {
        "source": "files/inline", "fields": {"output": "said", "model": "by"}, "extras": {"rows": rows},
    }  # fmt: skip
    path = bench.folder / "spec.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    result = themis.run(path)
    assert (told(result), bench.calls()) == (("completed", 0, 3, 0, 0), [])
    assert [(row.model_id, row.value, row.n) for row in result.scores] == [("x", 0.5, 2), ("y", 0.0, 1)]
    assert (result.ledger["answered"], result.ledger["empty"]) == (2, 1)


def test_turns_are_saved_one_by_one_and_only_the_failed_one_is_asked_again(bench: Bench) -> None:
    bench.rules({"Why?": "bad_request"})
    assert told(bench.run(items=1, follow_ups=("Sure?", "Why?"))) == ("failed", 2, 0, 1, 5)
    assert bench.calls() == ["Sure?", "Why?", "q0"]
    bench.rules({})
    result = bench.run(items=1, follow_ups=("Sure?", "Why?"))
    assert told(result) == ("completed", 1, 0, 0, 0)
    (call,) = [entry[2] for entry in bench.log() if entry[0] == "call"]
    assert call == ["q0", "re: q0", "Sure?", "re: Sure?", "Why?"]
    with themis.open_results(bench.folder / "spec.json") as results:
        (row,) = results.trials(result.run_id)
        turns = results.trial(result.run_id, row.trial_id)["turns"]
    assert [turn["generation"]["text"] for turn in turns] == ["re: q0", "re: Sure?", "re: Why?"]


def test_an_engine_sees_again_what_it_wants_handed_back_from_the_store_too(bench: Bench) -> None:
    models = [{"model_id": "m", "provider": "mine/signed"}]
    first = bench.run(items=1, follow_ups=("Sure?",), models=models)
    seen = [None, {"sign": 1}, None]
    assert [entry[1] for entry in bench.log() if entry[0] == "signed"] == [[None], seen]
    more = bench.run(items=1, follow_ups=("Sure?", "Why?"), models=models)
    assert (told(first), told(more)) == (("completed", 2, 0, 0, 0), ("completed", 1, 0, 0, 0))
    assert [entry[1] for entry in bench.log() if entry[0] == "signed"] == [[*seen, {"sign": 3}, None]]


def test_a_dead_endpoint_does_not_hold_up_another(bench: Bench) -> None:
    bench.rules({"q": "connection"})
    models = [{"model_id": "dead", "provider": "mine/echo"}, {"model_id": "alive", "provider": "mine/sound"}]
    policy = {"max_in_flight_work_items": 4, "breaker_failures": 2, "breaker_cooldown_s": 1, "breaker_max_probes": 0}
    result = bench.run(items=20, models=models, policy={**policy, "max_retries": 3})
    assert told(result) == ("failed", 20, 0, 20, 5)
    called = [entry[1] for entry in bench.log() if entry[0] == "call"]
    assert called.count("alive") == 20
    assert called.count("dead") <= 2 + 3 + 1  # opening the breaker, under way, one probe
    assert called[-1] == "dead"  # the probe, a second later: the others did not wait for it


# --- judges -------------------------------------------------------------------------------------------------


def test_a_judge_is_asked_once_and_its_replies_are_kept(bench: Bench) -> None:
    result = bench.run(scores=[JUDGED])
    assert (told(result), bench.calls()) == (("completed", 4, 0, 0, 0), ["judge re: q0", "judge re: q1", "q0", "q1"])
    with themis.open_results(bench.folder / "spec.json") as results:
        row = next(iter(results.trials(result.run_id)))
        (score,) = results.trial(result.run_id, row.trial_id)["scores"]
    assert score["result"]["details"] == {"said": "re: judge re: q0", "judged_by": list(score["judged_by"])}
    assert [(each["request"]["model_id"], each["generation"]["text"]) for each in score["judged"]] == [
        ("judge", "re: judge re: q0")
    ]
    again = bench.run(scores=[JUDGED])
    assert (told(again), bench.calls(), again.scores) == (("completed", 0, 2, 0, 0), [], result.scores)
    renamed = bench.run(scores=[{**JUDGED, "name": "graded"}])
    assert (told(renamed), bench.calls()) == (("completed", 0, 2, 0, 0), [])


@pytest.mark.parametrize("code", ["server_error", "unauthorized", "invalid_reply", "quota", "timeout", "bad_request"])
def test_a_judge_that_cannot_be_asked_leaves_the_other_scores_alone_and_is_asked_again(bench: Bench, code: str) -> None:
    bench.rules({"judge re: q1": code})  # the last one, since some of these failures end all further calls
    broken = bench.run(scores=[JUDGED, GOOD], policy={"max_retries": 0})
    assert (broken.status, broken.exit_code, broken.failed, broken.ledger["answered"]) == ("failed", 5, 0, 2)
    assert code in broken.errors["judge_unavailable"]
    assert code in broken.note
    assert any("1 of 2 scores is missing" in each and "judge_unavailable" in each for each in broken.warnings)
    assert bench.scores(broken) == [
        ("i0", "asking", 1.0, None),
        ("i0", "good", 1.0, None),
        ("i1", "asking", None, "judge_unavailable"),
        ("i1", "good", 1.0, None),
    ]
    bench.log()
    bench.rules({})
    mended = bench.run(scores=[JUDGED, GOOD])
    assert (mended.status, mended.exit_code, bench.calls(), mended.warnings) == ("completed", 0, ["judge re: q1"], [])


# --- how runs end -------------------------------------------------------------------------------------------


def test_a_spent_budget_stops_the_run_and_the_next_one_goes_on(bench: Bench) -> None:
    policy = {"max_calls": 3, "max_in_flight_work_items": 1}
    stopped = bench.run(items=5, policy=policy)
    assert (told(stopped), len(bench.calls())) == (("stopped", 3, 0, 0, 6), 3)
    assert stopped.note.startswith("stopped: max_calls reached: 3 calls were made")
    assert (told(bench.run(items=5, policy=policy)), len(bench.calls())) == (("completed", 2, 3, 0, 0), 2)


def test_a_budget_that_ends_before_a_shared_judgement_leaves_nobody_waiting(bench: Bench) -> None:
    # Both samples get the same answer and so the same judgement: one asks, the other waits for it; the second slice
    # waits for the answers of the first. The budget is spent before the judge is asked.
    bench.rules({"q0": "slow"})
    path = bench.write(scores=[JUDGED], slices=("s", "t"), items=1, num_samples=2, policy={"max_calls": 2})

    async def run() -> themis.RunResult:
        return await asyncio.wait_for(themis.run_async(path), 60)

    result = asyncio.run(run())
    assert (result.status, result.exit_code) == ("stopped", 6)


def test_the_first_interrupt_ends_the_run_in_order_and_the_next_run_goes_on(bench: Bench) -> None:
    path = bench.write(items=6, policy={"max_in_flight_work_items": 2})
    bench.rules({"q": "slow"})
    # Where the tests run in the background, SIGINT is ignored, and what they start would inherit that.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code = f"{listening}import sys, themis_core; r = themis_core.run(sys.argv[1]); print(r.note); sys.exit(r.exit_code)"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    log = bench.folder / "log.jsonl"
    deadline = time.monotonic() + 30
    while not (log.exists() and '"call"' in log.read_text("utf-8")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output.strip()) == (
        130, "interrupted: what arrived is saved; run the same command again to go on",
    )  # fmt: skip
    called = bench.calls()
    assert 1 <= len(called) <= 2
    bench.rules({})
    rest = themis.run(path)
    assert told(rest) == ("completed", 6 - len(called), len(called), 0, 0)
    assert sorted([*called, *bench.calls()]) == [f"q{number}" for number in range(6)]


# --- observers ----------------------------------------------------------------------------------------------


def test_hooks_are_called_in_this_order(bench: Bench) -> None:
    file = bench.folder / "mine.py"
    inline = file.read_text("utf-8").replace("class Good(Metric):", 'class Good(Metric):\n    runs_in = "inline"\n')
    file.write_text(inline, "utf-8")
    bench.rules({"q1": "bad_request"})
    bench.run(policy={"max_in_flight_work_items": 1})
    log = bench.log()
    print("\n".join(map(str, log)))
    assert log == [
        ["run_started", 2],
        ["start"],
        ["call", "m", ["q0"], 0],
        ["trial_finished", "i0", "answered"],
        ["call", "m", ["q1"], 0],
        ["trial_finished", "i1", "failed"],
        ["stop"],
        ["run_finished", "failed", 1],
    ]


def test_an_observer_gets_those_arguments_that_it_names(bench: Bench) -> None:
    file = bench.folder / "mine.py"
    text = file.read_text(encoding="utf-8")
    text = re.sub(r"@hookimpl\ndef themis_run_finished.*?(?=\n\n\n|\Z)", "", text, flags=re.DOTALL)
    text = re.sub(r"@hookimpl\ndef themis_trial_finished.*?(?=\n\n\n|\Z)", "", text, flags=re.DOTALL)
    text += """

@hookimpl
def themis_trial_finished():
    note("a trial finished")


@hookimpl
def themis_run_finished(summary):
    note("finished", summary["status"], summary["trials"])
"""
    file.write_text(text, encoding="utf-8")
    bench.run()
    assert [each for each in bench.log() if each[0] in ("a trial finished", "finished")] == [
        ["a trial finished"],
        ["a trial finished"],
        ["finished", "completed", 2],
    ]


def test_a_trial_that_cannot_be_stored_fails_alone_and_keeps_its_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = bench.folder / "mine.py"
    text = file.read_text(encoding="utf-8")
    unsavable = """class Good(Metric):
    def score(self, item, generation, value):
        if item.id == "i0":
            return Score(1.0, details={"what": object()})
"""
    file.write_text(text.replace("class Good(Metric):\n    def score(self, item, generation, value):\n", unsavable))
    with monkeypatch.context() as without:
        without.setattr("themis_core.execution.scoring.as_score", lambda score: score)  # as if a check had a hole
        result = bench.run()
    assert (result.status, result.failed, result.ledger["failures"]) == ("failed", 1, {"engine_error": 1})
    assert "i0" in result.errors["engine_error"]
    assert len(bench.calls()) == 2
    file.write_text(text, encoding="utf-8")
    again = bench.run()
    assert (again.status, again.generated, again.failed, bench.calls()) == ("completed", 0, 0, [])


def test_who_edits_a_loose_metric_gets_new_scores_without_a_call(bench: Bench) -> None:
    bench.run()
    assert len(bench.calls()) == 2
    file = bench.folder / "mine.py"
    before = file.read_text(encoding="utf-8")
    after = before.replace('Score(float(value.startswith("re: ")))', "Score(0.25)")
    assert after != before
    file.write_text(after, encoding="utf-8")
    again = bench.run()
    assert (again.status, again.generated, [row.value for row in again.scores]) == ("completed", 0, [0.25])
    assert bench.calls() == []


def test_a_failing_observer_is_named_and_passed_over(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    (bench.folder / "fail").touch()
    with caplog.at_level(logging.ERROR, "themis"):
        result = bench.run()
    assert told(result) == ("completed", 2, 0, 0, 0)
    first, last = [record.getMessage() for record in caplog.records]
    assert first.startswith("plugin 'mine' failed at themis_trial_finished: ")
    assert first.endswith("\nthe run goes on")
    assert last == "plugin 'mine': themis_trial_finished failed 2 times in all, as told above"
