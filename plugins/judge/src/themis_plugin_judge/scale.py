"""A rating on a scale."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from themis_core import JudgedAnswer
from themis_plugin_judge.prompted import PromptedJudge, Question, check_logprobs
from themis_plugin_judge.prompts import SCALE

__all__ = ["Scale"]


class Scale(PromptedJudge):
    """A rating in whole numbers from `low` to `high`; the score is (rating - low) / (high - low), in [0, 1].

    The reference is shown to the judge if the item has one.
    """

    prompt: str = Field(
        SCALE, description="Template of what is asked: question, reference (if any), answer, quality, low, high."
    )
    quality: str = Field(
        "overall quality, which is to be correct, helpful, complete and clear",
        min_length=1,
        description="What is rated, as the prompt says it.",
    )
    low: int = Field(1, ge=0, le=100, description="The worst rating.")
    high: int = Field(5, ge=1, le=100, description="The best rating.")

    @model_validator(mode="after")
    def _is_a_range(self) -> Scale:
        if self.high <= self.low:
            raise ValueError(f"high: {self.high} is not above low, which is {self.low}")
        if self.logprobs is not None:
            check_logprobs(self._labels())
        return self

    def _labels(self) -> dict[str, float]:
        return {str(rating): (rating - self.low) / (self.high - self.low) for rating in range(self.low, self.high + 1)}

    def questions(self, judged: JudgedAnswer) -> Sequence[Question]:
        variables = {"quality": self.quality, "low": self.low, "high": self.high}
        return [Question(self.material(judged), self._labels(), variables)]

    def worth(self, judged: JudgedAnswer, values: Sequence[float]) -> float:
        return values[0]
