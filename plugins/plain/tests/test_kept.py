"""Records that are written down come back as they were, or are not written down at all."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from themis_plain import Kept, kept

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=12,
)


class Word(str):
    __slots__ = ()


class Pair(NamedTuple):
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class Item:
    id: str
    fields: dict[str, Any]
    reference: Any
    metadata: dict[str, Any]
    output: str | None = None
    model: str | None = None
    digest: str = ""


def item(number: int, **fields: Any) -> Item:
    return Item(f"q{number}", fields, number, {"of": [number]}, None, "m", f"{number:064x}")


def written(items: list[Item]) -> Kept[Item]:
    made = Kept(Item)
    for each in items:
        made.add(each)
    return made


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine, making values is slow
@given(st.lists(PLAIN, max_size=5))
def test_plain_values_come_back_as_they_were(values: list[Any]) -> None:
    items = [item(number, value=value) for number, value in enumerate(values)]
    made = written(items)
    assert made.whole
    assert repr(list(made)) == repr(items)  # 1 is no True, and a tuple no list


@pytest.mark.parametrize("block", [1, 300, 2**16])
@pytest.mark.parametrize("in_memory", [1, 2**21])
def test_items_come_back_in_order_however_they_lie(block: int, in_memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "BLOCK", block)
    monkeypatch.setattr(kept, "IN_MEMORY", in_memory)
    items = [item(number, text="same key, same text", lone="\ud800", n=number) for number in range(50)]
    made = written(items)
    first, second = iter(made), iter(made)
    assert [next(first) for _ in range(20)] == items[:20]
    assert list(second) == items
    assert list(first) == items[20:]  # two readers don't disturb each other


@pytest.mark.parametrize("block", [1, 300, 2**16])
def test_each_can_be_read_by_its_number_where_they_are_indexed(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "BLOCK", block)
    items = [item(number, text="same key, same text", n=number) for number in range(50)]
    made = Kept(Item, indexed=True)
    for each in items[:40]:
        made.add(each)
    assert [made.at(number) for number in reversed(range(40))] == items[39::-1]
    for each in items[40:]:
        made.add(each)
    assert [made.at(number) for number in range(50)] == list(made) == items


def test_what_a_reader_changes_reaches_no_other() -> None:
    made = written([item(1, words=["a"])])
    (changed,) = made
    changed.fields["words"].append("b")
    assert [each.fields["words"] for each in made] == [["a"]]


@pytest.mark.parametrize("odd", [Word("w"), Pair(1, 2), {"a": Word("w")}, [object()], Word, len])
def test_what_may_come_back_as_something_else_is_not_kept(odd: Any) -> None:
    made = written([item(1), item(2, odd=odd), item(3)])
    assert (made.whole, list(made)) == (False, [])


def test_more_than_there_is_room_for_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "BLOCK", 1)
    monkeypatch.setattr(kept, "MOST", 500)
    assert not written([item(number) for number in range(20)]).whole


def test_without_a_folder_for_temporary_files_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError("No usable temporary directory")

    monkeypatch.setattr(kept, "BLOCK", 1)
    monkeypatch.setattr(kept, "IN_MEMORY", 1)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert not written([item(number) for number in range(20)]).whole


def test_the_file_is_closed_with_its_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "BLOCK", 1)
    monkeypatch.setattr(kept, "IN_MEMORY", 1)
    made = written([item(1), item(2)])
    file = made._file
    assert not file.closed
    del made
    gc.collect()
    assert file.closed
