"""A run's scores in a file of the repository, item by item, that later runs are compared with without its store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from themis_core import RunRecord, ScoreRow, SpecError, shown_path
from themis_output import atomic_output
from themis_plugin_stats.collecting import ALL, Cell, Collected, Group, MetricKey, chosen

__all__ = ["FILE", "is_file", "read_baseline", "write_baseline"]

FILE: Final = "themis-baseline.json"
VERSION: Final = 1
DIGITS: Final = 24
"""Of an item's digest: enough that no two items of any benchmark share them."""
_TO_DO: Final = "`themis baseline set RUN` writes one"
_OF_MANIFEST: Final = ("themis", "spec_digest", "benchmark", "datasets", "plugins", "scorers")


def is_file(name: str) -> bool:
    """Whether a side is a file, and no run."""
    return name.endswith(".json")


def write_baseline(collected: Collected, path: Path) -> None:
    """Write what was read of a run; one line for each item, so that changes of the file can be read."""
    run = collected.run
    data = {
        "themis_baseline": VERSION,
        "run_id": run.run_id,
        "finished_at": run.finished_at,
        "manifest": {name: run.manifest[name] for name in _OF_MANIFEST},
        "outcomes": [[*group, dict(counts)] for group, counts in sorted(collected.outcomes.items())],
        "scores": [
            {
                "score": key[0], "metric": key[1], **group._asdict(), "ledger": dict(cell.ledger),
                "items": dict(sorted(_items(cell))),
            }
            for key, cells in collected.cells.items() for group, cell in sorted(cells.items())
        ],
    }  # fmt: skip
    with atomic_output(path) as part:
        part.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _items(cell: Cell) -> list[tuple[str, Any]]:
    """By digest: of each item its mean and samples, or of a number of all items its samples with their parts."""
    names = [each.ljust(32, b"\0").hex()[:DIGITS] for each in cell.digests.tolist()]
    if cell.parts:
        return [(name, [[each.value, *each.parts] for each in of]) for name, of in zip(names, cell.parts, strict=True)]
    return [
        (name, mean if count == 1 else [mean, int(count)])
        for name, mean, count in zip(names, cell.means.tolist(), cell.counts.tolist(), strict=True)
    ]


def read_baseline(path: Path, wanted: Collection[str] = ALL) -> Collected:
    """Read a file that `write_baseline` wrote; `wanted` are names of metrics, as for `collect`.

    Raises SpecError if it is none.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SpecError(f"can't read the baseline {shown_path(path)}: {error.strerror or error}. {_TO_DO}") from error
    except ValueError as error:
        raise SpecError(f"{shown_path(path)} is no baseline: {error}") from error
    if not isinstance(data, dict) or data.get("themis_baseline") != VERSION:
        raise SpecError(f"{shown_path(path)} is no baseline that this version reads. {_TO_DO}")
    try:
        found = _collected(data)
    except (KeyError, TypeError, ValueError) as error:
        raise SpecError(f"{shown_path(path)} is damaged: {type(error).__name__}: {error}") from error
    found.cells = {key: found.cells.get(key, {}) for key in chosen(list(found.metrics()), wanted, found.run.run_id)}
    return found


def _collected(data: dict[str, Any]) -> Collected:
    outcomes = {Group(*names): Counter(counts) for *names, counts in data["outcomes"]}
    run = RunRecord(data["run_id"], "completed", data["finished_at"], data["finished_at"], data["manifest"], {})
    cells: dict[MetricKey, dict[Group, Cell]] = {}
    for each in data["scores"]:
        group = Group(each["slice_id"], each["model"], each["prompt"], each["params"])
        cells.setdefault((each["score"], each["metric"]), {})[group] = _cell(each)
    return Collected(run, None, cells, outcomes, {})


def _cell(each: dict[str, Any]) -> Cell:
    cell = Cell(digits=DIGITS)
    for name, values in each["items"].items():
        samples = values if isinstance(values, list) and values and isinstance(values[0], list) else None
        if samples is not None:
            for value, *parts in samples:
                cell.add(_row(each, name, value, tuple(parts)), keeps_parts=True)
        else:
            cell.add(_row(each, name, values[0] if isinstance(values, list) else values, ()), keeps_parts=False)
    cell.ledger = Counter(each["ledger"])
    return cell


def _row(each: dict[str, Any], digest: str, value: float, parts: tuple[float, ...]) -> ScoreRow:
    names = (each["slice_id"], each["model"], each["prompt"], each["params"], each["score"], each["metric"])
    return ScoreRow(
        *names, "", 0, "", "answered", float(value), None, None, None, None, digest, tuple(map(float, parts))
    )
