"""Adding one store to another: by content, whatever the backends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from made_store import RUNS, batches, fill, lines

from themis_core import (
    Event,
    Generation,
    RunFinished,
    RunLocked,
    RunStarted,
    Score,
    StorageBackend,
    StorageError,
    Store,
    event_from,
)
from themis_core.testing.append_rules import LATER, snapshot
from themis_core.testing.events import (
    AT,
    generation_recorded,
    item_recorded,
    key_of,
    run_finished,
    run_started,
    score_entry,
    trial_finished,
)
from themis_core.testing.memory import MemoryStorage
from themis_core.testing.postgres import PostgresServer
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec
from themis_plugin_storage.merging import Merged, merge

BACKENDS: dict[str, Callable[[PostgresServer], StorageBackend]] = {
    "memory": lambda server: MemoryStorage(),
    "sqlite": lambda server: SqliteBlobStorageSpec(inline_limit_bytes=1_024),
    "postgres": lambda server: PostgresBlobStorageSpec(url=server.new_database(), inline_limit_bytes=1_024),
}
FAILED = Generation("failed", error_code="timeout")


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Store]:
    with closing(MemoryStorage(name="source").open(tmp_path)) as store:
        yield store


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Store]:
    with closing(SqliteBlobStorageSpec(root_dir="target").open(tmp_path)) as store:
        yield store


def plain(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return events without what each store gives them itself: their numbers, and the times of items."""
    return [{**each, "seq": 0, "at": "" if each["kind"] == "item" else each["at"]} for each in events]


@pytest.mark.parametrize("here", BACKENDS)
@pytest.mark.parametrize("there", BACKENDS)
def test_a_merge_into_an_empty_store_gives_an_equal_one(
    postgres: PostgresServer, tmp_path: Path, there: str, here: str
) -> None:
    with (
        closing(BACKENDS[there](postgres).open(tmp_path / "there")) as source,
        closing(BACKENDS[here](postgres).open(tmp_path / "here")) as target,
    ):
        fill(source)
        events = sum(map(len, batches()))
        assert merge(source, target) == Merged(len(RUNS), events, 0)
        assert lines(target) == lines(source)
        before = snapshot(target)
        assert plain(before["events"]) == plain(source.events())

        assert merge(source, target) == Merged(len(RUNS), 0, 1)
        assert snapshot(target) == before


def test_what_both_stores_have_stays_and_success_replaces_failure(source: Store, target: Store) -> None:
    target.append([run_started(), generation_recorded("1"), generation_recorded("2", FAILED)])
    target.append([trial_finished("1"), trial_finished("2", outcome="failed")])
    other = Generation("answered", "another answer")
    source.append([run_started(at=LATER), generation_recorded("1", other), generation_recorded("2", other)])
    source.append([trial_finished("2", at=LATER), run_finished(at=LATER)])
    merge(source, target)
    texts = {key: each.text for key, each in target.generations([key_of("1"), key_of("2")]).items()}
    assert texts == {key_of("1"): "A: 4", key_of("2"): "another answer"}
    assert [(row.item_id, row.outcome) for row in target.trial_rows("run")] == [("1", "answered"), ("2", "answered")]
    (run,) = target.runs()
    assert (run.status, run.started_at, run.trials, run.failed) == ("completed", LATER, 2, 0)


@pytest.mark.parametrize(
    ("here", "there", "new"),
    [
        ([run_started()], [run_started()], 0),
        ([], [run_started(), run_finished()], 2),
        ([run_started(), run_finished()], [run_started(at=LATER), run_finished(at=LATER)], 2),
        ([run_started()], [run_started(), run_finished()], 1),
        ([item_recorded("1")], [item_recorded("1"), item_recorded("2")], 1),
        ([generation_recorded("1")], [generation_recorded("1"), generation_recorded("2")], 1),
        ([generation_recorded("1")], [generation_recorded("1", FAILED)], 0),
        ([generation_recorded("1", FAILED)], [generation_recorded("1", FAILED)], 0),
        ([generation_recorded("1", FAILED)], [generation_recorded("1"), generation_recorded("2", FAILED)], 2),
        ([run_started(), trial_finished("1")], [run_started(), trial_finished("1"), trial_finished("2")], 1),
        ([run_started(), trial_finished("1")], [run_started(), trial_finished("1", outcome="failed")], 0),
        ([run_started(), trial_finished("1", outcome="failed")], [run_started(), trial_finished("1")], 1),
        (
            [run_started(), trial_finished("1", outcome="failed")],
            [run_started(), trial_finished("1", outcome="failed"), trial_finished("2", outcome="failed")],
            1,
        ),
        ([run_started()], [run_started("other"), trial_finished("1", run_id="other")], 2),
    ],
)
def test_a_merge_counts_what_the_target_lacked_or_had_as_a_failure(
    source: Store, target: Store, here: list[Event], there: list[Event], new: int
) -> None:
    if here:
        target.append(here)
    source.append(there)
    before = sum(1 for _ in target.events())
    assert merge(source, target).events == new
    assert sum(1 for _ in target.events()) == before + new
    assert merge(source, target).events == 0
    assert sum(1 for _ in target.events()) == before + new


