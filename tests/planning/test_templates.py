"""What templates may do, and how messages are put together."""

from __future__ import annotations

from typing import Any

import pytest

from themis_core import Item, PromptVariantSpec, SpecError
from themis_core.planning import Prompt
from themis_core.planning.templates import compile_template, render
from themis_core.specs.problems import Place

Message = dict[str, Any]


def rendered(template: str, item: dict[str, Any]) -> str:
    return render(compile_template(template, Place()), {"item": item}, Place(loc=("here",)), "'1'")


def prompt(**spec: Any) -> Prompt:
    variant = PromptVariantSpec.model_validate({"id": "p", **spec})
    return Prompt(variant, variant.examples.items if variant.examples else [], Place(loc=("prompt",)))


def user(text: str) -> Message:
    return {"role": "user", "content": text}


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
    with pytest.raises(SpecError, match=r"^here: "):
        rendered(template, item)
    assert item == {"q": "1+1?", "l": [0]}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ item.questoin }}",
         "here: the item has no field 'questoin'. Fields: a, question. Did you mean 'question'? (item '1')"),
        ("{{ question }}", ("here: the template names 'question', which nothing defines. Known: item."
         " Did you mean 'item.question'? (item '1')")),
        ("{{ 1 // 0 }}", "here: the template can't be rendered for item '1': "),
    ],
)  # fmt: skip
def test_a_name_that_nothing_defines_is_an_error(template: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        rendered(template, {"question": "1+1?", "a": None})
    assert str(caught.value).startswith(message)


def test_a_syntax_error_names_its_line_in_the_template() -> None:
    with pytest.raises(SpecError, match=r"^prompt\.messages\[0\]\.content: template, line 2: "):
        prompt(messages=[user("first\n{% if %}")])


def test_a_text_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("themis_core.planning.templates.MAX_RENDERED", 10)
    assert rendered("{{ item.q }}", {"q": "x" * 10}) == "x" * 10
    with pytest.raises(SpecError, match="more than 10 characters"):
        rendered("{{ item.q }}", {"q": "x" * 11})


ITEM = Item("7", {"q": "1+1?", "pic": "https://x.invalid/1.png"}, reference="2", metadata={"topic": "sums"})


def test_templates_see_the_item_its_variables_and_the_examples() -> None:
    made = prompt(
        messages=[user("{{ tone }}: {{ item.q }} {{ item.id }} {{ item.metadata.topic }} {{ examples[0].q }}")],
        variables={"tone": "kindly {{ item.q }}"},
        examples={"items": [{"q": "0+0?"}]},
    )
    assert made.messages(ITEM) == [user("kindly {{ item.q }}: 1+1? 7 sums 0+0?")]


def test_parts_become_text_and_images() -> None:
    parts = [
        {"type": "text", "text": "Look: {{ item.q }}"},
        {"type": "image_url", "image_url": "{{ item.pic }}"},
        {"type": "image_url", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
    ]
    made = prompt(messages=[{"role": "user", "content": parts}])
    assert made.messages(ITEM) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look: 1+1?"},
                {"type": "image_url", "image_url": {"url": "https://x.invalid/1.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            ],
        }
    ]
    assert made.has_images
    assert not prompt(messages=[user("x")]).has_images


SYSTEM = {"role": "system", "content": "Be brief."}
SHOTS = {
    "items": [{"q": "0+0?", "a": "0"}, {"q": "2+2?", "a": "4"}],
    "messages": [user("{{ item.q }}"), {"role": "assistant", "content": "{{ item.a }}"}],
}
SHOWN = [user("0+0?"), {"role": "assistant", "content": "0"}, user("2+2?"), {"role": "assistant", "content": "4"}]


@pytest.mark.parametrize(
    ("before", "after"),
    [([SYSTEM], [user("1+1?")]), ([], [user("1+1?")]), ([SYSTEM, {**SYSTEM, "role": "developer"}], [user("1+1?")]),
     ([], [user("1+1?"), SYSTEM])],
)  # fmt: skip
def test_examples_stand_between_the_leading_system_messages_and_the_rest(
    before: list[Message], after: list[Message]
) -> None:
    messages = [*before, *({**m, "content": "{{ item.q }}"} if m["role"] == "user" else m for m in after)]
    made = prompt(messages=messages, examples=SHOTS)
    assert made.messages(ITEM) == [*before, *SHOWN, *after]


def test_follow_ups_are_rendered_for_the_item() -> None:
    made = prompt(messages=[user("{{ item.q }}")], follow_ups=[user("Sure about {{ item.q }}"), user("Why?")])
    assert (made.messages(ITEM), made.follow_ups(ITEM)) == (
        [user("1+1?")],
        [user("Sure about 1+1?"), user("Why?")],
    )
