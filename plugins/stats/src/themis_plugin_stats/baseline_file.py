"""The form of a baseline file: what is refused of one that was edited by hand, cut off or merged badly."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
    model_validator,
)

__all__ = ["DIGITS", "VERSION", "Filed", "FiledScores"]

VERSION: Final = 1
DIGITS: Final = 24
"""Of an item's digest: enough that no two items of any benchmark share them."""

Digest = Annotated[str, StringConstraints(pattern=f"^[0-9a-f]{{{DIGITS}}}$")]
Counts = dict[str, NonNegativeInt]
Sample = Annotated[list[FiniteFloat], Field(min_length=1)]
"""A score, then its parts."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Open(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Scorer(_Open):
    slice_id: str
    score: str
    metric: str
    component: str
    aggregates_mean: bool
    higher_is_better: bool = True


class _Dataset(_Open):
    slice_id: str
    items: int
    digest: str


class _Plugin(_Open):
    namespace: str


class _Manifest(_Open):
    themis: str
    benchmark: dict[str, Any]
    datasets: list[_Dataset]
    plugins: list[_Plugin]
    scorers: list[_Scorer]


class FiledScores(_Part):
    """The scores of one group and metric."""

    score: str
    metric: str
    slice_id: str
    model: str
    prompt: str
    params: str
    value: FiniteFloat | None
    """The run's own number."""
    ledger: Counts
    items: dict[Digest, FiniteFloat | tuple[FiniteFloat, PositiveInt] | Annotated[list[Sample], Field(min_length=1)]]
    """By digest: the mean; or the mean and how many samples; or, of a number of all items, the samples."""


class Filed(_Part):
    """The whole file."""

    themis_baseline: Literal[1]
    run_id: str
    status: str
    finished_at: str | None
    manifest: _Manifest
    outcomes: list[tuple[str, str, str, str, Counts]]
    scores: list[FiledScores]

    @model_validator(mode="after")
    def _of_one_kind(self) -> Filed:
        means = {(each.slice_id, each.score, each.metric): each.aggregates_mean for each in self.manifest.scorers}
        for index, each in enumerate(self.scores):
            place = (each.slice_id, each.score, each.metric)
            if place not in means:
                raise ValueError(f"scores.{index}: the manifest has no {'/'.join(place)}")
            if any(isinstance(values, list) is means[place] for values in each.items.values()):
                kind = "one score each" if means[place] else "lists of samples with their parts"
                raise ValueError(f"scores.{index}.items: those of {each.metric} are {kind}")
        return self
