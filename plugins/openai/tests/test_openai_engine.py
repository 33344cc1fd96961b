"""What every engine has to do, and whole conversations over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from themis_core import Capabilities, Engine, EngineError, Generation, Request, Usage
from themis_core.testing.engine import EngineSuite
from themis_core.testing.server import ScriptedServer
from themis_plugin_openai.engines import OpenAIChat, OpenAICompletions

Ask = Callable[..., list[Generation | EngineError]]
RequestOf = Callable[..., Request]


class TestChat(EngineSuite):
    kind: type[OpenAIChat] | type[OpenAICompletions] = OpenAIChat

    @pytest.fixture
    def engine(self, server: ScriptedServer) -> Engine:
        server.reset({"faults": [{"match": "fail", "status": 500}]})
        return self.kind(base_url=server.base_url, headers={"X-Title": "bench"})

    @pytest.fixture
    def asked(self, request_of: RequestOf) -> Request:
        return request_of("2 + 2?", temperature=0.0, n=2)

    @pytest.fixture
    def failing(self, request_of: RequestOf) -> Request:
        return request_of("fail")


class TestCompletions(TestChat):
    kind = OpenAICompletions


def test_they_can_do_what_they_say() -> None:
    assert OpenAIChat.capabilities == Capabilities(
        seed=True, logprobs=True, n=True, tools=True, images=True, audio=True, files=True, structured=True, batches=True
    )
    assert OpenAICompletions.capabilities == Capabilities(
        seed=True, logprobs=True, n=True, structured=True, batches=True
    )


@pytest.mark.usefixtures("carrier")
@pytest.mark.parametrize("kind", [OpenAIChat, OpenAICompletions])
def test_a_whole_answer_comes_over_the_wire(
    kind: type[OpenAIChat], server: ScriptedServer, ask: Ask, request_of: RequestOf
) -> None:
    server.reset({"answers": {"rule": "constant", "output": "A: 4"}})
    (answer,) = ask(kind(base_url=server.base_url), request_of("2 + 2?", n=2))
    assert isinstance(answer, Generation)
    assert answer == Generation(
        latency_s=answer.latency_s,
        status="answered",
        text="A: 4",
        finish_reason="stop",
        usage=Usage(input_tokens=2, output_tokens=4),
        alternatives=("A: 4",),
        provider={"id": "scripted-1", "model": "small-1"},
    )


@pytest.mark.usefixtures("carrier")
def test_the_latency_is_that_of_the_request_to_its_last_byte(
    server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf
) -> None:
    server.reset({"latency_s": 0.2, "faults": [{"at": 1, "chunk": 150, "pause_s": 0.2}]})
    dripping, plain = ask(chat, [request_of(), request_of()])
    assert isinstance(dripping, Generation)
    assert isinstance(plain, Generation)
    assert dripping.latency_s is not None
    assert plain.latency_s is not None
    assert dripping.latency_s >= 0.4 > plain.latency_s >= 0.2


def test_recorded_answers_are_found_by_model_and_prompt_or_a_line_of_it(
    server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf, tmp_path: Path
) -> None:
    recorded = tmp_path / "recorded.jsonl"
    rows = [{"model": "small-1", "prompt": "2 + 2?", "output": "A: 4"}, {"prompt": "1 + 1?", "output": "A: 2"}]
    recorded.write_text("".join(json.dumps(row) + "\n" for row in rows))
    row = {"prompt": "tool", "output": {"content": None, "tool_calls": [{"id": "c"}], "finish_reason": "tool_calls"}}
    server.reset({"answers": {"rule": "table", "files": [str(recorded)], "rows": [row]}})
    found = ask(chat, [request_of(text) for text in ("2 + 2?", "Think.\n1 + 1?\nEnd so.", "tool", "3 + 3?")])
    assert [each.text for each in found[:2] if isinstance(each, Generation)] == ["A: 4", "A: 2"]
    assert isinstance(found[2], Generation)
    assert (found[2].status, found[2].tool_calls) == ("answered", ({"id": "c"},))
    assert str(found[3]) == "bad_request: HTTP 400: no recorded output of 'small-1' for this prompt"


def test_a_wrong_key_is_unauthorized(
    key: str, server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reset({"api_key": key})
    assert isinstance(ask(chat, request_of())[0], Generation)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-123456")
    (failure,) = ask(chat, request_of())
    assert str(failure) == "unauthorized: HTTP 401: Incorrect API key provided: [redacted]"


WHOLE = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}]}
QUEUED = {"id": "job-1", "status": "queued"}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, WHOLE, "answered"),
        (201, WHOLE, "answered"),
        (202, WHOLE, "answered"),
        (203, WHOLE, "answered"),
        (201, QUEUED, "invalid_reply"),  # accepted is not answered
        (202, QUEUED, "invalid_reply"),
        (202, {}, "invalid_reply"),
        (206, WHOLE, "invalid_reply"),  # a part, by its own word
        (207, WHOLE, "invalid_reply"),
    ],
)
def test_a_whole_completion_is_an_answer_whatever_success_its_status_is(
    status: int, body: dict[str, object], expected: str, server: ScriptedServer, chat: OpenAIChat, ask: Ask,
    request_of: RequestOf,
) -> None:  # fmt: skip
    server.reset({"faults": [{"status": status, "body": body}]})
    (found,) = ask(chat, request_of("2 + 2?"))
    assert (found.status if isinstance(found, Generation) else found.code) == expected
    assert [each.status for each in server.requests()] == [status]
