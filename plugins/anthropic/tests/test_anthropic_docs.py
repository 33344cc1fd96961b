"""The page on Anthropic's models runs as it stands, against a server that speaks their interface."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import themis_core as themis
from themis_core.testing.server import ScriptedServer

PAGE = Path(__file__).parents[3] / "docs" / "anthropic.md"
SPEC, LEFT_OUT = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
ROWS = [
    {"prompt": "How many eggs are in 8 dozen?", "output": {"content": "96", "reasoning": "8 times 12"}},
    {"prompt": "How many legs do 7 spiders have?", "output": {
        "content": "56", "usage": {"input_tokens": 10, "output_tokens": 100, "cache_read_input_tokens": 990}}},
]  # fmt: skip


def written(folder: Path, server: ScriptedServer, **benchmark: Any) -> Path:
    spec = yaml.safe_load(SPEC)
    spec["benchmark"]["models"][0]["extras"]["base_url"] = server.origin
    spec["benchmark"] |= benchmark
    path = folder / "sums.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return path


def test_the_spec_of_the_page_runs(server: ScriptedServer, key: str, tmp_path: Path) -> None:
    server.reset({"api_key": key, "answers": {"rule": "table", "rows": ROWS}})
    result = themis.run(written(tmp_path, server))
    assert [(row.model_id, row.value, row.n) for row in result.scores] == [("claude", 1.0, 2)]
    first = server.requests()[0].body
    mark = {"cache_control": {"type": "ephemeral"}}
    assert first["system"] == [{"type": "text", "text": "Answer with a number alone.", **mark}]
    assert (first["thinking"], first["max_tokens"]) == ({"type": "enabled", "budget_tokens": 1024}, 2000)
    with themis.open_results(tmp_path / "sums.yaml") as results:
        rows = {row.item_id: row.trial_id for row in results.trials(result.run_id)}
        eggs, legs = (results.trial(result.run_id, rows[name])["turns"][0]["generation"] for name in ("eggs", "legs"))
    assert (eggs["text"], eggs["reasoning"]) == ("96", "8 times 12")
    # 10 plain, 990 read from the cache, 100 written: what the prices of the page make of it.
    assert [legs["usage"][f"{name}_tokens"] for name in ("input", "cached_input", "output")] == [1000, 990, 100]
    assert legs["cost"] == pytest.approx((10 * 1 + 990 * 0.1 + 100 * 5) / 1e6)


def test_settings_that_are_not_there_are_refused_in_the_plan_unless_left_out(
    server: ScriptedServer, tmp_path: Path
) -> None:
    with pytest.raises(themis.SpecError, match="`max_tokens`"):
        themis.plan(written(tmp_path, server, inference_grid={"params": [{}]}))
    grid = {"params": [{"max_tokens": 2000, "seed": 7, "logprobs": True}]}
    with pytest.raises(themis.SpecError, match="logprobs"):
        themis.plan(written(tmp_path, server, inference_grid=grid))
    (model,) = yaml.safe_load(LEFT_OUT)["models"]
    themis.plan(written(tmp_path, server, inference_grid=grid, models=[model]))
    assert server.count == 0


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        (("system",), "a prompt needs a message beside the system's here"),
        (("user", "system"), "a system message can only stand before all others here"),
    ],
)
def test_a_prompt_that_can_not_be_sent_is_refused_in_the_plan(
    roles: tuple[str, ...], words: str, server: ScriptedServer, tmp_path: Path
) -> None:
    variant = {"id": "odd", "messages": [{"role": role, "content": "{{ item.question }}"} for role in roles]}
    with pytest.raises(themis.SpecError, match=words) as caught:
        themis.plan(written(tmp_path, server, prompt_variants=[variant]))
    assert "model 'claude'" in str(caught.value)
    assert "prompt variant 'odd'" in str(caught.value)
    assert server.count == 0


def test_a_follow_up_turn_hands_the_signed_thinking_back(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"answers": {"rule": "constant", "output": {"content": "96", "reasoning": "8 times 12"}}})
    variant = yaml.safe_load(SPEC)["benchmark"]["prompt_variants"][0]
    variant["follow_ups"] = [{"role": "user", "content": "Sure?"}]
    themis.run(written(tmp_path, server, prompt_variants=[variant]))
    (second, *_) = [served.messages for served in server.requests() if len(served.messages) == 3]
    assert second[1]["content"] == [
        {"type": "thinking", "thinking": "8 times 12", "signature": "c2NyaXB0ZWQ="},
        {"type": "text", "text": "96"},
    ]
