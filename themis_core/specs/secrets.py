"""Refuses keys and passwords in specs, which are shown, stored and shared."""

from __future__ import annotations

from typing import Any

from themis_secrets import find_key, looks_like_a_key

__all__ = ["refuse_keys"]


def refuse_keys(value: Any, *, by_name: bool) -> None:
    """Raise ValueError, which says where, if plain data holds a key, by its looks or by the name it stands under."""
    found = find_key(value, by_name=by_name)
    if found is not None:
        place = ".".join("..." if looks_like_a_key(str(step)) else str(step) for step in found)
        raise ValueError(
            f"{place or 'it'} holds a key or password, or looks like one, and specs are shown and stored: put it into "
            "an environment variable, and write that variable's name into the engine's config, such as `api_key_env`"
        )
