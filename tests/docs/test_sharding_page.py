"""The page on sharding: its commands are run, and print what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "sharding.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def themis(folder: Path, *command: str) -> tuple[str, str]:
    whole = [sys.executable, "-m", "themis_core", *command]
    done = subprocess.run(whole, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_the_page_s_commands_print_what_it_says(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns(".themis"))
    commands = [line.partition("#")[0].split()[1:] for line in BLOCKS[0][1].splitlines()]
    assert [each[-1] for each in commands] == ["1/3", "2/3", "3/3"]
    said = [themis(tmp_path, *command) for command in commands]
    for line in BLOCKS[1][1].splitlines():
        assert any(line in err for _, err in said), line
    assert "completed; 160 trials" in said[-1][0]
    assert all("completed" not in out for out, _ in said[:-1])
    again, _ = themis(tmp_path, "run", "examples/quickstart.yaml")
    assert "0 calls answered" in again


def test_the_ledger_of_parts_is_as_the_page_shows_it(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns(".themis"))
    for shard in ("1/6", "4/6"):
        themis(tmp_path, "run", "examples/quickstart.yaml", "--shard", shard)
    shown, _ = themis(tmp_path, "show", "run", "latest", "--spec", "examples/quickstart.yaml")
    assert BLOCKS[2][1] in shown
    listed, _ = themis(tmp_path, "runs", "--spec", "examples/quickstart.yaml")
    assert "unfinished" in listed
    assert "died" not in listed
    assert "6: 2 completed, 4 not begun" in listed
    planned, _ = themis(tmp_path, "plan", "examples/quickstart.yaml", "--shard", "1/6")
    assert "all of this is of shard 1/6" in planned
    assert "16 trials, 16 of them stored, 0 to call" in planned
