"""Exports what lm-evaluation-harness writes with `--log_samples`: `results_DATE.json` and `samples_TASK_DATE.jsonl`.

As `lm_eval.loggers.EvaluationTracker` of version 0.4 writes them: a folder for each model, a task for each slice, and
in the samples a row for each item and filter. A filter is a score here; its metrics are the score's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, Final

from themis_core import Exporter, RunRecord, ScoreEntry, Store
from themis_plugin_interop.trials import Answer, Group, Lost, clean, grouped, rows_by_group, scorers_of
from themis_plugin_interop.writing import (
    Names,
    TaskNames,
    as_json,
    plain_name,
    safe_name,
    sha256_of,
    write_json,
    write_line,
)

__all__ = ["LmEvalFiles"]

_TAKEN: Final = frozenset(
    {
        *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
        *("doc_hash", "prompt_hash", "target_hash"),
    }
)
"""Keys of a row that no metric may have."""
_NAME_BYTES: Final = 150
"""Of a task's name in files."""


class LmEvalFiles(Exporter):
    """Results and samples of lm-evaluation-harness 0.4, a folder for each model."""

    losses: ClassVar[tuple[str, ...]] = (
        "The samples of an item are one row, whose scores are their mean.",
        "Token counts, costs, times, refusals, judges' replies and intervals are not kept; the standard error is.",
        "Why a score has no value, and what became of an answer that has none, is not kept.",
    )

    def export(self, store: Store, run: RunRecord, summary: Mapping[str, Any], folder: Path) -> Sequence[str]:
        rows, lost = rows_by_group(summary), Lost()
        tasks, folders = TaskNames(rows), Names()
        stamp = run.started_at[:26].replace(":", "-").replace("+00-00", "")
        models: dict[str, _Results] = {}
        for group, answers in grouped(store, run.run_id):
            if group.model_id not in models:
                models[group.model_id] = _Results(run, group.model_id, _new_folder(folder, group.model_id, folders))
            results = models[group.model_id]
            name = results.add(tasks.of(group), group, rows.get(group, []))
            with (results.folder / f"samples_{name}_{stamp}.jsonl").open("x", encoding="ascii") as file:
                for row in _samples(answers, results.tasks[name], lost):
                    write_line(file, row)
        for results in models.values():
            write_json(results.folder / f"results_{stamp}.json", results.plain())
        return lost.told()


def _new_folder(folder: Path, model_id: str, names: Names) -> Path:
    """Make the folder of a model, named as lm_eval does."""
    name = plain_name(re.sub(r"[\"<>:/|\\?*\[\]]+", "__", model_id), model_id)
    path = folder / names.take(name, model_id)
    path.mkdir()
    return path


class _Task:
    """What is known of a task once its samples are written."""

    def __init__(self, group: Group, rows: Sequence[Mapping[str, Any]]) -> None:
        self.group, self.rows = group, rows
        self.items = 0


class _Results:
    """The results file of one model."""

    def __init__(self, run: RunRecord, model_id: str, folder: Path) -> None:
        self._run, self._model_id, self.folder = run, model_id, folder
        self.tasks: dict[str, _Task] = {}

    def add(self, task: str, group: Group, rows: Sequence[Mapping[str, Any]]) -> str:
        """Add a task, and return its name in files, where it is of letters, digits and `_`."""
        name = re.sub(r"\W", "_", task)
        if len(name.encode()) > _NAME_BYTES:
            name = re.sub(r"\W", "_", safe_name(task))
        while name in self.tasks:
            name += "_"
        self.tasks[name] = _Task(group, rows)
        return name

    def plain(self) -> dict[str, Any]:
        scorers = scorers_of(self._run)
        tasks = self.tasks.items()
        return {
            "results": {name: _numbers(name, task) for name, task in tasks},
            "group_subtasks": {name: [] for name, _ in tasks},
            "configs": {
                name: {"task": name, "metadata": {"version": 0, **task.group._asdict()}} for name, task in tasks
            },
            "versions": {name: 0 for name, _ in tasks},
            "n-shot": {name: shots for name, task in tasks if (shots := self._shots(task.group)) is not None},
            "higher_is_better": {
                name: {
                    _key(row["metric"]): scorers[row["slice_id"], row["score"], row["metric"]].get(
                        "higher_is_better", True
                    )
                    for row in task.rows
                }
                for name, task in tasks
            },
            "n-samples": {name: {"original": task.items, "effective": task.items} for name, task in tasks},
            "config": {"model": "themis", "model_args": {"model": self._model_id}, "limit": None},
            "model_source": "themis",
            "model_name": self._model_id,
            "themis_run": self._run.run_id,
            "themis_version": self._run.manifest["themis"],
            "date": datetime.fromisoformat(self._run.started_at).timestamp(),
        }

    def _shots(self, group: Group) -> int | None:
        """How many examples the prompt has; None if they came from a dataset, and so from a query."""
        variants = self._run.manifest["benchmark"]["prompt_variants"]
        examples = next((each["examples"] for each in variants if each["id"] == group.prompt_variant_id), None)
        if examples is None:
            return 0
        return None if examples["dataset"] else len(examples["items"])


