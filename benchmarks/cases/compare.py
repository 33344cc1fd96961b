"""A million stored scores, compared: two models of one run, each item of both, on SQLite.

python -m benchmarks.cases.compare fill TRIALS FOLDER
python -m benchmarks.cases.compare compare TRIALS FOLDER
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.cases.queries import MODELS, trial
from benchmarks.stores import GROUP
from benchmarks.table import Row
from themis_core import Event, ProjectSpec, StorageConfig, open_results
from themis_core.testing.events import item_recorded, run_finished, run_started

RUN = "my-run"
MANIFEST = {
    "themis": "0", "spec_digest": "0", "trials": 0, "thresholds": [], "dimensions": {}, "plugins": [], "datasets": [],
    "benchmark": {"benchmark_id": "b", "models": [{"model_id": model} for model in MODELS]},
    "scorers": [
        {"slice_id": "test", "score": "accuracy", "metric": "text/numeric_match", "kind": "metric",
         "component": "text/numeric_match", "version": 1, "config": {}, "aggregates_mean": True, "lowest": 0.0,
         "highest": 1.0, "higher_is_better": True}
    ],
}  # fmt: skip


def rows(bench: Bench) -> Iterator[Row]:
    for count in (100_000, 1_000_000):
        trials, folder = bench.count(count), str(bench.folder / f"compare-{count}")
        bench.told(__name__, "fill", str(trials), folder)
        took = bench.told(__name__, "compare", str(trials), folder)
        yield Row(f"{count:,} scores of two models, compared: s", took["compare"])
        yield Row("– peak: MB", took["peak_mb"])


def events(count: int) -> Iterator[Event]:
    yield run_started(RUN, manifest=MANIFEST)
    for number in range(count // 2):
        yield item_recorded(str(number), text=f"Number {number}?")
        for model in MODELS:
            yield from trial(RUN, model, number)
    yield run_finished(RUN)


def fill(count: int, folder: Path) -> dict[str, float]:
    from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

    store = SqliteBlobStorageSpec(root_dir=str(folder)).open(Path())
    left = events(count)
    with store.lock_run(RUN):
        while batch := list(islice(left, 10 * GROUP)):
            store.append(batch)
    store.close()
    return {}


def compare(count: int, folder: Path) -> dict[str, float]:
    import themis_plugin_stats

    project = ProjectSpec(storage=StorageConfig(backend="sqlite", root_dir=str(folder)))
    begin = time.perf_counter()
    with open_results(project=project) as results:
        found = themis_plugin_stats.compare(RUN, results=results)
    took = time.perf_counter() - begin
    assert found.pairs[0].n >= count // 2 - count // 100 - 1
    return {"compare": took, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    task, trials, place = sys.argv[1:]
    print(json.dumps((fill if task == "fill" else compare)(int(trials), Path(place))))
