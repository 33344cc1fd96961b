"""Exports results for pages of models on the Hugging Face Hub: YAML files for the folder `.eval_results` of a model.

The format is that of `huggingface_hub.EvalResultEntry`, specified at
https://github.com/huggingface/hub-docs/blob/main/eval_results.yaml: a list of entries with `dataset` (`id`, `task_id`,
`revision`), `value`, `date`, `source` and `notes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml
from pydantic import Field

from themis_core import Exporter, RunRecord, SpecError, Store
from themis_plugin_interop.writing import Names, plain_name, safe_name

__all__ = ["HubResults"]

_PLACE: Final = ("model_id", "slice_id", "prompt_variant_id", "params")


class HubResults(Exporter):
    """Results for the Hugging Face Hub: `MODEL/.eval_results/SLICE.yaml`, to be added to the model's repository."""

    losses: ClassVar[tuple[str, ...]] = (
        "One number of each slice is kept, without interval, counts, answers and prompts.",
        "The Hub shows numbers of benchmarks that are registered there: check the dataset's id and task.",
    )

    score: str | None = Field(None, description="Name of the score that is exported, if slices have several.")
    metric: str | None = Field(None, description="Label of the metric that is exported, if the score has several.")
    dataset: str | None = Field(
        None, description="Id of the dataset on the Hub, if it was not loaded from there: `openai/gsm8k`."
    )
    task: str | None = Field(
        None, description="Id of the task in the dataset; by default its configuration, or `default`."
    )
    source_url: str | None = Field(None, description="Address of a page about this evaluation.")
    percent: bool = Field(False, description="Give values of 0 to 1 as percentages.")

    def export(self, store: Store, run: RunRecord, summary: Mapping[str, Any], folder: Path) -> Sequence[str]:
        rows = [each for each in summary["scores"] if self._is_wanted(each)]
        self._check(rows)
        datasets = {each["slice_id"]: each["dataset"] for each in run.manifest["benchmark"]["slices"]}
        several = len({(each["prompt_variant_id"], each["params"]) for each in rows}) > 1
        folders, files = Names(), Names()
        told = []
        for row in rows:
            model_id, slice_id, variant, params = (row[name] for name in _PLACE)
            if row["value"] is None:
                told.append(f"{slice_id} of {model_id} left out: it has no value.")
                continue
            entry = self._entry(row, datasets[slice_id], run)
            name = slice_id
            if several:
                entry["notes"] = f"prompt {variant}, settings {params}"
                name = f"{name}-{variant}-{params}"
            model = folders.take(plain_name(model_id.replace("/", "__"), model_id), model_id)
            place = folder / model / ".eval_results"
            place.mkdir(parents=True, exist_ok=True)
            text = yaml.safe_dump([entry], sort_keys=False, allow_unicode=True)
            file_name = files.take(safe_name(name), slice_id, variant, params)
            with (place / f"{file_name}.yaml").open("x", encoding="utf-8") as file:
                file.write(text)
        return [*told, *self._gaps(rows)]

    def _is_wanted(self, row: Mapping[str, Any]) -> bool:
        return self.score in (None, row["score"]) and self.metric in (None, row["metric"])

    def _check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raise SpecError unless there is one number for each slice, model, prompt variant and setting."""
        if not rows:
            raise SpecError("the run has no such score: `themis show run` lists them")
        found = {(each["score"], each["metric"]) for each in rows}
        places = [tuple(each[name] for name in _PLACE) for each in rows]
        if len(set(places)) < len(places):
            listed = ", ".join(f"score={score} metric={metric}" for score, metric in sorted(found))
            raise SpecError(f"the Hub takes one number of a benchmark: choose one by --set, of {listed}")

    def _entry(self, row: Mapping[str, Any], dataset: Mapping[str, Any], run: RunRecord) -> dict[str, Any]:
        on_hub = dataset["source"].startswith("huggingface/")
        dataset_id = self.dataset or (dataset["dataset_id"] if on_hub else None)
        if dataset_id is None:
            raise SpecError(
                f"slice {row['slice_id']} was not loaded from the Hub: say which dataset of the Hub it is, "
                "such as --set dataset=openai/gsm8k"
            )
        task = self.task or (dataset["config_name"] if on_hub else None) or "default"
        about = {"id": dataset_id, "task_id": task}
        if on_hub and self.dataset is None and dataset["revision"]:
            about["revision"] = dataset["revision"]
        value = row["value"] * 100 if self.percent else row["value"]
        entry: dict[str, Any] = {"dataset": about, "value": value, "date": run.finished_at or run.started_at}
        if self.source_url:
            entry["source"] = {"url": self.source_url, "name": "Themis"}
        return entry

    def _gaps(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        for row in rows:
            if row["failed"] or row["unscored"]:
                missing = row["failed"] + row["unscored"]
                place = f"{row['slice_id']} of {row['model_id']}"
                yield f"{place}: {row['n']} scores are in the value, {missing} are missing; the format can't say so."
