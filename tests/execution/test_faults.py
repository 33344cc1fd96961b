"""What a component's own fault leaves out is no score, is named, and is tried again by the next run without a call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core.execution.scoring import here, measuring, unscorable
from themis_core.plugins import Plugins, Scorer

PLUGIN = """
import json
import math
from pathlib import Path

from themis_core import (
    Engine, Extraction, Extractor, Generation, Judge, JudgeRequest, Metric, Score, hookimpl,
)

HERE = Path(__file__).parent


def fault(kind):
    return json.loads((HERE / "faults.json").read_text()).get(kind)


def broken(kind, item_id):
    how = fault(kind)
    if how is not None and how.get("item") in (None, item_id) and item_id in how.get("items", [item_id]):
        if how["does"] == "raise":
            raise ValueError("planted")
        if how["does"] == "be slow":
            raise TimeoutError("planted")
        return how["does"]
    return None


class Echo(Engine):
    async def generate(self, request):
        with (HERE / "calls.txt").open("a") as file:
            print(request.messages[-1]["content"], file=file)
        return Generation("answered", text=request.messages[-1]["content"])


class Reading(Extractor):
    def extract(self, text):
        if reason := broken("extractor", text):
            return Extraction(reason=reason)
        return Extraction(text)


class Cleaning(Extractor):
    def extract(self, text):
        if reason := broken("prepare", text):
            return Extraction(reason=reason)
        return Extraction(text)


class Good(Metric):
    def score(self, item, generation, value):
        return Score(float(broken("metric", item.id) or 0.5))


class Asking(Judge):
    def requests(self, judged):
        return [JudgeRequest([{"role": "user", "content": f"judge {judged.value}"}])]

    def score(self, judged, replies):
        return Score(float(broken("judge", judged.item.id) or 0.5))


@hookimpl
def themis_register_engines(register):
    register("echo", Echo)


@hookimpl
def themis_register_extractors(register):
    register("reading", Reading)
    register("cleaning", Cleaning)


@hookimpl
def themis_register_metrics(register):
    register("good", Good)


@hookimpl
def themis_register_judges(register):
    register("asking", Asking)
