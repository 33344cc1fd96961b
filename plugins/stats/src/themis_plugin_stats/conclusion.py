"""The conclusion `stats/compare`: which side is better, said at the end of a run; a gate if the spec asks for it.

scipy is imported when it concludes, so that a spec that names it is planned as fast as others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, model_validator

from themis_core import Conclusion, Finding, Item, Results, SpecError, counted, current_folder, path_kind, resolve_path
from themis_intervals import decimals
from themis_plugin_stats.gating import unjudged
from themis_plugin_stats.naming import check_clusters, check_names, check_stored, compared_slices
from themis_plugin_stats.previous import reference_before

if TYPE_CHECKING:
    from themis_plugin_stats.result import Comparison
    from themis_plugin_stats.verdicts import Pair

__all__ = ["Compare"]

PREVIOUS = "previous"
Verdict = Literal["better", "worse", "equivalent", "inconclusive"]


class Compare(Conclusion):
    """Says which of the run's models (prompts, settings) is better, or whether the run is better than another one."""

    seconds_per_call: ClassVar[float | None] = 600.0

    by: Literal["model", "prompt", "params"] | None = Field(
        None, description="What of the run is compared; the first of these of which it has several by default."
    )
    only: list[str] = Field(default_factory=list, description="Those that take part; all by default.")
    baseline: str | None = Field(None, description="The one that the others are compared with; else each with each.")
    against: str | None = Field(
        None,
        min_length=1,
        description="Another run, that this one is compared with: a file that `themis baseline set` wrote, the id of a "
        "stored run, or `previous`, the last one of this benchmark before this one that met its gate.",
    )
    metric: list[str] = Field(default_factory=list, description="Scores or metrics; the spec's first by default.")
    slice: str | None = Field(None, description="The only slice that is compared.")
    margin: float | None = Field(None, gt=0, allow_inf_nan=False, description="The difference that does not matter.")
    cluster: str | None = Field(None, description="Metadata field: items that share its value may resemble each other.")
    correction: Literal["holm", "bh", "none"] = Field("holm", description="Of the p-values of several comparisons.")
    unpaired: bool = Field(False, description="Compare runs that have no items in common.")
    fail_if: list[Verdict] = Field(default_factory=list, description="Verdicts with which the run is not met.")
    max_drop: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="How much worse the number may be; the run is not met if it is more.",
    )
    max_drop_of: Literal["value", "bound"] = Field(
        "value",
        description="Whether `max_drop` is of the number as it is, or of the worse end of its 90 % interval: then the "
        "run must show, at a one-sided level of 5 %, that it is not worse by more.",
    )
    max_unpaired: float | None = Field(
        None,
        ge=0,
        le=1,
        description="The share of either side's scores that may have no pair, and of its trials that may have failed; "
        "the gate is not met if more have. By default 0.05, and no slice, prompt or model that one side alone has.",
    )
    _base_dir: Path | None = PrivateAttr(None)
    _slices: list[str] = PrivateAttr(default_factory=list)

    @model_validator(mode="after")
    def _fits(self) -> Compare:
        if self.against is not None and (self.baseline is not None or self.by is not None):
            raise ValueError("`against` compares with another run, `by` and `baseline` within this one: leave one out")
        directed = self.max_drop is not None or {"better", "worse"} & set(self.fail_if)
        if directed and self.against is None and self.baseline is None:
            raise ValueError(
                "which is better and which worse depends on what is compared with what: name a `baseline` of the run, "
                "or `against` another run"
            )
        if self.unpaired and self.cluster is not None:
            raise ValueError("clusters are for paired comparisons: leave out one of `cluster` and `unpaired`")
        if self.max_drop_of == "bound" and self.max_drop is None:
            raise ValueError("`max_drop_of` says what `max_drop` is of: give `max_drop` as well")
        if self.max_unpaired is not None and not self.is_gate:
            raise ValueError("`max_unpaired` is of a gate: give `fail_if` or `max_drop` as well")
        if "equivalent" in self.fail_if and self.margin is None:
            raise ValueError("`equivalent` is within a `margin`: give one")
        return self

    @property
    def is_gate(self) -> bool:  # type: ignore[override]
        """Whether the run is not met if nothing can be concluded."""
        return bool(self.fail_if) or self.max_drop is not None

    def check(self, base_dir: Path) -> None:
        """Look for the baseline file, and hold on to where it is."""
        self._base_dir = base_dir
        if self.against is not None and self.against.endswith(".json"):
            path = resolve_path(self.against, base_dir)
            if path_kind(path) != "file":
                raise SpecError(f"there is no baseline {path}: `themis baseline set RUN -o {self.against}` writes one")
            from themis_plugin_stats.baselines import read_baseline

            read_baseline(path, self.metric)

    def check_spec(self, benchmark: Any) -> None:
        check_names(self, benchmark)
        self._slices = compared_slices(self, benchmark)

    def check_run(self, results: Results | None, items: Mapping[str, Iterable[Item]]) -> None:
        """Look for the run that this one is compared with, and for what the items are clustered by."""
        if self.against is not None and self.against != PREVIOUS and not self.against.endswith(".json"):
            check_stored(self.against, results)
        if self.cluster is not None:
            for name in self._slices:
                check_clusters(self.cluster, name, items[name])

    def conclude(self, results: Results, run_id: str) -> Sequence[Finding]:
        from themis_plugin_stats.comparing import compare

        against = self._against(results, run_id)
        if against is None:
            told = "there is no earlier run of this benchmark to compare with"
            return [Finding(told, None, {"conclusion": self._place()})]
        options: dict[str, Any] = {"by": self.by, "baseline": self.baseline} if self.against is None else {}
        part = f":slice={self.slice}" if self.slice else ""
        runs = [f"{each}{part}" for each in (*([against] if against else []), run_id)]
        found = compare(
            *runs, results=results, only=self.only, metric=self.metric, margin=self.margin, cluster=self.cluster,
            correction=self.correction, unpaired=self.unpaired, **options,
        )  # fmt: skip
        return [self._finding(found)]

    def _against(self, results: Results, run_id: str) -> str | None:
        """The other run, or the file; empty if there is none to compare with, None if there is none yet."""
        if self.against is None:
            return ""
        if self.against.endswith(".json"):
            return str(resolve_path(self.against, self._base_dir or current_folder()))
        if self.against != PREVIOUS:
            return self.against
        return reference_before(results, run_id, self._place())

    def _place(self) -> dict[str, Any]:
        """What makes a finding one of this conclusion, in each run of the benchmark."""
        return {"against": self.against, "metric": self.metric, "slice": self.slice}

    def _finding(self, found: Comparison) -> Finding:
        missed = []
        if self.is_gate:
            missed = list(dict.fromkeys(told for each in found.pairs for told in self._missed(found, each)))
        text = "\n".join([found.verdict, *missed, *found.caveats(), *_could_say(found)])
        return Finding(text, not missed if self.is_gate else None, {**found.to_dict(), "conclusion": self._place()})

    def _missed(self, found: Comparison, each: Pair) -> list[str]:
        """Why a pair does not meet the gate."""
        names = f"{each.b} against {each.a}, {each.name}"
        if each.difference is None:
            return [f"{names}: nothing could be compared, so the gate can't be judged"]
        told = [f"{names}: {why}" for why in unjudged(each, self.max_unpaired)]
        if self.max_unpaired is None and found.left_out:
            told.append(f"one side alone has {', '.join(found.left_out)}")
        if each.verdict in self.fail_if:
            told.append(f"{names}: {each.verdict}, which fail_if names")
        if self.max_drop is not None and (drop := self._drop(each, self.max_drop)) is not None:
            told.append(f"{names}: {drop}")
        return told

    def _drop(self, each: Pair, most: float) -> str | None:
        """What is said of a drop of more than `most`; None if it is less."""
        ends = (each.low_90, each.high_90) if self.max_drop_of == "bound" else (each.difference, each.difference)
        worst = ends[0] if each.higher_is_better else ends[1]
        drop = None if worst is None else -worst if each.higher_is_better else worst
        if drop is not None and drop <= most + 1e-12:
            return None
        told = "of unknown size" if drop is None else f"{drop:.4g}"
        what = "may be worse by" if self.max_drop_of == "bound" else "is worse by"
        return f"{what} {told}, and max_drop is {most:g}"


def _could_say(found: Comparison) -> list[str]:
    """Whether so many items can say so: what they could show at least, of the first metric's pairs."""
    first = [each for each in found.pairs if each.name == found.pairs[0].name and each.smallest is not None]
    if not first or any(each.verdict == "inconclusive" for each in first):
        return []  # the verdict says it
    least = max(each.smallest or 0.0 for each in first)
    count = min(each.n for each in first)
    told = f"would show a true difference of {decimals(least)} four times out of five"
    return [f"{counted(count, 'item')} can say so, and {told}."]
