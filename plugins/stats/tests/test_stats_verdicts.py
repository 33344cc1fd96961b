"""What a verdict says in words where there is little to judge by."""

from __future__ import annotations

from dataclasses import replace

from themis_plugin_stats.verdicts import Pair

PAIR = Pair(
    "a", "b", "accuracy", "match", 0.2, 0.45, 0.25, None, None, None, None, 2 / 64, 2 / 64, None, 6, 6, "sign flips",
    True, "better", None, None, 6, 0, {}, {}, no_interval="no_spread",
)  # fmt: skip


def test_a_verdict_without_an_interval_says_why() -> None:
    told = "accuracy/match is 0.250 higher (no 95 % interval, as all items differ alike, p = 0.031, n = 6)"
    assert PAIR.sentence() == f"b is better than a: {told}"


def test_so_few_items_that_they_could_show_nothing_are_said_to() -> None:
    few = replace(PAIR, verdict="inconclusive", n=5, units=5, p_corrected=2 / 32, no_interval="too_few")
    said = "it can't be said which of a and b is better: accuracy/match of b is 0.250 higher"
    numbers = "(no 95 % interval, as there are too few items, p = 0.062, n = 5)"
    assert few.sentence() == f"{said} {numbers}; 5 items could show no difference, however large"
    clusters = replace(few, n=50, units=1, items_needed=120)
    assert clusters.sentence().endswith(
        "; 1 cluster could show no difference, however large; if it is as it seems, some 120 items would decide"
    )


def test_that_no_item_differs_is_said() -> None:
    same = replace(PAIR, verdict="inconclusive", value_b=0.2, difference=0.0, won=0, p_corrected=1.0, no_interval=None)
    same = replace(same, low=-0.1, high=0.1)
    assert same.sentence().endswith("is the same (95 % interval -0.100 to +0.100, p = 1.000, n = 6); no item differs")
    assert replace(same, won=1, lost=1).sentence().endswith("; there is nothing to judge by")
