"""What every place of long texts offers: write, read, tell what is there, remove. And the form of a stored text.

A text is compressed with zstd and stored once, under the SHA-256 of its bytes. Nothing is ever changed in place.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from themis_core import StorageError

__all__ = ["BlobUnreachable", "Blobs", "StoredBlob", "object_name", "pack", "unpack"]


class BlobUnreachable(StorageError):
    """A text can't be read at the moment: that says nothing of what is stored."""


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """One thing that lies in the place of a store's long texts."""

    path: str
    """For people, and for `Blobs.remove`."""
    digest: bytes | None
    """None of a part that was never finished."""
    size_bytes: int
    age_s: float
    """Since it was last written."""


class Blobs(ABC):
    """The long texts of one store. Used from one thread at a time."""

    transactional: ClassVar[bool] = False
    """Whether what is written counts from the commit of the caller's transaction on, and is undone with it."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the texts are, for messages: no credentials."""

    @abstractmethod
    def where(self, digest: bytes) -> str:
        """Name one text in a message: `the blob file /data/ab/ab….zst`."""

    def prepare(self) -> None:  # noqa: B027 - most need nothing
        """Find out whether texts can be written, before anything depends on it. Raises StorageError if they can't."""

    @abstractmethod
    def write(self, texts: Mapping[bytes, bytes]) -> None:
        """Have these texts, by their digests, on stable storage when this returns; what is there already may stay.

        Others may write the same at the same time. Raises StorageError or OSError; some may be written then.
        """

    @abstractmethod
    def read(self, digest: bytes) -> bytes:
        """Return one text, which matches its digest.

        Raises StorageError if it is missing or damaged, and BlobUnreachable if that could not be told.
        """

    def read_many(self, digests: Collection[bytes]) -> dict[bytes, bytes]:
        """Return these texts; raises as `read` does."""
        return {digest: self.read(digest) for digest in digests}

    @abstractmethod
    def missing(self, digests: Iterable[bytes]) -> set[bytes]:
        """Return those of these digests under which nothing is stored; what is stored is not looked into."""

    @abstractmethod
    def stored(self) -> Iterator[StoredBlob]:
        """Yield all that is there, in the order of digests, parts that were never finished anywhere between."""

    @abstractmethod
    def remove(self, blob: StoredBlob) -> None:
        """Remove what `stored` gave, if it is still there. Raises StorageError if it can't be."""

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Release everything; a second call does nothing."""


def object_name(digest: bytes) -> str:
    """Return the name of a text in a folder or bucket: `ab/<sha256>.zst`."""
    name = digest.hex()
    return f"{name[:2]}/{name}.zst"


def pack(text: bytes) -> bytes:
    """Return a text as it is stored."""
    from zstandard import ZstdCompressor  # here, as a config that is only read needs none of it

    return ZstdCompressor(level=3).compress(text)


def unpack(packed: bytes, digest: bytes, where: str) -> bytes:
    """Return the text from its stored form. Raises StorageError, which names it as `where`, if it is not that text."""
    from zstandard import ZstdDecompressor, ZstdError

    try:
        # Piece by piece: a damaged one may say that it holds more than there is memory for.
        reader = ZstdDecompressor().decompressobj()
        text = reader.decompress(packed)
    except ZstdError as error:
        raise StorageError(f"{where} is damaged: bring it back from a backup") from error
    if not reader.eof:
        raise StorageError(f"{where} is damaged: bring it back from a backup")
    if hashlib.sha256(text).digest() != digest:
        raise StorageError(f"{where} does not match its hash: bring it back from a backup")
    return text
