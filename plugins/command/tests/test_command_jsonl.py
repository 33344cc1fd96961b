"""`command/jsonl`: programs that answer in lines, in any order, and what their faults cost."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import Engine, EngineError, Generation, Request, SpecError, Step, Usage
from themis_core.testing.engine import EngineSuite, outcomes
from themis_plugin_command.engine import JsonLinesEngine
from themis_plugin_command.watcher import Watcher

PROGRAM = """
import json, os, signal, subprocess, sys, time

def say(**reply):
    print(json.dumps(reply), flush=True)

held = []
for line in sys.stdin:
    asked = json.loads(line)
    number, question = asked["id"], asked["item"].get("question")
    if question == "fail":
        say(id=number, error="no such thing")
    elif question == "later":
        held.append(number)
    elif question == "first":
        say(id=number, text="first")
        for each in reversed(held):
            say(id=each, text="later")
    elif question == "whole":
        say(id=number, text="w", usage={"input_tokens": 3}, cost=0.5, steps=[{"kind": "tool_call", "name": "f"}])
    elif question == "asked":
        say(id=number, text=json.dumps(asked, sort_keys=True))
    elif question == "env":
        say(id=number, text=repr((os.environ.get("SHOWN"), os.environ.get("HIDDEN"), os.getcwd())))
    elif question == "exit":
        print("what a pity", file=sys.stderr, flush=True)
        sys.exit(3)
    elif question == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif question == "garbage":
        print("loading model ...", flush=True)
    elif question == "list":
        print("[1]", flush=True)
    elif question == "no id":
        say(text="x")
    elif question == "twice":
        say(id=number, text="once")
        say(id=number, text="again")
    elif question == "stranger":
        say(id="999", text="x")
    elif question == "partial":
        sys.stdout.write('{"id": "' + number)
        sys.stdout.flush()
        os._exit(0)
    elif question == "huge":
        say(id=number, text="x" * 2_000_000)
    elif question == "deep":
        print("[" * 100_000, flush=True)
    elif question == "keys":
        say(id=number, answer="x")
    elif question == "no text":
        say(id=number, text=None)
    elif question == "usage":
        say(id=number, text="x", usage={"tokens": 1})
    elif question == "nan cost":
        say(id=number, text="x", cost=float("nan"))
    elif question == "odd code":
        say(id=number, error="what a pity", code="odd")
    elif question == "paid":
        say(id=number, text="x", steps=[
            {"kind": "model", "cost": 0.5, "usage": {"input_tokens": 3}}, {"kind": "tool_call"},
        ])
    elif question == "paid and failed":
        say(id=number, error="boom", steps=[{"kind": "model", "cost": 0.5, "usage": {"input_tokens": 3}}])
    elif question == "hang":
        time.sleep(60)
    elif question == "rate":
        say(id=number, error="slow down", code="rate_limited", retryable=True)
    elif question == "noise":
        sys.stderr.write("n" * 1_000_000)
        say(id=number, text="said it")
    elif question == "child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        say(id=number, text=str(child.pid))
    else:
        say(id=int(number), text=f"said {question}")
if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: None)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def request(question: str = "q", **more: Any) -> Request:
    return Request("m", [], item={"question": question}, item_id="1", **more)


def asked_of(folder: Path, *requests: Request, **config: Any) -> list[Generation | EngineError]:
    """One after another."""
    engine = JsonLinesEngine.model_validate({"run": [sys.executable, "program.py"], "max_line_mb": 1, **config})
    engine.check(folder)
    return outcomes(engine, requests)


def text(outcome: Generation | EngineError) -> str:
    assert isinstance(outcome, Generation), outcome
    return outcome.text


class TestServed(EngineSuite):
    mode = "serve"

    @pytest.fixture
    def base_dir(self, folder: Path) -> Path:
        return folder

    @pytest.fixture
    def engine(self) -> Engine:
        return JsonLinesEngine.model_validate(
            {"run": [sys.executable, "program.py"], "mode": self.mode, "processes": 2, "at_once": 4}
        )

    @pytest.fixture
    def asked(self) -> Request:
        return request()

    @pytest.fixture
    def failing(self) -> Request:
        return request("fail")


class TestStartedForEach(TestServed):
    mode = "once"


