"""Records are read back by their places, from memory or from a file."""

from __future__ import annotations

import pytest

from themis_plain import Parked, parked


@pytest.mark.parametrize("in_memory", [2**22, 1])
def test_records_are_read_back_by_their_places_in_any_order(in_memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parked, "IN_MEMORY", in_memory)
    waiting = Parked[tuple[str, int]]()
    records = [("x" * number, number) for number in (0, 7, 5_000)]
    places = [waiting.add(each) for each in records]
    assert [waiting.at(place) for place in reversed(places)] == records[::-1]
    last = waiting.add(("later", 9))  # after something was read
    assert (waiting.at(last), waiting.at(places[1])) == (("later", 9), records[1])
