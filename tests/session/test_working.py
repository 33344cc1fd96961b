"""Workers of one run: each part is worked on once, whoever takes it, and what one leaves another one does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import Part, PartsRecord, Store, WorkOrder
from themis_core.execution import how_many_parts
from themis_core.planning import survey
from themis_core.plugins import Plugins, compose
from themis_core.reading import load_specs
from themis_core.session import work_async
from themis_core.testing.postgres import PostgresServer, server_for_tests
from themis_core.testing.server import ScriptedServer
from themis_plain import Kept
from themis_workers import WorkerEnd

ITEMS = 90
ENGINE = """
from themis_core import Capabilities, Engine, Generation, hookimpl

THEMIS_CONTRACT_VERSION = 1


class Broken(Engine):
    capabilities = Capabilities(local=True)

    async def start(self):
        raise RuntimeError("no device")

    async def generate(self, request):
        return Generation("answered", "never")


@hookimpl
def themis_register_engines(register):
    register("engine", Broken)
"""


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


def test_an_index_gives_each_part_its_trials_without_a_look_at_the_others(
    spec: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_specs(spec(), None, (), None, (), None)
    made = survey(compose(loaded), loaded.place, indexed=True)
    (endpoint,) = made.endpoints()
    expected = [[each.trial_id for each in made.trials(endpoint, part=Part(number, 7))] for number in range(1, 8)]
    made.index(7)
    looked = Counter[str]()
    read = Kept.at
    monkeypatch.setattr(Kept, "at", lambda self, number: looked.update(["at"]) or read(self, number))
    monkeypatch.setattr(Kept, "__iter__", lambda self: pytest.fail("it reads all items"))
    found = [[each.trial_id for each in made.trials(endpoint, part=Part(number, 7))] for number in range(1, 8)]
    assert found == expected
    assert len(expected) == 7
    assert ITEMS <= looked["at"] <= 2 * ITEMS, "an item is read once for each part that has a sample of it"


def test_a_worker_whose_plan_is_another_run_calls_nothing_and_says_so(
    spec: Callable[..., Path], server: ScriptedServer
) -> None:
    order = replace(order_for(spec(), "a"), run_id="shared-000000000000")
    with pytest.raises(themis.SpecError, match=r"worker a plans run shared-.* and its driver shared-000000000000"):
        worked(order)
    assert server.count == 0


def test_a_worker_of_another_version_calls_nothing_unless_that_is_allowed(
    spec: Callable[..., Path], server: ScriptedServer
) -> None:
    order = replace(order_for(spec(), "a", 1), environment={"themis-core": "0.0.0"})
    with pytest.raises(themis.PluginError, match=r"other versions than its driver \(themis-core is .* and 0\.0\.0"):
        worked(order)
    assert server.count == 0
    assert worked(replace(order, allow_differing=True))[0].exit_code == 0


def test_workers_spend_one_max_cost_whoever_of_them_gets_how_much_to_do(
    spec: Callable[..., Path], server: ScriptedServer
) -> None:
    price = {"input_per_million": 0, "output_per_million": 1e6}  # 1 for each token
    policy = {"max_cost": 30.0}
    file = spec(policy, price=price, params={"set": {"max_tokens": 3}})
    ends = worked(order_for(file, "a", 4), order_for(file, "b", 4))
    with opened(file) as store:
        (run,) = store.runs()
        cost = store.cost(run.run_id)
    assert [each.exit_code for each in ends] == [6, 6], ends
    assert all("max_cost reached" in each.message for each in ends)
    assert 27 < cost.most <= 30, "two of four spend what there is, and no more"


def test_models_that_are_asked_by_batches_are_refused(spec: Callable[..., Path], server: ScriptedServer) -> None:
    file = spec({"batches": {"models": ["m"]}})
    with pytest.raises(themis.SpecError, match=r"asked by batches \(m\) can't be asked by workers"):
        worked(order_for(file, "a"))
    assert server.count == 0


def test_a_store_that_hands_out_no_parts_is_refused_with_what_to_do(
    spec: Callable[..., Path], server: ScriptedServer
) -> None:
    file = spec()
    text = json.loads(file.read_text())
    text["project"]["storage"] = {"backend": "sqlite", "root_dir": "store"}
    file.write_text(json.dumps(text))
    with pytest.raises(themis.StorageError, match="--shard K/N, or use a store in Postgres"):
        worked(order_for(file, "a"))
    assert server.count == 0


def test_lanes_of_several_endpoints_go_through_each_part_and_a_slow_one_holds_up_no_other_for_good(
    spec: Callable[..., Path], server: ScriptedServer
) -> None:
    file = spec()
    with ScriptedServer({"latency_s": 0.1}) as slow:
        text = json.loads(file.read_text())
        [model] = text["benchmark"]["models"]
        other = {**model, "model_id": "slow", "extras": {**model["extras"], "base_url": slow.base_url}}
        text["benchmark"]["models"] = [model, other]
        file.write_text(json.dumps(text))
        server.reset({})
        ends = worked(*(order_for(file, name) for name in ("a", "b")))
        assert [each.exit_code for each in ends] == [0, 0]
        assert (server.count, slow.count) == (2 * ITEMS, 2 * ITEMS)
        assert min(each.counts["generated"] for each in ends) > 0
        order = order_for(file, "c")
    with opened(file) as store:
        record, parts = store.run(order.run_id), store.parts(order.run_id)
    assert record is not None
    assert (record.trials, record.failed, parts.finished) == (4 * ITEMS, 0, parts.of)


def test_failed_trials_end_their_part_and_are_tried_again_in_the_next_round(
    spec: Callable[..., Path], server: ScriptedServer
) -> None:
    file = spec()
    server.reset({"faults": [{"every": 6, "status": 400}]})
    order = order_for(file, "a", 1)
    (end,) = worked(order)
    with opened(file) as store:
        parts, record = store.parts(order.run_id), store.run(order.run_id)
    assert record is not None
    assert parts.finished == parts.of
    assert record.failed
    assert (end.exit_code, end.counts["failed"]) == (5, record.failed)
    server.reset({})
    (end,) = worked(order_for(file, "b", 1))
    assert (end.exit_code, server.count) == (0, record.failed)


def test_an_engine_that_does_not_start_gives_everything_back(
    spec: Callable[..., Path], server: ScriptedServer, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(ENGINE)
    file = spec(provider="mine/engine", extras={})
    text = json.loads(file.read_text())
    text["project"]["plugins"] = {"mine": "./mine.py"}
    file.write_text(json.dumps(text))
    order = order_for(file, "a")
    with pytest.raises(themis.PluginError, match="no device"):
        worked(order)
    with opened(file) as store:
        assert store.parts(order.run_id).leased == 0
        assert list(store.at_work(order.run_id)) == []
        assert [each["status"] for each in store.events(order.run_id) if each["kind"] == "run_finished"] == ["failed"]


def test_a_worker_that_is_asked_to_end_saves_what_arrives_and_gives_back_the_rest(
    spec: Callable[..., Path], server: ScriptedServer
) -> None:
    file = spec()
    order = order_for(file, "a", 1)
    server.reset({"latency_s": 0.2})
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

    async def interrupted() -> WorkerEnd:
        working = asyncio.create_task(work_async(order))
        while not server.count:  # noqa: ASYNC110 - of what another process counts there is no event
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        return await working

    end = asyncio.run(interrupted())
    asked = server.count
    assert end.exit_code == 130
    assert 0 < asked < 2 * ITEMS
    with opened(file) as store:
        record, parts = store.run(order.run_id), store.parts(order.run_id)
        assert record is not None
        assert (record.trials, parts.leased) == (asked, 0)
    assert worked(order_for(file, "b", 1))[0].exit_code == 0
    assert server.count == 2 * ITEMS


@pytest.mark.parametrize(
    ("trials", "workers", "parts"),
    [(0, 4, 1), (3, 8, 3), (20, 4, 16), (200, 4, 16), (10_000, 4, 156), (10**8, 64, 16_384)],
)
def test_how_many_parts_there_are(trials: int, workers: int, parts: int) -> None:
    assert how_many_parts(trials, workers) == parts
