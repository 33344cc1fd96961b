"""`compare`: from stored runs to verdicts. What it reads is read once; what it decides is in `procedures`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from themis_core import Results, RunRecord, SpecError
from themis_plugin_stats.alike import check_alike, denominators_of
from themis_plugin_stats.clustering import clusters_of
from themis_plugin_stats.collecting import MetricKey
from themis_plugin_stats.columns import DIGITS, WHOLE
from themis_plugin_stats.differing import differences, flips_between
from themis_plugin_stats.multiple import Correction, corrected
from themis_plugin_stats.opening import opened, read_sides
from themis_plugin_stats.pairing import Pairs, compared, numbers_of, pair
from themis_plugin_stats.planning import items_to_decide, items_to_equal, smallest_difference
from themis_plugin_stats.procedures import Procedure
from themis_plugin_stats.result import Comparison
from themis_plugin_stats.sides import By, Chosen, Of, Side, choose
from themis_plugin_stats.verdicts import Pair, Verdict

__all__ = ["compare", "compare_chosen", "missing_of", "tested"]

ALPHA = 0.05


def compare(
    *runs: str | Side,
    results: Results | Sequence[Results | None] | None = None,
    spec: str | Path | None = None,
    project: str | Path | None = None,
    by: By | None = None,
    only: Sequence[str] = (),
    baseline: str | None = None,
    metric: str | Sequence[str] = (),
    margin: float | None = None,
    cluster: str | None = None,
    correction: Correction = "holm",
    unpaired: bool = False,
    flips: int = 0,
) -> Comparison:
    """Compare runs, or the models, prompt variants or settings of one run.

    `runs` are ids (their beginning will do), `RUN:model=ID`, or `Side`s; of several the first is A, what the others are
    compared with. Of one run, `by` says what is compared (models, if there are several), `only` which of them, and
    `baseline` which one the others are compared with; without it each is compared with each. `metric` names scores or
    metrics; the first of the spec by default. `margin` is the difference that does not matter. `cluster` is a metadata
    field: items that share its value may resemble each other. `flips` asks for so many of the items that one side has
    right and the other wrong, with both answers.

    `results` is an open store, or one for each run; else the store of `spec`, of `project` or of the current folder is
    opened. Raises SpecError if there is nothing to compare.
    """
    if not runs:
        raise SpecError("name a run to compare in, or two runs: `themis runs` lists them")
    options: dict[str, Any] = {
        "margin": margin, "cluster": cluster, "correction": correction, "unpaired": unpaired, "flips": flips,
    }  # fmt: skip
    wanted = [metric] if isinstance(metric, str) else list(metric)
    names = [each.run if isinstance(each, Side) else each for each in runs]
    with ExitStack() as stack:
        if results is None:
            stores = stack.enter_context(opened(names, _path(spec), _path(project)))
        else:
            stores = [results] * len(runs) if isinstance(results, Results) else list(results)
        sides, collected = read_sides(runs, stores, wanted, DIGITS if cluster is None else WHOLE)
        return compare_chosen(choose(sides, collected, by=by, only=only, baseline=baseline), **options)


def _path(name: str | Path | None) -> Path | None:
    return None if name is None else Path(name)


def compare_chosen(
    chosen: Chosen,
    *,
    margin: float | None = None,
    cluster: str | None = None,
    correction: Correction = "holm",
    unpaired: bool = False,
    flips: int = 0,
) -> Comparison:
    """Compare what was chosen and read."""
    if margin is not None and not 0 < margin < inf:
        raise SpecError(
            f"the margin is {margin:g}: it is the difference that does not matter, and a number greater than 0"
        )
    if unpaired and cluster is not None:
        raise SpecError("clusters are for paired comparisons: leave out one of cluster and unpaired")
    (first, second), *_ = chosen.pairs
    metrics = [key for key in second[1].cells if all(key in each[1].cells for pair in chosen.pairs for each in pair)]
    if not metrics:
        raise SpecError("the runs have no score and metric of one name: choose others, or rename one")
    found, tests = [], []
    for key in metrics:
        check_alike(chosen.pairs, key)
        for one, other in chosen.pairs:
            pairs = pair(one, other, key, chosen.by)
            test = _test(one, other, pairs, key, cluster, unpaired)
            tests.append(test)
            found.append(_described(one, other, key, pairs, test, margin, unpaired))
    _decide(found, tests, margin, correction)
    made = Comparison(found, chosen.sides, chosen.by, chosen.baseline, margin, correction, cluster, unpaired)
    runs = _unfinished(chosen)
    made.unfinished = {run_id: run.status for run_id, run in runs.items()}
    made.missing = {run_id: missing for run_id, run in runs.items() if (missing := missing_of(run))}
    made.denominators = denominators_of(chosen.pairs, metrics)
    made.left_out = chosen.left_out
    if len({(one[1].run.run_id, other[1].run.run_id) for one, other in chosen.pairs}) == 1:
        made.differs = differences(first, second, chosen.by)
    if len(chosen.pairs) == 1:
        made.flips = flips_between(first, second, metrics[0], chosen.by, flips)
    return made


def _unfinished(chosen: Chosen) -> dict[str, RunRecord]:
    """Runs that are not completed."""
    runs = (side[1].run for each in chosen.pairs for side in each)
    return {run.run_id: run for run in runs if run.status != "completed"}


def missing_of(run: RunRecord) -> int:
    """Trials of a run that have no outcome yet; 0 if that is not known, as of a file."""
    return max(int(run.manifest.get("trials", run.trials)) - run.trials, 0)


def _test(one: Of, other: Of, pairs: Pairs, key: MetricKey, cluster: str | None, unpaired: bool) -> Procedure:
    clusters = None if cluster is None else partial(clusters_of, one=one[1], other=other[1], field_name=cluster)
    component = _component(one, other, key)
    return compared(pairs, component, clusters, unpaired=unpaired, metric=key[1], span=other[1].span(key))


def tested(one: Of, other: Of, key: MetricKey, by: By) -> Procedure:
    """The procedure alone of two sides."""
    return _test(one, other, pair(one, other, key, by), key, None, unpaired=False)


def _component(one: Of, other: Of, key: MetricKey) -> Any:
    """The metric, if its number is not the mean of its scores. Raises SpecError if both sides are files of such."""
    for _, run in (other, one):
        for (_, *names), component in run.aggregates.items():
            if tuple(names) == key:
                return component
    scorers = other[1].run.manifest["scorers"]
    if any((each["score"], each["metric"]) == key and not each["aggregates_mean"] for each in scorers):
        raise SpecError(f"what {key[1]} makes of its scores is not in a file: compare it with a stored run")
    return None


def _described(
    one: Of, other: Of, key: MetricKey, pairs: Pairs, test: Procedure,
    margin: float | None, unpaired: bool,
) -> Pair:  # fmt: skip
    better_up = other[1].higher_is_better(key)
    low, high = test.interval()
    low_90, high_90 = test.interval(0.9)
    values = numbers_of(pairs, _component(one, other, key), unpaired=unpaired, metric=key[1])
    won, lost = (pairs.tally.won, pairs.tally.lost) if better_up else (pairs.tally.lost, pairs.tally.won)
    nothing = not test.n
    needed = None if nothing else items_to_decide(test)
    if margin is not None and not nothing and abs(test.difference) < margin:
        needed = items_to_equal(test, margin) if needed is None else min(needed, items_to_equal(test, margin) or needed)
    return Pair(
        one[0].label, other[0].label, *key, *values, None if nothing else test.difference, low, high, low_90, high_90,
        test.p_value, test.p_value, None if margin is None else test.p_equivalent(margin),
        test.n, test.units, test.method, better_up, "inconclusive",
        None if nothing else smallest_difference(test), needed,
        won, lost,
        pairs.ledgers[0].to_dict(), pairs.ledgers[1].to_dict(), *pairs.noise,
        pairs.scores / max(pairs.tally.n, 1), pairs.unmatched, test.no_interval,
    )  # fmt: skip


def _decide(found: Sequence[Pair], tests: Sequence[Procedure], margin: float | None, correction: Correction) -> None:
    """Correct the p-values of all that was compared together, and say what they say."""
    for each, p in zip(found, corrected([test.p_value for test in tests], correction), strict=True):
        each.p_corrected = p
    if margin is not None:
        raw = [test.p_equivalent(margin) for test in tests]
        for each, p in zip(found, corrected(raw, correction), strict=True):
            each.p_equivalent = p
    for each in found:
        each.verdict = _verdict(each)


def _verdict(each: Pair) -> Verdict:
    if each.difference is None:
        return "inconclusive"
    if each.p_equivalent is not None and each.p_equivalent < ALPHA:
        return "equivalent"
    if each.p_corrected < ALPHA:
        return "better" if (each.difference > 0) == each.higher_is_better else "worse"
    return "inconclusive"
