"""What `themis report` writes, from Python: `page_of` and `tables_of`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from themis_plugin_report.gathering import Wanted, gathered, opened
from themis_plugin_report.page import whole
from themis_plugin_report.tables import Table, tables

__all__ = ["Wanted", "page_of", "tables_of"]


def page_of(
    run_ids: Sequence[str] = (),
    *,
    spec: Path | None = None,
    project: Path | None = None,
    results: int = 20_000,
    wanted: Wanted | None = None,
) -> str:
    """Return the HTML page of some runs, by default of the latest one, with at most so many single results in it.

    `wanted` is what `--by` and `--label` of the command say: `Wanted(by=["metadata.level"], labels=Labels("human"))`.
    The store is that of the spec or the project, or `./.themis`. Raises SpecError if there is no such run.
    """
    with opened(spec, project) as (read, store):
        made = gathered(read, store, run_ids, wanted or Wanted())
        with closing(made.index):
            return whole(made, store, results)[0]


def tables_of(
    run_ids: Sequence[str] = (), *, spec: Path | None = None, project: Path | None = None, wanted: Wanted | None = None
) -> dict[str, Table]:
    """Return the tables of the same page by name; `as_markdown`, `as_latex` and `as_csv` of `tables` write one."""
    with opened(spec, project) as (read, store):
        made = gathered(read, store, run_ids, wanted or Wanted())
        with closing(made.index):
            return {each.name: each for each in tables(made)}
