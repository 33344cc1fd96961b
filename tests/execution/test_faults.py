"""What a component's own fault leaves out is no score, is named, and is tried again by the next run without a call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis

PLUGIN = """
import json
import math
from pathlib import Path

from themis_core import (
    Engine, Extraction, Extractor, Generation, Judge, JudgeRequest, Metric, Score, hookimpl,
)

HERE = Path(__file__).parent


def fault(kind):
    return json.loads((HERE / "faults.json").read_text()).get(kind)


def broken(kind, item_id):
    if (how := fault(kind)) is not None and (how.get("item") in (None, item_id)):
        if how["does"] == "raise":
            raise ValueError("planted")
        if how["does"] == "be slow":
            raise TimeoutError("planted")
        return how["does"]
    return None


class Echo(Engine):
    async def generate(self, request):
        with (HERE / "calls.txt").open("a") as file:
            print(request.messages[-1]["content"], file=file)
        return Generation("answered", text=request.messages[-1]["content"])


class Reading(Extractor):
    def extract(self, text):
        if reason := broken("extractor", text):
            return Extraction(reason=reason)
        return Extraction(text)


class Cleaning(Extractor):
    def extract(self, text):
        if reason := broken("prepare", text):
            return Extraction(reason=reason)
        return Extraction(text)


class Good(Metric):
    def score(self, item, generation, value):
        return Score(float(broken("metric", item.id) or 0.5))


class Asking(Judge):
    def requests(self, judged):
        return [JudgeRequest([{"role": "user", "content": f"judge {judged.value}"}])]

    def score(self, judged, replies):
        return Score(float(broken("judge", judged.item.id) or 0.5))


@hookimpl
def themis_register_engines(register):
    register("echo", Echo)


@hookimpl
def themis_register_extractors(register):
    register("reading", Reading)
    register("cleaning", Cleaning)


@hookimpl
def themis_register_metrics(register):
    register("good", Good)


@hookimpl
def themis_register_judges(register):
    register("asking", Asking)
"""


class Bench:
    """A folder with a plugin whose components go wrong as `faults.json` says, and the runs of one spec."""

    def __init__(self, folder: Path, storage: dict[str, Any]) -> None:
        self.folder = folder
        (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
        model = {"model_id": "m", "provider": "mine/echo"}
        benchmark = {
            "benchmark_id": "faults",
            "models": [model],
            "prompt_variants": [{"id": "v", "messages": [{"role": "user", "content": "{{ item.id }}"}]}],
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {"source": "files/inline", "extras": {"rows": [{"id": f"i{n}"} for n in range(4)]}},
                    "generation": {},
                    "parses": [{"name": "read", "prepare": ["mine/cleaning"], "extractors": ["mine/reading"]}],
                    "scores": [
                        {"name": "good", "parse": "read", "metrics": ["mine/good"]},
                        {"name": "judged", "metrics": [{"id": "mine/asking", "judge": {"model": model}}]},
                    ],
                }
            ],
        }
        spec = {"project": {"plugins": {"mine": "mine.py"}, "storage": storage}, "benchmark": benchmark}
        self.path = folder / "spec.json"
        self.path.write_text(json.dumps(spec), encoding="utf-8")

    def run(self, faults: dict[str, Any]) -> themis.RunResult:
        (self.folder / "faults.json").write_text(json.dumps(faults), encoding="utf-8")
        return themis.run(self.path)

    def calls(self) -> int:
        """How many there were since this was last asked."""
        path = self.folder / "calls.txt"
        count = len(path.read_text().splitlines()) if path.exists() else 0
        path.unlink(missing_ok=True)
        return count


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, {"backend": "sqlite"})


def rows(result: themis.RunResult) -> dict[str, tuple[float | None, int, int, int, int]]:
    """By score: value, n, unscored, unparsed, failed."""
    return {row.score: (row.value, row.n, row.unscored, row.unparsed, row.failed) for row in result.scores}


FAULTS = [
    ("extractor", "raise", "good", "extractor_error"),
    ("extractor", "be slow", "good", "extractor_timeout"),
    ("extractor", "extractor_timeout", "good", "extractor_timeout"),
    ("prepare", "raise", "good", "extractor_error"),
    ("prepare", "extractor_timeout", "good", "extractor_timeout"),
    ("metric", "raise", "good", "metric_error"),
    ("metric", "be slow", "good", "metric_timeout"),
    ("metric", "nan", "good", "not_finite"),
    ("judge", "raise", "judged", "metric_error"),
    ("judge", "be slow", "judged", "metric_timeout"),
    ("judge", "inf", "judged", "not_finite"),
]


@pytest.mark.parametrize(("kind", "does", "score", "reason"), FAULTS)
def test_a_fault_is_in_no_number_and_the_next_run_tries_it_again_without_a_call(
    bench: Bench, kind: str, does: str, score: str, reason: str
) -> None:
    broken = bench.run({kind: {"does": does, "item": "i2"}})
    whole: dict[str, Any] = {"good": (0.5, 4, 0, 0, 0), "judged": (0.5, 4, 0, 0, 0)}
    assert rows(broken) == {**whole, score: (0.5, 3, 1, 0, 0)}
    assert broken.ledger["scores"][f"{score}/mine/{'asking' if score == 'judged' else 'good'}"] == {
        "scored": 3,
        "unscored": {reason: 1},
    }
    assert all(each["unparsed"] == {} for each in broken.ledger["extractions"].values())
    assert bench.calls() == 8  # four answers, each of them judged

    again = bench.run({kind: {"does": does, "item": "i2"}})
    assert (again.run_id, rows(again), bench.calls()) == (broken.run_id, rows(broken), 0)

    mended = bench.run({})
    assert (mended.run_id, rows(mended), bench.calls()) == (broken.run_id, whole, 0)
    assert (mended.status, mended.exit_code) == ("completed", 0)
