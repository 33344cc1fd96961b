"""A million trials planned and checked: by one process, and by one of 64 shards, which keeps and renders its own items.

python -m benchmarks.cases.shard_plan SPEC [K/N]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import made
from benchmarks.bench import Bench
from benchmarks.measuring import measured, repeated
from benchmarks.table import Row

SHARD = "1/64"


def rows(bench: Bench) -> Iterator[Row]:
    place = bench.folder / "sharded"
    place.mkdir()
    made.questions(place, bench.count(1_000_000))
    spec = made.spec_file(place, made.recorded(place, 1))
    whole = repeated(lambda number: measured(("-m", __name__, str(spec))), bench.times(3))
    one = repeated(lambda number: measured(("-m", __name__, str(spec), SHARD)), bench.times(3))
    yield Row("1,000,000 trials, planned by one of 64 shards: CPU s", one.cpu_s, {"the whole": whole.cpu_s})
    yield Row("– peak MB", one.peak_mb, {"the whole": whole.peak_mb})


def plan(spec: Path, shard: str | None) -> None:
    from themis_core import Part
    from themis_core.planning import survey
    from themis_core.plugins import compose
    from themis_core.reading import load_specs

    loaded = load_specs(spec, None, (), None, (), None)
    survey(compose(loaded), loaded.place, Part.parse(shard) if shard else None).check()


if __name__ == "__main__":
    plan(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
