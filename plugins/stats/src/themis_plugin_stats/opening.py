"""Opens what the sides of a comparison name: runs of one store or of two, and files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from themis_core import Results, SpecError, open_results
from themis_plugin_stats.baselines import is_file, read_baseline
from themis_plugin_stats.collecting import Collected, collect
from themis_plugin_stats.columns import DIGITS
from themis_plugin_stats.sides import Side, parse_side

__all__ = ["opened", "read_sides"]


@contextmanager
def opened(
    names: Sequence[str],
    spec: Path | None = None,
    project: Path | None = None,
    spec_b: Path | None = None,
    project_b: Path | None = None,
) -> Iterator[list[Results | None]]:
    """The open store of each side, None of a file. The first is of the first store, the others of the second one."""
    names = [parse_side(name).run for name in names]
    with ExitStack() as stack:
        first = second = None
        if any(not is_file(name) for name in (names if spec_b is project_b is None else names[:1])):
            first = second = stack.enter_context(open_results(spec, project=project))
        if spec_b is not None or project_b is not None:
            second = stack.enter_context(open_results(spec_b, project=project_b))
        yield [None if is_file(name) else first if index == 0 else second for index, name in enumerate(names)]


def read_sides(
    runs: Sequence[str | Side],
    stores: Sequence[Results | None],
    wanted: Sequence[str] = (),
    digits: int = DIGITS,
) -> tuple[list[Side], list[Collected]]:
    """The sides, and what is stored of each, read once. Raises SpecError where there is nothing of a name."""
    sides = _named([each if isinstance(each, Side) else parse_side(each) for each in runs])
    read: dict[tuple[int, str], Collected] = {}
    for side, store in zip(sides, stores, strict=True):
        if (id(store), side.run) not in read:
            read[id(store), side.run] = _read(side, store, wanted, digits)
    collected = [read[id(store), side.run] for side, store in zip(sides, stores, strict=True)]
    return _told_apart(sides, collected), collected


def _told_apart(sides: Sequence[Side], collected: Sequence[Collected]) -> list[Side]:
    """A run that two stores have is called by its store too."""
    places: dict[str, set[str]] = {}
    for run in collected:
        if run.results is not None:
            places.setdefault(run.run.run_id, set()).add(run.results.location)
    found = []
    for side, run in zip(sides, collected, strict=True):
        if run.results is not None and not side.label and len(places[run.run.run_id]) > 1:
            told = [
                f"{run.run.run_id} in {run.results.location}",
                *(f"{part}={value}" for part, value in side.only.items()),
            ]
            side = Side(side.run, side.only, ":".join(told))
        found.append(side)
    return found


def _named(sides: Sequence[Side]) -> list[Side]:
    """A file is called by its name, or as it was given if another has that name: the run in it may be one of those that
    it is compared with."""
    files = {side.run for side in sides if is_file(side.run)}
    names = Counter(Path(each).name for each in files)
    found = []
    for side in sides:
        if side.run in files and not side.label:
            name = Path(side.run).name
            told = [name if names[name] == 1 else side.run, *(f"{part}={value}" for part, value in side.only.items())]
            side = Side(side.run, side.only, ":".join(told))
        found.append(side)
    return found


def _read(side: Side, store: Results | None, wanted: Sequence[str], digits: int) -> Collected:
    if is_file(side.run):
        return read_baseline(Path(side.run), wanted)
    if store is None:
        raise SpecError(f"no store is open that could have the run {side.run}")
    return collect(store, side.run, wanted, digits)