def test_a_score_that_was_tried_again_is_merged_and_then_there_is_nothing_new(source: Store, target: Store) -> None:
    fault, other = score_entry("a", Score(reason="metric_error")), score_entry("b", metric="b")
    target.append([run_started(), trial_finished(scores=(fault, other))])
    source.append([run_started(), trial_finished(scores=(fault, other))])
    assert merge(source, target) == Merged(1, 0, 0)
    source.append([trial_finished(at=LATER, scores=(score_entry("a", Score(0.5)), other))])
    assert (merge(source, target), merge(source, target)) == (Merged(1, 1, 0), Merged(1, 0, 0))
    assert [(row.metric, row.value) for row in target.score_rows("run")] == [("b", 1.0), ("match", 0.5)]
    assert list(target.verify()) == []


def test_an_earlier_execution_does_not_hide_the_later_one_of_the_same_run(source: Store, target: Store) -> None:
    source.append([run_started(at=AT), trial_finished("1"), run_finished(status="interrupted")])
    target.append([run_started(at=LATER), trial_finished("2"), run_finished(at=LATER)])
    assert merge(source, target) == Merged(1, 1, 1)
    (run,) = target.runs()
    assert (run.status, run.started_at, run.trials) == ("completed", LATER, 2)


def test_a_run_that_is_being_worked_on_is_not_merged_into(source: Store, target: Store, tmp_path: Path) -> None:
    source.append([run_started(), generation_recorded()])
    target.append([run_started()])
    with closing(SqliteBlobStorageSpec(root_dir="target").open(tmp_path)) as other, other.lock_run("run"):
        with pytest.raises(RunLocked, match="'run'"):
            merge(source, target)
        assert target.stored_generations([key_of("1")]) == set()


def test_many_events_and_long_ones_are_merged_batch_by_batch(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.append([run_started(), *(generation_recorded(str(number)) for number in range(1_200))])
    long = [generation_recorded(f"long {number}", Generation("answered", "x" * 3_000_000)) for number in range(3)]
    source.append(long)
    sizes: list[int] = []
    append = target.append

    def counted(events: Sequence[Event]) -> None:
        sizes.append(len(events))
        append(events)

    monkeypatch.setattr(target, "append", counted)
    assert merge(source, target).events == 1_204
    assert sizes == [500, 500, 203, 1]  # the third batch ends with the second of the long texts
    assert len(target.stored_generations([each.key for each in long])) == 3


@pytest.mark.parametrize("data", [{"kind": "invented"}, {"kind": "trial"}, {"kind": "run_started", "unknown": 1}])
def test_an_event_that_is_not_known_is_an_error_that_names_it(data: dict[str, object]) -> None:
    with pytest.raises(StorageError, match=r"event 7 can't be read .*verify the store"):
        event_from({"seq": 7, **data})


def _started(part: str | None, at: str) -> RunStarted:
    return RunStarted("run", at, {"trials": 2}, part)


def _finished(part: str | None, at: str) -> RunFinished:
    return RunFinished("run", at, "completed", {"generated": 1}, part)


def test_shards_of_a_run_in_two_stores_are_merged_to_the_same_run(source: Store, target: Store) -> None:
    first, second, third, fourth = (f"2026-01-0{day}T00:00:00+00:00" for day in range(1, 5))
    source.append([_started("1/2", first), trial_finished("1"), _finished("1/2", second)])
    target.append([_started("2/2", second), trial_finished("2"), _finished("2/2", third)])
    assert merge(source, target).earlier_executions == 0
    assert {(each.part, each.finished_at) for each in target.executions("run")} == {("1/2", second), ("2/2", third)}
    events = merge(source, target).events
    assert events == 0
    target.append([_started(None, first), _finished(None, fourth)])  # the result, which began with its first part
    assert merge(source, target).earlier_executions == 1
    run = target.run("run")
    assert run is not None
    assert (run.in_parts, run.status, run.started_at) == (False, "completed", first)
    merge(target, source)
    assert merge(target, source).events == 0
    run = source.run("run")
    assert run is not None
    assert (run.in_parts, run.started_at, run.finished_at) == (False, first, fourth)
