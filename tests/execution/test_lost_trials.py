"""A store that loses what it acknowledged, as a standby does that lags and is promoted: it is asked again or told."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import themis_core as themis
from themis_core import Event, GenerationRecorded, ItemRecorded, RunStarted, TrialFinished
from themis_sql import SqlStore

PLUGIN = """
from themis_core import Engine, Generation, Metric, Score, hookimpl


class Echo(Engine):
    async def generate(self, request):
        return Generation("answered", text=request.messages[-1]["content"])


class Good(Metric):
    def score(self, item, generation, value):
        return Score(0.5)


@hookimpl
def themis_register_engines(register):
    register("echo", Echo)


@hookimpl
def themis_register_metrics(register):
    register("good", Good)
"""
ITEMS = 8
Loses = Callable[[Event, int], bool]
"""Of an event and the number of trials given before it: whether the store forgets it."""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")
    models = [{"model_id": name, "provider": "mine/echo"} for name in "ab"]
    benchmark = {
        "benchmark_id": "lost",
        "models": models,
        "prompt_variants": [{"id": "v", "messages": [{"role": "user", "content": "{{ item.id }}"}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {"source": "files/inline", "extras": {"rows": [{"id": f"i{n}"} for n in range(ITEMS)]}},
                "generation": {},
                "scores": [{"name": "good", "metrics": ["mine/good"]}],
            }
        ],
    }
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"project": {"plugins": {"mine": "mine.py"}}, "benchmark": benchmark}), encoding="utf-8")
    return path


def lose(monkeypatch: pytest.MonkeyPatch, loses: Loses, *, times: int = 1) -> None:
    """Let the store acknowledge events and forget them, in so many passes over the trials."""
    append, seen = SqlStore.append, 0

    def forgetful(store: SqlStore, events: Sequence[Event]) -> None:
        nonlocal seen
        kept = []
        for event in events:
            if seen >= 2 * ITEMS * times or not loses(event, seen % (2 * ITEMS)):
                kept.append(event)
            seen += isinstance(event, TrialFinished)
        append(store, kept)

    monkeypatch.setattr(SqlStore, "append", forgetful)


@pytest.mark.parametrize(
    "loses",
    [
        pytest.param(lambda event, n: isinstance(event, TrialFinished) and n == 0, id="the first trial"),
        pytest.param(lambda event, n: isinstance(event, TrialFinished) and n == 2 * ITEMS - 1, id="the last trial"),
        pytest.param(lambda event, n: True, id="everything"),
        pytest.param(lambda event, n: isinstance(event, RunStarted) or n < 3, id="the start of the run"),
        pytest.param(lambda event, n: not isinstance(event, RunStarted) and n >= ITEMS, id="the second half"),
        pytest.param(
            lambda event, n: isinstance(event, ItemRecorded | GenerationRecorded | TrialFinished) and n % 5 == 2,
            id="every fifth with all that it needs",
        ),
    ],
)
def test_trials_that_the_store_lost_in_mid_run_are_asked_again(
    spec: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, loses: Loses
) -> None:
    lose(monkeypatch, loses)
    result = themis.run(spec)
    assert (result.status, [(row.n, row.value) for row in result.scores]) == ("completed", [(ITEMS, 0.5)] * 2)
    assert "that it had acknowledged: asked again" in caplog.text
    assert themis.run(spec).status == "completed"


def test_a_run_whose_store_goes_on_losing_trials_is_not_completed(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        lose(patch, lambda event, n: isinstance(event, TrialFinished) and event.item_id == "i3", times=99)
        result = themis.run(spec)
    assert result.status == "failed"
    assert [row.n for row in result.scores] == [ITEMS - 1] * 2
    assert "trials are missing in the store" in result.note
    assert themis.run(spec).status == "completed"


def test_a_store_that_keeps_everything_is_gone_over_once(spec: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert themis.run(spec).status == "completed"
    assert "asked again" not in caplog.text
