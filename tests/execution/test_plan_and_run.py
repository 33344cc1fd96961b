"""What a plan says is called is what its run calls, and a second plan says that nothing is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core.execution import Counted
from themis_core.testing.events import key_of

PLUGIN = """
from themis_core import Engine, Extraction, Extractor, Generation, Judge, JudgeRequest, Metric, Score, hookimpl


class Same(Engine):
    # Refuses whoever asks to be refused, and tells all others the same, whatever the model.
    async def generate(self, request):
        said = request.messages[-1]["content"]
        if "refuse" in said:
            return Generation("refused")
        return Generation("answered", text=f"re: {said}")


class Whole(Extractor):
    def extract(self, text):
        return Extraction(text)


class Last(Extractor):
    def extract(self, text):
        return Extraction(text[-1:])


class Good(Metric):
    def score(self, item, generation, value):
        return Score(1.0)


class Wrong(Judge):
    def requests(self, judged):
        return None

    def score(self, judged, replies):
        return Score(1.0)


class Asking(Judge):
    against: str | None = None

    @property
    def baseline_model(self):
        return self.against

    def requests(self, judged):
        against = "" if judged.baseline is None else judged.baseline.text
        return [
            JudgeRequest([{"role": "user", "content": f"{one} or {other}"}])
            for one, other in ((judged.value, against), (against, judged.value))
        ]

    def score(self, judged, replies):
        return Score(1.0)


@hookimpl
def themis_register_engines(register):
    register("same", Same)


@hookimpl
def themis_register_extractors(register):
    register("whole", Whole)
    register("last", Last)


@hookimpl
def themis_register_metrics(register):
    register("good", Good)


@hookimpl
def themis_register_judges(register):
    register("asking", Asking)
    register("wrong", Wrong)
"""
JUDGE = {"model": {"model_id": "judge", "provider": "mine/same"}}
GOOD = {"name": "good", "metrics": ["mine/good"]}
JUDGED = {"name": "judged", "metrics": [{"id": "mine/asking", "judge": JUDGE}]}
TWICE = {"name": "twice", "metrics": [{"id": "mine/asking", "judge": {**JUDGE, "repeats": 2}}]}
AGAINST_A = {"name": "against", "metrics": [{"id": "mine/asking", "config": {"against": "a"}, "judge": JUDGE}]}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a spec of five items whose questions are `q0` to `q4`, in two slices named as given."""
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")

    def spec(
        *scores: dict[str, Any],
        slices: str = "s",
        models: str = "a",
        prompts: tuple[str, ...] = ("{{ item.q }}",),
        follow_ups: tuple[str, ...] = (),
        slice_scores: dict[str, list[dict[str, Any]]] | None = None,
        **benchmark: Any,
    ) -> Path:
        rows = [{"id": f"i{number}", "q": f"q{number}"} for number in range(5)]
        data = {
            "project": {"plugins": {"mine": "mine.py"}},
            "benchmark": {
                "benchmark_id": "b",
                "models": [{"model_id": name, "provider": "mine/same"} for name in models],
                "prompt_variants": [
                    {
                        "id": f"v{number}",
                        "messages": [{"role": "user", "content": text}],
                        "follow_ups": [{"role": "user", "content": each} for each in follow_ups],
                    }
                    for number, text in enumerate(prompts)
                ],
                "slices": [
                    {
                        "slice_id": name,
                        "dataset": {"source": "files/inline", "extras": {"rows": rows}},
                        "generation": {},
                        "parses": [{"name": each, "extractors": [f"mine/{each}"]} for each in ("whole", "last")],
                        "scores": (slice_scores or {}).get(name, list(scores)),
                    }
                    for name in slices
                ],
                **benchmark,
            },
        }
        path = tmp_path / "spec.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        return path

    return spec


@pytest.mark.parametrize(
    ("changes", "calls"),
    [
        ({}, 5),
        ({"slices": "st"}, 5),
        ({"slices": "st", "num_samples": 2}, 10),
        ({"slices": "st", "models": "ab"}, 10),
        ({"prompts": ("{{ item.q }}", "{{ item.q }}", "{{ item.q }}!")}, 10),  # two are the same
        ({"slices": "st", "follow_ups": ("more", "and more")}, 15),
        ({"scores": [JUDGED]}, 15),  # asked in both orders
        ({"scores": [JUDGED], "slices": "st"}, 15),
        ({"scores": [JUDGED, TWICE]}, 25),  # the first repeat is a call of both
        ({"slices": "st", "slice_scores": {"s": [TWICE], "t": [JUDGED]}}, 25),
        ({"scores": [{**JUDGED, "parse": "last"}, {**JUDGED, "name": "whole", "parse": "whole"}]}, 25),
        ({"scores": [GOOD, {"name": "wrong", "metrics": [{"id": "mine/wrong", "judge": JUDGE}]}]}, 5),  # a broken judge
        ({"scores": [JUDGED], "models": "a", "prompts": ("{{ item.q }}", "{{ item.q }}")}, 15),
    ],
)
def test_a_plan_counts_the_calls_that_its_run_makes(write: Write, changes: dict[str, Any], calls: int) -> None:
    path = write(*changes.pop("scores", [GOOD]), **changes)
    before = themis.plan(path)
    assert before.to_call == calls
    result = themis.run(path)
    assert result.generated == calls
    after = themis.plan(path)
    assert (after.stored, after.to_call) == (result.trials, 0)


