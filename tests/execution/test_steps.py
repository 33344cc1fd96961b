"""Steps of a generation: what is kept and what is refused, who reads them, where they are shown and exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import themis_core as themis
from themis_core import WARNING, Generation, Step, Usage
from themis_core.cli import cli
from themis_core.execution.returned import as_generation
from themis_core.execution.steps import LONGEST_STEP, LONGEST_STEPS, MOST_STEPS

LONG = "x" * (LONGEST_STEP + 1)


def answered(*steps: Any, **more: Any) -> Generation:
    return as_generation(Generation("answered", "a", steps=steps, **more))


class Named(str):
    __slots__ = ()


PLAIN: list[tuple[Any, Step]] = [
    (Step("tool_call", "f", {"a": 1}, [1, "x"], 0.5, 0.1, Usage(1), "no"),) * 2,
    ({"kind": "retrieval", "output": ["d"]}, Step("retrieval", output=["d"])),
    ({"kind": "model", "usage": {"input_tokens": 3}}, Step("model", usage=Usage(3))),
    ({"usage": None}, Step()),
    (Step("other", Named("f"), ("a", ("b",))), Step("other", "f", ["a", ["b"]])),  # as it comes back from a store
    (Step("other", seconds=1, cost=0), Step("other", seconds=1.0, cost=0.0)),
    (Step("other", "n" * 300), Step("other", "n" * 199 + "…")),
    (Step("other", error="e" * 5_000), Step("other", error="e" * 3_999 + "…")),
    (Step("other", input="\ud800\0"), Step("other", input="\ud800\0")),
]


@pytest.mark.parametrize(("given", "kept"), PLAIN)
def test_steps_become_plain_values(given: Any, kept: Step) -> None:
    generation = answered(given)
    assert generation.steps == (kept,)
    assert WARNING not in generation.provider
    assert Generation.from_dict(json.loads(json.dumps(generation.to_dict()))) == generation


REFUSED: list[tuple[Any, str]] = [
    ("search", "one of Generation.steps is of type str, not a Step or a dict"),
    (None, "one of Generation.steps is None"),
    (Step("tool"), "has the kind 'tool', not one of tool_call, retrieval"),  # type: ignore[arg-type]
    ({"kind": "other", "took": 1}, "has the field 'took'; known: kind, name, input"),
    ({"usage": {"tokens": 1}}, "has the field 'tokens'; known: input_tokens"),
    ({"usage": 3}, "is of type int, not a Usage or a dict"),
    (Step("other", None), "the name of one of Generation.steps is None"),  # type: ignore[arg-type]
    (Step("other", seconds=-1.0), "seconds of one of Generation.steps is -1.0"),
    (Step("other", cost=float("nan")), "the cost of one of Generation.steps is nan"),
    (Step("other", input={1, 2}), "the input of one of Generation.steps holds what JSON can't say"),
    (Step("other", output=float("inf")), "the output of one of Generation.steps holds what JSON can't say"),
    (Step("other", error=b"x"), "the error of one of Generation.steps is of type bytes"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("step", "told"), REFUSED)
def test_what_is_no_step_is_named(step: Any, told: str) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        answered(step)
    assert told in str(refused.value)


def test_steps_that_are_no_tuple_are_refused() -> None:
    with pytest.raises(TypeError, match=r"Generation\.steps is of type str, not a tuple"):
        as_generation(Generation("answered", "a", steps="abc"))  # type: ignore[arg-type]


def test_a_step_that_is_too_long_keeps_its_place_and_says_how_long_it_was() -> None:
    generation = answered(Step("tool_call", "before"), Step("retrieval", "big", {"q": 1}, LONG), Step("other", "after"))
    before, big, after = generation.steps
    assert (before.name, after.name) == ("before", "after")
    assert (big.name, big.input, big.output) == ("big", None, None)
    assert big.left_out == len('{"q":1}') + len(LONG) + 2
    assert "256 KiB" in generation.provider[WARNING]
    assert as_generation(generation) == generation  # what is read again stays as it is


def test_all_steps_together_have_a_bound() -> None:
    generation = answered(*[Step("other", str(n), output="y" * 200_000) for n in range(8)])
    kept = [each for each in generation.steps if each.output is not None]
    assert len(kept) == LONGEST_STEPS // 200_002 == 5
    assert sum(each.left_out for each in generation.steps) == 3 * 200_002


def test_steps_beyond_the_most_are_counted() -> None:
    generation = answered(*[Step()] * (MOST_STEPS + 7))
    assert (len(generation.steps), generation.steps_left_out) == (MOST_STEPS, 7)
    assert "more than 1,000 steps" in generation.provider[WARNING]
    assert Generation.from_dict(generation.to_dict()) == generation


def test_a_warning_of_the_engine_is_kept_before_that_of_steps() -> None:
    assert answered(Step(output=LONG), provider={WARNING: "mine"}).provider == {WARNING: "mine"}


ENGINE = '''
from themis_core import Engine, Generation, Metric, Score, Step, Usage, hookimpl


class Local(Engine):
    async def generate(self, request):
        text = "".join(each["content"] for each in request.messages)
        if "VERDICT-" in text:
            assert "DOCUMENT" in text and "look up" not in text, text
            return Generation("answered", "fine", provider={"shown": text})
        return Generation("answered", "Paris", steps=(
            Step("retrieval", "index", {"query": "look up"}, ["DOCUMENT one", "two"], 0.25, 0.5, Usage(3)),
            Step("tool_call", "add", {"a": "\\x1b[31m"}, None, error="boom"),
            Step("other", "long", output="z" * 300_000),
            *[Step("message", f"m{n}") for n in range(1_100)],
        ))


class Steps(Metric):
    """The share of steps that are retrievals, of those that a generation kept in full."""

    highest = None

    def score(self, item, generation, value):
        return Score(float(len([each for each in generation.steps if each.kind == "retrieval"])))


@hookimpl
def themis_register_engines(register):
    register("local", Local)


@hookimpl
def themis_register_metrics(register):
    register("steps", Steps)
'''


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    (tmp_path / "engine.py").write_text(ENGINE)
    judge = {
        "id": "judge/correctness",
        "judge": [{"model": {"model_id": "j", "provider": "mine/local"}}],
        "config": {"prompt": "{{ question }} {{ answer }} {{ retrieved }}"},
    }
    benchmark = {
        "benchmark_id": "steps",
        "models": [{"model_id": "m", "provider": "mine/local"}],
        "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {
                    "source": "files/inline",
                    "extras": {"rows": [{"id": "1", "q": "Where?", "gold": "Paris"}]},
                    "fields": {"reference": "gold"},
                },
                "generation": {},
                "scores": [{"name": "of_steps", "metrics": ["mine/steps", judge]}],
            }
        ],
    }
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"project": {"plugins": {"mine": "engine.py"}}, "benchmark": benchmark}))
    return path


def test_steps_are_stored_scored_judged_shown_and_exported(spec: Path) -> None:
    result = themis.run(spec)
    by_metric = {row.metric: row for row in result.scores}
    assert by_metric["mine/steps"].value == 1.0
    told = CliRunner().invoke(cli, ["show", "run", result.run_id, "--spec", str(spec)]).output
    assert "more than 1,000 steps" in told
    shown = CliRunner().invoke(cli, ["show", "trial", result.run_id, "1", "--spec", str(spec)]).output
    assert "step 1: retrieval index (0.25 s, cost 0.5, 3 input tokens)" in shown
    assert '→ {"query": "look up"}'.replace(" ", "") in shown.replace(" ", "")
    assert "error: boom" in shown
    assert "(300,002 bytes of input and output were too long to keep)" in shown
    assert "and 950 more steps; --format json has them all" in shown
    assert "103 further steps were left out" in shown
    assert "\x1b" not in shown
    whole = json.loads(
        CliRunner().invoke(cli, ["show", "trial", result.run_id, "1", "--spec", str(spec), "--format", "json"]).output
    )
    assert len(whole["turns"][0]["generation"]["steps"]) == 1_000
    exported = CliRunner().invoke(cli, ["export", result.run_id, "--what", "generations", "--spec", str(spec)]).output
    rows = [json.loads(line) for line in exported.splitlines() if line.startswith("{")]
    row = next(each for each in rows if each["role"] == "model")
    assert row["steps"][0] == {
        "kind": "retrieval", "name": "index", "input": {"query": "look up"}, "output": ["DOCUMENT one", "two"],
        "seconds": 0.25, "cost": 0.5, "usage": {"input_tokens": 3},
    }  # fmt: skip
    assert row["steps_left_out"] == 103
    judge = next(each for each in rows if each["role"] == "judge")
    assert "DOCUMENT one\n\ntwo" in judge["provider"]["shown"]
    folder = spec.parent / "inspect"
    done = CliRunner().invoke(cli, ["export", result.run_id, "--to", "inspect", "-o", str(folder), "--spec", str(spec)])
    assert done.exit_code == 0, done.output


def test_a_judge_whose_prompt_names_no_steps_asks_what_it_always_asked(spec: Path) -> None:
    from themis_core import Item, JudgedAnswer
    from themis_plugin_judge.correctness import Correctness

    judge = Correctness(question="{{ item.q }}")
    plain = JudgedAnswer(Item("1", {"q": "?"}, "x"), Generation("answered", "a"), "a")
    with_steps = JudgedAnswer(plain.item, Generation("answered", "a", steps=(Step("other", "s"),)), "a")
    assert judge.requests(plain) == judge.requests(with_steps)
    whole = Correctness(question="{{ item.q }}", prompt="{{ question }} {{ answer }} {{ steps }}")
    assert "1. other s" in whole.requests(with_steps)[0].messages[-1]["content"]
    assert "(none)" in whole.requests(plain)[0].messages[-1]["content"]
