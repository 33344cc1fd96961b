"""Shards of a run: one run, one manifest, one result, wherever and in whatever order its parts are worked on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
import themis_core.session as themis_session
from themis_core import Part, RunLocked, RunResult, SpecError, Store
from themis_core.testing.postgres import PostgresServer, server_for_tests
from themis_plugin_interop.canonical import canonical_digest

PLUGIN = """
import asyncio
import os
from pathlib import Path

from themis_core import Capabilities, Engine, Generation, Metric, Score, hookimpl

LOG = Path(__file__).with_name("calls.log")


def note(line):
    handle = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{line}\\n".encode())
    os.close(handle)


class Plain(Engine):
    capabilities = Capabilities(costs=True)

    async def start(self):
        note("start")

    async def generate(self, request):
        note(f"call {request.item_id} {request.sample_index}")
        await asyncio.sleep(float(os.environ.get("PAUSE_S", 0)))
        asked = request.messages[-1]["content"]
        if "fail" in asked and "MENDED" not in os.environ:
            return Generation("failed", error_code="bad_request", error="no")
        return Generation("answered", text=asked.upper(), cost=0.5)


class Alike(Metric):
    def unscorable(self, item):
        return "no gold" if item.reference == "" else None

    def score(self, item, generation, value):
        return Score(float(generation.text == item.reference))


@hookimpl
def themis_register_engines(register):
    register("plain", Plain)


@hookimpl
def themis_register_metrics(register):
    register("alike", Alike)
