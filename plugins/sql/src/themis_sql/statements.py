"""The statements that make a store's tables, indices and views, from the file `schema.sql` of a storage plugin.

The file is made from `schema`, once for each database, so that no run has to import SQLAlchemy.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

__all__ = ["Statements", "tidy"]

_END: Final = ";\n\n"
_MADE: Final = re.compile(r"CREATE (?:UNIQUE )?(TABLE|INDEX|VIEW) (\w+)(?: ON (\w+))?")


class Statements:
    """What a file of statements makes, in the order of the file."""

    def __init__(self, path: Path) -> None:
        self._made: list[tuple[str, str, str]] = []
        for statement in path.read_text("utf-8").rstrip(";\n").split(_END):
            match = _MADE.match(statement)
            assert match is not None, statement
            self._made.append((match[1], match[3] or match[2], statement))

    def of_tables(self, names: Collection[str]) -> list[str]:
        """Return what makes these tables and their indices."""
        return [statement for kind, of, statement in self._made if kind != "VIEW" and of in names]

    def views(self) -> dict[str, str]:
        """Return what makes each view, by its name."""
        return {of: statement for kind, of, statement in self._made if kind == "VIEW"}


def tidy(statements: Iterable[str]) -> str:
    """Return the text of a file that holds these statements."""
    plain = ("\n".join(line.rstrip() for line in each.strip().expandtabs(2).splitlines()) for each in statements)
    return _END.join(plain) + ";\n"
