"""The page on Amazon Bedrock runs as it stands, against a server that speaks Converse."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import themis_core as themis
from themis_core.testing.server import ScriptedServer

PAGE = Path(__file__).parents[3] / "docs" / "bedrock.md"
(SPEC,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
COUNTS = {"inputTokens": 10, "outputTokens": 100, "totalTokens": 1110, "cacheReadInputTokens": 900}
ROWS = [
    {"prompt": "How many eggs are in 8 dozen?", "output": {
        "content": "96", "reasoning": "8 times 12", "usage": COUNTS | {"cacheWriteInputTokens": 100}}},
    {"prompt": "How many legs do 7 spiders have?", "output": {
        "content": "No.", "finish_reason": "guardrail_intervened"}},
    {"prompt": "Sure?", "output": "96"},
]  # fmt: skip


def written(folder: Path, server: ScriptedServer, **benchmark: Any) -> Path:
    spec = yaml.safe_load(SPEC)
    spec["benchmark"]["models"][0]["extras"]["endpoint_url"] = server.origin
    spec["benchmark"] |= benchmark
    path = folder / "sums.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return path


def test_the_spec_of_the_page_runs(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"api_key": "AKIACANARY0123456789", "answers": {"rule": "table", "rows": ROWS}})
    result = themis.run(written(tmp_path, server))
    assert [(row.model_id, row.value, row.n) for row in result.scores] == [("claude", 0.5, 2)]
    assert (result.ledger["answered"], result.ledger["refused"]) == (1, 1)
    first = server.requests()[0]
    assert first.model == "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert first.body["system"] == [{"text": "Answer with a number alone."}, {"cachePoint": {"type": "default"}}]
    assert first.body["inferenceConfig"] == {"maxTokens": 2000, "temperature": 0.0}
    with themis.open_results(tmp_path / "sums.yaml") as results:
        (eggs,) = (row.trial_id for row in results.trials(result.run_id) if row.item_id == "eggs")
        answer = results.trial(result.run_id, eggs)["turns"][0]["generation"]
    assert (answer["text"], answer["reasoning"]) == ("96", "8 times 12")
    # 10 plain, 900 read from the cache, 100 written to it, 100 said: what the prices of the page make of it.
    assert answer["cost"] == pytest.approx((10 * 1 + 900 * 0.1 + 100 * 1.25 + 100 * 5) / 1e6)


def test_settings_that_are_not_there_are_refused_in_the_plan(server: ScriptedServer, tmp_path: Path) -> None:
    with pytest.raises(themis.SpecError, match="top_k"):
        themis.plan(written(tmp_path, server, inference_grid={"params": [{"top_k": 4}]}))
    assert server.count == 0


def test_a_follow_up_turn_hands_the_signed_reasoning_back(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"answers": {"rule": "table", "rows": ROWS}})
    variant = yaml.safe_load(SPEC)["benchmark"]["prompt_variants"][0]
    variant["follow_ups"] = [{"role": "user", "content": "Sure?"}]
    themis.run(written(tmp_path, server, prompt_variants=[variant]))
    (second,) = (each.messages for each in server.requests() if len(each.messages) == 3)
    text = {"text": "8 times 12", "signature": "c2NyaXB0ZWQ="}
    assert second[1]["content"] == [{"reasoningContent": {"reasoningText": text}}, {"text": "96"}]
