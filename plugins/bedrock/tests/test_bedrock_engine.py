"""What every engine has to do, the credentials, the threads, and what happens on the network."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from themis_core import Capabilities, Engine, EngineError, Generation, Request, SpecError, Usage
from themis_core.testing.engine import EngineSuite, outcomes
from themis_core.testing.secrets import KEY, KeySuite, assert_hidden, everything_said
from themis_core.testing.server import ScriptedServer
from themis_pacing import attempt_ends
from themis_plugin_bedrock.engine import BedrockConverse

RequestOf = Callable[..., Request]
GUARDRAIL = {"guardrailIdentifier": "abc123", "guardrailVersion": "1"}
RENEWED = """\
import datetime, json, pathlib
count = pathlib.Path(__file__).with_suffix(".count")
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5)
token = f"{number}-canary-77aa66bb55cc44dd33ee22ff"
keys = {"AccessKeyId": "AKIALAB", "SecretAccessKey": "secret-of-the-lab-1234", "SessionToken": token}
print(json.dumps({"Version": 1, "Expiration": soon.isoformat(), **keys}))
"""
"""A program that gives other credentials each time, of which the SDK wants new ones for each request."""


class TestConverse(EngineSuite):
    @pytest.fixture
    def engine(self, server: ScriptedServer) -> Engine:
        server.reset({"faults": [{"match": "fail", "status": 500}]})
        return BedrockConverse(endpoint_url=server.origin, cache=["system"])

    @pytest.fixture
    def asked(self, request_of: RequestOf) -> Request:
        return request_of("2 + 2?", temperature=0.0)

    @pytest.fixture
    def failing(self, request_of: RequestOf) -> Request:
        return request_of("fail")


class TestSessionTokens(KeySuite):
    """The one of the credentials that is sent as it is, a bearer token aside, which goes over https only."""

    @pytest.fixture
    def server(self, server: ScriptedServer) -> ScriptedServer:
        return server

    @pytest.fixture
    def model(self, server: ScriptedServer) -> dict[str, Any]:
        return {"model_id": "small-1", "provider": "bedrock/converse", "extras": {"endpoint_url": server.origin}}

    @pytest.fixture
    def key(self, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("AWS_SESSION_TOKEN", KEY)
        return KEY


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_no_credential_that_is_repeated_is_shown_or_kept(
    name: str, server: ScriptedServer, request_of: RequestOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "canary/77aa66bb55cc44dd33ee22ff"
    monkeypatch.setenv(name, secret)
    said = {"status": 403, "error": {"message": f"not with {secret}", "type": "InvalidSignatureException"}}
    server.reset({"faults": [{"at": 1, **said}], "answers": {"rule": "constant", "output": f"it is {secret}"}})
    failure, answer = outcomes(BedrockConverse(endpoint_url=server.origin), [request_of(), request_of()])
    assert isinstance(failure, EngineError)
    assert failure.message == "InvalidSignatureException: not with [redacted]"
    assert_hidden(secret, everything_said(failure))
    assert isinstance(answer, Generation)
    assert answer.text == "it is [redacted]"


def test_credentials_that_are_renewed_in_a_run_are_hidden_as_well(
    server: ScriptedServer, request_of: RequestOf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "renew.py").write_text(RENEWED, encoding="utf-8")
    (tmp_path / "config").write_text(
        f"[profile lab]\nregion = eu-west-1\ncredential_process = {sys.executable} {tmp_path / 'renew.py'}\n", "utf-8"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    told = " ".join(f"{number}-canary-77aa66bb55cc44dd33ee22ff" for number in range(1, 9))
    error = {"message": f"not with {told}", "type": "InvalidSignatureException"}
    server.reset({"faults": [{"every": 1, "status": 403, "error": error}]})
    outcome = outcomes(BedrockConverse(endpoint_url=server.origin, profile="lab"), [request_of(), request_of()])
    sent = [each.headers["x-amz-security-token"] for each in server.requests()]
    assert len({*sent}) == 2
    for failure, token in zip(outcome, sent, strict=True):
        assert isinstance(failure, EngineError)
        assert token not in failure.message


def test_a_whole_answer_comes_over_the_wire(server: ScriptedServer, request_of: RequestOf) -> None:
    server.reset({"answers": {"rule": "constant", "output": {"content": "A: 4", "reasoning": "two and two"}}})
    (answer,) = outcomes(BedrockConverse(endpoint_url=server.origin), [request_of(max_tokens=64)])
    assert isinstance(answer, Generation)
    reasoning = {"reasoningContent": {"reasoningText": {"text": "two and two", "signature": "c2NyaXB0ZWQ="}}}
    assert answer == Generation(
        "answered",
        text="A: 4",
        reasoning="two and two",
        finish_reason="end_turn",
        usage=Usage(input_tokens=2, output_tokens=2),
        latency_s=answer.latency_s,
        provider={"handed_back": {"content": [reasoning, {"text": "A: 4"}]}},
    )
    assert answer.latency_s is not None
    (served,) = server.requests()
    assert (served.method, served.path) == ("POST", "/model/eu.maker.small-v1%3A0/converse")
    assert served.body == {
        "messages": [{"role": "user", "content": [{"text": "2 + 2?"}]}],
        "inferenceConfig": {"maxTokens": 64},
    }
    assert "Credential=AKIACANARY0123456789/" in served.headers["authorization"]
    assert "/eu-west-1/bedrock/" in served.headers["authorization"]
    assert "themis-plugin-bedrock" in served.headers["user-agent"]


def test_the_sdk_tries_nothing_again(server: ScriptedServer, request_of: RequestOf) -> None:
    server.reset({"faults": [{"status": 503}]})
    (failure,) = outcomes(BedrockConverse(endpoint_url=server.origin), [request_of()])
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable, server.count) == ("overloaded", True, 1)


@pytest.mark.parametrize(
    ("fault", "code", "unknown"),
    [
        ({"cut": 0}, "connection", True),
        ({"cut": 0, "ending": "abort"}, "connection", True),
        ({"cut": 150, "ending": "abort"}, "connection", True),
        ({"body": "{"}, "invalid_reply", True),
        ({"body": "<html>"}, "invalid_reply", True),
        ({"body": "{}"}, "invalid_reply", False),
        ({"body": "[]"}, "invalid_reply", False),
    ],
)
def test_what_breaks_on_the_way_is_never_an_answer(
    fault: dict[str, Any], code: str, unknown: bool, server: ScriptedServer, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"at": 1, **fault}]})
    failure, answer = outcomes(BedrockConverse(endpoint_url=server.origin), [request_of(), request_of()])
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.unknown_outcome) == (code, unknown), failure
    assert isinstance(answer, Generation)
    assert answer.text == "2 + 2?"


def test_nobody_listens(request_of: RequestOf) -> None:
    (failure,) = outcomes(BedrockConverse(endpoint_url="http://127.0.0.1:9"), [request_of()])
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable) == ("unreachable", True)


def test_an_attempt_ends_in_its_time_and_holds_up_nothing(server: ScriptedServer, request_of: RequestOf) -> None:
    server.reset({"faults": [{"match": "slow", "ending": "stall", "cut": 0}]})
    engine = BedrockConverse(endpoint_url=server.origin)

    async def story() -> tuple[float, Any, Any]:
        await engine.start()
        try:
            attempt_ends.set(time.monotonic() + 0.6)
            slow = asyncio.create_task(engine.generate(request_of("slow")))
            attempt_ends.set(None)
            await asyncio.sleep(0.05)
            quick = await engine.generate(request_of("quick"))
            begun = time.monotonic()
            try:
                async with asyncio.timeout(5):
                    failed = await asyncio.gather(slow, return_exceptions=True)
            finally:
                took = time.monotonic() - begun
            return took, quick, failed[0]
        finally:
            await engine.stop()

    took, quick, failed = asyncio.run(story())
    assert quick.text == "quick"
    assert isinstance(failed, EngineError)
    assert (failed.code, failed.unknown_outcome) == ("timeout", True)
    assert took < 3


def test_many_calls_wait_side_by_side(server: ScriptedServer, request_of: RequestOf) -> None:
    server.reset({"latency_s": 0.5})
    engine = BedrockConverse(endpoint_url=server.origin)

    async def story() -> list[Generation]:
        await engine.start()
        try:
            return await asyncio.gather(*(engine.generate(request_of(str(number))) for number in range(40)))
        finally:
            await engine.stop()

    assert sorted(each.text for each in asyncio.run(story())) == sorted(map(str, range(40)))
    assert server.peak > 20


def test_a_missing_region_or_credential_is_told_in_the_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    BedrockConverse().check(tmp_path)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(SpecError, match="needs a region: set `region`"):
        BedrockConverse().check(tmp_path)
    BedrockConverse(region="us-east-1").check(tmp_path)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SpecError, match="finds no credentials"):
        BedrockConverse(region="us-east-1").check(tmp_path)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-x")
    BedrockConverse(region="us-east-1").check(tmp_path)
    with pytest.raises(SpecError, match=r"profile \(nobody\)"):
        BedrockConverse(profile="nobody").check(tmp_path)


def test_a_profile_gives_region_and_credentials(
    server: ScriptedServer, request_of: RequestOf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    config = tmp_path / "config"
    lines = ("[profile lab]", "region = eu-north-1", "aws_access_key_id = AKIALAB", "aws_secret_access_key = s" * 1)
    config.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    engine = BedrockConverse(profile="lab", endpoint_url=server.origin)
    engine.check(tmp_path)
    outcomes(engine, [request_of()])
    assert "Credential=AKIALAB/" in server.requests()[0].headers["authorization"]
    assert "/eu-north-1/" in server.requests()[0].headers["authorization"]


def test_what_it_is_reached_by_is_no_identity_and_what_it_is_asked_is() -> None:
    plain = BedrockConverse().identity()
    assert BedrockConverse(region="us-east-1", profile="lab", cache=["system"], cache_ttl="1h").identity() == plain
    for config in ({"endpoint_url": "https://h"}, {"additional_fields": {"top_k": 4}}, {"guardrail": GUARDRAIL}):
        assert BedrockConverse(**config).identity() != plain  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "endpoint"),
    [
        ({}, "bedrock-runtime eu-west-1"),
        ({"region": "us-east-1"}, "bedrock-runtime us-east-1"),
        ({"region": "us-east-1", "profile": "lab"}, "bedrock-runtime us-east-1 (lab)"),
        ({"endpoint_url": "https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com/x"},
         "https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com"),
    ],
)  # fmt: skip
def test_limits_are_of_a_region_and_an_account(config: dict[str, Any], endpoint: str) -> None:
    assert BedrockConverse(**config).endpoint == endpoint


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"endpoint_url": "bedrock"}, "write a whole address"),
        ({"endpoint_url": "https://me:secret-canary@h"}, "holds credentials"),
        ({"region": "eu west"}, "write a name"),
        ({"profile": "AKIAIOSFODNN7EXAMPLE"}, "never a key"),
        ({"cache_ttl": "2h"}, "'5m' or '1h'"),
        ({"guardrail": {"identifier": "a"}}, "write {guardrailIdentifier: "),
        ({"guardrail": {**GUARDRAIL, "traces": "enabled"}}, "if wanted, trace"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        BedrockConverse(**config)
    assert words in str(caught.value)
    assert "canary" not in str(caught.value)


def test_it_can_do_what_it_says() -> None:
    assert BedrockConverse.capabilities == Capabilities(
        tools=True, images=True, audio=True, files=True, structured=True
    )
