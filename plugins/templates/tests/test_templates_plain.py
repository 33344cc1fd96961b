"""Templates of names and simple conditions give what Jinja2 gives, without it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from themis_templates import Template, TemplateError
from themis_templates.plain import joined, parts_of

PIECES = [
    "{{ q }}", "{{- q -}}", "{{q}}", "{{ item.q }}", "{{ item['q'] }}", '{{ item["a b"] -}}', "{{ n }}",
    "{{ gone }}", "{{ item.n }}", "{{ item.gone }}", "{{ item.items }}", "{{ none }}", "{{ self }}",
    "{{ not }}", "{{ item }}", "{{ long }}", "{% if q %}", "{%- if yes -%}", "{% if no %}", "{% if gone %}",
    "{% if item %}", "{% if nothing %}", "{% if big %}", "{% else %}", "{%- else %}", "{% endif %}",
    "{%- endif -%}", "{% if %}", "{% endif q %}", "{% elif q %}", "{% raw %}", "{{", "}}", "{%", "%}", "{#",
    "#}", "{", "}", "-", " ", "\n", "\u00a0", "text", "é", "{{ q", "{# q #}", "{{ q | upper }}",
]  # fmt: skip
CONTEXT = {
    "q": "{{ n }} <b>\n", "n": 7, "yes": True, "no": False, "nothing": None, "big": 10**30, "none": "none",
    "long": 10**20,
    "item": {"q": "x", "a b": "y", "n": -1, "items": "column"},
}  # fmt: skip


def by_jinja(text: str) -> str:
    template = Template(text)
    template._parts = None
    return template.render(CONTEXT, "item 1")


@settings(deadline=None)  # the first one imports Jinja2
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_what_is_put_together_is_what_jinja_gives(text: str) -> None:
    parts = parts_of(text)
    without = None if parts is None else joined(parts, CONTEXT)
    if without is not None:
        assert by_jinja(text) == without


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Q: {{ item.q }}\nA:", "Q: x\nA:"),
        ("{{ item['a b'] }}{{ n }}", "y7"),
        ("{% if yes -%}\n a {%- else %}b{% endif %}\n", "a\n"),
        ("{% if no %}a{% if yes %}b{% endif %}{% else %}c{% endif %}", "c"),
        ("{% if nothing %}a{% endif %}plain\n", "plain\n"),
    ],
)
def test_common_templates_need_no_jinja(text: str, expected: str) -> None:
    parts = parts_of(text)
    assert parts is not None
    assert joined(parts, CONTEXT) == by_jinja(text) == expected


@pytest.mark.parametrize(
    "text", ["{{ gone }}", "{% if gone %}a{% endif %}", "{{ item.gone }}", "{% if q %}", "{{ q }}{% endif %}"]
)
def test_what_is_wrong_is_told_by_jinja(text: str) -> None:
    with pytest.raises(TemplateError):
        Template(text).render(CONTEXT, "item 1")


def test_many_conditions_within_each_other_are_no_recursion() -> None:
    assert parts_of("{% if q %}" * 1000 + "{% endif %}" * 1000) is None


def test_jinja_is_not_imported_for_them() -> None:
    code = (
        "import sys; from themis_templates import Template; "
        "assert Template('{% if q %}{{ item.q }}{% endif %}').render({'q': 1, 'item': {'q': 'a'}}, '') == 'a'; "
        "sys.exit('jinja2' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
