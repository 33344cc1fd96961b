"""Logs of other tools, written as recordings and a spec that replays them.

    FOLDER/spec.yaml             a slice for each task; its recorded scores are kept by `replay/verdicts`
    FOLDER/items/TASK.jsonl      id, input, reference, what else the log has of a sample
    FOLDER/answers/MODEL.jsonl   id, sample, output, how it ended, tokens
    FOLDER/scores/TASK/SCORE/MODEL.jsonl   id, sample, verdict

So imported answers are a run like any other, whose answers cost nothing: metrics are added to the spec, and what is
stored is compared and reported. Samples are written as they are read; in memory are the ids of the items.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import yaml

from themis_core import SpecError, digest
from themis_plugin_interop.writing import safe_name, write_line

__all__ = ["Log", "Recordings", "Sample"]

_HEAD: Final = """\
# Made by `themis import`. The scores below are those that the log has; `replay/verdicts` keeps them.
# Add parses and metrics of your own to score the answers again, and run it: no model is called.
"""
_COUNTS: Final = ("input_tokens", "output_tokens", "reasoning_tokens", "cached_input_tokens", "cache_write_tokens")

_NAME_BYTES: Final = 200


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer of a log."""

    item_id: str
    sample: int
    """From 0."""
    item: Mapping[str, Any]
    """`input`, `reference` and other fields, the same for all answers to the item."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] | None = None
    """`output`, `finish_reason`, `reasoning`, `error`, `tool_calls`, `steps` and counts of tokens.

    None if the log gave the answer before."""
    scores: Mapping[str, float | None] = field(default_factory=dict)


class Log(NamedTuple):
    """The answers of one model to one task."""

    source: str
    """For messages: the file."""
    task: str
    model: str
    samples: Iterable[Sample]


@dataclass(slots=True)
class _Range:
    low: float = 0.0
    high: float = 1.0

    def add(self, value: float) -> None:
        self.low, self.high = min(self.low, value), max(self.high, value)


class _Task:
    """What is known of one task, over all its logs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.file = safe_name(name)
        self.items: dict[str, str] = {}
        """Id to a digest of what two logs must agree about."""
        self.metadata: dict[str, None] = {}
        self.same_metadata = True
        self.samples = 1
        self.answers: dict[str, int] = {}
        """By model."""
        self.scores: dict[str, _Range] = {}


class Recordings:
    """The folder of an import, under way."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tasks: dict[str, _Task] = {}
        self._models: dict[str, str] = {}
        """By the name of their files, which is that of `replay/file`."""

    def add(self, log: Log) -> None:
        """Write one log. Raises SpecError if its task and model are there already or no names, or its items differ."""
        for what, name in (("task", log.task), ("model", log.model)):
            _check_name(name, what, log)
        for other in self._tasks:
            if other != log.task and (f"{other}:".startswith(f"{log.task}:") or log.task.startswith(f"{other}:")):
                raise SpecError(
                    f"{log.source}: items of tasks {other!r} and {log.task!r} would share ids: import them apart"
                )
        task = self._tasks.setdefault(log.task, _Task(log.task))
        if log.model in task.answers:
            raise SpecError(
                f"{log.source}: a second log of task {log.task!r} and model {log.model!r}: "
                "import it into another folder"
            )
        if (other := self._models.setdefault(_file_of(log.model), log.model)) != log.model:
            raise SpecError(f"{log.source}: models {other!r} and {log.model!r} would share a file: import them apart")
        task.answers[log.model] = 0
        with ExitStack() as stack:
            files = _Files(self._folder, stack)
            answered: set[tuple[str, int]] = set()
            for sample in log.samples:
                if sample.answer is not None and (sample.item_id, sample.sample) in answered:
                    message = f"sample {sample.item_id!r} has a second answer {sample.sample + 1}: keep one of them"
                    raise SpecError(f"{log.source}: {message}")
                answered.add((sample.item_id, sample.sample))
                for name in (*sample.metadata, *sample.scores):
                    _check_name(name, f"name in sample {sample.item_id!r}", log)
                self._add(task, log, sample, files)

    def _add(self, task: _Task, log: Log, sample: Sample, files: _Files) -> None:
        item_id = f"{task.name}:{sample.item_id}"
        content = digest(dict(sample.item))[:16]
        if item_id not in task.items:
            files.write(f"items/{task.file}.jsonl", {"id": item_id, **sample.item, **sample.metadata})
            task.same_metadata &= not task.items or task.metadata.keys() == sample.metadata.keys()
            task.metadata.update(dict.fromkeys(sample.metadata))
        if task.items.setdefault(item_id, content) != content:
            raise SpecError(
                f"{log.source}: sample {sample.item_id!r} is not what an earlier log of task {log.task!r} has under "
                "this id: import it into another folder"
            )
        place = {"id": item_id, "sample": sample.sample}
        file = _file_of(log.model)
        task.samples = max(task.samples, sample.sample + 1)
        if sample.answer is not None:
            task.answers[log.model] += 1
            files.write(f"answers/{file}", {**place, **sample.answer})
        for name, value in sample.scores.items():
            files.write(f"scores/{task.file}/{safe_name(name)}/{file}", {**place, "verdict": value})
            task.scores.setdefault(name, _Range()).add(value or 0.0)

    def finish(self) -> None:
        """Write the spec. Raises SpecError if there is nothing to replay."""
        tasks = [each for each in self._tasks.values() if any(each.answers.values())]
        if not tasks:
            raise SpecError("there is no answer in what was read")
        for task in tasks:
            if not task.same_metadata:
                self._complete(task)
        text = yaml.safe_dump({"benchmark": _benchmark(tasks)}, sort_keys=False, allow_unicode=True, width=120)
        (self._folder / "spec.yaml").write_text(_HEAD + text, "utf-8")

    def _complete(self, task: _Task) -> None:
        """Give each item all metadata of the task, null where it has none: a column must be there for all rows."""
        path = self._folder / "items" / f"{task.file}.jsonl"
        part = path.with_suffix(".part")
        nothing: dict[str, Any] = dict.fromkeys(task.metadata)
        with path.open(encoding="ascii") as source, part.open("w", encoding="ascii") as target:
            for line in source:
                write_line(target, nothing | json.loads(line))
        part.replace(path)


def _check_name(name: str, what: str, log: Log) -> None:
    """Raise SpecError for what can't stand in a spec and in the name of a file."""
    if not name.strip() or not name.isprintable() or len(name.encode()) > _NAME_BYTES:
        rule = f"give it 1 to {_NAME_BYTES} bytes that can be printed, in the log"
        raise SpecError(f"{log.source}: {name[:_NAME_BYTES]!r} can't be taken over as a {what}: {rule}")