"""
ITEMS = 12
SAMPLES = 2


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with server_for_tests() as server:
        yield server


class Bench:
    """A spec in a folder of its own, and its store."""

    def __init__(self, folder: Path, storage: dict[str, Any] | None = None, items: int = ITEMS) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.storage = storage or {"backend": "sqlite", "root_dir": str(folder / "store")}
        (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
        self.write([{"id": f"q{n}", "q": f"say {n}", "gold": f"SAY {n}" if n % 4 else ""} for n in range(items)])

    def write(self, rows: list[dict[str, Any]], prompt: str = "{{ item.q }}", **policy: Any) -> None:
        (self.folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        spec = {
            "project": {"storage": self.storage, "plugins": {"mine": "mine.py"}, "execution_policy": policy},
            "benchmark": {
                "benchmark_id": "shared-out",
                "num_samples": SAMPLES,
                "models": [{"model_id": "m", "provider": "mine/plain"}],
                "prompt_variants": [{"id": "v", "messages": [{"role": "user", "content": prompt}]}],
                "slices": [
                    {
                        "slice_id": "s",
                        "dataset": {
                            "source": "files/jsonl",
                            "dataset_id": "items.jsonl",
                            "fields": {"id": "id", "reference": "gold"},
                        },
                        "generation": {},
                        "scores": [{"name": "right", "metrics": ["mine/alike"]}],
                    }
                ],
            },
        }
        self.spec.write_text(json.dumps(spec), encoding="utf-8")

    @property
    def spec(self) -> Path:
        return self.folder / "spec.json"

    def run(self, shard: Part | str | None = None, **more: Any) -> RunResult:
        return themis.run(self.spec, shard=shard, **more)

    def started(self, shard: str | None = None, pause_s: float = 0.0) -> subprocess.Popen[str]:
        """The command, in a process of its own; each answer takes so long."""
        own = [] if shard is None else ["--shard", shard]
        return subprocess.Popen(
            [sys.executable, "-m", "themis_core", "run", str(self.spec), "--format", "json", *own],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PAUSE_S": str(pause_s)},
        )  # fmt: skip

    def log(self, word: str = "call") -> list[str]:
        path = self.folder / "calls.log"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(word)]

    def store(self) -> Store:
        backend, folder = themis.find_storage(self.spec)
        return backend.open(folder)

    def digest(self) -> tuple[str, dict[str, Any]]:
        """Of the canonical export, and the manifest without what says where the run was made."""
        store = self.store()
        try:
            (run,) = store.runs()
            places = ("project", "storage", "plugins")
            told = json.dumps({name: each for name, each in run.manifest.items() if name not in places})
            return canonical_digest(store, run.run_id), json.loads(told.replace(str(self.folder), ""))
        finally:
            store.close()

    def status(self) -> str:
        with themis.open_results(self.spec) as results:
            return results.run("latest").status


@pytest.fixture(params=["sqlite", "postgres"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    if request.param == "sqlite":
        return Bench(tmp_path / "bench")
    server: PostgresServer = request.getfixturevalue("postgres")
    return Bench(
        tmp_path / "bench",
        {"backend": "postgres", "url": server.new_database(), "blobs": str(tmp_path / "blobs")},
    )


@pytest.fixture
def quiet(tmp_path: Path) -> Bench:
    """The same run, of one process."""
    quiet = Bench(tmp_path / "quiet")
    assert quiet.run().exit_code == 0
    return quiet


@pytest.mark.parametrize("of", [2, 5])
def test_shards_one_after_another_are_one_run_and_its_result(bench: Bench, quiet: Bench, of: int) -> None:
    results = [bench.run(Part(number, of)) for number in range(1, of + 1)]
    assert [each.status for each in results] == ["unfinished"] * (of - 1) + ["completed"]
    assert [each.exit_code for each in results] == [0] * of
    assert len({each.run_id for each in results}) == 1
    assert [each.part for each in results] == [f"{n}/{of}" for n in range(1, of)] + [None]
    assert "shard 1/" in results[0].note
    assert not results[0].scores
    assert results[-1].scores == quiet.run().scores
    assert results[-1].generated == ITEMS * SAMPLES
    assert results[-1].cost == ITEMS * SAMPLES * 0.5
    assert sorted(bench.log()) == sorted(quiet.log())
    assert bench.digest() == quiet.digest()


def test_shards_at_once_are_one_run_and_its_result(bench: Bench, quiet: Bench) -> None:
    processes = [bench.started(f"{number}/3") for number in (1, 2, 3)]
    outputs = [each.communicate(timeout=120) for each in processes]
    assert [each.returncode for each in processes] == [0, 0, 0], outputs
    ends = [json.loads(out)["status"] for out, _ in outputs]
    assert "completed" in ends
    assert set(ends) <= {"completed", "unfinished"}
    assert sorted(bench.log()) == sorted(quiet.log())
    assert bench.digest() == quiet.digest()


def test_a_killed_shard_is_run_again_elsewhere(bench: Bench, quiet: Bench, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (bench.folder / "items.jsonl").read_text("utf-8").splitlines()]
    bench.write(rows, max_in_flight_work_items=8)
    killed = bench.started("1/2", 0.2)
    deadline = time.monotonic() + 60
    while len(bench.log()) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    before = len(bench.log())
    elsewhere = Bench(tmp_path / "elsewhere", bench.storage)
    assert elsewhere.run("2/2").status == "unfinished"
    assert elsewhere.status() in ("died", "running")
    result = _run_when_free(elsewhere, "1/2")
    assert result.status == "completed"
    assert ITEMS * SAMPLES <= before + len(elsewhere.log()) <= ITEMS * SAMPLES + 4
    assert elsewhere.digest() == quiet.digest()


def _run_when_free(bench: Bench, shard: str) -> RunResult:
    """Run a shard whose former process was killed: its lock may take some seconds to run out."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return bench.run(shard)
        except RunLocked:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def test_a_shard_again_asks_nothing(bench: Bench) -> None:
    bench.run("1/3")
    asked = len(bench.log())
    again = bench.run("1/3")
    assert (again.status, again.generated, len(bench.log())) == ("unfinished", 0, asked)
    assert again.reused == asked


def test_the_whole_does_what_shards_left(bench: Bench, quiet: Bench) -> None:
    bench.run("2/3")
    assert bench.status() == "unfinished"
    result = bench.run()
    assert (result.status, result.exit_code) == ("completed", 0)
    assert sorted(bench.log()) == sorted(quiet.log())
    assert bench.digest() == quiet.digest()


def test_the_result_is_made_without_an_engine_if_all_is_stored(
    bench: Bench, quiet: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any) -> None:
        return None

    with monkeypatch.context() as patched:
        patched.setattr("themis_core.session.end_if_last", killed)
        assert [bench.run(f"{n}/2").status for n in (1, 2)] == ["unfinished"] * 2
    assert bench.status() == "unfinished"
    starts = len(bench.log("start"))
    result = bench.run()
    assert (result.status, result.exit_code, result.generated) == ("completed", 0, ITEMS * SAMPLES)
    assert len(bench.log("start")) == starts
    assert bench.digest() == quiet.digest()


