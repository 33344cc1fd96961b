"""The tables of docs/scaling.md."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Sequence

from benchmarks.scaling.sizes import (
    AS_MEASURED,
    FIGURES,
    SITUATIONS,
    SIZES,
    Figures,
    needs,
    on_two_cores,
    rate_of,
    slower_by,
)

__all__ = ["tables"]

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128)
POSTGRES_CORES = (2, 8, 32)
BUSY = (0.5, 0.7, 0.9, 0.95)
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def tables(f: Figures) -> dict[str, str]:
    """Each by the name of its place on the page."""
    return {
        "figures": _figures(),
        "two cores": _two_cores(f),
        "workers": _workers(f),
        "waiting": _waiting(f),
        "machines": _of_sizes(
            f, ["rate", "in_flight", "workers", "machines", "postgres_cores", "wal_mb_s"],
            ["trials a second", "in flight", "workers", "machines", "cores of Postgres", "WAL, MB/s"], hours=True,
        ),
        "bytes": _of_sizes(
            f, ["stored_gb", "indices_gb", "usd_machines", "usd_ssd_month", "usd_object_month"],
            ["stored, GB", "its indices, GB", "machines, $", "disks, $ a month", "as Parquet, $ a month"],
        ),
        "once": _once(f),
    }  # fmt: skip


def _figures() -> str:
    found = tomllib.loads(FIGURES.read_text(encoding="utf-8"))
    rows = (
        (name, f"{each['value']:,}", each["what"], f"`{each['command']}`" if "command" in each else "assumed")
        for name, each in found.items()
    )
    return _table(["figure", "value", "what it is", "measured by"], rows, text=(2, 3))


def _two_cores(f: Figures) -> str:
    one = on_two_cores(f, 1, 0.02, 128)
    rates = [(workers, on_two_cores(f, workers, 0.02, 128)) for workers in (1, 2, 4)]
    return _table(
        ["workers", "trials a second, at most", "to one worker"],
        ((str(workers), _short(rate), f"{rate / one:.2f}") for workers, rate in rates),
    )


def _workers(f: Figures) -> str:
    def row(workers: int) -> list[str]:
        found = [rate_of(f, workers, cores, AS_MEASURED) for cores in POSTGRES_CORES]
        return [str(workers), *(f"{_short(rate)} ({full})" for rate, full in found)]

    return _table(["workers", *(f"Postgres with {each} cores" for each in POSTGRES_CORES)], map(row, WORKERS))


def _waiting(f: Figures) -> str:
    rows = ([f"{busy:.0%}", *(f"{slower_by(f, busy, each):.2f} ×" for each in POSTGRES_CORES)] for busy in BUSY)
    return _table(["cores of Postgres that are busy", *(f"of {each}" for each in POSTGRES_CORES)], rows)


def _of_sizes(f: Figures, names: Sequence[str], heads: Sequence[str], *, hours: bool = False) -> str:
    rows = []
    for trials, time in SIZES:
        for situation in SITUATIONS:
            found = needs(f, situation, trials, time)
            when = [f"{time} h" if time <= 24 else f"{time // 24} days"] if hours else []
            rows.append([_power(trials), situation.name, *when, *(_short(getattr(found, name)) for name in names)])
    return _table(["trials", "of", *(["in"] if hours else []), *heads], rows, text=(1,))


def _once(f: Figures) -> str:
    found = [(trials, needs(f, SITUATIONS[0], trials, hours)) for trials, hours in SIZES]
    rows = ([_power(trials), *map(_short, (each.plan_h, each.plan_gb, each.result_h))] for trials, each in found)
    return _table(["trials", "plan, h of each worker", "plan, GB of each worker", "result, h"], rows)


def _power(trials: int) -> str:
    return f"10{str(round(math.log10(trials))).translate(_RAISED)}"


def _short(value: float) -> str:
    """Two significant digits: a model has no more to tell. Whole numbers below 100 as they are."""
    if value == 0 or (isinstance(value, int) and value < 100):
        return str(value)
    place = 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, place):,.{max(0, place)}f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], text: Sequence[int] = ()) -> str:
    signs = ["---" if column == 0 or column in text else "---:" for column in range(len(head))]
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, signs, *rows))
