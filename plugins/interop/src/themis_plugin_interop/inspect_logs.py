"""Exports logs of Inspect, format version 2: one `.eval` file for each slice, model, prompt variant and setting.

An `.eval` file is a ZIP archive: `_journal/start.json`, one `samples/ID_epoch_N.json` a sample, `summaries.json` and
`header.json`, as `inspect_ai.log` reads and writes it. It is compressed by deflate, which every reader knows.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, ClassVar, Final
from zipfile import ZIP_DEFLATED, ZipFile

from themis_core import Exporter, RunRecord, ScoreEntry, SpecError, Store, Usage
from themis_plugin_interop.inspect_steps import calls_to, events_of
from themis_plugin_interop.trials import Answer, Group, Lost, clean, grouped, named_part, rows_by_group, scorers_of
from themis_plugin_interop.writing import TaskNames, as_json, names_of, safe_name, uuid_of
from themis_secrets import without_secrets

__all__ = ["InspectLogs"]

_VERSION: Final = 2
_STOPS: Final = {"stop": "stop", "length": "max_tokens", "max_tokens": "max_tokens", "tool_calls": "tool_calls"}
_SETTINGS: Final = {
    **{
        name: name
        for name in ("temperature", "top_p", "top_k", "max_tokens", "seed", "frequency_penalty", "presence_penalty")
    },
    "stop": "stop_seqs",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
    "reasoning_effort": "reasoning_effort",
}
_SUMMARY_CHARACTERS: Final = 1024
"""Of an input in the list of samples."""
_NAME_BYTES: Final = 200
"""Of a sample's id in the name of its member."""


class InspectLogs(Exporter):
    """Logs of Inspect (`inspect_ai`), as `inspect view` and `read_eval_log` open them; one for each row of settings."""

    losses: ClassVar[tuple[str, ...]] = (
        "Intervals are not kept: Inspect has a mean and a standard error.",
        "A judge's own requests and replies, log-probabilities, further choices and costs are not kept.",
    )

    def export(self, store: Store, run: RunRecord, summary: Mapping[str, Any], folder: Path) -> Sequence[str]:
        rows, lost = rows_by_group(summary), Lost()
        tasks = TaskNames(rows)
        for group, answers in grouped(store, run.run_id):
            log = _Log(run, group, tasks.of(group), rows.get(group, []), lost)
            with ZipFile(folder / log.name, "x", ZIP_DEFLATED, allowZip64=True) as archive:
                log.write(archive, answers)
        return lost.told()


