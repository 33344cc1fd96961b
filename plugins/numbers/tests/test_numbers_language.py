"""What is read as what: one table for finding numbers in prose, and for reading a whole text as one."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from themis_numbers import Found, Notation, find_numbers, read_number
from themis_numbers.prose import numbers_in_prose
from themis_numbers.reading import _by_the_grammar
from themis_numbers.tokens import tokenize

AMBIGUOUS = "ambiguous"

WHOLE = [
    (r"15\,600", 15600),
    (r"$15\,600$", 15600),
    (r"7\;250\;000", 7250000),
    (r"1{,}234{,}567", 1234567),
    (r"115{,}\!000", 115000),
    (r"\$70{,}110.50", Fraction("70110.5")),
    ("12,34,567", 1234567),
    ("1,00,000", 100000),
    ("1_000_000", 1000000),
    ("1 250 000", 1250000),
    ("1\u202f234.5", Fraction("1234.5")),
    (r"3.2 \times 10^{5}", 320000),
    ("3x10^5", 300000),
    (r"-4.5 \cdot 10^{-2}", Fraction("-0.045")),
    ("10⁻³", Fraction("0.001")),
    ("2*10**6", 2000000),
    ("6.02E+23", 602 * 10**21),
    ("3 / 4", Fraction(3, 4)),
    ("-3/4", Fraction(-3, 4)),
    (r"$-\tfrac{22}{7}$", Fraction(-22, 7)),
    (r"\frac12", Fraction(1, 2)),
    (r"\frac1{12}", Fraction(1, 12)),
    (r"\dfrac{-1}{2}", Fraction(-1, 2)),
    ("⅔", Fraction(2, 3)),
    ("2 ½", Fraction(5, 2)),
    (r"2\frac{1}{2}", Fraction(5, 2)),
    ("-1 3/4", Fraction(-7, 4)),
    ("25 m^2", 25),
    ("9.8 m/s²", Fraction("9.8")),
    (r"12\,\text{cm}^3", 12),
    (r"90^\circ", 90),
    ("20 °C", 20),
    ("3M", 3_000_000),
    ("$2.5bn", 2_500_000_000),
    ("$5m", 5_000_000),
    ("5m", 5),
    ("40k", 40_000),
    ("2 crore", 20_000_000),
    ("3 Millionen", 3_000_000),
    ("3万", 30_000),
    ("US$5 million", 5_000_000),
    (r"45\%", 45),
]

UNREAD = [
    "1.234.567,89", "1,2,3", "1,2345", "0,75", "1.2.3.4", "12,345,67", r"2\,50", "16-3", "3 - 4", "5 * 3", "5 ± 1",
    "3:4", "10:30", "1/2/3", "2^10", "5²", r"\sqrt{2}", r"3\sqrt 2", r"2\pi", "2π", r"\frac{\sqrt{3}}{2}",
    r"\frac{x}{2}",
    r"\log_2 8", "2x + 3", "x - 3", "5x", "3 x", "--5", "+-5", "±5", "5 ft 6 in", "2 hours and 30 minutes",
    "2 million 500 thousand", "1億2000", "2.5 thousandths", "3 mil", "0x1F", "10 / 4 / 2", "1/-2",
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), WHOLE)
def test_one_number_is_found_and_read_as_the_same_value(text: str, value: int | Fraction) -> None:
    assert [each.value for each in find_numbers(f"It is {text}")] == [value]
    assert read_number(text) == value


@pytest.mark.parametrize("text", UNREAD)
def test_what_can_not_be_read_whole_is_ambiguous_and_no_part_of_it_is_read(text: str) -> None:
    assert [each.reason for each in find_numbers(text)] == [AMBIGUOUS]
    assert read_number(text) is None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("3 of 4", [3, 4]),
        ("1, 2, 3", [1, 2, 3]),
        ("5 -3", [5, -3]),
        ("in 2020 300 people", [2020, 300]),
        ("12/25/2020", [12, 25, 2020]),
        ("2020-12-25", [2020, 12, 25]),
        ("1,000.5/3 = 333.5", [Fraction(2001, 6), Fraction("333.5")]),
        ("x = - 3", [-3]),
        ("- 3 apples", [3]),
        ("COVID-19, GPT-4", [19, 4]),
        ("the 5-year-old", [5]),
        ("**42** and _43_", [42, 43]),
        ("H2O, x_2, v1.2.3, x^2, a_{12}", []),
        ("答案是42个", [42]),
        ("$5 and $6", [5, 6]),
    ],
)
def test_numbers_of_prose(text: str, values: list[int | Fraction]) -> None:
    assert [each.value for each in find_numbers(text)] == values


@pytest.mark.parametrize("text", ["5 apples", "5 x 3 boxes", "3 foo", "5 or 6", "the answer is 5", "- 3", "", "five"])
def test_prose_is_no_number_as_a_whole(text: str) -> None:
    assert read_number(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3,5", "3.5"),
        ("1.250", "1250"),
        ("1.234,56", "1234.56"),
        ("1 234,5", "1234.5"),
        ("1{,}5", "1.5"),
        (",5", "0.5"),
    ],
)
def test_a_comma_is_the_decimal_mark_where_the_notation_says_so(text: str, value: str) -> None:
    assert read_number(text, Notation(decimal=",")) == Fraction(value)


def test_the_notation_switches_multipliers_percent_and_fractions() -> None:
    assert read_number("3M", Notation(scale_words=False)) == 3
    assert read_number("45 %", Notation(percent_as_fraction=True)) == Fraction("0.45")
    assert read_number("3/4", Notation(fractions=False)) is None


@pytest.mark.parametrize("text", ["1/0", "1e401", "10^{999999999}", "9" * 4_301])
def test_what_has_no_finite_value_says_so(text: str) -> None:
    assert [each.reason for each in find_numbers(text)] == ["not_finite"]
    assert read_number(text) is None


@pytest.mark.parametrize(
    "piece", ["1-", "1 ", r"\frac", r"\frac{1}{", "{1", "-", "$", "1^{", "a_", "1/", "2 ft ", "1 / "]
)
def test_hostile_texts_take_time_in_proportion(piece: str) -> None:
    few, many = (min(_seconds(piece * count) for _ in range(3)) for count in (1_000, 8_000))
    assert many < 30 * max(few, 0.001)  # eight times the text; what grows with its square would take 64 times as long


def _seconds(text: str) -> float:
    started = time.thread_time()
    find_numbers(text)
    return time.thread_time() - started


def by_the_grammar(text: str, notation: Notation) -> list[Found]:
    return _by_the_grammar(text, tokenize(text, notation.decimal), notation)


@given(st.from_regex(r"[-+]?[0-9]{1,30}", fullmatch=True), st.sampled_from([".", ","]), st.booleans())
@example("-0", ".", True)
@example("007", ",", False)
@example("9" * 4_299, ".", True)
@example("-" + "9" * 4_299, ".", True)
def test_a_bare_whole_number_is_read_as_the_grammar_reads_it(text: str, decimal: Any, words: bool) -> None:
    notation = Notation(decimal, words)
    number, [found] = read_number(text, notation), by_the_grammar(text, notation)
    assert number == found.value
    assert type(number) is type(found.value) is int


@pytest.mark.parametrize("text", ["1\n", "١٢", "1-2", "--1", "+-1", "- 1", "1+", "-", "", "²"])
def test_what_only_looks_like_a_bare_whole_number_is_the_grammars_to_read(text: str) -> None:
    found = by_the_grammar(text, Notation())
    assert find_numbers(text) == found
    assert read_number(text) == (found[0].value if text in ("1\n", "١٢") else None)


PIECES = [
    "5", "42", "007", "1,234", "1.5", ".5", "12 345", "1,2", "²", "½", "٣", "2020-12-25",
    " ", "  ", "\n", "\t", "\u00a0", "~", "\\,", "\\ ",
    "a", "I", "x", "it", "kg", "km", "per", "million", "tenths", "k", "M", "USD", "nd", "H2O", "x_2", "π", "e", "e5",
    "\\boxed{", "\\text{cm}", "\\text{", "\\pi", "\\sqrt", "sqrt(", "\\frac", "\\times", "\\cdot", "\\log",
    ".", ",", ":", ";", "!", "?", "=", "<", "'", '"', "_", "(", ")", "[", "{", "}", "^", "^2", "**",
    "-", "–", "+", "±", "*", "/", "÷", "$", "€", "%", "percent", "°", "万", "是", "#", "|",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.sampled_from([".", ","]), st.booleans())
@example("So the answer is 42.", ".", True)
@example("Answer: \\boxed{42}", ",", False)
@example("It is " + "9" * 4_301, ".", True)
@example("2 million 5", ".", True)
def test_numbers_of_a_line_are_those_of_the_grammar(text: str, decimal: Any, switch: bool) -> None:
    notation = Notation(decimal, switch, not switch, switch)
    assert find_numbers(text, notation) == by_the_grammar(text, notation)


def test_whole_numbers_in_prose_need_no_grammar() -> None:
    for text, values in {"So (4), which is: 42.": [4, 42], r"x = \boxed{7}": [7], "none": []}.items():
        found = numbers_in_prose(tokenize(text, "."))
        assert found is not None
        assert [each.value for each in found] == values
    for text in ("5 kg", "-5", "5 million", "$5", "5%", "5:4", "1.5", "x - 5", "2 3/4"):
        assert numbers_in_prose(tokenize(text, ".")) is None
