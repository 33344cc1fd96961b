"""Graded correctness against a reference."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from themis_core import Item, JudgedAnswer
from themis_plugin_judge.markers import as_text
from themis_plugin_judge.prompted import PromptedJudge, Question
from themis_plugin_judge.prompts import CORRECTNESS

__all__ = ["Correctness"]


class Correctness(PromptedJudge):
    """Whether an answer says what the reference says: 1 correct, 0 incorrect, and something between for a part of it.

    Reasons of its own: `no_reference`; `bad_reference` (empty).
    """

    prompt: str = Field(
        CORRECTNESS, description="Template of what is asked: question, reference, answer, partial (whether PARTIAL is)."
    )
    partial_credit: float | None = Field(
        0.5, gt=0, lt=1, description="Value of a partly correct answer; null for judges that know no such grade."
    )

    def unscorable(self, item: Item) -> str | None:
        if item.reference is None:
            return "no_reference"
        return None if as_text(item.reference).strip() and item.reference not in ([], {}) else "bad_reference"

    def questions(self, judged: JudgedAnswer) -> Sequence[Question]:
        partial = {} if self.partial_credit is None else {"PARTIAL": self.partial_credit}
        labels = {"CORRECT": 1.0, **partial, "INCORRECT": 0.0}
        return [Question(self.material(judged), labels, {"partial": bool(partial)})]

    def worth(self, judged: JudgedAnswer, values: Sequence[float]) -> float:
        return values[0]