class _Log:
    """One log under way."""

    def __init__(self, run: RunRecord, group: Group, task: str, rows: Sequence[Mapping[str, Any]], lost: Lost) -> None:
        self._run, self._group, self._task, self._rows, self._lost = run, group, task, rows, lost
        self._scorers = scorers_of(run)
        self._names = names_of(self._scorers)
        self._id = uuid_of(run.run_id, *group).replace("-", "")[:22]
        stamp = run.started_at[:19].replace(":", "-")
        self.name = f"{stamp}+00-00_{safe_name(task).replace('_', '-')}_{self._id}.eval"
        self._usage: Counter[str] = Counter()
        self._samples = self._completed = self._epochs = 0
        self._ids: dict[str, None] = {}
        self._members: set[str] = set()
        self._settings: Mapping[str, Any] = {}

    def write(self, archive: ZipFile, answers: Iterator[Answer]) -> None:
        with TemporaryFile() as summaries:
            for answer in answers:
                sample = self._sample(answer)
                archive.writestr(self._member(sample["id"], sample["epoch"]), as_json(sample))
                self._summarise(sample, summaries)
            summaries.write(b"]" if self._samples else b"[]")
            summaries.seek(0)
            with archive.open("summaries.json", "w", force_zip64=True) as target:
                shutil.copyfileobj(summaries, target)
        start = {"version": _VERSION, "eval": self._eval(), "plan": {"name": "plan", "steps": [], "config": {}}}
        archive.writestr("_journal/start.json", as_json(start))
        archive.writestr("header.json", as_json({**start, **self._ending()}))

    def _member(self, item_id: str, epoch: int) -> str:
        """A sample's place in the archive: by its id, as Inspect finds it, unless that could lead out of a folder."""
        steps = item_id.split("/")
        is_plain = item_id.isprintable() and "\\" not in item_id and len(item_id.encode()) <= _NAME_BYTES
        leads_out = any(step.strip(". ") == "" for step in steps)
        name = f"samples/{item_id if is_plain and not leads_out else safe_name(item_id)}_epoch_{epoch}.json"
        if name in self._members:
            raise SpecError(f"two samples would be {name} in the log of {self._task}: rename item {item_id!r}")
        self._members.add(name)
        return name

    def _sample(self, answer: Answer) -> dict[str, Any]:
        generation, trial = answer.generation, answer.trial
        self._settings = self._settings or answer.params
        self._samples += 1
        self._ids[trial.item_id] = None
        self._completed += not generation.failed
        self._epochs = max(self._epochs, trial.sample_index + 1)
        usage = _usage(generation.usage)
        self._usage.update({name: count for name, count in usage.items() if count})
        messages = _messages(answer.messages)
        sample: dict[str, Any] = {
            "id": trial.item_id,
            "epoch": trial.sample_index + 1,
            "input": messages or answer.prompt,
            "target": _target(answer.item.reference),
            "messages": messages,
            "output": {"model": trial.model_id, "choices": [], "completion": ""},
            "scores": {self._names[place]: score for place, score in self._scores(answer)},
            "metadata": clean(answer.item.metadata) | _more(answer),
            "store": {"themis_trial": trial.trial_id, "themis_status": generation.status},
            "events": list(events_of(generation.steps, trial.trial_id, trial.finished_at)),
            "model_usage": {trial.model_id: usage},
            "uuid": trial.trial_id[:22],
            "attachments": {},
            "completed_at": trial.finished_at,
        }
        if generation.failed:
            message = without_secrets(f"{generation.error_code}: {generation.error}")
            return {**sample, "error": {"message": message, "traceback": "", "traceback_ansi": ""}}
        said = _answer(answer)
        refused = generation.status == "refused"
        stop = "content_filter" if refused else _STOPS.get(generation.finish_reason or "stop", "unknown")
        sample["messages"] = [*messages, said]
        sample["output"] = {
            "model": trial.model_id,
            "choices": [{"message": said, "stop_reason": "max_tokens" if generation.status == "truncated" else stop}],
            "completion": generation.text,
            "usage": usage,
            **({"time": generation.latency_s} if generation.latency_s is not None else {}),
        }
        return sample

    def _scores(self, answer: Answer) -> Iterator[tuple[tuple[str, str, str], dict[str, Any]]]:
        for entry in answer.scores:
            if entry.result.value is None:
                self._lost.add("score", f"without a value left out ({entry.result.reason}): Inspect wants one.")
                continue
            yield (answer.trial.slice_id, entry.score, entry.metric), _score(answer, entry)

    def _summarise(self, sample: Mapping[str, Any], file: IO[bytes]) -> None:
        names = ("id", "epoch", "target", "scores", "model_usage", "completed_at", "uuid")
        text = sample["input"] if isinstance(sample["input"], str) else _text_of(sample["input"])
        error = sample.get("error")
        file.write(b"[" if self._samples == 1 else b",")
        summary = {
            **{name: sample[name] for name in names},
            "input": text[:_SUMMARY_CHARACTERS],
            "metadata": {},
            "completed": True,
            "message_count": len(sample["messages"]),
            **({"error": error["message"]} if error else {}),
        }
        file.write(as_json(summary).encode("ascii"))

    def _eval(self) -> dict[str, Any]:
        settings = {_SETTINGS[name]: value for name, value in self._settings.items() if name in _SETTINGS}
        stops = settings.get("stop_seqs")
        if isinstance(stops, str):
            settings["stop_seqs"] = [stops]
        return {
            "eval_id": self._id,
            "run_id": self._run.run_id,
            "created": self._run.started_at,
            "task": self._task,
            "task_id": self._id,
            "task_version": 0,
            "dataset": {
                "name": self._group.slice_id,
                "samples": len(self._ids),
                "sample_ids": list(self._ids),  # without them, Inspect can't stream the samples
                "shuffled": False,
            },
            "model": self._group.model_id,
            "model_generate_config": settings,
            "config": {"epochs": max(self._epochs, 1)},
            "packages": {"themis-core": self._run.manifest["themis"]},
            "metadata": {"themis_run": self._run.run_id, **self._group._asdict()},
        }

    def _ending(self) -> dict[str, Any]:
        usage = {**_usage(Usage()), **self._usage}
        return {
            # A sample that failed has its error; a run that has not ended is one that was given up.
            "status": "success" if self._run.status in ("completed", "failed") else "cancelled",
            "results": {
                "total_samples": self._samples,
                "completed_samples": self._completed,
                "scores": [self._result(row) for row in self._rows if row["value"] is not None],
            },
            "stats": {
                "started_at": self._run.started_at,
                "completed_at": self._run.finished_at or "",
                "model_usage": {self._group.model_id: usage},
            },
        }

    def _result(self, row: Mapping[str, Any]) -> dict[str, Any]:
        place = (row["slice_id"], row["score"], row["metric"])
        scorer = self._scorers[place]
        metrics = {"mean" if scorer["aggregates_mean"] else row["metric"]: row["value"]}
        if row["standard_error"] is not None:
            metrics["stderr"] = row["standard_error"]
        return {
            "name": self._names[place],
            "scorer": scorer["component"],
            "scored_samples": row["n"],
            "unscored_samples": row["unscored"] + row["failed"],
            "params": {},
            "metrics": {name: {"name": name, "value": value, "params": {}} for name, value in metrics.items()},
        }


