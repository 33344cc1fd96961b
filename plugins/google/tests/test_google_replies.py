"""What documented replies become: a table of good ones and a table of bad ones."""

from __future__ import annotations

from typing import Any

import pytest

from themis_core import ERROR_CODES, EngineError, Generation, Usage, canonical_json
from themis_core.testing.hostile import mutated
from themis_plugin_google.failures import meaning
from themis_plugin_google.reply import read_gemini, read_usage

TEXT = {"text": "4"}
SIGNED = {"text": "4", "thoughtSignature": "c2ln"}
THOUGHT = {"text": "two and two", "thought": True}
CALL = {"functionCall": {"name": "get_weather", "args": {"city": "Zürich"}}}
SIGNED_CALL = {"functionCall": {"id": "fc-1", "name": "get_weather", "args": {}}, "thoughtSignature": "c2ln"}
CODE = {"executableCode": {"language": "PYTHON", "code": "print(4)"}}
RAN = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "4"}}
RATING = {"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH", "blocked": True}


def call(name: str = "get_weather", arguments: str = '{"city": "Zürich"}', call_id: str = "call_1") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def reply(parts: Any, reason: Any = "STOP", more: dict[str, Any] | None = None, **whole: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0, **(more or {})}
    return {"candidates": [candidate], **whole}


def stopped(reason: Any, **more: Any) -> dict[str, Any]:
    """A candidate without content, as filters and empty answers give it."""
    return {"candidates": [{"finishReason": reason, "index": 0, **more}]}


def blocked(reason: str, **more: Any) -> dict[str, Any]:
    return {"promptFeedback": {"blockReason": reason, **more}}


def unknown(reason: str, status: str = "answered") -> dict[str, str]:
    what = f"the finish_reason {reason!r} is not known"
    return {"warning": f"{what}, so the answer counts as {status}, and may be cut or filtered"}


