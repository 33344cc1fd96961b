"""Models of equal config share an engine: it starts once, and each of them is in the account and the manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis

PLUGIN = """
from pathlib import Path

from themis_core import Engine, Generation, Usage, hookimpl


class Counting(Engine):
    async def start(self):
        with Path({log!r}).open("a") as stream:
            print("start", file=stream)

    async def generate(self, request):
        return Generation("answered", text=request.model_id, usage=Usage(10, 5))


@hookimpl
def themis_register_engines(register):
    register("counting", Counting)
"""
PRICE = {"input_per_million": 1e6, "output_per_million": 1e6}


def spec(folder: Path, models: list[dict[str, Any]]) -> Path:
    (folder / "mine.py").write_text(PLUGIN.format(log=str(folder / "log")), encoding="utf-8")
    rows = [{"id": "a", "reference": "first"}, {"id": "b", "reference": "first"}]
    data = {
        "project": {
            "storage": {"backend": "sqlite", "root_dir": str(folder / "store")},
            "plugins": {"mine": "mine.py"},
        },
        "benchmark": {
            "benchmark_id": "shared",
            "models": [{"provider": "mine/counting", **each} for each in models],
            "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "{{ item.id }}?"}]}],
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {
                        "source": "files/inline",
                        "fields": {"reference": "reference"},
                        "extras": {"rows": rows},
                    },
                    "generation": {},
                    "scores": [{"name": "n", "metrics": ["text/exact_match"]}],
                }
            ],
        },
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("first", "second", "known", "unknown"),
    # an answer costs 15 with a price; two items for each model
    [
        (None, PRICE, 30.0, 2),
        (PRICE, None, 30.0, 2),
        (PRICE, PRICE, 60.0, 0),
        (None, None, None, 0),
        (None, {"input_per_million": 0.0, "output_per_million": 0.0}, 0.0, 2),
    ],
)
def test_of_models_that_share_an_engine_each_is_in_the_account(
    tmp_path: Path, first: dict[str, float] | None, second: dict[str, float] | None, known: float | None, unknown: int
) -> None:
    models = [{"model_id": name, "price": price} for name, price in (("first", first), ("second", second))]
    result = themis.run(spec(tmp_path, models))
    assert (result.cost, result.unknown_cost_calls) == (known, unknown)
    assert [row.value for row in result.scores] == [1.0, 0.0]
    assert (tmp_path / "log").read_text().splitlines() == ["start"]
    with themis.open_results(spec(tmp_path, models)) as results:
        manifest = results.run(result.run_id).manifest
    assert [each["model"] for each in manifest["models"]] == ["first", "second"]


def test_prices_and_labels_of_models_that_share_an_engine_leave_the_run_the_same(tmp_path: Path) -> None:
    plain = [{"model_id": "first"}, {"model_id": "second"}]
    priced = [{"model_id": "first"}, {"model_id": "second", "price": PRICE}]
    known = {themis.plan(spec(tmp_path, models)).run_id for models in (plain, priced)}
    assert len(known) == 1
