"""The metric against the compliance suite, its registration, and its README."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from themis_core import Item, Metric
from themis_core.testing.metric import MetricSuite
from themis_plugin_math import plugin
from themis_plugin_math.equivalent import Equivalent

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


class TestEquivalent(MetricSuite):
    @pytest.fixture(
        params=[Equivalent(), Equivalent(tolerance=0.1, relative_tolerance=0.01, percent_as_fraction=False)], ids=repr
    )
    def metric(self, request: pytest.FixtureRequest) -> Metric:
        metric: Metric = request.param
        return metric

    @pytest.fixture
    def item(self) -> Item:
        return Item("1", {}, r"\frac{1}{2}")

    @pytest.fixture
    def values(self) -> Sequence[Any]:
        return ["0.5", 0.5, "7", "no number"]


def test_the_plugin_registers_the_metric_under_its_name() -> None:
    registered: dict[str, type[Metric]] = {}
    plugin.themis_register_metrics(registered.__setitem__)
    assert registered == {"equivalent": Equivalent}


def test_the_time_limit_is_in_no_key_and_all_else_is() -> None:
    assert Equivalent(timeout_s=1).identity() == Equivalent().identity()
    assert set(Equivalent().identity()) == {"tolerance", "relative_tolerance", "percent_as_fraction"}


def test_the_readme_names_every_field_and_its_example_is_valid_config() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (named,) = yaml.safe_load(block)["scores"][0]["metrics"]
    assert Equivalent.model_validate(named["config"]).model_fields_set == set(Equivalent.model_fields)
    assert [
        name for name in Equivalent.model_fields if f"- `{name}`" not in README and f"`{name}`:" not in README
    ] == []


def test_each_row_of_the_readmes_table_is_true() -> None:
    rows = re.findall(r"^\| (`.*`) \| (`.*`) \| (`.*`) \|$", README, re.MULTILINE)
    assert len(rows) >= 10
    for reference, right, wrong in rows:
        item = Item("1", {}, reference.strip("`"))
        for cell, value in ((right, 1.0), (wrong, 0.0)):
            for answer in re.findall(r"`(.*?)`", cell):
                score = Equivalent(timeout_s=60).score(item, None, answer)  # type: ignore[arg-type]
                assert score.value == value, (reference, answer, score)
