"""Where in a reply things are: JMESPath expressions, and what is made of what they find. No I/O."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from themis_core import EngineError, Generation, Step, Usage
from themis_http import MOST_TOKENS, Ending, ending_of_answer, invalid, status_of, warning_of
from themis_wording import did_you_mean

__all__ = ["Finding", "find", "read"]

Status: TypeAlias = Literal["answered", "refused", "truncated", "empty"]
_STEP_FIELDS = ("kind", "name", "input", "output", "seconds", "cost", "error")
_KINDS = frozenset({"tool_call", "retrieval", "model", "message", "other"})


def _check_path(path: str) -> str:
    import jmespath
    from jmespath.exceptions import JMESPathError
    from jmespath.functions import Functions

    try:
        parsed = jmespath.compile(path).parsed
        unknown = next((name for name in _functions(parsed) if name not in Functions.FUNCTION_TABLE), None)
    except (JMESPathError, RecursionError) as error:
        reason = " ".join(str(error).split()).removeprefix("Invalid jmespath expression: ") or "it is empty"
        raise ValueError(f"{path!r} is no JMESPath expression: {reason}") from None
    if unknown is not None:
        hint = did_you_mean(unknown, Functions.FUNCTION_TABLE)
        raise ValueError(f"{path!r}: JMESPath has no function {unknown!r}.{hint}")
    return path


def _functions(node: Mapping[str, Any]) -> Iterator[str]:
    """The functions that a parsed expression calls."""
    if node["type"] == "function_expression":
        yield node["value"]
    for each in node["children"]:
        if isinstance(each, Mapping):
            yield from _functions(each)


Path: TypeAlias = Annotated[str, AfterValidator(_check_path)]


class UsagePaths(BaseModel):
    """Where tokens are counted."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    input_tokens: Path | None = Field(None, description="Tokens of what was asked.")
    output_tokens: Path | None = Field(None, description="Tokens of what was answered, reasoning included.")
    reasoning_tokens: Path | None = Field(None, description="Those of them that were reasoning.")
    cached_input_tokens: Path | None = Field(None, description="Those of the input that were read from a cache.")
    cache_write_tokens: Path | None = Field(None, description="Those of the input that were written to a cache.")


class Finding(BaseModel):
    """Where in the reply each thing is."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    text: Path = Field(description="The answer: a text, or a number or truth value, which becomes one.")
    reasoning: Path | None = Field(None, description="A text of reasoning.")
    refusal: Path | None = Field(None, description="Why there is no answer; what is found makes it refused.")
    error: Path | None = Field(None, description="An error within a 200; what is found makes it a failure.")
    finish_reason: Path | None = Field(None, description="Why the answer ended.")
    statuses: dict[str, Status] = Field(
        default_factory=dict,
        description="Finish reason to outcome (answered, refused, truncated, empty), for words that are not known.",
    )
    usage: UsagePaths = Field(default_factory=UsagePaths, description="Counts of tokens.")
    cost: Path | None = Field(None, description="What the call cost, in the currency of the prices.")
    steps: Path | None = Field(
        None, description="A list of steps: objects with kind, name, input, output, seconds, cost, error."
    )
    provider: dict[str, Path] = Field(
        default_factory=dict, description="What else is kept with the answer: a name to where it is."
    )


def find(path: str | None, name: str, data: Any) -> Any:
    """What a path finds; None if there is nothing. Raises EngineError if it can't be followed in this reply."""
    if path is None:
        return None
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        return jmespath.compile(path).search(data)
    except (
        JMESPathError,
        RecursionError,
        TypeError,
        ValueError,
        ArithmeticError,
        LookupError,
        AttributeError,
    ) as error:
        # Words of the library repeat what was found, which is the server's.
        raise invalid(f"reply.{name} ({path}) can't be followed in the reply ({type(error).__name__})") from None


