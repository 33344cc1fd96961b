"""Reads stored answers by another parse of their run's spec, and scores what it finds; nothing is called or stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from themis_core.components import Metric
from themis_core.errors import SpecError
from themis_core.execution import here, measuring, reading
from themis_core.plugins import Chain, Scorer, calling, compose_chain, in_force
from themis_core.records import Extraction, Generation, Item, RunRecord, Score
from themis_core.results import Results
from themis_core.specs import BenchmarkSpec, SliceSpec

__all__ = ["Reread", "rereading"]


class Reread(NamedTuple):
    """What a parse finds in an answer."""

    extraction: Extraction | None
    """None if there is nothing to read: the answer was refused or empty, or an extractor failed."""
    score: Score | None
    """Of what was found; None without a metric."""


Reader: TypeAlias = Callable[[Item, Generation], Reread]


@contextmanager
def rereading(
    results: Results, run_id: str, slice_id: str, parse: str, scored: tuple[str, str] | None = None
) -> Iterator[Reader]:
    """Give what reads answers of a slice as its parse of that name does, and scores them by `scored`, score and metric.

    What a cut-off answer may not say is not read, as in a run. Raises SpecError if the slice has no such parse, or the
    score is a judge's, which would have to ask.
    """
    run = results.run(run_id)
    with in_force(results.policy):
        chain = _chain(results, run, slice_id, parse)
        scorer = None if scored is None else _scorer(results, run, slice_id, *scored, chain)

        def read(item: Item, generation: Generation) -> Reread:
            found = here(reading(chain, generation))
            if isinstance(found, Score):
                return Reread(None, found if scorer else None)
            return Reread(found, here(measuring(scorer, item, generation, found)) if scorer else None)

        yield read


def _chain(results: Results, run: RunRecord, slice_id: str, parse: str) -> Chain:
    benchmark = BenchmarkSpec.model_validate(run.manifest["benchmark"])
    found: SliceSpec | None = next((each for each in benchmark.slices if each.slice_id == slice_id), None)
    parses = {each.name: each for each in found.parses} if found else {}
    if parse not in parses:
        known = ", ".join(parses) or "none"
        raise SpecError(f"slice {slice_id!r} of {run.run_id} has no parse {parse!r}. It has: {known}")
    return compose_chain(results.plugins, parses[parse], results.project_dir)


def _scorer(results: Results, run: RunRecord, slice_id: str, score: str, metric: str, chain: Chain) -> Scorer:
    place = (slice_id, score, metric)
    found: list[dict[str, Any]] = [
        each for each in run.manifest["scorers"] if (each["slice_id"], each["score"], each["metric"]) == place
    ]
    if not found:
        raise SpecError(f"slice {slice_id!r} of {run.run_id} has no metric {metric!r} in a score {score!r}")
    if found[0]["kind"] != "metric":
        raise SpecError(f"{score}/{metric} is a judge's, which would have to ask its models: choose a metric's score")
    name, cls = results.plugins.resolve("metric", found[0]["component"])
    with calling(name, "its config"):
        scoring = cls.model_validate(found[0]["config"])
    assert isinstance(scoring, Metric)
    return Scorer(score, metric, name, scoring, chain, None, None, "")
