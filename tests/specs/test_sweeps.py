"""Dotted names in `overrides`: parts of settings, crossed with the rest, told apart, and refused in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

import themis_core as themis
from themis_core import InferenceGridSpec, InferenceParamsSpec
from themis_core.testing.server import ScriptedServer

SWEEPS: list[tuple[dict[str, Any], list[dict[str, Any]], list[str]]] = [
    (
        {"overrides": {"extra_body.top_k": [20, 40]}},
        [{"extra_body": {"top_k": 20}}, {"extra_body": {"top_k": 40}}],
        ["extra_body.top_k=20", "extra_body.top_k=40"],
    ),
    (
        {"overrides": {"extras.reasoning_effort": ["low", "high"]}},
        [{"extras": {"reasoning_effort": "low"}}, {"extras": {"reasoning_effort": "high"}}],
        ["extras.reasoning_effort=low", "extras.reasoning_effort=high"],
    ),
    (  # beside what `params` set, each crossed with each
        {
            "params": [{"max_tokens": 5, "extra_body": {"user": "lab"}}, {"max_tokens": 6}],
            "overrides": {"extra_body.top_k": [1, 2]},
        },
        [
            {"max_tokens": 5, "extra_body": {"user": "lab", "top_k": 1}},
            {"max_tokens": 5, "extra_body": {"user": "lab", "top_k": 2}},
            {"max_tokens": 6, "extra_body": {"top_k": 1}},
            {"max_tokens": 6, "extra_body": {"top_k": 2}},
        ],
        [
            "max_tokens=5, extra_body.top_k=1, extra_body.user=lab",
            "max_tokens=5, extra_body.top_k=2, extra_body.user=lab",
            "max_tokens=6, extra_body.top_k=1",
            "max_tokens=6, extra_body.top_k=2",
        ],
    ),
    (  # further in
        {"overrides": {"extra_body.chat_template_kwargs.enable_thinking": [True, False]}},
        [{"extra_body": {"chat_template_kwargs": {"enable_thinking": value}}} for value in (True, False)],
        [f"extra_body.chat_template_kwargs.enable_thinking={value}" for value in ("true", "false")],
    ),
    (  # an override replaces what `params` set, as without a dot
        {"params": [{"extra_body": {"top_k": 5}}], "overrides": {"extra_body.top_k": [5, 7]}},
        [{"extra_body": {"top_k": 5}}, {"extra_body": {"top_k": 7}}],
        ["extra_body.top_k=5", "extra_body.top_k=7"],
    ),
    (  # two parts of one whole, the last name fastest
        {"overrides": {"extra_body.a": [1, 2], "extra_body.b": ["x", "y"]}},
        [{"extra_body": {"a": a, "b": b}} for a in (1, 2) for b in ("x", "y")],
        [f"extra_body.a={a}, extra_body.b={b}" for a in (1, 2) for b in ("x", "y")],
    ),
    (  # with a plain one
        {"overrides": {"temperature": [0.0, 1.0], "extras.beams": [4]}},
        [{"temperature": 0.0, "extras": {"beams": 4}}, {"temperature": 1.0, "extras": {"beams": 4}}],
        ["temperature=0.0, extras.beams=4", "temperature=1.0, extras.beams=4"],
    ),
    (
        {"overrides": {"response_format.type": ["text", "json_object"]}},
        [{"response_format": {"type": "text"}}, {"response_format": {"type": "json_object"}}],
        ['response_format={"type":"text"}', 'response_format={"type":"json_object"}'],
    ),
    (  # equal values are one setting
        {"overrides": {"extra_body.top_k": [3, 3]}},
        [{"extra_body": {"top_k": 3}}],
        ["extra_body.top_k=3"],
    ),
]


@pytest.mark.parametrize(("grid", "settings", "labels"), SWEEPS)
def test_a_dotted_name_sweeps_a_part(grid: dict[str, Any], settings: list[dict[str, Any]], labels: list[str]) -> None:
    expanded = InferenceGridSpec.model_validate(grid).expand()
    assert [each.given() for each in expanded] == settings
    assert [each.label() for each in expanded] == labels


DIFFERENT: list[dict[str, Any]] = [
    {},
    {"extra_body": {"a": 1}},
    {"extra_body": {"a": "1"}},
    {"extra_body": {"a": True}},
    {"extra_body": {"a": "true"}},
    {"extra_body": {"a": None}},
    {"extra_body": {"a": "null"}},
    {"extra_body": {"a": {"b": 1}}},
    {"extra_body": {"a.b": 1}},
    {"extra_body": {"a": {}}},
    {"extra_body": {"a": "1, extra_body.b=2"}},
    {"extra_body": {"a": 1, "b": 2}},
    {"extras": {"a": 1}},
    {"extra_body": {"a": "x" * 50 + "1"}},
    {"extra_body": {"a": "x" * 50 + "2"}},
    {"stop": ["y" * 50 + "1"]},
    {"stop": ["y" * 50 + "2"]},
    {"top_k": 1},
    {"extra_body": {"top_k": 1}},
    {"extras": {"top_k": 1}},
]


@pytest.mark.parametrize(("one", "other"), list(combinations(DIFFERENT, 2)))
def test_different_settings_have_different_labels(one: dict[str, Any], other: dict[str, Any]) -> None:
    labels = [InferenceParamsSpec.model_validate(each).label() for each in (one, other)]
    assert labels[0] != labels[1]
    assert all(len(label) < 80 for label in labels)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"overrides": {"extra_bdy.top_k": [1]}}, "overrides.extra_bdy.top_k: no such inference setting"),
        ({"overrides": {"temperature.x": [1]}}, "temperature has no parts"),
        ({"overrides": {"stop.0": ["a"]}}, "stop has no parts"),
        ({"overrides": {"extra_body.": [1]}}, "a name is missing"),
        ({"overrides": {"extra_body..a": [1]}}, "a name is missing"),
        ({"overrides": {"extra_body.a": []}}, "leaves nothing to run"),
        ({"overrides": {"extra_body": [{"a": 1}], "extra_body.b": [2]}}, "overrides.extra_body sets it as well"),
        ({"overrides": {"extra_body.a": [{}], "extra_body.a.b": [2]}}, "overrides.extra_body.a sets it as well"),
        ({"overrides": {"top_k": [1], "extra_body.top_k": [2]}}, "extra_body.top_k: top_k sets the same"),
        ({"overrides": {"extras.a": [1], "extra_body.a": [2]}}, "extras.a: extra_body.a sets the same"),
        ({"params": [{"top_k": 1}], "overrides": {"extras.top_k": [2]}}, "extras.top_k: top_k sets the same"),
        ({"params": [{"top_k": 1, "extra_body": {"top_k": 2}}]}, "extra_body.top_k: top_k sets the same"),
        ({"params": [{"extra_body": {"a": 1}}], "overrides": {"extra_body.a.b": [2]}}, "a is set in `params`"),
        ({"overrides": {"extra_body.api_key": ["abcdefgh12345678"]}}, "key"),
    ],
)
def test_a_name_that_can_not_be_swept_is_refused(grid: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as found:
        InferenceGridSpec.model_validate(grid)
    assert message in str(found.value)


ENGINES = """
from themis_core import Engine, Generation, hookimpl


