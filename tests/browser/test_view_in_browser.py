"""`themis view` in Chromium: results of any number come from the server, and a run is followed while it goes on."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_pages import ATTACKS, counts, hostile
from serving import COMMAND, live_run, live_spec, view
from watched_pages import Open

import themis_core as themis


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    spec = counts(tmp_path_factory.mktemp("counts"))
    with view("--spec", spec) as address:
        yield address


def of_server(asked: list[str], address: str) -> bool:
    return all(each.startswith(address) for each in asked)


def test_the_list_of_runs_leads_to_the_page_of_a_run(address: str, open_page: Open) -> None:
    watched = open_page(address, ready="main a")
    watched.page.locator("main a").click()
    watched.count("8 results")
    assert watched.page.locator("main section strong").first.inner_text().startswith("large has the highest accuracy")
    assert of_server(watched.asked, address)
    assert watched.wrong == []


@pytest.mark.parametrize(
    ("control", "value", "items"),
    [
        ("#shown", "failed", ["pens"]),
        ("#shown", "flipped", ["days", "days", "feet", "feet"]),
        ("#system", "1", ["days", "eggs", "feet", "pens"]),
        ("#metadata", '["level","b"]', ["feet", "feet", "pens", "pens"]),
        ("#search", "think THREE", ["feet"]),
    ],
)
def test_filters_and_search_are_the_server_s(
    control: str, value: str, items: list[str], address: str, open_page: Open
) -> None:
    watched = open_page(address, ready="main a")
    watched.page.locator("main a").click()
    watched.count("8 results")
    if control == "#search":
        watched.page.fill(control, value)
    else:
        watched.page.select_option(control, value)
    watched.count(f"{len(items)} {'result' if len(items) == 1 else 'results'}")
    assert [each.split("\n")[1].strip() for each in watched.hits()] == items


def test_two_models_stand_side_by_side_in_the_view_too(address: str, open_page: Open) -> None:
    watched = open_page(address, ready="main a")
    watched.page.locator("main a").click()
    watched.page.select_option("#shown", "flipped")
    watched.count("4 results")
    watched.page.locator("#hits button").first.click()
    columns = watched.page.locator("dialog[open] .pair > div")
    columns.nth(1).wait_for()
    assert [column.locator(".badge").inner_text() for column in columns.all()] == ["✓ right", "unparsed"]


def test_nothing_that_a_model_wrote_acts_in_the_view(tmp_path: Path, open_page: Open) -> None:
    with view("--spec", hostile(tmp_path)) as address:
        watched = open_page(address, ready="main a")
        watched.page.locator("main a").click()
        watched.count(f"{2 * len(ATTACKS)} results")
        for number in (0, 6, 20):
            watched.page.locator("#hits button").nth(number).click()
            watched.page.locator("dialog[open]").wait_for()
            watched.page.keyboard.press("Escape")
        assert watched.page.evaluate("window.hit") is None
        assert of_server(watched.asked, address)
        assert watched.wrong == []


def test_a_run_is_followed_until_it_ends(tmp_path: Path, open_page: Open) -> None:
    with live_run(tmp_path) as spec:
        wait_for_trials(spec, 2)
        with view("--spec", spec) as address:
            watched = open_page(address, ready="main a")
            watched.page.locator("main a").click()
            watched.page.get_by_text("2 of 4 trials, 0 failed").wait_for()
            watched.count("2 results")
            assert watched.page.locator("header .status").inner_text() == "running"
            (tmp_path / "go").touch()
            watched.page.locator("header .status.completed").wait_for()
            watched.count("4 results")
            assert watched.page.locator("#progress").is_hidden()
            assert watched.page.locator("#table-scores tbody td").nth(2).inner_text() == "4"
            assert watched.wrong == []


def test_a_page_of_a_run_that_has_ended_notices_that_it_is_resumed(tmp_path: Path, open_page: Open) -> None:
    spec = live_spec(tmp_path)
    with subprocess.Popen([*COMMAND, "run", "--quiet", str(spec)]) as killed:
        wait_for_trials(spec, 2)
        killed.kill()
    with view("--spec", spec) as address:
        watched = open_page(address, ready="main a")
        watched.page.locator("main a").click()
        watched.page.locator("header .status.died").wait_for()
        watched.count("2 results")
        with live_run(tmp_path):
            watched.page.locator("header .status.running").wait_for()
            (tmp_path / "go").touch()
            watched.page.locator("header .status.completed").wait_for()
            watched.count("4 results")
        assert watched.wrong == []


def wait_for_trials(spec: Path, count: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with themis.open_results(spec) as results:
                if any(run.trials >= count for run in results.runs()):
                    return
        except themis.StoreMissing:
            pass
        time.sleep(0.05)
    raise AssertionError(f"the run did not come to {count} trials")
