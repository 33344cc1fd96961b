"""Reads how many tokens a reply was billed for. No I/O.

Servers count differently. Where the whole is told, it decides: what `total_tokens` has beyond prompt and completion was
paid for too. It is reasoning or cached input, if that is exactly what is missing, and output otherwise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from themis_core import Usage
from themis_http import MOST_TOKENS, count

__all__ = ["read_usage"]

_WRITES = (
    "cache_creation_input_tokens", "cache_creation_tokens", "cache_write_tokens", "cache_write_input_tokens",
)  # fmt: skip
_PLAIN = ("prompt_tokens", "completion_tokens", "total_tokens")


class _Cache(NamedTuple):
    """Tokens of the prompt that were read from the provider's cache, and that were written to it."""

    read: int | None
    written: int | None


def read_usage(data: Any) -> Usage | None:
    """The token counts in a body, that of an error included; None if it has none that can be read."""
    usage = data.get("usage") if isinstance(data, dict) else None
    if not isinstance(usage, dict):
        return None
    return _plain(usage) or _told(usage)


def _plain(usage: dict[str, Any]) -> Usage | None:
    """The counts of most replies: three that add up, and nothing else. It takes a tenth of the time of the long way."""
    taken, given, total = map(usage.get, _PLAIN)
    if not type(taken) is type(given) is type(total) is int or taken < 0 or given < 0:
        return None
    if taken + given != total or total > MOST_TOKENS:
        return None
    if len(usage) > len(_PLAIN) and any(usage[name] is not None for name in usage.keys() - set(_PLAIN)):
        return None
    return Usage(taken, given)


def _told(usage: dict[str, Any]) -> Usage | None:
    cache = _cache(usage)
    reasoning = _reasoning(usage)
    taken, given, rest = _with_total(usage, _input(usage, cache), count(usage, "completion_tokens", "output_tokens"))
    hidden = reasoning or 0
    stored = (cache.read or 0) + (cache.written or 0)
    if rest and rest not in (hidden, hidden + stored) and rest in (cache.read, cache.written, stored):
        taken = (taken or 0) + rest
    elif rest and stored and rest == hidden + stored:
        taken, given = (taken or 0) + stored, (given or 0) + hidden
    elif rest:
        given = (given or 0) + rest
    if given is not None and hidden > given:  # more than the whole can't be a part of it
        given += hidden
    if taken is not None and stored > taken:
        taken += stored
    return None if taken is given is None else Usage(taken, given, reasoning, cache.read, cache.written)


def _input(usage: dict[str, Any], cache: _Cache) -> int | None:
    """Tokens of the prompt, those of the cache included where the server says so by its names."""
    if (taken := count(usage, "prompt_tokens")) is not None:
        return taken
    hit, missed = count(usage, "prompt_cache_hit_tokens"), count(usage, "prompt_cache_miss_tokens")
    if hit is not None and missed is not None:
        return hit + missed
    taken = count(usage, "input_tokens")
    if taken is not None and _has_anthropics_names(usage):  # which are on top of its `input_tokens`
        return taken + (cache.read or 0) + (cache.written or 0)
    return taken


def _has_anthropics_names(usage: dict[str, Any]) -> bool:
    return not usage.keys().isdisjoint(("cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"))


def _cache(usage: dict[str, Any]) -> _Cache:
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    read = count(details, "cached_tokens", "cache_read_tokens", "cache_read_input_tokens")
    if not read:  # some servers send the details of others with zeros in them
        names = ("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens", "num_cached_tokens")
        found = count(usage, *names)
        read = read if found is None else found
    written = [found for each in (details, usage) if (found := _written(each)) is not None]
    return _Cache(read, max(written, default=None))


def _written(counts: Any) -> int | None:
    """Tokens written to the cache; also in Anthropic's form by how long they are kept."""
    by_time = counts.get("cache_creation") if isinstance(counts, dict) else None
    kept = [found for name in by_time if (found := count(by_time, name))] if isinstance(by_time, dict) else []
    told = count(counts, *_WRITES)
    return told if told or not kept else sum(kept)


def _reasoning(usage: dict[str, Any]) -> int | None:
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    within = count(details, "reasoning_tokens", "thinking_tokens")
    return within if within is not None else count(usage, "reasoning_tokens", "thinking_tokens")


def _with_total(usage: dict[str, Any], taken: int | None, given: int | None) -> tuple[int | None, int | None, int]:
    """Both counts, one of them made from the total if it is missing, and what the total has beyond them."""
    total = count(usage, "total_tokens")
    if total is None or (taken is None and given is None):
        return taken, given, 0
    if taken is None or given is None:
        missing = max(total - (taken or 0) - (given or 0), 0)
        return (missing, given, 0) if taken is None else (taken, missing, 0)
    return taken, given, max(total - taken - given, 0)
