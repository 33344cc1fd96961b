"""Which GPUs there are, and who has them."""

from __future__ import annotations

import pytest

from themis_workers import Machine, NoDevice, Seats


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [("", ()), ("-1", ()), ("0", ("0",)), ("2, 3", ("2", "3")), ("GPU-8a", ("GPU-8a",))],
)
def test_what_the_environment_shows_is_what_there_is(
    monkeypatch: pytest.MonkeyPatch, visible: str, gpus: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    here = Machine.here()
    assert here.gpus == gpus
    assert here.cpus >= 1
    assert here.memory_bytes is None or here.memory_bytes > 1_000_000


def test_whole_gpus_are_one_workers_and_parts_are_shared() -> None:
    seats = Seats(("0", "1", "2"))
    assert [seats.take(0.5), seats.take(0.5)] == [("0",), ("0",)]
    assert seats.take(2) == ("1", "2")
    with pytest.raises(NoDevice, match="1 GPU wanted, 0 of 3 free"):
        seats.take(1)
    seats.give_back(("1", "2"), 2)
    assert seats.take(1) == ("1",)
    seats.give_back(("0",), 0.5)
    assert seats.take(0.25) == ("0",)
