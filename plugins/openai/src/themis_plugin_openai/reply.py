"""Reads replies: the JSON of a 200 becomes a generation, or an EngineError `invalid_reply`.

No I/O. Text of a server's own making gets into no error message here unless it went through `Redaction`.
"""

from __future__ import annotations

import json
import math
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Literal

from themis_core import WARNING, EngineError, Generation, Usage
from themis_plugin_openai.failures import error_within, inner_error, path_hint
from themis_plugin_openai.finish import BROKEN_OFF, Ending, ending_of, finish_reason
from themis_plugin_openai.redaction import Redaction
from themis_plugin_openai.usage import read_usage

__all__ = ["json_object", "read_chat", "read_completion"]

LONGEST_PROVIDER_TEXT = 200
STREAM: Final = (
    "the reply is a stream of events, which was not asked for: switch streaming off at the server or gateway, or tell "
    "it by `extra_body: {stream: false}`"
)
TELLING: Final = frozenset(
    [
        "candidates",
        "choices",
        "content",
        "data",
        "delta",
        "function_call",
        "id",
        "index",
        "message",
        "object",
        "output",
        "outputs",
        "response",
        "responses",
        "result",
        "status",
        "task_id",
        "text",
    ]
)
"""Names by which an object of another shape is recognised; other names may be anything, a key included."""

_STREAM = re.compile(rb"(?:data|event|id|retry)?:")


def json_object(
    content: bytes, redaction: Redaction, url: str = "", headers: Callable[[], Mapping[str, str]] = dict
) -> dict[str, Any]:
    """Decode the body of a 200 that came from `url`, with such headers; an error in it is raised as what it is.

    What is no JSON may be a reply cut short or a gateway's page, and a server that puts an error into a 200 may have
    recovered: those may be tried again. JSON of the wrong shape was made (and billed) on purpose and may not.
    """
    content = content.removeprefix(BOM_UTF8)  # some servers begin with it; `utf-8-sig` would copy every reply
    beginning = content[:1000].lstrip()[:20]
    try:
        text = content.decode("utf-8")
        del content  # so that a huge reply is there once only while it is parsed
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        if _STREAM.match(beginning):
            raise _invalid(STREAM) from None
        kind = f"HTML, a page for people (called: {url}{path_hint(url)})" if beginning[:1] == b"<" else "not JSON"
        reason = "nested too deeply" if isinstance(error, RecursionError) else kind
        raise EngineError(
            "invalid_reply", f"the reply is {reason}", retryable=True, status=200, unknown_outcome=True
        ) from None
    if not isinstance(data, dict):
        raise _invalid("the reply is not a JSON object")
    if (inner := error_within(data)) is not None:
        raise inner_error(inner, headers(), redaction, url)
    return data


@contextmanager
def _billed(data: dict[str, Any]) -> Iterator[None]:
    """Let an error over a reply say which tokens the reply was billed for."""
    try:
        yield
    except EngineError as error:
        error.usage = read_usage(data)
        error.unknown_outcome = error.usage is None and error.code != "invalid_reply"  # which may be billed anyhow
        raise


def read_chat(data: dict[str, Any], latency_s: float | None = None) -> Generation:
    """Turn a chat completion, which took so long, into a generation."""
    with _billed(data):
        return _chat(data, latency_s)


def _chat(data: dict[str, Any], latency_s: float | None) -> Generation:
    first, *others = _choices(data)
    finish = finish_reason(first)
    ending = _ending(finish)
    message = _message(first, ending)
    text, reasoning, refusal = _said(message)
    tool_calls = _tool_calls(message)
    usage = read_usage(data)
    nothing = message.get("content") is None and not (tool_calls or refusal or reasoning or "function_call" in message)
    if nothing and usage is None and ending in ("whole", "unknown"):
        raise _invalid("the message has no content")
    status = _status(text, ending, refusal, tool_calls)
    return Generation(
        status=status,
        text=text,
        reasoning=reasoning,
        refusal=refusal,
        finish_reason=finish,
        usage=usage or Usage(),
        latency_s=latency_s,
        alternatives=tuple(_said(_message(each, _ending(finish_reason(each))))[0] for each in others),
        tool_calls=tool_calls,
        logprobs=_logprobs(first, _chat_logprobs),
        provider=_provider(data) | _warning(finish, ending, status),
    )


def read_completion(data: dict[str, Any], latency_s: float | None = None) -> Generation:
    """Turn a text completion, which took so long, into a generation."""
    with _billed(data):
        return _completion(data, latency_s)


def _completion(data: dict[str, Any], latency_s: float | None) -> Generation:
    choices = _choices(data)
    text, *alternatives = [_choice_text(each) for each in choices]
    finish = finish_reason(choices[0])
    ending = _ending(finish)
    status = _status(text, ending)
    return Generation(
        status=status,
        text=text,
        finish_reason=finish,
        usage=read_usage(data) or Usage(),
        latency_s=latency_s,
        alternatives=tuple(alternatives),
        logprobs=_logprobs(choices[0], _completion_logprobs),
        provider=_provider(data) | _warning(finish, ending, status),
    )


def _choices(data: dict[str, Any]) -> list[dict[str, Any]]:
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices:
        raise _invalid(f"the reply has no choices{_has(data)}")
    if not all(isinstance(each, dict) for each in choices):
        raise _invalid("a choice is not an object")
    if len(choices) > 1 and all(isinstance(each.get("index"), int) for each in choices):
        choices = sorted(choices, key=lambda each: each["index"])
    return choices


