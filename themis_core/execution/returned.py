"""What components return and raise, checked where it enters: an ill-typed value costs what it was asked for, no more.

Values of the plain types pass as they are. Subclasses of them and other kinds of number (NumPy's, fractions) become
plain. All else raises TypeError or ValueError, which say what was returned and what was expected. Past this point
every value can be counted with, compared and stored.
"""

from __future__ import annotations

import math
from dataclasses import replace
from operator import attrgetter
from typing import Any, get_args

from pydantic import ValidationError

from themis_core.components import JudgeRequest
from themis_core.errors import EngineError
from themis_core.execution.steps import as_steps, left_out_told
from themis_core.plugins import told
from themis_core.records import WARNING, Extraction, Generation, GenerationStatus, Score, Usage
from themis_core.specs import InferenceParamsSpec
from themis_documents.mistakes import in_words
from themis_plain import (
    LIMIT,
    as_amount,
    as_count,
    as_flag,
    as_number,
    as_text,
    canonical_json,
    check_dict,
    check_json,
    kind_of,
    own,
    told_type,
)

__all__ = [
    "as_engine_error", "as_extraction", "as_generation", "as_question", "as_questions", "as_score",
]  # fmt: skip

LARGEST = 1e150
"""The largest score: standard errors need squares, and those of larger ones, summed over a run, are infinite."""
NO_USAGE = Generation("empty").usage
"""The one that generations have by default, so most of those whose provider counts no tokens."""

_STATUSES = frozenset(get_args(GenerationStatus))
_TEXTS = ("reasoning", "refusal", "finish_reason", "error_code", "error")
_COUNTS = ("input_tokens", "output_tokens", "reasoning_tokens", "cached_input_tokens", "cache_write_tokens")
_NUMBERS = ("cost", "latency_s")
_counts_of = attrgetter(*_COUNTS)


# --- what is raised -----------------------------------------------------------------------------------------


def as_engine_error(error: EngineError) -> EngineError:
    """The error itself if all its fields are what they should be; one of code `engine_error` if not."""
    try:
        wait, status = error.retry_after, error.status
        if (
            [type(each) for each in (error.code, error.message, error.retryable, error.unknown_outcome)]
            == [str, str, bool, bool]
            and (wait is None or type(wait) is float)
            and (status is None or type(status) is int)
            and (error.usage is None or _usage(error.usage, "EngineError") is error.usage)
            and error.cost is None
            and error.steps == ()
        ):
            return error
        return EngineError(
            as_text(error.code, "EngineError.code"),
            as_text(error.message, "EngineError.message"),
            retryable=as_flag(error.retryable, "EngineError.retryable"),
            retry_after=None if wait is None else as_number(wait, "EngineError.retry_after"),
            status=None if status is None else as_count(status, "EngineError.status"),
            unknown_outcome=as_flag(error.unknown_outcome, "EngineError.unknown_outcome"),
            usage=None if error.usage is None else _usage(error.usage, "EngineError"),
            cost=None if error.cost is None else as_amount(error.cost, "EngineError.cost"),
            steps=_checked_steps(error.steps),
        )
    except Exception as wrong:  # noqa: BLE001 - fields are missing if a subclass made itself without them
        return EngineError("engine_error", f"{told(wrong)}; the engine raised {told(error)}")


def _checked_steps(steps: Any) -> tuple[Any, ...]:
    """The steps of an error, of which the failed generation keeps what it may. Raises TypeError or ValueError."""
    as_steps(steps, "EngineError.steps")
    return tuple(steps)


# --- what is returned ---------------------------------------------------------------------------------------


def as_score(score: Any) -> Score:
    """The score with plain values; with reason `not_finite` if one of its numbers is not, or too large to sum up."""
    if not isinstance(score, Score):
        raise TypeError(f"it returned {kind_of(score)}, not a Score")
    value, reason, parts, details = score.value, score.reason, score.parts, score.details
    if value is not None and type(value) is not float:
        value = as_number(value, "Score.value")
    if reason is not None and type(reason) is not str:
        reason = as_text(reason, "Score.reason")
    if parts != () or type(parts) is not tuple:
        parts = _parts(parts)
    if details != {} or type(details) is not dict:
        check_dict(details, "Score.details")
    if value is None:
        reason = reason or "no_value"
    elif not -LARGEST <= value <= LARGEST or not all(map(math.isfinite, parts)):
        return Score(reason="not_finite", details={"value": str(value)})
    if value is score.value and reason is score.reason and parts is score.parts and type(score) is Score:
        return score if details == {} else replace(score, details=own(details))
    return Score(value, reason, parts, own(details))


def _parts(parts: Any) -> tuple[float, ...]:
    if not isinstance(parts, tuple | list):
        raise TypeError(f"Score.parts is {told_type(parts)}, not a tuple of numbers")
    if type(parts) is tuple and all(type(each) is float for each in parts):
        return parts
    # Whole numbers stay whole: they are counts, and people read them in the store.
    return tuple(
        each if type(each) is int and -LIMIT <= each < LIMIT else as_number(each, "a number in Score.parts")
        for each in parts
    )


def as_extraction(found: Any) -> Extraction:
    """The extraction with plain values."""
    if not isinstance(found, Extraction):
        raise TypeError(f"it returned {kind_of(found)}, not an Extraction")
    value, reason = found.value, found.reason
    is_scalar = value is None or type(value) is str or (type(value) is int and -LIMIT <= value < LIMIT)
    if not is_scalar:
        check_json(value, "Extraction.value")
    if reason is not None and type(reason) is not str:
        reason = as_text(reason, "Extraction.reason")
    if reason is found.reason and type(found) is Extraction and is_scalar:
        return found
    return Extraction(own(value), reason)


