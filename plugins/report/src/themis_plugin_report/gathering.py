"""What a page tells of some runs, read from their store: results, outcomes, what calls took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

import themis_core as themis
from themis_core import GroupRow, OutcomeCount, RunRecord, RunResult, SpecError, Store
from themis_labels import JudgeMeasurement, Labels, measure_run
from themis_plugin_report.ballots import Ballots, ballots
from themis_plugin_report.calls import Calls, calls_of
from themis_plugin_report.index import Index, System

__all__ = [
    "AS_USUAL",
    "Gathered",
    "Wanted",
    "check",
    "gathered",
    "named",
    "numbers_of",
    "opened",
    "runs_of",
    "with_singles",
]


MOST_FIELDS = 8
"""Of metadata, by which results are grouped unless somebody names others: each is a pass over the scores."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for beside what a page has anyway."""

    by: Sequence[str] = ()
    """What results are grouped by, instead of the dimensions and metadata that put several slices or items together."""
    labels: Labels | None = None
    """Where the labels are that people gave, if judges are to be measured by them."""
    threshold: float | None = None
    """From here on, labels and scores of judges count as 1, and as 0 below."""


AS_USUAL: Final = Wanted()


@dataclass(frozen=True, slots=True)
class Gathered:
    """Some runs of one store."""

    runs: Sequence[RunRecord]
    results: Sequence[RunResult]
    outcomes: Sequence[Sequence[OutcomeCount]]
    """Of each run."""
    calls: dict[System, Calls]
    """Of the models under test; a judging model's are of a system whose prompt is `judge of` a score."""
    groups: dict[str, list[tuple[str, GroupRow]]]
    """What is grouped by, such as `dimensions.subject`, to the numbers of its values and models, each with its run."""
    judged: dict[str, Counter[str]]
    """Judge's score, as `score/metric`, to how often each value was given."""
    ballots: dict[tuple[str, str], Ballots]
    """By score and judging model."""
    measured: list[tuple[str, JudgeMeasurement]]
    """What people's labels say of the judges of each run, if they are wanted."""
    index: Index
    whole: bool = True
    """Whether single results, calls and judges are in it, and not the numbers alone."""
    notes: Sequence[str] = ()
    """What was asked for and can't be had of these runs."""

    @property
    def title(self) -> str:
        return ", ".join(dict.fromkeys(str(each.manifest["benchmark"]["benchmark_id"]) for each in self.runs))


@contextmanager
def opened(spec: Path | None, project: Path | None) -> Iterator[tuple[themis.Results, Store]]:
    """Open the store that there is for reading: what it says of runs, and itself."""
    backend, folder = themis.find_storage(spec, project=project)
    with themis.open_results(spec, project=project) as results, closing(backend.open(folder, mode="read")) as store:
        yield results, store


def runs_of(results: themis.Results, run_ids: Sequence[str]) -> list[RunRecord]:
    """The runs that are named, each once, whatever part of its id names it; by default the latest one.

    Raises SpecError if there is no such run.
    """
    named = list(map(results.run, dict.fromkeys(run_ids))) or list(islice(results.runs(), 1))
    if not named:
        raise SpecError(f"there is no run in {results.location} yet: `themis run SPEC` makes one")
    return list({run.run_id: run for run in named}.values())


def gathered(results: themis.Results, store: Store, run_ids: Sequence[str], wanted: Wanted = AS_USUAL) -> Gathered:
    """Read what is told of these runs, by default of the latest one. The caller closes the index.

    Raises SpecError if there is no such run, or what is wanted can't be had of it.
    """
    return with_singles(numbers_of(results, store, run_ids), results, store, wanted)


def numbers_of(results: themis.Results, store: Store, run_ids: Sequence[str]) -> Gathered:
    """The numbers alone: of a run of a million trials they are read in a small part of the time."""
    runs = runs_of(results, run_ids)
    told = [results.result(run.run_id) for run in runs]
    outcomes = [store.outcomes(run.run_id) for run in runs]
    groups = {name: _grouped_by(results, runs, name) for name in _dimensions(runs)}
    return Gathered(runs, told, outcomes, {}, groups, {}, {}, [], Index(store, ()), whole=False)


