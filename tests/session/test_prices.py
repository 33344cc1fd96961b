"""Prices of models from a file, a table or the spec: what counts, what is unknown, and what is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import themis_core as themis
from themis_core import PriceSpec, Request, Usage
from themis_core.cli import cli
from themis_core.testing.server import ScriptedServer
from themis_costs import cost_of, foreseen_cost

PRICE = PriceSpec(input_per_million=2, output_per_million=10)
TIERED = PriceSpec.model_validate(
    {
        "input_per_million": 1, "output_per_million": 4, "cached_input_per_million": 0.5,
        "tiers": [
            {"above_input_tokens": 200, "input_per_million": 2, "output_per_million": 8},
            {"above_input_tokens": 1000, "input_per_million": 3, "output_per_million": 12},
        ],
    }
)  # fmt: skip
REASONING = PriceSpec(input_per_million=1, output_per_million=4, reasoning_per_million=3)


@pytest.mark.parametrize(
    ("usage", "price", "millionths"),
    [
        (Usage(100, 50), PRICE, 100 * 2 + 50 * 10),
        (Usage(100, 50, 20), PRICE, 100 * 2 + 50 * 10),  # reasoning is output
        (Usage(200, 10), TIERED, 200 * 1 + 10 * 4),
        (Usage(201, 10), TIERED, 201 * 2 + 10 * 8),  # all tokens of a long request
        (Usage(1001, 10, cached_input_tokens=1), TIERED, 1001 * 3 + 10 * 12),
        (Usage(100, 50, 20), REASONING, 100 + 30 * 4 + 20 * 3),
        (Usage(100, 50, 0), REASONING, 100 + 50 * 4),
        (Usage(100, 50), REASONING, None),  # how much of it was reasoning is not told
        (Usage(100, None), PRICE, None),
        (Usage(100, 50), None, None),
    ],
)
def test_a_call_costs(usage: Usage, price: PriceSpec | None, millionths: float | None) -> None:
    assert cost_of(usage, price) == (None if millionths is None else pytest.approx(millionths / 1e6))


def test_what_is_foreseen_takes_the_dearest_output() -> None:
    assert foreseen_cost(Request("m", [], {}), 300, 10, TIERED) == pytest.approx((300 * 2 + 10 * 8) / 1e6)
    assert foreseen_cost(Request("m", [], {}), 300, 10, REASONING) == pytest.approx((300 + 10 * 4) / 1e6)
    assert foreseen_cost(Request("m", [], {}), 300, 10, None) is None


def test_a_request_of_a_batch_costs_its_share_or_nobody_knows_what() -> None:
    half = TIERED.model_copy(update={"batch": 0.5}).in_batch()
    assert half is not None
    assert cost_of(Usage(201, 10), half) == pytest.approx((201 * 2 + 10 * 8) / 2e6)
    assert half.cached_input_per_million == 0.25
    assert PRICE.in_batch() is None


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer({"answers": {"rule": "constant", "output": "A: 4"}, "usage": True}) as started:
        yield started


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, server: ScriptedServer) -> Write:
    """Writes a spec of two models that are asked one question."""

    def spec(prices: Any = None, project: dict[str, Any] | None = None, **own: Any) -> Path:
        model = {"provider": "openai/chat", "extras": {"base_url": server.base_url, "api_key_env": None}}
        rows = {"source": "files/inline", "extras": {"rows": [{"id": "1", "q": "2 + 2?", "gold": "A: 4"}]}}
        benchmark: dict[str, Any] = {
            "benchmark_id": "priced",
            "models": [{"model_id": "big", **model, **own}, {"model_id": "small", "model": "small-1", **model}],
            "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
            "inference_grid": {"params": {"max_tokens": 10}},
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {**rows, "fields": {"reference": "gold"}},
                    "generation": {},
                    "scores": [{"name": "right", "metrics": ["text/exact_match"]}],
                }
            ],
        }
        if prices is not None:
            benchmark["prices"] = prices
        file = tmp_path / "spec.yaml"
        project = {"storage": {"backend": "sqlite", "root_dir": "runs"}, **(project or {})}
        file.write_text(yaml.safe_dump({"project": project, "benchmark": benchmark}, sort_keys=False))
        return file

    return spec


BOTH = """\
currency: USD
models:
  big: {input_per_million: 2, output_per_million: 10}
  openai/small-1: {input_per_million: 1, output_per_million: 5}
  small-1: {input_per_million: 9000, output_per_million: 9000}
  somebody-else: {input_per_million: 3, output_per_million: 3}
