"""What a comparison keeps of the scores that it reads: little, and the same numbers as all of them."""

from __future__ import annotations

import tracemalloc
from hashlib import sha256

import numpy as np
import pytest

from themis_core import ScoreRow
from themis_plugin_stats.collecting import Cell
from themis_plugin_stats.columns import DIGITS, WHOLE, ItemMeans
from themis_plugin_stats.item_sums import ItemSums

ITEMS = 20_000


def row(item: int, value: float | None, sample: int = 0, parts: tuple[float, ...] = ()) -> ScoreRow:
    digest = sha256(str(item).encode()).hexdigest()
    names = ("s", "m", "p", "default", "right", "text/exact_match", str(item), sample, "", "answered")
    return ScoreRow(*names, value, None if value is not None else "judge_unavailable", None, None, None, digest, parts)


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
    digests, means, counts, within = cell.items.of()
    assert (len(digests), means.sum(), counts.sum(), within.sum()) == (ITEMS, ITEMS / 2, ITEMS, 0)


def test_parts_that_are_added_up_take_8_bytes_each() -> None:
    cell = Cell(sums=ItemSums())
    tracemalloc.start()
    try:
        for item in range(ITEMS):
            cell.add(row(item, 1.0, parts=tuple(float(item + each) for each in range(10))), keeps_parts=True)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < (16 + 10 * 8 + 24 + 24) * ITEMS  # arrays grow by an eighth at a time
    assert cell.parts == []


def test_sums_of_items_are_those_of_their_scores_and_items_may_be_there_several_times() -> None:
    cell, each_score = Cell(sums=ItemSums()), Cell()
    for item, samples in ((1, 2), (2, 1), (3, 3)):
        for sample in range(samples):
            for of in (cell, each_score):
                of.add(row(item, item / 2, sample, (float(sample), float(item))), keeps_parts=True)
    for sums in (cell.item_sums(), each_score.item_sums()):
        ((score,),) = sums.whole(np.array([0, 2, 2]))  # samples: 2 of 1, 3 of 3, twice
        assert (score.value, score.parts) == ((2 * 0.5 + 6 * 1.5) / 8, (1.0 + 2 * 3.0, 2 * 1.0 + 6 * 3.0))


def test_scores_of_unlike_numbers_of_parts_are_told() -> None:
    cell = Cell(sums=ItemSums())
    cell.add(row(1, 1.0, parts=(1.0,)), keeps_parts=True)
    cell.add(row(2, 1.0, parts=(1.0, 2.0)), keeps_parts=True)
    assert "unlike numbers of `parts`" in (cell.item_sums().problem or "")


@pytest.mark.parametrize("digits", [DIGITS, WHOLE])
def test_as_much_of_a_digest_is_kept_as_is_asked_for(digits: int) -> None:
    cell = Cell(ItemMeans(digits))
    cell.add(row(7, 1.0), keeps_parts=False)
    assert cell.items.of().digests.tolist() == [sha256(b"7").digest()[: digits // 2]]


@pytest.mark.parametrize("several", [{0}, {1}, {3}, {1, 2}, {0, 1, 2, 3}, set()], ids=str)
def test_samples_are_averaged_wherever_the_first_item_with_several_stands(several: set[int]) -> None:
    generator = np.random.default_rng(1)
    cell, values = Cell(), {item: generator.random(3 if item in several else 1) for item in range(4)}
    for item, samples in values.items():
        for sample, value in enumerate(samples.tolist()):
            cell.add(row(item, value, sample), keeps_parts=False)
    found = cell.items.of()
    assert found.means == pytest.approx([each.mean() for each in values.values()])
    assert found.counts.tolist() == [len(each) for each in values.values()]
    assert found.within == pytest.approx([((each - each.mean()) ** 2).sum() for each in values.values()], abs=1e-15)


def test_a_cell_without_scores_is_empty_and_says_why() -> None:
    cell = Cell()
    cell.add(row(1, None), keeps_parts=False)
    assert [len(each) for each in cell.items.of()] == [0, 0, 0, 0]
    assert cell.ledger == {"judge_unavailable": 1}
