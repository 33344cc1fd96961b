"""Two runs at work on one store: what one asks for, the other waits for, and nothing is paid for twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import Generation
from themis_core.execution.sharing import Sharing
from themis_core.testing.memory import MemoryStore
from themis_core.testing.postgres import PostgresServer, server_for_tests
from themis_core.testing.server import ScriptedServer

THEMIS = [sys.executable, "-c", "from themis_core.cli import main; main()"]
ITEMS = 60


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with server_for_tests() as running:
        yield running


def spec(folder: Path, server: ScriptedServer, name: str, storage: dict[str, Any], metric: str) -> Path:
    (folder / "items.jsonl").write_text("\n".join(json.dumps({"id": f"i{n}", "q": f"q {n}"}) for n in range(ITEMS)))
    extras = {"base_url": server.base_url, "api_key_env": None}
    benchmark = {
        "benchmark_id": name,
        "models": [{"model_id": "m", "provider": "openai/chat", "extras": extras}],
        "prompt_variants": [{"id": "v", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"reference": "q"}},
                "generation": {},
                "scores": [{"name": "n", "metrics": [metric]}],
            }
        ],
    }
    policy = {"max_in_flight_work_items": 4}
    file = folder / f"{name}.json"
    file.write_text(json.dumps({"project": {"storage": storage, "execution_policy": policy}, "benchmark": benchmark}))
    return file


def started(file: Path) -> subprocess.Popen[str]:
    command = [*THEMIS, "run", file.name, "--quiet", "--format", "json"]
    return subprocess.Popen(command, cwd=file.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def requests_by_prompt(server: ScriptedServer) -> Counter[str]:
    return Counter(each.messages[-1]["content"] for each in server.requests())


def storages(postgres: PostgresServer) -> dict[str, dict[str, Any]]:
    return {
        "sqlite": {"backend": "sqlite", "root_dir": "store"},
        "postgres": {"backend": "postgres", "url_env": "THEMIS_SHARING_URL", "blobs": "blobs", "lease_s": 5},
    }


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_two_runs_at_once_ask_for_each_answer_once(
    tmp_path: Path, server: ScriptedServer, postgres: PostgresServer, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEMIS_SHARING_URL", postgres.new_database())
    server.reset({"latency_s": 0.2})
    files = [
        spec(tmp_path, server, name, storages(postgres)[backend], metric)
        for name, metric in (("one", "text/exact_match"), ("two", "text/contains"))
    ]
    running = [started(file) for file in files]
    done = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], done
    told = [json.loads(out) for out, _ in done]
    assert [each["ledger"]["answered"] for each in told] == [ITEMS, ITEMS]
    assert sum(each["generated"] for each in told) == ITEMS
    assert set(requests_by_prompt(server).values()) == {1}
    assert len(requests_by_prompt(server)) == ITEMS
    check = [*THEMIS, "storage", "verify", "--spec", files[0].name]
    verified = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_what_a_killed_run_asked_for_is_taken_over(tmp_path: Path, server: ScriptedServer) -> None:
    server.reset({"latency_s": 0.5})
    storage = {"backend": "sqlite", "root_dir": "store"}
    one = spec(tmp_path, server, "one", storage, "text/exact_match")
    two = spec(tmp_path, server, "two", storage, "text/contains")
    first = started(one)
    second = started(two)
    while server.count < 10:
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    assert json.loads(out)["ledger"]["answered"] == ITEMS
    # At most the calls in flight of the killed run were made in vain.
    assert server.count <= ITEMS + 4


def test_a_call_that_failed_for_one_run_is_left_to_the_other(tmp_path: Path, server: ScriptedServer) -> None:
    server.reset({"latency_s": 0.1, "faults": [{"every": 3, "status": 400, "error": {"message": "no"}}]})
    storage = {"backend": "sqlite", "root_dir": "store"}
    running = [
        started(spec(tmp_path, server, name, storage, metric))
        for name, metric in (("one", "text/exact_match"), ("two", "text/contains"))
    ]
    done = [process.communicate(timeout=120) for process in running]
    assert {process.returncode for process in running} <= {0, 5}, done
    told = [json.loads(out) for out, _ in done]
    assert all(each["ledger"]["unfinished"] == 0 for each in told)
    assert sum(each["generated"] for each in told) <= ITEMS


def test_a_run_that_is_alone_writes_no_claim(tmp_path: Path, server: ScriptedServer) -> None:
    import sqlite3

    server.reset({})
    file = spec(tmp_path, server, "one", {"backend": "sqlite", "root_dir": "store"}, "text/exact_match")
    assert themis.run(file).exit_code == 0
    with sqlite3.connect(tmp_path / "store" / "themis.sqlite3") as database:
        assert database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'claims'").fetchone() == (0,)
    database.close()


def test_claims_count_while_their_run_is_held() -> None:
    store = MemoryStore()
    with store.lock_run("a"), store.lock_run("b"):
        assert (store.has_others_at_work("a"), store.claim("a", "k"), store.claim("b", "k")) == (True, True, False)
        assert store.claim("a", "k")  # its own
        store.release("a", ["k"])
        assert store.claim("b", "k")
    with store.lock_run("a"):
        assert not store.has_others_at_work("a")
        assert store.claim("a", "k")  # of b, which is not held any more


def test_the_answer_of_a_run_that_is_gone_meanwhile_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("themis_core.execution.sharing.LOOK_S", 0.01)
    held, stored = {"key": "other"}, {}

    class Shared:
        def has_others_at_work(self, run_id: str) -> bool:
            return bool(held)

        def claim(self, run_id: str, key: str) -> bool:
            return key not in held

        def generations(self, keys: list[str]) -> dict[str, Generation]:
            return {key: stored[key] for key in keys if key in stored}

    class Reader:
        async def read(self, look: Any) -> Any:
            return look(Shared())

    async def story() -> Generation | None:
        sharing = Sharing(Reader(), "run")  # type: ignore[arg-type]
        await sharing.begin()
        watching, asking = asyncio.create_task(sharing.watch()), asyncio.create_task(sharing.turn("key"))
        await asyncio.sleep(0.001)
        stored["key"] = Generation("answered", "4")
        held.clear()
        sharing._others = False  # as `watch` finds
        found = await asking
        watching.cancel()
        return found

    assert asyncio.run(story()) == Generation("answered", "4")
