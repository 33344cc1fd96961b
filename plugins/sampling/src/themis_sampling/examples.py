"""Worked examples of a prompt: for each item those that don't give its own answer away. Renders and reads nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

__all__ = ["Example", "Examples", "OwnExamples", "plain"]


class Asked(Protocol):
    """An item that is asked about."""

    @property
    def id(self) -> str: ...

    @property
    def fields(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Example:
    """One worked example: what templates see of it. Id and stratum are empty if it is written out in the spec."""

    data: Mapping[str, Any]
    item_id: str = ""
    stratum: str = ""


@dataclass(frozen=True, slots=True)
class OwnExamples:
    """The examples of one item that is among those of its prompt."""

    data: tuple[Mapping[str, Any], ...]
    left_out: int
    """Examples that nothing could be put in the place of."""


class Examples:
    """The examples of one prompt variant, and those that can take their place.

    `spares` is called when the first of them is needed. `ask` renders the prompt as it would be for an example, None if
    an example lacks what an item has. `by_id`: whether equal ids mean equal items, as within one dataset.
    """

    def __init__(
        self,
        shown: Sequence[Example] = (),
        spares: Callable[[], Sequence[Example]] = tuple,
        *,
        ask: Callable[[Mapping[str, Any]], str | None] = lambda data: None,
        by_id: bool = False,
    ) -> None:
        self.shown = tuple(shown)
        self._spares = spares
        self._ask = ask
        self._by_id = by_id

    def own(self, item: Asked, asked: str) -> OwnExamples | None:
        """The examples for an item that is among them; None for all others. `asked` is what the item's prompt says."""
        question = plain(asked)
        main = _main_text(item, question)
        if not any(self._is(example, item, question, main) for example in self.shown):
            return None
        spares = [each for each in self.spares if not self._is(each, item, question, main)]
        own, left_out = [], 0
        for example in self.shown:
            if not self._is(example, item, question, main):
                own.append(example.data)
            elif spares:
                # Of the same stratum if there is one: a stratified choice stays one.
                at = next((n for n, each in enumerate(spares) if each.stratum == example.stratum), 0)
                own.append(spares.pop(at).data)
            else:
                left_out += 1
        return OwnExamples(tuple(own), left_out)

    @cached_property
    def spares(self) -> tuple[Example, ...]:
        return tuple(self._spares())

    @cached_property
    def _questions(self) -> dict[int, str | None]:
        """What each example asks, by its identity; none if they all ask the same, as without any text of their own."""
        asked = {id(each): self._plainly(each) for each in self.shown}
        alike = len(asked) > 1 and len(set(asked.values())) == 1
        return dict.fromkeys(asked) if alike else asked

    def _plainly(self, example: Example) -> str | None:
        asked = self._ask(example.data)
        return None if asked is None else plain(asked)

    def _is(self, example: Example, item: Asked, question: str, main: str) -> bool:
        if self._by_id and example.item_id == item.id:
            return True
        if id(example) not in self._questions:
            self._questions[id(example)] = self._plainly(example)
        asks = self._questions[id(example)]
        if asks is not None:
            return asks == question
        return bool(main) and any(plain(each) == main for each in example.data.values() if isinstance(each, str))


def plain(text: str) -> str:
    """A text for comparison: white space and the case of letters make no difference."""
    return " ".join(text.split()).casefold()


def _main_text(item: Asked, question: str) -> str:
    """The longest text of an item that its prompt shows: what an example that has other fields can share with it."""
    texts = (plain(each) for each in item.fields.values() if isinstance(each, str))
    return max((each for each in texts if each in question), key=len, default="")
