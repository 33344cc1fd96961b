"""Measures the judges of a stored run against human labels.

    what a judge said of each answer ─┬─ answers with a label: agreement, sensitivity, specificity
                                      └─ answers without one: the score, corrected by what the labels taught

It asks nothing and writes nothing. The figures are in `agreement` and `calibration`, the reading is in `labelled`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from themis_core import Results, SpecError
from themis_intervals import ClusteredMean
from themis_labels.agreement import Estimate, Rate, Scale, alpha, kappa, position_bias, self_agreement
from themis_labels.calibration import corrected_mean, corrected_share
from themis_labels.labelled import Judged, JudgeScores, Labels, read_judges
from themis_labels.reliability import Band, reliability

__all__ = ["Corrected", "JudgeMeasurement", "measure_run"]


@dataclass(frozen=True, slots=True)
class Corrected:
    """A judge's score of one model, and what people would have scored, over the answers without a label."""

    slice_id: str
    model_id: str
    prompt_variant_id: str
    params: str
    n: int
    """Scored answers without a label."""
    judge_mean: float | None
    """Of those n."""
    corrected: Estimate
    """Of those n."""
    human_mean: Estimate
    """Of the answers with a label."""
    not_judged: int
    """Answers without a label that no judge saw: refused, empty or unparsed; in none of these figures."""
    unscored: int
    """Answers without a label whose verdict could not be read; in none of these figures."""


@dataclass(frozen=True, slots=True)
class JudgeMeasurement:
    """What the labels say of one judge: a metric of a score with its component, config and judging model."""

    score: str
    metric: str
    component: str
    slices: list[str]
    labelled: int
    """Answers with a label."""
    n: int
    """Answers with a label that the judge scored: all agreement figures are theirs."""
    unscored: dict[str, int]
    """Reason to answers without a score, with or without a label."""
    not_judged: int
    """Answers that were refused, empty or unparsed, with or without a label."""
    scale: Scale
    """Of kappa and alpha."""
    binary: bool
    """Whether labels and scores are 0 or 1; if not, sensitivity and specificity have no meaning."""
    method: str
    """Of the corrected score: `rogan_gladen`, or `prediction_powered` if not binary."""
    human_mean: float | None
    """Of the n answers."""
    judge_mean: float | None
    """Of the n answers."""
    accuracy: Estimate
    """Share of scores equal to the label."""
    kappa: Estimate
    alpha: Estimate
    sensitivity: Estimate
    """Share of 1 among the answers with label 1."""
    specificity: Estimate
    """Share of 0 among the answers with label 0."""
    reliability: list[Band]
    """For each value that the judge gave, or span of values, what people gave those of the n answers."""
    self_agreement: Estimate
    """Mean share of equal pairs among the repeats of a question; `n` questions were asked more than once."""
    self_alpha: Estimate
    position_bias: dict[str, float | int | None] | None
    """See `agreement.position_bias`; None if no question was asked in both orders."""
    corrected: list[Corrected]


def measure_run(
    results: Results, run_id: str, labels: Labels, *, threshold: float | None = None, scale: Scale | None = None
) -> list[JudgeMeasurement]:
    """Measure every judge of a run, in the order of its spec.

    With `threshold`, scores and labels count as 1 from there on and as 0 below. `scale` is by default nominal for
    binary values and interval for graded ones. Raises SpecError if the run has no judge, no label, labels of one
    value only, or one that is not in the range of the judge's scores.
    """
    judges = read_judges(results, results.run(run_id), labels)
    for judge in judges:
        _check_range(judge)
    if threshold is not None:
        judges = [replace(judge, judged=[_cut(each, threshold) for each in judge.judged]) for judge in judges]
    found = {each.label for judge in judges for each in judge.judged if each.label is not None}
    if len(found) == 1:
        told = f"{found.pop():g}" if threshold is None else f"on one side of {threshold:g}"
        raise SpecError(
            f"all labels are {told}: agreement beyond chance needs answers that people scored differently; label more"
        )
    return [_measured(judge, scale) for judge in judges]


def _check_range(judge: JudgeScores) -> None:
    """Raise SpecError if a label is none that the judge could have given: then they are on different scales."""
    low = -math.inf if judge.lowest is None else judge.lowest
    high = math.inf if judge.highest is None else judge.highest
    for each in judge.judged:
        if each.label is not None and not low <= each.label <= high:
            end = low if each.label < low else high
            raise SpecError(
                f"item {each.item_id!r}: the label {each.label:g} is not in the range of {judge.score}/{judge.metric}, "
                f"{low:g} to {high:g}: say what each label counts as, such as --label-value {each.label:g}={end:g}"
            )


def _cut(judged: Judged, threshold: float) -> Judged:
    value, label = (None if each is None else float(each >= threshold) for each in (judged.value, judged.label))
    return replace(judged, value=value, label=label)


