"""Reads exports by the tools that they are for."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def read_by() -> Callable[[str, Path], Any]:
    """What the tool itself finds in an export, by the environment that `nox -s other_tools` makes."""

    def read(tool: str, folder: Path) -> Any:
        python = os.environ.get("THEMIS_OTHER_TOOLS")
        if not python:
            pytest.skip(f"NOT RUN: {tool} is not here to read its export; `nox -s other_tools` brings it")
        command = [python, str(Path(__file__).with_name("other_side.py")), tool, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return read