def test_replies_are_matched_by_id_in_any_order(folder: Path) -> None:
    engine = JsonLinesEngine.model_validate({"run": [sys.executable, "program.py"], "at_once": 3})
    engine.check(folder)

    async def together() -> list[str]:
        await engine.start()
        try:
            asked = [asyncio.ensure_future(engine.generate(request("later"))) for _ in range(2)]
            await asyncio.sleep(0)
            last = await engine.generate(request("first"))
            return [each.text for each in (*await asyncio.gather(*asked), last)]
        finally:
            await engine.stop()

    assert asyncio.run(together()) == ["later", "later", "first"]


def test_a_program_is_told_the_request_and_its_reply_is_a_whole_generation(folder: Path) -> None:
    asked = Request("m", [{"role": "user", "content": "hi"}], {"temperature": 0.5}, "7", 2, 5, "key",
                    {"question": "asked"})  # fmt: skip
    told = json.loads(text(asked_of(folder, asked)[0]))
    assert told == {
        "id": "0", "item": {"question": "asked"}, "params": {"temperature": 0.5}, "seed": 5, "sample": 2,
        "item_id": "7", "model": "m",
    }  # fmt: skip
    with_messages = json.loads(text(asked_of(folder, asked, prompt=True)[0]))
    assert with_messages["messages"] == [{"role": "user", "content": "hi"}]
    (whole,) = asked_of(folder, request("whole"))
    assert whole == Generation("answered", "w", usage=Usage(3), cost=0.5, steps=(Step("tool_call", "f"),))


FAULTS: list[tuple[str, str, str]] = [
    # the question, the code, and what is told
    ("fail", "application_error", "no such thing"),
    ("rate", "rate_limited", "slow down"),
    ("exit", "application_error", "it ended with exit code 3 before it answered; it said: what a pity"),
    ("killed", "application_error", "it was ended by SIGKILL"),
    ("garbage", "application_error", "it wrote a line that is no JSON: 'loading model ...'"),
    ("list", "application_error", "it wrote a line that is no JSON object: '[1]'"),
    ("deep", "application_error", "it wrote a line that is no JSON: '[[["),
    ("no id", "application_error", "it wrote a line without an id"),
    ("stranger", "application_error", "it wrote a reply with the id '999', to which nothing is to be answered"),
    ("partial", "application_error", "it ended in the middle of a line"),
    ("huge", "application_error", "it wrote a line of more than 1,048,576 bytes"),
    ("keys", "application_error", "its reply is no generation: it has the key 'answer'; known: status, text"),
    ("no text", "application_error", "its reply is no generation: its 'text' is NoneType, not a text"),
    ("usage", "application_error", "its reply is no generation: its usage has 'tokens'; known: input_tokens"),
    ("nan cost", "application_error", "its reply is no generation: Generation.cost is nan, not a finite number"),
    ("odd code", "application_error", "what a pity (it gave the code 'odd', which Themis does not know)"),
]


def test_a_fault_costs_what_is_in_its_hands_and_the_next_is_answered(folder: Path) -> None:
    asked = [each for question, _, _ in FAULTS for each in (request(question), request("fine"))]
    found = asked_of(folder, *asked)
    assert [text(each) for each in found[1::2]] == ["said fine"] * len(FAULTS)
    for (question, code, told), failed in zip(FAULTS, found[::2], strict=True):
        assert isinstance(failed, EngineError), question
        assert (failed.code, told in failed.message) == (code, True), failed
    assert [each.retryable for each in found[::2] if isinstance(each, EngineError)].count(True) == 1


def test_cost_and_usage_of_steps_count_in_answers_and_in_failures(folder: Path) -> None:
    answered, failed = asked_of(folder, request("paid"), request("paid and failed"))
    assert isinstance(answered, Generation)
    assert isinstance(failed, EngineError)
    assert (answered.cost, answered.usage) == (failed.cost, failed.usage) == (0.5, Usage(3))
    assert (len(answered.steps), len(failed.steps)) == (2, 1)


def test_a_second_reply_to_one_request_is_told_and_the_next_is_answered(folder: Path) -> None:
    first, second = asked_of(folder, request("twice"), request("fine"))
    assert text(first) == "once"
    assert isinstance(second, Generation) or "with the id '0', to which nothing" in second.message


