"""The judges fulfil what every judge must, in each way of writing verdicts."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from themis_core import Generation, Item, Judge, JudgedAnswer, JudgeRequest, Plugins
from themis_core.testing.judge import JudgeSuite
from themis_plugin_judge import plugin
from themis_plugin_judge.correctness import Correctness
from themis_plugin_judge.pairwise import Pairwise
from themis_plugin_judge.rubric import Criterion, Rubric
from themis_plugin_judge.scale import Scale

CRITERIA = [Criterion(text="It is short."), Criterion(text="It is rude.", points=-0.5, id="rude")]


def written(request: JudgeRequest, labels: list[str]) -> str | Generation:
    """A reply that puts labels where the request wants them."""
    asked = request.messages[-1]["content"]
    keys = re.findall(r'"(verdict_[0-9a-f]{10}(?:_\d+)?)"', asked.rpartition("Its keys:")[2])
    tags = re.findall(r"^(VERDICT-[0-9a-f]{10}(?:-\d+)?): <verdict>", asked, re.MULTILINE)
    if keys:
        return json.dumps({"explanation": "So it is.", **dict(zip(keys, labels, strict=False))})
    text = "\n".join(f"{tag}: {label}" for tag, label in zip(tags, labels, strict=False))
    if "logprobs" not in request.params:
        return f"So it is.\n{text}"
    logprobs = tuple({"token": each, "logprob": 0.0, "top_logprobs": []} for each in text.partition(labels[0])[:2])
    return Generation("answered", text=text, logprobs=logprobs)


class OfTheJudges(JudgeSuite):
    labels: tuple[list[str], list[str]]
    """Of the worst and of the best verdict."""

    @pytest.fixture
    def judged(self) -> JudgedAnswer:
        item = Item("1", {"q": "Who?", "other": "Nobody."}, reference="Jane", digest="d")
        messages = [{"role": "user", "content": "Who?"}]
        return JudgedAnswer(item, Generation("answered", "Jane."), "Jane.", "m", 0, messages)

    def says(self, request: JudgeRequest, good: bool) -> Any:
        return written(request, self.labels[good])


class TestCorrectness(OfTheJudges):
    labels = ["INCORRECT"], ["CORRECT"]

    @pytest.fixture(
        params=[{}, {"verdict": "json"}, {"logprobs": 3}, {"partial_credit": None, "system": None}], ids=str
    )
    def judge(self, request: pytest.FixtureRequest) -> Judge:
        return Correctness(**request.param)


class TestScale(OfTheJudges):
    labels = ["0"], ["10"]

    @pytest.fixture(params=[{}, {"verdict": "json"}], ids=str)
    def judge(self, request: pytest.FixtureRequest) -> Judge:
        return Scale(low=0, high=10, **request.param)


class TestRubric(OfTheJudges):
    labels = ["NO", "YES"], ["YES", "NO"]

    @pytest.fixture(params=[{}, {"verdict": "json"}, {"logprobs": 3}], ids=str)
    def judge(self, request: pytest.FixtureRequest) -> Judge:
        criteria = CRITERIA if "logprobs" not in request.param else CRITERIA[:1]
        return Rubric(criteria=criteria, **request.param)


class TestPairwise(OfTheJudges):
    @pytest.fixture(params=[{}, {"verdict": "json"}, {"ties": False}], ids=str)
    def judge(self, request: pytest.FixtureRequest) -> Judge:
        return Pairwise(field="other", **request.param)

    def says(self, request: JudgeRequest, good: bool) -> Any:
        baseline_is_a = re.search(
            r"<answer-a-\w+>\nNobody\.\n<", json.loads(json.dumps(request.messages[1]["content"]))
        )
        return written(request, ["A" if good is not bool(baseline_is_a) else "B"])


def test_the_plugin_offers_its_judges() -> None:
    offered = Plugins().load("judge").offers["judge"]
    assert offered == {"correctness": Correctness, "pairwise": Pairwise, "rubric": Rubric, "scale": Scale}
    assert plugin.THEMIS_CONTRACT_VERSION == 1
