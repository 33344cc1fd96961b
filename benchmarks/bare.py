"""The bare loops that Themis is measured against: as little code as does the same work."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

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


def database(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / "bare.sqlite3", isolation_level=None)
    connection.executescript(SCHEMA)
    return connection


def insert(connection: sqlite3.Connection, answers: list[Answer]) -> None:
    """Insert the four rows of each answer, as one durable transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT OR IGNORE INTO requests VALUES (?, ?)", [(a[0], a[1]) for a in answers])
    connection.executemany("INSERT INTO generations VALUES (?, ?, ?)", [(a[0] + a[2], a[2], a[3]) for a in answers])
    connection.executemany(
        "INSERT INTO trials VALUES (?, ?, ?, 'answered')", [(a[0] + a[2], a[0], a[2]) for a in answers]
    )
    connection.executemany("INSERT INTO scores VALUES (?, ?, ?)", [(a[0] + a[2], a[4], a[5]) for a in answers])
    connection.execute("COMMIT")


def replay(questions: Path, solutions: list[Path], folder: Path) -> int:
    """Read the recorded outputs, apply the regex, compare, insert in batches; returns how many are correct."""
    import regex

    pattern = regex.compile(r"(?m)^A: (.+)$")
    items = {row["id"]: row for row in map(json.loads, questions.open(encoding="utf-8"))}
    connection = database(folder)
    answers = _scored(solutions, items, pattern)
    correct = 0
    while batch := list(islice(answers, BATCH)):
        insert(connection, batch)
        correct += sum(int(each[5]) for each in batch)
    connection.close()
    return correct


def _scored(solutions: list[Path], items: dict[str, Any], pattern: Any) -> Iterator[Answer]:
    for path in solutions:
        for line in path.open(encoding="utf-8"):
            row = json.loads(line)
            item = items[row["id"]]
            found = pattern.findall(row["output"], timeout=1.0)
            value = float(bool(found) and found[-1].replace(",", "") == str(item["gold"]))
            yield row["id"], item["question"], row["model"], row["output"], found[-1] if found else None, value


async def http(client: str, url: str, prompts: list[str], in_flight: int, folder: Path) -> None:
    """Ask every prompt with so many in flight, and insert the answers in batches, in a thread beside the loop."""
    connection = sqlite3.connect(folder / "bare.sqlite3", isolation_level=None, check_same_thread=False)
    connection.executescript(SCHEMA)
    waiting: list[Answer] = []
    numbered = iter(enumerate(prompts))

    async def work(ask: Callable[[str], Awaitable[str]]) -> None:
        for number, prompt in numbered:
            text = await ask(prompt)
            waiting.append((str(number), prompt, "m", text, text, 1.0))
            if len(waiting) >= BATCH:
                batch, waiting[:] = waiting[:], []
                await asyncio.to_thread(_locked_insert, connection, batch)

    if client == "aiohttp":
        import aiohttp

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:

            async def ask(prompt: str) -> str:
                async with session.post(url, json=_body(prompt)) as reply:
                    return _text(await reply.json())

            await asyncio.gather(*(work(ask) for _ in range(in_flight)))
    else:
        import httpx

        limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
        async with httpx.AsyncClient(limits=limits, timeout=60) as session_x:

            async def ask_x(prompt: str) -> str:
                return _text((await session_x.post(url, json=_body(prompt))).json())

            await asyncio.gather(*(work(ask_x) for _ in range(in_flight)))
    insert(connection, waiting)
    connection.close()


_lock = threading.Lock()


def _locked_insert(connection: sqlite3.Connection, batch: list[Answer]) -> None:
    with _lock:
        insert(connection, batch)


def _body(prompt: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": prompt}], "max_tokens": 64}


def _text(reply: dict[str, Any]) -> str:
    return str(reply["choices"][0]["message"]["content"])