def test_two_that_end_at_one_moment_make_one_result(
    bench: Bench, quiet: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any) -> None:
        return None

    with monkeypatch.context() as patched:
        patched.setattr("themis_core.session.end_if_last", killed)
        for number in (1, 2):
            bench.run(f"{number}/2")
    processes = [bench.started(f"{number}/2") for number in (1, 2)]
    outputs = [each.communicate(timeout=120) for each in processes]
    assert [each.returncode for each in processes] == [0, 0], outputs
    assert bench.status() == "completed"
    store = bench.store()
    wholes = [each for each in store.executions(store_run(store)) if each.part is None]
    store.close()
    assert len(wholes) == 1
    assert bench.digest() == quiet.digest()


def store_run(store: Store) -> str:
    (run,) = store.runs()
    return run.run_id


@pytest.mark.parametrize("wrong", ["0/4", "5/4", "a/b", "1/1", "", "-1/2"])
def test_a_wrong_shard_is_told_before_anything_is_read(bench: Bench, wrong: str) -> None:
    with pytest.raises(SpecError, match="--shard: "):
        bench.run(wrong)
    assert not bench.log("start")


def test_shards_of_another_number_and_the_whole_keep_out_of_each_other(bench: Bench) -> None:
    run_id = bench.run("1/2").run_id
    store = bench.store()
    with store.lock_run(run_id, "2/2"):
        for other in ("1/3", "2/2", None):
            with pytest.raises(RunLocked):
                bench.run(other)
        assert bench.status() == "running"
        assert bench.run("1/2").status == "unfinished"
    store.close()
    assert bench.run("1/3").status == "unfinished"  # nobody is at work any longer


def test_parts_of_several_divisions_are_one_run(bench: Bench, quiet: Bench) -> None:
    bench.run("1/2")
    ends = [bench.run(f"{number}/5") for number in range(1, 6)]
    assert ends[-1].status == "completed" or any(each.status == "completed" for each in ends)
    assert sorted(bench.log()) == sorted(quiet.log())
    assert bench.digest() == quiet.digest()


def test_more_shards_than_trials_end_well(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "few", items=2)
    ends = [bench.run(Part(number, 12)) for number in range(1, 13)]
    empty = [each for each in ends if "it has no trials" in each.note]
    assert empty
    assert all(each.exit_code == 0 for each in ends)
    assert bench.status() == "completed"
    assert len(bench.log()) == 2 * SAMPLES


def test_shards_of_an_edited_spec_are_another_run_and_find_stored_answers(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "edited")
    first = bench.run("1/2")
    asked = len(bench.log())
    rows = [json.loads(line) for line in (bench.folder / "items.jsonl").read_text("utf-8").splitlines()]
    bench.write([*rows, {"id": "new", "q": "say more", "gold": "SAY MORE"}])
    ends = [bench.run(f"{number}/2") for number in (1, 2)]
    assert ends[0].run_id == ends[1].run_id != first.run_id
    assert ends[1].status == "completed"
    assert len(bench.log()) == (ITEMS + 1) * SAMPLES > asked


def test_failed_trials_of_a_part_are_its_exit_and_the_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "failing")
    rows = [{"id": f"q{n}", "q": "fail" if n == 0 else f"say {n}", "gold": f"SAY {n}"} for n in range(ITEMS)]
    bench.write(rows)
    owners = {Part.holding("q0", sample, 3).number for sample in range(SAMPLES)}
    ends = {number: bench.run(Part(number, 3)) for number in (1, 2, 3)}
    for number in (1, 2):
        assert (ends[number].exit_code == 5) == (number in owners), ends[number].note
    assert (ends[3].status, ends[3].exit_code, ends[3].failed) == ("failed", 5, SAMPLES)
    assert bench.run(Part(min(owners), 3)).failed >= 1  # tried again, and nothing else
    assert len(bench.log()) > ITEMS * SAMPLES


