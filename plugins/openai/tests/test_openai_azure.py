"""`openai/azure`: where requests go, how they are authorised, and what documented replies and errors come to."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from themis_core import Engine, EngineError, Generation, Request, SpecError, Usage
from themis_core.testing.engine import EngineSuite
from themis_core.testing.secrets import KeySuite
from themis_core.testing.server import ScriptedServer
from themis_plugin_openai import tokens
from themis_plugin_openai.azure import AzureChat

Ask = Callable[..., list[Generation | EngineError]]
RequestOf = Callable[..., Request]
FILTERS = ("hate", "self_harm", "sexual", "violence")


@pytest.fixture(autouse=True)
def azure_key(monkeypatch: pytest.MonkeyPatch, key: str) -> str:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", key)
    return key


@pytest.fixture
def azure(server: ScriptedServer) -> AzureChat:
    return AzureChat(base_url=server.origin)


class TestAzure(EngineSuite):
    @pytest.fixture
    def engine(self, server: ScriptedServer) -> Engine:
        server.reset({"faults": [{"match": "fail", "status": 500}]})
        return AzureChat(base_url=server.origin, deployment="prod-4o")

    @pytest.fixture
    def asked(self, request_of: RequestOf) -> Request:
        return request_of("2 + 2?", temperature=0.0)

    @pytest.fixture
    def failing(self, request_of: RequestOf) -> Request:
        return request_of("fail")


class TestKeys(KeySuite):
    @pytest.fixture
    def server(self, server: ScriptedServer) -> ScriptedServer:
        return server

    @pytest.fixture
    def key(self, key: str) -> str:
        return key

    @pytest.fixture
    def model(self, server: ScriptedServer) -> dict[str, Any]:
        return {"model_id": "m", "provider": "openai/azure", "extras": {"base_url": server.origin}}


class TestTokens(TestKeys):
    @pytest.fixture
    def model(self, server: ScriptedServer) -> dict[str, Any]:
        extras = {"base_url": server.origin, "token_env": "AZURE_OPENAI_API_KEY"}
        return {"model_id": "m", "provider": "openai/azure", "extras": extras}


@pytest.mark.usefixtures("carrier")
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_goes_to_the_deployment_with_the_version_and_the_key(
    stream: bool, server: ScriptedServer, ask: Ask, request_of: RequestOf, azure_key: str
) -> None:
    server.reset({"api_key": azure_key})
    engine = AzureChat(base_url=server.origin, api_version="2025-04-01-preview", deployment="prod-4o", stream=stream)
    (answer,) = ask(engine, request_of("two words"))
    assert isinstance(answer, Generation), answer
    assert (answer.text, answer.usage) == ("two words", Usage(3, 3))
    (request,) = server.requests()
    assert request.path == "/openai/deployments/prod-4o/chat/completions?api-version=2025-04-01-preview"
    assert (request.headers["api-key"], request.model) == (azure_key, "prod-4o")
    assert "authorization" not in request.headers


def test_batches_are_refused_as_their_paths_there_are_others() -> None:
    assert not AzureChat.capabilities.batches
    assert AzureChat.capabilities.tools


def test_the_deployment_is_the_models_name_unless_it_is_told(
    server: ScriptedServer, azure: AzureChat, ask: Ask, request_of: RequestOf
) -> None:
    ask(azure, request_of())
    assert server.requests()[0].path == "/openai/deployments/small-1/chat/completions?api-version=2024-10-21"


def test_a_name_that_no_deployment_can_have_is_no_part_of_an_address(
    server: ScriptedServer, azure: AzureChat, ask: Ask
) -> None:
    (error,) = ask(azure, Request("org/model?x", [{"role": "user", "content": "?"}], {}))
    assert isinstance(error, EngineError)
    assert (error.code, "write `deployment`" in error.message, server.count) == ("unsupported", True, 0)
    with pytest.raises(ValueError, match="write `deployment`"):  # and in the plan
        azure.check_request(Request("org/model", [{"role": "user", "content": "?"}], {}))


def test_filters_of_a_stream_are_those_that_it_told_last(
    server: ScriptedServer, ask: Ask, request_of: RequestOf
) -> None:
    told = [results(), results(violence="low"), results(violence="high")]
    choices = [{"index": 0, "delta": {"content": "a"}, "content_filter_results": each} for each in told]
    choices.append({"index": 0, "delta": {}, "finish_reason": "content_filter", "content_filter_results": {}})
    body = "".join(f"data: {json.dumps({'choices': [each]})}\n\n" for each in choices)
    server.reset({"faults": [{"body": body}]})
    (answer,) = ask(AzureChat(base_url=server.origin, stream=True), request_of())
    assert isinstance(answer, Generation)
    assert (answer.status, answer.refusal) == ("refused", "filtered by Azure: violence (high)")


def test_a_token_takes_the_place_of_the_key(
    server: ScriptedServer, ask: Ask, request_of: RequestOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTRA_TOKEN", "eyJ.canary-token.5f3a9c71")
    ask(AzureChat(base_url=server.origin, token_env="ENTRA_TOKEN"), request_of())
    (request,) = server.requests()
    assert request.headers["authorization"] == "Bearer eyJ.canary-token.5f3a9c71"
    assert "api-key" not in request.headers


def test_a_token_that_is_not_there_is_missed_before_the_first_call(tmp_path: Any, server: ScriptedServer) -> None:
    with pytest.raises(SpecError, match="ENTRA_TOKEN is not set"):
        AzureChat(base_url=server.origin, token_env="ENTRA_TOKEN").check(tmp_path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"base_url": "https://r.openai.azure.com/openai/deployments/x"}, "the address of the resource alone"),
        ({"base_url": "https://r.openai.azure.com?api-version=2024-10-21"}, "the address of the resource alone"),
        ({"base_url": "https://r.openai.azure.com/openai/v1/"}, "/openai/v1 is the address of an interface without"),
        ({"base_url": "https://r.services.ai.azure.com/models"}, "provider: openai/chat"),
        ({"base_url": "https://r.openai.azure.com", "api_version": "newest"}, "api_version"),
        ({"base_url": "https://r.openai.azure.com", "deployment": "../x"}, "a deployment's name"),
        ({"base_url": "https://r.openai.azure.com", "token_env": "eyJhbGciOi.x.y"}, "the name of an environment"),
        ({}, "base_url"),
    ],
)
def test_a_config_that_can_not_be_meant_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AzureChat(**config)


def test_the_address_may_end_with_openai() -> None:
    engine = AzureChat(base_url="https://r.openai.azure.com/openai/")
    assert engine.identity()["base_url"] == "https://r.openai.azure.com"
    assert {"api_version", "deployment"} <= engine.identity().keys()
    assert "token_env" not in engine.identity()


def results(**filtered: str) -> dict[str, Any]:
    return {name: {"filtered": name in filtered, "severity": filtered.get(name, "safe")} for name in FILTERS}


def said(finish: str | None = "stop", filters: dict[str, Any] | None = None, **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}, "logprobs": None}
    filters = results() if filters is None else filters
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-2024-08-06", "system_fingerprint": "fp_1",
        "choices": [choice | {"content_filter_results": filters}],
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": results()}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    }  # fmt: skip


CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
REPLIES: list[tuple[dict[str, Any], str, str, str | None]] = [
    (said(content="4"), "answered", "4", None),
    (said("length", content="one two"), "truncated", "one two", None),
    (said("tool_calls", content=None, tool_calls=[CALL]), "answered", "", None),
    (said(content=""), "empty", "", None),
    (said(content=None, refusal="I can't help."), "refused", "", "I can't help."),
    (said("content_filter", results(hate="high"), content=None), "refused", "", "filtered by Azure: hate (high)"),
    (said("content_filter", results(hate="medium", violence="high"), content=""), "refused", "",
     "filtered by Azure: hate (medium), violence (high)"),
    (said("content_filter", results(sexual="medium"), content="one two"), "refused", "one two",
     "filtered by Azure: sexual (medium)"),
    (said("content_filter", {"protected_material_text": {"filtered": True, "detected": True}}, content=""), "refused",
     "", "filtered by Azure: protected_material_text"),
    (said("content_filter", {}, content=""), "refused", "", None),
    (said("content_filter", {"error": {"code": "content_filter_error", "message": "down"}}, content=""), "refused", "",
     None),
    (said("stop", {"error": {"code": "content_filter_error", "message": "down"}}, content="4"), "answered", "4", None),
    (said("content_filter", {"custom_blocklists": {"filtered": True, "details": []}}, content=""), "refused", "",
     "filtered by Azure: custom_blocklists"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "text", "refusal"), REPLIES)
def test_a_reply_is_read(
    body: dict[str, Any], status: str, text: str, refusal: str | None, server: ScriptedServer, azure: AzureChat,
    ask: Ask, request_of: RequestOf,
) -> None:  # fmt: skip
    server.reset({"faults": [{"body": body}]})
    (answer,) = ask(azure, request_of())
    assert isinstance(answer, Generation), answer
    assert (answer.status, answer.text, answer.refusal, answer.usage) == (status, text, refusal, Usage(9, 5))


FILTERED = {
    "code": "content_filter", "status": 400, "param": "prompt", "type": None,
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": results(hate="high")},
}  # fmt: skip
FAILURES: list[tuple[int, Any, str, bool]] = [
    (400, {"error": FILTERED}, "content_filter", False),
    (400, {"error": {"code": "ResponsibleAIPolicyViolation", "message": "no"}}, "content_filter", False),
    (400, {"error": {"code": "context_length_exceeded", "message": "maximum context length is 128000"}},
     "context_length", False),
    (400, {"error": {"code": "unsupported_parameter", "message": "Unsupported parameter: 'max_tokens'"}},
     "bad_request", False),
    (400, {"error": {"code": "unsupported_value", "message": "'temperature' does not support 0.0"}},
     "bad_request", False),
    (400, {"error": {"code": "OperationNotSupported", "message": "does not work with the specified model"}},
     "bad_request", False),
    (400, {"error": {"code": "BadRequest", "message": "Invalid API version"}}, "bad_request", False),
    (401, {"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, or expired"},
     "unauthorized", False),
    (401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key"}},
     "unauthorized", False),
    (401, {"error": {"code": "PermissionDenied", "message": "The principal lacks the required data action"}},
     "unauthorized", False),
    (403, {"error": {"code": "403", "message": "Access denied due to Virtual Network/Firewall rules."}},
     "forbidden", False),
    (404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}},
     "not_found", False),
    (404, {"error": {"code": "404", "message": "Resource not found"}}, "not_found", False),
    (408, {"error": {"code": "Timeout", "message": "The operation was timeout."}}, "server_error", True),
    (413, {"error": {"code": "413", "message": "too large"}}, "too_large", False),
    (424, {"error": {"code": "FailedDependency", "message": "x"}}, "bad_request", False),
    (429, {"error": {"code": "429", "message": "exceeded token rate limit. Please retry after 6 seconds."}},
     "rate_limited", True),
    (429, {"error": {"code": "too_many_requests", "message": "high demand"}}, "rate_limited", True),
    (429, {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}},
     "quota_exhausted", False),
    (500, {"error": {"code": "InternalServerError", "message": "Backend returned unexpected response"}},
     "server_error", True),
    (500, {"statusCode": 500, "message": "Internal server error", "activityId": "x"}, "server_error", True),
    (503, {"error": {"code": "ServiceUnavailable", "message": "temporarily unable"}}, "overloaded", True),
    (504, "<html><title>504 Gateway Time-out</title></html>", "server_error", True),
    (200, {"error": {"code": "500", "message": "x"}}, "server_error", True),
    (200, {"error": {"code": "content_filter", "message": "x", "status": 400}}, "content_filter", False),
    (200, said("error", content="half a"), "server_error", True),
    (200, {"choices": [], "prompt_filter_results": []}, "invalid_reply", False),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "code", "retryable"), FAILURES)
def test_a_failure_has_its_code(
    status: int, body: Any, code: str, retryable: bool, server: ScriptedServer, azure: AzureChat, ask: Ask,
    request_of: RequestOf,
) -> None:  # fmt: skip
    server.reset({"faults": [{"status": status, "body": body}]})
    (error,) = ask(azure, request_of())
    assert isinstance(error, EngineError), error
    assert (error.code, error.retryable) == (code, retryable)
    if status == 404:
        assert "/openai/deployments/small-1/" in error.message


def test_there_are_forty_cases() -> None:
    assert len(REPLIES) + len(FAILURES) >= 40


def test_the_wait_is_the_one_that_azure_asks_for(
    server: ScriptedServer, azure: AzureChat, ask: Ask, request_of: RequestOf
) -> None:
    headers = {"retry-after": "6", "retry-after-ms": "5500", "x-ratelimit-remaining-tokens": "0"}
    server.reset({"faults": [{"status": 429, "headers": headers}]})
    (error,) = ask(azure, request_of())
    assert isinstance(error, EngineError)
    assert error.retry_after == 5.5


def test_the_scripted_server_filters_as_azure_does(
    server: ScriptedServer, azure: AzureChat, ask: Ask, request_of: RequestOf
) -> None:
    server.reset({
        "answers": {"rule": "constant", "output": {"content": "x", "filtered": ["violence"]}},
        "faults": [{"match": "bad", "status": 400, "error": {"message": "no", "filtered": ["hate"]}}],
    })  # fmt: skip
    answer, error = ask(azure, [request_of("good"), request_of("bad")])
    assert isinstance(answer, Generation)
    assert (answer.status, answer.refusal) == ("refused", "filtered by Azure: violence (high)")
    assert isinstance(error, EngineError)
    assert error.code == "content_filter"


TOKEN = "eyJ.canary-of-a-command.0a1b2c3d"


@pytest.fixture
def printing(tmp_path: Path) -> Callable[[str], list[str]]:
    def printing(code: str) -> list[str]:
        return [sys.executable, "-c", f"import sys, pathlib\n{code}"]

    return printing


@pytest.mark.usefixtures("carrier")
@pytest.mark.parametrize("stream", [False, True])
def test_a_command_gives_the_token_once_for_many_requests(
    stream: bool, server: ScriptedServer, ask: Ask, request_of: RequestOf, printing: Any, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    command = printing(f"open({str(count)!r}, 'a').write('x'); print({TOKEN!r})")
    engine = AzureChat(base_url=server.origin, token_command=command, stream=stream)
    engine.check(tmp_path)
    answers = ask(engine, [request_of("a"), request_of("b")])
    assert [each.text for each in answers if isinstance(each, Generation)] == ["a", "b"]
    assert {each.headers["authorization"] for each in server.requests()} == {f"Bearer {TOKEN}"}
    assert all("api-key" not in each.headers for each in server.requests())
    assert count.read_text() == "x"


def test_the_token_of_a_command_is_in_no_message(
    server: ScriptedServer, ask: Ask, request_of: RequestOf, printing: Any
) -> None:
    server.reset({"faults": [{"status": 401, "echo_authorization": True}]})
    (error,) = ask(AzureChat(base_url=server.origin, token_command=printing(f"print({TOKEN!r})")), request_of())
    assert isinstance(error, EngineError)
    assert "canary-of-a-command" not in str(error)
    assert "[redacted]" in error.message


def test_a_token_that_is_no_longer_fresh_is_asked_for_again(
    server: ScriptedServer, ask: Ask, request_of: RequestOf, printing: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    count = tmp_path / "count"
    monkeypatch.setattr(tokens, "FRESH_S", -1.0)
    code = f"p = pathlib.Path({str(count)!r}); p.open('a').write('x'); print('canary-token-' + p.read_text())"
    ask(AzureChat(base_url=server.origin, token_command=printing(code)), [request_of(), request_of()])
    assert [each.headers["authorization"] for each in server.requests()] == [
        "Bearer canary-token-x", "Bearer canary-token-xx",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("sys.exit(3)", "ended with status 3"),
        ("print('please log in first')", "something else than one token"),
        ("pass", "something else than one token"),
    ],
)
def test_a_command_that_gives_no_token_is_a_failure_before_anything_is_sent(
    code: str, words: str, server: ScriptedServer, ask: Ask, request_of: RequestOf, printing: Any
) -> None:
    (error,) = ask(AzureChat(base_url=server.origin, token_command=printing(code)), request_of())
    assert isinstance(error, EngineError)
    assert (error.code, error.retryable, words in error.message) == ("unauthorized", False, True)
    assert server.count == 0


def test_a_token_of_before_is_in_no_message_either(
    server: ScriptedServer, ask: Ask, request_of: RequestOf, printing: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    count = tmp_path / "count"
    monkeypatch.setattr(tokens, "FRESH_S", -1.0)
    code = f"p = pathlib.Path({str(count)!r}); p.open('a').write('x'); print('canary-token-of-' + p.read_text() * 9)"
    server.reset({"faults": [{"at": 2, "status": 400, "error": {"message": f"no canary-token-of-{'x' * 9} here"}}]})
    _, error = ask(AzureChat(base_url=server.origin, token_command=printing(code)), [request_of(), request_of()])
    assert isinstance(error, EngineError)
    assert "no [redacted] here" in error.message


def test_a_command_that_is_not_there_is_missed_before_the_first_call(server: ScriptedServer, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such program"):
        AzureChat(base_url=server.origin, token_command=["no-such-program-here"]).check(tmp_path)
    with pytest.raises(ValueError, match="keep one"):
        AzureChat(base_url=server.origin, token_command=["az"], token_env="ENTRA_TOKEN")
