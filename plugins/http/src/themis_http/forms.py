"""Messages and settings as requests have them (in OpenAI's form), taken apart for services that want another. No I/O.

What can't be said is an EngineError `unsupported`, so that a plan refuses it before anything is paid for.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote

from themis_core import EngineError

__all__ = [
    "AnswerForm",
    "DataURL",
    "Tool",
    "ToolCall",
    "add_further",
    "answer_form",
    "check_settings",
    "content_in_turns",
    "data_url",
    "decoded",
    "parts_of",
    "result_of",
    "said_in_turns",
    "system_apart",
    "tool_call",
    "tool_calls_of",
    "tool_chosen",
    "tools_of",
    "unsupported",
]

FURTHER: Final = ("extra_body", "extras")
"""Settings that hold further keys of the body."""
_DATA_URL: Final = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),(.*)", re.IGNORECASE | re.DOTALL)
_BY_PLACE: Final = re.compile(r"call_([1-9]\d{0,3})")


class DataURL(NamedTuple):
    """What a `data:` URL holds."""

    media_type: str
    """In lower case, without parameters."""
    base64: str


class ToolCall(NamedTuple):
    """A call of a tool that the model made."""

    id: str
    name: str
    arguments: dict[str, Any]


class Tool(NamedTuple):
    """A function that the model may call."""

    name: str
    description: str | None
    parameters: dict[str, Any]
    """JSON schema of its arguments."""
    strict: bool | None


class AnswerForm(NamedTuple):
    """The JSON that an answer is to be."""

    name: str
    schema: dict[str, Any] | None
    """JSON schema; None for any JSON object."""
    description: str | None


def unsupported(message: str) -> EngineError:
    """The failure of a request that the service can't be sent."""
    return EngineError("unsupported", message)


def check_settings(params: Mapping[str, Any], takes: frozenset[str], whose: str) -> None:
    """Refuse settings that a service does not have. `whose` names it in the message."""
    for name, value in params.items():
        asks_nothing = (name, value) in (("n", 1), ("logprobs", False))
        if name not in takes and name not in FURTHER and not asks_nothing:
            raise unsupported(
                f"{whose} has no setting {name!r}: take it out, or write `params: {{leave_out: [{name}]}}` for this "
                f"model"
            )


def add_further(body: dict[str, Any], params: Mapping[str, Any]) -> None:
    """Put the keys of `extra_body` and `extras` into a body. Objects that both have are made one; a key that says
    again what the body says already is refused."""
    for field in FURTHER:
        for name, value in params.get(field, {}).items():
            known = body.get(name)
            if isinstance(known, dict) and isinstance(value, dict) and not known.keys() & value.keys():
                body[name] = known | value
            elif name in body:
                raise unsupported(f"{field} can't set {name}, which the request says already")
            elif name == "stream" and value:
                raise unsupported(f"replies are not streamed: take `stream` out of {field}")
            else:
                body[name] = value


def system_apart(messages: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[Mapping[str, Any]]]:
    """The texts of the system messages that stand first, and the other messages."""
    end = next((at for at, each in enumerate(messages) if not _is_system(each)), len(messages))
    if messages and end == len(messages):
        raise unsupported("a prompt needs a message beside the system's here: give one the role user")
    if any(map(_is_system, messages[end:])):
        raise unsupported(
            "a system message can only stand before all others here: put it first, or give it another role"
        )
    return [text for each in messages[:end] if (text := _system_text(each))], [*messages[end:]]


def _is_system(message: Mapping[str, Any]) -> bool:
    return message.get("role") in ("system", "developer")


def _system_text(message: Mapping[str, Any]) -> str:
    parts = [*parts_of(message.get("content"))]
    if any(part.get("type") != "text" for part in parts):
        raise unsupported("a system message can only hold text")
    return "\n\n".join(part["text"] for part in parts)


def parts_of(content: Any) -> Iterator[dict[str, Any]]:
    """The parts of a message's content, texts without a character left out."""
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or ():
        if part.get("type") != "text" or part.get("text"):
            yield part


def data_url(url: str) -> DataURL | None:
    """What a `data:` URL holds; None if it is another URL."""
    if url[:5].lower() != "data:":
        return None
    found = _DATA_URL.fullmatch(url)
    if found is None or not found[2].lower().endswith(";base64"):
        raise unsupported("a data: URL must read data:TYPE;base64,...")
    return DataURL(found[1].strip().lower(), unquote(found[3]) if "%" in found[3] else found[3])


