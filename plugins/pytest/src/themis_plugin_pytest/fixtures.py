"""The fixture `themis_run`.

pytest imports this module wherever it is installed, so Themis is imported only when a test runs a spec.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import pytest

if TYPE_CHECKING:
    from themis_core import BenchmarkSpec, ProjectSpec
    from themis_plugin_pytest.checked import CheckedRun

__all__ = ["RunSpec", "themis_run"]

_T = TypeVar("_T")


class RunSpec(Protocol):
    """The type of the fixture `themis_run`."""

    def __call__(
        self,
        spec: str | Path | BenchmarkSpec,
        *,
        project: str | Path | ProjectSpec | None = None,
        overrides: Sequence[str] = (),
        limit: int | None = None,
        models: Sequence[str] = (),
    ) -> CheckedRun:
        """Run a spec as `themis_core.run` does, and return its result, which can assert on itself.

        Relative paths start at the folder of the test file. What the run gave is shown if the test fails.
        """


@pytest.fixture
def themis_run(request: pytest.FixtureRequest) -> RunSpec:
    """Run a Themis spec and assert on its result; what the run gave is shown if the test fails."""

    def run_spec(
        spec: str | Path | BenchmarkSpec,
        *,
        project: str | Path | ProjectSpec | None = None,
        overrides: Sequence[str] = (),
        limit: int | None = None,
        models: Sequence[str] = (),
    ) -> CheckedRun:
        __tracebackhide__ = True
        from themis_plugin_pytest.checked import run_checked

        folder = request.path.parent
        result = run_checked(_beneath(folder, spec), _beneath(folder, project), overrides, limit, models, folder)
        request.node.add_report_section("call", f"themis {result.run_id}", result.told())
        return result

    return run_spec


def _beneath(folder: Path, named: str | Path | _T) -> Path | _T:
    return folder / named if isinstance(named, str | Path) else named