"""


class Bench:
    """A folder with a plugin whose components go wrong as `faults.json` says, and the runs of one spec."""

    def __init__(self, folder: Path, storage: dict[str, Any]) -> None:
        self.folder = folder
        (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
        model = {"model_id": "m", "provider": "mine/echo"}
        benchmark = {
            "benchmark_id": "faults",
            "models": [model],
            "prompt_variants": [{"id": "v", "messages": [{"role": "user", "content": "{{ item.id }}"}]}],
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {"source": "files/inline", "extras": {"rows": [{"id": f"i{n}"} for n in range(4)]}},
                    "generation": {},
                    "parses": [{"name": "read", "prepare": ["mine/cleaning"], "extractors": ["mine/reading"]}],
                    "scores": [
                        {"name": "good", "parse": "read", "metrics": ["mine/good"]},
                        {"name": "judged", "metrics": [{"id": "mine/asking", "judge": {"model": model}}]},
                    ],
                }
            ],
        }
        spec = {"project": {"plugins": {"mine": "mine.py"}, "storage": storage}, "benchmark": benchmark}
        self.path = folder / "spec.json"
        self.path.write_text(json.dumps(spec), encoding="utf-8")

    def run(self, faults: dict[str, Any]) -> themis.RunResult:
        (self.folder / "faults.json").write_text(json.dumps(faults), encoding="utf-8")
        return themis.run(self.path)

    def calls(self) -> int:
        """How many there were since this was last asked."""
        path = self.folder / "calls.txt"
        count = len(path.read_text().splitlines()) if path.exists() else 0
        path.unlink(missing_ok=True)
        return count


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, {"backend": "sqlite"})


def rows(result: themis.RunResult) -> dict[str, tuple[float | None, int, int, int, int]]:
    """By score: value, n, unscored, unparsed, failed."""
    return {row.score: (row.value, row.n, row.unscored, row.unparsed, row.failed) for row in result.scores}


FAULTS = [
    ("extractor", "raise", "good", "extractor_error"),
    ("extractor", "be slow", "good", "extractor_timeout"),
    ("extractor", "extractor_timeout", "good", "extractor_timeout"),
    ("prepare", "raise", "good", "extractor_error"),
    ("prepare", "extractor_timeout", "good", "extractor_timeout"),
    ("metric", "raise", "good", "metric_error"),
    ("metric", "be slow", "good", "metric_timeout"),
    ("metric", "nan", "good", "not_finite"),
    ("metric", "17", "good", "out_of_range"),
    ("metric", "-1e-6", "good", "out_of_range"),
    ("judge", "raise", "judged", "metric_error"),
    ("judge", "be slow", "judged", "metric_timeout"),
    ("judge", "inf", "judged", "not_finite"),
    ("judge", "1.5", "judged", "out_of_range"),
]


@pytest.mark.parametrize(("kind", "does", "score", "reason"), FAULTS)
def test_a_fault_is_in_no_number_and_the_next_run_tries_it_again_without_a_call(
    bench: Bench, kind: str, does: str, score: str, reason: str
) -> None:
    broken = bench.run({kind: {"does": does, "item": "i2"}})
    whole: dict[str, Any] = {"good": (0.5, 4, 0, 0, 0), "judged": (0.5, 4, 0, 0, 0)}
    assert rows(broken) == {**whole, score: (0.5, 3, 1, 0, 0)}
    assert broken.ledger["scores"][f"{score}/mine/{'asking' if score == 'judged' else 'good'}"] == {
        "scored": 3,
        "unscored": {reason: 1},
    }
    assert all(each["unparsed"] == {} for each in broken.ledger["extractions"].values())
    assert bench.calls() == 8  # four answers, each of them judged

    again = bench.run({kind: {"does": does, "item": "i2"}})
    assert (again.run_id, rows(again), bench.calls()) == (broken.run_id, rows(broken), 0)

    mended = bench.run({})
    assert (mended.run_id, rows(mended), bench.calls()) == (broken.run_id, whole, 0)
    assert (mended.status, mended.exit_code) == ("completed", 0)


@pytest.mark.parametrize(("kind", "does", "score", "reason"), [FAULTS[0], FAULTS[6], FAULTS[8], FAULTS[10]])
@pytest.mark.parametrize(("items", "exit_code"), [(["i0"], 0), (["i0", "i2"], 5), (["i0", "i1", "i3"], 5)])
def test_a_number_that_lacks_half_of_its_items_by_a_fault_does_not_look_right(
    bench: Bench, kind: str, does: str, score: str, reason: str, items: list[str], exit_code: int
) -> None:
    broken = bench.run({kind: {"does": does, "items": items}})
    assert rows(broken)[score] == (0.5, 4 - len(items), len(items), 0, 0)
    assert broken.exit_code == exit_code
    name = f"{score}/mine/{'asking' if score == 'judged' else 'good'}"
    half = f"{name}: half of the scores or more are missing for s · m · v"
    assert [each for each in broken.warnings if "half" in each] == (
        [f"{half}: the run ends with exit 5"] if exit_code else []
    )

    mended = bench.run({})
    assert (mended.run_id, mended.exit_code, mended.warnings) == (broken.run_id, 0, [])


@pytest.mark.parametrize(
    ("returned", "ends", "value", "reason"),
    [
        (17.0, (0.0, 1.0), None, "out_of_range"),
        (-0.1, (0.0, 1.0), None, "out_of_range"),
        (1.0000000000000002, (0.0, 1.0), 1.0, None),  # a rounding error is the end itself
        (100.00000000000004, (0.0, 100.0), 100.0, None),
        (1.001, (0.0, 1.0), None, "out_of_range"),
        (-5.0, (None, 1.0), -5.0, None),
        (1e9, (0.0, None), 1e9, None),
        (0.0, (1.0, 5.0), None, "out_of_range"),
        (-1e-12, (0.0, 1.0), 0.0, None),
    ],
)
def test_a_value_outside_of_the_declared_range_is_unscored(
    returned: float, ends: tuple[float | None, float | None], value: float | None, reason: str | None
) -> None:
    class Returning(themis.Metric):
        lowest, highest = ends

        def score(self, item: themis.Item, generation: themis.Generation, value: Any) -> themis.Score:
            return themis.Score(returned)

    scorer = Scorer("accuracy", "m", "mine/m", Returning(), None, None, None, "")
    score = here(measuring(scorer, themis.Item("1", {}), themis.Generation("answered", "x"), None))
    assert (score.value, score.reason) == (value, reason)
    if reason:
        assert (score.details["value"], score.details["component"]) == (returned, "mine/m")


# --- items that can't be scored -----------------------------------------------------------------------------

ANSWERS = {"right": "0.75", "wrong": "7", "unreadable": "I can't tell.", "empty": "", "blank": " \n"}
BAD = [
    # a metric or judge, its config, a reference that it can't use, and the reason
    ("text/numeric_match", {}, "3//4", "bad_reference"),
    ("text/numeric_match", {}, [], "bad_reference"),
    ("text/numeric_match", {}, "", "bad_reference"),
    ("text/numeric_match", {}, True, "bad_reference"),
    ("text/numeric_match", {}, ["1", None], "bad_reference"),
    ("text/numeric_match", {}, None, "no_reference"),
    ("text/choice_accuracy", {}, "the second", "bad_reference"),
    ("text/choice_accuracy", {}, 99, "bad_reference"),
    ("text/exact_match", {}, {"a": 1}, "bad_reference"),
    ("text/exact_match", {}, [["x"]], "bad_reference"),
    ("text/exact_match", {}, None, "no_reference"),
    ("text/contains", {}, " ", "bad_reference"),
    ("text/contains", {"ignore_punctuation": True}, "?!", "bad_reference"),
    ("text/regex_match", {}, "(", "bad_reference"),
    ("text/regex_match", {}, 5, "bad_reference"),
    ("text/token_f1", {}, {"a": 1}, "bad_reference"),
    ("text/rouge", {}, [], "bad_reference"),
    ("text/bleu", {}, [], "bad_reference"),
    ("text/bleu", {"max_characters": 3}, "four", "too_long"),
    ("text/chrf", {}, {}, "bad_reference"),
    ("text/ter", {"max_words": 1}, "two words", "too_long"),
    ("text/json_match", {"per_field": True}, [1], "bad_reference"),
    ("text/json_match", {"keys": ["b"]}, {"a": 1}, "bad_reference"),
    ("judge/correctness", {"question": "q"}, None, "no_reference"),
    ("judge/correctness", {"question": "q"}, [], "bad_reference"),
    ("judge/correctness", {"question": "q"}, " ", "bad_reference"),
    ("judge/rubric", {"question": "q", "field": "gold"}, "none", "bad_criteria"),
    ("judge/pairwise", {"question": "q", "field": "gold"}, " ", "no_baseline"),
    ("replay/verdicts", {"path": "verdicts.jsonl"}, "x", "no_verdict"),
]


@pytest.mark.parametrize(("component", "config", "reference", "reason"), BAD)
def test_an_item_that_cannot_be_scored_is_unscored_for_every_answer_and_said_before_the_run(
    tmp_path: Path,
    component: str,
    config: dict[str, Any],
    reference: Any,
    reason: str,
    caplog: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"id": name, "gold": reference, "output": said} for name, said in ANSWERS.items()]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    verdicts = [{"id": name, "verdict": None} for name in ANSWERS]
    (tmp_path / "verdicts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in verdicts), encoding="utf-8")
    metric: dict[str, Any] = {"id": component, "config": config}
    if component.startswith("judge/"):
        metric["judge"] = {"model": {"model_id": "judge", "provider": "replay/file", "extras": {"path": "items.jsonl"}}}
    benchmark = {
        "benchmark_id": "bad",
        "slices": [
            {
                "slice_id": "s",
                "dataset": {
                    "source": "files/jsonl",
                    "dataset_id": "items.jsonl",
                    "fields": {"id": "id", "reference": "gold", "output": "output"},
                },
                "parses": [{"name": "number", "extractors": ["extract/last_number"]}],
                "scores": [{"name": "a", "metrics": [metric]}, {"name": "b", "parse": "number", "metrics": [metric]}],
            }
        ],
    }
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"benchmark": benchmark}), encoding="utf-8")

    (planned, _) = themis.plan(path).unscorable
    assert (planned["reason"], planned["items"], planned["of_items"]) == (reason, 5, 5)
    assert planned["examples"] == ("items.jsonl:1", "items.jsonl:2", "items.jsonl:3")

    result = themis.run(path)
    assert "5 of 5 items can't be scored" in caplog.text
    assert "items.jsonl:1" in caplog.text
    label = f"a/{component}"
    assert result.ledger["scores"][label] == {"scored": 0, "unscored": {reason: 5}}
    assert [(row.value, row.n, row.unscored, row.unparsed, row.failed) for row in result.scores] == [
        (None, 0, 5, 0, 0)
    ] * 2


EMPTY = [
    # a metric, a reference, and what an answer without text gets
    ("text/exact_match", {}, "", 1.0),
    ("text/exact_match", {}, [], 1.0),
    ("text/exact_match", {}, ["", "none"], 1.0),
    ("text/exact_match", {"ignore_punctuation": True}, "?", 1.0),
    ("text/exact_match", {}, "Paris", 0.0),
    ("text/token_f1", {}, "", 1.0),
    ("text/token_f1", {}, [], 1.0),
    ("text/token_f1", {}, "the", 1.0),  # SQuAD leaves out articles
    ("text/token_f1", {}, "Paris", 0.0),
    ("text/rouge", {}, "", 1.0),
    ("text/rouge", {}, "Paris", 0.0),
    ("text/regex_match", {"mode": "fullmatch"}, "x*", 1.0),
    ("text/regex_match", {}, "x", 0.0),
    ("text/json_match", {}, "", 1.0),
    ("text/json_match", {}, {"a": 1}, 0.0),
    ("text/contains", {}, "x", 0.0),
    ("text/numeric_match", {}, 0, 0.0),
    ("text/choice_accuracy", {}, "A", 0.0),
]


@pytest.mark.parametrize(("component", "config", "reference", "value"), EMPTY)
def test_an_empty_answer_is_right_where_the_reference_is_empty(
    component: str, config: dict[str, Any], reference: Any, value: float
) -> None:
    _, cls = Plugins().resolve("metric", component)
    metric = cls.model_validate(config)
    assert isinstance(metric, themis.Metric)
    scorer = Scorer("s", "m", component, metric, None, None, None, "")
    item = themis.Item("1", {}, reference)
    assert here(unscorable(scorer, item)) is None
    tagged = themis.Generation("answered", "<answer></answer>"), themis.Extraction(reason="empty")
    for generation, extraction in ((themis.Generation("empty", " "), None), tagged):
        assert here(measuring(scorer, item, generation, extraction)) == themis.Score(value)
    assert here(measuring(scorer, item, themis.Generation("refused"), None)) == themis.Score(0.0)
    unparsed = themis.Extraction(reason="no_match")
    assert here(measuring(scorer, item, themis.Generation("answered", "x"), unparsed)) == themis.Score(0.0)
