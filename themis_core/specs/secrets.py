"""Finds keys and passwords where they must not stand: specs are shown, stored and shared.

It never repeats what it finds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["key_in_spec", "looks_like_a_key", "refuse_keys"]

Loc = tuple[str | int, ...]

_SCHEME = re.compile(r"(?:bearer|basic|token|api-?key)\s+(?=\S{12})", re.IGNORECASE)
_KEY = re.compile(
    r"(?=\D*\d)(?:(?:sk|pk|rk|csk)[-_]|hf_|gh[opsur]_|github_pat_|glpat-|gsk_|r8_|xox[abeprs]-|xai-|nvapi-|pplx-|"
    r"tgp_|fw_|ya29\.|dapi|lsv2_|AIza|AKIA|ASIA)[A-Za-z0-9_.+/=-]{14,}",
    re.ASCII,
)
"""The forms of OpenAI, Anthropic, Hugging Face, GitHub, GitLab, Groq, Replicate, Slack, xAI, Nvidia and others."""
_TOKEN = re.compile(r"eyJ[\w-]{10,}\.[\w-]{10,}(?:\.[\w-]*)?", re.ASCII)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_RANDOM = re.compile(r"(?=\D*\d)(?=.*[A-Za-z])[A-Za-z0-9_.+/=-]{16,}", re.ASCII)

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:x_)?(?:api_?keys?|authori[sz]ation|passw(?:or)?d|passphrase|secrets?|credentials?|bearer|cookie|"
    r"(?:access|private|secret|account|subscription)_keys?(?:_id)?|"
    r"(?:access|auth|refresh|session|security|hf|bot)_tokens?)(?:_|$)"
)
_PERHAPS_SECRET: Final = frozenset({"key", "token", "auth"})
_FREE_TEXT: Final = frozenset({"messages", "dataset", "dataset_id"})
"""Keys beneath which a text that looks like a key may be what a model is asked about."""


def looks_like_a_key(text: str) -> bool:
    """Whether a text as a whole has the form of a provider's key, a signed token or a header with one."""
    bare = _SCHEME.sub("", text.strip(), count=1)
    return bare != text.strip() or bool(_KEY.fullmatch(bare) or _TOKEN.fullmatch(bare) or _PEM.search(bare))


def refuse_keys(value: Any, *, by_name: bool) -> None:
    """Raise ValueError, which says where, if plain data holds a key, by its looks or by the name it stands under."""
    found = _key_in(value, by_name=by_name)
    if found is not None:
        place = ".".join("..." if looks_like_a_key(str(step)) else str(step) for step in found)
        raise ValueError(
            f"{place or 'it'} holds a key or password, or looks like one, and specs are shown and stored: put it into "
            "an environment variable, and write that variable's name into the engine's config, such as `api_key_env`"
        )


def key_in_spec(data: Any) -> Loc | None:
    """Where in the data of a spec a key stands, texts for models and rows of data left out."""
    return _key_in(data, by_name=False, skip=_FREE_TEXT)


def _key_in(value: Any, *, by_name: bool, skip: frozenset[str] = frozenset()) -> Loc | None:
    """Where in plain data the first key stands; None if there is none."""
    if isinstance(value, str):
        return () if looks_like_a_key(value) else None
    pairs: Any = ()
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, list | tuple):
        pairs = enumerate(value)
    for step, inner in pairs:
        if step in skip:
            continue
        if isinstance(step, str) and (looks_like_a_key(step) or (by_name and _is_secret(step, inner))):
            return (step,)
        if (found := _key_in(inner, by_name=by_name, skip=skip)) is not None:
            return (step, *found)
    return None


def _is_secret(name: str, value: Any) -> bool:
    texts = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str) and each.strip()]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-. ]", "_", name).lower().strip("_")
    if _SECRET_NAME.search(snake):
        return bool(texts)
    return snake in _PERHAPS_SECRET and any(_RANDOM.fullmatch(each.strip()) for each in texts)
