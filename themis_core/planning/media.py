"""What the messages of requests hold beside their text, as a request is sent and as a store keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from themis_core.records import Item, Request
from themis_media import Media

__all__ = ["media_items", "with_media"]


def with_media(media: Media, request: Request) -> Request:
    """The request with the data in its messages. Reads files. Raises MediaChanged."""
    messages = media.filled(request.messages)
    return request if messages is request.messages else replace(request, messages=messages)


def media_items(media: Media, messages: Sequence[Mapping[str, Any]], known: set[str]) -> Iterator[Item]:
    """What a store is to hold of some messages beside them, as items; their digests join those that are known."""
    for key, media_type, data in media.contents(messages, known):
        yield Item(f"sha256:{key}", {"media_type": media_type, "data": data}, digest=key)
