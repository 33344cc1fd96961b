"""What a judge's repeats say of each other, read from the stored scores of its answers."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from themis_core import RunRecord, TrialRow
from themis_plugin_stats.collecting import Collected, Group
from themis_plugin_stats.judging import repeats_of
from themis_plugin_stats.sides import Side

GROUP = Group("s", "m", "p", "default")


def judged(verdicts: list[list[float | None]], kind: str = "judge") -> Collected:
    """A run of one model with these verdicts on each answer."""

    def trial(run_id: str, trial_id: str, slice_id: str) -> dict[str, Any]:
        told = [{"repeat": place, "value": value} for place, value in enumerate(verdicts[int(trial_id)])]
        other = {"score": "length", "metric": "n", "result": {"details": {}}}
        return {"scores": [other, {"score": "good", "metric": "j", "result": {"details": {"verdicts": told}}}]}

    rows = [
        TrialRow("r", "s", str(n), str(n), "", "p", "m", "default", 0, (), "answered", None, "2026")
        for n in range(len(verdicts))
    ]
    results: Any = SimpleNamespace(trials=lambda run_id: iter(rows), trial=trial)
    manifest = {"scorers": [{"score": "good", "metric": "j", "kind": kind}]}
    run = RunRecord("r", "completed", "2026", "2026", manifest, {})
    return Collected(run, results, {}, {GROUP: Counter(answered=len(rows))}, {})


def test_the_variance_of_repeats_is_that_within_answers() -> None:
    # Within: (1, 0, 1) has 2/3 over two degrees of freedom, (0, 0) has 0 over one; a lost verdict counts in neither.
    found = repeats_of((Side("r"), judged([[1, 0, 1], [0, 0, None], [1]])), ("good", "j"))
    assert found == (pytest.approx(2 / 3 / 3), 2.5)


@pytest.mark.parametrize("run", [judged([[1], [0]]), judged([[1, 0]], kind="metric")])
def test_without_repeats_or_without_a_judge_there_is_none(run: Collected) -> None:
    assert repeats_of((Side("r"), run), ("good", "j")) == (None, 1.0)
