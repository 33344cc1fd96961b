"""`python/callable`: what code may look like and return, what it is handed, and what its faults cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import Engine, EngineError, Generation, Request, SpecError, Step, Usage
from themis_core.testing.engine import EngineSuite, outcomes
from themis_plugin_python.engine import CallableEngine

APP = """
import asyncio
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from themis_core import EngineError, Generation, Step, Usage
from themis_plugin_python import Steps

HERE = Path(__file__).parent


def answer(question):
    if question == "fail":
        raise ValueError("no such thing")
    return f"said {question}"


async def waits(question):
    return answer(question)


def everything(item, question, steps, sample, seed, item_id, model, params, messages, prompt, metadata, reference=None):
    return repr([item, question, sample, item_id, model, params, messages, prompt, metadata, reference])


def optional(question, context="nothing"):
    return f"{question} with {context}"


def any_field(**fields):
    return repr(fields)


def pieces(question):
    yield "said "
    yield Step("tool_call", "f")
    yield question


async def async_pieces(question):
    yield "said "
    yield question


def as_dict(question):
    return {"text": "d", "usage": {"input_tokens": 1}, "cost": 0.25, "steps": [{"kind": "model", "name": "m"}]}


def as_generation(question):
    return Generation("truncated", "g", usage=Usage(1, 2), steps=(Step("message", "s"),), provider={"id": {1, 2}})


class Odd:
    def __float__(self):
        raise ValueError

    def __str__(self):
        return "odd"


def with_steps(question, steps):
    steps.add("retrieval", "index", question, [Odd(), float("inf"), {1}], cost=0.5, usage={"input_tokens": 3})
    try:
        with steps.step("tool_call", "f", {"a": 1}) as step:
            step.cost, step.usage = 0.25, Usage(2, 1)
            raise KeyError("x")
    except KeyError:
        pass
    return question


class Chain:
    def __init__(self, greeting, *, log=None):
        self.greeting, self.log = greeting, log
        self._tell("made")

    def _tell(self, what):
        if self.log:
            with (HERE / self.log).open("a") as file:
                file.write(what + "\\n")

    def answer(self, question):
        self._tell("called")
        return self.greeting + question

    def close(self):
        self._tell("closed")


class Broken:
    def __init__(self):
        raise RuntimeError("no index")

    def __call__(self, question):
        return question


class NoMethod:
    pass


class AsyncChain:
    async def __call__(self, question):
        return question

    async def aclose(self):
        (HERE / "aclosed").touch()


chain = Chain("hi ")


def refused(question):
    raise EngineError("rate_limited", "slow down", retryable=True, retry_after=0.5)


def flaky(question):
    mark = HERE / "attempts"
    with mark.open("a") as file:
        file.write("x")
    if len(mark.read_text()) < 3:
        raise ConnectionResetError("gone")
    return "at last"


def hostile(question):
    if question == "exit":
        sys.exit("bye")
    if question == "hard exit":
        os._exit(7)
    if question == "hang":
        time.sleep(60)
    if question == "base":
        raise BaseException("base")
    if question == "interrupt":
        raise KeyboardInterrupt
    if question == "crash":
        os.kill(os.getpid(), 11)
    if question == "none":
        return None
    if question == "bytes":
        return b"x"
    if question == "keys":
        return {"answer": "x"}
    if question == "no text":
        return {"text": None}
    if question == "usage":
        return {"text": "x", "usage": {"tokens": 3}}
    if question == "failed":
        return Generation("failed", error_code="overloaded", error="busy")
    if question == "recursion":
        return hostile(question)
    if question == "steps":
        return {"text": "x", "steps": [{"kind": "nothing"}]}
    if question == "nan cost":
        return {"text": "x", "cost": float("nan")}
    if question == "step kind":
        Steps().add("thought")
    if question == "returned kind":
        return {"text": "x", "steps": [{"kind": "thought"}]}
    if question == "text for steps":
        return {"text": "x", "steps": "abc"}
    print("noise")
    os.write(1, b"raw noise")
    return "fine"


