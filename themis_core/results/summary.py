"""From the stored trials and scores of a run to its result: one row per number, each with its ledger.

The store adds means up; metrics that make a number of all their scores read streams, one group at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

from themis_core.components import Store
from themis_core.errors import StorageError
from themis_core.records import ERROR_REMEDIES, RunRecord, ScoreEnds, ScorePlace, ScoreRow
from themis_core.results.groups import Aggregates
from themis_core.results.manifests import Arm, Place, not_planned, planned_of, scales_of
from themis_core.results.nested import named_means
from themis_core.results.row import GroupRow, ResultRow
from themis_core.results.tally import Numbers, Scale, Tally
from themis_core.results.thresholds import Facts, judge_all, tolerated
from themis_core.results.verdicts import mostly_faulty, nothing_scored, only_absent, warnings_of
from themis_core.specs import ThresholdSpec
from themis_wording import counted

__all__ = ["RunResult", "summarise"]

WAITING = 75
"""Exit code of a run that left batches for a later one: EX_TEMPFAIL of sysexits.h, "try again later"."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run gave."""

    run_id: str
    spec_digest: str
    status: str
    """`completed`, `failed` (some trials have no answer, or no verdict), `interrupted`, `stopped` (budget, quota),
    `waiting` (for batches that a later run collects), `running`, or `died` (its process ended without a word). Of a
    shard: `unfinished` if it did its part, and the run is not whole or others are at work. So is a run on whose parts
    nobody is at work, if none of them died."""
    trials: int
    """Planned."""
    generated: int
    """Engine calls of the execution that is reported, the last one, that gave an answer."""
    reused: int
    """Trials of that execution whose answer was stored already."""
    failed: int
    cost: float | None
    """Of the run's calls whose cost is known, over all its executions; None if there is none with a price."""
    unknown_cost_calls: int
    """Calls whose cost isn't known, in no `cost`."""
    cost_at_most: float | None
    """The most that all calls can have cost; None if no price is given, or not for every call."""
    ledger: dict[str, Any]
    scores: list[ResultRow]
    thresholds: list[dict[str, Any]]
    """Each as the spec has it, with `met`; `judged`, false if scores are missing or the run is unfinished, and `why`;
    how many `rows` were judged, and the `worst` of them; and the names and `value` of the rows that miss it (`missed`)
    or can't be judged (`unjudged`, with their `why`)."""
    storage: str
    conclusions: list[dict[str, Any]] = field(default_factory=list)
    """What the spec's conclusions found when the run was over: each with the name of its component (`conclusion`),
    `text`, `met` (null if nothing was wanted) and `details`."""
    note: str = ""
    errors: dict[str, str] = field(default_factory=dict)
    """Error code: one message, as an example."""
    remedies: dict[str, str] = field(default_factory=dict)
    """Error code: what to do about it. All codes of failed trials."""
    warnings: list[str] = field(default_factory=list)
    """What must not be overlooked, a line each: scores that are missing by a component's fault, with count and example;
    rows in which nothing could be scored, with the reasons; what engines warn of, by all executions of the run."""
    aggregates: list[GroupRow] = field(default_factory=list)
    """The named means of the spec, in its order."""
    judged: int = 0
    """Those of the calls `generated` that judging models answered."""
    simulated: int = 0
    """Those of them that models answered which play users."""
    tolerated: bool = False
    """Whether trials failed, but no more than thresholds on `failed` accept; nothing else is amiss in the run then."""
    part: str | None = None
    """The shard whose execution is reported, such as `3/16`, if it was not the last: it has counts and no scores."""

    @property
    def exit_code(self) -> int:
        """0; 1 a threshold or a conclusion is not met; 5 trials failed, a score has no value or lacks half of its items
        by a fault, or a parse found hardly anything; 6 budget or quota; 75 batches are left for a later run; 130
        interrupted. Of a shard that was not the last one: 0 if its part is whole."""
        by_status = {"interrupted": 130, "stopped": 6, "failed": 5, "waiting": WAITING}
        if self.status in by_status and not self.tolerated:
            return by_status[self.status]
        if self.part is not None:
            return 0
        nothing = self.ledger["absent"] == self.trials or only_absent(self.scores)
        no_number = any(
            nothing_scored(row) or mostly_faulty(row) or row.too_unparsed or (row.value is None and row.failed)
            for row in self.scores
        )
        if self.ledger["unfinished"] or nothing or no_number:
            return 5
        missed = any(each["met"] is False for each in (*self.thresholds, *self.conclusions))
        return 1 if missed else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `themis run --format json` prints it, `exit_code` included."""
        return {**asdict(self), "exit_code": self.exit_code}

    def table(self) -> str:
        """The scores as a plain text table; what is the same in all rows is said once, above it."""
        from themis_display import as_text  # with click, which a run does not need

        return as_text(self.scores)

    def _repr_html_(self) -> str:
        """Scores with what became of the trials, aggregates, thresholds and conclusions, as a notebook shows them."""
        from themis_display import conclusion_told, scores_told
        from themis_output import html_line, html_table

        above, header, cells = scores_told(self.scores)
        ends = ", ".join(f"{count} {name}" for name, count in self.ledger.items() if isinstance(count, int) and count)
        shown = [html_table(header, cells, above="; ".join([f"{self.run_id}: {self.status}; {ends}", *above]))]
        for name, rows in groupby(self.aggregates, lambda row: row.aggregate):
            means = list(rows)
            above, header, cells = scores_told(means)
            shown.append(html_table(header, cells, above="; ".join([f"{name}: {means[0].weighed()}", *above])))
        if missed := sum(not each["met"] for each in self.thresholds):
            shown.append(html_line(f"NOT MET: {missed} of {counted(len(self.thresholds), 'threshold')}"))
        elif self.thresholds:
            shown.append(html_line(f"met: {counted(len(self.thresholds), 'threshold')}"))
        shown += [html_line(conclusion_told(each)) for each in self.conclusions]
        return "".join(shown)


def summarise(
    store: Store,
    run: RunRecord,
    aggregates: Aggregates,
    *,
    counts: Mapping[str, Any],
    status: str,
    storage: str,
    note: str = "",
) -> RunResult:
    """Read a run's trials and scores and make its result. `counts` are those of the execution that is reported."""
    manifest = run.manifest
    outcomes: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    groups: dict[Arm, Counter[str]] = {}
    ends = store.outcomes(run.run_id)
    for each in ends:
        outcomes[each.outcome] += each.count
        if each.error_code:
            codes[each.error_code] += each.count
        group = groups.setdefault((each.slice_id, each.model_id, each.prompt_variant_id, each.params), Counter())
        group[each.outcome] += each.count
    ledger_of_scores = _ScoreLedger()
    tallies = (
        _streamed(store, run.run_id, aggregates, manifest, ledger_of_scores)
        if aggregates
        else _added_up(store, run.run_id, groups, manifest, ledger_of_scores)
    )
    found = {_key(row): row for row in _rows(tallies, groups, manifest)}
    rows = [
        found.get((group[0], group[1], group[2], group[3], scorer["score"], scorer["metric"]))
        or _nothing(group, scorer, groups[group], manifest)
        for group in groups
        for scorer in manifest["scorers"]
        if scorer["slice_id"] == group[0]
    ]
    cost = store.cost(run.run_id)
    planned = manifest["trials"]
    concluded = counts.get("conclusions", [])
    warnings = [*warnings_of(rows, counts), *(each["warning"] for each in concluded if "warning" in each)]
    if outcomes["absent"] == planned:
        warnings.append("all answers are absent, so there is no number: is that what the recording should be?")
    unfinished = planned - outcomes.total()
    means = named_means(store, run, aggregates)
    facts = Facts(rows, unfinished, ends, cost, lambda: store.latencies(run.run_id), means)
    thresholds = judge_all([ThresholdSpec.model_validate(each) for each in manifest["thresholds"]], facts)
    ledger = {
        "planned": planned,
        "unfinished": unfinished,
        **{name: outcomes[name] for name in ("answered", "refused", "truncated", "empty", "absent", "failed")},
        "failures": dict(sorted(codes.items())),
        **ledger_of_scores.plain(),
    }
    return RunResult(
        run.run_id, manifest["spec_digest"], status, planned, counts.get("generated", 0), counts.get("reused", 0),
        outcomes["failed"], cost.known, cost.unknown_calls, cost.at_most, ledger, rows, thresholds,
        storage, concluded, note, counts.get("errors", {}),
        {code: ERROR_REMEDIES.get(code, "") for code in sorted(codes)}, warnings,
        means, counts.get("judged", 0), counts.get("simulated", 0),
        status == "failed" and tolerated(thresholds, facts),
    )  # fmt: skip


