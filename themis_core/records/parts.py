"""Parts of a run: which of its trials belong together wherever it is shared out."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from themis_plain import canonical_json

__all__ = ["Part"]

_WRITTEN: Final = re.compile(r"\s*(-?\d{1,9})\s*/\s*(-?\d{1,9})\s*", re.ASCII)
_FORM: Final = "a part is K/N: the K-th of N, with K from 1 to N, such as 3/16"


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One of `of` shares of a run's plan: `number` goes from 1 to `of`, and `str(part)` is `3/16`.

    Where a trial belongs depends on its item's id and its sample index alone, so it is the same on every machine,
    whatever else the dataset holds.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ValueError(f"{_FORM}. {self.number}/{self.of} is none{_hint(self.number, self.of)}")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read `3/16`. Raises ValueError, which says what is wrong and what to write."""
        if (found := _WRITTEN.fullmatch(text)) is None:
            raise ValueError(f"{_FORM}. {text!r} is none")
        number, of = int(found[1]), int(found[2])
        if number == of == 1:
            raise ValueError("1/1 is the whole run: leave --shard out")
        return cls(number, of)

    def has(self, item_id: str, sample_index: int | None) -> bool:
        """Whether what belongs to an item and a sample is in this part; None: all samples of an item are together."""
        return _number(item_id, sample_index, self.of) == self.number

    @classmethod
    def holding(cls, item_id: str, sample_index: int | None, of: int) -> Part:
        """The one of so many parts that has what belongs to an item and a sample, as `has` says it."""
        return cls(_number(item_id, sample_index, of), of)


def _number(item_id: str, sample_index: int | None, of: int) -> int:
    """1 + H mod N, where H is the first 8 bytes of SHA-256 of the canonical JSON of `[item id, sample index]`, or of
    `[item id]`."""
    named = [item_id] if sample_index is None else [item_id, sample_index]
    first = hashlib.sha256(canonical_json(named).encode("ascii")).digest()[:8]
    return 1 + int.from_bytes(first, "big") % of


def _hint(number: int, of: int) -> str:
    if of < 1:
        return ": there is one part at least"
    if number == 0:
        return f": parts are counted from 1 (where a scheduler counts from 0, add 1: 1/{of})"
    return f": there are only {of}" if number > of else ""
