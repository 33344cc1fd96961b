"""Exports records of Every Eval Ever, schema 0.3.0: an aggregate record and the samples of each model.

The schemas are `eval.schema.json` and `instance_level_eval.schema.json` of https://github.com/evaleval/every_eval_ever
and of the package `every-eval-ever`. Files lie as its data store wants them: `data/BENCHMARK/DEVELOPER/MODEL/UUID.json`
and `UUID_samples.jsonl` beside it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import IO, Any, ClassVar, Final, Literal

from pydantic import Field

from themis_core import Exporter, RunRecord, ScoreEntry, Store
from themis_plugin_interop.trials import Answer, Group, Lost, clean, grouped, plain_text, scorers_of
from themis_plugin_interop.writing import as_json, safe_name, sha256_of, uuid_of, write_json

__all__ = ["EveryEvalEver"]

_SCHEMA: Final = "0.3.0"
_UNKNOWN: Final = "unknown"


class EveryEvalEver(Exporter):
    """Records of Every Eval Ever (schema 0.3.0): aggregates with uncertainty, and one sample row for each score."""

    losses: ClassVar[tuple[str, ...]] = (
        "`is_correct` is said of every sample: true for the metric's best value, else false.",
        "Log-probabilities, further choices, costs and judges' replies are not kept.",
    )

    organization: str = Field(_UNKNOWN, description="Name of the organisation that gives the data.", min_length=1)
    relationship: Literal["first_party", "third_party", "collaborative", "other"] = Field(
        "other", description="How that organisation stands to those who made the models."
    )

    def export(self, store: Store, run: RunRecord, summary: Mapping[str, Any], folder: Path) -> Sequence[str]:
        lost, now = Lost(), int(time.time())
        models: dict[str, _Record] = {}
        with ExitStack() as stack:
            for group, answers in grouped(store, run.run_id):
                if group.model_id not in models:
                    models[group.model_id] = _Record(run, group.model_id, folder, now, stack)
                models[group.model_id].add(group, answers, lost)
        for model_id, record in models.items():
            rows = [each for each in summary["scores"] if each["model_id"] == model_id]
            record.finish(rows, self.organization, self.relationship, lost)
        return lost.told()


class _Record:
    """The two files of one model."""

    def __init__(self, run: RunRecord, model_id: str, folder: Path, now: int, stack: ExitStack) -> None:
        self._run, self._now, self._root = run, now, folder
        self._scorers = scorers_of(run)
        developer, _, name = model_id.rpartition("/")
        self._model_id, self._developer, self._name = model_id, developer or _UNKNOWN, name
        benchmark = safe_name(run.manifest["benchmark"]["benchmark_id"])
        self._id = f"{run.manifest['benchmark']['benchmark_id']}/{model_id}/{now}"
        self._folder = folder / "data" / benchmark / safe_name(self._developer) / safe_name(name)
        self._uuid = uuid_of(run.run_id, model_id)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / f"{self._uuid}_samples.jsonl"
        self._file: IO[bytes] = stack.enter_context(self._path.open("xb"))
        self._rows, self._sha256 = 0, hashlib.sha256()
        self._settings: dict[tuple[str, ...], Mapping[str, Any]] = {}

    def add(self, group: Group, answers: Iterator[Answer], lost: Lost) -> None:
        for answer in answers:
            self._settings.setdefault(group, answer.params)
            if answer.generation.failed:
                lost.add("trial", "without an answer left out of the samples: a sample needs a score.")
                continue
            for entry in answer.scores:
                if entry.result.value is None:
                    lost.add("score", f"without a value left out of the samples ({entry.result.reason}).")
                    continue
                line = (as_json(self._sample(group, answer, entry)) + "\n").encode("ascii")
                self._sha256.update(line)
                self._rows += 1
                self._file.write(line)

    def _sample(self, group: Group, answer: Answer, entry: ScoreEntry) -> dict[str, Any]:
        scorer = self._scorers[group.slice_id, entry.score, entry.metric]
        generation = answer.generation
        raw = next((plain_text(each.get("content")) for each in answer.messages[::-1] if each["role"] == "user"), "")
        references = _texts(answer.item.reference)
        best = scorer["highest"] if scorer.get("higher_is_better", True) else scorer["lowest"]
        value = entry.result.value
        details = {"sample_index": str(answer.trial.sample_index), "themis_trial": answer.trial.trial_id}
        if entry.extraction is not None and not entry.extraction.parsed:
            details["unparsed"] = entry.extraction.reason or ""
        sample: dict[str, Any] = {
            "schema_version": _SCHEMA,
            "evaluation_id": self._id,
            "model_id": self._model_id,
            "evaluation_name": group.slice_id,
            "evaluation_result_id": _result_id(*group, entry.score, entry.metric),
            "sample_id": answer.item.id,
            "sample_hash": sha256_of(raw + "".join(references)),
            "interaction_type": "single_turn",
            "input": {"raw": raw, "formatted": answer.prompt, "reference": references},
            "answer_attribution": [],
            "evaluation": {"score": value, "is_correct": best is not None and value == best},
            "metadata": {**{name: _text(each) for name, each in clean(answer.item.metadata).items()}, **details},
        }
        if len(answer.turns) > 1:
            sample |= {"interaction_type": "multi_turn", "output": None, "messages": _conversation(answer)}
            sample["evaluation"]["num_turns"] = len(answer.turns)
        else:
            traces = {"reasoning_trace": [generation.reasoning]} if generation.reasoning else {}
            sample |= {"output": {"raw": [generation.text], **traces}, "messages": None}
        if entry.extraction is not None and entry.extraction.parsed:
            sample["answer_attribution"] = [_attribution(answer, entry)]
        if (usage := _usage(answer)) is not None:
            sample["token_usage"] = usage
        if generation.latency_s is not None:
            sample["performance"] = {"latency_ms": generation.latency_s * 1000}
        if generation.status != "answered":
            sample["error"] = generation.status
        return sample

    def finish(self, rows: Sequence[Mapping[str, Any]], organization: str, relationship: str, lost: Lost) -> None:
        results = []
        for row in rows:
            if row["value"] is None:
                lost.add("result", "without a value left out.")
            else:
                results.append(self._result(row))
        write_json(
            self._folder / f"{self._uuid}.json",
            {
                "schema_version": _SCHEMA,
                "evaluation_id": self._id,
                "evaluation_timestamp": str(int(datetime.fromisoformat(self._run.started_at).timestamp())),
                "retrieved_timestamp": str(self._now),
                "source_metadata": {
                    "source_name": "Themis",
                    "source_type": "evaluation_run",
                    "source_organization_name": organization,
                    "evaluator_relationship": relationship,
                    "additional_details": {"themis_run": self._run.run_id},
                },
                "eval_library": {"name": "themis", "version": self._run.manifest["themis"]},
                "model_info": {
                    "name": self._name,
                    "id": self._model_id,
                    "developer": self._developer,
                    "additional_details": {"deployment_type": _UNKNOWN, "model_availability": _UNKNOWN},
                },
                "evaluation_results": results,
                "detailed_evaluation_results": {
                    "format": "jsonl",
                    "file_path": self._path.relative_to(self._root).as_posix(),
                    "hash_algorithm": "sha256",
                    "checksum": self._sha256.hexdigest(),
                    "total_rows": self._rows,
                },
            },
        )

    def _result(self, row: Mapping[str, Any]) -> dict[str, Any]:
        group = Group(row["slice_id"], row["model_id"], row["prompt_variant_id"], row["params"])
        scorer = self._scorers[row["slice_id"], row["score"], row["metric"]]
        uncertainty: dict[str, Any] = {"num_samples": row["n"]}
        if row["standard_error"] is not None:
            uncertainty["standard_error"] = {"value": row["standard_error"], "method": "clustered by item"}
        if row["low"] is not None:
            ends = {"lower": row["low"], "upper": row["high"], "confidence_level": 0.95, "method": row["interval"]}
            uncertainty["confidence_interval"] = ends
        ledger = {name: str(row[name]) for name in ("n", "failed", "unscored", "unparsed")}
        config: dict[str, Any] = {
            "metric_id": scorer["component"],
            "metric_name": row["metric"],
            "lower_is_better": not scorer.get("higher_is_better", True),
            "score_type": "continuous",
            "min_score": "-Infinity" if scorer["lowest"] is None else scorer["lowest"],
            "max_score": "Infinity" if scorer["highest"] is None else scorer["highest"],
            "additional_details": {"score": row["score"], "version": str(scorer["version"])},
        }
        return {
            "evaluation_result_id": _result_id(*group, row["score"], row["metric"]),
            "evaluation_name": row["slice_id"],
            "source_data": self._source(row["slice_id"]),
            "metric_config": config,
            "score_details": {"score": row["value"], "details": ledger, "uncertainty": uncertainty},
            "generation_config": _generation_config(group, self._settings.get(group, {})),
        }

    def _source(self, slice_id: str) -> dict[str, Any]:
        found = next(each for each in self._run.manifest["benchmark"]["slices"] if each["slice_id"] == slice_id)
        dataset = found["dataset"]
        if not dataset["source"].startswith("huggingface/"):
            return {"dataset_name": slice_id, "source_type": "other"}
        source = {"dataset_name": slice_id, "source_type": "hf_dataset", "hf_repo": dataset["dataset_id"]}
        return {**source, **({"hf_split": dataset["split"]} if dataset["split"] else {})}


def _result_id(*names: str) -> str:
    """One id of several names, which may have a `/` in them, as most metrics and many models do."""
    return "::".join(names)


def _generation_config(group: Group, params: Mapping[str, Any]) -> dict[str, Any]:
    known = ("temperature", "top_p", "top_k", "max_tokens")
    arguments = {name: params[name] for name in known if params.get(name) is not None}
    rest = {name: _text(value) for name, value in clean(params).items() if name not in known}
    details = {"prompt_variant": group.prompt_variant_id, "params": group.params, **rest}
    return {"generation_args": arguments, "additional_details": details}


def _conversation(answer: Answer) -> list[dict[str, Any]]:
    said = [*answer.messages, {"role": "assistant", "content": answer.generation.text}]
    return [
        {"turn_idx": turn, "role": each["role"], "content": plain_text(each.get("content"))}
        for turn, each in enumerate(said)
    ]


def _attribution(answer: Answer, entry: ScoreEntry) -> dict[str, Any]:
    turn = len(answer.messages) if len(answer.turns) > 1 else 0
    return {
        "turn_idx": turn,
        "source": "output.raw" if turn == 0 else "messages[turn_idx].content",
        "extracted_value": answer.found(entry),
        "extraction_method": entry.parse or "",
        "is_terminal": True,
    }


def _usage(answer: Answer) -> dict[str, Any] | None:
    usage = answer.generation.usage
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "input_tokens_cache_write": usage.cache_write_tokens,
        "input_tokens_cache_read": usage.cached_input_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _texts(reference: Any) -> list[str]:
    return [
        _text(each) for each in (reference if isinstance(reference, list) else [] if reference is None else [reference])
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value)
