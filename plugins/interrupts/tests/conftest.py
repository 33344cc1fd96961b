"""Signals as a terminal leaves them, wherever the tests run."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _no_signal_is_ignored() -> Iterator[None]:
    """In the background SIGINT is ignored, and under `nohup` SIGHUP; what the tests start would inherit that."""
    as_usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in as_usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
