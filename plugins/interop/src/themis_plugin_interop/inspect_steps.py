"""Tool calls and steps, as Inspect has them and as Themis does: in its messages, and in the events of a sample."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from themis_core import Step, generation_of
from themis_plugin_interop.checks import Wrong, finite, list_of, object_of, optional_text, text
from themis_plugin_interop.trials import clean
from themis_plugin_interop.writing import as_json
from themis_secrets import without_secrets

__all__ = ["calls_of", "calls_to", "checked", "events_of", "steps_from"]

SOURCE: Final = "themis"
"""Whose events of the kind `info` are steps."""


def calls_to(calls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tool calls of a message for Inspect. It holds arguments as an object: others are told as an error of it."""
    found = []
    for number, each in enumerate(calls):
        function = each.get("function")
        named = function if isinstance(function, Mapping) else {}
        call: dict[str, Any] = {
            "id": str(each.get("id") or f"call_{number}"),
            "function": str(named.get("name") or ""),
            "arguments": {},
            "type": "function",
        }
        given = named.get("arguments")
        try:
            arguments = json.loads(given) if isinstance(given, str) else given
        except (ValueError, RecursionError):
            arguments = None
        if isinstance(arguments, Mapping):
            call["arguments"] = clean(arguments)
        elif given:
            told = given if isinstance(given, str) else as_json(given)
            call["parse_error"] = without_secrets(f"the arguments are no JSON object: {told}")
        found.append(call)
    return found


def calls_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tool calls of a message of Inspect, as Themis has them."""
    found = []
    for each in list_of(message.get("tool_calls"), "tool_calls"):
        call = object_of(each, "a tool call")
        arguments = object_of(call.get("arguments"), "arguments")
        function = {"name": text(call.get("function"), "function"), "arguments": as_json(arguments)}
        found.append({"id": text(call.get("id"), "the id of a tool call"), "type": "function", "function": function})
    return found


def events_of(steps: Iterable[Step], trial_id: str, at: str) -> Iterator[dict[str, Any]]:
    """Steps as events: calls of tools as Inspect's own, all others as `info` that holds them.

    Steps have no time of day, so each is said to have been at the sample's end, and after the work of those before it.
    """
    worked = 0.0
    for number, step in enumerate(steps):
        told: dict[str, Any] = {"timestamp": at, "working_start": worked}
        if step.kind == "tool_call":
            yield {**told, **_tool_event(step, f"{trial_id[:16]}-{number}")}
        else:
            yield {**told, "event": "info", "source": SOURCE, "data": clean(step.to_dict())}
        worked += step.seconds or 0.0


def _tool_event(step: Step, event_id: str) -> dict[str, Any]:
    given = step.input if isinstance(step.input, Mapping) else {} if step.input is None else {"input": step.input}
    output = clean(step.output)
    result = output if isinstance(output, str) else "" if output is None else as_json(output)
    event: dict[str, Any] = {
        "event": "tool",
        "type": "function",
        "id": event_id,
        "function": step.name,
        "arguments": clean(given),
        "result": result,
    }
    if step.seconds is not None:
        event["working_time"] = step.seconds
    if step.error is not None:
        event["error"] = {"type": "unknown", "message": without_secrets(step.error)}
    return event


def steps_from(events: Any, messages: Any, asked: int) -> list[dict[str, Any]]:
    """What was done on the way to an answer: by the sample's events, or, where a log has none, by its messages.

    `asked` is how many of the messages were given to the model. Models are steps where tools are used beside them.
    """
    steps = []
    for each in list_of(events, "events"):
        event = object_of(each, "an event")
        if (step := _step(event)) is not None:
            steps.append(step)
    if any(step["kind"] != "model" for step in steps):
        return steps
    return _steps_of_messages([object_of(each, "a message") for each in list_of(messages, "messages")][asked:])


def checked(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Steps as a run takes them, within its bounds. Raises Wrong for what is none."""
    try:
        return [each.to_dict() for each in generation_of({"text": "", "steps": steps}).steps]
    except (TypeError, ValueError) as error:
        raise Wrong(f"its events are no steps: {error}") from error


def _step(event: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = event.get("event")
    if kind == "tool":
        return _told(
            "tool_call",
            text(event.get("function"), "the function of an event"),
            input=object_of(event.get("arguments"), "the arguments of an event"),
            output=event.get("result"),
            seconds=finite(event.get("working_time")),
            error=optional_text(object_of(event.get("error"), "the error of an event").get("message"), "error.message"),
        )
    if kind == "info" and event.get("source") == SOURCE:
        data = object_of(event.get("data"), "the data of an event")
        return {**data, "kind": text(data.get("kind"), "the kind of a step")}
    if kind == "model":
        output = object_of(event.get("output"), "the output of an event")
        said = optional_text(output.get("completion"), "completion")
        seconds = finite(event.get("working_time"))
        return _told("model", text(event.get("model"), "the model of an event"), output=said, seconds=seconds)
    return None


def _steps_of_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each call of a tool with its result, in the order of the calls."""
    results = {each.get("tool_call_id"): each for each in messages if each.get("role") == "tool"}
    steps = []
    for message in messages:
        for call in calls_of(message) if message.get("role") == "assistant" else ():
            result = results.get(call["id"])
            if result is None:
                continue  # a call that nobody made: it is one of the answer
            error = object_of(result.get("error"), "the error of a message").get("message")
            steps.append(
                _told(
                    "tool_call",
                    call["function"]["name"],
                    input=json.loads(call["function"]["arguments"]),
                    output=result.get("content"),
                    error=optional_text(error, "error.message"),
                )
            )
    return steps


def _told(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "name": name, **{key: value for key, value in more.items() if value is not None}}