async def cancels(question):
    raise asyncio.CancelledError("mine")


def paid(question, steps):
    steps.add("model", "m", "in", "out", cost=0.5, usage={"input_tokens": 3})
    steps.add("tool_call", "t")
    if question == "half":
        steps.add("model", "of unknown cost")
    if question == "fail":
        raise ValueError("after that")
    if question == "own":
        raise EngineError("overloaded", "busy", cost=2.0)
    return "x"


def mutates(item, messages):
    item.clear()
    messages.clear()
    return "x"


def positional(question, /):
    return question


def starred(question, *rest):
    return question + repr(rest)


not_callable = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def request(question: str = "q", **more: Any) -> Request:
    return Request("m", [], item={"question": question}, item_id="1", **more)


def called(folder: Path, call: str, *requests: Request, **config: Any) -> list[Generation | EngineError]:
    engine = CallableEngine(call=f"app.py:{call}", **config)
    engine.check(folder)
    return outcomes(engine, requests or [request()])


def text(outcome: Generation | EngineError) -> str:
    assert isinstance(outcome, Generation), outcome
    return outcome.text


class TestProcess(EngineSuite):
    runs_in = "process"
    name = "answer"

    @pytest.fixture
    def base_dir(self, folder: Path) -> Path:
        return folder

    @pytest.fixture
    def engine(self) -> Engine:
        return CallableEngine.model_validate({"call": f"app.py:{self.name}", "runs_in": self.runs_in, "at_once": 2})

    @pytest.fixture
    def asked(self) -> Request:
        return request()

    @pytest.fixture
    def failing(self) -> Request:
        return request("fail")


class TestThread(TestProcess):
    runs_in = "thread"


class TestAsync(TestProcess):
    runs_in = "async"
    name = "waits"


WAYS: list[tuple[str, dict[str, Any], str]] = [
    ("answer", {}, "said q"),
    ("answer", {"runs_in": "thread"}, "said q"),
    ("waits", {}, "said q"),
    ("waits", {"runs_in": "process"}, "said q"),
    ("pieces", {"runs_in": "thread"}, "said q"),
    ("async_pieces", {}, "said q"),
    ("async_pieces", {"runs_in": "process"}, "said q"),
    ("optional", {"runs_in": "thread"}, "q with nothing"),
    ("any_field", {"runs_in": "thread"}, "{'question': 'q'}"),
    ("starred", {"runs_in": "thread"}, "q()"),
    ("Chain", {"runs_in": "thread", "config": {"greeting": "hi "}}, "hi q"),
    ("Chain", {"config": {"greeting": "hi "}}, "hi q"),
    ("chain", {"runs_in": "thread"}, "hi q"),
    ("chain.answer", {"runs_in": "thread"}, "hi q"),
    ("AsyncChain", {}, "q"),
]


@pytest.mark.parametrize(("call", "config", "said"), WAYS)
def test_functions_coroutines_generators_classes_and_objects_answer(
    folder: Path, call: str, config: dict[str, Any], said: str
) -> None:
    assert [text(each) for each in called(folder, call, request(), request(), **config)] == [said, said]


def test_code_is_handed_what_its_parameters_name(folder: Path) -> None:
    engine = CallableEngine.model_validate({"call": "app.py:everything", "runs_in": "thread", "reference": True})
    engine.check(folder)
    assert engine.item_fields == ("*", "question", "metadata", "reference?")
    assert engine.reads_prompt
    able = engine.capabilities
    assert (able.seed, able.images, able.tools) == (True, True, True)
    item = {"question": "q", "metadata": {"k": 1}, "reference": "gold"}
    messages = [{"role": "user", "content": [{"type": "text", "text": "T"}, {"type": "image_url"}]}]
    asked = Request("m", messages, {"temperature": 0.5}, "7", 2, 5, "key", item)
    assert text(outcomes(engine, [asked])[0]) == repr(
        [{"question": "q"}, "q", 2, "7", "m", {"temperature": 0.5}, messages, "T", {"k": 1}, "gold"]
    )
    plain = CallableEngine(call="app.py:answer")
    plain.check(folder)
    assert (plain.item_fields, plain.reads_prompt, plain.capabilities.seed) == (("question",), False, False)