class Plain(Engine):
    async def generate(self, request):
        return Generation("answered", text=str(request.params))


class Beams(Plain):
    def check_params(self, params):
        if unknown := sorted(params.get("extras", {}).keys() - {"beams"}):
            raise ValueError(f"it has no setting {', '.join(unknown)}: it has beams")


class Broken(Plain):
    def check_params(self, params):
        raise RuntimeError("a bug")


@hookimpl
def themis_register_engines(register):
    register("plain", Plain)
    register("beams", Beams)
    register("broken", Broken)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer({"answers": {"rule": "echo"}}) as running:
        yield running


def write(folder: Path, grid: str, model: dict[str, Any], **changes: Any) -> Path:
    (folder / "engines.py").write_text(ENGINES)
    row = {"id": "1", "q": "a", "gold": "a"}
    data = {
        "project": {"plugins": {"mine": "engines.py"}},
        "benchmark": {
            "benchmark_id": "sweeps",
            "models": [{"model_id": "m", **model}],
            "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
            "inference_grid": yaml.safe_load(grid),
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {"source": "files/inline", "extras": {"rows": [row]}, "fields": {"reference": "gold"}},
                    "generation": {},
                    "scores": [{"name": "exact", "metrics": ["text/exact_match"]}],
                }
            ],
            **changes,
        },
    }
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_a_server_is_sent_what_is_swept_and_each_setting_has_a_row(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"answers": {"rule": "echo"}})
    model = {"provider": "openai/chat", "extras": {"base_url": server.base_url, "api_key_env": None}}
    grid = "overrides: {extra_body.top_k: [20, 40], extras.reasoning_effort: [low, high]}"
    path = write(tmp_path, grid, model)
    result = themis.run(path)
    sent = sorted((each.body["top_k"], each.body["reasoning_effort"]) for each in server.requests())
    assert sent == [(20, "high"), (20, "low"), (40, "high"), (40, "low")]
    assert {row.params for row in result.scores} == {
        f"extra_body.top_k={k}, extras.reasoning_effort={effort}" for k in (20, 40) for effort in ("low", "high")
    }
    wider = "overrides: {extra_body.top_k: [20, 40, 60], extras.reasoning_effort: [low, high]}"
    assert themis.run(write(tmp_path, wider, model)).generated == 2  # the keys hold each setting: four are stored


