"""The bare loop of cases over HTTP: asks a server all questions and inserts what it says; as little code as does that.

python -m benchmarks.cases.bare_http CLIENT BASE_URL QUESTIONS DATABASE IN_FLIGHT
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from benchmarks.cases.bare_rows import BATCH, Answer, database, insert

Ask = Callable[[str], Awaitable[str]]


@asynccontextmanager
async def with_aiohttp(url: str, in_flight: int) -> AsyncIterator[Ask]:
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:

        async def ask(prompt: str) -> str:
            async with session.post(url, data=body(prompt), headers=JSON) as reply:
                return text(await reply.read())

        yield ask


@asynccontextmanager
async def with_pyreqwest(url: str, in_flight: int) -> AsyncIterator[Ask]:
    from pyreqwest.client import ClientBuilder

    async with ClientBuilder().max_connections(in_flight).build() as client:

        async def ask(prompt: str) -> str:
            reply = await client.post(url).headers(JSON).body_bytes(body(prompt)).build().send()
            return text(bytes(await reply.bytes()))

        yield ask


CLIENTS: dict[str, Callable[[str, int], AbstractAsyncContextManager[Ask]]] = {
    "aiohttp": with_aiohttp,
    "pyreqwest": with_pyreqwest,
}
JSON = {"Content-Type": "application/json"}


def body(prompt: str) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}], "max_tokens": 64}).encode()


def text(reply: bytes) -> str:
    return str(json.loads(reply)["choices"][0]["message"]["content"])


async def ask_all(client: str, url: str, prompts: list[str], connection: sqlite3.Connection, in_flight: int) -> None:
    """Insert the answers in batches, in a thread beside the loop."""
    waiting: list[Answer] = []
    numbered = iter(enumerate(prompts))
    lock = threading.Lock()

    def save(batch: list[Answer]) -> None:
        with lock:
            insert(connection, batch)

    async def work(ask: Ask) -> None:
        for number, prompt in numbered:
            answer = await ask(prompt)
            waiting.append((str(number), prompt, "m", answer, answer, 1.0))
            if len(waiting) >= BATCH:
                batch, waiting[:] = waiting[:], []
                await asyncio.to_thread(save, batch)

    async with CLIENTS[client](url, in_flight) as ask:
        await asyncio.gather(*(work(ask) for _ in range(in_flight)))
    insert(connection, waiting)


def main(client: str, base_url: str, questions: str, file: str, in_flight: str) -> None:
    with Path(questions).open(encoding="utf-8") as lines:
        prompts = [json.loads(line)["question"] for line in lines]
    connection = database(Path(file))
    asyncio.run(ask_all(client, f"{base_url}/chat/completions", prompts, connection, int(in_flight)))
    (stored,) = connection.execute("SELECT count(*) FROM generations").fetchone()
    connection.close()
    if stored != len(prompts):
        sys.exit(f"{stored} of {len(prompts)} answers were stored")


if __name__ == "__main__":
    main(*sys.argv[1:])