RETURNED: list[tuple[str, Generation]] = [
    ("as_dict", Generation("answered", "d", usage=Usage(1), cost=0.25, steps=(Step("model", "m"),))),
    ("as_generation", Generation("truncated", "g", usage=Usage(1, 2), steps=(Step("message", "s"),),
                                 provider={"id": [1, 2]})),
    ("with_steps", Generation("answered", "q", usage=Usage(5, 1), cost=0.75)),
]  # fmt: skip


@pytest.mark.parametrize(("call", "expected"), RETURNED)
@pytest.mark.parametrize("runs_in", ["thread", "process"])
def test_usage_cost_and_steps_are_those_of_the_code(
    folder: Path, call: str, expected: Generation, runs_in: str
) -> None:
    (found,) = called(folder, call, runs_in=runs_in)
    assert isinstance(found, Generation)
    kept = {"status", "text", "usage", "cost", "provider"}
    assert {each: getattr(found, each) for each in kept} == {each: getattr(expected, each) for each in kept}
    if expected.steps:
        assert found.steps == expected.steps
        return
    index, tool = found.steps
    assert (index.output, index.cost) == (["odd", "inf", [1]], 0.5)
    assert (tool.name, tool.error, tool.cost) == ("f", "KeyError: 'x'", 0.25)
    assert tool.seconds is not None


FAULTS: list[tuple[str, str, str]] = [
    # the question, the code, and what is told
    ("exit", "application_error", "SystemExit: bye (app.py:"),
    ("hard exit", "application_error", "its process ended with exit code 7"),
    ("base", "application_error", "BaseException: base"),
    ("interrupt", "application_error", "KeyboardInterrupt (app.py:"),
    ("crash", "application_error", "its process was ended by SIGSEGV"),
    ("none", "application_error", "it returned None, not a text, a dict with the key 'text', or a Generation"),
    ("bytes", "application_error", "it returned bytes, not a text"),
    ("keys", "application_error", "what it returned is no generation: it has the key 'answer'; known: status, text"),
    ("no text", "application_error", "it returned a dict whose 'text' is NoneType, not a text"),
    ("usage", "application_error", "its usage has 'tokens'; known: input_tokens"),
    ("nan cost", "application_error", "Generation.cost is nan, not a finite number"),
    ("step kind", "application_error", "ValueError: a step has the kind 'thought', not one of tool_call, retrieval"),
    ("returned kind", "application_error", "one of Generation.steps has the kind 'thought', not one of tool_call"),
    ("text for steps", "application_error", "it returned steps that are str, not a list"),
    ("failed", "overloaded", "busy"),
    ("recursion", "application_error", "RecursionError: maximum recursion depth exceeded"),
]