def read(data: Any, paths: Finding, latency_s: float, shown: Callable[[str], str]) -> Generation:
    """Turn a reply into a generation. `shown` makes words of the server fit for messages. Raises EngineError."""
    usage = _usage(data, paths)
    try:
        return _read(data, paths, usage, latency_s, shown)
    except EngineError as error:
        error.usage = usage if usage != Usage() else None
        raise


def _read(data: Any, paths: Finding, usage: Usage, latency_s: float, shown: Callable[[str], str]) -> Generation:
    reason = _text(find(paths.finish_reason, "finish_reason", data), "finish_reason")
    # A field that says whether there is a refusal is there in answers too, as false.
    refusal = _text(find(paths.refusal, "refusal", data) or None, "refusal")
    told = None if reason is None else paths.statuses.get(reason)
    ending: Ending = "whole" if told is not None or paths.finish_reason is None else ending_of_answer(reason)
    text = _text(find(paths.text, "text", data), "text")
    if text is None and not refusal and ending in ("whole", "unknown") and told in (None, "answered"):
        raise invalid(f"reply.text ({paths.text}) finds nothing in the reply{_there(data, shown)}")
    status = told if told is not None and not refusal else status_of(text or "", ending, refusal)
    if status == "answered" and not (text or "").strip():
        status = "empty"
    further = {name: value for name, path in paths.provider.items() if (value := _plain(path, name, data)) is not None}
    return Generation(
        status=status,
        text=text or "",
        reasoning=_text(find(paths.reasoning, "reasoning", data), "reasoning") or None,
        refusal=refusal,
        finish_reason=None if reason is None else reason[:200],
        usage=usage,
        cost=_number(find(paths.cost, "cost", data), "cost"),
        latency_s=latency_s,
        provider=further | warning_of(reason, ending, status),
        steps=_steps(find(paths.steps, "steps", data)),
    )


def _text(value: Any, name: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return _written(value, name)
    kind = "a list" if isinstance(value, list) else "an object"
    hint = (
        ": take one of its elements by [0], or make one text of it by join('', ...)" if isinstance(value, list) else ""
    )
    raise invalid(f"reply.{name} finds {kind} in the reply, and no text{hint}")


def _written(value: float, name: str) -> str:
    try:
        return json.dumps(value)
    except ValueError:  # of more digits than Python writes
        raise invalid(f"reply.{name} finds a number of too many digits in the reply") from None


def _there(data: Any, shown: Callable[[str], str]) -> str:
    if isinstance(data, dict):
        names = ", ".join(sorted(map(str, data))[:12])
        return f"; it has: {shown(names)}" if names else ", which is an empty object"
    return f", which is a list of {len(data)}" if isinstance(data, list) else ", which is no object"


def _number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        raise invalid(f"reply.{name} finds no number of 0 or more in the reply")
    return float(value)


def _usage(data: Any, paths: Finding) -> Usage:
    found = {name: find(path, f"usage.{name}", data) for name, path in paths.usage}
    counts = {name: int(value) for name, value in found.items() if _is_count(value)}
    return Usage(**counts)


def _is_count(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= MOST_TOKENS and float(value).is_integer()


def _plain(path: str, name: str, data: Any) -> Any:
    value = find(path, f"provider.{name}", data)
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return None
    return value


def _steps(value: Any) -> tuple[Step, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise invalid("reply.steps finds no list of objects in the reply")
    return tuple(_step(each, index) for index, each in enumerate(value))


def _step(given: Mapping[str, Any], index: int) -> Step:
    fields = {name: given[name] for name in _STEP_FIELDS if given.get(name) is not None}
    kind = fields.get("kind")
    fields["kind"] = kind if isinstance(kind, str) and kind in _KINDS else "other"
    for name in ("name", "error"):
        if name in fields:
            fields[name] = _text(fields[name], f"steps[{index}].{name}")
    for name in ("seconds", "cost"):
        if name in fields:
            fields[name] = _number(fields[name], f"steps[{index}].{name}")
    return Step(**fields)
