"""Copies share nothing that can be changed, and what was changed is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from themis_plain import Handed, own
from themis_plain.copies import MOST_CLASSES


@dataclass
class One:
    value: Any = None


@dataclass(frozen=True, slots=True)
class Record:
    name: str
    data: dict[str, Any] = field(default_factory=dict)
    inner: One = field(default_factory=One)


@dataclass
class Nothing:
    pass


@dataclass(frozen=True)
class Fixed:
    number: int

    def __deepcopy__(self, memo: Any) -> Fixed:
        return self


def test_a_copy_is_equal_and_shares_nothing_that_can_be_changed() -> None:
    record = Record("r", {"a": [1, {"b": (2, [3])}]}, One([4]))
    copy = own(record)
    assert (copy, own(One({})), own(Nothing())) == (record, One({}), Nothing())
    copy.data["a"][1]["b"][1].append(5)
    copy.inner.value.append(6)
    assert record == Record("r", {"a": [1, {"b": (2, [3])}]}, One([4]))


@pytest.mark.parametrize("value", ["text", 1, 1.5, None, (), len, object(), {1}.__iter__(), Fixed(1)])
def test_what_can_not_be_changed_or_is_no_plain_data_is_its_own_copy(value: Any) -> None:
    assert own(value) is value


def test_classes_beyond_those_that_are_remembered_are_copied_as_well() -> None:
    kinds = [type(f"One{number}", (One,), {}) for number in range(3 * MOST_CLASSES)]
    for kind in kinds:
        value = kind([1, {}])
        copy = own(value)
        assert (type(copy), copy.value) == (kind, [1, {}])
        assert copy.value is not value.value


def test_what_nests_too_deeply_to_be_copied_is_refused() -> None:
    deep: Any = 1
    for _ in range(2_000):
        deep = [deep]
    with pytest.raises(ValueError, match="it nests too deeply"):
        own(deep)


def test_who_reads_only_is_not_blamed() -> None:
    handed = Handed(record=Record("r", {"n": float("nan")}, One([1])))
    assert handed["record"].inner == One([1])
    handed.check()


def test_what_is_changed_is_the_copy_and_the_place_is_named() -> None:
    def change(act: Callable[[Record], object]) -> tuple[str, Record]:
        record = Record("r", {"a": [1, {"b": 2}]}, One([1]))
        handed = Handed(record=record)
        act(handed["record"])
        with pytest.raises(TypeError) as raised:
            handed.check()
        return str(raised.value).split()[2].rstrip(","), record

    intact = Record("r", {"a": [1, {"b": 2}]}, One([1]))
    assert change(lambda it: it.data["a"][1].update(b=3)) == ("record.data.a[1].b", intact)
    assert change(lambda it: it.data["a"].append(3)) == ("record.data.a", intact)
    assert change(lambda it: it.data.clear()) == ("record.data", intact)
    assert change(lambda it: setattr(it.inner, "value", None)) == ("record.inner.value", intact)
