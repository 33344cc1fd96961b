"""Errors of the server and of the way to it: what kind each is, whether to try again, and what to do about it.

At connecting, the driver gives no SQLSTATE: there the kind is read from the message.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["IN_THE_WAY", "PostgresFault", "advice_on", "is_repeatable", "state_at_connecting", "unable_to_check"]

_REPEATABLE: Final = ("40001", "40P01", "53300", "57P")
"""States after which the same may succeed: conflicts, no free connection, a server that ends or starts."""
IN_THE_WAY: Final = ("23505", "40001", "40P01")
"""States of a transaction that met rows which another one was writing: a key twice, a row changed, a deadlock."""

_AT_CONNECTING: Final = (
    # The state, or a word where there is none: what the messages of libpq and of servers and poolers say.
    ("53300", r"too many (clients|connections)|connection slots|no more connections allowed|connection limit"),
    ("57P03", r"the database system is (starting up|shutting down|not yet accepting|in recovery)"),
    ("3D000", r"database \"?.*\"? does not exist|no such database"),
    ("TLS", r"no encryption|SSL off"),
    ("28000", r"no pg_hba\.conf entry|pg_hba\.conf rejects|is not permitted to log in"),
    ("TLS", r"SSL|TLS|certificate"),
    (
        "28P01",
        r"password|authentication|fe_sendauth|SCRAM|role \".*\" does not exist|no such user",
    ),
    ("NAME", r"could not translate host name|failed to resolve host|[Nn]ame or service not known|name resolution"),
    ("DOWN", r"refused|No such file or directory|timeout|timed out|[Nn]o route|unreachable|closed the connection"),
)
_AGAIN_AT_CONNECTING: Final = ("DOWN", "NAME", "53300", "57P")

_ADVICE: Final = (
    ("28P01", "check the user and the password of the URL in {where}"),
    ("28", "the server lets this user in from this machine by no rule: ask for one in its pg_hba.conf"),
    ("3D000", "the database does not exist: make it with createdb, or correct the URL in {where}"),
    ("53300", "the server has no free connection: end some, or raise its max_connections (or the role's limit)"),
    ("TLS", "server and client disagree on TLS: correct sslmode, sslrootcert or sslcert of the URL in {where}"),
    ("NAME", "the name of the host is not known here: correct the URL in {where}, or the network's names"),
    ("42501", "ask its owner for the right to use, and if it is new to create, the schema {schema}"),
    ("2BP01", "what others made there needs it: drop that first, or move it to a schema of its own"),
    ("23505", "a row has the key of another one: run `themis storage verify`, which says what differs from the log"),
    ("3F", "the schema is gone: bring the schema {schema} back from a backup"),
    ("42", "the tables are not as Themis made them: bring the schema {schema} back from a backup"),
    ("53100", "the server's disk is full: free some space, then run the same command again"),
    ("53200", "the server is out of memory: free some, then run the same command again"),
    ("57014", "a statement took {timeout:g} s, or waited that long for another process: raise statement_timeout_s"),
    ("25006", "the server takes no writes, as a standby: give the URL of the primary in {where}"),
    ("08P01", "give a direct connection, or a pooler in session mode (PgBouncer: pool_mode = session), in {where}"),
    ("XX", "the database may be damaged: see the server's log, and bring it back from a backup"),
)
_DOWN: Final = "check that the server runs and can be reached by the URL in {where}, then run the same command again"
_UNKNOWN: Final = "the server's log says more; then run the same command again"
_DAMAGES: Final = ("XX", "42P", "42703", "22", "3F")
"""States that tell of what is stored: damaged pages, missing tables and columns, values that can't be read."""


class PostgresFault(Exception):
    """An error of the server or of the connection to it, as it may be shown and logged."""

    def __init__(self, message: str, state: str = "", *, lost: bool = False) -> None:
        super().__init__(message)
        self.state = state
        """SQLSTATE, five characters, or a word for what has none; empty if nothing is known."""
        self.lost = lost
        """Whether the same may succeed on a new connection."""


def state_at_connecting(message: str) -> str:
    """Return the SQLSTATE that a message stands for, or `TLS`, `NAME` or `DOWN`; empty if it is none of the known."""
    return next((state for state, pattern in _AT_CONNECTING if re.search(pattern, message)), "")


def is_repeatable(state: str, *, connecting: bool) -> bool:
    return state.startswith(_REPEATABLE) or (connecting and state.startswith(_AGAIN_AT_CONNECTING))


def advice_on(fault: PostgresFault | None) -> str:
    """Return what to do, with the places `where` (of the URL), `timeout` (seconds) and `schema` to fill in."""
    if fault is None:
        return _UNKNOWN
    found = next((text for state, text in _ADVICE if fault.state.startswith(state)), None)
    return found or (_DOWN if fault.lost or fault.state == "DOWN" else _UNKNOWN)


def unable_to_check(fault: PostgresFault) -> bool:
    """Whether a check was kept from its work, which says nothing about what is stored."""
    return not fault.state.startswith(_DAMAGES)