def test_a_mistake_in_one_part_is_that_parts(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "mistake")
    rows = [{"id": f"q{n}", "q": f"say {n}", "gold": "", **({} if n == 0 else {"more": "x"})} for n in range(ITEMS)]
    bench.write(rows, prompt="{{ item.q }} {{ item.more }}")
    owners = {Part.holding("q0", sample, 4).number for sample in range(SAMPLES)}
    for number in range(1, 5):
        if number in owners:
            with pytest.raises(SpecError, match="more"):
                bench.run(Part(number, 4))
        else:
            assert bench.run(Part(number, 4)).status == "unfinished"


def test_a_shard_spends_its_share_of_max_cost(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "priced")
    rows = [json.loads(line) for line in (bench.folder / "items.jsonl").read_text("utf-8").splitlines()]
    bench.write(rows, max_cost=8.0, max_in_flight_work_items=8)
    report = themis.plan(bench.spec, shard="1/4")
    assert (report.part, report.max_cost) == ("1/4", 2.0)
    assert report.trials == sum(
        Part.holding(f"q{n}", sample, 4).number == 1 for n in range(ITEMS) for sample in range(SAMPLES)
    )
    counts = themis.plan(bench.spec, parts=4).parts
    assert sum(counts) == ITEMS * SAMPLES
    bench.write(rows, max_cost=4.0)  # 1 for each of 4, which is two calls
    ended = bench.run("1/4")
    assert report.trials > 2
    assert (ended.status, ended.exit_code, ended.generated) == ("stopped", 6, 2)
    assert "raise max_cost, then " in ended.note
    assert bench.run("1/4").generated == 0  # what it spent before counts
    assert (
        bench.run(Part(1 + counts[1:].index(max(counts[1:])) + 1, 4)).generated == 2
    )  # and what another spent does not


def test_the_policy_is_shared_out(tmp_path: Path) -> None:
    from themis_core.session.parts import limits_of

    bench = Bench(tmp_path / "policy")
    rows = [json.loads(line) for line in (bench.folder / "items.jsonl").read_text("utf-8").splitlines()]
    bench.write(rows, max_in_flight_work_items=8, requests_per_minute=60, tokens_per_minute=900, max_cost=4)
    from themis_core.planning import survey
    from themis_core.plugins import compose
    from themis_core.reading import load_specs

    loaded = load_specs(bench.spec, None, (), None, (), None)
    limits = limits_of(survey(compose(loaded), loaded.place, Part(2, 4)))
    assert (limits.max_in_flight_work_items, limits.requests_per_minute) == (2, 15)
    assert (limits.tokens_per_minute, limits.max_cost) == (225, 1)


def test_an_interrupted_shard_ends_as_any_run_and_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "interrupted")
    rows = [json.loads(line) for line in (bench.folder / "items.jsonl").read_text("utf-8").splitlines()]
    bench.write(rows, max_in_flight_work_items=4)
    shard = bench.started("1/2", 0.3)
    while not bench.log() and shard.poll() is None:
        time.sleep(0.01)
    os.kill(shard.pid, signal.SIGINT)
    out, err = shard.communicate(timeout=60)
    assert shard.returncode == 130, err
    assert json.loads(out)["status"] == "interrupted"
    assert bench.status() == "interrupted"
    assert [bench.run(f"{number}/2").status for number in (1, 2)] == ["unfinished", "completed"]


