"""Numbers of groups of trials, by anything that trials have in common.

Means are added up by the store. What is made of the samples of an item, or by a metric, takes one pass over the scores,
which the store gives item by item. So the samples, prompts and settings of one item are one cluster in each group, and
memory grows with the groups alone.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from themis_core.components import Judge, Metric, Store
from themis_core.errors import SpecError
from themis_core.records import OutcomeCount, RunRecord, ScoreCell, ScorePlace, ScoreRow
from themis_core.results.labels import Label, Labels, benchmark_of, checked, with_metadata
from themis_core.results.manifests import Arm, Place, planned_of, scales_of
from themis_core.results.row import GroupRow
from themis_core.results.tally import NOT_PLANNED, Numbers, Scale, Tally
from themis_core.specs import REPEATS, BenchmarkSpec, settings_of
from themis_intervals import Interval
from themis_plain import placed
from themis_wording import did_you_mean

__all__ = ["Aggregates", "Grouping", "check_groups", "checked_repeats", "grouped"]

log = logging.getLogger("themis")

Aggregates = Mapping[Place, Metric | Judge]
"""The components of those scores whose aggregate is not the mean."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """One way to group the scores of a run."""

    by: tuple[str, ...]
    score: str | None = None
    """Only this score, and only this `metric` of it."""
    metric: str | None = None
    repeats: str | None = None


def grouped(
    store: Store, run: RunRecord, aggregates: Aggregates, groupings: Sequence[Grouping]
) -> list[list[GroupRow]]:
    """The rows of each grouping, in the order of its labels. Raises SpecError for a name that is not known."""
    manifest = run.manifest
    outcomes = store.outcomes(run.run_id)
    _warn_of_settings(groupings, outcomes)
    tables = [_Table(each, manifest, aggregates) for each in groupings]
    is_finished = sum(each.count for each in outcomes) == manifest["trials"]
    for table in tables:
        table.count_ends(outcomes)
        if table.labels.of_rows:
            table.count_failed(store, run.run_id, any(each.outcome == "failed" for each in outcomes))
    streamed = [table for table in tables if not table.is_of_means]
    for table in tables:
        if table.is_of_means:
            table.add_up(store, run.run_id)
    if streamed:
        wants_metadata = any(table.labels.metadata for table in streamed)
        whole = any((each.repeats or "").startswith("majority") for each in groupings)
        scores = store.scores_by_item(run.run_id, whole=whole)
        for row, metadata in with_metadata(store, scores, wants_metadata):
            for table in streamed:
                table.add(row, metadata)
    return [list(table.rows(is_finished)) for table in tables]


def _warn_of_settings(groupings: Sequence[Grouping], outcomes: Sequence[OutcomeCount]) -> None:
    """Any name may be one of a setting; one that no trial has would make one group of all, and look right."""
    settings = dict.fromkeys(f"params.{name}" for each in outcomes for name in settings_of(each.params))
    asked = dict.fromkeys(name for each in groupings for name in each.by if name.startswith("params."))
    for name in asked if outcomes else ():
        if name not in settings:
            there = f"There are: {', '.join(settings)}." if settings else "Its trials have no settings."
            log.warning(
                "no trial of the run has %s, so it groups nothing. %s%s", name, there, did_you_mean(name, [*settings])
            )


@dataclass(slots=True)
class _Group:
    """The scores of one score and metric in a group."""

    labels: tuple[Label, ...]
    score: str
    metric: str
    scale: Scale
    component: Metric | Judge | None
    tally: Tally
    arms: set[Arm] = field(default_factory=set)
    alike: bool = True
    failed: int = 0


class _Table:
    """The groups of one grouping."""

    def __init__(self, grouping: Grouping, manifest: Mapping[str, Any], aggregates: Aggregates) -> None:
        self._grouping = grouping
        self.labels = Labels(checked(grouping.by, benchmark_of(manifest)), manifest)
        self._manifest = manifest
        self._aggregates = aggregates
        self._scales = scales_of(manifest)
        self._ends: dict[Arm, Counter[str]] = {}
        self._groups: dict[tuple[Any, ...], _Group] = {}
        self._item = ""
        self._of_item: tuple[Label, ...] = ()
        self._known: dict[tuple[Any, ...], _Group | None] = {}
        """What was found before for an arm, a score, a metric and what tells its rows apart."""

    def add(self, row: ScoreRow, metadata: Mapping[str, Any]) -> None:
        place: tuple[Any, ...] = row[:6]
        if self.labels.of_rows:
            if row.item_digest != self._item:  # neighbours are of one item
                self._item, self._of_item = row.item_digest, self.labels.metadata_of(metadata)
            place = (*place, row.sample_index, self._of_item)
        if place not in self._known:
            self._known[place] = self._group(row[:4], row.score, row.metric, row.sample_index, metadata)
        if (group := self._known[place]) is not None:
            group.tally.add(row, row.item_digest)

    @property
    def is_of_means(self) -> bool:
        """Whether every number is a mean of single scores: then the store adds them up."""
        of_components = any(self._is_wanted(place[1], place[2]) for place in self._aggregates)
        return not self._grouping.repeats and not of_components

    def add_up(self, store: Store, run_id: str) -> None:
        """Take the sums of a run's scores from the store."""
        by_sample, by_metadata = "sample" in self.labels.names, bool(self.labels.metadata)
        cells = self._cells()
        firsts = {cell.number: place for place, cell in reversed(cells.items())}
        found = store.score_sums(run_id, cells, by_sample=by_sample, by_metadata=by_metadata)
        for sums, metadata in with_metadata(store, iter(found), by_metadata):
            if (group := self._found(firsts[sums.cell], sums.sample_index, metadata)) is not None:
                group.tally.add_sums(sums.sums)
        ends = store.score_ends(run_id, by_sample=by_sample, by_metadata=by_metadata)
        for end, metadata in with_metadata(store, iter(ends), by_metadata):
            if (group := self._found(end[:6], end.sample_index, metadata)) is not None:
                group.tally.add_end(end)

    def _cells(self) -> dict[ScorePlace, ScoreCell]:
        """One cell for all places of one group, as far as labels of arms and scales tell them apart."""
        numbers: dict[tuple[Any, ...], int] = {}
        cells: dict[ScorePlace, ScoreCell] = {}
        for arm in self._ends:
            labels = self.labels.of(arm, 0, {})
            for (slice_id, score, metric), scale in self._scales.items():
                if slice_id == arm[0] and self._is_wanted(score, metric):
                    number = numbers.setdefault((labels, score, metric, scale), len(numbers))
                    cells[*arm, score, metric] = scale.cell(number)
        return cells

    def _found(self, place: ScorePlace, sample: int, metadata: Mapping[str, Any]) -> _Group | None:
        """The group of sums, as `add` finds that of a row."""
        known = (*place, sample, self.labels.metadata_of(metadata))
        if known not in self._known:
            self._known[known] = self._group(place[:4], place[4], place[5], sample, metadata)
        return self._known[known]

    def _is_wanted(self, score: str, metric: str) -> bool:
        return self._grouping.score in (None, score) and self._grouping.metric in (None, metric)

    def _group(self, arm: Arm, score: str, metric: str, sample: int, metadata: Mapping[str, Any]) -> _Group | None:
        """The group of a score, made if there is none; None if it is not asked for."""
        if not self._is_wanted(score, metric):
            return None
        scale = self._scales.get((arm[0], score, metric))
        if scale is None:
            return None
        component = self._aggregates.get((arm[0], score, metric))
        labels = self.labels.of(arm, sample, metadata)
        group = self._groups.get((labels, score, metric))
        if group is None:
            tally = Tally(scale, component, self._grouping.repeats)
            group = _Group(labels, score, metric, scale, component, tally)
            self._groups[labels, score, metric] = group
        elif arm not in group.arms and not self._grouping.repeats:
            group.alike = group.alike and component == group.component
        group.alike = group.alike and scale.is_like(group.scale)
        group.arms.add(arm)
        return group

    def count_ends(self, outcomes: Sequence[OutcomeCount]) -> None:
        for each in outcomes:
            arm = (each.slice_id, each.model_id, each.prompt_variant_id, each.params)
            self._ends.setdefault(arm, Counter())[each.outcome] += each.count
        if not self.labels.of_rows:
            for arm in self._ends:
                for group in self._groups_of(arm, 0, {}):
                    group.failed += self._ends[arm]["failed"]

    def count_failed(self, store: Store, run_id: str, there_are_some: bool) -> None:
        """Count those of groups that only the trials themselves tell."""
        if not there_are_some:
            return
        failed = store.trial_rows(run_id, outcome="failed")
        for row, metadata in with_metadata(store, failed, bool(self.labels.metadata)):
            arm = (row.slice_id, row.model_id, row.prompt_variant_id, row.params)
            for group in self._groups_of(arm, row.sample_index, metadata):
                group.failed += 1

    def _groups_of(self, arm: Arm, sample: int, metadata: Mapping[str, Any]) -> Iterator[_Group]:
        for slice_id, score, metric in self._scales:
            if slice_id == arm[0] and (group := self._group(arm, score, metric, sample, metadata)) is not None:
                yield group

    def rows(self, is_finished: bool) -> Iterator[GroupRow]:
        order = {place[1:]: number for number, place in reversed(list(enumerate(self._scales)))}
        for group in sorted(
            self._groups.values(),
            key=lambda each: (order[each.score, each.metric], [placed(label) for label in each.labels]),
        ):
            yield self._row(group, is_finished)

    def _row(self, group: _Group, is_finished: bool) -> GroupRow:
        tally = group.tally
        planned = self._planned(group, is_finished)
        if group.alike:
            made = tally.numbers(planned, group.metric)
        else:
            made = Numbers(None, 0, None, *Interval(missing="not_alike"), planned, None, None, None)
        return GroupRow(
            dict(zip(self.labels.names, group.labels, strict=True)), group.score, group.metric, made.value, made.n,
            tally.items, *made[2:7], group.failed, tally.reasons.total(), tally.unparsed,
            dict(sorted(tally.reasons.items())), *made[7:], group.scale.denominator, self._grouping.repeats,
        )  # fmt: skip

    def _planned(self, group: _Group, is_finished: bool) -> int | None:
        """Scores that there should be: known by arm, or by what there is once the run is finished."""
        off = sum(group.tally.reasons[reason] for reason in NOT_PLANNED)
        if not self.labels.of_rows:
            planned = 0
            for arm in group.arms:
                per = self._samples(arm) if self._grouping.repeats else 1
                planned += planned_of(arm, self._ends.get(arm, Counter()), self._manifest) // per
            return planned - off
        if not is_finished or self._grouping.repeats:
            return None
        return group.tally.read + group.tally.reasons.total() + group.failed - off

    def _samples(self, arm: Arm) -> int:
        return int(self._manifest.get("samples", {}).get(arm[0]) or 1)


def check_groups(benchmark: BenchmarkSpec, by: Sequence[str], repeats: str | None) -> None:
    """Raises SpecError for groups that results of the benchmark can't have."""
    checked(by, benchmark)
    checked_repeats(repeats)


def checked_repeats(repeats: str | None) -> str | None:
    """Raises SpecError for what is not written as `pass@3` is."""
    if repeats is not None and not re.fullmatch(REPEATS, repeats):
        raise SpecError(
            f"repeats {repeats!r}: write pass@3, pass^3, majority@3, best@3 or worst@3, or leave it out for the mean"
        )
    return repeats
