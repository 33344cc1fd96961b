"""Compliance suite of metrics: subclass it in a test module, and pytest runs what every metric must fulfil.

    class TestExactMatch(MetricSuite):
        @pytest.fixture
        def metric(self):
            return ExactMatch()

        @pytest.fixture
        def item(self):
            return Item(id="1", fields={}, reference="Paris")

        @pytest.fixture
        def values(self):
            return ["Paris", "paris ", "London"]

It does not test which number an answer gets: that is a table of the plugin's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isclose, isfinite
from typing import Any

import pytest
from pydantic import ValidationError

from themis_core.components import Metric
from themis_core.records import Generation, Item, Score, Step
from themis_core.specs import canonical_json
from themis_core.testing.hostile import HOSTILE_TEXTS
from themis_plain import Handed

__all__ = ["MetricSuite"]

ODD_VALUES: Sequence[Any] = (None, True, 0, -7, 10**400, 0.5, 1e308, [], {}, ["a", None], {"a": {"b": [1.5]}})
"""Values that a parse may hand over where a metric waits for others."""
BAD_REFERENCES: Sequence[Any] = ("3/4", "", "(", [[]], [None], ["a", 1, None], float("nan"), {"a": None}, -1, 10**9)
"""References that some metrics can't use, beside `ODD_VALUES`."""
OF_ITEMS = frozenset({"no_reference", "bad_reference"})
"""Reasons that say something of the item, whatever the answer is."""


class MetricSuite:
    """What every metric must fulfil. Define the fixtures `metric`, `item` and `values`."""

    needs_reference: bool = True
    """False for a metric that scores answers alone: then the item's reference changes nothing."""

    @pytest.fixture
    def metric(self) -> Metric:
        """The metric to test; parametrise it for several configs."""
        raise NotImplementedError("define the fixture `metric`")

    @pytest.fixture
    def item(self) -> Item:
        """An item with what the metric needs, a reference above all."""
        raise NotImplementedError("define the fixture `item`")

    @pytest.fixture
    def values(self) -> Sequence[Any]:
        """Three or more values that the metric scores for this item, a very good one and a bad one among them."""
        raise NotImplementedError("define the fixture `values`")

    @pytest.fixture(params=sorted(HOSTILE_TEXTS))
    def hostile_text(self, request: pytest.FixtureRequest) -> str:
        return HOSTILE_TEXTS[request.param]

    def test_good_and_bad_values_get_different_scores(self, metric: Metric, item: Item, values: Sequence[Any]) -> None:
        assert len(values) >= 3, "the fixture `values` must give three or more values"
        scores = scores_of(metric, item, values)
        unscored = {repr(value): score.reason for value, score in zip(values, scores, strict=True) if not score.scored}
        assert unscored == {}, "each of `values` must get a number for this `item`"
        assert len({score.value for score in scores}) > 1, "a good and a bad one must be among `values`"

    def test_any_text_gets_a_score_in_range_or_a_reason(self, metric: Metric, item: Item, hostile_text: str) -> None:
        check_score(metric, scores_of(metric, item, [hostile_text])[0])

    def test_any_value_gets_a_score_in_range_or_a_reason(self, metric: Metric, item: Item) -> None:
        for score in scores_of(metric, item, ODD_VALUES):
            check_score(metric, score)

    def test_any_reference_gives_a_score_in_range_or_a_reason(
        self, metric: Metric, item: Item, values: Sequence[Any]
    ) -> None:
        short = [text for text in HOSTILE_TEXTS.values() if len(text) < 1_000]
        for reference in (*short, *ODD_VALUES):
            check_score(metric, scores_of(metric, replace(item, reference=reference), values[:1])[0])

    def test_equal_answers_get_equal_scores(self, metric: Metric, item: Item, values: Sequence[Any]) -> None:
        twin = type(metric).model_validate(metric.model_dump(by_alias=True))
        assert scores_of(twin, item, values) == scores_of(metric, item, values), (
            "the same config, item and answer must get the same score, details and all: no clock, no chance"
        )

    def test_an_item_without_a_reference_gives_a_reason_where_one_is_needed(
        self, metric: Metric, item: Item, values: Sequence[Any]
    ) -> None:
        without = replace(item, reference=None)
        if not self.needs_reference:
            assert scores_of(metric, without, values) == scores_of(metric, item, values), (
                "`needs_reference` is False, so the scores must be the same without the item's reference"
            )
            return
        assert metric.unscorable(without) == "no_reference", (
            'without a reference `unscorable` must return "no_reference"; '
            "if the metric needs none, set `needs_reference = False` in the test class"
        )

    def test_an_item_is_unscorable_for_every_answer_or_for_none(
        self, metric: Metric, item: Item, values: Sequence[Any]
    ) -> None:
        short = [text for text in HOSTILE_TEXTS.values() if len(text) < 1_000]
        for reference in (*short, *ODD_VALUES, *BAD_REFERENCES):
            other = replace(item, reference=reference)
            if (reason := metric.unscorable(other)) is not None:
                assert reason.isidentifier(), "a reason is a short, stable code such as bad_reference"
                continue
            given = [*scores_of(metric, other, (*values, "")), metric.empty(other, Generation("empty"))]
            given.append(metric.worst(other, Generation("refused")))
            assert {each.reason for each in given}.isdisjoint(OF_ITEMS), (
                f"the reference {reference!r:.60} can't be used: `unscorable` must say so, or right answers leave the "
                "mean, and silent ones stay in it as the worst"
            )
            check_score(metric, given[-2])

    def test_the_worst_score_is_no_better_than_any_value(
        self, metric: Metric, item: Item, values: Sequence[Any]
    ) -> None:
        worst = metric.worst(item, Generation("empty"))
        check_score(metric, worst)
        bad_end = metric.lowest if metric.higher_is_better else metric.highest
        if bad_end is not None:
            assert worst.value == bad_end, (
                "`worst` must be the bad end of the range: `lowest`, or `highest` if lower is better"
            )
        elif worst.value is not None:
            best = max if metric.higher_is_better else min
            assert best(worst.value, *map(value_of, scores_of(metric, item, values))) != worst.value, (
                "`worst` must not be the best of all: check it, and `higher_is_better`"
            )

    def test_the_aggregate_is_in_range_and_does_not_depend_on_order(
        self, metric: Metric, item: Item, values: Sequence[Any]
    ) -> None:
        scores = [*scores_of(metric, item, values), metric.worst(item, Generation("empty"))]
        scores = [score for score in scores if score.scored]
        forth, back = metric.aggregate(scores), metric.aggregate(reversed(scores))
        assert forth is not None, "`aggregate` must return a number where there is a score"
        assert back is not None, "`aggregate` must return a number where there is a score, and take any iterable"
        assert isclose(forth, back, rel_tol=1e-12), "the order of the scores must not change the aggregate"
        check_score(metric, Score(forth))
        if metric.aggregates_mean:
            mean = sum(map(value_of, scores)) / len(scores)
            assert isclose(forth, mean, rel_tol=1e-12, abs_tol=1e-12), (
                "`aggregate` is not the mean: set `aggregates_mean = False` in the metric"
            )
        elif metric.sums_parts:
            sums = tuple(map(sum, zip(*(score.parts for score in scores), strict=True)))
            mean = sum(map(value_of, scores)) / len(scores)
            added = metric.aggregate_items([[Score(mean, parts=sums)]])
            assert added is not None and isclose(forth, added, rel_tol=1e-9), (  # noqa: PT018
                "`aggregate` needs more than the sums of the parts: set `sums_parts = False` in the metric"
            )

    def test_what_it_is_handed_stays_as_it_is(self, metric: Metric, item: Item, values: Sequence[Any]) -> None:
        scores_of(metric, item, [*values, *ODD_VALUES])
        for reference in (["b", "a", ["c"]], {"b": [2, 1], "a": None}):
            rich = replace(item, fields={**item.fields, "more": [2, [1]]}, metadata={"level": [1]}, reference=reference)
            if metric.unscorable(rich) is not None:
                continue  # a run asks for no score of it
            scores_of(metric, rich, [*values, ["b", "a", ["c"]], {"b": [2, 1], "a": None}])
            generation = Generation("empty", provider={"id": ["x"]})
            handed = Handed(item=rich, generation=generation)
            metric.worst(handed["item"], handed["generation"])
            metric.empty(handed["item"], handed["generation"])
            check_unchanged(handed)

    def test_no_score_has_no_aggregate(self, metric: Metric) -> None:
        assert metric.aggregate([]) is None, "without a score there is no aggregate: return None, not 0"

    def test_the_config_is_frozen(self, metric: Metric) -> None:
        for name in type(metric).model_fields:
            with pytest.raises(ValidationError):
                setattr(metric, name, None)

    def test_the_identity_is_plain_data_and_gives_the_config_back(self, metric: Metric) -> None:
        identity = metric.identity()
        assert canonical_json(identity)
        assert type(metric).model_validate(identity).identity() == identity, (
            "`identity()` must be config that makes an equal metric: a field in `not_identity` needs a default"
        )

    def test_every_field_is_described(self, metric: Metric) -> None:
        bare = [name for name, each in type(metric).model_fields.items() if not each.description]
        assert bare == [], "every field needs Field(..., description=...)"


