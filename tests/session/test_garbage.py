"""What a run does to the process that it runs in: nothing that is left when it ends."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress

import pytest

from themis_core.session.garbage import collecting_less


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize(
    ("before", "within"),
    [((700, 10, 10), (20_000, 10, 10)), ((0, 10, 10), (0, 10, 10)), ((50_000, 5, 5), (50_000, 5, 5))],
)
def test_collections_are_rarer_within_and_as_before_after(
    before: tuple[int, int, int], within: tuple[int, int, int]
) -> None:
    gc.set_threshold(*before)
    with suppress(ZeroDivisionError), collecting_less():
        assert (gc.get_threshold(), gc.get_freeze_count() > 0) == (within, True)
        raise ZeroDivisionError
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_of_several_that_overlap_the_last_one_to_end_restores_what_was() -> None:
    gc.set_threshold(700, 10, 10)
    first, second = collecting_less(), collecting_less()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold() == (20_000, 10, 10)
    second.__exit__(None, None, None)
    assert gc.get_threshold() == (700, 10, 10)


def test_circles_that_are_made_within_are_found() -> None:
    class Node:
        pass

    with collecting_less():
        node = Node()
        node.self = node  # type: ignore[attr-defined]
        del node
        assert gc.collect() >= 1


def test_what_the_process_has_left_out_itself_stays_left_out() -> None:
    gc.freeze()
    try:
        with collecting_less():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
