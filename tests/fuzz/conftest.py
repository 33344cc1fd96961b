"""How many cases a fuzz run has: few by default, all in `nox -s fuzz`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
SEED = int(os.environ.get("THEMIS_FUZZ_SEED", "20261125"))


@pytest.fixture
def seed() -> int:
    return SEED


@pytest.fixture
def within() -> Callable[[float], AbstractContextManager[None]]:
    """Fail what takes longer than some seconds."""

    @contextmanager
    def limit(seconds: float) -> Iterator[None]:
        def ring(*_: object) -> None:
            raise TimeoutError(f"it takes longer than {seconds:g} s")

        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    return limit
