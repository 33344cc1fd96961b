"""A long run: memory and file descriptors stay what they were after the first trials."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lab.benchmark import OBSERVER, Benchmark
from lab.workers import Worker, Workers

from themis_core import open_results

Figures = Callable[..., None]
SOAK = int(os.environ.get("THEMIS_SOAK", "0"))
"""Trials; 0 leaves the test out."""
WARM = 10_000
GROWTH_MB = 50


@pytest.mark.skipif(not SOAK, reason="NOT RUN: the soak has a session of its own, `nox -s soak`")
def test_memory_and_descriptors_stay_what_they_were(tmp_path: Path, workers: Workers, figures: Figures) -> None:
    benchmark = recorded(tmp_path)
    worker = workers.start(benchmark)
    began = time.monotonic()
    warm = watch(worker, benchmark, WARM)
    end = watch(worker, benchmark, SOAK - 5_000)
    assert worker.wait(600) == 0, worker.said
    with open_results(benchmark.spec) as results:
        (run,) = results.runs()
        assert (run.trials, run.failed) == (SOAK, 0)
    figures(
        trials=SOAK, seconds=round(time.monotonic() - began), warm_mb=warm[0], end_mb=end[0],
        warm_descriptors=warm[1], end_descriptors=end[1],
    )  # fmt: skip
    assert end[0] - warm[0] <= GROWTH_MB
    assert end[1] <= warm[1]


def watch(worker: Worker, benchmark: Benchmark, trials: int) -> tuple[int, int]:
    """Resident MB and open descriptors of the process once so many trials are acknowledged."""
    until = time.monotonic() + 3_600
    while count_lines(benchmark.acknowledgements) < trials:
        assert time.monotonic() < until, "too slow to tell"
        time.sleep(0.2)
    pages = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20, len(list(Path(f"/proc/{worker.pid}/fd").iterdir()))


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def recorded(folder: Path) -> Benchmark:
    """A benchmark of recorded answers, each a page long and with its own text."""
    (folder / "acknowledge.py").write_text(OBSERVER, encoding="utf-8")
    with (folder / "items.jsonl").open("w") as items, (folder / "answers.jsonl").open("w") as answers:
        for number in range(SOAK):
            items.write(json.dumps({"id": f"i{number}", "question": f"q {number}", "gold": str(number)}) + "\n")
            text = f"thinking about {number} " * 40 + f"\nA: {number}"
            answers.write(json.dumps({"id": f"i{number}", "model": "m", "output": text}) + "\n")
    spec = {
        "project": {
            "storage": {"backend": "sqlite", "root_dir": "store"},
            "plugins": {"acknowledge": "./acknowledge.py"},
        },
        "benchmark": {
            "benchmark_id": "soak",
            "models": [{"model_id": "m", "provider": "replay/file", "extras": {"path": "answers.jsonl"}}],
            "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.question }}"}]}],
            "slices": [
                {
                    "slice_id": "all",
                    "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"reference": "gold"}},
                    "generation": {},
                    "parses": [{"name": "number", "extractors": ["extract/last_number"]}],
                    "scores": [{"name": "right", "parse": "number", "metrics": ["text/exact_match"]}],
                }
            ],
        },
    }
    (folder / "chaos.json").write_text(json.dumps(spec), encoding="utf-8")
    return Benchmark(folder, {})
