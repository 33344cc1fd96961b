"""The shared GSM8K data, for tests of the whole path."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def gsm8k() -> Path:
    """The folder with the GSM8K questions and recorded solutions."""
    shared = Path(os.environ.get("THEMIS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    folder = shared / "gsm8k"
    if not (folder / "test.jsonl").is_file():
        pytest.fail(f"the shared data is not at {folder}: set THEMIS_SHARED_DATA to the folder that holds gsm8k/")
    return folder.resolve()


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def questions(gsm8k: Path) -> dict[str, str]:
    """Question by item id."""
    return {row["id"]: row["question"] for row in read_jsonl(gsm8k / "test.jsonl")}


@pytest.fixture(scope="session")
def solutions(gsm8k: Path) -> list[dict[str, Any]]:
    """All recorded rows of all models."""
    return [row for path in sorted((gsm8k / "solutions").glob("*.jsonl")) for row in read_jsonl(path)]
