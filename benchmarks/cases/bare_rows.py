"""What bare loops keep of each trial: four narrow rows, in durable transactions of 64."""

from __future__ import annotations

import sqlite3
from pathlib import Path

__all__ = ["BATCH", "Answer", "database", "insert"]

BATCH = 64
SCHEMA = """
PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
CREATE TABLE requests (key TEXT PRIMARY KEY, prompt TEXT);
CREATE TABLE generations (key TEXT PRIMARY KEY, model TEXT, text TEXT);
CREATE TABLE trials (key TEXT PRIMARY KEY, item TEXT, model TEXT, status TEXT);
CREATE TABLE scores (key TEXT PRIMARY KEY, extraction TEXT, value REAL);
"""
Answer = tuple[str, str, str, str, str | None, float]
"""Item id, prompt, model, text, extraction, value."""


def database(file: Path) -> sqlite3.Connection:
    """An empty database that any thread may use."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.executescript(SCHEMA)
    return connection


def insert(connection: sqlite3.Connection, answers: list[Answer]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT OR IGNORE INTO requests VALUES (?, ?)", [(a[0], a[1]) for a in answers])
    connection.executemany("INSERT INTO generations VALUES (?, ?, ?)", [(a[0] + a[2], a[2], a[3]) for a in answers])
    connection.executemany(
        "INSERT INTO trials VALUES (?, ?, ?, 'answered')", [(a[0] + a[2], a[0], a[2]) for a in answers]
    )
    connection.executemany("INSERT INTO scores VALUES (?, ?, ?)", [(a[0] + a[2], a[4], a[5]) for a in answers])
    connection.execute("COMMIT")
