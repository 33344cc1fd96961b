"""Keys and passwords where they must not stand: known by their looks, or by the name they stand under.

It never repeats what it finds, and needs nothing but the standard library.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeAlias

__all__ = ["Loc", "find_key", "looks_like_a_key", "without_secrets"]

Loc: TypeAlias = tuple[str | int, ...]
"""Keys and indices, from the outside in."""

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
_SECRET_VARIABLE = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|DSN|_URL$|PROXY", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/\s@'\"]+@")


def looks_like_a_key(text: str) -> bool:
    """Whether a text as a whole has the form of a provider's key, a signed token or a header with one."""
    bare = _SCHEME.sub("", text.strip(), count=1)
    return bare != text.strip() or bool(_KEY.fullmatch(bare) or _TOKEN.fullmatch(bare) or _PEM.search(bare))


def find_key(value: Any, *, by_name: bool = False, skip: Collection[str] = ()) -> Loc | None:
    """The path to the first key in plain data; None if there is none.

    `by_name` also takes what stands under a name such as `password`. What is beneath a name in `skip` is not looked at.
    """
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
        if (found := find_key(inner, by_name=by_name, skip=skip)) is not None:
            return (step, *found)
    return None


def _is_secret(name: str, value: Any) -> bool:
    texts = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str) and each.strip()]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-. ]", "_", name).lower().strip("_")
    if _SECRET_NAME.search(snake):
        return bool(texts)
    return snake in _PERHAPS_SECRET and any(_RANDOM.fullmatch(each.strip()) for each in texts)


def without_secrets(text: str) -> str:
    """The text with `***` for what looks like a key, for users and passwords of addresses, and for the values of those
    environment variables whose names say that they are secret."""
    for name, value in os.environ.items():
        if _SECRET_VARIABLE.search(name) and len(value) >= 6:
            text = text.replace(value, "***")
    text = _USER_INFO.sub("***@", text)
    words = set(re.findall(r"[^\s'\"=,;()<>\[\]{}]{16,}", text))
    for word in words:
        if looks_like_a_key(word):
            text = text.replace(word, "***")
    return text
