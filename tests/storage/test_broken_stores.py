"""The compliance suite finds the fault in each store that breaks one rule, and none in the store that breaks none."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import broken_stores
import pytest

FOUND_BY = [
    ("LosesABatch", "test_what_was_appended_is_whole_for_others_before_the_store_is_closed"),
    ("WritesTwice", "test_the_log_gives_every_event_as_plain_data_in_its_order"),
    ("ForgetsTheOrderOfEvents", "test_the_log_gives_every_event_as_plain_data_in_its_order"),
    ("ForgetsTheOrderOfRows", "test_streams_come_in_order"),
    ("ScattersItems", "test_scores_come_item_by_item_whatever_slice_and_setting_they_are_of"),
    ("ForgetsMetadata", "test_what_is_appended_is_read_back_equal"),
    ("TruncatesAtNul", "test_any_text_comes_back_identical"),
    ("AcknowledgesBeforeCommit", "test_another_thread_can_read_meanwhile"),
    ("SavesHalfOfABadBatch", "test_a_batch_with_a_number_that_is_not_finite_is_refused_whole"),
    ("LetsFailureReplaceSuccess", "test_a_stored_generation_stays_except_that_success_replaces_failure"),
    ("CountsATrialTwice", "test_rows_hold_what_results_are_grouped_by"),
    ("ForgetsFailures", "test_a_trials_later_outcome_replaces_only_a_failed_one"),
    ("RoundsTimes", "test_the_log_gives_every_event_as_plain_data_in_its_order"),
    ("HoldsNoLocks", "test_a_run_can_be_held_once_and_others_beside_it"),
    ("TellsNobodyOfItsLocks", "test_whether_a_run_is_held_can_be_asked_from_anywhere"),
    ("LocksNoParts", "test_a_part_of_a_run_keeps_out_those_that_it_does_not_go_beside"),
    ("ShutsOutEveryPart", "test_a_part_of_a_run_keeps_out_those_that_it_does_not_go_beside"),
    ("TakesTheShardsOfARunForOtherRuns", "test_parts_of_a_run_that_are_held_hold_the_run_and_are_no_other_run"),
    ("ForgetsReports", "test_who_is_at_work_is_told_with_what_they_last_reported"),
    ("ForgetsWhenItIsClosed", "test_what_was_appended_is_there_after_opening_again"),
]


def failures(suite: str, wanted: str) -> set[str]:
    """Run the tests of a suite whose names have `wanted` in them; return the names of those that failed."""
    path = Path(broken_stores.__file__)
    ending = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", f"{path}::{suite}", "-k", f"{wanted} and not million"),
            *("-q", "-rA", "--no-header", "-p", "no:cacheprovider"),
            *("--tb=no", "--assert=plain"),  # to explain a failure can take seconds
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=path.parents[2],
    )
    ends = re.findall(r"^(PASSED|FAILED|ERROR) \S+?::Test\w+::(\w+)", ending.stdout, re.MULTILINE)
    assert ends, ending.stdout + ending.stderr
    return {test for outcome, test in ends if outcome != "PASSED"}


def test_the_store_that_breaks_no_rule_passes_whole() -> None:
    assert failures("TestUnbroken", "test") == set()


@pytest.mark.parametrize(("store", "found_by"), FOUND_BY)
def test_a_store_that_breaks_one_rule_fails(store: str, found_by: str) -> None:
    assert failures(f"Test{store}", found_by) == {found_by}


def test_every_broken_store_is_in_the_table() -> None:
    suites = {name[4:] for name in vars(broken_stores) if name.startswith("Test")}
    assert suites == {"Unbroken", *(store for store, _ in FOUND_BY)}
