"""Refuses keys and passwords in specs, which are shown, stored and shared."""

from __future__ import annotations

from typing import Any, Final

from themis_secrets import Loc, find_key, looks_like_a_key

__all__ = ["key_in_spec", "refuse_keys"]

_FREE_TEXT: Final = frozenset({"messages", "dataset", "dataset_id"})
"""Keys beneath which a text that looks like a key may be what a model is asked about."""


def refuse_keys(value: Any, *, by_name: bool) -> None:
    """Raise ValueError, which says where, if plain data holds a key, by its looks or by the name it stands under."""
    found = find_key(value, by_name=by_name)
    if found is not None:
        place = ".".join("..." if looks_like_a_key(str(step)) else str(step) for step in found)
        raise ValueError(
            f"{place or 'it'} holds a key or password, or looks like one, and specs are shown and stored: put it into "
            "an environment variable, and write that variable's name into the engine's config, such as `api_key_env`"
        )


def key_in_spec(data: Any) -> Loc | None:
    """Where in the data of a spec a key stands, texts for models and rows of data left out."""
    return find_key(data, skip=_FREE_TEXT)
