"""Mutated replies of a server end as answers or as failures with a code: no traceback, no hang."""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core.testing.server import ScriptedServer

CASES = 2_000 if os.environ.get("THEMIS_FUZZ") == "full" else 200
TOGETHER = 100
REPLY: dict[str, Any] = {
    "id": "r-1",
    "object": "chat.completion",
    "model": "m",
    "system_fingerprint": "f",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Paris",
                "refusal": None,
                "reasoning_content": "think",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            "finish_reason": "stop",
            "logprobs": {
                "content": [{"token": "P", "logprob": -0.1, "top_logprobs": [{"token": "P", "logprob": -0.1}]}]
            },
        },
    ],
    "usage": {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
    "error": {"message": "no", "type": "t", "code": "c"},
}
STATUSES = [
    200,
    200,
    200,
    200,
    200,
    200,
    201,
    202,
    204,
    206,
    304,
    400,
    408,
    409,
    413,
    418,
    422,
    500,
    502,
    503,
    529,
    599,
]
HEADERS: list[dict[str, Any]] = [
    {},
    {},
    {},
    {"Content-Type": "text/html"},
    {"Content-Type": None},
    {"Content-Type": "application/json; charset=nope"},
    {"Content-Encoding": "gzip"},
    {"Content-Encoding": "br"},
    {"Retry-After": "-1"},
    {"Retry-After": "soon"},
    {"X-Note": "é\u00a0"},
    {"Content-Length": "1"},
    {"Set-Cookie": ["a=b", "a=c"]},
]


@pytest.fixture(scope="module")
def server() -> Any:
    with ScriptedServer() as running:
        yield running


def test_the_reply_that_is_mutated_is_an_answer(server: ScriptedServer, tmp_path: Path) -> None:
    sound = {name: value for name, value in REPLY.items() if name != "error"}
    result = run(server, tmp_path, [{"at": [1], "body": sound}])
    assert (result.exit_code, result.ledger["answered"]) == (0, 1)


def test_a_mutated_reply_is_an_answer_or_a_failure_with_a_code(
    server: ScriptedServer, tmp_path: Path, seed: int, within: Callable[[float], AbstractContextManager[None]]
) -> None:
    answered = failed = 0
    for start in range(0, CASES, TOGETHER):
        faults = [fault(random.Random(f"{seed} reply {start + n}"), n + 1) for n in range(TOGETHER)]
        folder = tmp_path / str(start)
        folder.mkdir()
        with within(120):
            result = run(server, folder, faults)
        told = f"replies {start} to {start + TOGETHER} of seed {seed}: {result.note} {result.errors}"
        assert result.exit_code in (0, 5), told
        with themis.open_results(folder / "spec.json") as results:
            rows = list(results.trials(result.run_id))
            whole = [results.trial(result.run_id, row.trial_id) for row in rows]
        assert len(rows) == TOGETHER, told
        assert {row.error_code for row in rows} - {None} <= themis.ERROR_CODES.keys() - {"engine_error"}, told
        for trial in whole:
            generation = trial["turns"][-1]["generation"]
            assert "Traceback" not in json.dumps(generation), told
            assert generation["cost"] is None or generation["cost"] >= 0, told
            (score,) = trial["scores"] or [None]
            if score is not None and score["result"]["value"] == 1:
                assert "Paris" in generation["text"], told
        answered += result.ledger["answered"]
        failed += result.ledger["failed"]
    assert answered > 0
    assert failed > 0


def fault(draw: random.Random, ordinal: int) -> dict[str, Any]:
    from mutations import mutated

    body = mutated(REPLY if draw.random() < 0.3 else {**REPLY, "error": None}, {}, draw, draw.choice([1, 1, 2, 3]))
    text = json.dumps(body, ensure_ascii=draw.random() < 0.5)
    raw = text.encode("utf-8", "surrogatepass")
    if draw.random() < 0.3:
        raw = damaged(raw, draw)
    made: dict[str, Any] = {"at": [ordinal], "status": draw.choice(STATUSES), "headers": draw.choice(HEADERS)}
    return {**made, "body": {"base64": base64.b64encode(raw).decode()}}


def damaged(raw: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(raw))
    return draw.choice(
        [
            raw[:at],
            raw[:at] + bytes([raw[at] ^ (1 << draw.randrange(8))]) + raw[at + 1 :],
            raw[:at] + raw[at:][::-1],
            b"\xef\xbb\xbf" + raw,
            raw + raw,
            b"data: " + raw + b"\n\ndata: [DONE]\n\n",
            b"<html>" + raw + b"</html>",
            raw.replace(b"5", b"1e400").replace(b"2", b"NaN"),
            b"[" * 5_000 + raw,
            b"",
        ]
    )


def run(server: ScriptedServer, folder: Path, faults: list[dict[str, Any]]) -> themis.RunResult:
    server.reset({"faults": faults})
    count = len(faults)
    rows = "\n".join(json.dumps({"id": f"i{n}", "q": f"q{n}", "gold": "Paris"}) for n in range(count))
    (folder / "items.jsonl").write_text(rows)
    model = {
        "model_id": "m",
        "provider": "openai/chat",
        "extras": {"base_url": server.base_url, "api_key_env": None},
        "price": {"input_per_million": 1e6, "output_per_million": 1e6},
    }
    policy = {"max_retries": 0, "breaker_failures": 1_000_000, "attempt_timeout_s": 10, "max_in_flight_work_items": 1}
    dataset = {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"reference": "gold"}}
    scores = [{"name": "right", "metrics": ["text/exact_match"]}]
    slices = [{"slice_id": "s", "dataset": dataset, "generation": {}, "scores": scores}]
    variants = [{"id": "v", "messages": [{"role": "user", "content": "{{ item.q }}"}]}]
    benchmark = {"benchmark_id": "b", "models": [model], "prompt_variants": variants, "slices": slices}
    spec = {"project": {"execution_policy": policy}, "benchmark": benchmark}
    (folder / "spec.json").write_text(json.dumps(spec))
    return themis.run(folder / "spec.json")
