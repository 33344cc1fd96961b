"""What all tests have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from themis_core.components import Component


@pytest.fixture(autouse=True, scope="session")
def _components_of_tests_run_in_threads() -> Iterator[None]:
    """Spare the tests hundreds of processes. Those of the default lane, and commands in processes, are not spared."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Component, "runs_in", "thread")
        yield
