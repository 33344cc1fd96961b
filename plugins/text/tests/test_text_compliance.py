"""Every metric against the compliance suite, several configs each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from themis_core import Item, Metric, Plugins
from themis_core.testing.metric import MetricSuite
from themis_plugin_text.choices import ChoiceAccuracy, ChoiceSet
from themis_plugin_text.corpus import Bleu, Chrf, Ter
from themis_plugin_text.json_match import JsonMatch
from themis_plugin_text.matches import Contains, ExactMatch, RegexMatch
from themis_plugin_text.numeric import NumericMatch
from themis_plugin_text.overlap import Rouge, TokenF1

SENTENCES = ["the cat sat on the mat", "a cat is on a mat", "nothing alike", ""]


class OnSentences(MetricSuite):
    @pytest.fixture
    def item(self) -> Item:
        return Item("1", {}, "the cat sat on the mat")

    @pytest.fixture
    def values(self) -> Sequence[Any]:
        return SENTENCES


class TestTextMetrics(OnSentences):
    @pytest.fixture(
        params=[
            ExactMatch(),
            ExactMatch(strip=False, unicode=True, ignore_case=True, ignore_punctuation=True, ignore_articles=True),
            ExactMatch(ignore_whitespace=True),
            Contains(),
            Contains(mode="all", ignore_case=True),
            RegexMatch(),
            RegexMatch(mode="fullmatch", ignore_case=True, timeout_s=0.5),
            TokenF1(),
            Rouge(),
            Rouge(variant="rouge1"),
            Rouge(variant="rouge2", stem=True),
            Rouge(variant="rougeLsum"),
            Bleu(),
            Bleu(tokenize="char", lowercase=True),
            Chrf(),
            Chrf(word_order=2),
            Ter(),
            Ter(normalized=True, ignore_punctuation=True, case_sensitive=True),
        ],
        ids=repr,
    )
    def metric(self, request: pytest.FixtureRequest) -> Metric:
        metric: Metric = request.param
        return metric


class TestRegexMatchWithItsOwnPattern(OnSentences):
    needs_reference = False

    @pytest.fixture
    def metric(self) -> Metric:
        return RegexMatch(pattern=r"(\w+\s?)*mat$", timeout_s=0.2)


class TestNumericMatch(MetricSuite):
    @pytest.fixture(
        params=[NumericMatch(), NumericMatch(tolerance=0.1, relative_tolerance=0.01, decimal=",")], ids=repr
    )
    def metric(self, request: pytest.FixtureRequest) -> Metric:
        metric: Metric = request.param
        return metric

    @pytest.fixture
    def item(self) -> Item:
        return Item("1", {}, 3000)

    @pytest.fixture
    def values(self) -> Sequence[Any]:
        return [3000, "3000 km", "7", "no number"]


class TestChoices(MetricSuite):
    @pytest.fixture(params=[ChoiceAccuracy(), ChoiceSet(), ChoiceSet(partial="jaccard")], ids=repr)
    def metric(self, request: pytest.FixtureRequest) -> Metric:
        metric: Metric = request.param
        return metric

    @pytest.fixture
    def item(self) -> Item:
        return Item("1", {"choices": ["Paris", "Rome"]}, "A")

    @pytest.fixture
    def values(self) -> Sequence[Any]:
        return ["A", "Rome", 1]


class TestJsonMatch(MetricSuite):
    @pytest.fixture(
        params=[
            JsonMatch(),
            JsonMatch(ignore_order=True, tolerance=0.1, ignore_extra_keys=True),
            JsonMatch(per_field=True),
        ],
        ids=repr,
    )
    def metric(self, request: pytest.FixtureRequest) -> Metric:
        metric: Metric = request.param
        return metric

    @pytest.fixture
    def item(self) -> Item:
        return Item("1", {}, {"a": [1, 2], "b": "x"})

    @pytest.fixture
    def values(self) -> Sequence[Any]:
        return [{"a": [1, 2], "b": "x"}, '{"a": [1, 2]}', "no JSON"]


def test_the_plugin_registers_each_metric_under_its_name() -> None:
    assert Plugins().load("text").offers["metric"] == {
        "bleu": Bleu,
        "chrf": Chrf,
        "choice_accuracy": ChoiceAccuracy,
        "choice_set": ChoiceSet,
        "contains": Contains,
        "exact_match": ExactMatch,
        "json_match": JsonMatch,
        "numeric_match": NumericMatch,
        "regex_match": RegexMatch,
        "rouge": Rouge,
        "ter": Ter,
        "token_f1": TokenF1,
    }


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("", ["pydantic", "regex", "sacrebleu", "rouge_score"]),
        ("plugin.themis_register_metrics(lambda name, cls: None)", ["sacrebleu", "rouge_score", "numpy"]),
    ],
)
def test_heavy_packages_are_imported_by_the_metric_that_needs_them(code: str, absent: list[str]) -> None:
    script = (
        "import sys, themis_plugin_text.plugin as plugin; assert plugin.THEMIS_CONTRACT_VERSION == 1\n"
        f"{code}\nprint(sorted(set({absent}) & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