def scores_of(metric: Metric, item: Item, values: Sequence[Any]) -> list[Score]:
    """Score each value as the run does: the generation's text is the value, if that is a text."""
    handed = Handed(item=item)
    reason = metric.unscorable(handed["item"])
    check_unchanged(handed)
    if reason is not None:
        return [Score(reason=reason)] * len(values)
    return [_score_of(metric, item, value) for value in values]


def _score_of(metric: Metric, item: Item, value: Any) -> Score:
    text = value if isinstance(value, str) else ""
    rich = Generation(
        "answered",
        text=text,
        provider={"id": ["x"]},
        tool_calls=({"name": "f", "arguments": {}},),
        steps=(Step("tool_call", "f", {"a": []}, ["x"]),),
    )
    handed = Handed(item=item, generation=rich, value=value)
    score = metric.score(handed["item"], handed["generation"], handed["value"])
    check_unchanged(handed)
    return score


def check_unchanged(handed: Handed) -> None:
    """Assert that a component left what it was handed as it was."""
    try:
        handed.check()
    except TypeError as error:
        raise AssertionError(str(error)) from None


def value_of(score: Score) -> float:
    assert score.value is not None, f"unscored: {score.reason}"
    return score.value


def check_score(metric: Metric, score: Score) -> None:
    """Assert that a score has a finite value within the metric's range, or a short reason and no value."""
    assert isinstance(score, Score), "a metric returns a Score"
    if score.value is None:
        assert score.reason, 'a score without a value needs a reason: Score(reason="not_text")'
        assert score.reason.isidentifier(), "a reason is a short, stable code such as no_reference"
        return
    assert score.reason is None, "a score has a value or a reason, never both"
    assert isfinite(score.value), "NaN and infinities are no scores: return a reason"
    assert metric.lowest is None or score.value >= metric.lowest, "below `lowest`: None there means no bound"
    assert metric.highest is None or score.value <= metric.highest, "above `highest`: None there means no bound"
    assert all(isfinite(part) for part in score.parts), "`parts` must be finite"
    assert canonical_json(score.details)