def test_what_two_slices_share_costs_once(write: Write) -> None:
    price = {"input_per_million": 1e6, "output_per_million": 0.0}

    def row(slices: str) -> dict[str, Any]:
        path = write(GOOD, slices=slices)
        data = json.loads(path.read_text("utf-8"))
        data["benchmark"]["models"][0]["price"] = price
        path.write_text(json.dumps(data), encoding="utf-8")
        return themis.plan(path).per_model[0]

    one, two = row("s"), row("st")
    assert two == {**one, "trials": 10}
    assert (one["trials"], one["stored"], one["calls"]) == (5, 0, 5)
    assert one["cost"] == one["input_tokens"] > 0


def test_equal_answers_of_two_models_are_put_to_a_judge_once(write: Write) -> None:
    themis.run(write(GOOD, models="ab"))
    path = write(GOOD, JUDGED, models="ab")
    report = themis.plan(path)
    assert (report.stored, report.to_call) == (10, 10)  # two orders of five answers, each that of both models
    assert themis.run(path).generated == 10
    assert themis.plan(path).to_call == 0


def test_answers_to_come_may_differ_and_are_counted_one_by_one(write: Write) -> None:
    # The five answers of b are compared with those of a, and neither is there: two orders of five questions.
    path = write(AGAINST_A, models="ab")
    assert themis.plan(path).to_call == 10 + 10
    assert themis.run(path).generated == 10 + 5  # they were alike, and so were the two orders
    assert themis.plan(path).to_call == 0


def test_a_turn_that_ended_its_trial_leaves_no_call_behind(write: Write) -> None:
    prompts = ("{{ item.q }}{% if item.q == 'q0' %} refuse{% endif %}",)
    path = write(GOOD, prompts=prompts, follow_ups=("more", "and more"))
    assert themis.plan(path).to_call == 15  # which answers end their trials can't be foreseen
    result = themis.run(path)
    assert (result.generated, result.ledger["refused"]) == (1 + 4 * 3, 1)
    report = themis.plan(path)
    assert (report.stored, report.to_call, report.per_model[0]["input_tokens"]) == (5, 0, 0)
    judged = write(GOOD, JUDGED, prompts=prompts, follow_ups=("more", "and more"))
    assert themis.plan(judged).to_call == 8  # nobody is asked about a refusal
    assert themis.run(judged).generated == 8
    assert themis.plan(judged).to_call == 0
    longer = write(GOOD, prompts=prompts, follow_ups=("more", "and more", "and more"))
    assert themis.plan(longer).to_call == 4
    assert themis.run(longer).generated == 4


@pytest.mark.parametrize(("item_by_item", "again"), [(False, False), (True, True)])
def test_counted_keys_are_forgotten_with_their_item_where_they_cannot_come_back(
    item_by_item: bool, again: bool
) -> None:
    counted = Counted(item_by_item=item_by_item)
    asked = [("i1", "1"), ("i1", "2"), ("i1", "1"), ("i2", "3"), ("i1", "1")]
    new = [counted.is_new(item_id, key_of(key)) for item_id, key in asked]
    assert new == [True, True, False, True, again]


def test_a_plan_without_the_store_counts_all_calls_and_opens_nothing(write: Write, tmp_path: Path) -> None:
    path = write(GOOD)
    themis.run(path)
    store = tmp_path / ".themis" / "themis.sqlite3"
    store.write_bytes(b"no store")
    with pytest.raises(themis.StorageError):
        themis.plan(path)
    apart = themis.plan(path, look_up=False)
    assert (apart.trials, apart.stored, apart.to_call) == (5, 0, 5)


def test_a_plan_names_the_variables_that_components_read_once_each(write: Write, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        PLUGIN.replace(
            "class Same(Engine):",
            "class Same(Engine):\n    key_env: str | None = 'ONE'\n    headers_env: dict[str, str] = {}",
        ),
        encoding="utf-8",
    )
    path = write(GOOD)
    data = json.loads(path.read_text("utf-8"))
    for extras, named in (({"headers_env": {"x": "TWO", "y": "ONE"}}, ["ONE", "TWO"]), ({"key_env": None}, [])):
        data["benchmark"]["models"][0]["extras"] = extras
        path.write_text(json.dumps(data), encoding="utf-8")
        assert themis.plan(path).variables == named


@pytest.mark.parametrize("score", [GOOD, JUDGED], ids=["by sample", "by item"])
def test_a_plan_counts_the_trials_of_each_part(write: Write, score: dict[str, Any]) -> None:
    path = write(score, slices="st", models="ab", num_samples=3)
    report = themis.plan(path, parts=4)
    judged = score is JUDGED
    wanted = [
        sum(4 for item in range(5) for sample in range(3) if part.has(f"i{item}", None if judged else sample))
        for part in (themis.Part(number, 4) for number in range(1, 5))
    ]
    assert report.parts == wanted
    assert sum(wanted) == report.trials == 60
    assert themis.plan(path).parts == []