@pytest.mark.parametrize(
    ("provider", "grid", "message"),
    [
        ("mine/plain", "overrides: {extras.beams: [1, 2]}", "it takes no extras, so beams would change nothing"),
        ("mine/plain", "{params: [{extras: {a: 1, b: 2}}]}", "it takes no extras, so a, b would change nothing"),
        ("mine/beams", "overrides: {extras.beam: [1]}", "it has no setting beam: it has beams"),
        ("openai/chat", "overrides: {extra_body.stream: [true]}", "take `stream` out of extra_body"),
        ("openai/chat", "overrides: {extra_body.model: [a, b]}", "can't set model"),
        ("openai/chat", "overrides: {extras.messages: [[]]}", "can't set messages"),
        ("openai/completions", "{params: [{tools: [{type: function}]}]}", "tools"),
    ],
)
def test_what_an_engine_does_not_take_is_refused_before_the_first_call(
    tmp_path: Path, provider: str, grid: str, message: str
) -> None:
    extras = {"base_url": "http://127.0.0.1:9/v1", "api_key_env": None} if provider.startswith("openai") else {}
    path = write(tmp_path, grid, {"provider": provider, "extras": extras})
    with pytest.raises(themis.SpecError) as found:
        themis.plan(path)
    assert message in str(found.value)
    assert str(path) in str(found.value)


def test_a_judges_engine_refuses_its_settings_as_well(tmp_path: Path) -> None:
    judge = {"model": {"model_id": "j", "provider": "mine/plain"}, "params": {"extras": {"beams": 1}}}
    path = write(tmp_path, "{}", {"provider": "mine/plain"})
    data = yaml.safe_load(path.read_text())
    data["benchmark"]["slices"][0]["scores"][0]["metrics"] = [{"id": "judge/correctness", "judge": judge}]
    path.write_text(json.dumps(data))
    with pytest.raises(themis.SpecError, match="it takes no extras"):
        themis.plan(path)


@pytest.mark.parametrize(
    ("own", "grid", "message"),
    [
        ({"set": {"extra_body": {"top_k": 5}}}, "overrides: {top_k: [1]}", "extra_body.top_k: top_k sets the same"),
        ({"set": {"top_k": 5}}, "overrides: {extras.top_k: [1]}", "extras.top_k: top_k sets the same"),
        ({"rename": {"max_tokens": "limit"}}, "params: {max_tokens: 5, extras: {limit: 6}}", "extras.limit"),
        ({"rename": {"extras": "x"}}, "overrides: {extras.top_k: [1]}", "'extras' can't be renamed"),
    ],
)
def test_a_models_own_settings_do_not_set_twice_either(
    tmp_path: Path, own: dict[str, Any], grid: str, message: str
) -> None:
    extras = {"base_url": "http://127.0.0.1:9/v1", "api_key_env": None}
    path = write(tmp_path, grid, {"provider": "openai/chat", "extras": extras, "params": own})
    with pytest.raises(themis.SpecError) as found:
        themis.plan(path)
    assert message in str(found.value)
    assert str(path) in str(found.value)


def test_a_bug_in_check_params_is_the_plugins(tmp_path: Path) -> None:
    with pytest.raises(themis.PluginError, match="mine/broken failed at check_params: RuntimeError: a bug"):
        themis.plan(write(tmp_path, "{}", {"provider": "mine/broken"}))


def test_an_engine_may_take_extras_of_its_own(tmp_path: Path) -> None:
    result = themis.run(write(tmp_path, "overrides: {extras.beams: [1, 2]}", {"provider": "mine/beams"}))
    assert [row.params for row in result.scores] == ["extras.beams=1", "extras.beams=2"]
