"""What the documented questions cost grows with the number of trials, not with its square."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.cases.queries import events, questions

FEW, MANY = 400, 1_600
JOINED = """SELECT count(*) FROM v_scores a JOIN v_scores b ON b.slice_id = a.slice_id AND b.model_id = a.model_id
AND b.item_id = a.item_id AND b.score = a.score WHERE a.run_id = 'my-run' AND b.run_id = 'next-run'"""
"""The control: each score of one run is looked for among all of the other."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[int, sqlite3.Connection]:
    made = {}
    for count in (FEW, MANY):
        folder = tmp_path_factory.mktemp("store")
        spec = SqliteBlobStorageSpec(root_dir=str(folder))
        store = spec.open(folder)
        store.append(list(events(count)))
        store.close()
        made[count] = sqlite3.connect(spec.location(folder))
    return made


def growth(stores: dict[int, sqlite3.Connection], sql: str) -> float:
    """How often as many steps of the database's machine the query takes on the larger store."""
    steps = {}
    for count, connection in stores.items():
        taken = [0]

        def step(taken: list[int] = taken) -> None:
            taken[0] += 1

        connection.set_progress_handler(step, 100)
        assert connection.execute(sql).fetchall(), "a question with an answer"
        steps[count] = taken[0]
    return steps[MANY] / steps[FEW]


@pytest.mark.parametrize("heading", list(questions()))
def test_a_question_takes_time_in_proportion_to_the_trials(stores: dict[int, sqlite3.Connection], heading: str) -> None:
    assert growth(stores, questions()[heading]) < 1.6 * MANY / FEW


def test_a_question_that_grows_with_the_square_is_seen(stores: dict[int, sqlite3.Connection]) -> None:
    assert growth(stores, JOINED) > 2 * MANY / FEW
