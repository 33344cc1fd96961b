"""What the progress says of the time that is left."""

from __future__ import annotations

import time

import pytest

from themis_core.execution import Progress


@pytest.mark.parametrize(
    ("planned", "stored", "done", "reused", "left_s"),
    # left_s: seconds left after 10 s
    [
        (100, 0, 20, 0, 40.0),  # 80 to make at 2 a second
        (1000, 900, 920, 900, 40.0),  # all stored ones were found
        (1000, 900, 20, 0, 40.0),  # none of them was found yet: 80 to make, and not 980
        (1000, 900, 520, 500, 40.0),
        (100, 0, 60, 40, 20.0),  # reused from another run: 40 to make
        (100, 100, 100, 100, None),  # nothing made, so there is no rate
        (100, 98, 20, 10, 0.0),  # failed trials are tried again: never less than nothing
    ],
)
def test_stored_trials_take_no_time(planned: int, stored: int, done: int, reused: int, left_s: float | None) -> None:
    now = Progress(planned, stored=stored, done=done, reused=reused, started=time.monotonic() - 10)
    assert now.eta_s == (None if left_s is None else pytest.approx(left_s, rel=0.05))
