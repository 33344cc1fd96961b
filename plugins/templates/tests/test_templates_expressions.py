"""Expressions: whether they hold, what they read, and that hostile text and costly ones end as errors."""

from __future__ import annotations

import pytest

from themis_templates import Expression, NotThere, Template, TemplateError

CONTEXT = {"answer": "{{ 7 * 7 }} It is DONE.", "answers": ["a", "b"], "turn": 2, "item": {"order": "A17", "none": ""}}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("'DONE' in answer", True),
        ("'done' in answer", False),
        ("'done' in answer|lower", True),
        ("turn == 2 and not item.none", True),
        ("item.none", False),
        ("answers[-1] == 'b'", True),
        ("'49' in answer", False),  # what a model writes is text
        ("item.missing is defined", False),
        ("turn", True),
        ("turn - 2", False),
        ("(item.none or 'default') == 'default'", True),
        ("answer|lower == 'x' or 'É'|lower in 'é'", True),
        ("'A' in item.order and '1' in item.order|lower", True),
    ],
)
def test_an_expression_holds_or_not(text: str, holds: bool) -> None:
    assert Expression(text).holds(CONTEXT, "item 1") is holds


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("'a' in", "expression, line 1: "),
        ("'a' in answer %} x", "expression, line 1: "),
        ("{{ 'a' in answer }}", "without braces"),
        ("{% if answer %}", "without braces"),
        ("answer|nofilter", "expression, line 1: No filter named 'nofilter'."),
        ("", "expression, line 1: "),
        ("'yes' or 'no' in answer", "'yes' stands by itself"),
        ("turn == 1 and not ('a' in answer or 'b')", "'b' stands by itself"),
        ("'Order' in answer|lower", "'Order' is never in a text that `lower` made: write 'order'"),
        ("turn and 'Order' not in answer.lower()", "write 'order'"),
        ("answer|upper == 'done'", "write 'DONE'"),
        ("(" * 5000 + "1" + ")" * 5000, "nests too deeply"),
    ],
)
def test_what_is_no_expression_is_refused(text: str, told: str) -> None:
    with pytest.raises(TemplateError) as raised:
        Expression(text)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("answr", "the template names 'answr', which nothing defines"),
        ("item.ordr == 'x'", "the item has no field 'ordr'"),
        ("answer.__class__", "can't be rendered for item 1"),
        ("'x' * 10 ** 9", "a repetition of more than"),
        ("answers[7]", "can't be rendered for item 1"),
        ("answer.upper", "call it, as in .upper()"),
    ],
)
def test_what_fails_is_an_error(text: str, told: str) -> None:
    with pytest.raises(TemplateError) as raised:
        Expression(text).holds(CONTEXT, "item 1")
    assert told in str(raised.value)


def test_the_variable_in_which_a_name_is_missing_is_told() -> None:
    for text, of in (("answr", "answr"), ("item.ordr == 'x'", "item"), ("deep.inner.x == 1", None)):
        with pytest.raises(NotThere) as raised:
            Expression(text).holds({**CONTEXT, "deep": {"inner": {}}}, "item 1")
        assert raised.value.of == of


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("Hello.", {}),
        ("{{ item.a }} {{ item['b'] }}", {"item": {"a", "b"}}),
        ("{{ item.a }} {{ item }}", {"item": None}),
        ("{{ item[name] }}", {"item": None, "name": None}),
        ("{% for x in item.rows %}{{ x.y }}{% endfor %}", {"item": {"rows"}}),
        ("{% set item = {} %}{{ item.a }}", {}),
        ("{{ item.values() }}", {"item": None}),
        ("{{ item.text.upper() }}", {"item": {"text"}}),
        ("{{ range(3)|join }} {{ tone }}", {"tone": None}),
    ],
)
def test_what_a_template_reads_is_known(text: str, reads: dict[str, set[str] | None]) -> None:
    assert Template(text).reads == reads