def _usage(usage: Usage) -> dict[str, Any]:
    counts = {"input_tokens": usage.input_tokens or 0, "output_tokens": usage.output_tokens or 0}
    more = {
        "input_tokens_cache_read": usage.cached_input_tokens,
        "input_tokens_cache_write": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
    known = {name: count for name, count in more.items() if count is not None}
    return {**counts, "total_tokens": sum(counts.values()), **known}


def _messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    said, called = [], {}
    for each in messages:
        told = _message(each)
        called.update({call["id"]: call["function"] for call in told.get("tool_calls", ())})
        if told["role"] == "tool" and (function := called.get(told.get("tool_call_id"))):
            told["function"] = function
        said.append(told)
    return said


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        content = [_part(part) for part in content]
    said: dict[str, Any] = {"role": message["role"], "content": content if content is not None else ""}
    if message["role"] == "tool" and message.get("tool_call_id"):
        said["tool_call_id"] = message["tool_call_id"]
    if message["role"] == "assistant" and message.get("tool_calls"):
        said["tool_calls"] = calls_to(message["tool_calls"])
    return said


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("type") == "text":
        return {"type": "text", "text": part.get("text", "")}
    image = part.get("image_url") or {}
    if not image or "sha256:" in image.get("url", "")[:100]:  # what is long is known to the store alone
        return {"type": "text", "text": named_part(part)}
    return {"type": "image", "image": image.get("url", ""), "detail": image.get("detail") or "auto"}


def _text_of(messages: Sequence[Mapping[str, Any]]) -> str:
    texts = [each["content"] if isinstance(each["content"], str) else "[parts]" for each in messages]
    return "\n\n".join(texts)


def _answer(answer: Answer) -> dict[str, Any]:
    generation = answer.generation
    content: Any = generation.text or generation.refusal or ""
    if generation.reasoning:
        content = [{"type": "reasoning", "reasoning": generation.reasoning}, {"type": "text", "text": generation.text}]
    said = {"role": "assistant", "content": content, "source": "generate", "model": answer.trial.model_id}
    if generation.tool_calls:
        said["tool_calls"] = calls_to(generation.tool_calls)
    return said


def _more(answer: Answer) -> dict[str, Any]:
    """What Inspect has no place for: what the engine was handed of the item, and how many steps were left out."""
    handed = answer.turns[-1].request.item if answer.turns else {}
    more = {"themis_handed": handed, "themis_steps_left_out": answer.generation.steps_left_out}
    return {name: clean(value) for name, value in more.items() if value}


def _target(reference: Any) -> str | list[str]:
    if isinstance(reference, list):
        return [each if isinstance(each, str) else as_json(each) for each in reference]
    return "" if reference is None else reference if isinstance(reference, str) else as_json(reference)


def _score(answer: Answer, entry: ScoreEntry) -> dict[str, Any]:
    details = clean(entry.result.details)
    parsed = {} if entry.parse is None or entry.extraction is None else {"parse": entry.parse}
    if entry.extraction is not None and not entry.extraction.parsed:
        parsed["unparsed"] = entry.extraction.reason or ""
    return {
        "value": entry.result.value,
        "answer": answer.found(entry),
        "metadata": {"metric": entry.metric, **parsed, **({"details": details} if details else {})},
    }