def _file_of(model: str) -> str:
    return f"{model.replace('/', '__')}.jsonl"


class _Files:
    """The files that one log is written to, by their names in the folder."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._open: dict[str, IO[str]] = {}

    def write(self, name: str, row: Mapping[str, Any]) -> None:
        if name not in self._open:
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[name] = self._stack.enter_context(path.open("a", encoding="ascii"))
        write_line(self._open[name], row)


def _benchmark(tasks: list[_Task]) -> dict[str, Any]:
    models = {model: all(_is_complete(task, model) for task in tasks) for task in tasks for model in task.answers}
    return {
        "benchmark_id": tasks[0].name if len(tasks) == 1 else "imported",
        "models": [_model(model, is_complete) for model, is_complete in models.items()],
        "prompt_variants": [{"id": "recorded", "messages": [{"role": "user", "content": "{{ item.input }}"}]}],
        "slices": [_slice(task) for task in tasks],
    }


def _is_complete(task: _Task, model: str) -> bool:
    return task.answers.get(model) in (None, len(task.items) * task.samples)


def _model(model: str, is_complete: bool) -> dict[str, Any]:
    names = ("finish_reason", "reasoning", "error", "tool_calls", "steps", *_COUNTS)
    fields = {"sample": "sample", **{name: name for name in names}}
    extras: dict[str, Any] = {"path": "answers/{model_id}.jsonl", "fields": fields}
    if not is_complete:
        extras["missing"] = "absent"
    return {"model_id": model, "provider": "replay/file", "extras": extras}


def _slice(task: _Task) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": "id", "reference": "reference"}
    if task.metadata:
        fields["metadata"] = list(task.metadata)
    generation = {"models": list(task.answers), "num_samples": task.samples}
    return {
        "slice_id": task.name,
        "dataset": {"source": "files/jsonl", "dataset_id": f"items/{task.file}.jsonl", "fields": fields},
        "generation": generation,
        "scores": [_score(task, name, each) for name, each in task.scores.items()],
    }


def _score(task: _Task, name: str, found: _Range) -> dict[str, Any]:
    config: dict[str, Any] = {
        "path": f"scores/{task.file}/{safe_name(name)}/{{model_id}}.jsonl",
        "fields": {"sample": "sample"},
        "missing": "absent",
    }
    if (found.low, found.high) != (0.0, 1.0):
        config |= {"low": found.low, "high": found.high, "rescale": False}
    return {"name": name, "metrics": [{"id": "replay/verdicts", "name": "recorded", "config": config}]}
