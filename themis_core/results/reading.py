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
from themis_core.records import GenerationRecorded, Item, OutcomeCount, RunCost, RunRecord, ScoreRow, TrialRow
from themis_core.results.summary import RunResult, summarise
from themis_core.specs import ExecutionPolicySpec

__all__ = ["Results", "aggregates_of"]

log = logging.getLogger("themis")


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

    def run(self, run_id: str) -> RunRecord:
        """One run by its id or the beginning of it. Raises SpecError if there is none, or more than one."""
        if (exact := self._store.run(run_id)) is not None:
            return self._seen(exact)
        found = [run for run in self._store.runs() if run.run_id.startswith(run_id)]
        if len(found) == 1:
            return self._seen(found[0])
        listed = ", ".join(run.run_id for run in found[:5]) if found else "`themis runs` lists what there is"
        raise SpecError(f"{'more than one run begins' if found else 'no run begins'} with {run_id!r}: {listed}")

    def _seen(self, run: RunRecord) -> RunRecord:
        """Tell a run that goes on from one whose process is gone: no event could say that."""
        if run.status != "running" or self._store.is_held(run.run_id):
            return run
        return replace(run, status="died")

    def result(self, run_id: str) -> RunResult:
        """What a run gave; the counts are those of its last execution."""
        run = self.run(run_id)
        if lacking := _OF_A_MANIFEST - run.manifest.keys():
            raise StorageError(
                f"the manifest of run {run.run_id} lacks {', '.join(sorted(lacking))}, so the store is damaged: "
                "run `themis storage verify`, which says where"
            )
        with in_force(self.policy):
            aggregates = aggregates_of(run.manifest, self.plugins)
            return summarise(
                self._store, run, aggregates, counts=run.counts, status=run.status, storage=self.location
            )  # fmt: skip

    def cost(self, run_id: str) -> RunCost:
        """What a run's calls cost, over all its executions."""
        return self._store.cost(run_id)

    def trials(self, run_id: str, prefix: str | None = None) -> Iterator[TrialRow]:
        """The finished trials of a run as a stream; with `prefix`, those whose id begins with it."""
        return self._store.trial_rows(self.run(run_id).run_id, prefix)

    def score_rows(self, run_id: str) -> Iterator[ScoreRow]:
        """The scores of a run as a stream, one per trial, score and metric."""
        return self._store.score_rows(self.run(run_id).run_id)

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