class _ScoreLedger:
    """How extractions and scores ended, over all groups."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str | None, str | None, str], int] = {}
        """How many rows ended alike, by slice, reader, parse, extraction (None if there is none) and score."""

    def add(self, row: ScoreRow) -> None:
        score = None if row.value is not None else row.reason or "?"
        self._add((row.slice_id, row.score, row.metric, row.parse), row.parse_reason, row.parsed, score, 1)

    def add_end(self, end: ScoreEnds) -> None:
        self._add(
            (end.slice_id, end.score, end.metric, end.parse), end.parse_reason, end.parsed, end.reason, end.scores
        )

    def _add(
        self,
        reader: tuple[str, str, str, str | None],
        parse_reason: str | None,
        parsed: bool | None,
        reason: str | None,
        count: int,
    ) -> None:
        slice_id, score, metric, parse = reader
        extraction = parse_reason or ("parsed" if parsed else None)
        end = (slice_id, f"{score}/{metric}", parse, extraction, reason or "scored")
        self._counts[end] = self._counts.get(end, 0) + count

    def plain(self) -> dict[str, Any]:
        parses: dict[str, Counter[str]] = {}
        scores: dict[str, Counter[str]] = {}
        first: dict[tuple[str, str], str] = {}
        for (slice_id, reader, parse, extraction, score), count in self._counts.items():
            # Without an extraction there was nothing to read, or an extractor failed. Several metrics may read one
            # parse: its extractions are counted with the first of them only.
            if parse and extraction and first.setdefault((slice_id, parse), reader) == reader:
                parses.setdefault(parse, Counter())[extraction] += count
            scores.setdefault(reader, Counter())[score] += count
        return {
            "extractions": {name: _split(counts, "parsed", "unparsed") for name, counts in parses.items()},
            "scores": {name: _split(counts, "scored", "unscored") for name, counts in scores.items()},
        }


def _split(counts: Counter[str], good: str, bad: str) -> dict[str, Any]:
    return {good: counts[good], bad: {name: counts[name] for name in sorted(counts) if name != good}}


def _streamed(
    store: Store,
    run_id: str,
    aggregates: Aggregates,
    manifest: Mapping[str, Any],
    ledger: _ScoreLedger,
) -> Iterator[tuple[ScorePlace, Tally]]:
    """The scores of each place, one group in memory at a time."""
    by = attrgetter("slice_id", "model_id", "prompt_variant_id", "params", "score", "metric")
    scales = scales_of(manifest)
    for key, rows in groupby(store.score_rows(run_id), by):
        place = (key[0], key[4], key[5])
        tally = Tally(_scale(scales, place), aggregates.get(place))
        for row in rows:
            ledger.add(row)
            tally.add(row, row.item_id)
        yield key, tally


def _added_up(
    store: Store,
    run_id: str,
    groups: Mapping[Arm, Counter[str]],
    manifest: Mapping[str, Any],
    ledger: _ScoreLedger,
) -> Iterator[tuple[ScorePlace, Tally]]:
    """The same where all numbers are means: then the store adds them up."""
    scales = scales_of(manifest)
    places: list[tuple[ScorePlace, Scale]] = [
        ((*arm, score, metric), scale)
        for arm in groups
        for (slice_id, score, metric), scale in scales.items()
        if slice_id == arm[0]
    ]
    tallies: dict[ScorePlace, Tally] = {}
    for end in store.score_ends(run_id):
        if end[:6] not in tallies:
            tallies[end[:6]] = Tally(_scale(scales, (end.slice_id, end.score, end.metric)))
        tallies[end[:6]].add_end(end)
        ledger.add_end(end)
    cells = {place: scale.cell(number) for number, (place, scale) in enumerate(places)}
    for each in store.score_sums(run_id, cells):
        tallies[places[each.cell][0]].add_sums(each.sums)
    yield from tallies.items()


def _scale(scales: Mapping[Place, Scale], place: Place) -> Scale:
    if place not in scales:
        raise StorageError(
            f"there are scores of {'/'.join(place)}, which the run's manifest does not name, so the store is "
            "damaged: run `themis storage verify`, which says where"
        )
    return scales[place]


def _rows(
    tallies: Iterable[tuple[ScorePlace, Tally]], groups: Mapping[Arm, Counter[str]], manifest: Mapping[str, Any]
) -> Iterator[ResultRow]:
    dimensions = manifest["dimensions"]
    for key, tally in tallies:
        ended = groups.get(key[:4], Counter())
        made = tally.numbers(planned_of(key[:4], ended, manifest) - not_planned(tally.reasons, ended), key[5])
        yield _row(key, made, ended["failed"], tally, dimensions.get(key[0], {}))


def _row(key: Sequence[str], made: Numbers, failed: int, tally: Tally, dimensions: dict[str, str]) -> ResultRow:
    slice_id, model_id, variant, params, score, metric = key
    return ResultRow(
        slice_id, model_id, variant, params, score, metric, *made[:7],
        failed, tally.reasons.total(), tally.unparsed, dict(sorted(tally.reasons.items())), dimensions,
        *made[7:], tally.scale.denominator, tally.is_too_unparsed,
    )  # fmt: skip


def _key(row: ResultRow) -> tuple[str, ...]:
    return (row.slice_id, row.model_id, row.prompt_variant_id, row.params, row.score, row.metric)


def _nothing(arm: Arm, scorer: Mapping[str, Any], ended: Counter[str], manifest: Mapping[str, Any]) -> ResultRow:
    tally = Tally(Scale.of(scorer))
    made = tally.numbers(planned_of(arm, ended, manifest) - ended["absent"], scorer["metric"])
    key = (*arm, scorer["score"], scorer["metric"])
    return _row(key, made, ended["failed"], tally, manifest["dimensions"].get(arm[0], {}))
