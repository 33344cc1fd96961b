"""What the errors say."""

from __future__ import annotations

import pickle

import pytest

from themis_lanes import Crashed, Overdue, Raised


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Overdue(1.5), "not done within 1.5 s"),
        (Overdue(30.0, left_behind=True), "not done within 30 s; it ignores that and was left behind"),
        (Crashed("its process was ended by SIGKILL"), "its process was ended by SIGKILL"),
        (Raised("ValueError", "no such answer", "Traceback …"), "ValueError: no such answer"),
        (Raised("KeyboardInterrupt", ""), "KeyboardInterrupt"),
    ],
)
def test_an_error_says_how_the_call_ended(error: Exception, text: str) -> None:
    assert str(error) == text


def test_what_was_raised_elsewhere_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(Raised("ValueError", "no", "Traceback …")))
    assert (error.name, error.text, error.traceback) == ("ValueError", "no", "Traceback …")
