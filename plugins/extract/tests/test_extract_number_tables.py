"""Which numbers and which choices are found: one table each."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from themis_core import Extraction
from themis_plugin_extract.choices import Choice
from themis_plugin_extract.numbers import FirstNumber, LastNumber, Number


@pytest.mark.parametrize(
    ("config", "text", "value", "reason"),
    [
        ({}, "3 of 4", 4, None),
        ({"which": "first"}, "3 of 4", 3, None),
        ({}, "A: 3,000", 3000, None),
        ({}, "$1,234.50", 1234.5, None),
        ({}, "1\u202f234\u202f567", 1234567, None),
        ({}, "1'234", 1234, None),
        ({}, "10,20,300", 1020300, None),  # as in India
        ({}, "1,2,3", None, "ambiguous"),
        ({}, "1, 2, 3", 3, None),
        ({"decimal": ","}, "1 234,5", 1234.5, None),
        ({"decimal": ","}, "1.234.567,25 €", 1234567.25, None),
        ({}, "-1.8 billion", -1_800_000_000, None),
        ({"scale_words": False}, "-1.8 billion", -1.8, None),
        ({}, "2.5 thousandths", None, "ambiguous"),
        ({}, "45%", 45, None),
        ({"percent_as_fraction": True}, "45 %", 0.45, None),
        ({"percent_as_fraction": True}, "45 per cent", 0.45, None),
        ({}, "3/4", 0.75, None),
        ({"fractions": False}, "3/4", None, "ambiguous"),
        ({"fractions": True}, "3/4", 0.75, None),
        ({"fractions": True}, "1 3/4 cups", 1.75, None),
        ({"fractions": True}, "8/4", 2, None),
        ({"fractions": True}, "1/0", None, "not_finite"),
        ({}, "1e3", 1000.0, None),
        ({}, "−7", -7, None),
        ({}, "-$5", -5, None),
        ({}, "$-5", -5, None),
        ({}, "16-3", None, "ambiguous"),
        ({"which": "first"}, "(2)-3", None, "ambiguous"),
        ({}, "(2)-3", None, "ambiguous"),
        ({}, "- 3 apples", 3, None),
        ({}, ".5", 0.5, None),
        ({}, "wait...5", 5, None),
        ({}, "it is 5.", 5, None),
        ({}, "5.0", 5.0, None),
        ({}, "the 2nd", 2, None),
        ({}, "5kg", 5, None),
        ({}, "H2O, x2, GPT4, x_2", None, "no_number"),
        ({}, "**42** and _43_", 43, None),
        ({}, "答案是42。", 42, None),
        ({}, "１２３", 123, None),
        ({}, "", None, "no_number"),
        ({}, "4\x002", 2, None),
        ({}, "\ud83d7\u202e", 7, None),
        ({}, "1e400", None, "not_finite"),
        ({}, "-1e99999999999999999999", None, "not_finite"),
        ({}, "9" * 400, 10**400 - 1, None),  # integers are exact at any size
        ({}, "9" * 400 + ".5", None, "not_finite"),
        ({"percent_as_fraction": True}, "9" * 400 + "%", None, "not_finite"),
        ({}, "9" * 1_000_000, None, "not_finite"),
        ({}, "-" * 1_000_000, None, "no_number"),
        ({}, "7" + "\n" * 1_000_000, 7, None),
    ],
)
def test_number(config: dict[str, Any], text: str, value: Any, reason: str | None) -> None:
    extraction = Number.model_validate(config).extract(text)
    assert extraction == Extraction(value, reason)
    assert type(extraction.value) is type(value)


def test_first_and_last_number_are_number_with_which_fixed() -> None:
    assert FirstNumber().extract("3 of 4") == Extraction(3)
    assert LastNumber().extract("3 of 4") == Extraction(4)
    with pytest.raises(ValidationError):
        LastNumber.model_validate({"which": "first"})


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        # rule 1: nothing but a label
        ("B", "B", None),
        ("(b)", "B", None),
        ("**C**.", "C", None),
        ("B)", "B", None),
        # rule 2: statements, the last one counts
        ("The answer is (B).", "B", None),
        ("Answer: d", "D", None),
        ("**Answer:** C", "C", None),
        ("The correct answer is option **B**", "B", None),
        ("I choose A because B is wrong", "A", None),
        ("Answer: A. No, wait. Answer: B", "B", None),
        (r"Final answer: $\boxed{\text{D}}$", "D", None),
        ("答案是B", "B", None),
        ("The answer is A or B", None, "ambiguous"),
        ("the answer is a dog", None, "no_choice"),
        # rule 3: marked labels
        ("Paris, so (A)", "A", None),
        ("B. Paris", "B", None),
        ("I think (A) or maybe (C)", None, "ambiguous"),
        ("A) one\nB) two", None, "ambiguous"),
        # rule 4: labels that stand alone
        ("I'd go with C", "C", None),
        ("A dog is a pet. So C.", "C", None),
        ("It is not A", None, "no_choice"),
        ("Either A, or C", None, "ambiguous"),
        # hostile
        ("", None, "no_choice"),
        ("E", None, "no_choice"),
        ("\x00B\x00", "B", None),
        ("\ud83d Answer: B", "B", None),
        ("\u202eAnswer: B\u202c", "B", None),
        ("a" * 1_000_000, None, "no_choice"),
        ("The answer is " * 4_000, None, "no_choice"),
        ("answer" + " " * 1_000_000, None, "no_choice"),
        ("(A" * 30_000, None, "ambiguous"),
    ],
)
def test_choice(text: str, value: Any, reason: str | None) -> None:
    assert Choice().extract(text) == Extraction(value, reason)


@pytest.mark.parametrize(
    ("choices", "text", "value"),
    [("ABCDE", "Answer: E", "E"), (["1", "2", "3"], "Answer: 2", "2"), ("abc", "The answer is C.", "c")],
)
def test_choice_with_other_labels(choices: Any, text: str, value: str) -> None:
    assert Choice.model_validate({"choices": choices}).extract(text) == Extraction(value)


@pytest.mark.parametrize("choices", ["A", "AA", "Aa", ["A", "BC"], "A-"])
def test_labels_are_different_single_letters(choices: Any) -> None:
    with pytest.raises(ValidationError):
        Choice.model_validate({"choices": choices})
