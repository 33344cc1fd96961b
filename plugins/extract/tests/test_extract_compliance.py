"""Every extractor against the compliance suite, several configs each."""

from __future__ import annotations

import subprocess
import sys

import pytest

from themis_core import Extractor, Plugins
from themis_core.testing.extractor import ExtractorSuite
from themis_plugin_extract.boxes import Boxed
from themis_plugin_extract.choices import Choice
from themis_plugin_extract.json_values import Json
from themis_plugin_extract.marked import Tag, WithoutReasoning
from themis_plugin_extract.numbers import FirstNumber, LastNumber, Number
from themis_plugin_extract.patterns import Regex
from themis_plugin_extract.plain import Line, Normalized

SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "pattern": r"^(\w+\s?)*$"}}}


class TestExtractors(ExtractorSuite):
    @pytest.fixture(
        params=[
            Boxed(),
            Boxed(which="first"),
            Choice(),
            Choice(choices=("1", "2", "3")),
            Choice(multiple=True),
            FirstNumber(),
            Json(),
            Json(which="first", path='a[0]["b"].c', schema_=SCHEMA),
            LastNumber(),
            Line(),
            Line(which="first"),
            Normalized(),
            Normalized(ignore_punctuation=True, ignore_articles=True, whitespace="remove"),
            Number(decimal=",", fractions=True, percent_as_fraction=True, scale_words=False),
            Regex(pattern=r"(?m)^A: (.+)$", which="last"),
            Regex(pattern=r"(\w+\s?)*$", timeout_s=0.5),
            Regex(pattern=r"(?:a+)+c", which="last", flags=("ignorecase", "dotall"), timeout_s=0.5),
            Tag(),
            Tag(which="first", strip=False),
            WithoutReasoning(tags=("think", "reasoning")),
        ],
        ids=repr,
    )
    def extractor(self, request: pytest.FixtureRequest) -> Extractor:
        extractor: Extractor = request.param
        return extractor


def test_the_plugin_registers_each_extractor_under_its_name() -> None:
    assert Plugins().load("extract").offers["extractor"] == {
        "boxed": Boxed,
        "choice": Choice,
        "first_number": FirstNumber,
        "json": Json,
        "last_number": LastNumber,
        "line": Line,
        "normalized": Normalized,
        "number": Number,
        "regex": Regex,
        "tag": Tag,
        "without_reasoning": WithoutReasoning,
    }


def test_reading_the_plugin_module_imports_neither_regex_nor_jsonschema() -> None:
    code = (
        "import sys, themis_plugin_extract.plugin as plugin; assert plugin.THEMIS_CONTRACT_VERSION == 1;"
        "print(sorted({'regex', 'jsonschema', 'referencing', 'pydantic'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