"""


def costs(file: Path, **changes: Any) -> dict[str, float | None]:
    return {row["model_id"]: row["cost"] for row in themis.plan(file, **changes).per_model}


def test_a_file_has_the_prices_of_plans_runs_and_manifests(write: Write, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(BOTH)
    file = write("prices.yaml")
    tokens = themis.plan(file).per_model[0]["input_tokens"]
    foreseen = {"big": (tokens * 2 + 10 * 10) / 1e6, "small": (tokens + 10 * 5) / 1e6}
    assert costs(file) == {name: pytest.approx(each) for name, each in foreseen.items()}
    result = themis.run(file)
    with themis.open_results(file) as results:
        run = results.run(result.run_id)
        paid = results.cost(result.run_id)
        told = {row.model_id: next(iter(results.generations(row.generation_keys))).generation
                for row in results.trials(result.run_id)}  # fmt: skip
    assert told["small"].cost == cost_of(told["small"].usage, PriceSpec(input_per_million=1, output_per_million=5))
    assert paid.known == pytest.approx(sum(each.cost or 0 for each in told.values()))
    prices = run.manifest["prices"]
    assert (prices["currency"], prices["file"]["path"], len(prices["file"]["sha256"])) == ("USD", "prices.yaml", 64)
    assert {name: each["input_per_million"] for name, each in prices["models"].items()} == {"big": 2.0, "small": 1.0}


def test_judges_are_priced_by_the_same_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(BOTH)
    file = write("prices.yaml")
    data = yaml.safe_load(file.read_text())
    judge = {**data["benchmark"]["models"][0], "model_id": "the-judge", "model": "somebody-else"}
    metric = {"id": "judge/correctness", "judge": [{"model": judge}]}
    data["benchmark"]["slices"][0]["scores"] = [{"name": "right", "metrics": [metric]}]
    file.write_text(yaml.safe_dump(data))
    (row,) = {each["model_id"]: each for each in themis.plan(file).judges}.values()
    assert row["cost"] == pytest.approx((row["input_tokens"] + (row["max_output_tokens"] or 0)) * 3 / 1e6)


def test_prices_of_other_models_alone_are_warned_of(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="themis"):
        themis.plan(write({"models": {"Big": {"input_per_million": 1, "output_per_million": 1}}}))
    (told,) = (each.getMessage() for each in caplog.records)
    assert "`prices` has none for any model that is asked ('big', 'small')" in told
    caplog.clear()
    themis.plan(write({"models": {"big": {"input_per_million": 1, "output_per_million": 1}}}))
    themis.plan(write())
    assert caplog.records == []


def test_prices_are_in_no_identity(write: Write, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(BOTH)
    without, named = themis.plan(write()), themis.plan(write("prices.yaml"))
    inline = themis.plan(write({"models": {"big": {"input_per_million": 1, "output_per_million": 1}}}))
    assert without.run_id == named.run_id == inline.run_id


def test_a_price_nobody_gives_is_unknown_and_said_to_be(write: Write) -> None:
    file = write({"models": {"big": {"input_per_million": 1, "output_per_million": 1}}})
    report = themis.plan(file)
    assert [row["cost"] is None for row in report.per_model] == [False, True]
    assert report.unknown_cost_calls == 1
    shown = CliRunner().invoke(cli, ["plan", str(file)]).stdout
    assert "1 call goes to models without a price (small): what is unknown is in no sum" in shown
    cost = themis.run(file).cost
    assert cost is None or cost > 0


def test_the_model_s_own_price_goes_before_and_that_is_said(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "prices.yaml").write_text(BOTH)
    own = {"input_per_million": 100, "output_per_million": 0}
    with caplog.at_level(logging.WARNING, logger="themis"):
        found = costs(write({"file": "prices.yaml"}, price=own))
    assert found["big"] is not None
    assert found["big"] > 1e-4
    assert [each.getMessage() for each in caplog.records] == [
        "model 'big': its own price counts, and not the other one that `prices` has for it"
    ]


def test_what_the_spec_lists_goes_before_its_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(BOTH)
    prices = {"file": "prices.yaml", "models": {"big": {"input_per_million": 0, "output_per_million": 0}}}
    assert costs(write(prices))["big"] == 0


def test_a_budget_counts_by_the_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(BOTH.replace("big: {input_per_million: 2", "big: {input_per_million: 1e6"))
    file = write("prices.yaml", {"execution_policy": {"max_cost": 0.5}})
    result = themis.run(file)
    assert (result.status, result.cost) == ("stopped", None)  # one call alone may cost more than all that is allowed
    (tmp_path / "prices.yaml").write_text(BOTH.replace("small", "other"))
    with pytest.raises(themis.SpecError, match=r"model 'small' has no price, so max_cost can't bound what it spends"):
        themis.run(file)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("models:\n  big:\n    input_per_milion: 1\n    output_per_million: 1\n",
         "prices.yaml:3: models.big.input_per_milion: unknown key 'input_per_milion'."),
        ("models:\n  big: {input_per_million: 1}\n",
         "prices.yaml:2: models.big: the key 'output_per_million' is missing"),
        ("models:\n  big: {input_per_million: -1, output_per_million: 1}\n",
         "prices.yaml:2: models.big.input_per_million: "),
        ("models:\n  big: free\n", "prices.yaml:2: models.big: "),
        ("big: {input_per_million: 1, output_per_million: 1}\n", "prices.yaml:1: big: unknown key 'big'"),
        ("models: [\n", "prices.yaml:"),
        ("currency: USD\n", "the file has no prices: it is a mapping with `models`"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_with_its_line(write: Write, tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "prices.yaml").write_text(content)
    with pytest.raises(themis.SpecError) as caught:
        themis.plan(write("prices.yaml"))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("prices", "told"),
    [
        ("absent.yaml", "spec.yaml:41: prices.file: "),
        ({"from": "nowhere"}, "prices.from: plugin 'nowhere' is not installed."),
        ({"from": "text"}, "prices.from: plugin 'text' has no table of prices ''. It brings none."),
        ({}, "it has no prices: name a `file`, a table (`from`), or write `models`"),
        (
            {"file": "prices.yaml", "currency": "EUR"},
            "prices are added up, so all are of one currency",
        ),
    ],
)
def test_a_wrong_origin_is_told(write: Write, tmp_path: Path, prices: Any, told: str) -> None:
    (tmp_path / "prices.yaml").write_text(BOTH)
    with pytest.raises(themis.SpecError) as caught:
        themis.plan(write(prices))
    assert told in str(caught.value)


TABLE = """
from themis_core import PriceSpec, PriceTable, hookimpl

