"""Texts of any length and content, kept once: in the table `payloads`, or apart from it, as blobs, if they are long.

It does not know what a text is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final

from themis_blobs import Blobs
from themis_core import StorageError
from themis_sql.codec import display_form, lookup_of, to_bytes
from themis_sql.database import Database

__all__ = ["BULKY", "NewPayloads", "Payloads", "displayed"]

_DISPLAYED = 1_000
"""Characters of a long text that SQL shows."""
BULKY: Final = 1_000
"""Characters from which on a row takes much of a page: among short rows, it would leave most of two pages empty."""


class Payloads:
    """Reads stored texts."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs
        self._ahead: dict[bytes, bytes] = {}

    @contextmanager
    def ahead(self, digests: Iterable[bytes]) -> Iterator[None]:
        """Read these blobs, several at once, so that `restore` has them within the block: one by one takes longer."""
        self._ahead = self._blobs.read_many(set(digests))
        try:
            yield
        finally:
            self._ahead = {}

    def restore(self, text: str, raw: bytes | None, external: int, digest: bytes) -> str:
        """Return the text itself from its row: `text`, `raw`, `external`, `digest`.

        Raises StorageError if it does not match its hash.
        """
        if external:
            known = self._ahead.get(bytes(digest))
            return (self._blobs.read(bytes(digest)) if known is None else known).decode("utf-8", "surrogatepass")
        if sha256(to_bytes(text) if raw is None else raw).digest() != digest:
            raise StorageError(
                f"a stored text does not match its hash, {bytes(digest).hex()}: bring the store back from a backup"
            )
        return text if raw is None else raw.decode("utf-8", "surrogatepass")

    def texts(self, ids: Iterable[int]) -> dict[int, str]:
        sql = "SELECT id, text, raw, external, digest FROM payloads WHERE id IN (*)"
        texts, long = {}, {}
        for number, text, raw, external, digest in self._database.rows_in(sql, list(ids)):
            if external:
                long[number] = bytes(digest)
            else:
                texts[number] = self.restore(text, raw, external, digest)
        if long:
            found = self._blobs.read_many(set(long.values()))
            texts |= {number: found[digest].decode("utf-8", "surrogatepass") for number, digest in long.items()}
        return texts


class NewPayloads:
    """The texts that one transaction adds."""

    def __init__(self, database: Database, inline_limit: int, first_id: int) -> None:
        self._database = database
        self._inline_limit = inline_limit
        self._next = first_id
        self._shared: dict[bytes, int] = {}
        self._digests: dict[str, bytes] = {}
        self._numbered: dict[str, int] = {}
        self.rows: list[tuple[Any, ...]] = []
        self.used: dict[int, bytes] = {}
        """Digests of all texts that were asked for, new or not, by their ids."""
        self.long: dict[bytes, bytes] = {}
        """The new texts that are beyond the limit, by their digests: they are to be written as blobs."""

    def number_first(self, texts: Iterable[str]) -> None:
        """Give some bulky texts their numbers, so that they lie together, those of one length side by side.

        `own` must take each of them. SQLite keeps what is longer than a page in pages of its own, and the rest of it
        among the other rows: rests of one size fill pages, where one after a longer one leaves most of a page empty.
        """
        for text in sorted(dict.fromkeys(texts), key=len):
            self._numbered[text] = self._next
            self._next += 1

    def find_shared(self, texts: Iterable[str]) -> None:
        """Look up which of these texts are stored, so that `shared` finds them."""
        self._digests = {text: sha256(to_bytes(text)).digest() for text in texts}
        lookups = [lookup_of(digest) for digest in self._digests.values()]
        sql = "SELECT id, digest FROM payloads WHERE lookup IN (*)"
        for number, digest in self._database.rows_found("payloads", sql, lookups):
            self._shared[bytes(digest)] = number

    def shared(self, text: str) -> int:
        """Return the id of a text that other rows may have too. It must have been in a `find_shared`."""
        digest = self._digests[text]
        number = self._shared.get(digest)
        if number is None:
            number = self._shared[digest] = self._add(text, to_bytes(text), digest, lookup_of(digest))
        self.used[number] = digest
        return number

    def own(self, text: str) -> int:
        """Return the id of a text that is hardly ever stored twice: no index is kept for it."""
        data = to_bytes(text)
        return self._add(text, data, sha256(data).digest(), None, self._numbered.pop(text, None))

    def _add(self, text: str, data: bytes, digest: bytes, lookup: int | None, number: int | None = None) -> int:
        if number is None:
            number = self._next
            self._next += 1
        self.used[number] = digest
        if len(data) > self._inline_limit:
            self.long[digest] = data
            self.rows.append((number, lookup, digest, displayed(text, external=True), None, 1))
        else:
            shown = display_form(text)
            row = (text, None) if shown is None else (shown, data)
            self.rows.append((number, lookup, digest, *row, 0))
        return number


def displayed(text: str, *, external: bool) -> str:
    """Return what SQL shows of a text."""
    start = text[:_DISPLAYED] if external else text
    return display_form(start) or start
