"""What finish reasons make of an answer, in the words of many servers."""

from __future__ import annotations

from typing import Any

import pytest

from themis_core import EngineError, Usage
from themis_http.endings import finish_reason
from themis_plugin_openai.reply import read_chat, read_completion

ENDINGS = {
    "answered": "stop eos eos_token STOP end_turn stop_sequence COMPLETE STOP_SEQUENCE FINISH_REASON_STOP completed "
    "done normal endTurn stop-sequence REASON_STOP",
    "truncated": "length max_tokens MAX_TOKENS model_length max_output_tokens FINISH_REASON_MAX_TOKENS token_limit "
    "limit REASON_MAX_LEN REASON_MAX_CONTEXT model_context_window_exceeded ERROR_LIMIT pause_turn maxTokens max-tokens "
    "incomplete",
    "refused": "content_filter safety SAFETY sensitive RECITATION BLOCKLIST PROHIBITED_CONTENT SPII refusal "
    "guardrail_intervened content_filtered ERROR_TOXIC IMAGE_SAFETY contentFilter",
    "server_error": "error abort aborted ERROR network_error cancelled USER_CANCEL timeout time_limit not_finished "
    "REASON_TIME_LIMIT",
    "overloaded": "insufficient_system_resource overloaded",
}
CASES = [(reason, outcome) for outcome, reasons in ENDINGS.items() for reason in reasons.split()]
UNKNOWN = ["OTHER", "FINISH_REASON_UNSPECIFIED", "unknown", "load", "stopp", "max", "bogus\x1b[2J", "", None, 7, []]


def ended(reason: Any, interface: str) -> Any:
    choice = {"finish_reason": reason, "message": {"content": "Lima was founded in 15"}, "text": "Lima was"}
    body = {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
    try:
        return read_chat(body) if interface == "chat" else read_completion(body)
    except EngineError as error:
        return error


@pytest.mark.parametrize("interface", ["chat", "completions"])
@pytest.mark.parametrize(("reason", "outcome"), CASES)
def test_a_finish_reason_says_how_the_answer_ended(reason: str, outcome: str, interface: str) -> None:
    end = ended(reason, interface)
    if isinstance(end, EngineError):
        assert (end.code, end.retryable, end.usage, end.unknown_outcome) == (outcome, True, Usage(10, 5), False)
    else:
        assert (end.status, end.finish_reason, end.provider) == (outcome, reason, {})


@pytest.mark.parametrize("reason", UNKNOWN)
def test_an_unknown_finish_reason_is_kept_and_told(reason: Any) -> None:
    end = ended(reason, "chat")
    assert (end.status, end.finish_reason) == ("answered", reason if isinstance(reason, str) and reason else None)
    told = end.provider["warning"]
    assert ("is not known" in told) == bool(end.finish_reason)
    assert told.isprintable()


def test_a_reason_in_an_object_or_before_a_colon_is_found() -> None:
    assert finish_reason({"finish_reason": {"type": "length", "length": 16}}) == "length"
    assert ended({"type": "abort", "message": "killed"}, "chat").code == "server_error"
    assert ended("content_filter: RECITATION", "chat").status == "refused"
    assert ended("function_call_filter: MALFORMED_FUNCTION_CALL", "chat").status == "answered"


def test_an_answer_that_was_broken_off_without_usage_has_an_unknown_cost() -> None:
    with pytest.raises(EngineError, match="broke the answer off") as caught:
        read_chat({"choices": [{"finish_reason": "abort", "message": {"content": "4"}}]})
    assert caught.value.unknown_outcome
