"""What models make of a document: numbers as they are meant, and mistakes in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from themis_documents import dotted, parse_source
from themis_documents.mistakes import in_words, known_keys, written_loc
from themis_documents.numbers import UnclearNumber, as_meant


class Part(BaseModel):
    name: str = Field("x", max_length=3)
    other: int | str = 0


class Counts(BaseModel):
    most: float | None = None
    either: int | bool = 0
    only_no: int | Literal[False] = 0
    anything: Any = None


class Whole(BaseModel, extra="forbid"):
    label: str = Field("", alias="as")
    parts: list[Part] = []
    by_name: dict[str, Part | None] = {}
    config: dict[str, Any] = {}
    anything: Any = None


def data_of(text: str) -> Any:
    return parse_source(text, "yaml", "x.yaml").data


def test_the_examples_in_the_readme_hold() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, Any] = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)


def test_a_number_is_text_as_it_was_written_where_text_is_meant() -> None:
    data = data_of("as: 1.10\nparts: [{name: 007}]\nby_name: {a: {name: +1}}\nanything: 5\nconfig: {a: 0x1F}")
    meant = as_meant(data, Whole, later={"config"})
    assert meant == {
        "as": "1.10",
        "parts": [{"name": "007"}],
        "by_name": {"a": {"name": "+1"}},
        "anything": 5,
        "config": {"a": 31},
    }
    assert meant["config"]["a"].written == "0x1F"


def test_a_number_that_may_be_text_is_refused_with_its_place() -> None:
    with pytest.raises(UnclearNumber) as raised:
        as_meant(data_of("parts: [{}, {other: 007}]"), Whole)
    assert raised.value.loc == ("parts", 1, "other")
    assert str(raised.value) == "007 would be read as the number 7: quote it if it is text, or write 7"
    assert as_meant(data_of("anything: 007"), Whole, free=int) == {"anything": 7}


def test_true_is_refused_only_where_nothing_but_a_number_can_be_meant() -> None:
    with pytest.raises(UnclearNumber, match="true would be read as 1: write the number that is meant"):
        as_meant({"most": True}, Counts)
    data = {"most": None, "either": True, "only_no": False, "anything": True}
    assert as_meant(data, Counts) == data


@pytest.mark.parametrize(
    ("text", "loc", "words"),
    [
        ("parts: [{name: abcd}]", "parts[0].name", "should be text of at most 3 characters"),
        ("parts: {}", "parts", "should be a list"),
        ("parts: [{other: []}]", "parts[0].other", "should be a whole number"),
        ("what is: 1", '"what is"', "unknown key"),
    ],
)
def test_a_mistake_is_told_in_words_at_the_place_that_the_user_wrote(text: str, loc: str, words: str) -> None:
    data = as_meant(data_of(text), Whole)
    with pytest.raises(ValidationError) as raised:
        Whole.model_validate(data)
    detail = raised.value.errors()[0]
    assert (dotted(written_loc(detail["loc"], data)), in_words(detail)) == (loc, words)


@pytest.mark.parametrize(
    ("loc", "known"),
    [
        ((), ["as", "parts", "by_name", "config", "anything"]),
        (("parts", 0), ["name", "other"]),
        (("parts", 0, "name"), []),
        (("nothing",), []),
    ],
)
def test_the_keys_that_a_place_takes_are_known(loc: tuple[str | int, ...], known: list[str]) -> None:
    assert known_keys(Whole, loc) == known
