"""A run's scores in a file of the repository, item by item, that later runs are compared with without its store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from themis_core import ResultRow, RunRecord, ScoreRow, SpecError, shown_path
from themis_output import atomic_output
from themis_plugin_stats.baseline_file import DIGITS, VERSION, Filed, FiledScores
from themis_plugin_stats.collecting import ALL, Cell, Collected, Group, MetricKey, chosen
from themis_plugin_stats.columns import ItemMeans

__all__ = ["FILE", "is_file", "read_baseline", "write_baseline"]

FILE: Final = "themis-baseline.json"
_TO_DO: Final = "`themis baseline set RUN` writes one"
_OF_MANIFEST: Final = ("themis", "spec_digest", "benchmark", "datasets", "plugins", "scorers")


def is_file(name: str) -> bool:
    """Whether a side is a file, and no run."""
    return name.endswith(".json")


def write_baseline(collected: Collected, numbers: Iterable[ResultRow], path: Path) -> None:
    """Write what was read of a run, and its own numbers; one line for each item, so that changes can be read."""
    values = {
        (each.score, each.metric, each.slice_id, each.model_id, each.prompt_variant_id, each.params): each.value
        for each in numbers
    }
    run = collected.run
    data = {
        "themis_baseline": VERSION,
        "run_id": run.run_id,
        "status": run.status,
        "finished_at": run.finished_at,
        "manifest": {name: run.manifest[name] for name in _OF_MANIFEST},
        "outcomes": [[*group, dict(counts)] for group, counts in sorted(collected.outcomes.items())],
        "scores": [
            {
                "score": key[0], "metric": key[1], **group._asdict(), "value": values.get((*key, *group)),
                "ledger": dict(cell.ledger),
                "items": dict(sorted(_items(cell))),
            }
            for key, cells in collected.cells.items() for group, cell in sorted(cells.items())
        ],
    }  # fmt: skip
    with atomic_output(path) as part:
        part.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _items(cell: Cell) -> list[tuple[str, Any]]:
    """By digest: of each item its mean and samples, or of a number of all items its samples with their parts."""
    columns = cell.items.of()
    names = [each.ljust(32, b"\0").hex()[:DIGITS] for each in columns.digests.tolist()]
    if cell.parts:
        return [(name, [[each.value, *each.parts] for each in of]) for name, of in zip(names, cell.parts, strict=True)]
    return [
        (name, mean if count == 1 else [mean, int(count)])
        for name, mean, count in zip(names, columns.means.tolist(), columns.counts.tolist(), strict=True)
    ]


def read_baseline(path: Path, wanted: Collection[str] = ALL) -> Collected:
    """Read a file that `write_baseline` wrote; `wanted` are names of metrics, as for `collect`.

    Raises SpecError if it is none.
    """
    try:
        data = Filed.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SpecError(f"can't read the baseline {shown_path(path)}: {error.strerror or error}. {_TO_DO}") from error
    except ValidationError as error:
        raise SpecError(_refused(path, error)) from None
    found = _collected(data)
    found.cells = {key: found.cells.get(key, {}) for key in chosen(list(found.metrics()), wanted, found.run.run_id)}
    return found


def _refused(path: Path, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "json_invalid":
        return f"{shown_path(path)} is no baseline: {first['msg']}"
    if first["type"] == "value_error":
        return f"{shown_path(path)} is damaged: {first['ctx']['error']}. {_TO_DO}"
    if place in ("", "themis_baseline"):
        return f"{shown_path(path)} is no baseline that this version reads. {_TO_DO}"
    return f"{shown_path(path)} is damaged: {place}: {first['msg']}. {_TO_DO}"


def _collected(data: Filed) -> Collected:
    outcomes = {Group(*names): Counter(counts) for *names, counts in data.outcomes}
    run = RunRecord(data.run_id, data.status, data.finished_at or "", data.finished_at, data.manifest.model_dump(), {})
    cells: dict[MetricKey, dict[Group, Cell]] = {}
    for each in data.scores:
        group = Group(each.slice_id, each.model, each.prompt, each.params)
        cells.setdefault((each.score, each.metric), {})[group] = _cell(each)
    return Collected(run, None, cells, outcomes, {})


def _cell(each: FiledScores) -> Cell:
    cell = Cell(ItemMeans(DIGITS), number=each.value)
    for digest, values in each.items.items():
        if isinstance(values, list):
            for value, *parts in values:
                cell.add(_row(each, digest, value, tuple(parts)), keeps_parts=True)
        else:
            mean = values[0] if isinstance(values, tuple) else values
            cell.add(_row(each, digest, mean, ()), keeps_parts=False)
    cell.ledger = Counter(each.ledger)
    return cell


def _row(each: FiledScores, digest: str, value: float, parts: tuple[float, ...]) -> ScoreRow:
    names = (each.slice_id, each.model, each.prompt, each.params, each.score, each.metric)
    return ScoreRow(*names, "", 0, "", "answered", value, None, None, None, None, digest, parts)
