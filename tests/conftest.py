"""What all tests have in common."""

from __future__ import annotations

import pytest

from themis_core.components import Component


@pytest.fixture(autouse=True)
def _components_of_tests_run_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the tests hundreds of processes. Those of the default lane, and commands in processes, are not spared."""
    monkeypatch.setattr(Component, "runs_in", "thread")
