"""What is told of tables, views, indices and triggers that are not as Themis defines them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import eq
from typing import Final, TypeVar

from themis_core import Damage
from themis_sql.layout import TRUTH

__all__ = ["MEND", "added", "differing"]

Definition = TypeVar("Definition", bound=tuple[str, str, str | None])
"""Kind (`table`, `view`, `index`), the table that it is of, and how it is defined."""
MEND: Final = "`themis storage rebuild` makes it again"
_LOST: Final = "bring the store back from a backup"


def differing(
    wanted: Mapping[str, Definition],
    found: Mapping[str, Definition],
    fits: Callable[[Definition, Definition], bool] = eq,
) -> Iterator[tuple[str, Damage]]:
    """Yield what is missing or defined otherwise, by its name; what is found and not wanted is somebody else's."""
    for name, each in wanted.items():
        kind, table, _ = each
        mend = _LOST if kind == "table" and table in TRUTH else MEND
        if name not in found:
            yield name, Damage(f"{kind} {name}", f"it is missing; {mend}")
        elif not fits(found[name], each):
            yield name, Damage(f"{kind} {name}", f"it is not defined as Themis defines it; {mend}")


def added(kind: str, name: str, table: str) -> Damage:
    """What is told of a trigger or rule. It is never Themis's: it changes what is written."""
    return Damage(f"{kind} {name}", f"somebody added it to {table}; `themis storage rebuild` removes it")
