"""Calls of tools against what is expected."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import themis_core as themis
from themis_core import Generation, Item, Metric, Plugins
from themis_core.testing.metric import MetricSuite
from themis_core.testing.server import ScriptedServer
from themis_plugin_tools.calls import Calls


class TestCalls(MetricSuite):
    @pytest.fixture(params=[Calls(), Calls(arguments="ignored"), Calls(partial=True, in_order=True)], ids=repr)
    def metric(self, request: pytest.FixtureRequest) -> Metric:
        metric: Metric = request.param
        return metric

    @pytest.fixture
    def item(self) -> Item:
        return Item("1", {}, {"name": "look_up", "arguments": {"place": "Oslo"}})

    @pytest.fixture
    def values(self) -> Sequence[Any]:
        return [{"name": "look_up", "arguments": {"place": "Oslo"}}, {"name": "guess"}, "text", ""]


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def wanted(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


A, B = wanted("a", x=1), wanted("b", y=[1, {"z": None}])
MADE_A, MADE_B = call("a", x=1), call("b", y=[1, {"z": None}])


@pytest.mark.parametrize(
    ("config", "reference", "made", "value"),
    [
        ({}, A, [MADE_A], 1),
        ({}, A, [call("a", x=1.0)], 1),
        ({}, A, [call("a", x=True)], 0),
        ({}, A, [call("a", x=1, more=2)], 0),
        ({"arguments": "contain"}, A, [call("a", x=1, more=2)], 1),
        ({"arguments": "contain"}, A, [call("a", more=2)], 0),
        ({"arguments": "ignored"}, A, [call("a", x=7)], 1),
        ({"arguments": "ignored"}, A, [call("b", x=1)], 0),
        ({"tolerance": 0.1}, A, [call("a", x=1.05)], 1),
        ({}, json.dumps([A, B]), [MADE_B, MADE_A], 1),
        ({"in_order": True}, [A, B], [MADE_B, MADE_A], 0),
        ({"in_order": True, "partial": True}, [A, B], [MADE_B, MADE_A], 1 / 2),
        ({"partial": True}, [A, B], [MADE_A], 1 / 2),
        ({"partial": True}, [A], [MADE_A, MADE_A], 1 / 2),  # one too many
        ({}, [A, A], [MADE_A, MADE_A], 1),
        ({}, [], [], 1),
        ({}, [], [MADE_A], 0),
        ({}, A, [], 0),
        ({}, {"function": {"name": "a", "arguments": '{"x": 1}'}}, [MADE_A], 1),
        ({}, wanted("a"), [{"function": {"name": "a", "arguments": ""}}], 1),
        ({}, wanted("a"), [{"function": {"name": "a", "arguments": "{broken"}}], 0),
        ({"arguments": "contain"}, [A, wanted("a", x=1, y=2)], [call("a", x=1, y=2), call("a", x=1)], 1),
    ],
)  # fmt: skip
def test_calls_are_right(config: dict[str, Any], reference: Any, made: list[dict[str, Any]], value: float) -> None:
    item, answer = Item("1", {}, reference), Generation("answered", tool_calls=tuple(made))
    metric = Calls.model_validate(config)
    assert metric.unscorable(item) is None
    assert metric.score(item, answer, "").value == pytest.approx(value)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (None, "no_reference"),
        ("look up", "bad_reference"),
        (7, "bad_reference"),
        ([{"arguments": {}}], "bad_reference"),
        ({"name": "a", "arguments": "x"}, "bad_reference"),
        ([A] * 201, "too_large"),
    ],
)
def test_a_reference_that_is_no_calls_is_told_before_the_run(reference: Any, reason: str) -> None:
    assert Calls().unscorable(Item("1", {}, reference)) == reason


def test_what_was_wrong_is_told() -> None:
    score = Calls().score(Item("1", {}, [A, B]), Generation("answered", tool_calls=(MADE_A,)), "")
    assert (score.value, score.details) == (0.0, {"called": ["a"], "right": 1})


def test_the_plugin_registers_it() -> None:
    assert Plugins().load("tools").offers["metric"] == {"calls": Calls}


def test_the_example_of_the_readme_is_valid() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    (block,) = readme.split("```yaml\n")[1:]
    (score,) = yaml.safe_load(block.partition("```")[0])["scores"]
    assert Calls.model_validate(score["metrics"][0]["config"]).arguments == "contain"
    assert {name for name in Calls.model_fields if f"`{name}`" not in readme} == set()


def test_a_model_that_only_calls_is_scored_over_the_wire(tmp_path: Path) -> None:
    output = {"content": None, "tool_calls": [MADE_A], "finish_reason": "tool_calls"}
    tool = {"type": "function", "function": {"name": "a", "parameters": {"type": "object"}}}
    with ScriptedServer({"answers": {"rule": "constant", "output": output}}) as server:
        rows = [{"id": "1", "q": "?", "gold": A}, {"id": "2", "q": "!", "gold": []}]
        benchmark = {
            "benchmark_id": "called",
            "models": [{"model_id": "m", "provider": "openai/chat",
                        "extras": {"base_url": server.base_url, "api_key_env": None}}],
            "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
            "inference_grid": {"params": {"tools": [tool], "tool_choice": "auto"}},
            "slices": [{
                "slice_id": "s", "generation": {},
                "dataset": {"source": "files/inline", "extras": {"rows": rows}, "fields": {"reference": "gold"}},
                "scores": [{"name": "tools", "metrics": ["tools/calls"]}],
            }],
        }  # fmt: skip
        file = tmp_path / "called.yaml"
        file.write_text(yaml.safe_dump({"benchmark": benchmark}))
        result = themis.run(file)
        assert server.requests()[0].body["tools"] == [tool]
    assert [(row.value, row.n, row.failed) for row in result.scores] == [(0.5, 2, 0)]


def test_calls_may_stand_in_a_message() -> None:
    item = Item("1", {}, {"role": "assistant", "content": None, "tool_calls": [MADE_A, MADE_B]})
    metric = Calls()
    assert metric.unscorable(item) is None
    assert metric.score(item, Generation("answered", tool_calls=(MADE_A, MADE_B)), "").value == 1
    assert metric.score(item, Generation("answered", text="..."), {"tool_calls": [A, B]}).value == 1
    assert metric.score(item, Generation("answered", text="..."), {"tool_calls": [A]}).value == 0
