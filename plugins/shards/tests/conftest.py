"""What the tests of recipes share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

sys.path.insert(0, str(Path(__file__).parent))  # for what the tests here share

from stand_ins import STAND_IN, StandIn, write_spec

from themis_core.cli import cli


@pytest.fixture
def stand_in(tmp_path: Path) -> StandIn:
    place = tmp_path / "stand-in"
    place.mkdir()
    (place / "stand in.py").write_text(STAND_IN)
    made = StandIn(place)
    made.ends({})
    return made


@pytest.fixture(params=['it\'s a "$HOME" $(id) `id` $$ größe-日本-%A-\\t;&|*', "zwei\nZeilen"])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_spec(tmp_path / request.param)


@pytest.fixture
def plain_spec(tmp_path: Path) -> Path:
    return write_spec(tmp_path / "plain")


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command, in this process and in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def command(*arguments: str | Path) -> Result:
        return CliRunner().invoke(cli, ["shards", *map(str, arguments)])

    return command
