"""Pages that write down whatever they ask for and whatever goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from click.testing import CliRunner

from themis_core.cli import cli

if TYPE_CHECKING:
    from playwright.sync_api import Page


@dataclass
class Watched:
    """An open page, with what it asked for after it was loaded, and its errors and warnings."""

    page: Page
    asked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def hits(self) -> list[str]:
        return [each.strip() for each in self.page.locator("#hits button").all_inner_texts()]

    def count(self, text: str) -> None:
        """Wait until so many results are told."""
        self.page.locator("#count").get_by_text(text, exact=True).wait_for()


Open = Callable[..., Watched]


def report(spec: Path, output: Path) -> Path:
    """Write the report of the spec's latest run."""
    done = CliRunner().invoke(cli, ["report", "--spec", str(spec), "-o", str(output)], prog_name="themis")
    assert done.exit_code == 0, done.output
    return output
