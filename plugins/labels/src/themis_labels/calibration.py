"""From a judge's scores to what people would have scored: corrected means that carry the calibration's own noise.

Pure functions of counts and numbers. Both corrections take the answers with human labels (the calibration) and the
answers without (what is measured) as independent samples, and the judge to err alike on both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

from themis_intervals import Z95, t_quantile
from themis_labels.agreement import Estimate, Rate

__all__ = ["corrected_mean", "corrected_share"]

FEWEST = 5
NOISE = 1e-9
"""Values that differ by less of the largest are alike: rounding leaves as much."""


def corrected_share(positive: Rate, sensitivity: Rate, specificity: Rate) -> Estimate:
    """The share of answers that people would call positive, from the share that the judge called so; in [0, 1].

    The estimate is that of W. Rogan, B. Gladen, "Estimating prevalence from the results of a screening test",
    American Journal of Epidemiology 107 (1978): (share + specificity - 1) / (sensitivity + specificity - 1), cut at 0
    and 1. The interval is that of Z. Lang, J. Reiczigel, "Confidence limits for prevalence of disease adjusted for
    estimated sensitivity and specificity", Preventive Veterinary Medicine 113 (2014): with z = 1.96, shares moved
    towards one half (z²/2 of z² trials added to the share, 1 of 2 to each of the others), the estimate π' of those, and

        π' + 2 z² (π' v_sens - (1 - π') v_spec) ± z sqrt(v_share + π'² v_sens + (1 - π')² v_spec) / J'

    where v = p (1 - p) / n of each moved share and J' is the moved sensitivity + specificity - 1. Rogan and Gladen's
    own interval covers too rarely where a share is near 0 or 1. It is cut at 0 and 1, see `_within`.
    No interval with fewer than five independent trials in a sample, and no estimate if one is empty, or if the judge
    is no better than chance (sensitivity + specificity <= 1): then its verdicts say nothing.
    """
    if positive.value is None or sensitivity.value is None or specificity.value is None:
        return Estimate(None, n=positive.n)
    youden = sensitivity.value + specificity.value - 1
    share, n = _moved(positive, Z95**2)
    sens, n_sens = _moved(sensitivity, 2)
    spec, n_spec = _moved(specificity, 2)
    moved_youden = sens + spec - 1
    if youden <= 0 or moved_youden <= 0:
        return Estimate(None, n=positive.n)
    estimate = min(1.0, max(0.0, (positive.value + specificity.value - 1) / youden))
    if min(each.clusters for each in (positive, sensitivity, specificity)) < FEWEST:
        return Estimate(estimate, n=positive.n)
    centre = (share + spec - 1) / moved_youden
    v_share, v_sens, v_spec = share * (1 - share) / n, sens * (1 - sens) / n_sens, spec * (1 - spec) / n_spec
    error = math.sqrt(v_share + centre**2 * v_sens + (1 - centre) ** 2 * v_spec) / moved_youden
    centre += 2 * Z95**2 * (centre * v_sens - (1 - centre) * v_spec)
    return Estimate(estimate, *_within(centre - Z95 * error, centre + Z95 * error, 0.0, 1.0), positive.n)


def _moved(rate: Rate, added: float) -> tuple[float, float]:
    assert rate.value is not None
    n = rate.clusters + added
    return (rate.value * rate.clusters + added / 2) / n, n


def _within(low: float, high: float, lowest: float, highest: float) -> tuple[float | None, float | None]:
    """An interval cut at the ends of the range; none if nothing is left of it.

    Then no value of the range explains what was seen: the judge errs otherwise here than on the labelled answers.
    """
    if high <= lowest or low >= highest:
        return None, None
    return max(low, lowest), min(high, highest)


def corrected_mean(
    scores: Sequence[float],
    pairs: Sequence[tuple[float, float]],
    *,
    lowest: float | None = None,
    highest: float | None = None,
) -> Estimate:
    """The mean that people would have given, from the judge's `scores` of answers without labels.

    `pairs` are (judge, human) of the labelled answers; `lowest` and `highest` the ends of the scale, None where it has
    none. The estimate is the mean of the scores plus the mean of
    human - judge: the prediction-powered mean of A. Angelopoulos and others, "Prediction-powered inference",
    Science 382 (2023), arXiv:2301.09633, algorithm 1. The interval is the estimate ± t standard errors, where t has the
    degrees of freedom of B. Welch, "The generalization of 'Student's' problem when several different population
    variances are involved", Biometrika 34 (1947). Both are cut at the ends of the scale, see `_within`. Without an
    interval if the scores or the errors are fewer than five or all alike: they tell too little of how much others
    differ, and a width of 0 would claim certainty.
    """
    low, high = -math.inf if lowest is None else lowest, math.inf if highest is None else highest
    if not scores or not pairs:
        return Estimate(None, n=len(scores))
    errors = [human - judge for judge, human in pairs]
    mean = fmean(scores) + fmean(errors)
    estimate = min(high, max(low, mean))
    alike = NOISE * max(map(abs, (*scores, *(value for pair in pairs for value in pair))))
    if any(len(each) < FEWEST or max(each) - min(each) <= alike for each in (scores, errors)):
        return Estimate(estimate, n=len(scores))
    parts = [(variance(each) / len(each), len(each) - 1) for each in (scores, errors)]
    total = sum(part for part, _ in parts)
    freedom = total**2 / sum(part**2 / n for part, n in parts)
    error = math.sqrt(total)
    half = t_quantile(freedom) * error
    return Estimate(estimate, *_within(mean - half, mean + half, low, high), len(scores), error)