def decoded(data: DataURL) -> str:
    """The text that a `data:` URL holds."""
    try:
        return b64decode(data.base64, validate=True).decode("utf-8")
    except ValueError:
        raise unsupported("a data: URL of text must hold UTF-8 in Base64") from None


def content_in_turns(
    messages: Sequence[Mapping[str, Any]],
    blocks_of: Callable[[Mapping[str, Any], Sequence[ToolCall]], Iterable[dict[str, Any]]],
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Who speaks in each turn, as `said_in_turns` says, and what it is made of in a service's own form.

    `blocks_of` is given a message and the calls of the answer before. A turn without anything in it is left out, as
    services refuse it.
    """
    calls: list[ToolCall] = []
    for role, turn in said_in_turns(messages):
        if role == "assistant":
            calls = tool_calls_of(turn[0])
        if content := [block for message in turn for block in blocks_of(message, calls)]:
            yield role, content


def said_in_turns(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """The messages by who speaks, `user` or `assistant`; results of tools are the user's, and those that follow one
    another are one turn, as services want the results of one answer's calls together."""
    turn: list[Mapping[str, Any]] = []
    for message in messages:
        if turn and message.get("role") != "tool":
            yield "user", turn
            turn = []
        if message.get("role") == "tool":
            turn.append(message)
        else:
            yield ("assistant" if message.get("role") == "assistant" else "user"), [message]
    if turn:
        yield "user", turn


def tool_calls_of(message: Mapping[str, Any]) -> list[ToolCall]:
    """The calls of tools in an assistant's message."""
    return [tool_call(each) for each in message.get("tool_calls") or ()]


def tool_call(given: Mapping[str, Any]) -> ToolCall:
    """A call of a tool in OpenAI's form."""
    function = given.get("function") or {}
    arguments = function.get("arguments") or "{}"
    try:
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        arguments = None
    name = function.get("name")
    if not isinstance(arguments, dict) or not isinstance(name, str):
        raise unsupported("a tool call of a message needs a function with a name, and arguments that are a JSON object")
    return ToolCall(str(given.get("id", "")), name, arguments)


def result_of(message: Mapping[str, Any], calls: Sequence[ToolCall]) -> ToolCall:
    """The call whose result a message of the role `tool` is. `calls` are those of the answer before.

    `call_1` is the first of them where none has that id: services make ids up, and a spec can't know them.
    """
    wanted = str(message.get("tool_call_id", ""))
    for call in calls:
        if call.id == wanted:
            return call
    found = _BY_PLACE.fullmatch(wanted)
    if found and int(found[1]) <= len(calls):
        return calls[int(found[1]) - 1]
    known = ", ".join(each.id for each in calls) or "none"
    raise unsupported(
        f"tool_call_id {wanted!r} is of no call that the answer before has (it has: {known}); `call_1` is its first"
    )


def tools_of(tools: Sequence[Mapping[str, Any]]) -> Iterator[Tool | Mapping[str, Any]]:
    """Tools that are functions in OpenAI's form, taken apart; others as they came, in the service's own form."""
    for each in tools:
        function = each.get("function")
        if each.get("type") != "function" or not isinstance(function, dict):
            yield each
            continue
        name = function.get("name")
        if not isinstance(name, str) or not name:
            raise unsupported("a tool of type function needs a name")
        parameters = function.get("parameters") or {"type": "object", "properties": {}}
        yield Tool(name, function.get("description"), parameters, function.get("strict"))


def tool_chosen(choice: Any) -> tuple[Literal["auto", "none", "required", "function", "own"], str]:
    """What `tool_choice` says, and the name of the function that it wants; `own` if it is in a service's own form."""
    if choice in ("auto", "none", "required"):
        return choice, ""
    function = choice.get("function") if isinstance(choice, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return "function", function["name"]
    if isinstance(choice, dict):
        return "own", ""
    raise unsupported(f"tool_choice {choice!r}: write auto, none, required, or a function by its name")


def answer_form(response_format: Mapping[str, Any]) -> AnswerForm | None:
    """What `response_format` wants; None if it wants text."""
    kind = response_format.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return AnswerForm("answer", None, None)
    if kind == "json_schema":
        given = response_format.get("json_schema", response_format)
        schema = given.get("schema") if isinstance(given, dict) else None
        if isinstance(schema, dict):
            return AnswerForm(str(given.get("name") or "answer"), schema, given.get("description"))
    raise unsupported(
        "response_format: write {type: json_schema, json_schema: {name: ..., schema: {...}}}, or {type: json_object}"
    )
