"""Exports logs of OpenAI's evals, as `evals.record.LocalRecorder` writes them, in JSON Lines.

There is one log for each slice, model, prompt variant and setting: a line with `spec`, one event a line (`sampling`,
`match` for scores of 0 and 1, `metrics`, `error`), and a line with `final_report`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from themis_core import Exporter, RunRecord, Store
from themis_plugin_interop.trials import Answer, Group, Lost, grouped, rows_by_group, scorers_of
from themis_plugin_interop.writing import Names, TaskNames, names_of, safe_name, uuid_of, write_line
from themis_secrets import without_secrets

__all__ = ["OpenAiEvalsLogs"]


class OpenAiEvalsLogs(Exporter):
    """Event logs of OpenAI's evals, that its log tools read; one for each row of settings."""

    losses: ClassVar[tuple[str, ...]] = (
        "Settings other than the model, times, costs, judges' replies and intervals are not kept.",
        "A refused, truncated or empty answer is a text like any other.",
    )

    def export(self, store: Store, run: RunRecord, summary: Mapping[str, Any], folder: Path) -> Sequence[str]:
        rows, lost = rows_by_group(summary), Lost()
        tasks, files = TaskNames(rows), Names()
        names = names_of(scorers_of(run))
        for group, answers in grouped(store, run.run_id):
            task = tasks.of(group)
            name = files.take(f"{safe_name(group.model_id)}_{safe_name(task)}", *group)
            with (folder / f"{name}.jsonl").open("x", encoding="ascii") as file:
                log_id = uuid_of(run.run_id, *group)
                write_line(file, {"spec": _spec(run, group, task, log_id)})
                for number, (answer, kind, data) in enumerate(_events(answers, names, lost)):
                    write_line(file, _event(log_id, number, answer, kind, data))
                write_line(file, {"final_report": _report(rows.get(group, []), names), "run_id": log_id})
        return lost.told()


def _spec(run: RunRecord, group: Group, task: str, log_id: str) -> dict[str, Any]:
    return {
        "completion_fns": [group.model_id],
        "eval_name": f"{run.manifest['benchmark']['benchmark_id']}.{task}",
        "base_eval": run.manifest["benchmark"]["benchmark_id"],
        "split": group.slice_id,
        "run_config": {"themis_run": run.run_id, "prompt_variant": group.prompt_variant_id, "params": group.params},
        "created_by": "themis",
        "run_id": log_id,
        "created_at": run.started_at,
    }


def _events(
    answers: Iterator[Answer], names: Mapping[tuple[str, str, str], str], lost: Lost
) -> Iterator[tuple[Answer, str, dict[str, Any]]]:
    for answer in answers:
        generation = answer.generation
        if generation.failed:
            yield answer, "error", {"type": generation.error_code, "message": without_secrets(generation.error or "")}
            continue
        prompt = answer.messages or answer.prompt
        yield answer, "sampling", {"prompt": prompt, "sampled": [generation.text], "status": generation.status}
        values: dict[str, float] = {}
        for entry in answer.scores:
            value = entry.result.value
            if value is None:
                lost.add("score", f"without a value left out ({entry.result.reason}).")
                continue
            name = names[answer.trial.slice_id, entry.score, entry.metric]
            values[name] = value
            if value in (0.0, 1.0):
                match = {"correct": value == 1.0, "expected": answer.item.reference, "picked": answer.found(entry)}
                yield answer, "match", {**match, "score": name}
        yield answer, "metrics", values


def _event(log_id: str, number: int, answer: Answer, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    sample = f".{answer.trial.sample_index}" if answer.trial.sample_index else ""
    return {
        "run_id": log_id,
        "event_id": number,
        "sample_id": f"{answer.item.id}{sample}",
        "type": kind,
        "data": data,
        "created_by": "themis",
        "created_at": answer.trial.finished_at,
    }


def _report(rows: Sequence[Mapping[str, Any]], names: Mapping[tuple[str, str, str], str]) -> dict[str, Any]:
    report: dict[str, Any] = {}
    for row in rows:
        name = names[row["slice_id"], row["score"], row["metric"]]
        if row["value"] is not None:
            report[name] = row["value"]
        if row["standard_error"] is not None:
            report[f"{name}_stderr"] = row["standard_error"]
        report[f"{name}_n"] = row["n"]
    return report
