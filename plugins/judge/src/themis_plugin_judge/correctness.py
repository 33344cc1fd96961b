"""Graded correctness against a reference."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from themis_core import Generation, Item, JudgedAnswer, Score
from themis_plugin_judge.prompted import PromptedJudge, Question
from themis_plugin_judge.prompts import CORRECTNESS

__all__ = ["Correctness"]


class Correctness(PromptedJudge):
    """Whether an answer says what the reference says: 1 correct, 0 incorrect, and something between for a part of it.

    Reason of its own: `no_reference`.
    """

    prompt: str = Field(
        CORRECTNESS, description="Template of what is asked: question, reference, answer, partial (whether PARTIAL is)."
    )
    partial_credit: float | None = Field(
        0.5, gt=0, lt=1, description="Value of a partly correct answer; null for judges that know no such grade."
    )

    def questions(self, judged: JudgedAnswer) -> Sequence[Question] | Score:
        if judged.item.reference is None:
            return Score(reason="no_reference")
        partial = {} if self.partial_credit is None else {"PARTIAL": self.partial_credit}
        labels = {"CORRECT": 1.0, **partial, "INCORRECT": 0.0}
        return [Question(self.material(judged), labels, {"partial": bool(partial)})]

    def worth(self, judged: JudgedAnswer, values: Sequence[float]) -> float:
        return values[0]

    def worst(self, item: Item, generation: Generation) -> Score:
        return Score(reason="no_reference") if item.reference is None else super().worst(item, generation)
