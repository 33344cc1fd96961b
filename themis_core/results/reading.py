"""An open store for reading: runs, results, trials with their whole timeline."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from themis_core.components import Judge, Metric, StorageBackend
from themis_core.errors import SpecError, StorageError
from themis_core.plugins import Plugins, calling, in_force
from themis_core.records import (
    BatchRecord,
    GenerationRecorded,
    Item,
    OutcomeCount,
    RunCost,
    RunRecord,
    ScoreRow,
    TrialRow,
)
from themis_core.results.frames import frame
from themis_core.results.groups import Grouping, checked_repeats, grouped
from themis_core.results.parts import PartRow, parts_of
from themis_core.results.row import GroupRow
from themis_core.results.selecting import ItemMean, selected, worst_items
from themis_core.results.summary import RunResult, summarise
from themis_core.specs import ExecutionPolicySpec
from themis_wording import counted

__all__ = ["Results", "aggregates_of"]

log = logging.getLogger("themis")


LATEST = "latest"
_OF_A_MANIFEST = frozenset({"dimensions", "scorers", "spec_digest", "thresholds", "trials"})
"""What a result is made from."""


class Results:
    """A store opened for reading, as a context manager."""

    def __init__(
        self,
        storage: StorageBackend,
        project_dir: Path,
        plugins: Plugins | None = None,
        policy: ExecutionPolicySpec | None = None,
    ) -> None:
        """`policy` has the deadlines of aggregates."""
        self.policy = policy or ExecutionPolicySpec()
        self.project_dir = project_dir
        self._store = storage.open(project_dir, mode="read")
        self.plugins = plugins or Plugins()
        self.location = storage.location(project_dir)

    def __enter__(self) -> Results:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._store.close()

    def runs(self) -> Iterator[RunRecord]:
        """All runs, latest first."""
        return map(self._seen, self._store.runs())

    def open_batches(self, run_id: str | None = None) -> list[BatchRecord]:
        """The batches that are at their providers, of one run or of all; the oldest first."""
        return [each for each in self._store.open_batches() if run_id in (None, each.run_id)]

    def run(self, run_id: str) -> RunRecord:
        """One run by its id or the beginning of it; `latest` is the one whose last execution began last.

        Raises SpecError if there is none, or more than one.
        """
        if (exact := self._store.run(run_id)) is not None:
            return self._seen(exact)
        if run_id == LATEST and (last := next(self._store.runs(), None)) is not None:
            return self._seen(last)
        found = [run for run in self._store.runs() if run.run_id.startswith(run_id)]
        if len(found) == 1:
            return self._seen(found[0])
        listed = ", ".join(run.run_id for run in found[:5]) if found else "`themis runs` lists what there is"
        raise SpecError(f"{'more than one run begins' if found else 'no run begins'} with {run_id!r}: {listed}")

    def _seen(self, run: RunRecord) -> RunRecord:
        """Tell a run that goes on from one whose process is gone: no event could say that."""
        if run.in_parts and run.status != "running" and self._store.is_held(run.run_id):
            return replace(run, status="running", finished_at=None)  # some part goes on, whatever became of others
        if run.status != "running" or self._store.is_held(run.run_id):
            return run
        latest = {each.part: each.status for each in self._store.executions(run.run_id)}
        if run.in_parts and "running" not in latest.values():
            return replace(run, status="unfinished")  # whoever was at work ended well, and others have still to begin
        return replace(run, status="died")

    def parts(self, run_id: str, *, count: bool = True) -> list[PartRow]:
        """How far each part of a run is, and each of its workers, until its result is made; none if it has no parts.

        Without `count`, what is stored of each is not counted, which takes a look at each stored trial.
        """
        return parts_of(self._store, self.run(run_id).run_id, count=count)

    def result(self, run_id: str) -> RunResult:
        """What a run gave; the counts are those of its last execution."""
        run = self._whole(run_id)
        with in_force(self.policy):
            aggregates = aggregates_of(run.manifest, self.plugins)
            result = summarise(
                self._store, run, aggregates, counts=run.counts, status=run.status, storage=self.location
            )
        open_ones = self.open_batches(run.run_id)
        if not open_ones or run.status == "running":
            return result
        requests = counted(sum(len(each.keys) for each in open_ones), "request")
        told = (
            f"{requests} are in batches since {open_ones[0].at[:16].replace('T', ' ')} UTC: `themis run` collects them"
        )
        return replace(result, note=told)

    def _whole(self, run_id: str) -> RunRecord:
        run = self.run(run_id)
        if lacking := _OF_A_MANIFEST - run.manifest.keys():
            raise StorageError(
                f"the manifest of run {run.run_id} lacks {', '.join(sorted(lacking))}, so the store is damaged: "
                "run `themis storage verify`, which says where"
            )
        return run

    def groups(
        self, run_id: str, by: Sequence[str] = (), *, repeats: str | None = None, totals: bool = False
    ) -> list[GroupRow]:
        """The numbers of a run's trials by what they have in common, one row per group, score and metric.

        `by` names `slice`, `model`, `prompt`, `family`, `params`, `params.temperature`, `dimensions.subject`,
        `metadata.category`, `sample`; without any, a row is of all trials. `repeats` says what the samples of one item
        make, such as `pass@3`; by default their mean. With `totals`, rows of all trials follow, for each model if `by`
        has `model` and more. Raises SpecError for a name that the run does not know.
        """
        run = self._whole(run_id)
        names = tuple(dict.fromkeys(by))
        ways = [Grouping(names, repeats=checked_repeats(repeats))]
        if totals and names:
            ways.append(replace(ways[0], by=("model",) if "model" in names and len(names) > 1 else ()))
        with in_force(self.policy):
            tables = grouped(self._store, run, aggregates_of(run.manifest, self.plugins), ways)
        return [row for table in tables for row in table]

    def cost(self, run_id: str) -> RunCost:
        """What a run's calls cost, over all its executions."""
        return self._store.cost(run_id)

    def trials(
        self,
        run_id: str,
        prefix: str | None = None,
        *,
        outcome: str | None = None,
        where: Mapping[str, str] | None = None,
    ) -> Iterator[TrialRow]:
        """The finished trials of a run as a stream; with `prefix`, those whose id begins with it.

        With `outcome`, those that ended so; with `where`, those with these values of what `groups` groups by, such as
        `{"metadata.category": "sums"}`.
        """
        return selected(self._store, self.run(run_id), prefix, outcome, where or {})

    def worst_items(
        self, run_id: str, most: int = 10, *, where: Mapping[str, str] | None = None, metric: str | None = None
    ) -> list[ItemMean]:
        """The items with the worst means, worst first, at most so many of each score and metric.

        `where` as for `trials`; `metric` is the name of a metric or a score.
        """
        return worst_items(self._store, self._whole(run_id), most, where or {}, metric)

    def score_rows(self, run_id: str) -> Iterator[ScoreRow]:
        """The scores of a run as a stream, one per trial, score and metric."""
        return self._store.score_rows(self.run(run_id).run_id)

    def to_pandas(self, run_id: str) -> Any:
        """The scores of a run as a `pandas.DataFrame`, a row each, all in memory.

        Beside the columns of `ScoreRow` there are `extracted`, what the parse found, and a column for each label that
        results are grouped by: `dimensions.subject`, `metadata.category`, `params.temperature`. A label that is not
        always text, or always a number, is written as JSON. Raises SpecError if pandas is not installed.
        """
        return frame("pandas", self._store, self.run(run_id))

    def to_polars(self, run_id: str) -> Any:
        """The same as a `polars.DataFrame`."""
        return frame("polars", self._store, self.run(run_id))

    def to_arrow(self, run_id: str) -> Any:
        """The same as a `pyarrow.Table`."""
        return frame("pyarrow", self._store, self.run(run_id))

    def _repr_html_(self) -> str:
        """The runs, latest first, as a notebook shows them."""
        from themis_output import html_table  # with click, which a run does not need

        rows = [
            (run.run_id, run.status, run.started_at[:19].replace("T", " "), run.trials, run.failed)
            for run in self.runs()
        ]
        return html_table(("run", "status", "started (UTC)", "trials", "failed"), rows, above=self.location)

    def outcomes(self, run_id: str) -> Sequence[OutcomeCount]:
        """How the finished trials of a run ended, counted by slice, model, variant, params, outcome and error code."""
        return self._store.outcomes(self.run(run_id).run_id)

    def items(self, digests: Sequence[str]) -> dict[str, Item]:
        """The stored items among these digests."""
        return self._store.items(digests)

    def generations(self, keys: Sequence[str]) -> Iterator[GenerationRecorded]:
        """The stored requests with their generations, in the order of the keys."""
        return self._store.generation_records(keys)

    def aggregates(self, run_id: str) -> dict[tuple[str, str, str], Metric | Judge]:
        """The metric or judge of each (slice id, score, metric) of a run whose number is not the mean of its scores."""
        return aggregates_of(self.run(run_id).manifest, self.plugins)

    def trial(self, run_id: str, prefix: str, slice_id: str | None = None) -> dict[str, Any]:
        """Everything stored of one trial: `trial`, `item`, `turns`, `scores`, each score with its `judged` replies.

        Slices that share their items may have trials of the same id. Raises SpecError if no trial of the run, or more
        than one, begins with `prefix`.
        """
        run = self.run(run_id)
        found = [row for row in self._store.trial_rows(run.run_id, prefix) if slice_id in (None, row.slice_id)]
        if len(found) != 1:
            listed = ", ".join(f"{each.trial_id[:12]} ({each.slice_id})" for each in found[:5])
            raise SpecError(
                f"{len(found)} trials of {run.run_id} begin with {prefix!r}{': ' + listed if listed else ''}"
            )
        row = found[0]
        scores = []
        for entry in self._store.score_entries(run.run_id, row.slice_id, row.trial_id):
            judged = [asdict(each) for each in self._store.generation_records(entry.judged_by)]
            scores.append({**asdict(entry), "judged": judged})
        item = self._store.items([row.item_digest]).get(row.item_digest)
        return {
            "trial": asdict(row),
            "item": asdict(item) if item else None,
            "turns": [asdict(each) for each in self._store.generation_records(row.generation_keys)],
            "scores": scores,
        }


def aggregates_of(manifest: Mapping[str, Any], plugins: Plugins) -> dict[tuple[str, str, str], Metric | Judge]:
    """The components of those scores whose aggregate is not the mean; only their plugins are imported."""
    found: dict[tuple[str, str, str], Metric | Judge] = {}
    made_by = {each["namespace"]: each for each in manifest.get("plugins", [])}
    for scorer in manifest["scorers"]:
        if not scorer["aggregates_mean"]:
            namespace = scorer["component"].partition("/")[0]
            then = made_by.get(namespace, {})
            if "path" in then and namespace not in plugins.namespaces:
                raise SpecError(
                    f"what {scorer['component']} makes of its scores is in the loose file {then['path']}, which only a "
                    "spec or a project names: name that one (`--spec`, `--project`)"
                )
            _, cls = plugins.resolve(scorer["kind"], scorer["component"])
            if then.get("sha256") != plugins.loose_content(namespace):
                log.warning("%s was edited since the run: its number is the one that it makes now", scorer["component"])
            with calling(scorer["component"], "its config"):
                component = cls.model_validate(scorer["config"])
            assert isinstance(component, Metric | Judge)
            found[scorer["slice_id"], scorer["score"], scorer["metric"]] = component
    return found
