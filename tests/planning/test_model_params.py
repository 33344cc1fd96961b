"""Settings of single models: what is sent, what identities hold, and what is refused with its place."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import themis_core as themis
from themis_core import InferenceParamsSpec, ModelParamsSpec, SpecError
from themis_core.cli import cli
from themis_core.planning import Plan, Trial, survey
from themis_core.plugins import compose
from themis_core.reading import load_specs

PLUGIN = """
import json

from themis_core import Capabilities, Engine, Generation, Judge, JudgeRequest, Score, hookimpl


class Told(Engine):
    capabilities = Capabilities(seed=True)

    async def generate(self, request):
        return Generation("answered", text=json.dumps({**request.params, "seed": request.seed}, sort_keys=True))


class Asks(Judge):
    def requests(self, judged):
        return [JudgeRequest([{"role": "user", "content": "good?"}], {"max_tokens": 9})]

    def score(self, judged, replies):
        return Score(1.0, details={"said": replies[0].generation.text})


@hookimpl
def themis_register_engines(register):
    register("told", Told)


@hookimpl
def themis_register_judges(register):
    register("asks", Asks)
"""
MODEL = {"model_id": "m", "provider": "mine/told"}
SPEC: dict[str, Any] = {
    "project": {"project_name": "p", "plugins": {"mine": "mine.py"}},
    "benchmark": {
        "benchmark_id": "b",
        "models": [MODEL],
        "prompt_variants": [{"id": "v", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {
                    "source": "files/inline",
                    "fields": {"reference": "gold"},
                    "extras": {"rows": [{"id": "a", "q": "1+1?", "gold": "2"}]},
                },
                "generation": {},
                "scores": [{"name": "says", "metrics": ["text/exact_match"]}],
            }
        ],
    },
}


def written(folder: Path, own: Any = None, grid: Any = None, **changes: Any) -> Path:
    """A spec file with one model that has settings of its own, and a second that has none."""
    (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
    data = copy.deepcopy(SPEC)
    first = {**MODEL, **({} if own is None else {"params": own})}
    data["benchmark"] |= {"models": [first, {**MODEL, "model_id": "plain"}], **changes}
    if grid is not None:
        data["benchmark"]["inference_grid"] = grid
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def plan_of(path: Path) -> Plan:
    loaded = load_specs(path, None, (), None, (), None)
    made = survey(compose(loaded), loaded.place)
    made.check()
    return made


def trials(path: Path, model_id: str = "m") -> list[Trial]:
    plan = plan_of(path)
    found = [trial for endpoint in plan.endpoints() for trial in plan.trials(endpoint)]
    assert plan.count() == len(found)
    return [each for each in found if each.model_id == model_id]


GRID = {"params": {"temperature": 0, "max_tokens": 100}}
BODY = {"params": {"extra_body": {"top_a": 1, "min_a": 2}}}


@pytest.mark.parametrize(
    ("own", "grid", "sent", "labels"),
    [
        ({}, GRID, [{"temperature": 0.0, "max_tokens": 100}], ["temperature=0.0, max_tokens=100"]),
        ({"leave_out": ["temperature"]}, GRID, [{"max_tokens": 100}], ["max_tokens=100"]),
        ({"leave_out": ["temperature", "max_tokens"]}, GRID, [{}], ["default"]),
        ({"rename": {"max_tokens": "max_completion_tokens"}, "leave_out": ["temperature"]}, GRID,
         [{"extra_body": {"max_completion_tokens": 100}}], ["extra_body.max_completion_tokens=100"]),
        ({"set": {"reasoning_effort": "low"}}, GRID,
         [{"temperature": 0.0, "max_tokens": 100, "reasoning_effort": "low"}],
         ["temperature=0.0, max_tokens=100, reasoning_effort=low"]),
        ({"set": {"max_tokens": 4000}}, GRID, [{"temperature": 0.0, "max_tokens": 4000}],
         ["temperature=0.0, max_tokens=4000"]),
        # its own value goes under the new name as well
        ({"set": {"max_tokens": 4000}, "rename": {"max_tokens": "max_new_tokens"}}, GRID,
         [{"temperature": 0.0, "extra_body": {"max_new_tokens": 4000}}],
         ["temperature=0.0, extra_body.max_new_tokens=4000"]),
        # settings that become equal are asked once
        ({"leave_out": ["temperature"]}, {"params": {"top_k": 3}, "overrides": {"temperature": [0, 0.5, 1]}},
         [{"top_k": 3}], ["top_k=3"]),
        ({"set": {"temperature": 1}}, {"params": {}, "overrides": {"temperature": [0, 0.5], "top_k": [1, 2]}},
         [{"temperature": 1.0, "top_k": 1}, {"temperature": 1.0, "top_k": 2}],
         ["temperature=1.0, top_k=1", "temperature=1.0, top_k=2"]),
        # only some of the grid's settings have it
        ({"leave_out": ["top_p"]}, {"params": [{"top_p": 0.5}, {"top_k": 3}]}, [{}, {"top_k": 3}],
         ["default", "top_k=3"]),
        # keys of the body
        ({"leave_out": ["extra_body.top_a"]}, BODY, [{"extra_body": {"min_a": 2}}], ["extra_body.min_a=2"]),
        ({"leave_out": ["extra_body"]}, BODY, [{}], ["default"]),
        ({"set": {"extra_body": {"top_a": 9}}}, BODY, [{"extra_body": {"top_a": 9, "min_a": 2}}],
         ["extra_body.min_a=2, extra_body.top_a=9"]),
        ({"rename": {"extra_body.top_a": "topA"}}, BODY, [{"extra_body": {"min_a": 2, "topA": 1}}],
         ["extra_body.min_a=2, extra_body.topA=1"]),
        ({"rename": {"stop": "stop_sequences"}}, {"params": {"stop": "x"}},
         [{"extra_body": {"stop_sequences": ["x"]}}], ['extra_body.stop_sequences=["x"]']),
    ],
)  # fmt: skip
def test_a_model_is_sent_its_own_settings_and_the_label_says_them(
    own: Any, grid: Any, sent: list[dict[str, Any]], labels: list[str], tmp_path: Path
) -> None:
    path = written(tmp_path, own, grid)
    found = trials(path)
    assert [each.requests[0].params for each in found] == sent
    assert [each.params for each in found] == labels
    plain = trials(path, "plain")
    assert [each.requests[0].params for each in plain] == [
        each.given() for each in plan_of(path).slices[0].composed.params
    ]


def test_what_is_sent_alike_has_one_key_however_it_is_written(tmp_path: Path) -> None:
    grid = {"params": {"max_tokens": 9}}
    (by_grid,) = trials(written(tmp_path, None, grid))
    (by_model,) = trials(written(tmp_path, {"set": {"max_tokens": 9}}, {"params": {}}))
    (left_out,) = trials(written(tmp_path, {"leave_out": ["top_k"]}, {"params": {"max_tokens": 9, "top_k": 3}}))
    (renamed,) = trials(written(tmp_path, {"rename": {"max_tokens": "limit"}}, grid))
    assert by_grid.key == by_model.key == left_out.key
    assert (by_grid.trial_id == by_model.trial_id, by_grid.key == renamed.key) == (True, False)


def test_another_rule_for_one_model_leaves_the_others_their_answers(tmp_path: Path) -> None:
    before = written(tmp_path, None, GRID)
    first, other = trials(before), trials(before, "plain")
    path = written(tmp_path, {"leave_out": ["temperature"]}, GRID)
    assert [each.key for each in trials(path)] != [each.key for each in first]
    assert [each.key for each in trials(path, "plain")] == [each.key for each in other]


def test_no_seed_is_sent_to_a_model_that_leaves_it_out(tmp_path: Path) -> None:
    path = written(tmp_path, {"leave_out": ["seed"]}, {"params": {"seed": 5}}, num_samples=3)
    assert [(each.requests[0].seed, each.requests[0].params) for each in trials(path)] == [(None, {})] * 3
    assert len({each.key for each in trials(path)}) == 3
    assert all(each.requests[0].seed is not None for each in trials(path, "plain"))
    derived = written(tmp_path, {"leave_out": ["seed"]}, num_samples=3)  # the grid has none, and they would derive
    assert [each.requests[0].seed for each in trials(derived)] == [None] * 3


@pytest.mark.parametrize(
    ("own", "place", "told"),
    [
        ({"leave_out": ["top_k"]}, "models[0].params.leave_out[0]", "'top_k' can't be left out: no setting of its"),
        ({"leave_out": ["temperature", "min_p"]}, "models[0].params.leave_out[1]", "'min_p' can't be left out"),
        ({"rename": {"top_k": "topK"}}, "models[0].params.rename.top_k", "'top_k' can't be renamed: no setting of its"),
        ({"leave_out": ["extra_body.top_a"]}, "models[0].params.leave_out[0]", "'extra_body.top_a' can't be left out"),
        ({"rename": {"max_tokens": "limit"}, "set": {"extra_body": {"limit": 3}}}, "models[0].params.rename",
         "'max_tokens' can't be sent as 'limit': extra_body has a 'limit' already"),
        ({"rename": {"max_tokens": "top_k"}}, "models[0].params", "can't become 'top_k'"),
        ({"rename": {"max_tokens": "a.b"}}, "models[0].params", "can't become 'a.b'"),
        ({"rename": {"max_tokens": "x", "temperature": "x"}}, "models[0].params", "two settings one name"),
        ({"rename": {"seed": "random_seed"}}, "models[0].params", "each sample has one of its own"),
        ({"rename": {"n": "count"}}, "models[0].params", "budgets have to know"),
        ({"leave_out": ["temprature"]}, "models[0].params", "no such setting 'temprature'"),
        ({"rename": {"maxtokens": "x"}}, "models[0].params", "Did you mean 'max_tokens'?"),
        ({"leave_out": ["temperature"], "set": {"temperature": 1}}, "models[0].params", "keep one"),
        ({"leave_out": ["temperature"], "rename": {"temperature": "t"}}, "models[0].params", "keep one"),
        ({"temperature": 1}, "models[0].params", "write it as `set: {temperature: ...}`"),
        ({"set": {"temperature": None}}, "models[0].params.set", "write `leave_out: [temperature]`"),
        ({"set": {"temperature": -1}}, "models[0].params.set.temperature", "should be at least 0"),
    ],
)  # fmt: skip
def test_a_rule_that_does_nothing_or_too_much_is_refused_with_its_place(
    own: Any, place: str, told: str, tmp_path: Path
) -> None:
    path = written(tmp_path, own, GRID)
    with pytest.raises(SpecError) as caught:
        plan_of(path)
    assert (caught.value.loc, caught.value.path) == (place, str(path))
    lines = path.read_text("utf-8").splitlines()
    assert caught.value.line is not None
    assert lines.index("  - model_id: m") < caught.value.line - 1 < lines.index("  - model_id: plain")
    assert told in str(caught.value)


def test_a_name_that_another_slice_sets_may_be_left_out(tmp_path: Path) -> None:
    slices = [
        {**SPEC["benchmark"]["slices"][0], "slice_id": "t"},
        {**SPEC["benchmark"]["slices"][0], "generation": {"inference_grid": {"params": {"top_k": 3}}}},
    ]
    found = trials(written(tmp_path, {"leave_out": ["top_k"]}, GRID, slices=slices))
    assert [each.params for each in found] == ["temperature=0.0, max_tokens=100", "default"]


def test_a_spec_with_own_settings_is_read_back_as_it_was() -> None:
    own = ModelParamsSpec.model_validate({"set": {"top_k": 3}, "leave_out": ["seed"], "rename": {"max_tokens": "m"}})
    assert ModelParamsSpec.model_validate(own.canonical()) == own
    assert own.canonical() == {"set": {"top_k": 3}, "leave_out": ["seed"], "rename": {"max_tokens": "m"}}


def judged(folder: Path, own: Any, **inference: Any) -> Path:
    judge = {"model": {**MODEL, "model_id": "j", "params": own}, **inference}
    slices = copy.deepcopy(SPEC["benchmark"]["slices"])
    slices[0]["scores"] = [{"name": "graded", "metrics": [{"id": "mine/asks", "judge": judge}]}]
    return written(folder, slices=slices)


def said_by_judge(path: Path) -> list[str]:
    result = themis.run(path)
    with themis.open_results(path) as results:
        keys = [each.trial_id for each in results.trials(result.run_id)]
        trails = [results.trial(result.run_id, each) for each in keys]
    return [score["result"]["details"]["said"] for trail in trails for score in trail["scores"]]


def test_a_judging_model_has_its_own_settings_as_well(tmp_path: Path) -> None:
    own = {"leave_out": ["temperature"], "rename": {"max_tokens": "max_completion_tokens"}}
    path = judged(tmp_path, own, params={"temperature": 0})
    assert said_by_judge(path) == ['{"extra_body": {"max_completion_tokens": 9}, "seed": null}'] * 2
    plain = judged(tmp_path, {}, params={"temperature": 0})
    assert said_by_judge(plain) == ['{"max_tokens": 9, "seed": null, "temperature": 0.0}'] * 2


def test_a_rule_of_a_judging_model_that_does_nothing_is_refused(tmp_path: Path) -> None:
    path = judged(tmp_path, {"leave_out": ["top_k"]}, params={"temperature": 0})
    with pytest.raises(SpecError, match="neither its `params` nor the judge sets it") as caught:
        plan_of(path)
    assert caught.value.loc == "slices[0].scores[0].metrics[0].judge[0].model.params.leave_out[0]"
    assert caught.value.line is not None


def test_the_plan_and_the_results_say_what_each_model_is_sent(tmp_path: Path) -> None:
    own = {"leave_out": ["temperature"], "rename": {"max_tokens": "max_completion_tokens"}}
    path = written(tmp_path, own, GRID)
    labels = {"m": "extra_body.max_completion_tokens=100", "plain": "temperature=0.0, max_tokens=100"}
    rows = themis.plan(path).per_model
    assert {row["model_id"]: row["params"] for row in rows} == {name: [label] for name, label in labels.items()}
    assert {row["model_id"]: row["max_output_tokens"] for row in rows} == {"m": 100, "plain": 100}
    shown = CliRunner().invoke(cli, ["plan", str(path)])
    assert (shown.exit_code, "Settings by model" in shown.output) == (0, True)
    assert re.search(r"^m +extra_body\.max_completion_tokens=100$", shown.output, re.MULTILINE)
    result = themis.run(path)
    assert {row.model_id: row.params for row in result.scores} == labels
    assert all(label in result.table() for label in labels.values())


def test_texts_that_are_cut_for_a_label_stay_apart() -> None:
    one, other = (InferenceParamsSpec(stop=["a" * 80 + each]).label() for each in "xy")
    assert one != other
    assert len(one) < 60


def test_two_labels_of_one_model_may_differ_by_their_settings_alone(tmp_path: Path) -> None:
    models = [
        {**MODEL, "model_id": f"m, {effort}", "model": "m", "params": {"set": {"reasoning_effort": effort}}}
        for effort in ("low", "high")
    ]
    path = written(tmp_path, models=models)
    found = [
        (each.model_id, each.params, each.requests[0].model_id) for m in models for each in trials(path, m["model_id"])
    ]
    assert found == [("m, low", "reasoning_effort=low", "m"), ("m, high", "reasoning_effort=high", "m")]
    same = written(tmp_path, models=[{**MODEL, "model_id": "n", "model": "m"}, {**models[0], "params": {}}])
    with pytest.raises(SpecError, match="are one"):
        plan_of(same)
