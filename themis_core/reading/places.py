"""Where a part of a spec stands: its path inside the spec, and the file and line if it came from a file."""

from __future__ import annotations

from themis_core.errors import SpecError
from themis_documents import Loc, Source, dotted

__all__ = ["Place"]


class Place:
    """Where in which file a part of a spec stands: a path inside the spec, and the file if it came from one."""

    def __init__(self, source: Source | None = None, loc: Loc = (), offset: Loc = ()) -> None:
        self.source = source
        self.loc = loc
        self.offset = offset
        """What stands before `loc` in the file, such as `benchmark`."""

    def __truediv__(self, step: str | int) -> Place:
        return Place(self.source, (*self.loc, step), self.offset)

    def at(self, *steps: str | int) -> Place:
        """The place some steps further in."""
        return Place(self.source, (*self.loc, *steps), self.offset)

    def error(self, message: str) -> SpecError:
        """Make the SpecError that says `message` of this place."""
        loc = dotted(self.loc) or None
        if self.source is None:
            return SpecError(message, loc=loc)
        in_file = (*self.offset, *self.loc)
        if (told := self.source.override(in_file)) is not None:
            return SpecError(message, path=told, loc=loc)
        return SpecError(message, path=self.source.path or None, line=self.source.line(in_file), loc=loc)
