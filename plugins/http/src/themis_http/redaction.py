"""Keeps secrets out of what servers say, and makes it fit to be shown: one line, short, without control characters.

It knows nothing of HTTP.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

__all__ = ["Redaction"]

LONGEST_MESSAGE = 300
LONGEST_READ = 4_000
"""Characters of a message that are looked at."""
SHORTEST = 4
"""Shorter secrets are none: to take them out would take out half of all words."""
GRAM = 8
"""A run of this many characters of a secret, in any of its forms, is taken out."""
SHORTEST_IN_ANSWERS = 16
"""Shorter keys are placeholders such as `EMPTY`, which may well be words of an answer."""
REDACTED = "[redacted]"

_MASKED = re.compile(r"(?<![^\s'\"`,;:=()])[^\s'\"`,;:=()]*\*{3,}[^\s'\"`,;()]*")
"""What a provider leaves of a key: `sk-ab***wxyz`. Looked for at the beginnings of words only: a long word is read
once."""


class Redaction:
    """Takes a run's secrets out of texts.

    Also found are parts of eight characters and more, any case, and URL, hexadecimal and Base64 encodings; what is
    quoted in pieces shorter than that is not.
    """

    def __init__(self, secrets: Iterable[str], others: Iterable[str] = ()) -> None:
        """`others` are taken out of messages only: an answer is searched for what was sent to that server."""
        own = [secret for secret in secrets if len(secret) >= SHORTEST]
        known = dict.fromkeys([*own, *(secret for secret in others if len(secret) >= SHORTEST)])
        exact = (form for secret in own if len(secret) >= SHORTEST_IN_ANSWERS for form in _whole_forms(secret))
        self._exact = sorted(set(exact), key=len, reverse=True)  # so that no form is taken for a part of a longer one
        self._grams: dict[int, set[bytes]] = {}
        for form in {form for secret in known for form in _forms(secret)}:
            size = min(GRAM, len(form))
            grams = self._grams.setdefault(size, set())
            grams.update(form[start : start + size] for start in range(len(form) - size + 1))

    def message(self, text: str) -> str:
        """A provider's words as one line of at most 300 characters, secrets and control characters taken out."""
        line = self._without_secrets(_plain(text[:LONGEST_READ]))
        line = _MASKED.sub(REDACTED, line)
        return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 3] + "..."

    def clean(self, text: str) -> bool:
        """Whether a text holds nothing of a secret."""
        return self._without_secrets(text) == text

    def answer(self, content: bytes) -> bytes:
        """The body of a reply. Only a whole key is replaced, as it is or encoded: what a model says is not to be
        changed by chance."""
        for secret in self._exact:
            if secret in content:
                content = content.replace(secret, REDACTED.encode())
        return content

    def _without_secrets(self, text: str) -> str:
        # One byte per character, so that places in one are places in the other.
        low = text.encode("latin-1", "replace").lower()
        kept: list[str] = []
        end = 0
        for start, stop in self._found(low):
            if start > end or not kept:
                kept += [text[end:start], REDACTED]
            end = max(end, stop)
        return "".join([*kept, text[end:]])

    def _found(self, low: bytes) -> Iterator[tuple[int, int]]:
        for start in range(len(low)):
            for size, grams in self._grams.items():
                if low[start : start + size] in grams:
                    yield start, start + size


def _whole_forms(secret: str) -> Iterator[bytes]:
    """A secret as it may stand in JSON, case kept; of Base64 the inner part, which is the same in any longer text."""
    raw = secret.encode()
    yield json.dumps(secret)[1:-1].encode()
    yield from (raw, quote(secret).encode(), quote(secret, safe="").encode(), raw.hex().encode())
    for form in _base64(raw):
        yield form
        yield form.replace(b"/", b"\\/")  # as PHP writes it


def _base64(raw: bytes) -> Iterator[bytes]:
    for offset, tainted in ((0, 0), (1, 2), (2, 3)):  # where in a longer text the secret may begin
        text = base64.b64encode(b"\0" * offset + raw)
        form = text[tainted : len(text) - 4]
        yield form
        yield form.replace(b"+", b"-").replace(b"/", b"_")


def _forms(secret: str) -> Iterator[bytes]:
    raw = secret.encode()
    yield secret.encode("latin-1", "replace").lower()
    if len(raw) < GRAM:
        return
    yield quote(secret).encode().lower()
    yield quote(secret, safe="").encode().lower()
    yield raw.hex().encode()
    yield from (form.lower() for form in _base64(raw))


def _plain(text: str) -> str:
    # White space becomes one space. Other invisible characters go without a trace, so that they can't hide a secret.
    spaced = " ".join(text.split())
    return "".join(each for each in spaced if each.isprintable())
