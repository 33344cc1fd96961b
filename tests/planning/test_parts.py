"""Parts of a plan: disjoint, together the whole, and no two of them ask for the same."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from themis_core import BenchmarkSpec, Part, ProjectSpec, SpecError
from themis_core.planning import Plan, Trial, survey
from themis_core.plugins.compose import compose
from themis_core.reading import LoadedSpecs, Place

PLUGIN = """
from typing import ClassVar

from themis_core import Capabilities, Engine, Generation, Judge, JudgeRequest, Metric, Score, hookimpl


class Plain(Engine):
    capabilities = Capabilities(images=True)
    item_fields: ClassVar = ("level?",)

    async def generate(self, request):
        return Generation("answered", text="x")


class Exact(Metric):
    def unscorable(self, item):
        return "odd" if item.fields["level"] % 2 else None

    def score(self, item, generation, value):
        return Score(1.0)


class Asking(Judge):
    def requests(self, judged):
        return [JudgeRequest([{"role": "user", "content": judged.item.fields["q"]}])]

    def score(self, judged, replies):
        return Score(1.0)


class Comparing(Asking):
    @property
    def baseline_model(self):
        return "other"


@hookimpl
def themis_register_engines(register):
    register("plain", Plain)


@hookimpl
def themis_register_metrics(register):
    register("exact", Exact)


@hookimpl
def themis_register_judges(register):
    register("asking", Asking)
    register("comparing", Comparing)
