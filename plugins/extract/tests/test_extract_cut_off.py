"""What is read in answers that hit a length limit: nothing that would be another value, had the answer gone on."""

from __future__ import annotations

from typing import Any

import pytest

from themis_core import Extraction, Extractor, Generation
from themis_core.execution.scoring import here, reading
from themis_core.plugins import Chain
from themis_plugin_extract.boxes import Boxed
from themis_plugin_extract.choices import Choice
from themis_plugin_extract.json_values import Json
from themis_plugin_extract.marked import Tag, WithoutReasoning
from themis_plugin_extract.numbers import FirstNumber, LastNumber
from themis_plugin_extract.patterns import Regex
from themis_plugin_extract.plain import Line, Normalized

BEFORE_THE_NEXT_QUESTION = Regex(pattern=r"(?s)\A(.*?)(?:\n\s*Question:|\Z)")
MARKED = Regex(pattern=r"####\s*(-?\d[\d,]*)", which="last")


def chain(*steps: Extractor) -> Chain:
    named = tuple((f"extract/{type(step).__name__}", step) for step in steps)
    return Chain("found", named[:-1], named[-1:], {})


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (chain(LastNumber()), "So the total is 42"),
        (chain(LastNumber()), "First, 6 times 7 is found by adding 6, 12, 18, 24"),
        (chain(LastNumber()), "We get 13, and then we multiply"),
        (chain(LastNumber()), "The total is 1,000"),
        (chain(FirstNumber()), "42"),
        (chain(FirstNumber()), "It is -3."),  # it may be -3.5
        (chain(MARKED), "6 * 7 = 42\n#### 4"),
        (chain(Regex(pattern="(?m)^A: (.+)$")), "A: 3"),
        (chain(BEFORE_THE_NEXT_QUESTION, LastNumber()), "It is 18"),
        (chain(WithoutReasoning(), LastNumber()), "<think>7</think>It is 18"),
        (chain(Choice()), "The answer is B"),  # it may be "Because"
        (chain(Choice()), "Answer: A"),
        (chain(Line()), "one\ntw"),
        (chain(Json()), "42"),
    ],
)
def test_what_rests_on_the_end_of_a_text_that_was_cut_off_is_not_read(read: Chain, text: str) -> None:
    assert here(reading(read, Generation("truncated", text))) == Extraction(reason="cut_off")
    whole = here(reading(read, Generation("answered", text)))
    assert isinstance(whole, Extraction)
    assert whole.parsed


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (chain(FirstNumber()), "42 it is, since", 42),
        (chain(MARKED), "#### 42\n\nQuestion: How many", "42"),
        (chain(BEFORE_THE_NEXT_QUESTION, LastNumber()), "It is 18.\n\nQuestion: How many bolts? 3 bo", 18),
        (chain(Boxed()), r"so \boxed{42}", "42"),
        (chain(Tag()), "<answer>42</answer>", "42"),
        (chain(Json()), '{"a": 1} is what', {"a": 1}),
        (chain(Choice()), "The answer is B. Let me check it once mo", "B"),
        (chain(Choice()), "B", "B"),  # as with `max_tokens: 1`
        (chain(Choice()), " (c", "C"),
        (chain(Line(which="first")), "one\ntw", "one"),
        (chain(Normalized()), "As Far As It Go", "as far as it go"),
        (chain(WithoutReasoning()), "<think>x</think>As far as it go", "As far as it go"),
        (chain(WithoutReasoning(), Normalized()), "<think>x</think>As far as it go", "as far as it go"),
    ],
)
def test_what_does_not_rest_on_the_end_is_read(read: Chain, text: str, value: Any) -> None:
    assert here(reading(read, Generation("truncated", text))) == Extraction(value)


def test_reasoning_that_was_cut_off_keeps_its_own_reason() -> None:
    read = chain(WithoutReasoning(), LastNumber())
    assert here(reading(read, Generation("truncated", "<think>7"))) == Extraction(reason="unfinished_reasoning")


class Slow(Extractor):
    """Finds short texts, and runs out of time on longer ones."""

    def extract(self, text: str) -> Extraction:
        return Extraction(text) if len(text) < 4 else Extraction(reason="extractor_timeout")


def test_an_extractor_that_runs_out_of_time_on_a_longer_text_leaves_it_undecided() -> None:
    found = here(reading(chain(Slow()), Generation("truncated", "123")))
    assert found is not None
    assert found.reason == "extractor_timeout"
