"""The compliance suites refuse components that change what they are handed, and take those that don't."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from themis_core import (
    DatasetLoader,
    Extraction,
    Extractor,
    Generation,
    Item,
    Judge,
    JudgedAnswer,
    JudgeReply,
    JudgeRequest,
    Metric,
    Row,
    Score,
)
from themis_core.specs import DatasetQuerySpec, DatasetSpec
from themis_core.testing.extractor import ExtractorSuite
from themis_core.testing.judge import JudgeSuite
from themis_core.testing.loader import DatasetLoaderSuite
from themis_core.testing.metric import MetricSuite

DOES: dict[str, Callable[..., object] | None] = {}
"""What the components of this module do at which method."""


def does(method: str, *handed: Any) -> None:
    if (change := DOES.get(method)) is not None:
        change(*handed)


class Meddling(Metric):
    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        does("score", item, generation, value)
        return Score(float(value == "good"))

    def worst(self, item: Item, generation: Generation) -> Score:
        does("worst", item, generation)
        return Score(0.0)

    def empty(self, item: Item, generation: Generation) -> Score:
        does("empty", item, generation)
        return Score(0.0)

    def unscorable(self, item: Item) -> str | None:
        does("unscorable", item)
        return None


class Asking(Judge):
    def requests(self, judged: JudgedAnswer) -> Sequence[JudgeRequest]:
        does("requests", judged)
        return [JudgeRequest([{"role": "user", "content": "good?"}])]

    def again(self, judged: JudgedAnswer, reply: JudgeReply) -> JudgeRequest | None:
        does("again", judged, reply)
        return None

    def score(self, judged: JudgedAnswer, replies: Sequence[JudgeReply]) -> Score:
        does("judge", judged, replies)
        return Score(reason="no_verdict")


class Reading(Extractor):
    def extract(self, text: str) -> Extraction:
        return Extraction(SHARED if "a" in DOES else json.loads('{"a": [1]}'))


SHARED = {"a": [1]}


class Loading(DatasetLoader):
    def rows(self, spec: DatasetSpec, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
        does("rows", spec, query)
        row: dict[str, Any] = {}
        for number in range(3):
            row = row if "one dict" in DOES else {}
            row["id"] = str(number)
            yield Row(row, f"row {number}")

    def fingerprint(self, spec: DatasetSpec, base_dir: Path) -> dict[str, str]:
        does("fingerprint", spec)
        return {}


def metric() -> None:
    MetricSuite().test_what_it_is_handed_stays_as_it_is(Meddling(), Item("1", {"q": [2, 1]}, "good"), ["good", "bad"])


def judge() -> None:
    judged = JudgedAnswer(Item("1", {"q": [2, 1]}, "good"), Generation("answered", text="x"), "x")
    JudgeSuite().test_what_it_is_handed_stays_as_it_is(Asking(), judged)


def extractor() -> None:
    ExtractorSuite().test_what_it_found_belongs_to_whoever_got_it(Reading())


def rows() -> None:
    DatasetLoaderSuite().test_a_row_stays_as_it_was_when_the_next_is_read(Loading(), dataset(), Path())


def specs() -> None:
    DatasetLoaderSuite().test_spec_and_query_stay_as_they_are(Loading(), dataset(), ("id", "1"), Path())


def dataset() -> DatasetSpec:
    return DatasetSpec.model_validate({"source": "mine/loading", "extras": {"files": ["b", "a"]}})


CHANGES: list[tuple[Callable[[], None], str, Callable[..., object]]] = [
    (metric, "score", lambda item, generation, value: item.fields.clear()),
    (metric, "score", lambda item, generation, value: isinstance(value, list) and value.sort(key=str)),
    (metric, "score", lambda item, generation, value: generation.provider["id"].append("y")),
    (metric, "score", lambda item, generation, value: generation.tool_calls[0].clear()),
    (metric, "score", lambda item, generation, value: isinstance(item.reference, list) and item.reference.pop()),
    (metric, "worst", lambda item, generation: item.metadata["level"].clear()),
    (metric, "empty", lambda item, generation: generation.provider.clear()),
    (metric, "unscorable", lambda item: item.fields.setdefault("seen", True)),
    (judge, "requests", lambda judged: judged.item.fields["q"].sort()),
    (judge, "requests", lambda judged: judged.messages[-1].update(content="x")),
    (judge, "again", lambda judged, reply: reply.request.messages.clear()),
    (judge, "judge", lambda judged, replies: replies.clear()),
    (judge, "judge", lambda judged, replies: judged.generation.provider.clear()),
    (extractor, "a", lambda: None),
    (rows, "one dict", lambda: None),
    (specs, "rows", lambda spec, query: spec.extras["files"].sort()),
    (specs, "rows", lambda spec, query: query.filters.clear()),
    (specs, "fingerprint", lambda spec: spec.extras.clear()),
]


@pytest.mark.parametrize(("suite", "method", "change"), CHANGES)
def test_a_component_that_changes_what_is_not_its_own_is_refused(
    suite: Callable[[], None], method: str, change: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DOES, method, change)
    SHARED["a"] = [1]
    with pytest.raises(AssertionError):
        suite()


@pytest.mark.parametrize("suite", [metric, judge, extractor, rows, specs])
def test_a_component_that_only_reads_is_taken(suite: Callable[[], None]) -> None:
    suite()