"""
ROWS = [{"id": f"q{n}", "q": f"{n}+{n}?", "gold": str(2 * n), "level": n % 5, "said": f"It is {n}."} for n in range(40)]
SPEC: dict[str, Any] = {
    "benchmark_id": "b",
    "num_samples": 3,
    "models": [{"model_id": "m", "provider": "mine/plain"}, {"model_id": "other", "provider": "mine/plain"}],
    "prompt_variants": [
        {"id": "v", "messages": [{"role": "user", "content": "{{ item.q }}"}]},
        {"id": "w", "messages": [{"role": "user", "content": "{{ item.q }} Think."}]},
    ],
    "slices": [
        {
            "slice_id": "s",
            "dataset": {
                "source": "files/jsonl",
                "dataset_id": "items.jsonl",
                "fields": {"id": "id", "reference": "gold"},
            },
            "generation": {},
            "scores": [{"name": "accuracy", "metrics": ["mine/exact"]}],
        }
    ],
}
JUDGES = {"model": {"model_id": "judge", "provider": "mine/plain"}}
USER = {"model": {"model_id": "user", "provider": "mine/plain"}, "messages": [{"role": "user", "content": "Ask."}]}
SHOTS = {
    "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"id": "id", "reference": "gold"}},
    "dataset_query": {"kind": "subset", "count": 3},
    "messages": [{"role": "user", "content": "{{ item.q }}"}, {"role": "assistant", "content": "{{ item.gold }}"}],
}
Change = Callable[[dict[str, Any]], Any]


def judged(judge: str) -> Change:
    scores = [{"name": "judged", "metrics": [{"id": judge, "judge": JUDGES}]}]
    return lambda spec: spec["slices"][0].update(scores=scores)


def recorded(spec: dict[str, Any]) -> None:
    only = spec["slices"][0]
    del only["generation"]
    only["dataset"]["fields"]["output"] = "said"


def talking(spec: dict[str, Any]) -> None:
    spec["prompt_variants"][0]["conversation"] = {"max_turns": 3, "user": USER}


def twice(spec: dict[str, Any]) -> None:
    spec["slices"].append({**copy.deepcopy(spec["slices"][0]), "slice_id": "t", "generation": {"num_samples": 1}})


def query(**query: Any) -> Change:
    return lambda spec: spec["slices"][0].update(dataset_query=query)


KINDS: dict[str, Change] = {
    "plain": lambda spec: None,
    "two slices on one dataset": twice,
    "judged": judged("mine/asking"),
    "compared": judged("mine/comparing"),
    "recorded": recorded,
    "simulated user": talking,
    "rules": lambda spec: spec["prompt_variants"][0].update(
        conversation={"max_turns": 2, "rules": [{"when": "item.level == 4", "say": "Sure?"}]}
    ),
    "few-shot": lambda spec: spec["prompt_variants"][0].update(examples=SHOTS),
    "filtered": query(filters={"level": [1, 2]}, limit=9),
    "sampled": query(kind="stratified", count=11, strata_field="level"),
    "projected": query(projected_fields=["q", "level"]),
    "image": lambda spec: spec["prompt_variants"][0].update(
        messages=[{"role": "user", "content": [{"type": "image_url", "image_url": "a{{ item.level }}.png"}]}]
    ),
}


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")

    for level in range(5):
        (tmp_path / f"a{level}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([level] * 50))

    def make(change: Change, part: Part | None = None) -> Plan:
        data = copy.deepcopy(SPEC)
        change(data)
        project = ProjectSpec.model_validate({"plugins": {"mine": "mine.py"}})
        place = Place()
        composition = compose(
            LoadedSpecs(project, BenchmarkSpec.model_validate(data), tmp_path, tmp_path, place, place)
        )
        return survey(composition, place, part)

    return make


def trials(plan: Plan, part: Part | None = None) -> list[Trial]:
    return [trial for endpoint in (None, *plan.endpoints()) for trial in plan.trials(endpoint, part=part)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_a_plan_are_disjoint_whole_and_share_no_request(kind: str, plan: Callable[..., Plan]) -> None:
    whole = plan(KINDS[kind])
    expected = {(each.slice_id, each.trial_id): each for each in trials(whole)}
    assert len(expected) == whole.count()

    @settings(max_examples=8, deadline=None)
    @given(of=st.integers(2, 60))
    def holds(of: int) -> None:
        found: dict[tuple[str, str], Trial] = {}
        keys: dict[str, int] = {}
        items: dict[str, int] = {}
        for number in range(1, of + 1):
            part = Part(number, of)
            its = trials(whole, part)
            assert len(its) == whole.count(part)
            assert found.keys().isdisjoint((each.slice_id, each.trial_id) for each in its)
            found |= {(each.slice_id, each.trial_id): each for each in its}
            assert all(keys.setdefault(request.key, number) == number for each in its for request in each.needed)
            if whole.by_item:  # what a judge asks depends on item and answer alone
                assert all(items.setdefault(each.item.id, number) == number for each in its)
        assert found == expected
        assert list(expected) == sorted(found, key=list(expected).index)

    holds()


@pytest.mark.parametrize("of", [2, 5, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_for_one_part_is_the_same_run_and_has_that_part(kind: str, of: int, plan: Callable[..., Plan]) -> None:
    whole = plan(KINDS[kind])
    number = next(each for each in range(1, of + 1) if whole.count(Part(each, of)) or of == 1)
    empty = next((each for each in range(1, of + 1) if not whole.count(Part(each, of))), None)
    for part in [Part(number, of), *([Part(empty, of)] if empty else [])]:
        only = plan(KINDS[kind], part)
        assert only.run_id == whole.run_id
        assert only.count() == whole.count()
        assert only.count(part) == whole.count(part)
        only.check()
        shown = [(each.trial_id, each.key, each.item) for each in trials(only)]
        assert shown == [(each.trial_id, each.key, each.item) for each in trials(whole, part)]
        with pytest.raises(ValueError, match=f"of part {part} alone"):
            only.count(Part(1, of + 1))


def test_what_parts_can_not_score_is_together_what_the_whole_can_not(plan: Callable[..., Plan]) -> None:
    whole = plan(KINDS["plain"])
    whole.check()
    counts: Counter[str] = Counter()
    for number in range(1, 4):
        part = plan(KINDS["plain"], Part(number, 3))
        part.check()
        for each in part.unscorable:
            assert each.of_items == 40
            counts[each.reason] += each.items
    assert counts == {each.reason: each.items for each in whole.unscorable} == {"odd": 16}


def test_a_part_keeps_and_renders_no_foreign_item(plan: Callable[..., Plan], tmp_path: Path) -> None:
    def strict(spec: dict[str, Any]) -> None:
        spec.update(num_samples=1)
        spec["prompt_variants"] = [{"id": "v", "messages": [{"role": "user", "content": "{{ item.only_here }}"}]}]

    here = Part(1, 2)
    rows = [{**row, "only_here": "x"} if here.has(row["id"], 0) else row for row in ROWS]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    only = plan(strict, here)
    only.check()
    assert {item.id for item in only.slices[0].items} == {row["id"] for row in ROWS if here.has(row["id"], 0)}
    with pytest.raises(SpecError, match="only_here"):
        plan(strict, Part(2, 2)).check()


def test_a_foreign_row_is_still_checked(plan: Callable[..., Plan], tmp_path: Path) -> None:
    rows = [*ROWS, ROWS[0]]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for number in (1, 2):
        with pytest.raises(SpecError, match="duplicate item id 'q0'"):
            plan(KINDS["plain"], Part(number, 2))


def test_where_a_trial_belongs_is_settled_for_good() -> None:
    # SHA-256 of ["q1",0], ["q1",1], ["q1"] and ["é",0] modulo 16, and 1: what is divided stays so
    assert [
        next(n for n in range(1, 17) if Part(n, 16).has(item, sample))
        for item, sample in [("q1", 0), ("q1", 1), ("q1", None), ("é", 0)]
    ] == [13, 10, 16, 16]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0/4", "counted from 1 .*add 1: 1/4"),
        ("5/4", "5/4 is none: there are only 4"),
        ("-1/4", "-1/4 is none"),
        ("1/0", "there is one part at least"),
        ("a/b", "'a/b' is none"),
        ("3", "'3' is none"),
        ("", "'' is none"),
        ("1/1", "the whole run: leave --shard out"),
        ("١/٢", "is none"),
    ],
)
def test_what_is_no_part_is_told_with_what_to_write(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Part.parse(text)


def test_a_part_is_written_as_it_is_read() -> None:
    assert str(Part.parse(" 3 / 16")) == "3/16"
    assert Part.parse("3/16") == Part(3, 16)