def with_singles(made: Gathered, results: themis.Results, store: Store, wanted: Wanted = AS_USUAL) -> Gathered:
    """The same with single results, calls and judges, grouped by metadata too, and with what is wanted."""
    groups = {name: _grouped_by(results, made.runs, name) for name in wanted.by}
    measured = _measured(results, made.runs, wanted)
    index = Index(store, made.runs)
    judges = _judges(made.runs)
    return replace(
        made,
        calls=calls_of(store, index, made.runs, judges),
        judged=_judged(results, made.runs, judges),
        ballots=ballots(store, index, judges),
        groups=groups or {**made.groups, **_by_metadata(results, made.runs, index)},
        measured=measured,
        index=index,
        whole=True,
    )


def check(results: themis.Results, run_ids: Sequence[str], wanted: Wanted) -> None:
    """Raise SpecError if what is wanted can't be had of these runs, none of which may be named."""
    runs = runs_of(results, run_ids) if run_ids else []
    for name in wanted.by if runs else ():
        _grouped_by(results, runs, name)
    _measured(results, runs, wanted)


def _dimensions(runs: Sequence[RunRecord]) -> list[str]:
    """Dimensions that put slices together: those that every slice has with a value of its own say nothing new."""
    found = []
    for run in runs:
        slices = run.manifest["dimensions"]
        for name in dict.fromkeys(name for each in slices.values() for name in each):
            values = [each[name] for each in slices.values() if name in each]
            if 1 < len(set(values)) < len(values):
                found.append(f"dimensions.{name}")
    return list(dict.fromkeys(found))


def _by_metadata(
    results: themis.Results, runs: Sequence[RunRecord], index: Index
) -> dict[str, list[tuple[str, GroupRow]]]:
    """The numbers by those fields of the items' metadata that put items together."""
    found = {}
    for name in index.shared_fields()[:MOST_FIELDS]:
        with suppress(SpecError):  # no run of these says that its items have it
            found[f"metadata.{name}"] = _grouped_by(results, runs, f"metadata.{name}")
    return found


def _grouped_by(results: themis.Results, runs: Sequence[RunRecord], name: str) -> list[tuple[str, GroupRow]]:
    """The numbers by this name and by model. Raises SpecError if no run can be grouped by it."""
    found, wrong = [], []
    for run in runs:
        try:
            found += [(run.run_id, row) for row in results.groups(run.run_id, tuple(dict.fromkeys((name, "model"))))]
        except SpecError as error:  # another run may have it
            wrong.append(error)
    if len(wrong) == len(runs):
        raise wrong[0]
    return found


def _measured(results: themis.Results, runs: Sequence[RunRecord], wanted: Wanted) -> list[tuple[str, JudgeMeasurement]]:
    if wanted.labels is None:
        return []
    judged = [run for run in runs if _judges([run])] or runs[:1]  # without any judge, measuring says so
    return [
        (run.run_id, each)
        for run in judged
        for each in measure_run(results, run.run_id, wanted.labels, threshold=wanted.threshold)
    ]


def named(name: str, among: Iterable[str]) -> str:
    """What is grouped by, as readers are told it: `subject` of `dimensions.subject`, unless `among` has it twice."""
    short = _bare(name)
    return name if sum(_bare(each) == short for each in among) > 1 else short


def _bare(name: str) -> str:
    return name.partition(".")[2] if name.startswith(("dimensions.", "metadata.")) else name


def _judges(runs: Sequence[RunRecord]) -> list[str]:
    """The scores that a judge gave, as `score/metric`."""
    scorers = [each for run in runs for each in run.manifest["scorers"] if each["kind"] == "judge"]
    return list(dict.fromkeys(f"{each['score']}/{each['metric']}" for each in scorers))


def _judged(results: themis.Results, runs: Sequence[RunRecord], judges: Sequence[str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {name: Counter() for name in judges}
    for run in runs if judges else ():
        for row in results.score_rows(run.run_id):
            if (name := f"{row.score}/{row.metric}") in found:
                found[name][row.reason or "?" if row.value is None else f"{row.value:.4g}"] += 1
    return found