def _measured(judge: JudgeScores, scale: Scale | None) -> JudgeMeasurement:
    seen = [each for each in judge.judged if each.seen]
    labelled = [each for each in seen if each.label is not None and each.value is not None]
    binary = {value for each in seen for value in (each.value, each.label) if value is not None} <= {0.0, 1.0}
    scale = scale or ("nominal" if binary else "interval")
    pairs = [(each.value, each.label) for each in labelled if each.value is not None and each.label is not None]
    items = [each.item_id for each in labelled]
    sensitivity, specificity = (_share(labelled, truth) if binary else Rate(0, 0, 0) for truth in (1.0, 0.0))
    repeated = [(each.item_id, group) for each in judge.judged for group in _repeats(each.verdicts)]
    asked, repeats = [item for item, _ in repeated], [group for _, group in repeated]
    orders = [pair for each in judge.judged for pair in _orders(each.verdicts)]
    return JudgeMeasurement(
        score=judge.score,
        metric=judge.metric,
        component=judge.component,
        slices=judge.slices,
        labelled=sum(each.label is not None for each in judge.judged),
        n=len(labelled),
        unscored=dict(sorted(Counter(each.reason or "?" for each in seen if each.value is None).items())),
        not_judged=len(judge.judged) - len(seen),
        scale=scale,
        binary=binary,
        method="rogan_gladen" if binary else "prediction_powered",
        human_mean=fmean(human for _, human in pairs) if pairs else None,
        judge_mean=fmean(value for value, _ in pairs) if pairs else None,
        accuracy=_rate([each.value == each.label for each in labelled], labelled).estimate(),
        kappa=kappa(pairs, scale, items=items),
        alpha=alpha(pairs, scale, items=items),
        sensitivity=sensitivity.estimate(),
        specificity=specificity.estimate(),
        reliability=reliability(pairs, items, lowest=judge.lowest, highest=judge.highest),
        self_agreement=self_agreement(repeats, items=asked),
        self_alpha=alpha(repeats, scale, items=asked),
        position_bias=position_bias(orders) if orders else None,
        corrected=_corrected(judge, labelled, (sensitivity, specificity) if binary else None),
    )


def _rate(hits: Sequence[bool], judged: Sequence[Judged]) -> Rate:
    return Rate(sum(hits), len(judged), len({each.item_id for each in judged}))


def _share(labelled: Sequence[Judged], truth: float) -> Rate:
    """Among the answers with this label, the share to which the judge gave it as well."""
    true = [each for each in labelled if each.label == truth]
    return _rate([each.value == truth for each in true], true)


def _corrected(judge: JudgeScores, labelled: Sequence[Judged], rates: tuple[Rate, Rate] | None) -> list[Corrected]:
    groups: dict[tuple[str, str, str, str], list[Judged]] = {}
    for each in judge.judged:
        groups.setdefault(each.answer, []).append(each)
    learnt = list(zip(_item_means(labelled, "value"), _item_means(labelled, "label"), strict=True))
    rows = []
    for answer, group in groups.items():
        scored = [each for each in group if each.seen and each.value is not None]
        rest = [each for each in scored if each.label is None]
        human = [each for each in scored if each.label is not None]
        if rates is not None:
            corrected = corrected_share(_rate([each.value == 1.0 for each in rest], rest), *rates)
            human_mean = _rate([each.label == 1.0 for each in human], human).estimate()
        else:
            means = _item_means(rest, "value")
            corrected = corrected_mean(means, learnt, lowest=judge.lowest, highest=judge.highest)
            corrected = replace(corrected, n=len(rest))
            human_mean = replace(_mean(_item_means(human, "label"), judge), n=len(human))
        rows.append(
            Corrected(
                *answer,
                n=len(rest),
                judge_mean=fmean(each.value for each in rest if each.value is not None) if rest else None,
                corrected=corrected,
                human_mean=human_mean,
                not_judged=sum(not each.seen for each in group if each.label is None),
                unscored=sum(each.seen and each.value is None for each in group if each.label is None),
            )
        )
    return rows


def _mean(values: Sequence[float], judge: JudgeScores) -> Estimate:
    """The mean of items, with the interval that rows of results have."""
    mean = ClusteredMean(judge.lowest, judge.highest)
    for value in values:
        mean.add(value, new_cluster=True)
    interval = mean.interval()
    return Estimate(mean.mean, interval.low, interval.high, len(values), mean.standard_error)


def _item_means(judged: Sequence[Judged], name: str) -> list[float]:
    """One mean per item, in the order of the items: the answers to one item are not independent of each other."""
    by_item: dict[str, list[float]] = {}
    for each in judged:
        by_item.setdefault(each.item_id, []).append(getattr(each, name))
    return [fmean(values) for values in by_item.values()]


def _repeats(verdicts: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """The values of each question that was asked more than once."""
    groups: dict[tuple[str, ...], list[float]] = {}
    for verdict in verdicts:
        question = tuple(str(verdict.get(name)) for name in ("judge", "order", "criterion"))
        groups.setdefault(question, []).append(float(verdict["value"]))
    return [group for group in groups.values() if len(group) > 1]


def _orders(verdicts: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """The mean values of each question asked in both orders: the scored answer first, then second.

    One pair per question, however often it was repeated: repeats are not independent, and the test counts pairs.
    """
    questions: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for verdict in verdicts:
        question = tuple(str(verdict.get(name)) for name in ("judge", "criterion"))
        orders = questions.setdefault(question, {})
        orders.setdefault(str(verdict.get("order")), []).append(float(verdict["value"]))
    return [(fmean(each["ab"]), fmean(each["ba"])) for each in questions.values() if {"ab", "ba"} <= each.keys()]
