"""One measured case, in a process of its own: prints its figures as one line of JSON."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import bare

ROOT = Path(__file__).parents[1]
GSM8K = Path(os.environ.get("THEMIS_SHARED_DATA", ROOT.parent / "shared" / "data")) / "gsm8k"
IN_FLIGHT = 64
PARSES = [
    {"name": "number", "extractors": [{"id": "extract/regex", "config": {"pattern": "(?m)^A: (.+)$", "which": "last"}}]}
]
SCORES = [{"name": "accuracy", "parse": "number", "metrics": ["text/numeric_match"]}]


def measured(work: Callable[[], Any]) -> dict[str, Any]:
    """CPU (user and system, all threads), wall seconds and peak memory (MB) of the work, imports included."""
    wall = time.perf_counter()
    before = time.process_time()
    result = work()
    figures = {"cpu": time.process_time() - before, "wall": time.perf_counter() - wall}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**figures, "rss": peak, "result": result}


def spec_of(models: list[dict[str, Any]], questions: Path, **changes: Any) -> dict[str, Any]:
    return {
        "benchmark_id": "bench",
        "models": models,
        "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.question }}"}]}],
        "slices": [
            {
                "slice_id": "test",
                "dataset": {"source": "files/jsonl", "dataset_id": str(questions), "fields": {"reference": "gold"}},
                "generation": {},
                "parses": PARSES,
                "scores": SCORES,
            }
        ],
        **changes,
    }


def benchmark(folder: Path, models: list[dict[str, Any]], questions: Path, **changes: Any) -> Any:
    import themis_core as themis

    spec = themis.BenchmarkSpec.model_validate(spec_of(models, questions, **changes))
    policy = themis.ExecutionPolicySpec(max_in_flight_work_items=IN_FLIGHT)
    result = themis.run(spec, project=themis.ProjectSpec(execution_policy=policy), base_dir=folder)
    if result.failed or result.status != "completed":
        raise SystemExit(f"the measured run did not complete: {result.ledger}")
    return result


def replay_bare(folder: Path, *, same_rows: bool) -> int:
    solutions = sorted((GSM8K / "solutions").glob("*.jsonl"))
    return bare.replay(GSM8K / "test.jsonl", solutions, folder, same_rows=same_rows)


def replay_themis(folder: Path) -> int:
    extras = {"path": str(GSM8K / "solutions" / "{model_id}.jsonl")}
    names = sorted(path.stem for path in (GSM8K / "solutions").glob("*.jsonl"))
    models = [{"model_id": name, "provider": "replay/file", "extras": extras} for name in names]
    result = benchmark(folder, models, GSM8K / "test.jsonl")
    return sum(round(row.value * row.n) for row in result.scores)


def replay(folder: Path, loop: str) -> dict[str, Any]:
    """Figures of the second of two passes: what importing costs is measured as cold start."""
    work = replay_themis if loop == "themis" else partial(replay_bare, same_rows=loop == "same-rows")
    passes = []
    for name in ("first", "second"):
        (folder / name).mkdir()
        passes.append(measured(partial(work, folder / name)))
    return passes[1]


def size_of(folder: Path) -> dict[str, float]:
    """Bytes on disk per trial of a replayed run, beyond the text of prompts and answers."""
    replay_themis(folder)
    (file,) = folder.rglob("*.sqlite3")
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    on_disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    prompts = sum(len(json.loads(line)["question"].encode()) for line in (GSM8K / "test.jsonl").open(encoding="utf-8"))
    answers = sum(
        len(json.loads(line)["output"].encode())
        for path in (GSM8K / "solutions").glob("*.jsonl")
        for line in path.open(encoding="utf-8")
    )
    return {
        "on_disk": on_disk / 5276,
        "text": (prompts + answers) / 5276,
        "beyond": (on_disk - prompts - answers) / 5276,
    }


def made_questions(folder: Path, count: int) -> Path:
    path = folder / "questions.jsonl"
    rows = (
        {"id": i, "question": f"Number {i}: " + "what is it, all told? " * 10 + f"\nA: {i}", "gold": i}
        for i in range(count)
    )
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def made_recording(folder: Path, count: int) -> dict[str, Any]:
    """Return a model whose answers to the made questions are recorded."""
    path = folder / "recorded.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            file.write(json.dumps({"id": i, "output": "Some words before it.\n" * 10 + f"A: {i}"}) + "\n")
    return {"model_id": "m", "provider": "replay/file", "extras": {"path": str(path)}}


def memory(folder: Path, count: int) -> int:
    return int(benchmark(folder, [made_recording(folder, count)], made_questions(folder, count)).trials)


def made_spec(folder: Path, count: int) -> Path:
    """Write a spec file of so many recorded trials, stored in the same folder."""
    path = folder / "spec.json"
    path.write_text(json.dumps(spec_of([made_recording(folder, count)], made_questions(folder, count))))
    return path


def http(folder: Path, client: str, count: int, latency_ms: int) -> Any:
    """Figures of the client alone, imports left out; the server is pinned to the other core."""
    from themis_core.testing.server import ScriptedServer

    cores = sorted(os.sched_getaffinity(0))
    with ScriptedServer({"latency_s": latency_ms / 1000}, cpu=cores[-1]) as server:
        os.sched_setaffinity(0, {cores[0]})
        figures: Any = None
        for number, asked in enumerate((IN_FLIGHT, count)):  # the first pass imports what is needed
            place = folder / str(number)
            place.mkdir()
            ask = partial(ask_with_themis if client == "themis" else partial(ask_bare, client), server.base_url)
            figures = measured(partial(ask, made_questions(place, asked), place))
    return figures


def ask_with_themis(base_url: str, questions: Path, folder: Path) -> int:
    extras = {"base_url": base_url, "api_key_env": None}
    models = [{"model_id": "m", "provider": "openai/chat", "extras": extras}]
    grid = {"inference_grid": {"params": [{"max_tokens": 64}]}}
    return int(benchmark(folder, models, questions, **grid).trials)


def ask_bare(client: str, base_url: str, questions: Path, folder: Path) -> None:
    prompts = [json.loads(line)["question"] for line in questions.open(encoding="utf-8")]
    asyncio.run(bare.http(client, f"{base_url}/chat/completions", prompts, IN_FLIGHT, folder))


def main(name: str, *arguments: str) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        figures = {
            "replay": lambda: replay(folder, arguments[0]),
            "size": lambda: size_of(folder),
            "memory": lambda: measured(lambda: memory(folder, int(arguments[0]))),
            "http": lambda: http(folder, arguments[0], int(arguments[1]), int(arguments[2])),
        }[name]()
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