def test_the_ledger_of_parts_says_who_is_at_work_what_failed_and_what_was_never_begun(bench: Bench) -> None:
    rows = [{"id": f"q{n}", "q": "fail" if n == 0 else f"say {n}", "gold": f"SAY {n}"} for n in range(ITEMS)]
    bench.write(rows)
    failing = Part.holding("q0", 0, 4).number
    whole, held, left = [number for number in range(1, 5) if number != failing][:3]
    run_id = bench.run(Part(failing, 4)).run_id
    bench.run(Part(whole, 4))
    store = bench.store()
    with store.lock_run(run_id, f"{held}/4"):
        store.report(run_id, f"{held}/4", {"planned": 9, "done": 3, "note": "waits"})
        with themis.open_results(bench.spec) as results:
            found = {each.part: each for each in results.parts(run_id)}
            states = {name: each.state for name, each in found.items()}
        shown = subprocess.run(
            [sys.executable, "-m", "themis_core", "show", "run", run_id, "--spec", str(bench.spec)],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    store.close()
    assert list(found) == ["1/4", "2/4", "3/4", "4/4"]
    assert states[f"{failing}/4"] == "failed"
    assert found[f"{failing}/4"].failures == {"bad_request": found[f"{failing}/4"].failed}
    assert states[f"{held}/4"] == "running"
    assert (found[f"{held}/4"].pid, found[f"{held}/4"].planned) == (os.getpid(), 9)
    assert found[f"{held}/4"].progress["done"] == 3
    assert states[f"{left}/4"] == "not begun"
    assert found[f"{whole}/4"].stored == found[f"{whole}/4"].planned
    assert f"process {os.getpid()} on" in shown
    assert "bad_request: " in shown
    assert f"not begun: {left} of 4" in shown


def test_who_ends_a_run_second_gives_the_first_ones_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path / "second")
    rows = [{"id": f"q{n}", "q": "fail" if n == 0 else f"say {n}", "gold": f"SAY {n}"} for n in range(ITEMS)]
    bench.write(rows)
    ends: list[RunResult | None] = []
    original = themis_session.end_if_last

    async def twice(*arguments: Any) -> RunResult | None:
        ends.append(await original(*arguments))
        ends.append(await original(*arguments))
        return ends[-1]

    monkeypatch.setattr("themis_core.session.end_if_last", twice)
    bench.run("1/2")
    bench.run("2/2")
    first, second = ends[-2:]
    assert first is not None
    assert second is not None
    assert (first.status, first.generated, first.exit_code) == ("failed", second.generated, 5)
    assert first == second


def test_the_run_of_shards_began_with_the_first_and_counts_what_was_stored_before(bench: Bench) -> None:
    for shard in ("1/3", "1/2", "2/2"):
        result = bench.run(shard)
    assert (result.status, result.generated, result.reused) == ("completed", ITEMS * SAMPLES, 0)
    with closing(bench.store()) as store:
        run = store.run(result.run_id)
        first = store.executions(result.run_id)[0]
    assert run is not None
    assert run.started_at == first.started_at < (run.finished_at or "")


def test_failed_trials_name_their_shards_and_what_is_tried_again_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "mended")
    rows = [{"id": f"q{n}", "q": "fail" if n < 2 else f"say {n}", "gold": f"SAY {n}"} for n in range(ITEMS)]
    bench.write(rows)
    of = 3
    ends = [bench.run(Part(number, of)) for number in range(1, of + 1)]
    failing = sorted({Part.holding(f"q{n}", s, of) for n in range(2) for s in range(SAMPLES)})
    named = ", ".join(map(str, failing))
    assert f"bad_request ({2 * SAMPLES}): " in ends[-1].note
    assert f"run shard{'s' if len(failing) > 1 else ''} {named} again, or the whole without --shard" in ends[-1].note
    monkeypatch.setenv("MENDED", "1")
    for part in failing:
        result = bench.run(part)
    own = sum(Part.holding(f"q{n}", s, of) == failing[-1] for n in range(2) for s in range(SAMPLES))
    assert (result.status, result.generated) == ("completed", own)
    assert result.reused == ITEMS * SAMPLES - own


def test_a_shard_of_a_completed_run_gives_the_result_of_the_whole(bench: Bench) -> None:
    whole = bench.run()
    again = bench.run("2/5")
    assert (again.part, again.scores, again.conclusions) == (None, whole.scores, whole.conclusions)
    assert (again.generated, again.reused) == (0, ITEMS * SAMPLES)


def test_the_last_shards_progress_is_its_own(bench: Bench) -> None:
    bench.run("1/2")
    seen: list[Any] = []
    bench.run("2/2", progress=lambda now: seen.append((now.part, now.done, now.planned, now.reused)))
    planned = seen[-1][2]
    assert seen[-1] == ("2/2", planned, planned, 0)
    assert planned < ITEMS * SAMPLES


def test_a_table_of_a_run_whose_shards_are_not_all_done_says_so(bench: Bench, tmp_path: Path) -> None:
    part = bench.run("1/3")
    command = ["export", "--spec", str(bench.spec), "-o", str(tmp_path / "t.csv")]
    told = subprocess.run([sys.executable, "-m", "themis_core", *command], capture_output=True, text=True, check=True)
    missing = ITEMS * SAMPLES - part.generated
    assert told.stderr == f"note: {part.run_id} is not finished: {missing} trials are missing\n"
