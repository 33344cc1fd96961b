"""Imports: logs that the tools themselves wrote become runs with the scores that were recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import themis_core as themis
from themis_core import RunResult, SpecError
from themis_plugin_interop.commands import import_
from themis_plugin_interop.importing import import_logs

LOGS = Path(__file__).parent / "logs"
"""`inspect.eval`, of inspect_ai 0.3.285 (compressed by Zstandard), and a folder of lm_eval 0.4.13."""


def imported(folder: Path, tool: str, *paths: Path, **more: Any) -> RunResult:
    import_logs(paths, tool, folder)
    if more:
        spec = yaml.safe_load((folder / "spec.yaml").read_text())
        for each in spec["benchmark"]["slices"]:
            each["scores"].append(more)
        (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return themis.run(folder / "spec.yaml")


def values(result: RunResult) -> dict[tuple[str, str], tuple[float | None, int]]:
    return {(row.slice_id, row.score): (row.value, row.n) for row in result.scores}


def test_a_log_of_inspect_is_a_run_with_the_same_scores_and_is_scored_anew(tmp_path: Path) -> None:
    rescored = {"name": "anew", "metrics": [{"id": "text/contains"}]}
    result = imported(tmp_path / "run", "inspect", LOGS / "inspect.eval", **rescored)
    # what `inspect_ai` says of it: accuracy of includes 0.667, of match 0.5, over three samples in two epochs
    assert values(result) == {
        ("sums", "includes"): (pytest.approx(4 / 6), 6),
        ("sums", "match"): (0.5, 6),
        ("sums", "anew"): (pytest.approx(4 / 6), 6),
    }
    assert {name: result.ledger[name] for name in ("answered", "truncated", "failed")} == {
        "answered": 5, "truncated": 1, "failed": 0,
    }  # fmt: skip
    with themis.open_results(tmp_path / "run" / "spec.yaml") as results:
        rows = {(row.item_id, row.sample_index): row for row in results.trials(result.run_id)}
        trial = results.trial(result.run_id, rows["sums:2", 1].trial_id)
    assert trial["turns"][0]["generation"]["text"] == "3"
    assert trial["turns"][0]["generation"]["usage"]["input_tokens"] == 12
    assert trial["item"]["fields"]["input"] == "What is 7 - 4? " + "Take your time. " * 30
    assert trial["item"]["metadata"] == {"subject": "minus", "hard": True}


def test_samples_of_lm_eval_are_a_run_with_a_score_for_each_filter(tmp_path: Path) -> None:
    result = imported(tmp_path / "run", "lm-eval", LOGS / "lm_eval")
    assert values(result) == {
        ("sums_choice", "acc"): (1.0, 2),
        ("sums_gen", "exact_match.strict"): (0.0, 2),
        ("sums_gen", "exact_match.loose"): (0.0, 2),
    }
    answers = (tmp_path / "run" / "answers" / "i82qcls7.jsonl").read_text().splitlines()
    assert [json.loads(line)["output"] for line in answers] == ["5", "3", "lol", "lol"]


def written(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def row(doc_id: int, answer: str, score: float | None, **more: Any) -> dict[str, Any]:
    return {
        "doc_id": doc_id,
        "doc": {"q": f"q{doc_id}"},
        "target": "t",
        "arguments": [[f"q{doc_id}", {}]],
        "resps": [[answer]],
        "filtered_resps": [answer],
        "bleu": score,
        **more,
    }


def test_two_models_of_one_task_share_their_items_and_scores_keep_their_range(tmp_path: Path) -> None:
    written(tmp_path / "org__a", "samples_t_2026-01-01T00-00-00.0.jsonl", [row(0, "x", 31.5), row(1, "y", 80.0)])
    written(tmp_path / "b", "samples_t_2026-01-01T00-00-00.0.jsonl", [row(0, "z", 12.0)])
    result = imported(tmp_path / "run", "lm-eval", tmp_path / "org__a", tmp_path / "b")
    assert {each.model_id: (each.value, each.n) for each in result.scores} == {"org/a": (55.75, 2), "b": (12.0, 1)}
    assert (result.ledger["answered"], result.ledger["absent"], result.exit_code) == (3, 1, 0)


def test_logs_that_disagree_about_an_item_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    one = written(tmp_path / "a", "samples_t_2026.jsonl", [row(0, "x", 1.0)])
    other = written(tmp_path / "b", "samples_t_2026.jsonl", [row(0, "x", 1.0, target="another")])
    with pytest.raises(SpecError, match="sample '0' is not what an earlier log of task 't' has under this id"):
        import_logs([one, other], "lm-eval", tmp_path / "run")
    with pytest.raises(SpecError, match="a second log of task 't' and model 'a': import it into another folder"):
        import_logs([one, one], "lm-eval", tmp_path / "run")
    twin = written(tmp_path / "c", "samples_u_2026.jsonl", [row(0, "x", 1.0)])
    (twin / "results_2026.json").write_text('{"model_name": "org/m"}')
    named = written(tmp_path / "d", "samples_t_2026.jsonl", [row(0, "x", 1.0)])
    (named / "results_2026.json").write_text('{"model_name": "org__m"}')
    with pytest.raises(SpecError, match="models 'org/m' and 'org__m' would share a file: import them apart"):
        import_logs([twin, named], "lm-eval", tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "d"]


def test_what_is_no_log_is_named_with_its_line(tmp_path: Path) -> None:
    bad = written(tmp_path / "m", "samples_t_2026.jsonl", [row(0, "x", 1.0), {"doc_id": 1}])
    done = CliRunner().invoke(import_, [str(bad), "--from", "lm-eval", "-o", str(tmp_path / "run")])
    assert str(done.exception).endswith(
        "samples_t_2026.jsonl:2: the row can't be read (it has no arguments): mend the log, or leave this out of it"
    )
    (tmp_path / "no.eval").write_text("no")
    (tmp_path / "no.json").write_text('{"samples": [{}]}')
    with pytest.raises(
        SpecError, match=r"the archive can't be read \(BadZipFile: File is not a zip file\): mend the log"
    ):
        import_logs([tmp_path / "no.eval"], "inspect", tmp_path / "run")
    with pytest.raises(SpecError, match="is no log of Inspect: it does not say task and model"):
        import_logs([tmp_path / "no.json"], "inspect", tmp_path / "run")
    damaged = bytearray((LOGS / "inspect.eval").read_bytes())
    damaged[4000:4010] = b"\0" * 10
    (tmp_path / "cut.eval").write_bytes(damaged)
    with pytest.raises(SpecError, match=r"cut\.eval: .* can't be read"):
        import_logs([tmp_path / "cut.eval"], "inspect", tmp_path / "run")


@pytest.mark.parametrize(("to", "tool"), [("inspect", "inspect"), ("lm_eval", "lm-eval")])
def test_an_export_comes_back_with_the_same_numbers(tmp_path: Path, to: str, tool: str) -> None:
    first = imported(tmp_path / "run", "inspect", LOGS / "inspect.eval")
    themis.export(first.run_id, f"interop/{to}", tmp_path / "out", spec=tmp_path / "run" / "spec.yaml")
    again = imported(tmp_path / "again", tool, tmp_path / "out")
    assert [(each.value, each.n) for each in again.scores] == [(each.value, each.n) for each in first.scores]
    assert again.ledger["answered"] + again.ledger["truncated"] == 6


def test_a_log_in_json_gives_what_the_archive_gives(tmp_path: Path) -> None:
    source = {"version": 2, "status": "success", "eval": {"task": "t", "model": "m", "created": ""}}
    text = "a long text that stands once " * 9
    samples = [
        {
            "id": 1, "epoch": 1, "target": "T", "attachments": {"abc": text}, "metadata": {"input": 1},
            "input": [{"role": "user", "content": "attachment://abc"}], "scores": {"s": {"value": score}},
            "output": {"choices": [{"message": {"content": [
                {"type": "reasoning", "reasoning": "so"}, {"type": "text", "text": "It is T"}
            ]}, "stop_reason": "stop"}]},
        }
        for score in ["P"]
    ]  # fmt: skip
    samples.append({**samples[0], "id": 2, "scores": {"s": {"value": {"part": True}}}, "error": None})
    samples.append({**samples[0], "id": 3, "error": {"message": "it broke"}})
    (tmp_path / "log.json").write_text(json.dumps({**source, "samples": samples}))
    result = imported(tmp_path / "run", "inspect", tmp_path / "log.json")
    assert values(result) == {("t", "s"): (0.5, 1), ("t", "s.part"): (1.0, 1)}
    assert result.ledger["failed"] == 1
    answer = json.loads((tmp_path / "run" / "answers" / "m.jsonl").read_text().splitlines()[0])
    item = json.loads((tmp_path / "run" / "items" / "t.jsonl").read_text().splitlines()[0])
    assert (answer["output"], answer["reasoning"]) == ("It is T", "so")
    assert (item["input"], item["metadata_input"], item["reference"]) == (text, 1, "T")
    shutil.rmtree(tmp_path / "run")
