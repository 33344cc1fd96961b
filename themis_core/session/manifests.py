"""What a run was made of, as it is stored with it: enough to explain every number, and no secret."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from themis_core.components import Judge
from themis_core.planning import Plan
from themis_core.plugins import LoadedDataset, calling
from themis_core.session.checks import check_found
from themis_core.session.edited import code_of
from themis_core.version import version

__all__ = ["manifest_of"]


def manifest_of(made: Plan, found: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The manifest of a plan's run. `found` is what its check found, if that was not made now: see `checks`."""
    composition = made.composition
    scorers = [
        {
            "slice_id": each.composed.spec.slice_id,
            "score": scorer.score,
            "metric": scorer.metric,
            "kind": "judge" if isinstance(scorer.scoring, Judge) else "metric",
            "component": scorer.component,
            "version": scorer.scoring.version,
            "config": scorer.scoring.model_dump(mode="json", by_alias=True),
            "aggregates_mean": scorer.scoring.aggregates_mean,
            "higher_is_better": scorer.scoring.higher_is_better,
            "lowest": scorer.scoring.lowest,
            "highest": scorer.scoring.highest,
            "denominator": spec.denominator,
            "max_unparsed": parses[spec.parse].max_unparsed if spec.parse else 1.0,
        }
        for each in made.slices
        for parses in [{parse.name: parse for parse in each.composed.spec.parses}]
        for spec in each.composed.spec.scores
        for scorer in each.scorers
        if scorer.score == spec.name
    ]
    datasets = [
        {
            "slice_id": each.composed.spec.slice_id,
            "component": each.composed.dataset.component,
            "items": each.items.count,
            "digest": each.items.digest,
            **_fingerprint(each.composed.dataset, composition.base_dir),
        }
        for each in made.slices
    ]
    return {
        "themis": version(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "spec_digest": made.spec_digest,
        "plan_digest": made.plan_digest,
        "trials": made.count(),
        "project": composition.project.canonical(),
        "benchmark": composition.benchmark.canonical(),
        "storage": composition.storage_name,
        "plugins": composition.plugins.provenance(),
        **({"prices": dict(composition.prices)} if composition.prices is not None else {}),
        "models": [model.identity() for model in composition.models()],
        "code": code_of(composition),
        "datasets": datasets,
        "scorers": scorers,
        "samples": {
            each.composed.spec.slice_id: each.composed.spec.generation.num_samples or composition.benchmark.num_samples
            for each in made.slices
            if each.composed.spec.generation is not None
        },
        "aggregates": [each.canonical() for each in composition.benchmark.aggregates],
        "dimensions": {each.composed.spec.slice_id: each.composed.spec.dimensions for each in made.slices},
        "thresholds": [each.canonical() for each in composition.benchmark.thresholds],
        **({} if made.part is None else {"by_item": made.by_item}),
        **(check_found(made) if found is None else found),
    }


def _fingerprint(dataset: LoadedDataset, base_dir: Path) -> dict[str, Any]:
    with calling(dataset.component, "fingerprint"):
        return dataset.loader.fingerprint(dataset.spec.model_copy(deep=True), base_dir)
