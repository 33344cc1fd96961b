"""What appending must keep to: repeats change nothing, and only a success takes the place of a failure.

`StorageBackendSuite` inherits these tests; they are no suite of their own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from themis_core.components import Store
from themis_core.records import (
    SCORE_FAULTS,
    BatchRecord,
    Event,
    Extraction,
    Generation,
    RunRecord,
    Score,
    Step,
    Usage,
    event_from,
)
from themis_core.testing.events import (
    AT,
    batch_ended,
    batch_intended,
    batch_submitted,
    generation_recorded,
    item_recorded,
    key_of,
    run_finished,
    run_started,
    score_entry,
    trial_finished,
)

__all__ = ["EVERY_FIELD", "FAILED", "LATER", "AppendRules", "snapshot"]

LATER = "2026-01-02T03:04:06.000000+00:00"
FAILED = Generation("failed", error_code="timeout", error="no reply within 60 s", attempts=6)
EVERY_FIELD = Generation(
    status="truncated",
    text="A: 3,000",
    reasoning="three times a thousand",
    refusal="",
    finish_reason="length",
    error_code=None,
    error=None,
    usage=Usage(10, 20, 30, 2**70, 5),
    cost=0.000123,
    latency_s=1.5,
    attempts=3,
    alternatives=("A: 3", ""),
    tool_calls=({"name": "add", "arguments": {"a": 1}},),
    logprobs=({"token": "A", "logprob": -0.1, "top_logprobs": []},),
    provider={"id": "x-1", "nested": [1, None, "ü"]},
    steps=(
        Step("retrieval", "index", {"query": "ü"}, ["d\0", {"id": 1}], 0.5, 0.25, Usage(1, 2, 3, 4, 5), "slow", 7),
        Step("other", output=[]),
    ),
    steps_left_out=2,
)


class AppendRules:
    """Tests of what a batch changes, by the fixture `store`."""

    def test_repeating_batches_changes_nothing(self, store: Store) -> None:
        batches: list[list[Event]] = [
            [run_started(), item_recorded(), generation_recorded("1", FAILED)],
            [trial_finished(outcome="failed", error_code="timeout"), run_finished(status="failed")],
            [run_started(at=LATER), generation_recorded("1", EVERY_FIELD)],
            [trial_finished(at=LATER, scores=(score_entry("a"),)), run_finished(at=LATER)],
        ]
        for batch in batches:
            store.append(batch)
        before = snapshot(store)
        for again in [*batches, [event for batch in batches for event in batch]]:
            store.append(again)
        assert snapshot(store) == before

    @pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two batches"])
    @pytest.mark.parametrize(
        ("first", "second", "kept"),
        [
            (FAILED, EVERY_FIELD, EVERY_FIELD),
            (EVERY_FIELD, FAILED, EVERY_FIELD),
            (EVERY_FIELD, Generation("answered", "another"), EVERY_FIELD),
            (FAILED, replace(FAILED, error_code="connection"), FAILED),
        ],
        ids=["success replaces failure", "failure after success", "success after success", "failure twice"],
    )
    def test_a_stored_generation_stays_except_that_success_replaces_failure(
        self, store: Store, first: Generation, second: Generation, kept: Generation, *, together: bool
    ) -> None:
        events = [generation_recorded("1", first), generation_recorded("1", second, at=LATER)]
        for batch in [events] if together else [[each] for each in events]:
            store.append(batch)
        key = key_of("1")
        assert [each.generation for each in store.generation_records([key])] == [kept]
        assert store.generations([key]) == ({} if kept.failed else {key: kept})
        assert store.stored_generations([key]) == (set() if kept.failed else {key})

    def test_a_trials_later_outcome_replaces_only_a_failed_one(self, store: Store) -> None:
        pair = ("test", key_of("trial 1"))
        store.append([run_started(), trial_finished(outcome="failed", error_code="timeout")])
        assert store.finished_trials("run", [pair]) == set()
        assert [each.error_code for each in store.trial_rows("run")] == ["timeout"]

        store.append([trial_finished(outcome="failed", error_code="connection", at=LATER)])
        assert [each.error_code for each in store.trial_rows("run")] == ["connection"]

        store.append([trial_finished(at=LATER, scores=(score_entry("a"), score_entry("b", metric="b")))])
        assert store.finished_trials("run", [pair]) == {pair}
        after = snapshot(store)
        assert [(each.outcome, each.error_code) for each in after["trials"]] == [("answered", None)]
        assert len(after["scores"]) == 2

        store.append([trial_finished(at="2027-01-01T00:00:00.000000+00:00", outcome="refused")])
        assert snapshot(store) == after

    def test_finished_trials_are_those_of_the_run_and_the_slice(self, store: Store) -> None:
        trial = key_of("trial 1")
        store.append([run_started(), trial_finished(), trial_finished("2", outcome="failed")])
        store.append([run_started("other"), trial_finished("3", run_id="other")])
        asked = [("test", trial), ("elsewhere", trial), *(("test", key_of(f"trial {n}")) for n in (2, 3, 4))]
        assert store.finished_trials("run", asked) == {("test", trial)}
        assert store.finished_trials("other", asked) == {("test", key_of("trial 3"))}
        assert store.finished_trials("none", asked) == set()

    def test_one_trial_counts_once_per_slice_and_run(self, store: Store) -> None:
        trials = [trial_finished(slice_id=slice_id, run_id=run) for slice_id in "ab" for run in ("x", "y")]
        store.append([run_started("x"), run_started("y"), *trials])
        assert [(each.run_id, each.slice_id) for each in store.trial_rows("y")] == [("y", "a"), ("y", "b")]

    def test_a_score_stays_except_that_scored_replaces_unscored(self, store: Store) -> None:
        results = [Score(None, "judge_failed"), Score(0.25), Score(0.75)]
        for number, result in enumerate(results):
            store.append([trial_finished(str(number), scores=(score_entry("same", result),))])
        assert store.scores([key_of("same")]) == {key_of("same"): (Score(0.25), Extraction("4"))}
        assert [each.value for each in store.score_rows("run")] == [0.25, 0.25, 0.25]

    @pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two batches"])
    @pytest.mark.parametrize("reason", sorted(SCORE_FAULTS))
    def test_a_components_fault_is_not_final_and_what_comes_later_replaces_it(
        self, store: Store, reason: str, *, together: bool
    ) -> None:
        pair = ("test", key_of("trial 1"))
        fault, unscored, scored = Score(reason=reason), Score(reason="no_reference"), Score(0.5)
        store.append([run_started(), trial_finished(scores=(score_entry("a", fault), score_entry("b", metric="b")))])
        assert (store.finished_trials("run", [pair]), store.has_faults("run")) == (set(), True)

        ranks = [fault, unscored, fault, scored, unscored]
        events = [
            trial_finished(at=f"2027-01-0{day}T00:00:00.000000+00:00", scores=(score_entry("a", each),))
            for day, each in enumerate(ranks, 1)
        ]
        for batch in [events] if together else [[each] for each in events]:
            store.append(batch)
        assert store.scores([key_of("a")]) == {key_of("a"): (scored, Extraction("4"))}
        assert (store.finished_trials("run", [pair]), store.has_faults("run")) == ({pair}, False)
        (row,) = store.trial_rows("run")
        kept = "2027-01-04T00:00:00.000000+00:00"
        assert row.finished_at == kept, "the outcome that brought the score is the one kept"
        before = snapshot(store)
        store.append(events)
        assert snapshot(store) == before

    def test_an_item_stays_as_it_was_stored_first(self, store: Store) -> None:
        store.append([trial_finished(), item_recorded(text="first")])
        store.append([item_recorded(text="second")])
        assert store.items([key_of("item 1")])[key_of("item 1")].fields == {"question": "first"}

    def test_runs_come_latest_first_with_their_state(self, store: Store) -> None:
        store.append([run_started("a", manifest={"n": 1}), run_started("b"), trial_finished(run_id="a")])
        store.append([trial_finished("2", run_id="a", outcome="failed"), run_finished("a", status="failed")])
        a = RunRecord("a", "failed", AT, AT, {"n": 1}, {"trials": 1}, trials=2, failed=1)
        b = RunRecord("b", "running", AT, None, run_started().manifest, {})
        assert list(store.runs()) == [b, a]

        store.append([run_started("a", at=LATER, manifest={"n": 2})])
        again = RunRecord("a", "running", LATER, None, {"n": 2}, {}, trials=2, failed=1)
        assert list(store.runs()) == [again, b]
        assert store.run("a") == again
        assert store.run("c") is None

    def test_a_generation_can_arrive_after_the_trial_that_names_it(self, store: Store) -> None:
        store.append([trial_finished()])
        assert store.stored_generations([key_of("1")]) == set()
        assert list(store.generation_records([key_of("1")])) == []
        store.append([generation_recorded("1", EVERY_FIELD)])
        assert store.generations([key_of("1")]) == {key_of("1"): EVERY_FIELD}

    @pytest.mark.parametrize("together", [True, False], ids=["in one append", "in several"])
    def test_a_batch_is_open_from_its_intent_to_its_end(self, store: Store, *, together: bool) -> None:
        intended, submitted = batch_intended(), batch_submitted()
        other = batch_intended("n2", run_id="other", at=LATER, names="3")
        events: list[Event] = [run_started(), intended, submitted, other]
        for batch in [events] if together else [[each] for each in events]:
            store.append(batch)
        first = BatchRecord("run", AT, "n1", intended.endpoint, "small", intended.keys, submitted.ticket)
        second = BatchRecord("other", LATER, "n2", other.endpoint, "small", other.keys)
        assert list(store.open_batches()) == [first, second]
        assert [event_from(each) for each in store.events()] == events

        store.append([batch_ended()])
        assert list(store.open_batches()) == [second]
        store.append([batch_ended("n2", run_id="other", outcome="abandoned")])
        assert list(store.open_batches()) == []

    def test_a_batch_is_intended_submitted_and_ended_once(self, store: Store) -> None:
        store.append([batch_submitted("unknown"), batch_ended("unknown")])
        assert list(store.events()) == [], "what was never intended is no batch"
        intended, submitted, ended = batch_intended(), batch_submitted(), batch_ended()
        store.append([intended, batch_intended(names="3"), submitted, batch_submitted(number="another")])
        (found,) = store.open_batches()
        assert (found.keys, found.ticket) == (intended.keys, submitted.ticket)
        store.append([ended, batch_ended(outcome="failed"), batch_intended(), batch_submitted()])
        assert [event_from(each) for each in store.events()] == [intended, submitted, ended]
        assert list(store.open_batches()) == []

    @pytest.mark.parametrize("together", [True, False])
    def test_shards_that_begin_at_one_instant_are_executions_apart_and_each_ends_its_own(
        self, store: Store, together: bool
    ) -> None:
        first, second = (replace(run_started(), part=part) for part in ("1/2", "2/2"))
        events: list[Event] = [first, second, replace(run_finished(), part="1/2")]
        for batch in [events] if together else [[each] for each in events]:
            store.append(batch)
        store.append(events)
        assert [event_from(each) for each in store.events()] == events
        assert ["part" in each for each in store.events()] == [True, True, True]
        run = store.run("run")
        assert run is not None
        assert run.status == "running", "the second shard's execution is the latest, and has not ended"
        ended = replace(run_finished(at=LATER, status="interrupted"), part="2/2")
        store.append([ended, ended])
        run = store.run("run")
        assert run is not None
        assert (run.status, run.finished_at) == ("interrupted", LATER)

    def test_an_empty_batch_changes_nothing(self, store: Store) -> None:
        store.append([])
        assert list(store.events()) == []


def snapshot(store: Store) -> dict[str, list[Any]]:
    """Return all that streams of the store give."""
    runs = list(store.runs())
    return {
        "runs": runs,
        "trials": [row for run in runs for row in store.trial_rows(run.run_id)],
        "scores": [row for run in runs for row in store.score_rows(run.run_id)],
        "events": list(store.events()),
    }