def _numbers(name: str, task: _Task) -> dict[str, Any]:
    numbers: dict[str, Any] = {"alias": name, "sample_len": task.items}
    for row in task.rows:
        if row["value"] is not None:
            numbers[f"{_key(row['metric'])},{row['score']}"] = row["value"]
            error = row["standard_error"]
            numbers[f"{_key(row['metric'])}_stderr,{row['score']}"] = "N/A" if error is None else error
    return numbers


def _samples(answers: Iterator[Answer], task: _Task, lost: Lost) -> Iterator[dict[str, Any]]:
    for _, of_item in groupby(answers, lambda answer: answer.item.id):
        samples = list(of_item)
        answered = [each for each in samples if not each.generation.failed]
        for _ in range(len(samples) - len(answered)):
            lost.add("trial", "without an answer left out: the format has no failures.")
        if answered:
            yield from _rows(task.items, answered, lost)
            task.items += 1


def _rows(number: int, samples: Sequence[Answer], lost: Lost) -> Iterator[dict[str, Any]]:
    first = samples[0]
    metadata = {"metadata": first.item.metadata} if first.item.metadata else {}
    doc = clean({"id": first.item.id, **first.item.fields, **metadata})
    reference = first.item.reference
    target = reference if isinstance(reference, str) else "" if reference is None else as_json(reference)
    asked = first.prompt if len(first.messages) < 2 else json.dumps(first.messages, ensure_ascii=False)
    for name, entries in _by_score(samples):
        means = {_key(metric): mean for metric, mean in _means(entries, lost)}
        yield {
            "doc_id": number,
            "doc": doc,
            "target": target,
            "arguments": {"gen_args_0": {"arg_0": asked, "arg_1": clean(first.params)}},
            "resps": [[each.generation.text for each in samples]],
            "filtered_resps": [answer.found(entry) for answer, entry in entries[next(iter(entries))]],
            "filter": name,
            "metrics": list(means),
            "doc_hash": sha256_of(as_json(doc)),
            "prompt_hash": sha256_of(asked),
            "target_hash": sha256_of(target),
            **means,
        }


_Entries = dict[str, list[tuple[Answer, ScoreEntry]]]


def _by_score(samples: Iterable[Answer]) -> Iterator[tuple[str, _Entries]]:
    found: dict[str, _Entries] = {}
    for answer in samples:
        for entry in answer.scores:
            found.setdefault(entry.score, {}).setdefault(entry.metric, []).append((answer, entry))
    yield from found.items()


def _means(entries: _Entries, lost: Lost) -> Iterator[tuple[str, float]]:
    for metric, each in entries.items():
        values = [entry.result.value for _, entry in each if entry.result.value is not None]
        for _ in range(len(each) - len(values)):
            lost.add("score", "without a value left out.")
        if values:
            yield metric, sum(values) / len(values)


def _key(metric: str) -> str:
    plain = metric.replace(",", ";")  # a comma parts metric and filter
    return f"metric_{plain}" if plain in _TAKEN else plain
