"""Messages of the role `tool` name the call whose result they are."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from themis_core import Generation, Item, PromptMessage, PromptVariantSpec
from themis_core.planning.templates import Prompt
from themis_core.reading import Place


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"role": "tool", "content": "4"}, "needs tool_call_id"),
        ({"role": "tool", "content": [{"text": "4"}]}, "needs tool_call_id"),
        ({"role": "tool", "content": "4", "tool_call_id": None}, "needs tool_call_id"),
        ({"role": "tool", "content": "4", "tool_call_id": ""}, "at least 1 character"),
        ({"role": "user", "content": "4", "tool_call_id": "c1"}, "is for the role tool"),
        ({"role": "assistant", "content": "4", "tool_call_id": "c1"}, "is for the role tool"),
    ],
)
def test_a_message_without_the_call_that_it_answers_is_refused(message: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PromptMessage.model_validate(message)


def test_the_result_of_a_tool_is_sent_with_the_id_of_its_call() -> None:
    said = {"role": "tool", "content": "{{ item.r }}", "tool_call_id": "c1"}
    spec = PromptVariantSpec.model_validate(
        {"id": "p", "messages": [{"role": "user", "content": "q"}], "follow_ups": [said]}
    )
    assert Prompt(spec, [], Place()).asks(Item("a", {"r": "4"})).follow_ups == [
        {"role": "tool", "tool_call_id": "c1", "content": "4"}
    ]


def test_an_answer_stays_in_the_history_with_its_tool_calls() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    said = Generation("answered", tool_calls=(call,)).as_message()
    assert said == {"role": "assistant", "content": "", "tool_calls": [call]}
    assert Generation("answered", "4").as_message() == {"role": "assistant", "content": "4"}
