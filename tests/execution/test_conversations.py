"""Whole runs with turns that depend on what was said: by rule, and by a model that plays the user."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import Event, GenerationRecorded, StorageError
from themis_core.testing.postgres import server_for_tests
from themis_sql import SqlStore

PLUGIN = """
import json
from pathlib import Path

from themis_core import (
    Capabilities, Engine, EngineError, Generation, Judge, JudgeRequest, Metric, Score, Usage, hookimpl,
)

HERE = Path(__file__).parent


def note(*what):
    with open(HERE / "log.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(what) + "\\n")


class Talker(Engine):
    @property
    def capabilities(self):
        return Capabilities(tools=True, seed=True)

    async def generate(self, request):
        said = [(message["role"], message["content"]) for message in request.messages]
        note("call", request.model_id, said, request.sample_index, request.seed)
        for part, rule in json.loads((HERE / "rules.json").read_text("utf-8")).items():
            name, _, text = part.partition("|")
            if name == request.model_id and text in said[-1][1]:
                if "error" in rule:
                    raise EngineError(rule["error"], "it is so", retryable=False)
                rule = {**rule, "tool_calls": tuple(rule.get("tool_calls", ()))}
                return Generation(**{"status": "answered", "usage": Usage(10, 5), **rule})
        return Generation("answered", text=f"re: {said[-1][1]}", usage=Usage(10, 5))


class Heard(Metric):
    def score(self, item, generation, value):
        texts = [f"{each['role']}: {each['content']}" for each in generation.conversation]
        note("scored", texts, value)
        return Score(1.0, details={"heard": texts})


class Asking(Judge):
    def requests(self, judged):
        heard = " / ".join(each["content"] for each in judged.generation.conversation)
        asked = " / ".join(each["content"] for each in judged.messages)
        against = ""
        if judged.baseline is not None:
            against = " against " + " / ".join(each["content"] for each in judged.baseline.conversation)
        return [JudgeRequest([{"role": "user", "content": f"judge {heard} of {asked}{against}"}])]

    def score(self, judged, replies):
        return Score(1.0)


class Comparing(Asking):
    @property
    def baseline_model(self):
        return "other"


@hookimpl
def themis_request_started(event):
    note("asked", event.purpose, event.request.model_id)


@hookimpl
def themis_register_engines(register):
    register("talker", Talker)


@hookimpl
def themis_register_metrics(register):
    register("heard", Heard)


@hookimpl
def themis_register_judges(register):
    register("asking", Asking)
    register("comparing", Comparing)
"""
HEARD = {"name": "heard", "metrics": ["mine/heard"]}
ORDER = {
    "max_turns": 4,
    "until": "'bye' in answer",
    "rules": [
        {"when": "'number' in answer", "say": "It is {{ item.order }}, {{ name }}."},
        {"when": "turn == 2", "say": "{{ answers[0] }} and then {{ answer }}?"},
        {"when": "turn == 3", "say": "So?"},
    ],
}
USER = {
    "model": {"model_id": "user", "provider": "mine/talker", "model": "u"},
    "messages": [{"role": "system", "content": "You are {{ name }} and want {{ item.order }}."}],
    "until": "'[END]' in reply",
}
SIMULATED = {"max_turns": 3, "user": USER}


class Bench:
    """A folder with the plugin, its rules and its log, and the runs of one spec in it."""

    def __init__(self, folder: Path, storage: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.storage = storage or {"backend": "sqlite", "root_dir": str(folder / "store")}
        (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
        self.rules({})

    def rules(self, rules: dict[str, dict[str, Any]]) -> None:
        """By `model|part of the last message`, what the model says, or the error that it is."""
        (self.folder / "rules.json").write_text(json.dumps(rules), encoding="utf-8")

    def log(self) -> list[list[Any]]:
        """What the plugin noted since this was last asked."""
        path = self.folder / "log.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def calls(self) -> list[str]:
        """Model and last message of each call since this was last asked, in order."""
        return [f"{each[1]}: {each[2][-1][1]}" for each in self.log() if each[0] == "call"]

    def spec(
        self, conversation: dict[str, Any] | None, *, scores: Sequence[dict[str, Any]] = (HEARD,), items: int = 1,
        models: Sequence[str] = ("m",), policy: dict[str, Any] | None = None, variant: dict[str, Any] | None = None,
        **benchmark: Any,
    ) -> Path:  # fmt: skip
        rows = [{"id": f"i{n}", "q": f"q{n}", "order": f"A{n}", "none": None} for n in range(items)]
        its = {
            "id": "v",
            "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "{{ item.q }}"}],
            "variables": {"name": "Ann"},
            **({"conversation": conversation} if conversation else {}),
            **(variant or {}),
        }
        data = {
            "project": {
                "plugins": {"mine": {"path": "mine.py", "identity": "version"}},
                "storage": self.storage,
                "execution_policy": {"max_retries": 0, "breaker_failures": 1000, **(policy or {})},
            },
            "benchmark": {
                "benchmark_id": "b",
                "models": [{"model_id": name, "provider": "mine/talker"} for name in models],
                "prompt_variants": [its],
                "slices": [
                    {
                        "slice_id": "s",
                        "dataset": {"source": "files/inline", "extras": {"rows": rows}},
                        "generation": {},
                        "scores": list(scores),
                    }
                ],
                **benchmark,
            },
        }
        path = self.folder / "spec.json"
        path.write_text(json.dumps(data, indent=1), encoding="utf-8")
        return path

    def run(self, conversation: dict[str, Any] | None, **changes: Any) -> themis.RunResult:
        return themis.run(self.spec(conversation, **changes))

    def trial(self, result: themis.RunResult, number: int = 0, model: str = "m") -> dict[str, Any]:
        with themis.open_results(self.folder / "spec.json") as results:
            rows = [row for row in results.trials(result.run_id) if row.model_id == model]
            return results.trial(result.run_id, rows[number].trial_id)

    def events(self) -> list[str]:
        """The keys of all generations that were recorded."""
        from themis_core import find_storage

        storage, folder = find_storage(self.folder / "spec.json")
        with closing(storage.open(folder, mode="read")) as store:
            return [each["key"] for each in store.events() if each["kind"] == "generation"]


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    with server_for_tests() as server:
        yield server.new_database()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """The same on each storage backend."""
    if request.param == "sqlite":
        return Bench(tmp_path)
    url = request.getfixturevalue("database_url")
    name = f"talk_{secrets.token_hex(6)}"
    blobs = str(tmp_path / "blobs")
    return Bench(tmp_path, {"backend": "postgres/blob", "url": url, "schema_name": name, "blobs": blobs})


def told(result: themis.RunResult) -> tuple[str, int, int, int, int]:
    return (result.status, result.generated, result.reused, result.failed, result.exit_code)


# --- by rule ------------------------------------------------------------------------------------------------


def test_a_rule_says_what_fits_the_answer_and_another_one_ends_it(both: Bench) -> None:
    both.rules({"m|q0": {"text": "Which number?"}, "m|So?": {"text": "That was all, bye."}})
    result = both.run({**ORDER, "max_turns": 6})
    assert told(result) == ("completed", 4, 0, 0, 0)
    said = [
        "system: Be kind.", "user: q0", "assistant: Which number?", "user: It is A0, Ann.",
        "assistant: re: It is A0, Ann.", "user: Which number? and then re: It is A0, Ann.?",
        "assistant: re: Which number? and then re: It is A0, Ann.?",
    ]  # fmt: skip
    turns = both.trial(result)["turns"]
    texts = [f"{each['role']}: {each['content']}" for each in turns[-1]["request"]["messages"]]
    # "re: Which number? ..." asks for the number once more, so the rule applies once more.
    assert texts == [*said, "user: It is A0, Ann."]
    assert [entry[1] for entry in both.log() if entry[0] == "scored"] == [[*texts, "assistant: re: It is A0, Ann."]]


def test_a_conversation_that_ended_early_is_found_again_and_nothing_is_stored_twice(both: Bench) -> None:
    both.rules({"m|q0": {"text": "Which number?"}, "m|A0": {"text": "Thanks, bye."}})
    result = both.run(ORDER)
    assert (told(result), both.calls()) == (("completed", 2, 0, 0, 0), ["m: q0", "m: It is A0, Ann."])
    trial = both.trial(result)
    assert [each["generation"]["text"] for each in trial["turns"]] == ["Which number?", "Thanks, bye."]
    before = both.events()
    again = both.run(ORDER)
    assert (told(again), both.log()) == (("completed", 0, 1, 0, 0), [])
    other = both.run(ORDER, metadata={"note": "no change"}, benchmark_id="another")
    assert (told(other), both.log(), both.events()) == (("completed", 0, 1, 0, 0), [], before)
    assert len(set(before)) == len(before) == 2


def test_turns_are_asked_again_only_from_where_the_rules_make_a_difference(bench: Bench) -> None:
    bench.rules({"m|q0": {"text": "Which number?"}})
    bench.run(ORDER)
    assert bench.calls()[:1] == ["m: q0"]
    longer = bench.run({**ORDER, "max_turns": 6})  # the turns there are stay
    assert longer.generated == 0
    sooner = bench.run({**ORDER, "until": "turn == 2"})  # another answer is scored, and none is asked
    assert (sooner.generated, bench.trial(sooner)["turns"][-1]["generation"]["text"]) == (0, "re: It is A0, Ann.")
    bench.log()
    edited = bench.run({**ORDER, "rules": [{"say": "And?"}]})
    assert (edited.generated, bench.calls()) == (3, ["m: And?"] * 3)  # the first answer stays


def test_only_what_the_rules_read_of_an_item_is_in_the_keys(bench: Bench) -> None:
    rules = {"max_turns": 2, "rules": [{"say": "It is {{ item.order }}."}]}
    bench.run(rules, scores=[])
    path = bench.spec(rules, scores=[])
    for old, new, calls in ((', "q": "q0"', ', "note": "new", "q": "q0"', 0), ('"A0"', '"B0"', 1)):
        data = json.dumps(json.loads(path.read_text("utf-8"))).replace(old, new)
        path.write_text(data, encoding="utf-8")
        assert themis.run(path).generated == calls


def test_what_a_model_says_is_text_and_never_a_template(both: Bench) -> None:
    hostile = "{{ 7 * 7 }}{% for x in range(10**9) %}{{ item.__class__ }}{% endfor %}\x00\ud800 'bye"
    both.rules({"m|q0": {"text": hostile}})
    result = both.run({"max_turns": 2, "until": "'49' in answer", "rules": [{"say": "You said: {{ answer }}"}]})
    assert both.trial(result)["turns"][1]["request"]["messages"][-1]["content"] == f"You said: {hostile}"


def test_each_sample_has_its_own_conversation(bench: Bench) -> None:
    result = bench.run({"max_turns": 2, "rules": [{"say": "Again."}]}, num_samples=3)
    assert (result.generated, len(set(bench.events()))) == (6, 6)


def test_results_of_tool_calls_are_told_in_the_middle(bench: Bench) -> None:
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "stock", "arguments": f'{{"n": {n}}}'}} for n in (1, 2)
    ]
    bench.rules({"m|q0": {"text": "", "tool_calls": calls}})
    conversation = {
        "max_turns": 3,
        "rules": [{"result": "{{ call.function.name }} of {{ call.id }}: {{ item.order }}"}, {"say": "Thanks."}],
    }
    result = bench.run(conversation)
    messages = bench.trial(result)["turns"][-1]["request"]["messages"]
    assert [(each["role"], each.get("tool_call_id"), each["content"]) for each in messages[2:]] == [
        ("assistant", None, ""), ("tool", "c1", "stock of c1: A0"), ("tool", "c2", "stock of c2: A0"),
        ("assistant", None, "re: stock of c2: A0"), ("user", None, "Thanks."),
    ]  # fmt: skip
    assert messages[2]["tool_calls"] == calls


@pytest.mark.parametrize(
    ("status", "turns"), [("refused", 1), ("empty", 1), ("absent", 1), ("truncated", 2), ("answered", 2)]
)
def test_what_ends_a_conversation_before_the_rules_do(bench: Bench, status: str, turns: int) -> None:
    bench.rules({"m|q0": {"status": status, "text": "" if status in ("empty", "absent") else "well"}})
    result = bench.run({"max_turns": 2, "rules": [{"say": "Go on."}]})
    assert result.status == "completed"
    assert len(bench.trial(result)["turns"]) == turns


def test_a_rule_that_fails_costs_its_trial_alone_and_is_asked_nothing_twice(both: Bench) -> None:
    both.rules({"m|q0": {"text": "one two"}, "m|q1": {"text": "none"}})
    conversation = {"max_turns": 2, "rules": [{"say": "The second word is {{ answer.split(' ')[1] }}."}]}
    result = both.run(conversation, items=2)
    assert told(result) == ("failed", 3, 0, 1, 5)
    failed = both.trial(result, 1)
    assert (failed["trial"]["outcome"], failed["trial"]["error_code"]) == ("failed", "conversation_error")
    kept, fault = failed["turns"]
    assert kept["generation"]["text"] == "none"
    assert "spec.json:" in fault["generation"]["error"]
    assert "conversation.rules[0].say" in fault["generation"]["error"]
    assert "item 'i1', after answer 1" in fault["generation"]["error"]
    both.log()
    again = both.run(conversation, items=2)
    assert (told(again), both.log()) == (("failed", 0, 1, 1, 5), [])
    mended = both.run({"max_turns": 2, "rules": [{"say": "The last word is {{ answer.split(' ')[-1] }}."}]}, items=2)
    assert (mended.status, both.calls()) == ("completed", ["m: The last word is two.", "m: The last word is none."])


# --- what is wrong is found in the plan ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conversation", "place", "told"),
    [
        ({"rules": [{"say": "{{ anser }}"}]}, "rules[0].say", "it names 'anser', which nothing defines"),
        ({"rules": [{"when": "anser", "say": "x"}]}, "rules[0].when", "it names 'anser', which nothing defines"),
        ({"rules": [{"say": "{{ call.id }}"}]}, "rules[0].say", "it names 'call'"),
        ({"rules": [{"say": "{{ item.ordr }}"}]}, "rules[0].say", "the item has no field 'ordr'"),
        (
            {"rules": [{"when": "'a' in answer and item.q", "say": "{{ item.ordr }}"}]},
            "rules[0].say",
            "no item has a field 'ordr'",
        ),
        ({"rules": [{"when": "'a' in answer", "say": "{{ item.ordr }}"}]}, "rules[0].say", "no field 'ordr'"),
        ({"until": "item.none in answer", "rules": [{"say": "x"}]}, "until", "item 'i0'"),
        ({"rules": [{"when": "item.none > 3 and answer", "say": "x"}]}, "rules[0].when", "item 'i0'"),
        ({"rules": [{"say": "{% if %}"}]}, "rules[0].say", "template, line 1"),
        ({"rules": [{"when": "'a' in", "say": "x"}]}, "rules[0].when", "expression, line 1"),
        ({"rules": [{"when": "'order number'", "say": "x"}]}, "rules[0].when", "the same after every answer"),
        ({"rules": [{"when": "{{ answer }}", "say": "x"}]}, "rules[0].when", "without braces"),
        ({"until": "true", "rules": [{"say": "x"}]}, "until", "the same after every answer"),
        ({"until": "reply", "rules": [{"say": "x"}]}, "until", "it names 'reply'"),
        ({"rules": [{"say": "x"}, {"say": "y"}]}, "rules[1]", "it can't apply: rules[0] has no `when`"),
        ({"rules": [{"say": "x"}], "user": USER}, "user", "it would never be asked"),
        ({"rules": [{"say": "x", "result": "y"}]}, "rules[0]", "either `say`"),
        ({}, "conversation", "nobody would say anything"),
        ({"rules": [{"say": "{{ answer.__class__ }}"}]}, "rules[0].say", "unsafe"),
        ({"rules": [{"say": "{{ 'x' * 10**9 }}"}]}, "rules[0].say", "a repetition of more than"),
        ({"rules": [{"when": "range(10**9)|length > turn", "say": "x"}]}, "rules[0].when", "asks for too much"),
        ({"max_turns": 1, "rules": [{"say": "x"}]}, "max_turns", "should be at least 2"),
        ({"user": {**USER, "until": "[END]"}}, "user.until", "a text stands in quotes"),
        ({"user": {**USER, "until": "'x' in replay"}}, "user.until", "it names 'replay'"),
        ({"user": {**USER, "messages": []}}, "user.messages", "at least 1"),
        (
            {"user": {**USER, "messages": [{"role": "user", "content": "{{ item.ordr }}"}]}},
            "user.messages[0].content",
            "no field 'ordr'",
        ),
        (
            {"user": {**USER, "messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}},
            "user.messages[0]",
            "calls no tools",
        ),
        ({"user": {**USER, "params": {"n": 2}}}, "user.params.n", "one thing at a time"),
        ({"user": {**USER, "params": {"tools": [{}]}}}, "user.params.tools", "calls no tools"),
        ({"user": {**USER, "params": {"logprobs": True}}}, "user", "can't do logprobs"),
        ({"user": {**USER, "params": {"extras": {"a": 1}}}}, "user.params", "extras"),
        ({"user": {**USER, "model": {"model_id": "u", "provider": "mine/tolker"}}}, "user.model.provider", "tolker"),
        (
            {"user": {**USER, "model": {**USER["model"], "params": {"leave_out": ["top_k"]}}}},
            "user.model.params.leave_out[0]",
            "can't be left out",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_before_a_call(
    bench: Bench, conversation: dict[str, Any], place: str, told: str
) -> None:
    with pytest.raises(themis.SpecError) as raised:
        bench.run({"max_turns": 3, **conversation})
    assert told in str(raised.value)
    loc = "conversation" if place == "conversation" else f"conversation.{place}"
    assert f"prompt_variants[0].{loc}" in str(raised.value)
    assert raised.value.line is not None
    assert bench.log() == []


def test_fixed_turns_and_names_of_what_was_said_are_refused(bench: Bench) -> None:
    rules = {"max_turns": 2, "rules": [{"say": "x"}]}
    for variant, told in (
        ({"follow_ups": [{"role": "user", "content": "x"}]}, "keep one of the two"),
        ({"variables": {"answer": "x"}}, "a conversation has this name"),
    ):
        with pytest.raises(themis.SpecError, match=told):
            bench.run(rules, variant=variant)


@pytest.mark.parametrize(
    "say",
    [
        "{{ answer.split('[')[1] }}",
        "{{ answers[7] }}",
        "{{ tool_calls[0].function.name }}",
        "{{ (answer|int) / turn }}",
    ],
)
def test_what_only_fails_on_what_is_not_said_yet_is_no_mistake(bench: Bench, say: str) -> None:
    assert themis.plan(bench.spec({"max_turns": 2, "rules": [{"when": "'[' in answer", "say": say}]})).to_call == 2


def test_a_field_that_only_some_items_have_may_be_guarded(bench: Bench) -> None:
    said = "{% if item.hint is defined %}{{ item.hint }}{% else %}No hint.{% endif %}"
    assert bench.run({"max_turns": 2, "rules": [{"say": said}]}).status == "completed"


# --- a model plays the user ---------------------------------------------------------------------------------


def test_the_user_sees_its_own_prompt_and_the_conversation_with_roles_swapped(both: Bench) -> None:
    both.rules({"u|re: q0": {"text": "Hm."}, "u|re: Hm.": {"text": "Fine. [END]"}})
    examples = {
        "items": [{"q": "an example"}],
        "messages": [{"role": "user", "content": "{{ item.q }}"}, {"role": "assistant", "content": "its answer"}],
    }
    result = both.run(SIMULATED, variant={"examples": examples})
    assert told(result) == ("completed", 4, 0, 0, 0)
    calls = [(entry[1], entry[2]) for entry in both.log() if entry[0] == "call"]
    assert calls[1] == ("u", [
        ["system", "You are Ann and want A0."], ["assistant", "q0"], ["user", "re: q0"],
    ])  # fmt: skip
    assert calls[3] == ("u", [*calls[1][1], ["assistant", "Hm."], ["user", "re: Hm."]])
    shots = [["system", "Be kind."], ["user", "an example"], ["assistant", "its answer"], ["user", "q0"]]
    assert calls[2] == ("m", [*shots, ["assistant", "re: q0"], ["user", "Hm."]])
    trial = both.trial(result)
    assert [(each["request"]["model_id"], each["generation"]["text"]) for each in trial["turns"]] == [
        ("m", "re: q0"), ("u", "Hm."), ("u", "Fine. [END]"), ("m", "re: Hm."),
    ]  # fmt: skip
    assert [each["generation"]["provider"].get(themis.SIMULATED_USER) for each in trial["turns"]] == [None, 1, 2, None]
    assert trial["scores"][0]["result"]["details"]["heard"][-1] == "assistant: re: Hm."
    before = both.events()
    again = both.run(SIMULATED, variant={"examples": examples}, benchmark_id="another")
    assert (told(again), both.log(), both.events()) == (("completed", 0, 1, 0, 0), [], before)


def test_what_the_user_s_engine_can_not_be_sent_is_told_before_a_call(bench: Bench) -> None:
    plugin = bench.folder / "mine.py"
    refusing = """class Talker(Engine):
    def check_request(self, request):
        roles = [each["role"] for each in request.messages]
        assert roles[-1] == "user"
        if request.model_id == "u" and roles[1] != "user":
            raise ValueError("the first message has to be a user's")
"""
    plugin.write_text(plugin.read_text("utf-8").replace("class Talker(Engine):\n", refusing), "utf-8")
    with pytest.raises(themis.SpecError, match=r"model 'user'.*prompt variant 'v': the first message has to be"):
        bench.run(SIMULATED)
    assert bench.log() == []
    begins = {"role": "user", "content": "The conversation begins."}
    assert bench.run({**SIMULATED, "user": {**USER, "messages": [*USER["messages"], begins]}}).status == "completed"


def test_each_sample_of_a_user_has_a_seed_of_its_own(bench: Bench) -> None:
    bench.run(SIMULATED, num_samples=2)
    log = bench.log()
    seeds = [(entry[3], entry[4]) for entry in log if entry[:2] == ["call", "u"]]
    assert [seed for sample, seed in seeds if sample == 0] == [None, None]
    derived = [seed for sample, seed in seeds if sample == 1]
    assert len(set(derived)) == 2
    assert None not in derived
    assert {tuple(entry[1:]) for entry in log if entry[0] == "asked"} == {("answer", "m"), ("user", "u")}


def test_an_edited_file_of_the_user_s_engine_is_told_before_its_answers_are_asked_again(bench: Bench) -> None:
    path = bench.spec(SIMULATED)
    data = json.loads(path.read_text("utf-8"))
    data["project"]["plugins"]["other"] = {"path": "other.py"}
    user = data["benchmark"]["prompt_variants"][0]["conversation"]["user"]
    user["model"]["provider"] = "other/talker"
    path.write_text(json.dumps(data), encoding="utf-8")
    (bench.folder / "other.py").write_text(PLUGIN, encoding="utf-8")
    assert themis.run(path).generated == 5
    (bench.folder / "other.py").write_text(PLUGIN + "# edited\n", encoding="utf-8")
    plan = themis.plan(path)
    assert [(row["component"], row["calls"]) for row in plan.edited] == [("other/talker", 4)]
    assert (plan.to_call, themis.run(path).generated) == (4, 4)  # the first answer was there before the user spoke


@pytest.mark.parametrize("rule", [{"tool_calls": [{"id": "c1"}]}, {"status": "truncated"}])
def test_the_user_hears_of_an_answer_without_text_and_never_goes_on_from_its_own_words(
    bench: Bench, rule: dict[str, Any]
) -> None:
    bench.rules({"m|q0": {"text": "", **rule}})
    bench.run(SIMULATED)
    heard = [each[2] for each in bench.log() if each[0] == "call" and each[1] == "u"]
    assert heard[0][1:] == [["assistant", "q0"], ["user", "(no text)"]]
    assert [role for role, _ in heard[1]] == ["system", "assistant", "user", "assistant", "user"]


def test_what_only_the_model_s_engine_can_read_is_handed_to_no_metric(bench: Bench) -> None:
    from themis_core import HANDED_BACK

    bench.rules({"m|q0": {"text": "well", "provider": {HANDED_BACK: {"sealed": "x"}}}})
    plugin = bench.folder / "mine.py"
    told = 'note("keys", sorted({name for each in generation.conversation for name in each}))'
    plugin.write_text(plugin.read_text("utf-8").replace("        texts =", f"        {told}\n        texts ="), "utf-8")
    result = bench.run({"max_turns": 2, "rules": [{"say": "Go on."}]})
    assert ["keys", ["content", "role"]] in bench.log()
    assert HANDED_BACK in bench.trial(result)["turns"][1]["request"]["messages"][2]  # which its engine did get


def test_warnings_of_all_turns_and_of_the_user_are_told_once(bench: Bench) -> None:
    bench.rules({
        "m|q0": {"text": "well", "provider": {"warning": "of the first"}},
        "u|well": {"text": "I would", "status": "truncated"},
        "u|re: I would": {"text": "So?", "provider": {"warning": "odd"}},
    })  # fmt: skip
    result = bench.run(SIMULATED)
    assert sorted(result.warnings) == [
        "1 answer: of the first",
        "1 answer: the simulated user user was cut off at its max_tokens, and said no more than that",
        "1 answer: the simulated user user: odd",
    ]
    assert sorted(bench.run(SIMULATED).warnings) == sorted(result.warnings)
    bench.rules({"m|q0": {"text": "well", "provider": {"warning": "of a turn that no rule answers"}}})
    failed = bench.run({"max_turns": 2, "rules": [{"say": "{{ answers[7] }}"}]}, items=1, benchmark_id="c")
    assert (failed.status, len(failed.warnings)) == ("failed", 0)  # the first answer was there: nothing is new


def test_max_turns_ends_it_without_asking_the_user_once_more(bench: Bench) -> None:
    assert told(bench.run(SIMULATED)) == ("completed", 5, 0, 0, 0)
    assert [call[0] for call in bench.calls()] == ["m", "u", "m", "u", "m"]


def test_rules_go_before_the_user(bench: Bench) -> None:
    bench.run({**SIMULATED, "rules": [{"when": "turn == 1", "say": "By rule."}]})
    assert bench.calls() == ["m: q0", "m: By rule.", "u: re: By rule.", "m: re: re: By rule."]


@pytest.mark.parametrize(
    ("rule", "code", "why"),
    [
        ({"error": "bad_request"}, "bad_request", "the simulated user user: it is so"),
        ({"status": "refused", "refusal": "No."}, "no_user_reply", "the simulated user user: it refused: No."),
        ({"status": "empty"}, "no_user_reply", "the simulated user user: it said nothing"),
    ],
)
def test_a_user_that_fails_is_a_failed_trial_which_the_next_run_goes_on_with(
    both: Bench, rule: dict[str, Any], code: str, why: str
) -> None:
    both.rules({"u|re: Hm.": rule, "u|re: q0": {"text": "Hm."}})
    result = both.run(SIMULATED)
    assert (result.status, result.failed, result.exit_code) == ("failed", 1, 5)
    trial = both.trial(result)
    assert (trial["trial"]["outcome"], trial["trial"]["error_code"], trial["scores"]) == ("failed", code, [])
    assert [each["generation"]["status"] for each in trial["turns"]] == ["answered"] * 3 + ["failed"]
    assert trial["turns"][-1]["generation"]["error"] == why
    both.log()
    both.rules({})
    assert told(both.run(SIMULATED)) == ("completed", 2, 0, 0, 0)
    assert both.calls() == ["u: re: Hm.", "m: re: re: Hm."]


def test_what_a_user_cost_that_said_nothing_is_in_the_accounts(bench: Bench) -> None:
    price = {"input_per_million": 100_000, "output_per_million": 0}  # each call has 10 tokens, and costs 1
    user = {**USER, "model": {**USER["model"], "price": price}}
    models = [{"model_id": "m", "provider": "mine/talker", "price": price}]
    bench.rules({"u|re: re: q0": {"status": "empty"}})
    result = themis.run(_priced(bench, {**SIMULATED, "user": user}, models))
    assert (result.status, result.cost) == ("failed", 4.0)
    bench.rules({})
    assert themis.run(_priced(bench, {**SIMULATED, "user": user}, models)).cost == 6.0


def _priced(bench: Bench, conversation: dict[str, Any], models: list[dict[str, Any]], **policy: Any) -> Path:
    path = bench.spec(conversation, policy=policy)
    data = json.loads(path.read_text("utf-8"))
    data["benchmark"]["models"] = models
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


# --- killed, and resumed ------------------------------------------------------------------------------------


class Killed(BaseException):
    """What ends a process between two of its steps."""


@pytest.mark.parametrize("saved", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 6))
def test_a_run_that_ends_at_any_answer_goes_on_and_pays_for_none_twice(
    both: Bench, monkeypatch: pytest.MonkeyPatch, at: int, saved: bool
) -> None:
    append, seen = SqlStore.append, 0

    def failing(store: SqlStore, events: Sequence[Event]) -> None:
        nonlocal seen
        seen += sum(isinstance(event, GenerationRecorded) for event in events)
        if seen < at or not any(isinstance(event, GenerationRecorded) for event in events):
            append(store, events)
            return
        if saved:
            append(store, events)
        raise StorageError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(SqlStore, "append", failing)
        with pytest.raises(StorageError):
            both.run(SIMULATED)
    first = both.calls()
    assert len(first) == at
    result = both.run(SIMULATED)
    second = both.calls()
    assert (result.status, len(second)) == ("completed", 5 - at + (not saved))
    assert [call.partition(":")[0] for call in first[: at - (not saved)] + second] == ["m", "u", "m", "u", "m"]
    assert len(both.events()) == len(set(both.events())) == 5


KILLS = """
import os, sys
import themis_core as themis
from themis_core import GenerationRecorded
from themis_sql import SqlStore

append, seen, at = SqlStore.append, 0, int(sys.argv[2])


def dying(store, events):
    global seen
    append(store, events)
    seen += sum(isinstance(event, GenerationRecorded) for event in events)
    if seen >= at:
        os.kill(os.getpid(), 9)


SqlStore.append = dying
themis.run(sys.argv[1])
"""


@pytest.mark.parametrize("at", [2, 5])
def test_killed_in_the_middle_of_conversations_it_asks_only_for_what_is_missing(bench: Bench, at: int) -> None:
    path = bench.spec(SIMULATED, items=3, policy={"max_in_flight_work_items": 2})
    done = subprocess.run([sys.executable, "-c", KILLS, str(path), str(at)], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    first = bench.calls()
    kept = len(bench.events())
    result = themis.run(path)
    assert (result.status, result.generated, len(bench.calls())) == ("completed", 15 - kept, 15 - kept)
    assert len(first) <= kept + 2  # those in flight
    assert len(bench.events()) == len(set(bench.events())) == 15


# --- shared, compared, limited, planned ---------------------------------------------------------------------


def test_trials_that_share_turns_ask_for_them_once_and_end_each_by_its_own_rule(bench: Bench) -> None:
    path = bench.spec(SIMULATED, items=2)
    data = json.loads(path.read_text("utf-8"))
    (variant,) = data["benchmark"]["prompt_variants"]
    short = {**variant, "id": "short", "conversation": {**SIMULATED, "until": "turn == 1"}}
    plain = {**variant, "id": "plain", "conversation": None}
    data["benchmark"]["prompt_variants"] = [short, plain, variant, {**variant, "id": "same"}]
    path.write_text(json.dumps(data), encoding="utf-8")
    result = themis.run(path)
    assert (result.status, result.generated, len(set(bench.events()))) == ("completed", 10, 10)
    with themis.open_results(path) as results:
        texts = {
            row.prompt_variant_id: results.trial(result.run_id, row.trial_id)["turns"][-1]["generation"]["text"]
            for row in results.trials(result.run_id)
            if row.item_id == "i0"
        }
    whole = "re: " * 5 + "q0"
    assert texts == {"short": "re: q0", "plain": "re: q0", "v": whole, "same": whole}


def test_two_runs_at_once_pay_for_a_conversation_once(both: Bench) -> None:
    both.rules({})
    path = both.spec(SIMULATED, items=4)
    other = path.with_name("other.json")
    other.write_text(path.read_text("utf-8").replace('"benchmark_id": "b"', '"benchmark_id": "c"'), encoding="utf-8")
    run = "import sys, themis_core; sys.exit(themis_core.run(sys.argv[1]).exit_code)"
    running = [subprocess.Popen([sys.executable, "-c", run, str(each)]) for each in (path, other)]
    assert [each.wait(120) for each in running] == [0, 0]
    assert len(both.calls()) == len(both.events()) == len(set(both.events())) == 20


def test_judges_read_the_whole_conversation_and_that_of_the_baseline(bench: Bench) -> None:
    judge = {"judge": {"model": {"model_id": "j", "provider": "mine/talker"}}}
    bench.rules(
        {"m|q0": {"text": "yes"}, "other|q0": {"text": "no"}, "u|yes": {"text": "So?"}, "u|no": {"text": "Oh."}}
    )
    scores = [{"name": "judged", "metrics": [{"id": "mine/comparing", **judge}]}]
    conversation = {**SIMULATED, "max_turns": 2}
    result = bench.run(conversation, scores=scores, models=("m", "other"))
    assert result.status == "completed"
    (asked,) = [call for call in bench.calls() if call.startswith("j: ")]
    heard = "Be kind. / q0 / yes / So? / re: So?"
    assert asked == f"j: judge {heard} of Be kind. / q0 / So? against Be kind. / q0 / no / Oh. / re: Oh."
    plan = themis.plan(bench.spec(conversation, scores=scores, models=("m", "other"), benchmark_id="c"))
    assert plan.to_call == 0
    again = bench.run(conversation, scores=scores, models=("m", "other"), benchmark_id="c")
    assert (again.generated, bench.calls()) == (0, [])


def test_the_plan_counts_the_most_and_says_so(bench: Bench) -> None:
    price = {"input_per_million": 1_000_000, "output_per_million": 1_000_000}
    user = {**USER, "model": {**USER["model"], "price": price}, "params": {"max_tokens": 7}}
    models = [{"model_id": "m", "provider": "mine/talker", "price": price}]
    path = _priced(bench, {**SIMULATED, "user": user}, models)
    data = json.loads(path.read_text("utf-8"))
    data["benchmark"]["inference_grid"] = {"params": [{"max_tokens": 11}]}
    path.write_text(json.dumps(data), encoding="utf-8")
    plan = themis.plan(path)
    (row,), (its,) = plan.per_model, plan.users
    # "Be kind." and "q0" are 10 characters in 2 messages; each turn adds the most of the model and of its user.
    first = 10 // 4 + 8
    tokens = first + (first + 11 + 7) + (first + 2 * (11 + 7))
    assert (row["calls"], row["max_output_tokens"], row["input_tokens"]) == (3, 33, tokens)
    assert (its["prompt_variant_id"], its["model_id"], its["calls"], its["max_output_tokens"]) == ("v", "user", 2, 14)
    assert (plan.to_call, plan.at_most) == (5, True)
    assert plan.cost == row["cost"] + its["cost"]
    bench.rules({"m|q0": {"text": "yes"}, "u|yes": {"text": "[END]"}})
    assert themis.run(path).generated == 2
    assert themis.plan(path).to_call == 0


def test_a_budget_holds_for_the_user_as_well(bench: Bench) -> None:
    price = {"input_per_million": 100_000, "output_per_million": 0}
    user = {**USER, "model": {**USER["model"], "price": price}}
    models = [{"model_id": "m", "provider": "mine/talker", "price": price}]
    result = themis.run(_priced(bench, {**SIMULATED, "user": user}, models, max_calls=2))
    assert (result.status, result.exit_code, len(bench.calls())) == ("stopped", 6, 2)
    assert themis.run(_priced(bench, {**SIMULATED, "user": user}, models)).generated == 3
    unpriced = {**SIMULATED, "user": USER}
    with pytest.raises(themis.SpecError, match=r"user\.model.*no price"):
        themis.run(_priced(bench, unpriced, models, max_cost=1))


@pytest.mark.parametrize(("allowed", "calls"), [(0.5, 0), (2, 1), (5, 2), (8, 3), (12, 5)])
def test_max_cost_stops_in_mid_conversation_and_pays_for_nothing_twice(both: Bench, allowed: float, calls: int) -> None:
    price = {"input_per_million": 100_000, "output_per_million": 100_000}  # each call costs 1.5, and 5 tokens may come
    user = {**USER, "model": {**USER["model"], "price": price}, "params": {"max_tokens": 5}}
    models = [{"model_id": "m", "provider": "mine/talker", "price": price, "params": {"set": {"max_tokens": 5}}}]
    result = themis.run(_priced(both, {**SIMULATED, "user": user}, models, max_cost=allowed))
    assert (len(both.calls()), result.generated, result.cost or 0) == (calls, calls, 1.5 * calls)
    assert result.status == ("completed" if calls == 5 else "stopped")
    whole = themis.run(_priced(both, {**SIMULATED, "user": user}, models))
    assert (whole.status, len(both.calls()), whole.cost) == ("completed", 5 - calls, 7.5)


def test_what_the_user_answered_is_told_apart_from_what_the_model_did(bench: Bench) -> None:
    judge = {"id": "mine/asking", "judge": {"model": {"model_id": "j", "provider": "mine/talker"}}}
    result = bench.run(SIMULATED, scores=[{"name": "j", "metrics": [judge]}])
    assert (result.generated, result.simulated, result.judged) == (6, 2, 1)
    again = bench.run(SIMULATED, scores=[{"name": "j", "metrics": [judge]}])
    assert (again.generated, again.simulated, again.judged) == (0, 0, 0)


def test_prices_of_a_user_are_in_no_identity(bench: Bench) -> None:
    first = bench.run(SIMULATED)
    priced = {**USER, "model": {**USER["model"], "price": {"input_per_million": 1, "output_per_million": 1}}}
    assert bench.run({**SIMULATED, "user": priced}).run_id == first.run_id


def test_recorded_models_and_a_recorded_user_talk(bench: Bench) -> None:
    rows = [
        {"id": "i0", "model": "m", "match": "q0", "output": "Which order?"},
        {"id": "i0", "model": "m", "match": "A0", "output": "It is on its way."},
        {"id": "i0", "model": "u", "match": "Which order?", "output": "It is A0."},
        {"id": "i0", "model": "u", "match": "on its way", "output": "Fine. [END]"},
    ]
    (bench.folder / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recorded = {
        "provider": "replay/file",
        "extras": {"path": "said.jsonl", "fields": {"model": "model", "match": "match"}},
    }
    user = {**USER, "model": {"model_id": "u", **recorded}}
    path = _priced(bench, {**SIMULATED, "user": user}, [{"model_id": "m", **recorded}])
    result = themis.run(path)
    assert told(result) == ("completed", 4, 0, 0, 0)
    texts = ["Which order?", "It is A0.", "Fine. [END]", "It is on its way."]
    assert [each["generation"]["text"] for each in bench.trial(result)["turns"]] == texts


def test_an_engine_can_not_pass_its_answer_off_as_what_the_user_said(bench: Bench) -> None:
    bench.rules({"m|q0": {"text": "well", "provider": {"simulated_user": "x", "id": "1"}}})
    (turn, *_) = bench.trial(bench.run({"max_turns": 2, "rules": [{"say": "Go on."}]}))["turns"]
    assert turn["generation"]["provider"] == {"id": "1"}


def test_metrics_of_a_prompt_of_one_turn_are_handed_no_conversation(bench: Bench) -> None:
    bench.run(None)
    assert [entry[1] for entry in bench.log() if entry[0] == "scored"] == [[]]


def test_follow_ups_are_heard_and_found_again_after_an_early_end(bench: Bench) -> None:
    bench.rules({"m|Sure?": {"status": "refused", "text": "No."}})
    turns = {"follow_ups": [{"role": "user", "content": text} for text in ("Sure?", "Why?")]}
    bench.run(None, variant=turns)
    (heard,) = [entry[1] for entry in bench.log() if entry[0] == "scored"] or [None]
    assert heard is None  # a refused answer is not put to the metric
    again = bench.run(None, variant=turns, benchmark_id="another")
    assert (told(again), bench.log()) == (("completed", 0, 1, 0, 0), [])
    bench.rules({})
    bench.run(None, variant={"id": "w", **turns}, items=2)
    heard = [entry[1] for entry in bench.log() if entry[0] == "scored"][-1]
    assert heard[-2:] == ["user: Why?", "assistant: re: Why?"]


def test_exports_and_the_table_of_calls_tell_the_user_from_the_model(bench: Bench) -> None:
    from themis_plugin_interop.tables import table_rows
    from themis_plugin_report.gathering import gathered, opened

    bench.rules({"u|re: re: q0": {"text": "[END]"}})
    result = bench.run({**SIMULATED, "rules": [{"when": "turn == 1", "say": "By rule."}]}, models=("m",))
    assert result.generated == 4
    with opened(bench.folder / "spec.json", None) as (results, store):
        rows = [(row["role"], row["turn"], row["answer"]) for row in table_rows(store, "generations", [result.run_id])]
        made = gathered(results, store, [result.run_id])
        with closing(made.index):
            calls = {(system.model_id, system.prompt_variant_id): each.calls for system, each in made.calls.items()}
    assert [role for role, *_ in rows].count("user") == 1
    assert calls == {("m", "v"): 3, ("u", "simulated user"): 1}


def test_a_prompt_of_a_judge_shows_the_conversation_and_costs_no_call_twice(bench: Bench) -> None:
    judge = {
        "id": "judge/rubric",
        "config": {
            "criteria": [{"text": "It is polite."}],
            "prompt": "{{ conversation }} {{ answer }} {% for each in criteria %}{{ each }}{% endfor %}",
        },
        "judge": {"model": {"model_id": "j", "provider": "mine/talker"}},
    }
    scores = [{"name": "polite", "metrics": [judge]}]
    conversation = {"max_turns": 2, "rules": [{"say": "Go on."}]}
    bench.run(conversation, scores=scores)
    asked = [call for call in bench.calls() if call.startswith("j: ")]
    script = "[system]\nBe kind.\n\n[user]\nq0\n\n[assistant]\nre: q0\n\n[user]\nGo on.\n\n[assistant]\nre: Go on."
    assert len(asked) == 2  # asked again, for it says nothing of a verdict
    assert script in asked[0]
    assert themis.plan(bench.spec(conversation, scores=scores, benchmark_id="c")).to_call == 0


def test_what_can_not_be_stored_in_the_middle_costs_its_trial_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from themis_core.execution import endpoint

    check = endpoint.as_generation

    def leaky(returned: Any) -> themis.Generation:  # as if a check had a hole
        generation = check(returned)
        return replace(generation, provider={"raw": object()}) if generation.text == "re: q0" else generation

    conversation = {"max_turns": 2, "rules": [{"say": "Go on."}]}
    with monkeypatch.context() as patch:
        patch.setattr(endpoint, "as_generation", leaky)
        result = bench.run(conversation, items=2)
    assert (result.status, result.failed, result.ledger["failures"]) == ("failed", 1, {"engine_error": 1})
    assert "no store can encode" in result.errors["engine_error"]
    assert bench.run(conversation, items=2).status == "completed"
