"""The log: rows of `events`, each with a digest over itself, its texts and the row before it in its chain.

A chain holds what one writer appended of one run, so writers don't wait for each other's rows. The table `chains` has
the end of each, which its writer alone moves; and as number 0 the register of all chains, which changes when one
begins. So rows that were deleted are missed, also the last ones of a chain, and whole chains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from zstandard import ZstdError

from themis_core import Damage, counted
from themis_sql.codec import json_ascii, json_bytes, pack_body, pack_name, unpack_body
from themis_sql.database import Database
from themis_sql.facts import Fact, payload_ids
from themis_sql.layout import insert_sql

__all__ = ["Log", "LogCheck", "UNREADABLE", "text_digests"]

UNREADABLE: Final = (
    ZstdError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError
)  # fmt: skip
"""What decoding raises for a value that is not as it was written."""
_KINDS: Final = frozenset(
    {
        "run_started", "item", "generation", "trial", "run_finished",
        "batch_intended", "batch_submitted", "batch_ended",
    }
)  # fmt: skip
_REGISTER: Final = 0
"""Number of the row in `chains` that says how many chains there are (`length`), with a digest over them all."""
_MOST: Final = 2**31
"""More events than this no row has."""
_MOVE: Final = "UPDATE chains SET length = length + 1, next = ?, digest = ? WHERE id = ?"
_ROW: Final = (
    "SELECT seq, count, run_id, at, chain, previous, digest, encoding, body FROM events"
    " WHERE seq > ? ORDER BY seq LIMIT 1"
)


class Log:
    """Appends rows, within the caller's transaction. `keep` after its commit, else `drop`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ends: dict[str | None, tuple[int, bytes]] = {}
        self._new: dict[str | None, tuple[int, bytes]] = {}

    def forget(self) -> None:
        """Begin new chains from now on: the ends that are known may not be those that are stored."""
        self._ends.clear()
        self._new.clear()

    def drop(self) -> None:
        """Forget the rows since the last `keep`, which were rolled back."""
        self._new.clear()

    def keep(self) -> None:
        """Remember where the chains end now."""
        self._ends.update(self._new)
        self._new.clear()

    def append(self, seq: int, facts: list[Fact], texts: Mapping[int, bytes]) -> None:
        """Add one row. `texts` has the digest of each text that the facts refer to, by the number of its payload."""
        runs = {run_id for fact in facts if (run_id := fact.get("run_id")) is not None}
        run_id = pack_name(runs.pop()) if len(runs) == 1 else None
        self.add(seq, len(facts), run_id, _now(), *pack_body(json_bytes(facts)), texts)

    def add(
        self, seq: int, count: int, run_id: str | None, at: str, encoding: int, body: bytes, texts: Mapping[int, bytes]
    ) -> None:
        chain, previous = self._new.get(run_id) or self._ends.get(run_id) or self._begin(run_id, seq)
        digest = _linked(previous, (seq, count, run_id, at, chain, encoding), texts, body)
        row = (seq, count, run_id, at, chain, previous, digest, encoding, body)
        self._database.run(insert_sql("events"), row)
        self._database.run(_MOVE, (seq + count, digest, chain))
        self._new[run_id] = chain, digest

    def _begin(self, run_id: str | None, seq: int) -> tuple[int, bytes]:
        """Make a chain without rows; return its number, and the digest that stands before its first row."""
        number = self._register(run_id, seq)
        digest = _beginning(number, run_id)
        self._database.run(insert_sql("chains"), (number, run_id, 0, seq, digest))
        return number, digest

    def _register(self, run_id: str | None, seq: int) -> int:
        """Return the number of a new chain, noted in the register; a register that was removed stays missing."""
        last = int(self._database.row("SELECT coalesce(max(id), 0) FROM chains")[0])
        register = self._database.row("SELECT length, digest FROM chains WHERE id = ?", (_REGISTER,))
        if register is None:
            number = max(last, int(self._database.row("SELECT coalesce(max(chain), 0) FROM events")[0])) + 1
            if number == 1:
                digest = _registered(_beginning(_REGISTER, None), number, run_id)
                self._database.run(insert_sql("chains"), (_REGISTER, None, 1, seq, digest))
            return number
        length, before = register
        number = max(last, length if isinstance(length, int) else 0) + 1
        digest = _registered(before, number, run_id)
        self._database.run(_MOVE, (seq, digest, _REGISTER))
        return number


def make_register(database: Database) -> None:
    """Put the register of chains where earlier versions had the end of the whole log, if that fits the log's end.

    If it does not, events are missing: it is left as it is, so that it goes on to be told.
    """
    row = database.row("SELECT length, digest FROM chains WHERE id = ?", (_REGISTER,))
    newest = database.row("SELECT digest FROM events ORDER BY seq DESC LIMIT 1")
    if row is None or newest is None or bytes(newest[0]) != bytes(row[1]):
        return
    if row[0] == database.row("SELECT count(*) FROM events")[0]:
        number, digest = 0, _beginning(_REGISTER, None)
        for number, run_id in database.rows("SELECT id, run_id FROM chains WHERE id > ? ORDER BY id", (_REGISTER,)):
            digest = _registered(digest, number, run_id)
        database.run("UPDATE chains SET length = ?, digest = ? WHERE id = ?", (number, digest, _REGISTER))


@dataclass(slots=True)
class _End:
    """How far a chain was followed."""

    run_id: str | None
    length: int
    next: int
    """Number of the event after its last one."""
    digest: bytes


