"""The judge on the page about plugins fulfils what every judge must."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from themis_core import Generation, Item, Judge, JudgedAnswer, JudgeRequest
from themis_core.testing.judge import JudgeSuite

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


class TestPolite(JudgeSuite):
    @pytest.fixture
    def judge(self) -> Judge:
        blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        names: dict[str, Any] = {"__name__": "page"}
        exec(next(each for each in blocks if "class Polite" in each), names)
        polite: Judge = names["Polite"]()
        return polite

    @pytest.fixture
    def judged(self) -> JudgedAnswer:
        return JudgedAnswer(Item("1", {"q": "Who?"}), Generation("answered", "Sir, me."), "Sir, me.")

    def says(self, request: JudgeRequest, good: bool) -> str:
        tag = re.findall("VERDICT-[0-9a-f]{10}:", request.messages[-1]["content"])[-1]
        return f"I think so. {tag} {'YES' if good else 'NO'}"
