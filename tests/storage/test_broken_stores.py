"""The compliance suite finds the fault in each store that breaks one rule, and none in the store that breaks none."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

SUITES = Path(__file__).parent / "broken_stores.py"


@pytest.fixture(scope="module")
def failed() -> Mapping[str, set[str]]:
    """Names of the suites to names of the tests that failed in them."""
    ending = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", str(SUITES), "-q", "-rA", "--no-header", "-p", "no:cacheprovider"),
            *("--tb=no", "--assert=plain", "-k", "not million"),  # to explain a failure can take seconds
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=SUITES.parents[2],
    )
    found: dict[str, set[str]] = {}
    for outcome, suite, test in re.findall(
        r"^(PASSED|FAILED|ERROR) \S+?::Test(\w+)::(\w+)", ending.stdout, re.MULTILINE
    ):
        tests = found.setdefault(suite, set())
        if outcome != "PASSED":
            tests.add(test)
    assert found, ending.stdout + ending.stderr
    return found


def test_the_store_that_breaks_no_rule_passes_whole(failed: Mapping[str, set[str]]) -> None:
    assert failed["Unbroken"] == set()


@pytest.mark.parametrize(
    ("store", "found_by"),
    [
        ("LosesABatch", "test_what_was_appended_is_whole_for_others_before_the_store_is_closed"),
        ("WritesTwice", "test_the_log_gives_every_event_as_plain_data_in_its_order"),
        ("ForgetsTheOrderOfEvents", "test_the_log_gives_every_event_as_plain_data_in_its_order"),
        ("ForgetsTheOrderOfRows", "test_streams_come_in_order"),
        ("TruncatesAtNul", "test_any_text_comes_back_identical"),
        ("AcknowledgesBeforeCommit", "test_another_thread_can_read_meanwhile"),
        ("SavesHalfOfABadBatch", "test_a_batch_with_a_number_that_is_not_finite_is_refused_whole"),
        ("LetsFailureReplaceSuccess", "test_a_stored_generation_stays_except_that_success_replaces_failure"),
        ("CountsATrialTwice", "test_rows_hold_what_results_are_grouped_by"),
        ("ForgetsFailures", "test_a_trials_later_outcome_replaces_only_a_failed_one"),
        ("RoundsTimes", "test_the_log_gives_every_event_as_plain_data_in_its_order"),
        ("HoldsNoLocks", "test_a_run_can_be_held_once_and_others_beside_it"),
        ("ForgetsWhenItIsClosed", "test_what_was_appended_is_there_after_opening_again"),
    ],
)
def test_a_store_that_breaks_one_rule_fails(failed: Mapping[str, set[str]], store: str, found_by: str) -> None:
    assert found_by in failed[store]


def test_every_broken_store_is_in_the_table(failed: Mapping[str, set[str]]) -> None:
    (marks,) = [each for each in test_a_store_that_breaks_one_rule_fails.pytestmark if each.name == "parametrize"]  # type: ignore[attr-defined]
    assert set(failed) == {"Unbroken", *(store for store, _ in marks.args[1])}
