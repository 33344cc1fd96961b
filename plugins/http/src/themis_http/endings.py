"""What a server's finish reason says of an answer: whole, cut, filtered or broken off. No I/O.

The words are those of OpenAI, Azure, Anthropic, Gemini, Bedrock, Mistral, Cohere, DeepSeek, Zhipu, Baidu, xAI, watsonx,
vLLM, SGLang, LMDeploy, TGI, TensorRT-LLM, llama.cpp, Ollama and OpenRouter, in lower case.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, Literal

__all__ = ["BROKEN_OFF", "Ending", "ending_of", "finish_reason"]

Ending = Literal["whole", "cut", "filtered", "broken", "unknown"]
LONGEST: Final = 200

WHOLE: Final = frozenset(
    [
        "stop",
        "stopped",
        "stop_sequence",
        "stop_token",
        "stop_str",
        "stop_word",
        "eos",
        "eos_token",
        "end",
        "end_turn",
        "end_of_turn",
        "done",
        "complete",
        "completed",
        "finish",
        "finished",
        "normal",
        "word",
        "tool_call",
        "tool_calls",
        "tool_use",
        "function_call",
        "function_calls",
        "malformed_function_call",
        "malformed_tool_use",
        "malformed_model_output",
        "malformed_response",
        "unexpected_tool_call",
        "too_many_tool_calls",
    ]
)
"""Malformed calls are among them: the model made them, so they count as what it said."""
CUT: Final = frozenset(
    [
        "length",
        "max_length",
        "max_len",
        "max_tokens",
        "max_token",
        "max_new_tokens",
        "max_output_tokens",
        "max_completion_tokens",
        "max_output",
        "model_length",
        "model_context_window_exceeded",
        "context_length",
        "context_length_exceeded",
        "context_window",
        "max_context",
        "error_limit",
        "limit",
        "token_limit",
        "incomplete",
        "truncated",
        "pause_turn",
        "compaction",
        "repetition",
    ]
)
FILTERED: Final = frozenset(
    [
        "content_filter",
        "content_filtered",
        "content_filter_error",
        "content_policy",
        "content_policy_violation",
        "filtered",
        "filter",
        "safety",
        "image_safety",
        "recitation",
        "image_recitation",
        "blocklist",
        "prohibited_content",
        "image_prohibited_content",
        "spii",
        "language",
        "model_armor",
        "sensitive",
        "refusal",
        "refused",
        "guardrail_intervened",
        "guardrail",
        "guardrails",
        "moderation",
        "moderation_blocked",
        "error_toxic",
        "blocked",
        "risk",
    ]
)
BROKEN_OFF: Final[dict[str, str]] = {
    **dict.fromkeys(
        [
            "error",
            "errored",
            "failed",
            "failure",
            "abort",
            "aborted",
            "cancel",
            "canceled",
            "cancelled",
            "user_cancel",
            "interrupted",
            "disconnect",
            "disconnected",
            "connection_error",
            "network_error",
            "server_error",
            "internal_error",
            "internal_server_error",
            "engine_error",
            "model_error",
            "unexpected_error",
            "not_finished",
            "timeout",
            "timed_out",
            "time_limit",
            "deadline_exceeded",
        ],
        "server_error",
    ),
    **dict.fromkeys(
        [
            "insufficient_system_resource",
            "insufficient_system_resources",
            "overloaded",
            "overloaded_error",
            "unavailable",
            "service_unavailable",
            "resource_exhausted",
            "preempted",
            "no_resource",
        ],
        "overloaded",
    ),
    **dict.fromkeys(["rate_limit", "rate_limited", "rate_limit_exceeded"], "rate_limited"),
}
"""Reasons of answers that the server itself broke off, with the code of the failure."""

_PREFIX = re.compile(r"^(?:finish_?reason|stop_?reason|reason)_(?=.)")


def finish_reason(choice: dict[str, Any]) -> str | None:
    """The reason as it came; SGLang and others put it into an object. None if there is none."""
    reason = choice.get("finish_reason")
    if isinstance(reason, dict):
        reason = reason.get("type") or reason.get("reason")
    return reason[:LONGEST] if isinstance(reason, str) and reason.strip() else None


@lru_cache(maxsize=64)
def ending_of(reason: str | None) -> tuple[Ending, str]:
    """How an answer with that reason ended, and the reason as it stands in the tables here.

    What follows a colon, as in Gemini's `content_filter: SAFETY`, is looked at if what precedes it says nothing.
    """
    if reason is None:
        return "unknown", ""
    for part in (reason, *reason.split(":", 1)):
        word = _word(part)
        for ending, words in _ENDINGS:
            if word in words:
                return ending, word
    return "unknown", _word(reason)


_ENDINGS: tuple[tuple[Ending, Any], ...] = (
    ("whole", WHOLE),
    ("cut", CUT),
    ("filtered", FILTERED),
    ("broken", BROKEN_OFF),
)


def _word(reason: str) -> str:
    # Cohere writes MAX_TOKENS, Vertex FINISH_REASON_MAX_TOKENS, xAI REASON_MAX_LEN, some gateways maxTokens.
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", reason.strip())
    return _PREFIX.sub("", re.sub(r"[\s\-.]+", "_", spaced).lower())
