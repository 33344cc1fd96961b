"""Prices of the public table, against what the package itself computes."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest
import yaml
from genai_prices.types import ModelPrice, Tier, TieredPrices

import themis_core as themis
from themis_core import PriceSpec
from themis_plugin_prices.genai import GenaiPrices, _rates, _share

OPENAI = "https://api.openai.com"


def test_a_price_is_that_of_the_package() -> None:
    price = GenaiPrices().price("gpt-5-mini", "openai/chat", OPENAI)
    assert price is not None
    usage = genai_prices.Usage(input_tokens=1_000_000, output_tokens=0)
    paid = genai_prices.calc_price(usage, "gpt-5-mini", provider_api_url=OPENAI)
    assert price.input_per_million == pytest.approx(float(paid.total_price))
    usage = genai_prices.Usage(input_tokens=0, output_tokens=1_000_000)
    paid = genai_prices.calc_price(usage, "gpt-5-mini", provider_api_url=OPENAI)
    assert price.output_per_million == pytest.approx(float(paid.total_price))
    assert price.cached_input_per_million is not None
    assert price.batch == 0.5


@pytest.mark.parametrize(
    ("model", "endpoint"),
    [
        ("gpt-5-mini", "http://127.0.0.1:8000"),  # somebody's own server
        ("no-such-model", OPENAI),
        ("gpt-5-mini", "FileEngine"),
        ("", OPENAI),
    ],
)
def test_what_the_table_does_not_know_is_unknown(model: str, endpoint: str) -> None:
    assert GenaiPrices().price(model, "openai/chat", endpoint) is None


def test_sound_has_its_own_price_where_the_table_says_so() -> None:
    heard = GenaiPrices().price("gpt-audio", "openai/chat", OPENAI)
    assert heard is not None
    assert (heard.input_audio_per_million or 0) > heard.input_per_million
    read = GenaiPrices().price("gpt-5-mini", "openai/chat", OPENAI)
    assert read is not None
    assert read.input_audio_per_million is None


def test_every_price_of_the_table_is_one_or_unknown() -> None:
    table = GenaiPrices()
    known = 0
    for provider, endpoint in (("anthropic", "https://api.anthropic.com"), ("openai", OPENAI),
                               ("deepseek", "https://api.deepseek.com"), ("groq", "https://api.groq.com")):  # fmt: skip
        models = next(each.models for each in table._snapshot.providers if each.id == provider)
        found = [table.price(model.id, "a/b", endpoint) for model in models]
        assert all(each is None or isinstance(each, PriceSpec) for each in found)
        known += sum(each is not None for each in found)
    assert known > 20


def test_tiers_and_batches_are_told_as_prices_tell_them() -> None:
    prices: dict[str, Any] = {
        "input_mtok": TieredPrices(base=Decimal(1), tiers=[Tier(start=200, price=Decimal(2))]),
        "output_mtok": Decimal(4),
        "cache_write_5m_mtok": Decimal("1.25"),
    }
    assert _rates(prices, 200)["input_per_million"] == 1
    assert _rates(prices, 201) == {"input_per_million": 2, "output_per_million": 4, "cache_write_per_million": 1.25}
    half = vars(ModelPrice(input_mtok=Decimal("0.5"), output_mtok=Decimal(2)))
    assert _share(prices, half) == 0.5
    assert _share(prices, {**half, "output_mtok": Decimal(3)}) is None
    assert _share(prices, prices) is None


SPEC = {
    "benchmark_id": "listed",
    "prices": {"from": "prices/genai"},
    "models": [
        {"model_id": "mini", "model": "gpt-5-mini", "provider": "openai/chat", "extras": {"api_key_env": "SOME_KEY"}},
        {
            "model_id": "own", "model": "gpt-5-mini", "provider": "openai/chat",
            "extras": {"base_url": "http://127.0.0.1:9/v1", "api_key_env": None},
        },
    ],
    "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
    "slices": [
        {
            "slice_id": "s",
            "dataset": {"source": "files/inline", "extras": {"rows": [{"id": "1", "q": "2 + 2?"}]}},
            "generation": {},
        }
    ],
}  # fmt: skip


def test_a_spec_names_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "x" * 20)
    file = tmp_path / "listed.yaml"
    file.write_text(yaml.safe_dump({"benchmark": SPEC}))
    report = themis.plan(file)
    assert [row["cost"] is None for row in report.per_model] == [False, True]
    assert report.unknown_cost_calls == 1


IMPORTED = """
import sys, themis_core
themis_core.plan(sys.argv[1])
print([name for name in sys.modules if name.startswith(("genai_prices", "themis_plugin_prices"))])
"""


def test_nothing_is_imported_unless_the_spec_names_it(tmp_path: Path) -> None:
    spec = {name: value for name, value in SPEC.items() if name != "prices"}
    spec["models"] = [SPEC["models"][1]]  # type: ignore[index]
    file = tmp_path / "listed.yaml"
    file.write_text(yaml.safe_dump({"benchmark": spec}))
    done = subprocess.run([sys.executable, "-c", IMPORTED, str(file)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
