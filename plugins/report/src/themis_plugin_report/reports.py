"""What `themis report` writes, from Python: `page_of` and `tables_of`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from themis_plugin_report.gathering import gathered, opened
from themis_plugin_report.page import whole
from themis_plugin_report.tables import Table, tables

__all__ = ["page_of", "tables_of"]


def page_of(
    run_ids: Sequence[str] = (),
    *,
    spec: Path | None = None,
    project: Path | None = None,
    results: int = 20_000,
    by: Sequence[str] = (),
) -> str:
    """Return the HTML page of some runs, by default of the latest one, with at most so many single results in it.

    `by` names what results are grouped by, as `themis report --by` does.
    The store is that of the spec or the project, or `./.themis`. Raises SpecError if there is no such run.
    """
    with opened(spec, project) as (read, store):
        made = gathered(read, store, run_ids, by)
        with closing(made.index):
            return whole(made, store, results)[0]


def tables_of(
    run_ids: Sequence[str] = (), *, spec: Path | None = None, project: Path | None = None, by: Sequence[str] = ()
) -> dict[str, Table]:
    """Return the tables of the same page by name; `as_markdown`, `as_latex` and `as_csv` of `tables` write one."""
    with opened(spec, project) as (read, store):
        made = gathered(read, store, run_ids, by)
        with closing(made.index):
            return {each.name: each for each in tables(made)}
