"""Preference between an answer and a baseline, asked in both orders."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from themis_core import Item, JudgedAnswer, Score
from themis_plugin_judge.prompted import PromptedJudge, Question
from themis_plugin_judge.prompts import PAIRWISE

__all__ = ["Pairwise"]


class Pairwise(PromptedJudge):
    """1 if an answer is better than the baseline's, 0 if it is worse, 0.5 for a tie; the mean is the win rate.

    Each pair is asked in both orders, and a ballot is the mean of the two: a judge that always prefers the first gives
    0.5. Reasons of its own: `no_baseline` (the item's field holds no text), `baseline_refused`, `baseline_empty`,
    `is_baseline` (the answer is the baseline).
    """

    prompt: str = Field(
        PAIRWISE,
        description="Template of what is asked: question, reference (if any), answer_a, answer_b, quality, ties.",
    )
    quality: str = Field(
        "overall quality, which is to be correct, helpful, complete and clear",
        min_length=1,
        description="What is compared, as the prompt says it.",
    )
    field: str | None = Field(None, min_length=1, description="Field of the item with the baseline's answer.")
    model: str | None = Field(
        None, min_length=1, description="Instead: id of the model of the same slice that is the baseline."
    )
    ties: bool = Field(True, description="Whether the judge may say TIE.")

    @property
    def baseline_model(self) -> str | None:
        return self.model

    @model_validator(mode="after")
    def _has_a_baseline(self) -> Pairwise:
        if (self.field is None) == (self.model is None):
            raise ValueError("give either field, with a recorded baseline answer, or model, a model of the slice")
        return self

    def unscorable(self, item: Item) -> str | None:
        if self.field is None:
            return None
        baseline = item.fields.get(self.field)
        return None if isinstance(baseline, str) and baseline.strip() else "no_baseline"

    def questions(self, judged: JudgedAnswer) -> Sequence[Question] | Score:
        baseline = judged.item.fields.get(self.field) if self.field is not None else None
        if judged.baseline is not None:
            if judged.baseline.status in ("refused", "empty"):
                return Score(reason=f"baseline_{judged.baseline.status}")
            baseline = judged.baseline.text
        return [self._question_in(judged, order, str(baseline)) for order in ("ab", "ba")]

    def _question_in(self, judged: JudgedAnswer, order: str, baseline: str) -> Question:
        material = self.material(judged)
        answers = (material.pop("answer"), baseline)
        material["answer_a"], material["answer_b"] = answers if order == "ab" else answers[::-1]
        labels = {"A": 1.0, "B": 0.0} if order == "ab" else {"A": 0.0, "B": 1.0}
        if self.ties:
            labels["TIE"] = 0.5
        variables = {"quality": self.quality, "ties": self.ties}
        return Question(material, labels, variables, [{"order": order}], ("answer_a", "answer_b"))

    def worth(self, judged: JudgedAnswer, values: Sequence[float]) -> float:
        return sum(values) / len(values)
