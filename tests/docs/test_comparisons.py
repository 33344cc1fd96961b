"""The simulation of docs/comparing.md in short: false alarms, and power as predicted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.simulations.comparisons import ASSUMED, CASES, PAGE, found

TRIALS = 300
MOST = 9.0
"""Per cent: 5 % of 300 trials come out higher once in a thousand times."""


@pytest.mark.parametrize("n", [20, 60])
@pytest.mark.parametrize("index", range(len(CASES)), ids=[case.name for case in CASES])
def test_false_alarms_are_rare(index: int, n: int) -> None:
    assert found(index, n, 0.0, TRIALS) <= MOST


@pytest.mark.parametrize("name", ASSUMED)
def test_the_power_is_as_predicted(name: str) -> None:
    (index,) = (place for place, case in enumerate(CASES) if case.name == name)
    case = CASES[index]
    difference = ASSUMED[name] / 100**0.5
    assert case.power is not None
    assert found(index, 100, difference, TRIALS) == pytest.approx(100 * case.power(100, difference), abs=9)


def test_the_page_has_the_table_of_each_case() -> None:
    page = PAGE.read_text("utf-8")
    assert [case.name for case in CASES if f"| {case.name} |" not in page] == []
