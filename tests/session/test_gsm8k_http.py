"""The main job over real HTTP: what is stored is not sent again, and a failure is sent again, alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core.testing.server import ScriptedServer

MODEL = "6b_verification"
CORRECT = 515

Run = Callable[..., themis.RunResult]


@pytest.fixture(scope="module")
def answers(
    tmp_path_factory: pytest.TempPathFactory, questions: dict[str, str], solutions: list[dict[str, Any]]
) -> dict[str, Any]:
    """The server's table: the recorded output by model and question."""
    path = tmp_path_factory.mktemp("table") / "table.jsonl"
    rows = ({"model": r["model"], "prompt": questions[r["id"]], "output": r["output"]} for r in solutions)
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return {"rule": "table", "files": [str(path)]}


@pytest.fixture
def server(answers: dict[str, Any]) -> Iterator[ScriptedServer]:
    with ScriptedServer({"answers": answers}) as started:
        yield started


@pytest.fixture
def run(gsm8k: Path, tmp_path: Path, server: ScriptedServer) -> Run:
    """Runs the benchmark against the server; arguments change the spec."""

    def start(**changes: Any) -> themis.RunResult:
        scores = changes.get("scores", [{"name": "accuracy", "parse": "number", "metrics": ["text/numeric_match"]}])
        variants = changes.get("variants", {"plain": "{{ item.question }}"})
        benchmark = themis.BenchmarkSpec.model_validate(
            {
                "benchmark_id": "gsm8k",
                "models": [
                    {
                        "model_id": MODEL,
                        "provider": "openai/chat",
                        "extras": {"base_url": server.base_url, "api_key_env": None},
                    }
                ],
                "prompt_variants": [
                    {"id": name, "messages": [{"role": "user", "content": text}]} for name, text in variants.items()
                ],
                "slices": [
                    {
                        "slice_id": changes.get("slice_id", "test"),
                        "dataset": {
                            "source": "files/jsonl",
                            "dataset_id": str(gsm8k / "test.jsonl"),
                            "fields": {"reference": "gold"},
                        },
                        "generation": {},
                        "parses": [
                            {
                                "name": "number",
                                "extractors": [
                                    {"id": "extract/regex", "config": {"pattern": "(?m)^A: (.+)$", "which": "last"}}
                                ],
                            }
                        ],
                        "scores": scores,
                    }
                ],
            }
        )
        policy = themis.ExecutionPolicySpec(max_retries=0, breaker_failures=1000)
        return themis.run(benchmark, project=themis.ProjectSpec(execution_policy=policy), base_dir=tmp_path)

    return start


def value(result: themis.RunResult, score: str = "accuracy") -> tuple[int, int]:
    """Correct answers and answers scored."""
    (row,) = [row for row in result.scores if row.score == score and row.metric == "text/numeric_match"]
    return round((row.value or 0) * row.n), row.n


def test_only_what_has_no_stored_answer_is_sent(run: Run, server: ScriptedServer) -> None:
    first = run()
    assert (value(first), first.generated, first.reused, server.count) == ((CORRECT, 1319), 1319, 0, 1319)

    again = run()
    assert (value(again), again.generated, again.reused, server.count) == ((CORRECT, 1319), 0, 1319, 1319)

    both = [{"name": "accuracy", "parse": "number", "metrics": ["text/numeric_match", "text/exact_match"]}]
    more_metrics = run(scores=both)
    assert (value(more_metrics), more_metrics.generated, server.count) == ((CORRECT, 1319), 0, 1319)
    assert [row.metric for row in more_metrics.scores] == ["text/numeric_match", "text/exact_match"]

    renamed = run(scores=[{"name": "correct", "parse": "number", "metrics": ["text/numeric_match"]}], slice_id="all")
    assert (value(renamed, "correct"), renamed.generated, server.count) == ((CORRECT, 1319), 0, 1319)

    # The server finds the question on a line of its own, so it answers the new variant as well.
    asked_twice = run(variants={"plain": "{{ item.question }}", "polite": "Please answer.\n{{ item.question }}"})
    assert (asked_twice.generated, asked_twice.reused, server.count) == (1319, 1319, 2 * 1319)
    assert [round((row.value or 0) * row.n) for row in asked_twice.scores] == [CORRECT, CORRECT]


def test_failed_calls_count_in_no_mean_and_only_they_are_sent_again(
    run: Run, server: ScriptedServer, answers: dict[str, Any]
) -> None:
    server.reset({"answers": answers, "faults": [{"every": 100, "status": 500}]})
    broken = run()
    assert (broken.status, broken.failed, broken.generated, server.count) == ("failed", 13, 1306, 1319)
    assert value(broken)[1] == 1306
    assert (broken.scores[0].failed, broken.ledger["failures"], broken.exit_code) == (13, {"server_error": 13}, 5)

    server.reset({"answers": answers})
    mended = run()
    assert (mended.status, mended.failed, mended.generated, mended.reused) == ("completed", 0, 13, 1306)
    assert (value(mended), server.count) == ((CORRECT, 1319), 13)
