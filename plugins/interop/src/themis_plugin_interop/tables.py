"""Stored runs as flat tables: rows of trials, scores, generations or items, written as JSONL, CSV or Parquet.

Rows stream from the store into the file. JSONL keeps every text as it is; CSV and Parquet can't hold lone surrogates,
and show replacement characters in their place, as CSV does for NUL.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, Literal, NamedTuple, TypeAlias

from themis_core import SIMULATED_USER, GenerationRecorded, ScoreRow, SpecError, Store, TrialRow, settings_of

__all__ = ["FORMATS", "TABLES", "Column", "columns_of", "table_rows", "write_csv", "write_jsonl", "write_parquet"]

Row: TypeAlias = dict[str, Any]
_BATCH = 200


class Column(NamedTuple):
    name: str
    kind: Literal["text", "integer", "number", "boolean", "json"]


def _columns(names: str) -> tuple[Column, ...]:
    """Return columns from `name:kind`, text if it is not said."""
    return tuple(Column(name, kind or "text") for name, _, kind in (each.partition(":") for each in names.split()))  # type: ignore[arg-type]


_IN_PLACE = "run_id slice_id model_id prompt_variant_id params item_id sample_index:integer trial_id"
TABLES: Final[Mapping[str, tuple[Column, ...]]] = {
    "trials": _columns(
        f"{_IN_PLACE} item_digest generation_key outcome error_code finished_at answer"
        " input_tokens:integer output_tokens:integer cost:number"
    ),
    "scores": _columns(
        f"{_IN_PLACE} outcome score metric value:number reason parse parsed:boolean parse_reason extracted:json"
        " item_digest parts:json details:json"
    ),
    "generations": _columns(
        "run_id slice_id trial_id role turn:integer score metric generation_key model_id params:json item_id"
        " sample_index:integer seed:integer status error_code error finish_reason messages:json answer reasoning"
        " refusal input_tokens:integer output_tokens:integer reasoning_tokens:integer cached_input_tokens:integer"
        " cache_write_tokens:integer cost:number latency_s:number attempts:integer alternatives:json tool_calls:json"
        " logprobs:json provider:json at item:json steps:json steps_left_out:integer"
    ),
    "items": _columns("item_id item_digest fields:json reference:json metadata:json output model"),
}
"""Name to columns. Absent values are null, or empty in CSV. Trials and scores have those of `columns_of` besides."""
FORMATS: Final = ("jsonl", "csv", "parquet")


def columns_of(store: Store, table: str, run_ids: Iterable[str]) -> tuple[Column, ...]:
    """The columns of a table of these runs: those of `TABLES`, and of trials and scores one for each dimension
    (`dimensions.subject`), metadata field (`metadata.category`) and single inference parameter (`params.temperature`).
    """
    if table not in ("trials", "scores"):
        return TABLES[table]
    dimensions: dict[str, None] = {}
    metadata: dict[str, None] = {}
    params: dict[str, None] = {}
    for run_id in run_ids:
        run = store.run(run_id)
        manifest = run.manifest if run else {}
        dimensions.update(dict.fromkeys(name for each in manifest.get("dimensions", {}).values() for name in each))
        for each in manifest.get("benchmark", {}).get("slices", ()):
            metadata.update(dict.fromkeys(each.get("dataset", {}).get("fields", {}).get("metadata", ())))
        params.update(dict.fromkeys(name for end in store.outcomes(run_id) for name in settings_of(end.params)))
    return (
        *TABLES[table],
        *(Column(f"dimensions.{name}", "text") for name in dimensions),
        *(Column(f"metadata.{name}", "json") for name in metadata),
        *(Column(f"params.{name}", "text") for name in params),
    )


def table_rows(store: Store, table: str, run_ids: Iterable[str]) -> Iterator[Row]:
    """Stream the rows of one of `TABLES` for runs by their whole ids, in the order of the store.

    `trials` one per finished trial; `scores` one per score of a trial; `generations` one per turn of a trial, and one
    per reply of a judge, so a generation that several trials use is there as often; `items` one per item.
    """
    seen: set[tuple[str, str]] = set()
    for run_id in run_ids:
        if table == "scores":
            yield from _scores(store, run_id)
            continue
        labels = _Labels(store, run_id)
        trials = store.trial_rows(run_id)
        while batch := list(islice(trials, _BATCH)):
            if table == "items":
                yield from _items(store, batch, seen)
            elif table == "trials":
                yield from (row | more for row, more in zip(_trials(store, batch), labels.of(batch), strict=True))
            else:
                yield from _generations(store, batch)


def _scores(store: Store, run_id: str) -> Iterator[Row]:
    rows = store.score_rows(run_id, whole=True)
    labels = _Labels(store, run_id)
    while batch := list(islice(rows, _BATCH)):
        for row, further in zip(batch, labels.of(batch), strict=True):
            texts = {name: _read(getattr(row, name)) for name in ("extracted", "details")}
            yield {"run_id": run_id, **row._asdict(), **texts, **further}


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)


class _Labels:
    """What `columns_of` adds to the rows of a run."""

    def __init__(self, store: Store, run_id: str) -> None:
        run = store.run(run_id)
        self._store = store
        self._dimensions: Mapping[str, Mapping[str, str]] = (run.manifest if run else {}).get("dimensions", {})

    def of(self, batch: Sequence[TrialRow] | Sequence[ScoreRow]) -> Iterator[Row]:
        metadata = self._store.metadata(sorted({each.item_digest for each in batch}))
        for each in batch:
            yield {
                **_prefixed("dimensions", self._dimensions.get(each.slice_id, {})),
                **_prefixed("metadata", metadata.get(each.item_digest, {})),
                **_prefixed("params", settings_of(each.params)),
            }


def _prefixed(kind: str, values: Mapping[str, Any]) -> Row:
    return {f"{kind}.{name}": value for name, value in values.items()}


def _trials(store: Store, batch: Sequence[TrialRow]) -> Iterator[Row]:
    last = [each.generation_keys[-1] if each.generation_keys else "" for each in batch]
    texts = {each.key: each.generation.text for each in store.generation_records(sorted({key for key in last if key}))}
    for trial, key in zip(batch, last, strict=True):
        yield {**asdict(trial), "generation_key": key or None, "answer": texts.get(key)}


def _generations(store: Store, batch: Sequence[TrialRow]) -> Iterator[Row]:
    asked = [(trial, *each) for trial in batch for each in _asked(store, trial)]
    records = {each.key: each for each in store.generation_records(sorted({key for *_, key in asked}))}
    for trial, names, key in asked:
        if key in records:
            place = {"run_id": trial.run_id, "slice_id": trial.slice_id, "trial_id": trial.trial_id}
            if SIMULATED_USER in records[key].generation.provider:
                names = {**names, "role": "user"}
            yield {**place, **names, **_generation(records[key])}


def _asked(store: Store, trial: TrialRow) -> Iterator[tuple[Row, str]]:
    for turn, key in enumerate(trial.generation_keys):
        yield {"role": "model", "turn": turn}, key
    for entry in store.score_entries(trial.run_id, trial.slice_id, trial.trial_id):
        for turn, key in enumerate(entry.judged_by):
            yield {"role": "judge", "turn": turn, "score": entry.score, "metric": entry.metric}, key


def _generation(record: GenerationRecorded) -> Row:
    request, generation = asdict(record.request), asdict(record.generation)
    del request["key"]
    usage, answer = generation.pop("usage"), generation.pop("text")
    generation["steps"] = [each.to_dict() for each in record.generation.steps]
    return {**request, **generation, **usage, "generation_key": record.key, "answer": answer, "at": record.at}


def _items(store: Store, batch: Sequence[TrialRow], seen: set[tuple[str, str]]) -> Iterator[Row]:
    wanted = {(each.item_digest, each.item_id) for each in batch} - seen
    seen |= wanted
    for digest, item in sorted(store.items(sorted({digest for digest, _ in wanted})).items()):
        yield {**asdict(item), "item_id": item.id, "item_digest": digest}


def write_jsonl(rows: Iterable[Row], columns: Sequence[Column], file: IO[str]) -> int:
    """Write one JSON object a line, in ASCII, and return how many."""
    count = 0
    for row in rows:
        count += 1
        kept = {column.name: row.get(column.name) for column in columns}
        file.write(json.dumps(kept, allow_nan=False, separators=(",", ":")) + "\n")
    return count


def write_csv(rows: Iterable[Row], columns: Sequence[Column], file: IO[str]) -> int:
    """Write a header and one line per row, and return how many rows.

    A text that a spreadsheet would take for a formula gets an apostrophe before it; one that is a number does not.
    """
    # Lines end in CR LF, as RFC 4180 says: only then does the writer quote a CR within a text.
    writer = csv.writer(file)
    writer.writerow([column.name for column in columns])
    count = 0
    for row in rows:
        count += 1
        writer.writerow([_csv_cell(row.get(column.name), column.kind) for column in columns])
    return count


_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,3})?")
_FORMULA: Final = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")  # spreadsheets take the wide ones as well


def _csv_cell(value: Any, kind: str) -> Any:
    if value is None or kind in ("integer", "number"):
        return value
    if kind == "boolean":
        return int(value)
    text = _flat(value, kind).replace("\0", "\N{SYMBOL FOR NULL}")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _flat(value: Any, kind: str) -> str:
    """Return text that UTF-8 can hold: JSON for what is no text, replacement characters for lone surrogates."""
    if kind == "json":
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    return str(value).encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def write_parquet(rows: Iterable[Row], columns: Sequence[Column], file: Path) -> int:
    """Write a Parquet file, and return how many rows. Raises SpecError if pyarrow is missing or can't hold a number."""
    try:
        import pyarrow as arrow  # only here: it is large, and JSONL and CSV need nothing
        from pyarrow import parquet
    except ImportError as error:
        raise SpecError("Parquet needs the package pyarrow: pip install pyarrow, or export as jsonl or csv") from error
    types = {"integer": arrow.int64(), "number": arrow.float64(), "boolean": arrow.bool_()}
    schema = arrow.schema([(column.name, types.get(column.kind, arrow.string())) for column in columns])
    source, count = iter(rows), 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while batch := list(islice(source, _BATCH)):
            count += len(batch)
            values = {column.name: [_parquet_cell(row, column) for row in batch] for column in columns}
            writer.write_table(arrow.table(values, schema=schema))
    return count


def _parquet_cell(row: Row, column: Column) -> Any:
    value = row.get(column.name)
    if value is None or column.kind == "boolean":
        return value
    if column.kind == "number":
        return float(value)
    if column.kind == "integer":
        if not -(2**63) <= value < 2**63:
            raise SpecError(f"{column.name} {value} has more than 64 bits, which Parquet can't hold: export as jsonl")
        return value
    return _flat(value, column.kind)
