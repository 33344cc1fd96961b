"""Forms in which servers count tokens, and what each costs: 1 a token, 0.1 if read from a cache, 2 if written to it."""

from __future__ import annotations

from typing import Any

import pytest

from themis_core import Usage
from themis_plugin_openai.usage import read_usage


def openai(taken: Any, given: Any, total: Any = None, cached: Any = None, reasoning: Any = None, **more: Any) -> Any:
    usage = {"prompt_tokens": taken, "completion_tokens": given, **more}
    if total is not None:
        usage["total_tokens"] = total
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    if reasoning is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return usage


def anthropic(taken: int, given: int, read: int, written: int, **more: Any) -> Any:
    names = {"cache_read_input_tokens": read, "cache_creation_input_tokens": written}
    return {"input_tokens": taken, "output_tokens": given, **names, **more}


FORMS = [
    ("OpenAI", openai(32, 103, 135, 0, 94), Usage(32, 103, 94, 0), 135),
    ("OpenAI, with a cache", openai(100, 5, 105, 80), Usage(100, 5, None, 80), 20 + 8 + 5),
    ("xAI: reasoning on top", openai(32, 9, 135, None, 94), Usage(32, 103, 94), 135),
    ("xAI, with a cache", openai(32, 9, 135, 20, 94), Usage(32, 103, 94, 20), 12 + 2 + 103),
    ("Gemini: the total alone tells of reasoning", openai(32, 9, 135), Usage(32, 103), 135),
    ("reasoning on top, no total", openai(32, 9, None, None, 94), Usage(32, 103, 94), 135),
    ("reasoning within, no total", openai(32, 103, None, None, 94), Usage(32, 103, 94), 135),
    ("Perplexity: reasoning at the top", openai(32, 9, 135, reasoning_tokens=94), Usage(32, 103, 94), 135),
    ("DeepSeek", openai(100, 5, 105, prompt_cache_hit_tokens=80, prompt_cache_miss_tokens=20),
     Usage(100, 5, None, 80), 33),
    ("DeepSeek, without the sum",
     {"completion_tokens": 5, "prompt_cache_hit_tokens": 80, "prompt_cache_miss_tokens": 20},
     Usage(100, 5, None, 80), 33),
    ("Moonshot", openai(100, 5, 105, cached_tokens=80), Usage(100, 5, None, 80), 33),
    ("Moonshot, with OpenAI's form and a zero in it", openai(100, 5, 105, 0, cached_tokens=80),
     Usage(100, 5, None, 80), 33),
    ("Mistral", openai(100, 5, 105, num_cached_tokens=80), Usage(100, 5, None, 80), 33),
    ("Anthropic: the prompt leaves out the cache", anthropic(20, 5, 80, 0), Usage(100, 5, None, 80, 0), 33),
    ("Anthropic, written to the cache", anthropic(20, 5, 0, 80), Usage(100, 5, None, 0, 80), 20 + 160 + 5),
    ("Anthropic, both", anthropic(10, 5, 80, 10), Usage(100, 5, None, 80, 10), 10 + 8 + 20 + 5),
    ("LiteLLM: the prompt has the cache", openai(100, 5, 105, 80, cache_read_input_tokens=80),
     Usage(100, 5, None, 80), 33),
    ("a gateway whose total tells that the cache is left out", openai(60, 5, 105, cache_read_input_tokens=40),
     Usage(100, 5, None, 40), 60 + 4 + 5),
    ("a gateway whose cache is larger than the prompt", openai(20, 5, 25, 80), Usage(100, 5, None, 80), 33),
    ("a gateway that leaves out what was written",
     openai(60, 5, 105, cache_read_input_tokens=0, cache_creation_input_tokens=40),
     Usage(100, 5, None, 0, 40), 60 + 80 + 5),
    ("Anthropic, by how long it is kept",
     {"input_tokens": 10, "output_tokens": 5,
      "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 60}},
     Usage(100, 5, None, None, 90), 10 + 180 + 5),
    ("Anthropic, by how long it is kept, and the sum",
     anthropic(10, 5, 0, 90, cache_creation={"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 60}),
     Usage(100, 5, None, 0, 90), 10 + 180 + 5),
    ("OpenRouter, written to the cache",
     openai(100, 5, 105) | {"prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 70}},
     Usage(100, 5, None, 20, 70), 10 + 2 + 140 + 5),
    ("LiteLLM, written to the cache, told twice",
     openai(100, 5, 105, cache_creation_input_tokens=70)
     | {"prompt_tokens_details": {"cached_tokens": 0, "cache_creation_tokens": 70}},
     Usage(100, 5, None, 0, 70), 30 + 140 + 5),
    ("Qwen, written to the cache",
     openai(100, 5, 105) | {"prompt_tokens_details": {
         "cached_tokens": 0, "cache_creation_input_tokens": 70,
         "cache_creation": {"ephemeral_5m_input_tokens": 70}}},
     Usage(100, 5, None, 0, 70), 30 + 140 + 5),
    ("a gateway with a zero in the details",
     openai(100, 5, 105, 0, cache_write_tokens=70) | {"prompt_tokens_details": {"cache_write_tokens": 0}},
     Usage(100, 5, None, None, 70), 30 + 140 + 5),
    ("nothing written that can be read", openai(100, 5, 105, 0, cache_creation_input_tokens="some", cache_creation=[7]),
     Usage(100, 5, None, 0), 105),
    ("cache and reasoning both left out", openai(20, 9, 203, 80, 94), Usage(100, 103, 94, 80), 20 + 8 + 103),
    ("OpenAI's names of responses",
     {"input_tokens": 100, "output_tokens": 50, "input_tokens_details": {"cached_tokens": 80},
      "output_tokens_details": {"reasoning_tokens": 40}}, Usage(100, 50, 40, 80), 20 + 8 + 50),
    ("floats", openai(10.0, 5.0, 15.0), Usage(10, 5), 15),
    ("texts", openai("10", "5", "15"), Usage(10, 5), 15),
    ("texts of floats", openai("10.0", "5.", "15.0"), Usage(10, 5), 15),
    ("prompt and total", {"prompt_tokens": 10, "total_tokens": 15}, Usage(10, 5), 15),
    ("answer and total", {"completion_tokens": 5, "total_tokens": 15}, Usage(10, 5), 15),
    ("a total that is less", openai(10, 5, 12), Usage(10, 5), 15),
    ("details that are null", openai(10, 5, 15) | {"prompt_tokens_details": None}, Usage(10, 5), 15),
]  # fmt: skip


@pytest.mark.parametrize(("usage", "expected", "cost"), [form[1:] for form in FORMS], ids=[form[0] for form in FORMS])
def test_a_form_of_usage_is_read_and_costs_this(usage: Any, expected: Usage, cost: float) -> None:
    read = read_usage({"usage": usage})
    assert read == expected
    cached, written = read.cached_input_tokens or 0, read.cache_write_tokens or 0
    fresh = (read.input_tokens or 0) - cached - written
    assert fresh + 0.1 * cached + 2 * written + (read.output_tokens or 0) == pytest.approx(cost)


@pytest.mark.parametrize(
    "usage",
    [None, {}, [], "15", 15, {"total_tokens": 15}, openai(-1, 10**12), openai("ten", "5 tokens"), openai(1.5, "1e2"),
     openai(float("nan"), float("inf")), openai(True, None), openai([10], {"n": 5}), {"cost": 0.01}],
)  # fmt: skip
def test_usage_that_can_not_be_read_is_unknown(usage: Any) -> None:
    assert read_usage({"usage": usage}) is None


def test_one_count_alone_leaves_the_other_unknown() -> None:
    assert read_usage({"usage": openai(10, "many")}) == Usage(10)
    assert read_usage({"usage": openai(None, 5, None, None, 3)}) == Usage(None, 5, 3)
