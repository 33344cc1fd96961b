"""How messages are put together, and where a template that is wrong stands.

What templates may do is tested where they are rendered, in plugins/templates.
"""

from __future__ import annotations

from typing import Any

import pytest

from themis_core import Item, PromptVariantSpec, SpecError
from themis_core.planning import Prompt
from themis_core.planning.templates import compile_template, render
from themis_core.reading import Place
from themis_sampling import Example

Message = dict[str, Any]


def rendered(template: str, item: dict[str, Any]) -> str:
    return render(compile_template(template, Place()), {"item": item}, Place(loc=("here",)), "'1'")


def prompt(**spec: Any) -> Prompt:
    variant = PromptVariantSpec.model_validate({"id": "p", **spec})
    shots = [Example(each) for each in variant.examples.items] if variant.examples else []
    return Prompt(variant, shots, Place(loc=("prompt",)))


def user(text: str) -> Message:
    return {"role": "user", "content": text}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("first\n{% if %}", "prompt.messages[0].content: template, line 2: "),
        ("{{ " + "(" * 500 + "1" + ")" * 500 + " }}", "prompt.messages[0].content: the template nests too deeply, or "),
    ],
    ids=["syntax", "depth"],
)
def test_a_template_that_can_not_be_compiled_is_a_mistake_of_the_spec(template: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        prompt(messages=[user(template)])
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ item.questoin }}", ("here: the item has no field 'questoin'. Fields: question. Did you mean 'question'?"
         " (item '1')")),
        ("{{ 1 // 0 }}", "here: the template can't be rendered for item '1': "),
        ("{% for a in range(10 ** 9) %}{% endfor %}", "here: the template asks for too much at item '1': "),
    ],
)  # fmt: skip
def test_a_template_that_can_not_be_rendered_names_the_place_and_the_item(template: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        rendered(template, {"question": "1+1?"})
    assert str(caught.value).startswith(message)


ITEM = Item("7", {"q": "1+1?", "pic": "https://x.invalid/1.png"}, reference="2", metadata={"topic": "sums"})


def test_templates_see_the_item_its_variables_and_the_examples() -> None:
    made = prompt(
        messages=[user("{{ tone }}: {{ item.q }} {{ item.id }} {{ item.metadata.topic }} {{ examples[0].q }}")],
        variables={"tone": "kindly {{ item.q }}"},
        examples={"items": [{"q": "0+0?"}]},
    )
    assert made.asks(ITEM).messages == [user("kindly {{ item.q }}: 1+1? 7 sums 0+0?")]


def test_parts_become_text_and_images() -> None:
    parts = [
        {"type": "text", "text": "Look: {{ item.q }}"},
        {"type": "image_url", "image_url": "{{ item.pic }}"},
        {"type": "image_url", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
    ]
    made = prompt(messages=[{"role": "user", "content": parts}])
    assert made.asks(ITEM).messages == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look: 1+1?"},
                {"type": "image_url", "image_url": {"url": "https://x.invalid/1.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
            ],
        }
    ]
    assert made.spec.needs == {"images"}
    assert not prompt(messages=[user("x")]).spec.needs


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
    assert made.asks(ITEM).messages == [*before, *SHOWN, *after]


def test_follow_ups_are_rendered_for_the_item() -> None:
    made = prompt(messages=[user("{{ item.q }}")], follow_ups=[user("Sure about {{ item.q }}"), user("Why?")])
    assert (made.asks(ITEM).messages, made.asks(ITEM).follow_ups) == (
        [user("1+1?")],
        [user("Sure about 1+1?"), user("Why?")],
    )