def back(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"handed_back": {"parts": [*parts]}}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (reply([TEXT]), Generation("answered", "4", finish_reason="STOP")),
        (reply([TEXT, {"text": "!"}]), Generation("answered", "4!", finish_reason="STOP")),
        (reply([{"text": " \n"}]), Generation("empty", " \n", finish_reason="STOP")),
        (reply([]), Generation("empty", finish_reason="STOP")),
        (reply(None), Generation("empty", finish_reason="STOP")),
        (stopped("STOP"), Generation("empty", finish_reason="STOP")),
        (stopped("STOP", content={"role": "model"}), Generation("empty", finish_reason="STOP")),
        (reply([TEXT], "MAX_TOKENS"), Generation("truncated", "4", finish_reason="MAX_TOKENS")),
        (stopped("MAX_TOKENS"), Generation("truncated", finish_reason="MAX_TOKENS")),
        # Filters.
        (stopped("SAFETY"), Generation("refused", finish_reason="SAFETY")),
        (stopped("SAFETY", safetyRatings=[RATING, {"category": "X", "probability": "LOW"}]),
         Generation("refused", finish_reason="SAFETY", provider={"blocked_for": ["HARM_CATEGORY_HARASSMENT"]})),
        (reply([TEXT], "SAFETY"), Generation("refused", "4", finish_reason="SAFETY")),
        (stopped("RECITATION"), Generation("refused", finish_reason="RECITATION")),
        (stopped("BLOCKLIST"), Generation("refused", finish_reason="BLOCKLIST")),
        (stopped("PROHIBITED_CONTENT"), Generation("refused", finish_reason="PROHIBITED_CONTENT")),
        (stopped("SPII"), Generation("refused", finish_reason="SPII")),
        (stopped("LANGUAGE"), Generation("refused", finish_reason="LANGUAGE")),
        (stopped("IMAGE_SAFETY"), Generation("refused", finish_reason="IMAGE_SAFETY")),
        (stopped("IMAGE_PROHIBITED_CONTENT"), Generation("refused", finish_reason="IMAGE_PROHIBITED_CONTENT")),
        (stopped("IMAGE_RECITATION"), Generation("refused", finish_reason="IMAGE_RECITATION")),
        (stopped("SAFETY", finishMessage="It was unsafe."),
         Generation("refused", refusal="It was unsafe.", finish_reason="SAFETY")),
        # The prompt was not answered at all.
        (blocked("SAFETY"), Generation("refused", finish_reason="SAFETY", provider={"prompt_blocked": "SAFETY"})),
        (blocked("SAFETY", safetyRatings=[RATING]),
         Generation("refused", finish_reason="SAFETY",
                    provider={"prompt_blocked": "SAFETY", "blocked_for": ["HARM_CATEGORY_HARASSMENT"]})),
        (blocked("OTHER"), Generation("refused", finish_reason="OTHER", provider={"prompt_blocked": "OTHER"})),
        (blocked("BLOCKLIST"),
         Generation("refused", finish_reason="BLOCKLIST", provider={"prompt_blocked": "BLOCKLIST"})),
        (blocked("PROHIBITED_CONTENT") | {"usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}},
         Generation("refused", finish_reason="PROHIBITED_CONTENT", usage=Usage(9, 0),
                    provider={"prompt_blocked": "PROHIBITED_CONTENT"})),
        (blocked("IMAGE_SAFETY"),
         Generation("refused", finish_reason="IMAGE_SAFETY", provider={"prompt_blocked": "IMAGE_SAFETY"})),
        (blocked("MODEL_ARMOR", blockReasonMessage="Blocked by template t."),
         Generation("refused", refusal="Blocked by template t.", finish_reason="MODEL_ARMOR",
                    provider={"prompt_blocked": "MODEL_ARMOR"})),
        (reply([TEXT], promptFeedback={"safetyRatings": [RATING]}),
         Generation("answered", "4", finish_reason="STOP")),
        # Calls of functions.
        (reply([CALL]), Generation("answered", tool_calls=(call(),), finish_reason="STOP")),
        (reply([TEXT, CALL, CALL]),
         Generation("answered", "4", tool_calls=(call(), call(call_id="call_2")), finish_reason="STOP")),
        (reply([SIGNED_CALL]),
         Generation("answered", tool_calls=(call(arguments="{}", call_id="fc-1"),), finish_reason="STOP",
                    provider=back(SIGNED_CALL))),
        (stopped("MALFORMED_FUNCTION_CALL", finishMessage="Malformed function call: print(x"),
         Generation("empty", finish_reason="MALFORMED_FUNCTION_CALL",
                    provider={"finish_message": "Malformed function call: print(x"})),
        (stopped("UNEXPECTED_TOOL_CALL"), Generation("empty", finish_reason="UNEXPECTED_TOOL_CALL")),
        (stopped("TOO_MANY_TOOL_CALLS"), Generation("empty", finish_reason="TOO_MANY_TOOL_CALLS")),
        # Thoughts, apart from the answer; what is signed goes back.
        (reply([THOUGHT, TEXT]), Generation("answered", "4", reasoning="two and two", finish_reason="STOP")),
        (reply([THOUGHT, SIGNED]),
         Generation("answered", "4", reasoning="two and two", finish_reason="STOP", provider=back(SIGNED))),
        (reply([THOUGHT, THOUGHT, SIGNED_CALL, CALL]),
         Generation("answered", reasoning="two and two\n\ntwo and two", finish_reason="STOP",
                    tool_calls=(call(arguments="{}", call_id="fc-1"), call(call_id="call_2")),
                    provider=back(SIGNED_CALL, CALL))),
        (reply([THOUGHT], "MAX_TOKENS"), Generation("truncated", reasoning="two and two", finish_reason="MAX_TOKENS")),
        # Tools of the provider.
        (reply([CODE, RAN, TEXT]), Generation("answered", "4", finish_reason="STOP", provider=back(CODE, RAN, TEXT))),
        (reply([TEXT], more={"groundingMetadata": {"webSearchQueries": ["4"]}, "citationMetadata": {}}),
         Generation("answered", "4", finish_reason="STOP", provider={
             "warning": "the provider may bill its web searches beside tokens, and no cost here holds them"})),
        (reply([TEXT], more={"groundingMetadata": {"groundingChunks": []}}),
         Generation("answered", "4", finish_reason="STOP")),
        # What nobody knows.
        (reply([TEXT], "OTHER"), Generation("answered", "4", finish_reason="OTHER", provider=unknown("OTHER"))),
        (stopped("OTHER"), Generation("empty", finish_reason="OTHER", provider=unknown("OTHER", "empty"))),
        (stopped("NO_IMAGE"), Generation("empty", finish_reason="NO_IMAGE", provider=unknown("NO_IMAGE", "empty"))),
        (reply([TEXT], None),
         Generation("answered", "4", provider={"warning": "the server gave no finish_reason, so the answer counts as "
                                                          "answered, and may be cut or filtered"})),
        (reply([TEXT, {"hologram": {}}]),
         Generation("answered", "4", finish_reason="STOP", provider={
             **back(TEXT, {"hologram": {}}),
             "warning": "answers have parts that are not known and count as nothing: hologram"})),
        # What else it says.
        (reply([TEXT], modelVersion="gemini-2.5-flash", responseId="r1", createTime="now"),
         Generation("answered", "4", finish_reason="STOP", provider={"id": "r1", "model": "gemini-2.5-flash"})),
        ({"candidates": [{"content": {"parts": [{"text": "b"}]}, "finishReason": "STOP", "index": 1},
                         {"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP", "index": 0}]},
         Generation("answered", "a", finish_reason="STOP", alternatives=("b",))),
        (reply([TEXT], more={"logprobsResult": {
            "chosenCandidates": [{"token": "4", "tokenId": 1, "logProbability": -0.5}],
            "topCandidates": [{"candidates": [{"token": "4", "logProbability": -0.5},
                                              {"token": "5", "logProbability": -1.5}]}]}}),
         Generation("answered", "4", finish_reason="STOP", logprobs=(
             {"token": "4", "logprob": -0.5,
              "top_logprobs": [{"token": "4", "logprob": -0.5}, {"token": "5", "logprob": -1.5}]},))),
        (reply([TEXT], more={"logprobsResult": {"chosenCandidates": [{"token": 4}]}}),
         Generation("answered", "4", finish_reason="STOP")),
    ],
)  # fmt: skip
def test_a_reply_becomes_a_generation(data: dict[str, Any], expected: Generation) -> None:
    assert read_gemini(data) == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}, Usage(10, 5)),
        # Thoughts are billed as output, beside what was said.
        ({"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 90, "totalTokenCount": 105},
         Usage(10, 95, 90)),
        ({"promptTokenCount": 10, "thoughtsTokenCount": 90, "totalTokenCount": 100}, Usage(10, 90, 90)),
        # What is cached is part of the prompt.
        ({"promptTokenCount": 100, "cachedContentTokenCount": 80, "candidatesTokenCount": 5, "totalTokenCount": 105},
         Usage(100, 5, None, 80)),
        ({"promptTokenCount": 10, "toolUsePromptTokenCount": 7, "candidatesTokenCount": 5, "totalTokenCount": 22},
         Usage(17, 5)),
        ({"promptTokenCount": 10, "totalTokenCount": 10}, Usage(10, 0)),
        ({"candidatesTokenCount": 5, "totalTokenCount": 15}, Usage(10, 5)),
        ({"promptTokenCount": 10}, Usage(10)),
        ({"promptTokenCount": 10, "candidatesTokenCount": 5,
          "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 10}], "trafficType": "ON_DEMAND"}, Usage(10, 5)),
        ({"promptTokenCount": -1, "candidatesTokenCount": "many"}, None),
        ({}, None),
        (None, None),
    ],
)  # fmt: skip
def test_tokens_are_counted_as_they_are_billed(usage: Any, expected: Usage | None) -> None:
    assert read_usage({"usageMetadata": usage}) == expected
    assert read_gemini(reply([TEXT], usageMetadata=usage)).usage == (expected or Usage())


NOTHING = "the reply has no candidates, and does not say that the prompt was blocked"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, NOTHING),
        ({"choices": [], "id": "r"}, f"{NOTHING}; it has: choices, id"),
        ({"candidates": []}, f"{NOTHING}; it has: candidates"),
        ({"candidates": ["4"]}, "a candidate is not an object"),
        ({"candidates": [{"content": "4", "finishReason": "STOP"}]}, "the content of a candidate is not an object"),
        (reply("4"), "parts is not a list of objects"),
        (reply([{"text": 4}]), "a part's text is no text"),
        (reply([{"functionCall": {"args": {}}}]), "a functionCall has no name"),
        (reply([{"functionCall": {"name": "f", "args": {"x": float("inf")}}}]),
         "parts holds a number that is not finite, or is nested too deeply"),
    ],
)  # fmt: skip
def test_a_reply_of_the_wrong_shape_is_no_answer_and_is_billed(data: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError) as caught:
        read_gemini({**data, "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5}})
    error = caught.value
    assert (error.code, error.message, error.retryable) == ("invalid_reply", message, False)
    assert error.usage == Usage(10, 5)


@pytest.mark.parametrize("is_blocked", [False, True])
def test_a_reply_with_anything_wrong_in_it_is_an_answer_or_a_failure(is_blocked: bool) -> None:
    tokens = [{"token": "4", "logProbability": -0.5}]
    more = {"safetyRatings": [RATING], "finishMessage": "m", "logprobsResult": {
        "chosenCandidates": tokens, "topCandidates": [{"candidates": tokens}]}}  # fmt: skip
    answer = reply(
        [THOUGHT, SIGNED, SIGNED_CALL, CODE], more=more, responseId="r", usageMetadata={"promptTokenCount": 1}
    )
    whole = blocked("SAFETY", blockReasonMessage="m", safetyRatings=[RATING]) if is_blocked else answer
    changed = [(name, data) for name, data in mutated(whole) if isinstance(data, dict)]
    assert len(changed) > (90 if is_blocked else 400)
    codes: set[str] = set()
    for name, data in changed:
        try:
            assert canonical_json(read_gemini(data).to_dict()), name
        except EngineError as error:
            codes.add(error.code)
    assert codes == {"invalid_reply"}


def test_an_error_with_anything_wrong_in_it_has_a_meaning_or_none() -> None:
    details = [{"violations": [{"quotaId": "PerDay"}], "reason": "r"}]
    for name, data in mutated(
        {"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": details}}
    ):
        found = meaning(429, data)
        assert found is None or found[0] in ERROR_CODES, name