class LogCheck:
    """Goes through the log once, and finds what is not as it was written."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ends: dict[int, _End] = {}
        self._last_text = 0
        self._unowned: int | None = None
        """The first text to which no row refers."""
        self.lost: set[int] = set()
        """Numbers of the rows whose content is lost, for it was changed, or a text of it is missing; while `damages`
        goes on, of those before."""

    def damages(self) -> Iterator[Damage]:
        """Yield what is wrong, in the order of the log."""
        last = 0
        while (row := self._database.row(_ROW, (last,))) is not None:
            last = row[0]
            for problem in self._problems(row):
                yield Damage(f"events {last}", problem)
        yield from self._differing_ends()
        self._note_unowned(None)
        if self._unowned is not None and not self.lost:
            yield Damage(f"payloads {self._unowned}", "no event refers to it: events are missing")

    def _problems(self, row: Any) -> Iterator[str]:
        """Yield what is wrong with one row, and note whether its content is lost."""
        problems = list(self._content_problems(row))
        if problems:
            self.lost.add(row[0])
            yield from problems
        _, _, run_id, _, chain, previous, digest, *_ = row
        end = self._ends.get(chain) or _End(run_id, 0, 0, _beginning(chain, run_id))
        if previous != end.digest:
            yield "it does not follow the row before it in its chain, which was changed or is missing"
        self._ends[chain] = _End(run_id, end.length + 1, _after(row), digest)

    def _content_problems(self, row: Any) -> Iterator[str]:
        seq, count, run_id, at, chain, previous, digest, encoding, body = row
        try:
            facts = unpack_body(encoding, body)
            wanted = sorted(set(payload_ids(facts)))
            unknown = sorted({str(each["kind"]) for each in facts} - _KINDS)
            texts = text_digests(self._database, wanted)
            self._note_texts(wanted)
            whole = len(texts) == len(wanted)
            fits = whole and _linked(previous, (seq, count, run_id, at, chain, encoding), texts, body) == digest
        except UNREADABLE as error:
            yield f"the row does not decode ({type(error).__name__})"
            return
        if len(facts) != count:
            yield f"the row holds {counted(len(facts), 'event')} where {count} should be"
        if unknown:
            yield f"events of unknown kinds: {', '.join(unknown)}"
        for number in wanted:
            if number not in texts:
                yield f"its text, payloads {number}, is missing"
        if whole and not fits:
            yield "the row does not match its digest: it or the digest of one of its texts was changed"

    def _note_texts(self, numbers: Sequence[int]) -> None:
        """Note the texts of a row: those that came with it have the numbers after those that came before."""
        for number in numbers:
            if number > self._last_text:
                if number > self._last_text + 1:
                    self._note_unowned(number)
                self._last_text = number

    def _note_unowned(self, before: int | None) -> None:
        """Note a stored text between the last one of the rows so far and this one; None: after the last."""
        if self._unowned is None:
            end = () if before is None else (before,)
            sql = "SELECT id FROM payloads WHERE id > ?" + (" AND id < ?" if end else "") + " ORDER BY id LIMIT 1"
            row = self._database.row(sql, (self._last_text, *end))
            self._unowned = None if row is None else row[0]

    def _differing_ends(self) -> Iterator[Damage]:
        """Yield the chains whose stored ends are not the rows that they were followed to."""
        followed = dict(self._ends)
        register, last, registered = None, 0, _beginning(_REGISTER, None)
        for number, run_id, length, after, digest in self._database.rows("SELECT * FROM chains ORDER BY id"):
            if number == _REGISTER:
                register = length, digest
                continue
            last, registered = number, _registered(registered, number, run_id)
            end = followed.pop(number, None) or _End(run_id, 0, after, _beginning(number, run_id))
            if (end.run_id, end.length, end.next, end.digest) != (run_id, length, after, digest):
                found = f"{counted(end.length, 'row', 'was', 'were')} found, up to before event {end.next}"
                yield Damage(
                    f"chains {number}",
                    f"{found}, where {length} should be, up to before event {after}: rows at the end are missing, "
                    "or it was changed itself",
                )
        for number in followed:
            yield Damage(f"chains {number}", "the row is missing")
        if register is None and (last or followed):
            yield Damage(f"chains {_REGISTER}", "the row is missing")
        elif register is not None and register != (last, registered):
            yield Damage(
                f"chains {_REGISTER}",
                "it has other chains than there are: chains with their rows are missing, or it was changed itself",
            )


def text_digests(database: Database, numbers: Iterable[int]) -> dict[int, bytes]:
    """Return the stored digests of these payloads, as far as they are there."""
    rows = database.rows_in("SELECT id, digest FROM payloads WHERE id IN (*)", list(numbers))
    return {row[0]: bytes(row[1]) for row in rows}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _linked(previous: bytes, header: tuple[Any, ...], texts: Mapping[int, bytes], body: bytes) -> bytes:
    digest = hashlib.sha256(previous)
    digest.update(json_ascii((*header, len(texts))).encode("ascii"))
    digest.update(b"".join([texts[number] for number in sorted(texts)]))
    digest.update(body)
    return digest.digest()


def _after(row: Any) -> int:
    """Return the number of the event after those of a row, whatever became of its count."""
    seq, count = row[0], row[1]
    return int(seq) + (count if isinstance(count, int) and 0 < count < _MOST else 1)


def _registered(before: Any, number: Any, run_id: Any) -> bytes:
    """Return the register's digest after a further chain."""
    digest = hashlib.sha256(before if isinstance(before, bytes) else b"")
    digest.update(_beginning(number, run_id))
    return digest.digest()


def _beginning(number: Any, run_id: Any) -> bytes:
    try:
        return hashlib.sha256(json_ascii([number, run_id]).encode("ascii")).digest()
    except UNREADABLE:
        return b""