def test_a_fault_costs_its_own_call_alone(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    asked = [each for question, _, _ in FAULTS for each in (request(question), request("fine"))]
    found = called(folder, "hostile", *asked, at_once=1)
    assert [text(each) for each in found[1::2]] == ["fine"] * len(FAULTS)
    for (question, code, told), failed in zip(FAULTS, found[::2], strict=True):
        assert isinstance(failed, EngineError), question
        assert (failed.code, told in failed.message) == (code, True), failed
        assert not failed.retryable
    assert capfd.readouterr().out == ""


def test_what_is_raised_names_the_line_of_the_users_file(folder: Path) -> None:
    line = next(n for n, each in enumerate(APP.splitlines(), 1) if "no such thing" in each)
    for config in ({}, {"runs_in": "thread"}):
        (failed,) = called(folder, "answer", request("fail"), **config)
        assert isinstance(failed, EngineError)
        assert failed.message == f"ValueError: no such thing (app.py:{line}, in answer)"


def test_an_engine_error_of_the_code_goes_on_as_it_is(folder: Path) -> None:
    (failed,) = called(folder, "refused")
    assert isinstance(failed, EngineError)
    assert (failed.code, failed.message, failed.retryable, failed.retry_after) == (
        "rate_limited", "slow down", True, 0.5,
    )  # fmt: skip


def test_steps_that_were_done_and_paid_for_before_a_failure_are_told(folder: Path) -> None:
    for runs_in in ("thread", "process"):
        asked = [request(each) for each in ("fine", "half", "fail", "own")]
        fine, half, failed, own = called(folder, "paid", *asked, runs_in=runs_in)
        assert isinstance(fine, Generation)
        assert (fine.cost, fine.usage.input_tokens, len(fine.steps)) == (0.5, 3, 2)
        assert isinstance(half, Generation)
        assert (half.cost, half.usage.input_tokens) == (None, None)  # a part is unknown, so the whole is
        assert isinstance(failed, EngineError)
        assert (failed.cost, failed.usage, len(failed.steps)) == (0.5, Usage(3), 2)
        assert isinstance(own, EngineError)
        assert (own.code, own.cost, len(own.steps)) == ("overloaded", 2.0, 2)


def test_a_cancellation_that_is_the_codes_own_is_its_failure(folder: Path) -> None:
    (failed,) = called(folder, "cancels")
    assert isinstance(failed, EngineError)
    assert (failed.code, failed.message[:21]) == ("application_error", "CancelledError: mine ")


def test_what_it_is_handed_is_its_own(folder: Path) -> None:
    asked = Request("m", [{"role": "user", "content": "x"}], item={"question": "q"})
    called(folder, "mutates", asked, runs_in="thread")
    assert (asked.messages, asked.item) == ([{"role": "user", "content": "x"}], {"question": "q"})


def test_a_class_is_made_once_for_each_process_and_closed_at_the_end(folder: Path) -> None:
    for runs_in in ("thread", "process"):
        config = {"greeting": "", "log": f"{runs_in}.log"}
        called(folder, "Chain", request(), request(), runs_in=runs_in, at_once=1, config=config)
        assert (folder / f"{runs_in}.log").read_text().split() == ["made", "called", "called", "closed"]
    called(folder, "AsyncChain")
    assert (folder / "aclosed").exists()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"call": "app"}, "is neither module:name nor path/to/file.py:name"),
    ({"call": "app.py:1x"}, "is neither module:name nor"),
    ({"call": "other.py:answer"}, r"other\.py is nothing; a Python file was expected"),
    ({"call": "no_such_module_at_all:f"}, "there is no module 'no_such_module_at_all', neither installed nor beside"),
    ({"call": "math:sqrt"}, "has no source in Python"),
    ({"call": "app.py:anwser"}, r"app\.py has no 'anwser'"),
    ({"call": "app.py:not_callable"}, "it is int, not a function or a class"),
    ({"call": "app.py:NoMethod"}, "the class NoMethod has no method `answer` or `__call__`"),
    ({"call": "app.py:positional"}, "its parameter 'question' can't be handed over by"),
    ({"call": "app.py:everything"}, "write `reference: true`"),
    ({"call": "app.py:answer", "reference": True}, "it has no parameter `reference`"),
    ({"call": "app.py:answer", "config": {"a": 1}}, "has no parameter `config`"),
    ({"call": "app.py:Chain"}, "can't be made with it: missing a required argument: 'greeting'"),
    ({"call": "app.py:Chain", "config": {"greeting": "", "colour": 1}}, "unexpected keyword argument 'colour'"),
    ({"call": "app.py:answer", "runs_in": "async"}, "async is for coroutine functions"),
    ({"call": "app.py:waits", "runs_in": "thread"}, "runs in async or process, not in a thread"),
    ({"call": "app.py:answer", "files": ["prompts/*.txt"]}, "nothing matches"),
    ({"call": "syntax.py:f"}, r"importing .*syntax\.py raised SyntaxError: .* \(syntax\.py:2\)"),
    ({"call": "raises.py:f"}, r"importing .*raises\.py raised SystemExit: 4 \(raises\.py:1, in <module>\)"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "told"), WRONG)
