"""Line ends arrive as they were written."""

from __future__ import annotations

import pytest
from jinja2 import Environment

from themis_templates import Template, TemplateError

CONTEXT = {"item": {"q": "a\r\nb\nc\rd"}, "rows": [1, 2]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("one|two", "one|two"),
        ("one|{{ item.q }}|two|", "one|a\r\nb\nc\rd|two|"),
        ("{% if true %}|one|{% endif %}", "|one|"),
        ("{% for row in rows -%}|{{ row }}|{% endfor %}|", "1|2||"),
        ("{{ 'one|two' }}", "one|two"),
        ("{# a|comment #}||one", "||one"),
        ("|", "|"),
    ],
)
def test_a_line_end_stays_as_it_is(template: str, expected: str, end: str) -> None:
    text = expected.replace("|", end)
    assert Template(template.replace("|", end)).render(CONTEXT, "item 1") == text


def test_jinja_alone_makes_all_of_them_one() -> None:
    assert Environment().from_string("one\r\ntwo").render() == "one\ntwo"


@pytest.mark.parametrize("text", ["a\r\nb\nc", "a\rb\nc", "a\n\rb", "{% if x %}\r\na\n{% endif %}"])
def test_several_kinds_are_refused(text: str) -> None:
    with pytest.raises(TemplateError, match=r"line ends of \d kinds \('.*'\), and can keep one: use one kind"):
        Template(text)
