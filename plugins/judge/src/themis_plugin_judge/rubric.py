"""A rubric: criteria with points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from themis_core import Item, JudgedAnswer
from themis_plugin_judge.prompted import PromptedJudge, Question
from themis_plugin_judge.prompts import RUBRIC

__all__ = ["Criterion", "Rubric"]

_MET: Final = {"YES": 1.0, "NO": 0.0}
_MOST_CRITERIA: Final = 200


class Criterion(BaseModel):
    """One criterion of a rubric."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    text: str = Field(min_length=1, description="What an answer has to do, or what fault it is not to have.")
    points: float = Field(1.0, description="Points for meeting it; negative for a fault.")
    id: str | None = Field(None, description="Short name for the audit trail; the criterion's number by default.")


class Rubric(PromptedJudge):
    """The points of the criteria that an answer meets, as a share of all positive points, in [0, 1].

    Score: max(0, sum of points of criteria met) / sum of positive points (Arora et al. 2025, "HealthBench"). A
    criterion whose verdict can't be read leaves the answer unscored. Reason of its own: `bad_criteria` (the item's
    field holds none).
    """

    prompt: str = Field(
        RUBRIC,
        description="Template of what is asked: question, reference (if any), answer, criteria (each with text).",
    )
    criteria: list[Criterion] | None = Field(
        None, min_length=1, max_length=_MOST_CRITERIA, description="The criteria, the same for all items."
    )
    field: str | None = Field(
        None, min_length=1, description="Instead: field of the item with a list of criteria, each with text and points."
    )
    ask: Literal["together", "each"] = Field(
        "together", description="All criteria in one request, or one request for each: dearer, and less distracted."
    )

    @model_validator(mode="after")
    def _has_criteria(self) -> Rubric:
        if (self.criteria is None) == (self.field is None):
            raise ValueError("give either criteria or field, which says where the items have theirs")
        if self.criteria is not None and not _is_rubric(self.criteria):
            raise ValueError("criteria: none has positive points, so that there is nothing to reach")
        return self

    def unscorable(self, item: Item) -> str | None:
        return None if self._criteria(item) else "bad_criteria"

    def questions(self, judged: JudgedAnswer) -> Sequence[Question]:
        criteria = self._criteria(judged.item) or []
        parts = [{"criterion": each.id or str(number)} for number, each in enumerate(criteria, 1)]
        texts = [{"text": each.text} for each in criteria]
        material = self.material(judged)
        if self.ask == "together":
            return [Question(material, _MET, {"criteria": texts}, parts)]
        return [Question(material, _MET, {"criteria": [text]}, [part]) for text, part in zip(texts, parts, strict=True)]

    def worth(self, judged: JudgedAnswer, values: Sequence[float]) -> float:
        criteria = self._criteria(judged.item) or []
        reached = sum(each.points * value for each, value in zip(criteria, values, strict=True))
        return min(max(0.0, reached / sum(each.points for each in criteria if each.points > 0)), 1.0)

    def _criteria(self, item: Item) -> list[Criterion] | None:
        return self.criteria if self.field is None else _read(item.fields.get(self.field))


def _read(value: Any) -> list[Criterion] | None:
    if not isinstance(value, list) or len(value) > _MOST_CRITERIA:
        return None
    try:
        criteria = [Criterion.model_validate({"text": each} if isinstance(each, str) else each) for each in value]
    except ValidationError:
        return None
    return criteria if _is_rubric(criteria) else None


def _is_rubric(criteria: Sequence[Criterion]) -> bool:
    return any(each.points > 0 for each in criteria)
