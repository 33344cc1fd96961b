"""The page on Gemini runs as it stands, against a server that speaks its interface."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import themis_core as themis
from themis_core.testing.server import ScriptedServer

PAGE = Path(__file__).parents[3] / "docs" / "gemini.md"
(SPEC,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
COUNTS = {"promptTokenCount": 1000, "cachedContentTokenCount": 900, "totalTokenCount": 1100}
COUNTS |= {"candidatesTokenCount": 10, "thoughtsTokenCount": 90}
ROWS = [
    {"prompt": "How many eggs are in 8 dozen?", "output": {
        "content": "96", "reasoning": "8 times 12", "signature": "c2ln", "usageMetadata": COUNTS}},
    {"prompt": "How many legs do 7 spiders have?", "output": {"promptFeedback": {"blockReason": "SAFETY"}}},
    {"prompt": "Sure?", "output": "96"},
]  # fmt: skip


def written(folder: Path, server: ScriptedServer, **benchmark: Any) -> Path:
    spec = yaml.safe_load(SPEC)
    spec["benchmark"]["models"][0]["extras"]["base_url"] = f"{server.origin}/v1beta"
    spec["benchmark"] |= benchmark
    path = folder / "sums.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return path


def test_the_spec_of_the_page_runs(server: ScriptedServer, key: str, tmp_path: Path) -> None:
    server.reset({"api_key": key, "answers": {"rule": "table", "rows": ROWS}})
    result = themis.run(written(tmp_path, server))
    assert [(row.model_id, row.value, row.n) for row in result.scores] == [("flash", 0.5, 2)]
    assert (result.ledger["answered"], result.ledger["refused"]) == (1, 1)
    first = server.requests()[0].body
    assert first["systemInstruction"] == {"parts": [{"text": "Answer with a number alone."}]}
    assert first["generationConfig"]["thinkingConfig"] == {"includeThoughts": True}
    with themis.open_results(tmp_path / "sums.yaml") as results:
        (eggs,) = (row.trial_id for row in results.trials(result.run_id) if row.item_id == "eggs")
        answer = results.trial(result.run_id, eggs)["turns"][0]["generation"]
    assert (answer["text"], answer["reasoning"]) == ("96", "8 times 12")
    # 100 plain, 900 read from the cache, 10 said, 90 thought: what the prices of the page make of it.
    assert answer["cost"] == pytest.approx((100 * 0.3 + 900 * 0.03 + (10 + 90) * 2.5) / 1e6)


def test_settings_that_are_not_there_are_refused_in_the_plan(server: ScriptedServer, tmp_path: Path) -> None:
    with pytest.raises(themis.SpecError, match="min_p"):
        themis.plan(written(tmp_path, server, inference_grid={"params": [{"min_p": 0.1}]}))
    assert server.count == 0


def test_a_follow_up_turn_hands_back_what_was_signed(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"answers": {"rule": "table", "rows": ROWS}})
    variant = yaml.safe_load(SPEC)["benchmark"]["prompt_variants"][0]
    variant["follow_ups"] = [{"role": "user", "content": "Sure?"}]
    themis.run(written(tmp_path, server, prompt_variants=[variant]))
    (second,) = (each.body["contents"] for each in server.requests() if len(each.body["contents"]) == 3)
    assert second[1] == {"role": "model", "parts": [{"text": "96", "thoughtSignature": "c2ln"}]}
