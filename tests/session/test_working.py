"""Workers of one run: each part is worked on once, whoever takes it, and what one leaves another one does."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import PartsRecord, Store, WorkOrder
from themis_core.execution import how_many_parts
from themis_core.planning import survey
from themis_core.plugins import Plugins, compose
from themis_core.reading import load_specs
from themis_core.session import work_async
from themis_core.testing.postgres import PostgresServer, server_for_tests
from themis_core.testing.server import ScriptedServer
from themis_workers import WorkerEnd

ITEMS = 90


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with server_for_tests() as running:
        yield running


@pytest.fixture
def spec(
    tmp_path: Path, server: ScriptedServer, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Write a spec of 90 items, two samples each, in a database of its own."""
    server.reset({"latency_s": 0.05})
    monkeypatch.setenv("THEMIS_WORKING_URL", postgres.new_database())

    def write(policy: dict[str, Any] | None = None, scores: list[Any] | None = None, **model: Any) -> Path:
        rows = [{"id": f"i{n}", "q": f"q {n}"} for n in range(ITEMS)]
        (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
        asked = {"provider": "openai/chat", "extras": {"base_url": server.base_url, "api_key_env": None}, **model}
        storage = {"backend": "postgres", "url_env": "THEMIS_WORKING_URL", "blobs": "blobs", "lease_s": 2}
        benchmark = {
            "benchmark_id": "shared",
            "num_samples": 2,
            "models": [{"model_id": "m", **asked}],
            "prompt_variants": [{"id": "v", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"reference": "q"}},
                    "generation": {},
                    "scores": scores or [{"name": "n", "metrics": ["text/exact_match"]}],
                }
            ],
        }
        project = {"storage": storage, "execution_policy": {"max_in_flight_work_items": 8, **(policy or {})}}
        file = tmp_path / "spec.json"
        file.write_text(json.dumps({"project": project, "benchmark": benchmark}))
        return file

    return write


def order_for(file: Path, name: str, workers: int = 2) -> WorkOrder:
    loaded = load_specs(file, None, (), None, (), None)
    run_id = survey(compose(loaded), loaded.place).run_id
    return replace(WorkOrder.of(file, workers).planned(run_id, Plugins()), name=name)


def worked(*orders: WorkOrder) -> list[WorkerEnd]:
    async def all_of_them() -> list[WorkerEnd]:
        return list(await asyncio.gather(*(work_async(each) for each in orders)))

    return asyncio.run(all_of_them())


def opened(file: Path) -> closing[Store]:
    storage, folder = themis.find_storage(file)
    return closing(storage.open(folder, mode="read"))


def test_workers_share_a_run_and_each_trial_is_asked_once(spec: Callable[..., Path], server: ScriptedServer) -> None:
    file = spec()
    orders = [order_for(file, name) for name in ("a", "b")]
    ends = worked(*orders)
    assert [each.exit_code for each in ends] == [0, 0], ends
    assert Counter(each.messages[-1]["content"] for each in server.requests()) == {f"q {n}": 2 for n in range(ITEMS)}
    assert sum(each.counts["generated"] for each in ends) == 2 * ITEMS
    assert all(each.counts["generated"] for each in ends), "each of them got some"
    run_id = orders[0].run_id
    with opened(file) as store:
        record = store.run(run_id)
        assert record is not None
        assert (record.trials, record.failed) == (2 * ITEMS, 0)
        of = how_many_parts(2 * ITEMS, 2)
        assert store.parts(run_id) == PartsRecord(of, of, 0)
        started = [each["part"] for each in store.events(run_id) if each["kind"] == "run_started"]
        assert sorted(started) == ["worker a", "worker b"]
    assert worked(order_for(file, "c"))[0].counts["reused"] == 2 * ITEMS
    assert server.count == 2 * ITEMS
