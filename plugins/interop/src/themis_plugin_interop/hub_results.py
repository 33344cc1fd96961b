"""Exports results for pages of models on the Hugging Face Hub: YAML files for the folder `.eval_results` of a model.

The format is that of `huggingface_hub.EvalResultEntry`, specified at
https://github.com/huggingface/hub-docs/blob/main/eval_results.yaml: a list of entries with `dataset` (`id`, `task_id`,
`revision`), `value`, `date`, `source` and `notes`. With `card`, the same numbers are the `model-index` of a model card,
https://github.com/huggingface/hub-docs/blob/main/modelcard.md, as `huggingface_hub.EvalResult` holds it.
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
    """Results for the Hugging Face Hub: `MODEL/.eval_results/SLICE.yaml`, or a card, for the model's repository."""

    losses: ClassVar[tuple[str, ...]] = (
        "The numbers of each slice are kept, without interval, counts, answers and prompts.",
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
    card: bool = Field(
        False,
        description="Write a model card, `MODEL/README.md`, with the results in its `model-index`, instead.",
    )
    task_type: str = Field(
        "text-generation", description="Kind of the task in a model card, such as `question-answering`."
    )
    percent: bool = Field(False, description="Give values of 0 to 1 as percentages.")

    def export(self, store: Store, run: RunRecord, summary: Mapping[str, Any], folder: Path) -> Sequence[str]:
        rows = [each for each in summary["scores"] if self._is_wanted(each)]
        self._check(rows)
        datasets = {each["slice_id"]: each["dataset"] for each in run.manifest["benchmark"]["slices"]}
        several = len({(each["prompt_variant_id"], each["params"]) for each in rows}) > 1
        scored = [row for row in rows if row["value"] is not None]
        told = [
            f"{row['slice_id']} of {row['model_id']} left out: it has no value." for row in rows if row["value"] is None
        ]
        folders = Names()
        places = {
            model: folder / folders.take(plain_name(model.replace("/", "__"), model), model)
            for model in dict.fromkeys(row["model_id"] for row in scored)
        }
        if self.card:
            for model, place in places.items():
                mine = [row for row in scored if row["model_id"] == model]
                index = [self._indexed(row, datasets[row["slice_id"]], several) for row in mine]
                _write(place / "README.md", f"---\n{_yaml({'model-index': [{'name': model, 'results': index}]})}---\n")
        else:
            self._write_entries(scored, places, datasets, run, several)
        return [*told, *self._gaps(rows)]

    def _write_entries(
        self,
        rows: Sequence[Mapping[str, Any]],
        places: Mapping[str, Path],
        datasets: Mapping[str, Mapping[str, Any]],
        run: RunRecord,
        several: bool,
    ) -> None:
        files = Names()
        for row in rows:
            model_id, slice_id, variant, params = (row[name] for name in _PLACE)
            entry = self._entry(row, datasets[slice_id], run)
            name = slice_id
            if several:
                entry["notes"] = _asked(row)
                name = f"{name}-{variant}-{params}"
            file_name = files.take(safe_name(name), slice_id, variant, params)
            _write(places[model_id] / ".eval_results" / f"{file_name}.yaml", _yaml([entry]))

    def _indexed(self, row: Mapping[str, Any], dataset: Mapping[str, Any], several: bool) -> dict[str, Any]:
        """One result of a model card."""
        about = self._dataset(row, dataset)
        name = f"{row['score']}/{row['metric']}"
        metric = {"type": row["metric"], "value": self._value(row), "name": name}
        if several:
            metric["config"] = _asked(row)
        told: dict[str, Any] = {
            "task": {"type": self.task_type, "name": row["slice_id"]},
            "dataset": {"name": about["id"], "type": about["id"], "config": about["task_id"]},
            "metrics": [metric],
        }
        if "revision" in about:
            told["dataset"]["revision"] = about["revision"]
        if dataset.get("split"):
            told["dataset"]["split"] = dataset["split"]
        if self.source_url:
            told["source"] = {"url": self.source_url, "name": "Themis"}
        return told

    def _is_wanted(self, row: Mapping[str, Any]) -> bool:
        return self.score in (None, row["score"]) and self.metric in (None, row["metric"])

    def _check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raise SpecError unless there is one number for each slice, model, prompt variant and setting.

        A model card takes several.
        """
        if not rows:
            raise SpecError("the run has no such score: `themis show run` lists them")
        found = {(each["score"], each["metric"]) for each in rows}
        places = [tuple(each[name] for name in _PLACE) for each in rows]
        if len(set(places)) < len(places) and not self.card:
            listed = ", ".join(f"score={score} metric={metric}" for score, metric in sorted(found))
            raise SpecError(f"the Hub takes one number of a benchmark: choose one by --set, of {listed}")

    def _entry(self, row: Mapping[str, Any], dataset: Mapping[str, Any], run: RunRecord) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "dataset": self._dataset(row, dataset),
            "value": self._value(row),
            "date": run.finished_at or run.started_at,
        }
        if self.source_url:
            entry["source"] = {"url": self.source_url, "name": "Themis"}
        return entry

    def _dataset(self, row: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, str]:
        """Id, task and revision of the dataset on the Hub."""
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
        return about

    def _value(self, row: Mapping[str, Any]) -> float:
        return float(row["value"] * 100 if self.percent else row["value"])

    def _gaps(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        for row in rows:
            if row["failed"] or row["unscored"]:
                missing = row["failed"] + row["unscored"]
                place = f"{row['slice_id']} of {row['model_id']}"
                yield f"{place}: {row['n']} scores are in the value, {missing} are missing; the format can't say so."


def _asked(row: Mapping[str, Any]) -> str:
    return f"prompt {row['prompt_variant_id']}, settings {row['params']}"


def _yaml(value: Any) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8", newline="") as file:
        file.write(text)
