"""Frozen dataclasses that are made quickly are like others in all else."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest

from themis_plain import own, quick


@quick
@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Named(Point):
    name: str = "p"


@dataclass(frozen=True)
class Loose(Point):
    """Without slots of its own, so with a `__dict__`."""


def test_fields_are_set_by_place_by_name_and_by_default():
    assert repr(Point(1)) == "Point(x=1, y=2, tags=[])"
    assert Point(1, 5, ["a"]) == Point(y=5, x=1, tags=["a"])
    assert Point(1).tags is not Point(1).tags


@pytest.mark.parametrize("wrong", [{}, {"x": 1, "z": 2}])
def test_what_does_not_fit_is_refused(wrong: dict[str, int]):
    with pytest.raises(TypeError, match=r"Point\.__init__|unexpected|missing"):
        Point(**wrong)


def test_what_is_made_is_frozen():
    point = Point(1)
    with pytest.raises(FrozenInstanceError):
        point.x = 3  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        point.z = 3  # type: ignore[attr-defined]
    assert type(point) is Point
    assert not hasattr(point, "__dict__")


def test_copies_pickles_and_replacements_are_equal_and_of_the_class():
    point = Point(1, tags=["a"])
    for other in (own(point), copy.deepcopy(point), pickle.loads(pickle.dumps(point)), replace(point, y=2)):
        assert other == point
        assert type(other) is Point
    assert replace(point, x=7).x == 7


@pytest.mark.parametrize("kind", [Named, Loose])
def test_a_subclass_is_made_as_itself(kind: type[Point]):
    assert type(kind(1)) is kind
    assert (kind(1, y=4).y, kind(1).tags) == (4, [])


@quick
@dataclass(frozen=True, slots=True)
class One:
    point: Point


@pytest.mark.parametrize("value", [One(Point(1)), Named(1, name="n"), Point(1, 2, [])])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_records_of_one_field_and_subclasses_are_pickled_as_well(value: object, protocol: int):
    other = pickle.loads(pickle.dumps(value, protocol))
    assert other == value
    assert type(other) is type(value)


def test_the_signature_is_that_of_the_dataclass():
    signature = inspect.signature(Point)
    assert list(signature.parameters) == [each.name for each in fields(Point)]
    assert signature.parameters["y"].default == 2
    assert repr(signature.parameters["tags"].default) == "<factory>"
    assert signature.parameters["x"].annotation == "int"


def test_a_class_that_does_more_when_it_is_made_stays_as_it_is():
    @quick
    @dataclass(frozen=True, slots=True)
    class Even:
        n: int

        def __post_init__(self) -> None:
            if self.n % 2:
                raise ValueError(self.n)

    @quick
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Told:
        n: int

    with pytest.raises(ValueError, match="3"):
        Even(3)
    with pytest.raises(TypeError):
        Told(3)  # type: ignore[misc]
