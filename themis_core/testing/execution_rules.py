"""What a store tells of a run that several processes worked on, as a part of the storage suite."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from themis_core.components import Store
from themis_core.records import Generation, RunCost, RunFinished, RunStarted
from themis_core.testing.events import generation_recorded, item_recorded, key_of, trial_finished

__all__ = ["ExecutionRules"]


def _at(second: int) -> str:
    return f"2026-01-02T03:04:{second:02}.000000+00:00"


def _started(second: int, part: str | None = None, trials: int = 2) -> RunStarted:
    return RunStarted("run", _at(second), {"trials": trials, "by": part or "whole"}, part)


def _finished(second: int, status: Any, part: str | None = None, **counts: Any) -> RunFinished:
    return RunFinished("run", _at(second), status, {"generated": 1, **counts}, part)


class ExecutionRules:
    """Tests with the fixture `store`, which the suite defines."""

    def test_executions_of_parts_are_told_apart_and_in_order(self, store: Store) -> None:
        store.append([_started(1, "1/2"), _started(1, "2/2"), _finished(3, "failed", "1/2"), _started(4)])
        store.append([_finished(4, "completed", "2/2"), _started(5, "1/2")])
        assert [(each.part, each.status, each.started_at, each.finished_at) for each in store.executions("run")] == [
            ("1/2", "failed", _at(1), _at(3)),
            ("2/2", "completed", _at(1), _at(4)),
            (None, "running", _at(4), None),
            ("1/2", "running", _at(5), None),
        ]
        assert [each.manifest["by"] for each in store.executions("run")] == ["1/2", "2/2", "whole", "1/2"]
        assert [each.counts.get("generated") for each in store.executions("run")] == [1, 1, None, None]
        assert list(store.executions("another")) == []

    @pytest.mark.parametrize(
        ("ends", "status"),
        [
            (("completed", "completed"), "running"),  # nobody has made the result
            (("completed", None), "running"),
            (("interrupted", None), "running"),
            (("completed", "interrupted"), "interrupted"),
            (("stopped", "interrupted"), "stopped"),
            (("waiting", "completed"), "waiting"),
            (("failed", "completed"), "running"),
        ],
    )
    def test_a_run_in_parts_is_not_ended_by_one_of_them(
        self, store: Store, ends: tuple[str | None, ...], status: str
    ) -> None:
        store.append([_started(1), _finished(2, "completed")])  # lost since: two are planned and none is there
        store.append([_started(3, "1/2"), _started(3, "2/2")])
        for number, end in enumerate(ends, 1):
            if end is not None:
                store.append([_finished(5 + number, end, f"{number}/2", cost=0.5)])
        run = store.run("run")
        assert run is not None
        assert (run.status, run.in_parts) == (status, True)
        assert run.counts["generated"] == sum(end is not None for end in ends)
        assert [each.status for each in store.runs()] == [status]
        store.append([_started(20), _finished(21, "failed")])
        run = store.run("run")
        assert run is not None
        assert (run.status, run.in_parts, run.started_at, run.finished_at) == ("failed", False, _at(20), _at(21))

    def test_a_run_is_completed_only_if_all_that_is_planned_is_stored(self, store: Store) -> None:
        store.append([_started(1), item_recorded(), trial_finished(), _finished(2, "completed")])
        run = store.run("run")
        assert run is not None
        assert run.status == "failed"
        store.append([item_recorded("2"), trial_finished("2")])
        run = store.run("run")
        assert run is not None
        assert run.status == "completed"

    def test_trials_are_told_by_what_says_in_which_part_they_are(self, store: Store) -> None:
        store.append([_started(1), item_recorded("1"), item_recorded("2"), trial_finished("1", sample_index=3)])
        store.append([trial_finished("2", outcome="failed", error_code="timeout", generation_keys=())])
        store.append([replace(trial_finished("2"), run_id="another")])
        assert sorted(store.trial_places("run")) == [("1", 3, "answered", None), ("2", 0, "failed", "timeout")]
        pairs = [("test", key_of("trial 1")), ("test", key_of("trial 2")), ("test", key_of("trial 3"))]
        assert store.ended_trials("run", pairs) == set(pairs[:2])
        assert store.finished_trials("run", pairs) == set(pairs[:1])

    def test_the_cost_of_some_items_and_samples_can_be_asked_for(self, store: Store) -> None:
        parts = {"1": RunCost(0.5), "2": RunCost(0.25, 1, 2.0), "3": RunCost(None, 2, 4.0), "4": RunCost()}
        for name, part in parts.items():
            store.append([generation_recorded(name, part.put_into(Generation("answered")))])
        assert store.cost_of("run", lambda item_id, sample: item_id in ("2", "3") and sample == 0) == RunCost(
            0.25, 3, 6.0
        )
        assert store.cost_of("run", lambda item_id, sample: sample == 1) == RunCost()
        assert store.cost_of("run", lambda item_id, sample: True) == store.cost("run")