def test_what_is_wrong_is_found_in_planning(folder: Path, config: dict[str, Any], told: str) -> None:
    (folder / "syntax.py").write_text("x = 1\ndef f(:\n")
    (folder / "raises.py").write_text("raise SystemExit(4)\n")
    with pytest.raises(SpecError, match=told):
        CallableEngine.model_validate(config).check(folder)


def test_settings_that_the_code_does_not_see_are_refused(folder: Path) -> None:
    engine = CallableEngine(call="app.py:answer")
    engine.check(folder)
    with pytest.raises(ValueError, match=r"no parameter `params`, so temperature would change nothing"):
        engine.check_params({"temperature": 0.5})
    seeing = CallableEngine.model_validate({"call": "app.py:everything", "reference": True})
    seeing.check(folder)
    seeing.check_params({"temperature": 0.5})


def test_an_installed_module_counts_with_its_whole_package(folder: Path) -> None:
    engine = CallableEngine(call="themis_plugin_python.steps:plain")
    engine.check(folder)
    code = engine.code
    assert code is not None
    assert "themis_plugin_python/engine.py" in code.files
    stated = CallableEngine(call="themis_plugin_python.steps:plain", code_version="v1")
    stated.check(folder)
    assert stated.code is not None
    assert stated.code.content == "v1"


# --- in runs ------------------------------------------------------------------------------------------------


def spec(
    folder: Path, extras: Mapping[str, Any], questions: list[str], policy: Mapping[str, Any] | None = None,
    **of_model: Any,
) -> Path:  # fmt: skip
    benchmark = {
        "benchmark_id": "own",
        "models": [{"model_id": "m", "provider": "python/callable", "extras": dict(extras), **of_model}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {
                    "source": "files/inline",
                    "extras": {"rows": [{"id": each, "question": each, "gold": f"said {each}"} for each in questions]},
                    "fields": {"reference": "gold"},
                },
                "generation": {},
                "scores": [{"name": "exact", "metrics": ["text/exact_match"]}],
            }
        ],
    }
    path = folder / "spec.json"
    path.write_text(json.dumps({"project": {"execution_policy": dict(policy or {})}, "benchmark": benchmark}))
    return path


def test_edited_code_is_asked_again_and_the_plan_says_so(folder: Path) -> None:
    path = spec(folder, {"call": "app.py:answer"}, ["a", "b"])
    first = themis.run(path)
    assert first.scores[0].value == 1.0
    assert themis.run(path).generated == 0
    (folder / "app.py").write_text(APP + "\n# a word\n")
    report = themis.plan(path)
    assert report.to_call == 2
    (row,) = report.edited
    assert (row["component"], row["called"], row["files"], row["since"], row["calls"]) == (
        "python/callable", "app.py:answer", ["app.py"], first.run_id, 2,
    )  # fmt: skip
    kept = themis.plan(spec(folder, {"call": "app.py:answer", "code_version": row["content"]}, ["a", "b"]))
    assert (kept.to_call, kept.edited) == (0, [])
    assert themis.run(spec(folder, {"call": "app.py:answer"}, ["a", "b"])).generated == 2


def test_code_that_takes_another_field_after_an_edit_is_told_of_as_well(folder: Path) -> None:
    path = spec(folder, {"call": "app.py:answer"}, ["a", "b"])
    themis.run(path)
    (folder / "app.py").write_text(APP.replace("def answer(question):", "def answer(question, id):"))
    (row,) = themis.plan(path).edited
    assert row["calls"] == 2