def _choice_text(choice: dict[str, Any]) -> str:
    text = choice.get("text")
    if not isinstance(text, str):
        raise _invalid(f"a choice has no text{_has(choice)}")
    return text


def _message(choice: dict[str, Any], ending: Ending) -> dict[str, Any]:
    message = choice.get("message")
    if message is None and ending in ("cut", "filtered"):  # nothing was left of the answer
        return {}
    if not isinstance(message, dict):
        raise _invalid(f"a choice has no message{_has(choice)}")
    return message


def _has(data: dict[str, Any]) -> str:
    """What an object of the wrong shape has, as far as its names are words of some protocol."""
    names = sorted(name for name in data if name in TELLING)
    return f"; it has: {', '.join(names)}" if names else ""


def _said(message: dict[str, Any]) -> tuple[str, str | None, str | None]:
    """Text, reasoning and refusal of one message."""
    content = message.get("content")
    text, reasoning, refusal = "", "", ""
    if isinstance(content, str):
        text = content
    elif isinstance(content, list):
        text, reasoning, refusal = _parts(content)
    elif content is not None:
        raise _invalid("the content is neither text nor a list of parts")
    reasoning += _optional_text(message, "reasoning_content") or _optional_text(message, "reasoning")
    refusal += _optional_text(message, "refusal")
    return text, reasoning or None, refusal or None


def _parts(parts: Iterable[Any]) -> tuple[str, str, str]:
    said: dict[str, str] = {"text": "", "reasoning": "", "refusal": ""}
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "output_text"):
            said["text"] += _part_text(part.get("text"))
        elif kind in ("reasoning", "thinking"):
            said["reasoning"] += _part_text(part.get(kind, part.get("text")))
        elif kind == "refusal":
            said["refusal"] += _part_text(part.get("refusal"))
        else:
            raise _invalid("the content has a part that is neither text, reasoning nor refusal")
    return said["text"], said["reasoning"], said["refusal"]


def _part_text(value: Any) -> str:
    # Some servers nest reasoning once more, as a list of text parts.
    if isinstance(value, list):
        value = "".join(_part_text(each.get("text")) if isinstance(each, dict) else "" for each in value)
    if not isinstance(value, str):
        raise _invalid("a part of the content has no text")
    return value


def _optional_text(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    return value if isinstance(value, str) else ""


def _tool_calls(message: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    calls = message.get("tool_calls")
    if not calls:
        return ()
    if not isinstance(calls, list | tuple) or not all(isinstance(call, dict) for call in calls):
        raise _invalid("tool_calls is not a list of objects")
    try:
        json.dumps(calls, allow_nan=False)
    except (ValueError, RecursionError):
        raise _invalid("tool_calls holds a number that is not finite, or is nested too deeply") from None
    return tuple(calls)


def _ending(reason: str | None) -> Ending:
    """How an answer ended. Raises EngineError if the server broke it off: half a sentence is no answer."""
    ending, word = ending_of(reason)
    if ending == "broken":
        message = f"the server broke the answer off (finish_reason {word})"
        raise EngineError(BROKEN_OFF[word], message, retryable=True, status=200)
    return ending


def _status(
    text: str, ending: Ending, refusal: str | None = None, tool_calls: tuple[dict[str, Any], ...] = ()
) -> Literal["answered", "refused", "truncated", "empty"]:
    if refusal or ending == "filtered":
        return "refused"
    if ending == "cut":
        return "truncated"
    return "answered" if tool_calls or text.strip() else "empty"


def _warning(reason: str | None, ending: Ending, status: str) -> dict[str, str]:
    """What the run is to tell about an answer of which nobody said that it is whole."""
    if ending != "unknown" or status == "refused":
        return {}
    shown = "".join(each for each in reason or "" if each.isprintable())[:40]
    what = f"the finish_reason {shown!r} is not known" if reason else "the server gave no finish_reason"
    return {WARNING: f"{what}, so the answer counts as {status}, and may be cut or filtered"}


def _provider(data: dict[str, Any]) -> dict[str, Any]:
    names = ("id", "model", "system_fingerprint")
    return {name: value[:LONGEST_PROVIDER_TEXT] for name in names if isinstance(value := data.get(name), str)}


def _logprobs(
    choice: dict[str, Any], read: Callable[[dict[str, Any]], Iterable[dict[str, Any]]]
) -> tuple[dict[str, Any], ...] | None:
    """One dict per token, or None if there are none, or none that can be read: the answer is good without them."""
    given = choice.get("logprobs")
    if not isinstance(given, dict):
        return None
    try:
        return tuple(read(given)) or None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _chat_logprobs(given: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for entry in given["content"]:
        others = [_token(each["token"], each["logprob"]) for each in entry.get("top_logprobs") or ()]
        yield _token(entry["token"], entry["logprob"]) | {"top_logprobs": others}


def _completion_logprobs(given: dict[str, Any]) -> Iterable[dict[str, Any]]:
    tokens, numbers = given["tokens"], given["token_logprobs"]
    tops = given.get("top_logprobs") or [None] * len(tokens)
    for token, number, top in zip(tokens, numbers, tops, strict=True):
        others = [_token(name, value) for name, value in (top or {}).items()]
        yield _token(token, number) | {"top_logprobs": others}


def _token(token: Any, logprob: Any) -> dict[str, Any]:
    if not isinstance(token, str):
        raise TypeError
    # JSON has no infinities, so minus infinity (probability 0) is "unknown" too.
    known = isinstance(logprob, int | float) and math.isfinite(logprob)
    return {"token": token, "logprob": float(logprob) if known else None}


def _invalid(message: str) -> EngineError:
    return EngineError("invalid_reply", message, status=200)