def as_generation(generation: Any) -> Generation:
    """The generation with plain values."""
    if not isinstance(generation, Generation):
        raise TypeError(f"it returned {kind_of(generation)}, not a Generation")
    plain = generation if _has_plain_values(generation) else _plain(generation)
    if plain.provider != {}:
        check_dict(plain.provider, "Generation.provider")
    return own(plain)


def _has_plain_values(it: Any) -> bool:
    """Whether nothing of a generation, `provider` aside, needs a closer look: the way of nearly all answers."""
    usage = it.usage
    return (
        type(it) is Generation
        and type(it.text) is str
        and it.status in _STATUSES
        and (it.finish_reason is None or type(it.finish_reason) is str)
        and (it.reasoning is None or type(it.reasoning) is str)
        and it.refusal is None
        and it.error_code is None
        and it.error is None
        and it.cost is None
        and (it.latency_s is None or (type(it.latency_s) is float and 0 <= it.latency_s <= LARGEST))
        and type(it.attempts) is int
        and it.attempts == 1
        and (usage is NO_USAGE or _usage(usage) is usage)
        and it.alternatives == ()
        and it.tool_calls == ()
        and it.logprobs is None
        and it.steps == ()
        and it.steps_left_out == 0
        and it.conversation == ()
        and type(it.status) is str
    )


def _plain(generation: Generation) -> Generation:
    if generation.status not in _STATUSES:
        known = ", ".join(sorted(_STATUSES))
        raise ValueError(f"Generation.status is {generation.status!r:.60}, not one of {known}")
    values: dict[str, Any] = {"usage": _usage(generation.usage), "provider": generation.provider}
    values["attempts"] = as_count(generation.attempts, "Generation.attempts")
    for name in ("status", "text"):
        values[name] = as_text(getattr(generation, name), f"Generation.{name}")
    for names, plain in ((_TEXTS, as_text), (_NUMBERS, as_amount)):
        for name in names:
            if (value := getattr(generation, name)) is not None:
                values[name] = plain(value, f"Generation.{name}")
    for name in ("alternatives", "tool_calls", "logprobs"):
        values[name] = _listed(name, getattr(generation, name))
    steps, left_out = as_steps(generation.steps, "Generation.steps")
    left_out += as_count(generation.steps_left_out, "Generation.steps_left_out")
    values |= {"steps": steps, "steps_left_out": left_out}
    if (told := left_out_told(steps, left_out)) and isinstance(generation.provider, dict):
        values["provider"] = {WARNING: told, **generation.provider}
    return Generation(**values)


def _usage(usage: Any, of: str = "Generation") -> Usage:
    if not isinstance(usage, Usage):
        raise TypeError(f"{of}.usage is {told_type(usage)}, not a Usage")
    counts = _counts_of(usage)
    for count in counts:
        if count is not None and (type(count) is not int or not 0 <= count < LIMIT):
            break
    else:
        return usage
    named = {name: count for name, count in zip(_COUNTS, counts, strict=True) if count is not None}
    return Usage(**{name: as_count(count, f"{of}.usage.{name}") for name, count in named.items()})


def _listed(name: str, value: Any) -> tuple[Any, ...] | None:
    what = f"Generation.{name}"
    if value is None and name == "logprobs":
        return None
    if not isinstance(value, tuple | list):
        raise TypeError(f"{what} is {told_type(value)}, not a tuple")
    if name == "alternatives":
        return tuple(each if type(each) is str else as_text(each, f"one of {what}") for each in value)
    for each in value:
        if not isinstance(each, dict):
            raise TypeError(f"one of {what} is {told_type(each)}, not a dict")
    check_json(value, what)
    return tuple(value)


def as_questions(asked: Any) -> list[JudgeRequest]:
    """The requests of a judge, if they can be sent and stored."""
    if not isinstance(asked, list | tuple):  # what is made as it is read would be made here, outside of any deadline
        raise TypeError(f"it returned {kind_of(asked)}, not a list of JudgeRequests")
    return [as_question(each) for each in asked]


def as_question(asked: Any) -> JudgeRequest:
    """The request of a judge, if it can be sent and stored."""
    if not isinstance(asked, JudgeRequest):
        raise TypeError(f"it returned {kind_of(asked)}, not a JudgeRequest")
    messages: Any = asked.messages
    if not isinstance(messages, list | tuple) or not all(map(_is_message, messages)):
        raise TypeError(
            "JudgeRequest.messages is no list of dicts with a `role`, and a `content` that is a text or a list of parts"
        )
    check_json(messages, "JudgeRequest.messages")
    if asked.params != {}:
        _check_params(asked.params)
    return own(asked)


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    content = message.get("content")
    if isinstance(content, list):
        return all(isinstance(part, dict) and isinstance(part.get("text", ""), str) for part in content)
    return isinstance(content, str)


def _check_params(params: Any) -> None:
    check_dict(params, "JudgeRequest.params")
    try:
        # Checked only, and sent as the judge wrote them: a changed spelling would change the key of the reply.
        InferenceParamsSpec.model_validate_json(canonical_json(params), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"JudgeRequest.params.{place}: {in_words(first)}") from None