def test_much_on_standard_error_holds_up_nothing(folder: Path) -> None:
    assert text(asked_of(folder, request("noise"))[0]) == "said it"


def test_it_gets_the_variables_that_are_named_and_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWN", "1")
    monkeypatch.setenv("HIDDEN", "2")
    (found,) = asked_of(folder, request("env"), env=["SHOWN"])
    assert text(found) == repr(("1", None, str(folder)))


def test_a_program_that_does_not_end_is_ended_with_all_that_it_started(folder: Path) -> None:
    (found,) = asked_of(folder, request("child"), run=[sys.executable, "program.py", "--stubborn"], ending_s=0.2)
    until = time.monotonic() + 10.0
    while is_at_work(int(text(found))):
        assert time.monotonic() < until


def is_at_work(pid: int) -> bool:
    """Whether a process is there, and is not one that only nobody has asked how it ended."""
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(told) and not told.startswith("Z")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"run": "no-such-program-at-all"}, "there is no program 'no-such-program-at-all' that can be started"),
    ({"run": "program.py"}, r"that can be started: write \./program\.py"),
    ({"run": "./program.py"}, r"make it executable \(chmod \+x \./program\.py\)"),
    ({"run": "cat"}, "it names no file, so nobody can see when the program changes"),
    ({"run": "cat program.py", "cwd": "nowhere"}, "cwd: .*nowhere is nothing; a folder was expected"),
    ({"run": "cat program.py", "env": ["NO_SUCH_VARIABLE"]}, "has no variable NO_SUCH_VARIABLE"),
    ({"run": "cat program.py", "files": ["*.nothing"]}, r"nothing matches '\*\.nothing'"),
    ({"run": "cat program.py", "files": ["/etc/passwd"]}, "is to be relative to the spec file"),
]


@pytest.mark.parametrize(("config", "told"), WRONG)
def test_what_is_wrong_is_found_in_planning(folder: Path, config: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        JsonLinesEngine.model_validate(config).check(folder)


def spec(folder: Path, questions: list[str], policy: dict[str, Any] | None = None, **extras: Any) -> Path:
    benchmark = {
        "benchmark_id": "own",
        "models": [
            {
                "model_id": "m",
                "provider": "command/jsonl",
                "extras": {"run": f"{sys.executable} program.py", "takes": ["question"], **extras},
            }
        ],
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
    path.write_text(json.dumps({"project": {"execution_policy": policy or {}}, "benchmark": benchmark}))
    return path


def test_an_edited_program_is_asked_again_and_the_plan_says_so(folder: Path) -> None:
    path = spec(folder, ["a", "b"])
    first = themis.run(path)
    assert (first.scores[0].value, first.scores[0].prompt_variant_id) == (1.0, "none")
    assert themis.run(path).generated == 0
    (folder / "program.py").write_text(PROGRAM + "\n# a word\n")
    report = themis.plan(path)
    (row,) = report.edited
    assert (report.to_call, row["files"], row["calls"]) == (2, ["program.py"], 2)
    kept = themis.plan(spec(folder, ["a", "b"], code_version=row["content"]))
    assert (kept.to_call, kept.edited) == (0, [])


def test_a_program_that_hangs_costs_its_own_calls(folder: Path) -> None:
    result = themis.run(spec(folder, ["hang", "a", "b"], {"attempt_timeout_s": 1.5}))
    assert (result.status, result.generated) == ("failed", 2)
    assert "no reply within" in result.errors["timeout"]


def test_what_replies_cost_is_in_the_account(folder: Path) -> None:
    assert themis.run(spec(folder, ["whole"])).cost == pytest.approx(0.5)


def test_a_watcher_ends_what_outlives_the_run_and_leaves_alone_what_it_is_dismissed_from() -> None:
    stubborn = [
        sys.executable,
        "-c",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
    ]
    programs = [subprocess.Popen(stubborn, start_new_session=True) for _ in range(2)]
    try:
        left, kept = (Watcher(each.pid, 0.0) for each in programs)
        kept.dismiss()
        assert left._process.stdin is not None
        left._process.stdin.close()  # as when this process is killed
        assert programs[0].wait(10) == -signal.SIGKILL
        left._process.wait(10)
        assert programs[1].poll() is None
    finally:
        for each in programs:
            each.kill()
            each.wait()
