"""What a comparison keeps of the scores that it reads: little, and the same numbers as all of them."""

from __future__ import annotations

import tracemalloc
from hashlib import sha256

import numpy as np
import pytest

from themis_core import ScoreRow
from themis_plugin_stats.collecting import DIGITS, WHOLE, Cell

ITEMS = 20_000


def row(item: int, value: float | None, sample: int = 0) -> ScoreRow:
    digest = sha256(str(item).encode()).hexdigest()
    names = ("s", "m", "p", "default", "right", "text/exact_match", str(item), sample, "", "answered")
    return ScoreRow(*names, value, None if value is not None else "judge_unavailable", None, None, None, digest, ())


def test_an_item_takes_few_bytes() -> None:
    cell = Cell()
    tracemalloc.start()
    try:
        for item in range(ITEMS):
            cell.add(row(item, float(item % 2)), keeps_parts=False)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 32 * ITEMS
    assert (len(cell.digests), cell.means.sum(), cell.counts.sum(), cell.within.sum()) == (ITEMS, ITEMS / 2, ITEMS, 0)


@pytest.mark.parametrize("digits", [DIGITS, WHOLE])
def test_as_much_of_a_digest_is_kept_as_is_asked_for(digits: int) -> None:
    cell = Cell(digits=digits)
    cell.add(row(7, 1.0), keeps_parts=False)
    assert cell.digests.tolist() == [sha256(b"7").digest()[: digits // 2]]


@pytest.mark.parametrize("several", [{0}, {1}, {3}, {1, 2}, {0, 1, 2, 3}, set()], ids=str)
def test_samples_are_averaged_wherever_the_first_item_with_several_stands(several: set[int]) -> None:
    generator = np.random.default_rng(1)
    cell, values = Cell(), {item: generator.random(3 if item in several else 1) for item in range(4)}
    for item, samples in values.items():
        for sample, value in enumerate(samples.tolist()):
            cell.add(row(item, value, sample), keeps_parts=False)
    assert cell.means == pytest.approx([each.mean() for each in values.values()])
    assert cell.counts.tolist() == [len(each) for each in values.values()]
    assert cell.within == pytest.approx([((each - each.mean()) ** 2).sum() for each in values.values()], abs=1e-15)


def test_a_cell_without_scores_is_empty_and_says_why() -> None:
    cell = Cell()
    cell.add(row(1, None), keeps_parts=False)
    assert [len(each) for each in (cell.digests, cell.means, cell.counts, cell.within)] == [0, 0, 0, 0]
    assert cell.ledger == {"judge_unavailable": 1}
