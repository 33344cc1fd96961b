"""Messages of a conversation as a server takes them: the roles that it knows. No I/O."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

__all__ = ["SystemRole", "with_roles"]

SystemRole: TypeAlias = Literal["as_written", "system", "developer", "user"]
INSTRUCTING = ("system", "developer")


def with_roles(messages: list[dict[str, Any]], role: SystemRole) -> list[dict[str, Any]]:
    """The messages with instructions (those of a system or developer) under that role; as a user's, their text is put
    in front of the user message that follows, with an empty line between."""
    if role == "as_written":
        return messages
    if role != "user":
        return [each | {"role": role} if each.get("role") in INSTRUCTING else each for each in messages]
    merged: list[dict[str, Any]] = []
    waiting: list[Any] = []
    for message in messages:
        if message.get("role") in INSTRUCTING:
            waiting.append(message.get("content"))
        elif message.get("role") == "user" and waiting:
            merged.append(message | {"content": _together([*waiting, message.get("content")])})
            waiting = []
        else:
            merged.append(message)
    return [*merged, {"role": "user", "content": _together(waiting)}] if waiting else merged


def _together(contents: list[Any]) -> Any:
    """Contents, one after another: a text, unless one of them has parts."""
    if all(isinstance(each, str) for each in contents):
        return "\n\n".join(contents)
    parts: list[dict[str, Any]] = []
    for content in contents:
        if parts:
            parts.append({"type": "text", "text": "\n\n"})
        parts += [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    return parts
