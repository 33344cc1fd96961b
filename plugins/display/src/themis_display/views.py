"""Which rows of a result are shown, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol, TypeVar

import click

from themis_display.shapes import Row
from themis_display.tables import NAMES, columns_of
from themis_output import safe
from themis_plain import placed

__all__ = ["View", "view_options"]

AnyRow = TypeVar("AnyRow", bound=Row)
AnyRow_co = TypeVar("AnyRow_co", bound=Row, covariant=True)


class Grouped(Protocol[AnyRow_co]):
    """What can group the numbers of a run."""

    def groups(
        self, run_id: str, by: Sequence[str] = (), *, repeats: str | None = None, totals: bool = False
    ) -> Sequence[AnyRow_co]: ...


@dataclass(frozen=True, slots=True)
class View:
    """What of a result is shown, and how."""

    by: tuple[str, ...] = ()
    repeats: str | None = None
    metrics: tuple[str, ...] = ()
    sort: str | None = None
    wide: bool = False

    @classmethod
    def taken(cls, options: dict[str, Any]) -> View:
        """That of the options of `view_options`, which are taken out of the others."""
        by = tuple(name.strip() for each in options.pop("by") for name in each.split(",") if name.strip())
        return cls(by, **{name: options.pop(name) for name in ("repeats", "metrics", "sort", "wide")})

    @property
    def is_plain(self) -> bool:
        """Whether all rows are shown, as they come."""
        return self == View(wide=self.wide)

    def groups(self, results: Grouped[AnyRow], run_id: str) -> Sequence[AnyRow]:
        """What `by` and `repeats` ask for: the groups, then their totals."""
        if not self.by and self.repeats is None:
            return []
        return results.groups(run_id, self.by, repeats=self.repeats, totals=True)

    def check(self, metrics: Sequence[str]) -> None:
        """Raises UsageError for what can't be shown of results with these metrics and scores."""
        self._check_sort(self.by or NAMES)
        self._check_metrics(metrics)

    def _check_metrics(self, known: Sequence[str]) -> None:
        if unknown := sorted(set(self.metrics) - set(known)):
            listed = ", ".join(dict.fromkeys(known))
            raise click.UsageError(safe(f"--metric: no metric or score {', '.join(unknown)}. Known: {listed}"))

    def _check_sort(self, names: Sequence[str]) -> None:
        name = (self.sort or "value").removeprefix("-")
        if name not in ("value", "n", *names):
            known = f"value, n, {', '.join(names)}"
            raise click.UsageError(safe(f"--sort: no column {name!r}. Known: {known}; a leading - turns it"))

    def of(self, rows: Sequence[AnyRow]) -> list[AnyRow]:
        """The rows that are asked for, in the order that is asked for, totals last."""
        self._check_metrics([name for row in rows for name in (row.metric, row.score)])
        kept = [row for row in rows if not self.metrics or {row.metric, row.score} & set(self.metrics)]
        if self.sort is None or not kept:
            return kept
        self._check_sort(columns_of(kept))
        return sorted(kept, key=self._place, reverse=self.sort.startswith("-"))

    def _place(self, row: Row) -> tuple[Any, ...]:
        """What a row is sorted by: totals and rows without the value stand last, whichever way it goes."""
        sort = self.sort or ""
        backwards, name, labels = sort.startswith("-"), sort.removeprefix("-"), row.group
        is_total = (len(labels) < len(self.by)) != backwards
        if name in ("value", "n"):
            number = getattr(row, name)
            return (is_total, (number is None) != backwards, number or 0.0)
        lacks, *place = placed(labels.get(name))
        return (is_total, lacks != backwards, *place)


_VIEW_OPTIONS = (
    click.option(
        "--by",
        multiple=True,
        metavar="NAMES",
        help="Group by slice, model, prompt, family, params, params.temperature, dimensions.subject, "
        "metadata.category or sample; separate several with commas.",
    ),
    click.option(
        "--repeats",
        metavar="HOW",
        help="How to combine the samples of an item: pass@3, pass^3, majority@3, best@3, worst@3.",
    ),
    click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Only this metric or score. Repeatable."),
    click.option(
        "--sort", metavar="COLUMN", help="Order by value, n or a name of --by; -value puts the greatest first."
    ),
    click.option("--wide", is_flag=True, help="A row for each number with all its columns, whatever the width."),
)


def view_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return reduce(lambda decorated, option: option(decorated), reversed(_VIEW_OPTIONS), command)
