"""Every benchmark still measures something: each case is run with few trials."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.__main__ import BEGIN, END, PAGE, measure
from benchmarks.bench import Bench
from benchmarks.cases import CASES, rows_of
from benchmarks.measuring import ROOT
from benchmarks.table import Row, markdown


@pytest.mark.parametrize("case", CASES)
def test_a_case_can_be_measured(case: str, tmp_path: Path) -> None:
    rows = rows_of(case, Bench(tmp_path, short=True))
    assert rows
    assert markdown(rows).count("\n") == 2 + len(rows)


def test_every_module_of_the_cases_is_a_case_or_a_bare_loop_and_the_page_tells_of_each() -> None:
    modules = {path.stem for path in (ROOT / "benchmarks" / "cases").glob("*.py")} - {"__init__"}
    assert {name for name in modules if not name.startswith("bare_")} == set(CASES)
    page = PAGE.read_text(encoding="utf-8")
    assert [case for case in CASES if f"| `{case}` |" not in page] == []
    assert page.index(BEGIN) < page.index(END)


def test_a_case_that_fails_costs_its_own_rows_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = Row("whole", 1.0)

    def rows(case: str, bench: Bench) -> list[Row]:
        if case == "disk":
            bench.themis("run", tmp_path / "absent.json")
        return [whole]

    assert measure(Bench(tmp_path, short=True), ["disk", "rerun"], rows) == ([whole], ["disk"])
    assert "absent.json" in capsys.readouterr().err


def test_the_table_says_ratios_to_the_first_bare_loop_and_which_goals_are_met() -> None:
    rows = [
        Row("CPU ms a trial", 0.4183, {"aiohttp": 0.19, "pyreqwest": 0.0551}, goal=0.42),
        Row("wall s", 2.5, {"aiohttp": 2.0}, goal=2.3),
        Row("% of the ideal rate", 92.4, goal=90, at_least=True),
        Row("rows a second", 53353.4),
    ]
    assert markdown(rows).splitlines() == [
        "| case | bare loop | Themis | ratio | goal | met |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
        "| CPU ms a trial | 0.190 (aiohttp); 0.055 (pyreqwest) | 0.418 | 2.20 | ≤ 0.420 | yes |",
        "| wall s | 2 (aiohttp) | 2.50 | 1.25 | ≤ 2.30 | **no** |",
        "| % of the ideal rate | – | 92.4 | – | ≥ 90 | yes |",
        "| rows a second | – | 53,353 | – | – | – |",
    ]
