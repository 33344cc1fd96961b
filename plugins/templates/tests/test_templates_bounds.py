"""What templates may do, and what they may not."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import pytest

from themis_templates import NotThere, Template, TemplateError, bounds


def rendered(template: str, item: dict[str, Any]) -> str:
    return Template(template).render({"item": item}, "item '1'")


@pytest.mark.parametrize(
    ("template", "item", "expected"),
    [
        ("{{ item.q }}", {"q": "1+1?"}, "1+1?"),
        ('{"answer": {"value": 1}}', {}, '{"answer": {"value": 1}}'),
        ("{{ item.q }}", {"q": "{{ item.gold }} {% raw %} {# #}"}, "{{ item.gold }} {% raw %} {# #}"),
        ("{{ item.q }}", {"q": "<b>&amp;</b>"}, "<b>&amp;</b>"),
        ("{{ item.q }}\n", {"q": "line\n"}, "line\n\n"),
        ("{{ item.items }}", {"items": "apples"}, "apples"),
        ("{{ item.values }} {{ item['keys'] }} {{ item.get }}", {"values": 1, "keys": 2, "get": 3}, "1 2 3"),
        ("{{ item.inner.pop }}", {"inner": {"pop": "song"}}, "song"),
        ("{{ item.values() | list }}", {"q": 1}, "[1]"),
        ("{% for each in item.l %}{{ loop.index }}. {{ each }}\n{% endfor %}", {"l": ["a", "b"]}, "1. a\n2. b\n"),
        ("{{ item.a.split('#### ')[-1] }}", {"a": "so #### 42"}, "42"),
    ],
)
def test_templates_render_data_as_it_is(template: str, item: dict[str, Any], expected: str) -> None:
    assert rendered(template, item) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{{ item.__class__ }}",
        "{{ item['__class__'].__mro__ }}",
        "{{ item.q.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__cl' ~ 'ass__']['__mro__'] }}",
        "{{ (item.q | attr('__class__')).__name__ }}",
        "{{ '{0.__class__.__mro__}'.format(item.q) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ item.l.append(1) }}",
        "{{ item.update({'q': 1}) }}",
        "{% include 'secrets' %}",
        "{% for each in range(10 ** 9) %}x{% endfor %}",
    ],
)
def test_no_template_reaches_internals_or_changes_the_item(template: str) -> None:
    item = {"q": "1+1?", "l": [0]}
    with pytest.raises(TemplateError, match="item '1'"):
        rendered(template, item)
    assert item == {"q": "1+1?", "l": [0]}


BIG = "x" * 1_000_000
LOOPS = "{% for a in range(100000) %}"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (LOOPS * 2 + "x" + "{% endfor %}" * 2, "steps"),
        (LOOPS + "{{ item.big }}{% endfor %}", "characters"),
        ("{% macro f() %}" + LOOPS + "{{ item.big }}{% endfor %}{% endmacro %}{{ f() }}", "characters"),
        (LOOPS + "y" * 10_000 + "{% endfor %}", "characters"),
        ("{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}", "steps"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "too much"),
        ("{% for i in [1] recursive %}{{ loop([1, 2]) }}{% endfor %}", "too much"),
        ("{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}", "characters"),
        ("{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}", "characters"),
        (
            "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
            "steps|more than 3 s",
        ),
        ("{% set n = namespace(x=[]) %}" + LOOPS + "{% set n.x = n.x + [item.big[1:]] %}{% endfor %}", "characters"),
        ("{{ [[item.big] * 1000] * 1000 }}", "steps"),
        ("{{ 'a' * 10 ** 9 }}", "characters"),
        ("{{ [1] * 10 ** 9 }}", "characters"),
        ("{{ 10 ** (10 ** 7) }}", "bits"),
        ("{{ 'a' | center(10 ** 9) }}", "number greater"),
        ("{{ 'a'.ljust(10 ** 9) }}", "number greater"),
        ("{{ 'a'.zfill(width=10 ** 9) }}", "number greater"),
        ("{{ range(100000) | map('center', 100000) | join }}", "characters"),
        ("{{ item.big | replace('x', item.big) }}", "characters"),
        ("{{ item.big.replace('', item.big) }}", "characters"),
        ("{{ item.big.join(item.big) }}", "characters"),
        ("{{ ([item.big] * 1000) | join }}", "characters"),
        ("{{ '%1000000000d' % 1 }}", "characters"),
        ("{{ '%*d' % (10 ** 9, 1) }}", "characters"),
        ("{{ '%1000000000d' | format(1) }}", "characters"),
        ("{{ '{:1000000000}'.format(1) }}", "characters"),
        ("{{ ('{0}' * 100000).format(item.big) }}", "characters"),
        ("{{ ('\\t' * 1000000).expandtabs(1000000) }}", "characters"),
        ("{{ ('\\n' * 1000000) | indent(1000000, true) }}", "characters"),
        ("{{ item.big.translate({120: item.big}) }}", "characters"),
        ("{{ item.big | wordwrap(1, true, item.big) }}", "characters"),
        ("{{ item.l | tojson(indent=1000000) }}", "indent"),
        ("{{ range(100000) | select('in', range(100000) | list) | list | length }}", "more than 3 s"),
    ],
)
def test_what_a_template_does_is_bounded_while_it_is_rendered(
    template: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the count of steps or characters is the bound, no slow machine may reach that of time before.
    seconds = 3.0 if "more than 3 s" in why else 60.0
    monkeypatch.setattr(bounds, "MAX_SECONDS", seconds)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory_in_use() + 1_500_000_000, hard))
    begun = time.thread_time()
    try:
        with pytest.raises(TemplateError, match=why):
            rendered(template, {"big": BIG, "l": [1, 2, 3]})
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.thread_time() - begun < seconds + 30


def memory_in_use() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (LOOPS + "x{% endfor %}", "x" * 100_000),
        ("{{ item.big | upper | lower | length }}", "1000000"),
        ("{{ '%5.1f|%s' % (2.25, 'a') }} {{ '{:>4}'.format('b') }} {{ 'ab' * 3 }} {{ 2 ** 100 }}",
         "  2.2|a    b ababab 1267650600228229401496703205376"),
        ("{% for x in item.l %}{{ loop.cycle('a', 'b') }}{{ x }}{% endfor %}", "a1b2a3"),
        ("{{ item.l | map('string') | join(', ') }} {{ item.l | batch(2) }} {{ item.l | select('odd') }}",
         "1, 2, 3 [[1, 2], [3]] [1, 3]"),
        ("{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "3210"),
        ("{{ item.missing | default('none') }}", "none"),
    ],
)  # fmt: skip
def test_what_prompts_do_is_within_the_bounds(template: str, expected: str) -> None:
    assert rendered(template, {"big": BIG, "l": [1, 2, 3]}) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{{ " + "(" * 500 + "1" + ")" * 500 + " }}",
        "{{ " + "[" * 5000 + "]" * 5000 + " }}",
        "{{ " + "not " * 3000 + "1 }}",
        "{{ item" + ".b" * 20_000 + " }}",
        "{% for a in [1] %}" * 25 + "{% endfor %}" * 25,
        "{% if 1 %}" * 120 + "{% endif %}" * 120,
        "{{ " + "9" * 6000 + " }}",
    ],
)
def test_a_template_that_can_not_be_compiled_is_refused(template: str) -> None:
    with pytest.raises(TemplateError, match=r"^the template nests too deeply, or holds too"):
        Template(template)


@pytest.mark.parametrize(
    "template",
    [
        "{{ item.q.upper }}",
        "{{ item['q']['upper'] }}",
        "{{ [item.q.upper] }}",
        "{{ item.q.upper ~ '' }}",
        "{{ item.q.upper | string }}",
        "{{ '%s' % item.q.upper }}",
        "{{ item.q | attr('upper') }}",
        "{{ item.l | map(attribute='real') | map(attribute='bit_length') | join }}",
        "{% if item.q.isdigit %}a number{% endif %}",
        "{{ 'yes' if item.q.isdigit == true }}",
        "{{ item.items }}",
        "{{ item.l.count }}",
    ],
)
def test_a_method_that_is_not_called_is_an_error(template: str) -> None:
    with pytest.raises(TemplateError, match=r"is a method of a (str|dict|list|int): call it"):
        rendered(template, {"q": "1+1?", "l": [1]})


@pytest.mark.parametrize(
    "template",
    [
        "{{ range }}",
        "{{ range(3) }}",
        "{{ namespace() }}",
        "{{ cycler('a') }}",
        "{% for x in [1] %}{{ loop }}{% endfor %}",
    ],
)
def test_an_object_that_is_no_text_is_not_printed(template: str) -> None:
    with pytest.raises(TemplateError, match="which is no text"):
        rendered(template, {})


@pytest.mark.parametrize("template", ["{{ item.l | random }}", "{{ lipsum() }}", "{{ [1, 2] | shuffle }}"])
def test_no_template_draws_at_random(template: str) -> None:
    with pytest.raises(TemplateError, match=r"No filter named|which nothing defines"):
        rendered(template, {"l": [1, 2]})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [True, None]}, '{"b": 1, "a": [true, null]}'),
        ("<b>Tom & Ann's</b>", '"<b>Tom & Ann\'s</b>"'),
        ("Straße, 北京, 😀", '"Straße, 北京, 😀"'),
        ('say "no"\n', '"say \\"no\\"\\n"'),
        (1.5, "1.5"),
    ],
)
def test_tojson_gives_the_rows_own_json(value: Any, expected: str) -> None:
    assert rendered("{{ item.v | tojson }}", {"v": value}) == expected


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ item.questoin }}",
         "the item has no field 'questoin'. Fields: a, deep, question. Did you mean 'question'? (item '1')"),
        ("{{ question }}", ("the template names 'question', which nothing defines. Known: item."
         " Did you mean 'item.question'? (item '1')")),
        ("{{ items.question }}", ("the template names 'items', which nothing defines. Known: item."
         " Did you mean 'item'? (item '1')")),
        ("{{ item.deep.leef }}", ("the template asks for 'leef', which is not there. There are: leaf."
         " Did you mean 'leaf'? (item '1')")),
        ("{{ item['questoin'] ~ 'x' }}", "the item has no field 'questoin'. Fields: a, deep, question."),
        ("{{ item.a.b }}", "the template asks for 'b', which is not there (item '1')"),
        ("{% for each in item.rows %}{% endfor %}", "the item has no field 'rows'. Fields: a, deep, question."),
        ("{{ 1 // 0 }}", "the template can't be rendered for item '1': "),
    ],
)  # fmt: skip
def test_a_name_that_nothing_defines_is_an_error(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        rendered(template, {"question": "1+1?", "a": None, "deep": {"leaf": 1}})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ question }}", ("the template names 'question', which nothing defines. Known: row, tone."
         " Did you mean 'row.question'? (row 1)")),
        ("{{ tone.wrm }}", "the tone has no field 'wrm'. Fields: warm. Did you mean 'warm'? (row 1)"),
        ("{{ row.Qwestion }}", "the row has no field 'Qwestion'. Fields: question. Did you mean 'question'? (row 1)"),
        ("{{ row.question.mark }}", "the template asks for 'mark', which is not there (row 1)"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_of_any_variable(template: str, message: str) -> None:
    with pytest.raises(NotThere) as caught:
        Template(template).render({"row": {"question": "1+1?"}, "tone": {"warm": True}}, "row 1")
    assert str(caught.value) == message


def test_a_syntax_error_names_its_line_in_the_template() -> None:
    with pytest.raises(TemplateError, match=r"^template, line 2: "):
        Template("first\n{% if %}")


def test_a_text_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("themis_templates.template.MAX_RENDERED", 10)
    assert rendered("{{ item.q }}", {"q": "x" * 10}) == "x" * 10
    with pytest.raises(TemplateError, match="more than 10 characters"):
        rendered("{{ item.q }}", {"q": "x" * 11})


def test_what_is_inserted_can_be_encoded_and_only_that() -> None:
    template = Template("a&{{ item.q }}{% if item.q == 'b&c' %}&{{ item.q | upper }}{% endif %}", lambda it: f"<{it}>")
    assert template.render({"item": {"q": "b&c"}}, "item '1'") == "a&<b&c>&<B&C>"
    with pytest.raises(TemplateError, match="has no field 'r'"):
        Template("{{ item.r }}", str).render({"item": {}}, "item '1'")
