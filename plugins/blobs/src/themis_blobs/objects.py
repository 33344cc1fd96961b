"""What a client of an object store must offer, so that long texts can be kept by it: whole objects under names.

It knows neither texts nor retries. Each kind of URL has one subclass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

__all__ = ["Objects", "Stat"]


class Stat(NamedTuple):
    """One object."""

    name: str
    size_bytes: int
    written_at: float
    """Seconds since the epoch, by the clock of who keeps it."""


class Objects(ABC):
    """The objects beneath one URL. Used by several threads at once; a call raises what its client raises.

    An object that is not there is a FileNotFoundError, in all calls but `remove`.
    """

    lasting: ClassVar[tuple[type[BaseException], ...]] = (
        FileNotFoundError,
        PermissionError,
        NotImplementedError,
        ImportError,
        ValueError,
        TypeError,
        KeyError,
    )
    """Errors that trying again does not help against."""
    denied: ClassVar[tuple[type[BaseException], ...]] = (PermissionError,)
    """Of these, those that say that a right or a key is lacking."""

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Store an object, whole or not at all, in place of one that may be there; it is durable on return."""

    @abstractmethod
    def get(self, name: str) -> bytes:
        """Return an object as it is now."""

    @abstractmethod
    def check(self, name: str) -> None:
        """Raise FileNotFoundError if no object has that name now."""

    @abstractmethod
    def list(self, folder: str) -> Iterator[Stat]:
        """Yield the objects whose names begin with `folder/`, in any order; none if there is no such folder."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
