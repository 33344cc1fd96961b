"""Reads exports by the packages of the tools that they are for, and prints what these found as JSON.

Run by the Python of an environment that has them (`nox -s other_tools`), as `other_side.py TOOL FOLDER`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any


def inspect(folder: Path) -> Any:
    """Read by `inspect_ai.log`: list, whole log, summaries, and samples as a stream."""
    from inspect_ai.log import (
        list_eval_logs,
        read_eval_log,
        read_eval_log_sample_summaries,
        read_eval_log_samples,
    )

    found = []
    for info in sorted(list_eval_logs(str(folder)), key=lambda info: info.name):
        log = read_eval_log(info)
        streamed = read_eval_log_samples(info, all_samples_required=False)
        found.append(
            {
                "status": log.status,
                "listed_as": info.task,
                "task": log.eval.task,
                "model": log.eval.model,
                "epochs": log.eval.config.epochs,
                "scores": {
                    each.name: {name: metric.value for name, metric in each.metrics.items()}
                    for each in log.results.scores
                },
                "counted": [(each.scored_samples, each.unscored_samples) for each in log.results.scores],
                "samples": [
                    {
                        "id": each.id,
                        "epoch": each.epoch,
                        "completion": each.output.completion,
                        "stop": each.output.stop_reason if each.output.choices else None,
                        "target": each.target,
                        "error": each.error.message if each.error else None,
                        "scores": {name: score.value for name, score in (each.scores or {}).items()},
                        "tokens": each.model_usage[log.eval.model].total_tokens,
                        "roles": [message.role for message in each.messages],
                        "calls": [
                            [(call.function, call.arguments, call.parse_error) for call in message.tool_calls or ()]
                            for message in each.messages
                            if message.role == "assistant"
                        ],
                        "results": [
                            (message.function, message.text) for message in each.messages if message.role == "tool"
                        ],
                        "tools": [
                            (event.function, event.arguments, event.result, event.error and event.error.message)
                            for event in each.events
                            if event.event == "tool"
                        ],
                        "infos": [event.data for event in each.events if event.event == "info"],
                    }
                    for each in log.samples
                ],
                "streamed": [(each.id, each.epoch) for each in streamed],
                "summaries": [(each.id, each.epoch) for each in read_eval_log_sample_summaries(info)],
            }
        )
    return found


def lm_eval(folder: Path) -> Any:
    """Read as lm_eval finds its own files and shows them, and by the converter of Every Eval Ever."""
    from lm_eval import utils

    names = [f"/{path.relative_to(folder)}" for path in sorted(folder.rglob("*.json*"))]
    (results,) = utils.get_results_filenames(names)
    data = json.loads((folder / results[1:]).read_text())
    samples = {
        utils.get_file_task_name(Path(name).name): [
            json.loads(line) for line in (folder / name[1:]).read_text().splitlines()
        ]
        for name in utils.get_sample_results_filenames(names)
    }
    from every_eval_ever.converters.lm_eval.adapter import LMEvalAdapter

    options = {"source_organization_name": "x", "evaluator_relationship": "other"}
    records = LMEvalAdapter().transform_from_file(folder / results[1:], options)
    return {
        "table": utils.make_table(data),
        "samples": samples,
        "converted": [
            (each.evaluation_name, each.metric_config.metric_name, each.score_details.score)
            for record in records
            for each in record.evaluation_results
        ],
    }


def openai_evals(folder: Path) -> Any:
    """Read by `evals.utils.log_utils`, loaded alone: the package imports dozens of others, which it does not need."""
    package = importlib.util.find_spec("evals")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / "utils" / "log_utils.py"
    spec = importlib.util.spec_from_file_location("log_utils", path)
    assert spec is not None
    assert spec.loader is not None
    tools = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tools)
    kinds = ("sampling", "match", "metrics", "error")
    return [
        {
            "spec": tools.extract_spec(path),
            "report": tools.extract_final_results(path),
            **{kind: tools.extract_individual_results(path, kind) for kind in kinds},
        }
        for path in sorted(folder.glob("*.jsonl"))
    ]


def every_eval_ever(folder: Path) -> Any:
    """Check each file by the validator of Every Eval Ever, and by its JSON schemas."""
    import every_eval_ever as package
    from every_eval_ever.validator.validation_core import validate_file
    from jsonschema import Draft7Validator

    schemas = Path(package.__file__).parent / "schemas"
    names = {".json": "eval.schema.json", ".jsonl": "instance_level_eval.schema.json"}
    found: dict[str, Any] = {"problems": [], "aggregates": [], "samples": []}
    paths = sorted(folder.rglob("*.json*"))
    available = {str(path.relative_to(folder)) for path in paths}
    for path in paths:
        report = validate_file(
            path,
            repo_path=str(path.relative_to(folder)),
            available_files=available,
            read_repo_file=lambda name: (folder / name).read_text(),
        )
        found["problems"] += [*map(str, report.errors)]
        texts = [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines()
        validator = Draft7Validator(json.loads((schemas / names[path.suffix]).read_text()))
        for text in texts:
            data = json.loads(text)
            found["problems"] += [
                f"{path.name}: {each.json_path}: {each.message}" for each in validator.iter_errors(data)
            ]
            found["aggregates" if path.suffix == ".json" else "samples"].append(data)
    return found


if __name__ == "__main__":
    sys.path.append(str(Path(sys.prefix) / "every-eval-ever"))
    reader = {"inspect": inspect, "lm-eval": lm_eval, "openai-evals": openai_evals, "every-eval-ever": every_eval_ever}
    print(json.dumps(reader[sys.argv[1]](Path(sys.argv[2]))))
