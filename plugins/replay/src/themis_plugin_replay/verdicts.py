"""The judge that knows its verdicts: they were recorded, and no model is asked."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import Field, PrivateAttr, model_validator

from themis_core import Item, Judge, JudgedAnswer, JudgeReply, JudgeRequest, Score, SpecError, digest, shown_path
from themis_plugin_replay.columns import KeyColumns, KeyFields, reader
from themis_plugin_replay.engine import files_of
from themis_plugin_replay.reading import rows

__all__ = ["VerdictFields", "Verdicts"]

_NUMBER: Final = re.compile(r"[-+]?(?:\d{1,15}(?:\.\d{0,30})?|\.\d{1,30})(?:e[-+]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_NONE: Final = frozenset({"", "null", "none", "nan", "na"})
"""How files write that there is no verdict, in small letters."""
_Key = tuple[str, str, int]


class VerdictFields(KeyFields):
    """Columns of a recorded verdict; a dot reaches into nested objects."""

    verdict: str = Field("verdict", description="Column of the verdict: a number, or null where there is none.")


class Verdicts(Judge):
    """Scores answers with verdicts that were recorded, found by item id, model and sample; no model is asked.

    The score is (verdict - low) / (high - low), in [0, 1], or with `rescale: false` the verdict itself. With
    preferences from 1 (the baseline is better) to 2 (the answer is better) its mean is the win rate. Reasons:
    `no_verdict` (recorded as null or NaN), `missing` or `absent` (not recorded). Refused and empty answers have the
    verdicts that were recorded for them, too.
    """

    runs_in = "inline"

    asks_models: ClassVar[bool] = False
    # Where the files are changes no verdict; what is in them does, see `identity`.
    not_identity: ClassVar[frozenset[str]] = frozenset({"path"})

    path: str = Field(
        description="Recorded verdicts: JSON Lines, JSON or CSV, also with `.gz` or `.zst`, or a glob. Relative to the "
        "spec file. `{model_id}` stands for the id of each model of the slice, with `__` for each slash in it; other "
        "files are not read.",
        min_length=1,
    )
    fields: VerdictFields = Field(
        default_factory=VerdictFields, description="Which columns hold id, verdict and the rest."
    )
    low: float = Field(0.0, description="The worst verdict there can be.")
    high: float = Field(1.0, description="The best verdict there can be.")
    rescale: bool = Field(
        True, description="Make scores from 0 to 1 of the verdicts; false keeps them as they are, from low to high."
    )
    draws: list[float] = Field(
        default_factory=list,
        description="Verdicts outside of the range that mean a draw, and so 0.5: `[0]` for older preferences.",
    )
    missing: Literal["failed", "absent"] = Field(
        "failed",
        description="What a verdict that was never recorded is: missing, which thresholds count, or absent, because "
        "that is right.",
    )

    _verdicts: dict[_Key, float | None] | None = PrivateAttr(None)
    _known: dict[str, bool] = PrivateAttr(default_factory=dict)
    """Item id to whether any answer to it has a verdict."""
    _content: list[list[str]] = PrivateAttr(default_factory=list)
    _models: tuple[str, ...] = PrivateAttr(())

    @property
    def lowest(self) -> float:  # type: ignore[override]
        return 0.0 if self.rescale else self.low

    @property
    def highest(self) -> float:  # type: ignore[override]
        return 1.0 if self.rescale else self.high

    @model_validator(mode="after")
    def _is_a_range(self) -> Verdicts:
        if self.high <= self.low:
            raise ValueError(f"high: {self.high:g} is not above low, which is {self.low:g}")
        if "{model_id}" in self.path and self.fields.model is not None:
            raise ValueError("fields.model: path has {model_id} already, which says the model")
        if inside := [each for each in self.draws if self.low <= each <= self.high]:
            raise ValueError(f"draws: {inside[0]:g} is in the range, where it is a verdict like any other: take it out")
        return self

    def for_models(self, model_ids: Sequence[str]) -> Verdicts:
        if "{model_id}" not in self.path:
            return self
        fitted = self.model_copy()
        fitted._models = tuple(model_ids)
        return fitted

    def check(self, base_dir: Path) -> None:
        """Read the files. Raises SpecError that names file and line for the first thing that is wrong in them."""
        columns, verdict = KeyColumns(self.fields), reader(self.fields.verdict)
        verdicts: dict[_Key, float | None] = {}
        first: dict[_Key, str] = {}
        content = []
        for model, path in files_of(self.path, base_dir, self._models):
            with path.open("rb") as stream:
                content.append([model, hashlib.file_digest(stream, "sha256").hexdigest()])
            for line, row in rows(path):
                try:
                    key = columns.key(row, model)
                    verdicts[key] = self._value(verdict(row), row)
                except ValueError as error:
                    raise SpecError(str(error), path=shown_path(path), line=line) from error
                where = f"{shown_path(path)}:{line}"
                if key in first:
                    message = f"a second verdict for item {key[1]!r}, sample {key[2]}; the first is at {first[key]}"
                    hint = "" if self.fields.model else "; name the column of the model in fields.model"
                    raise SpecError(message + hint, path=shown_path(path), line=line)
                first[key] = where
        self._verdicts, self._content = verdicts, sorted(content)
        self._known = {}
        for (_, item_id, _), value in verdicts.items():
            self._known[item_id] = self._known.get(item_id, False) or value is not None

    def _value(self, verdict: Any, row: dict[str, Any]) -> float | None:
        """The score that a verdict is; None if there is none. Raises ValueError for what is no verdict."""
        column = self.fields.verdict
        if verdict is None and column not in row and column.partition(".")[0] not in row:
            raise ValueError(f"there is no column {column!r}; the row has: {', '.join(row) or 'none'}")
        number = _number(verdict, column)
        if number is None:
            return None
        if number in self.draws:
            return (self.lowest + self.highest) / 2
        if not self.low <= number <= self.high:
            raise ValueError(
                f"the column {column!r} has {number:g}, which is not from low ({self.low:g}) to high ({self.high:g}); "
                "if it means a draw, put it into draws"
            )
        return (number - self.low) / (self.high - self.low) if self.rescale else number

    def identity(self) -> dict[str, Any]:
        """The config without the path, and a digest of what the files hold. Needs `check` before it."""
        return {**super().identity(), "content": digest(self._content)}

    def unscorable(self, item: Item) -> str | None:
        """`missing` or `no_verdict`, if that holds for the answers of all models and samples to an item.

        None for what is absent: that is right, and nothing to tell of in the plan.
        """
        if self._verdicts is None or self._known.get(item.id):
            return None  # without `check`, `score` says so
        return "no_verdict" if item.id in self._known else None if self.missing == "absent" else "missing"

    def requests(self, judged: JudgedAnswer) -> Sequence[JudgeRequest]:
        return []

    def score(self, judged: JudgedAnswer, replies: Sequence[JudgeReply]) -> Score:
        if self._verdicts is None:
            raise RuntimeError("replay/verdicts is used before `check`, which reads the recording")
        model = judged.model_id if self.fields.model is not None or "{model_id}" in self.path else ""
        key = (model, judged.item.id, judged.sample_index)
        value = self._verdicts.get(key)
        unrecorded = "absent" if self.missing == "absent" else "missing"
        reason = None if value is not None else "no_verdict" if key in self._verdicts else unrecorded
        verdict = {"judge": "recorded", "repeat": 0, "value": value, "reason": reason}
        return Score(value, reason, details={"verdicts": [verdict]})


def _number(verdict: Any, column: str) -> float | None:
    if verdict is None or (isinstance(verdict, float) and math.isnan(verdict)):
        return None
    if isinstance(verdict, str):
        text = verdict.strip()
        if text.lower() in _NONE:
            return None
        if _NUMBER.fullmatch(text):
            return float(text)
    elif isinstance(verdict, int | float) and not isinstance(verdict, bool) and math.isfinite(verdict):
        return float(verdict)
    raise ValueError(f"the column {column!r} has {verdict!r}; a number or null was expected")