class Mine(PriceTable):
    version = "2026-11"

    def price(self, model, provider, endpoint):
        if model == "small-1":
            return RETURNED
        return None

@hookimpl
def themis_register_price_tables(register):
    register("mine", Mine)
"""


def test_a_plugin_s_table_gives_what_nothing_else_does(write: Write, tmp_path: Path) -> None:
    (tmp_path / "table.py").write_text(
        TABLE.replace("RETURNED", "PriceSpec(input_per_million=0, output_per_million=7)")
    )
    mine = {"plugins": {"tables": "./table.py"}}
    both = {"from": "tables/mine", "models": {"small-1": {"input_per_million": 0, "output_per_million": 1}}}
    assert costs(write(both, mine))["small"] == pytest.approx(10 / 1e6)
    file = write({"from": "tables", "currency": "USD"}, mine)
    assert costs(file) == {"big": None, "small": pytest.approx(10 * 7 / 1e6)}
    run_id = themis.run(file).run_id
    with themis.open_results(file) as results:
        prices = results.run(run_id).manifest["prices"]
    assert prices["table"] == {"name": "tables/mine", "version": "2026-11"}


@pytest.mark.parametrize(
    ("returned", "told"), [("0.5", "it returned float, not a PriceSpec"), ("1 / 0", "ZeroDivisionError")]
)
def test_a_table_that_is_broken_is_told_with_its_name(write: Write, tmp_path: Path, returned: str, told: str) -> None:
    (tmp_path / "table.py").write_text(TABLE.replace("RETURNED", returned))
    with pytest.raises(themis.PluginError) as caught:
        themis.plan(write({"from": "tables"}, {"plugins": {"tables": "./table.py"}}))
    assert "the table of prices" in str(caught.value)
    assert told in str(caught.value)
