"""The bare loops that Themis is measured against: as little code as does the same work."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
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


def replay(questions: Path, solutions: list[Path], folder: Path, *, same_rows: bool) -> int:
    """Read the recorded outputs, apply the regex, compare, insert in batches; returns how many are correct.

    With `same_rows` it inserts the rows that Themis keeps, into Themis's tables; else the four narrow ones.
    """
    import regex

    pattern = regex.compile(r"(?m)^A: (.+)$")
    items = {row["id"]: row for row in map(json.loads, questions.open(encoding="utf-8"))}
    save: Callable[[list[Answer]], None]
    if same_rows:
        connection = themis_tables(folder)
        save = SameRows(connection, items).insert
    else:
        connection = database(folder)
        save = partial(insert, connection)
    answers = _scored(solutions, items, pattern)
    correct = 0
    while batch := list(islice(answers, BATCH)):
        save(batch)
        correct += sum(int(each[5]) for each in batch)
    connection.close()
    return correct


def themis_tables(folder: Path) -> sqlite3.Connection:
    """Make an empty store, and open its file as a bare loop would."""
    from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

    SqliteBlobStorageSpec(root_dir=str(folder)).open(folder).close()
    (file,) = folder.glob("*.sqlite3")
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


class SameRows:
    """Inserts a row for each that Themis writes, of the same width and size, without looking anything up."""

    def __init__(self, connection: sqlite3.Connection, items: dict[str, Any]) -> None:
        self._connection = connection
        self._items = items
        self._prompts: dict[str, tuple[int, int]] = {}
        """Item id to the numbers of its item row and of its messages."""
        self._payload = self._trial = 0

    def insert(self, answers: list[Answer]) -> None:
        rows: dict[str, list[tuple[Any, ...]]] = {
            name: [] for name in ("payloads", "items", "generations", "scores", "trials", "score_links")
        }
        for answer in answers:
            self._add(answer, rows)
        body = zlib.compress(json.dumps([rows["generations"], rows["scores"]], default=bytes.hex).encode(), 1)
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", (self._trial, len(answers), "run", "at", 1, body)
        )
        for name, values in rows.items():
            if values:
                marks = ", ".join("?" * len(values[0]))
                self._connection.executemany(f"INSERT INTO {name} VALUES ({marks})", values)
        self._connection.execute("COMMIT")

    def _text(self, text: str, rows: list[tuple[Any, ...]], lookup: int | None = None) -> int:
        self._payload += 1
        rows.append((self._payload, lookup, hashlib.sha256(text.encode()).digest(), text, None, 0))
        return self._payload

    def _add(self, answer: Answer, rows: dict[str, list[tuple[Any, ...]]]) -> None:
        item_id, prompt, model, text, found, value = answer
        self._trial += 1
        number = self._trial
        key = hashlib.sha256(f"{item_id} {model}".encode()).digest()
        lookup = int.from_bytes(key[:8], "big", signed=True)
        if item_id not in self._prompts:
            content = self._text(json.dumps(self._items[item_id]), rows["payloads"])
            messages = self._text(json.dumps([{"role": "user", "content": prompt}]), rows["payloads"], lookup)
            self._prompts[item_id] = (len(self._prompts) + 1, messages)
            rows["items"].append((len(self._prompts), lookup, key, item_id, content))
        item, messages = self._prompts[item_id]
        answered = self._text(text, rows["payloads"])
        at = datetime.now(UTC).isoformat()
        rows["generations"].append(
            (number, lookup, key, "answered", None, None, 1, messages, item_id, 0, None, answered)
            + (None,) * 7 + (1, 1, at)
        )  # fmt: skip
        rows["scores"].append((number, lookup, key, value, None, None, None, 1, None, found, None))
        rows["trials"].append((number, lookup, key, 1, item, 0, number, None, "answered", None, 0, at))
        rows["score_links"].append((number, 0, 1, number, 1, None))


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

    if client == "pyreqwest":
        from pyreqwest.client import ClientBuilder

        async with ClientBuilder().no_proxy().build() as session_r:

            async def ask_r(prompt: str) -> str:
                reply = await session_r.post(url).body_bytes(json.dumps(_body(prompt)).encode()).build().send()
                return _text(json.loads((await reply.bytes()).to_bytes()))

            await asyncio.gather(*(work(ask_r) for _ in range(in_flight)))
    elif client == "aiohttp":
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