def test_further_files_count_as_well(folder: Path) -> None:
    (folder / "prompts").mkdir()
    (folder / "prompts" / "one.txt").write_text("one")
    path = spec(folder, {"call": "app.py:answer", "files": ["prompts/*.txt"]}, ["a"])
    themis.run(path)
    (folder / "prompts" / "one.txt").write_text("two")
    (row,) = themis.plan(path).edited
    assert (row["files"], row["calls"]) == (["prompts/one.txt"], 1)


def test_a_wrong_parameter_is_an_error_that_lists_the_fields(folder: Path) -> None:
    (folder / "app.py").write_text("def answer(questoin):\n    return questoin\n")
    with pytest.raises(SpecError, match=r"It has: id, question, gold, reference\. Did you mean 'question'"):
        themis.plan(spec(folder, {"call": "app.py:answer"}, ["a"]))


def test_only_what_is_named_is_tried_again(folder: Path) -> None:
    policy = {"backoff_base_s": 0.001}
    path = spec(folder, {"call": "app.py:flaky", "at_once": 1}, ["a"], policy)
    assert themis.run(path).status == "failed"
    assert (folder / "attempts").read_text() == "x"
    path = spec(folder, {"call": "app.py:flaky", "at_once": 1, "retry_on": ["ConnectionError"]}, ["a"], policy)
    assert themis.run(path).status == "completed"
    assert (folder / "attempts").read_text() == "xxx"


def test_a_call_that_hangs_ends_at_the_deadline(folder: Path) -> None:
    path = spec(folder, {"call": "app.py:hostile", "at_once": 2}, ["hang", "fine"], {"attempt_timeout_s": 2.0})
    result = themis.run(path)
    assert (result.status, result.generated) == ("failed", 1)
    assert "no answer within" in result.errors["timeout"]


def test_a_class_that_can_not_be_made_ends_the_run_before_the_first_call(folder: Path) -> None:
    with pytest.raises(themis.ThemisError, match=r"RuntimeError: no index"):
        themis.run(spec(folder, {"call": "app.py:Broken"}, ["a"]))


def test_what_calls_cost_counts_in_the_budget(folder: Path) -> None:
    path = spec(folder, {"call": "app.py:as_dict", "at_once": 1}, ["a", "b", "c", "d", "e"])
    result = themis.run(path)
    assert result.cost == pytest.approx(5 * 0.25)
    (folder / "app.py").write_text(APP + "\n# again\n")
    bounded = {"call": "app.py:as_dict", "at_once": 1}
    with pytest.raises(SpecError, match="has no price, so max_cost can't bound"):
        themis.plan(spec(folder, bounded, ["a"], {"max_cost": 0.6}))
    path = spec(folder, {**bounded, "costs": True}, ["a", "b", "c", "d", "e"], {"max_cost": 0.6})
    stopped = themis.run(path)
    assert (stopped.status, stopped.generated, stopped.exit_code) == ("stopped", 2, 6)


def test_a_run_keeps_and_counts_what_was_done_before_a_failure(folder: Path) -> None:
    path = spec(folder, {"call": "app.py:paid", "costs": True}, ["fail", "half"])
    result = themis.run(path)
    with themis.open_results(path) as results:
        cost = results.cost(result.run_id)
        kept = {
            recorded.key: recorded.generation
            for each in results.trials(result.run_id)
            for recorded in results.generations(each.generation_keys)
        }
    failed = next(each for each in kept.values() if each.failed)
    half = next(each for each in kept.values() if not each.failed)
    assert len(failed.steps) == 2
    assert (cost.known, cost.unknown_calls) == (0.5, 1)
    assert (half.cost, half.provider["unknown_cost"]["unknown_calls"]) == (None, 1)
