"""A million stored scores, grouped: by model, and by model and a field of the items.

python -m benchmarks.cases.groups fill SCORES FOLDER
python -m benchmarks.cases.groups read SCORES FOLDER
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.table import Row

MODELS, CATEGORIES, AT_ONCE = 4, 40, 2_000


def rows(bench: Bench) -> Iterator[Row]:
    count, folder = bench.count(1_000_000), str(bench.folder / "groups")
    bench.told(__name__, "fill", str(count), folder)
    took = bench.told(__name__, "read", str(count), folder)
    yield Row("1,000,000 scores, by model: s", took["model"])
    yield Row("– by model and category of the item: s", took["model,metadata.category"])
    yield Row("– the run's result: s", took["result"])
    yield Row("– peak of all that: MB", took["peak_mb"])


def fill(count: int, folder: Path) -> dict[str, float]:
    from themis_core.testing.events import run_finished, run_started
    from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

    store = SqliteBlobStorageSpec(root_dir=str(folder)).open(folder)
    store.append([run_started(manifest=manifest(count))])
    events = (event for number in range(count // MODELS) for event in of_item(str(number)))
    while batch := list(islice(events, AT_ONCE)):
        store.append(batch)
    store.append([run_finished()])
    store.close()
    return {}


def manifest(count: int) -> dict[str, Any]:
    fields = {"output": "output", "metadata": ["category"]}
    dataset = {"source": "files/jsonl", "dataset_id": "made.jsonl", "fields": fields}
    scorer = {"slice_id": "test", "score": "accuracy", "metric": "match", "component": "text/exact_match"}
    return {
        "benchmark": {"benchmark_id": "made", "slices": [{"slice_id": "test", "dataset": dataset}]},
        "spec_digest": "",
        "trials": count // MODELS * MODELS,
        "scorers": [{**scorer, "config": {}, "aggregates_mean": True, "lowest": 0.0, "highest": 1.0}],
        "dimensions": {},
        "thresholds": [],
    }


def of_item(name: str) -> Iterator[Any]:
    from themis_core import Item, ItemRecorded, Score
    from themis_core.testing.events import key_of, score_entry, trial_finished

    category = {"category": f"category {int(name) % CATEGORIES}"}
    yield ItemRecorded(Item(name, {"question": f"Number {name}?"}, name, category, digest=key_of(f"item {name}")))
    for model in range(MODELS):
        score = score_entry(f"{name} {model}", Score(float((int(name) * 7 + model * 3) % 5 < 3)))
        trial_id = key_of(f"trial {name} {model}")
        yield trial_finished(name, model_id=f"model-{model}", trial_id=trial_id, generation_keys=(), scores=(score,))


def read(count: int, folder: Path) -> dict[str, float]:
    """Seconds of each grouping, and the peak of memory (MB)."""
    from themis_core import Results
    from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

    took: dict[str, float] = {}
    with Results(SqliteBlobStorageSpec(root_dir=str(folder)), folder) as results:
        for by in ("model", "model,metadata.category"):
            begin = time.perf_counter()
            found = sum(row.n for row in results.groups("run", by.split(",")))
            took[by] = time.perf_counter() - begin
            if found != count // MODELS * MODELS:
                raise RuntimeError(f"{found} of {count} scores are in the groups by {by}")
        begin = time.perf_counter()
        results.result("run")
        took["result"] = time.perf_counter() - begin
    return {**took, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    _, what, scores, place = sys.argv
    print(json.dumps({"fill": fill, "read": read}[what](int(scores), Path(place))))
