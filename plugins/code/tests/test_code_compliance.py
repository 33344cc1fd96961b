"""The extractor and the metric against the compliance suites."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from themis_core import Extractor, Item
from themis_core.testing.extractor import ExtractorSuite
from themis_core.testing.metric import MetricSuite
from themis_plugin_code import plugin
from themis_plugin_code.blocks import Python
from themis_plugin_code.unit_tests import UnitTests

HUMAN_EVAL = Item(
    "1",
    {
        "prompt": 'def double(x):\n    """Twice x."""\n',
        "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(0) == 0\n",
        "entry_point": "double",
    },
)
MBPP = Item("2", {"text": "Write a function that doubles.", "test_list": ["assert double(2) == 4"]})


class TestExtractors(ExtractorSuite):
    @pytest.fixture(params=[Python(), Python(which="first")], ids=repr)
    def extractor(self, request: pytest.FixtureRequest) -> Extractor:
        extractor: Extractor = request.param
        return extractor


class TestUnitTests(MetricSuite):
    needs_reference = False

    @pytest.fixture(params=[1, 2])
    def metric(self, request: pytest.FixtureRequest) -> UnitTests:
        return UnitTests(k=request.param)

    @pytest.fixture
    def item(self, metric: UnitTests) -> Item:
        return HUMAN_EVAL if metric.k == 1 else MBPP

    @pytest.fixture
    def values(self) -> Sequence[Any]:
        return ["def double(x):\n    return 2 * x\n", "def double(x):\n    return x\n", "no program", "1 / 0"]


def test_the_plugin_registers_its_components_under_their_names() -> None:
    registered: dict[str, type[Any]] = {}
    plugin.themis_register_extractors(registered.__setitem__)
    plugin.themis_register_metrics(registered.__setitem__)
    assert registered == {"python": Python, "unit_tests": UnitTests}


def test_the_readme_names_every_setting_with_its_default() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    settings = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", readme, re.MULTILINE))
    written = {"setup": "`[test_setup_code, test_imports]`", "require": "all five"}
    for name, field in UnitTests.model_fields.items():
        default = field.default
        written.setdefault(
            name, f"`{default}`" if isinstance(default, str) else f"{default}".lower().removesuffix(".0")
        )
    assert settings == written


def test_reading_the_plugin_module_imports_little() -> None:
    code = (
        "import sys, themis_plugin_code.plugin as plugin; assert plugin.THEMIS_CONTRACT_VERSION == 1;"
        "print(sorted({'click', 'ctypes', 'pydantic', 'subprocess'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
