"""A store of 200,000 trials, read: opened, looked up, summed in SQL, streamed.

python -m benchmarks.cases.store_read fill TRIALS FOLDER
python -m benchmarks.cases.store_read read TRIALS FOLDER
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.table import Row

AT_ONCE = 256
"""Keys of a look-up, as of a run."""


def rows(bench: Bench) -> Iterator[Row]:
    count, folder = bench.count(200_000), str(bench.folder / "store-read")
    size = bench.told(__name__, "fill", str(count), folder)["bytes"]
    took = bench.told(__name__, "read", str(count), folder)
    yield Row("a store of 200,000 trials: MB", size / 1e6)
    yield Row("– opened: s", took["open"])
    yield Row("– all answers looked up, 256 at a time: s", took["look up"])
    yield Row("– one grouped mean of its scores, in SQL: s", took["aggregate"])
    yield Row("– all its scores, streamed: s", took["stream"])
    yield Row("– peak of all that: MB", took["peak_mb"])


def fill(count: int, folder: Path) -> dict[str, float]:
    from benchmarks.stores import made_trials
    from themis_core.testing.events import run_finished, run_started
    from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

    store = SqliteBlobStorageSpec(root_dir=str(folder)).open(folder)
    store.append([run_started()])
    for batch in made_trials(count):
        store.append(batch)
    store.append([run_finished()])
    store.close()
    return {"bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())}


def read(count: int, folder: Path) -> dict[str, float]:
    """Seconds of each way to read, and the peak of memory (MB)."""
    from themis_core.testing.events import key_of
    from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

    took: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        found = work()
        took[name] = time.perf_counter() - begin
        return found

    def look_up() -> int:
        starts = range(0, count, AT_ONCE)
        keys = ([key_of(str(n)) for n in range(start, min(start + AT_ONCE, count))] for start in starts)
        return sum(len(store.stored_generations(each)) for each in keys)

    store = timed("open", lambda: SqliteBlobStorageSpec(root_dir=str(folder)).open(folder, mode="read"))
    found = timed("look up", look_up)
    ((*_, counted, _),) = timed(
        "aggregate",
        lambda: store._database.rows(
            "SELECT slice_id, model_id, score, metric, count(*), avg(value) FROM v_scores"
            " WHERE run_id = 'run' GROUP BY slice_id, model_id, score, metric"
        ),
    )
    streamed = timed("stream", lambda: sum(1 for _ in store.score_rows("run")))
    store.close()
    if {found, counted, streamed} != {count}:
        raise RuntimeError(f"{found} answers, {counted} and {streamed} scores of {count} were found")
    return {**took, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    _, what, trials, place = sys.argv
    print(json.dumps({"fill": fill, "read": read}[what](int(trials), Path(place))))
