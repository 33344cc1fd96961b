"""Exports: what each format holds of a run, what it loses and says, and that the tools themselves read it."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from huggingface_hub import ModelCard, parse_eval_result_entries

import themis_core as themis
from themis_core import RunRecord, RunResult, SpecError, StorageError
from themis_core.testing.memory import MemoryStore
from themis_plugin_interop.commands import export
from themis_plugin_interop.hub_results import HubResults
from themis_plugin_interop.importing import import_logs

ReadBy = Callable[[str, Path], Any]
FORMATS = ("every_eval_ever", "inspect", "lm_eval", "openai_evals")
SECRET = "sk-proj-abcdefghijklmnop1234567890"
SPEC = """
benchmark:
  benchmark_id: trio
  num_samples: 2
  models:
    - {model_id: org/small, provider: replay/file, extras: &recorded {path: "{model_id}.jsonl", fields: {
        sample: sample, input_tokens: in, output_tokens: out, error: error, finish_reason: finish, reasoning: why}}}
    - {model_id: big, provider: replay/file, extras: *recorded}
  inference_grid: {params: [{temperature: 0.5, max_tokens: 20}]}
  prompt_variants:
    - id: plain
      messages: [{role: system, content: "Be brief."}, {role: user, content: "Say {{ item.word }}."}]
  slices:
    - slice_id: words
      dataset:
        source: files/inline
        fields: {id: id, reference: word, metadata: [kind, password]}
        extras: {rows: [{id: a, word: eggs, kind: x, password: hunter22}, {id: b/1, word: legs, kind: y, password: ""}]}
      generation: {}
      parses: [{name: first, extractors: [{id: extract/regex, config: {pattern: '(\\w+)'}}]}]
      scores:
        - {name: said, parse: first, metrics: [text/contains]}
        - {name: same, metrics: [text/exact_match, text/contains]}
"""
ANSWERS: Mapping[str, list[dict[str, Any]]] = {
    "org__small": [
        {"id": "a", "sample": 0, "output": "eggs", "in": 3, "out": 1, "error": None, "why": "I was told to."},
        {"id": "a", "sample": 1, "output": "no \ud83d eggs é", "in": 3, "out": 1, "error": None},
        {"id": "b/1", "sample": 0, "output": "legs", "in": 3, "out": 1, "error": None, "finish": "length"},
        {"id": "b/1", "sample": 1, "output": "", "error": f"401: the key {SECRET} is not known"},
    ],
    "big": [
        {"id": "a", "sample": 0, "output": "eggs", "in": 3, "out": 1, "error": None},
        {"id": "a", "sample": 1, "output": "eggs", "in": 3, "out": 1, "error": None},
        {"id": "b/1", "sample": 0, "output": "!", "in": 3, "out": 1, "error": None},
        {"id": "b/1", "sample": 1, "output": "", "in": 3, "out": 0, "error": None, "finish": "content_filter"},
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec that was run."""
    folder = tmp_path_factory.mktemp("trio")
    (folder / "spec.yaml").write_text(SPEC)
    for model, rows in ANSWERS.items():
        (folder / f"{model}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    themis.run(folder / "spec.yaml")
    return folder


@pytest.fixture(scope="module")
def result(folder: Path) -> RunResult:
    return themis.run(folder / "spec.yaml")


def exported(folder: Path, to: str, target: Path, **config: Any) -> list[str]:
    return themis.export("trio", f"interop/{to}", target, config, spec=folder / "spec.yaml")


def values(result: RunResult, model: str) -> dict[tuple[str, str], float | None]:
    return {(row.score, row.metric): row.value for row in result.scores if row.model_id == model}


@pytest.mark.parametrize("to", FORMATS)
def test_no_secret_is_in_an_export(folder: Path, to: str, tmp_path: Path) -> None:
    exported(folder, to, tmp_path / "out")
    if to == "inspect":
        import zipfile

        for archive in [*(tmp_path / "out").glob("*.eval")]:
            zipfile.ZipFile(archive).extractall(tmp_path / "out" / "all")
            archive.unlink()
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"eggs" in written
    assert [secret for secret in (SECRET, "hunter22") if secret.encode() in written] == []


@pytest.mark.parametrize("to", FORMATS)
def test_a_second_export_is_the_same_but_for_its_time(folder: Path, to: str, tmp_path: Path) -> None:
    names = []
    for number in ("one", "two"):
        exported(folder, to, tmp_path / number)
        names.append(sorted(path.relative_to(tmp_path / number) for path in (tmp_path / number).rglob("*")))
    assert names[0] == names[1]


def test_an_export_writes_a_new_folder_or_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    with pytest.raises(StorageError, match="there is there already: name a new folder"):
        exported(folder, "inspect", tmp_path / "there")
    with pytest.raises(SpecError, match="the Hub takes one number of a benchmark: choose one by --set, of score=said"):
        exported(folder, "hub_results", tmp_path / "hub", dataset="o/words")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_the_command_takes_the_tools_own_spelling_and_says_what_is_lost(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(export, ["trio", "--to", "lm-eval", "-o", str(tmp_path / "out")])
    assert (done.exit_code, done.stdout) == (0, f"wrote {tmp_path / 'out'}\n")
    assert "note: 1 trial without an answer left out: the format has no failures.\n" in done.stderr
    unknown = CliRunner().invoke(export, ["trio", "--to", "lmeval", "-o", str(tmp_path / "none")])
    assert "It offers: every_eval_ever, hub_results, inspect, lm_eval, openai_evals. Did you mean 'lm_eval'?" in str(
        unknown.exception
    )


STRANGE = """
benchmark:
  benchmark_id: many ways/of it
  models:
    - {model_id: "a:b/c d", provider: replay/file, extras: {path: answers.jsonl}}
  inference_grid: {params: [{temperature: 0, stop: ["x"], seed: 3}, {temperature: 1.0, top_k: 5}]}
  prompt_variants:
    - id: two turns
      messages: [{role: user, content: "Say {{ item.word }}."}]
      follow_ups: [{role: user, content: "Again."}]
    - id: image
      messages:
        - role: user
          content: [{type: text, text: "What?"}, {type: image_url, image_url: "data:image/png;base64,iVBORw0KGgo="}]
  slices:
    - slice_id: carried
      dataset:
        source: files/inline
        fields: {id: id, reference: refs, output: out, model: by}
        extras: {rows: [{id: 1, refs: [eggs, egg], out: eggs, by: x}, {id: 2, refs: [legs], out: "", by: x}]}
      scores: [{name: said, metrics: [text/contains]}]
    - slice_id: asked/x
      dataset:
        source: files/inline
        fields: {id: id, reference: n, metadata: [deep]}
        extras: {rows: [{id: ../../x, n: 3, word: eggs, deep: {a: [1]}}, {id: b, n: null, word: legs, deep: null}]}
      generation: {}
      scores: [{name: "num,ber", metrics: [{id: text/exact_match, name: filter}]}]
"""


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec that was run: two turns, an image, carried outputs, items without a reference, names with signs."""
    folder = tmp_path_factory.mktemp("strange")
    (folder / "spec.yaml").write_text(STRANGE)
    (folder / "answers.jsonl").write_text('{"id": "../../x", "output": "3"}\n{"id": "b", "output": "legs"}\n')
    themis.run(folder / "spec.yaml")
    return folder / "spec.yaml"


def test_inspect_reads_runs_of_every_kind(strange: Path, tmp_path: Path, read_by: ReadBy) -> None:
    themis.export("many", "interop/inspect", tmp_path / "out", spec=strange)
    logs = read_by("inspect", tmp_path / "out")
    assert [(len(log["samples"]), log["model"]) for log in logs].count((2, "a:b/c d")) == 4
    (carried,) = (log for log in logs if log["task"] == "carried")
    assert [(each["target"], each["completion"]) for each in carried["samples"]] == [
        (["eggs", "egg"], "eggs"),
        (["legs"], ""),
    ]
    turns = next(log for log in logs if log["task"].startswith("asked/x-two turns"))
    assert [each["roles"] for each in turns["samples"]] == [["user", "assistant", "user", "assistant"]] * 2
    assert [each["scores"] for each in turns["samples"]] == [{"num,ber": 1.0}, {}]


def test_other_tools_read_runs_of_every_kind(strange: Path, tmp_path: Path, read_by: ReadBy) -> None:
    for to in ("lm_eval", "openai_evals", "every_eval_ever"):
        themis.export("many", f"interop/{to}", tmp_path / to, spec=strange)
    found = read_by("lm-eval", tmp_path / "lm_eval" / "a__b__c d")
    assert [metric for _, metric, _ in found["converted"]] == ["metric_filter"] * 4
    assert len(read_by("openai-evals", tmp_path / "openai_evals")) == 5
    records = read_by("every-eval-ever", tmp_path / "every_eval_ever")
    assert records["problems"] == []
    assert [each["interaction_type"] for each in records["samples"]].count("multi_turn") == 2


def test_an_export_of_every_kind_comes_back(strange: Path, tmp_path: Path) -> None:
    themis.export("many", "interop/inspect", tmp_path / "out", spec=strange)
    import_logs([tmp_path / "out"], "inspect", tmp_path / "in")
    first, again = themis.run(strange), themis.run(tmp_path / "in" / "spec.yaml")
    assert sorted((row.model_id, row.value, row.n) for row in again.scores) == sorted(
        (row.model_id, row.value, row.n) for row in first.scores
    )


def test_results_for_the_hub_are_read_by_its_own_library(folder: Path, result: RunResult, tmp_path: Path) -> None:
    lost = exported(
        folder, "hub_results", tmp_path / "out", score="said", dataset="org/words", source_url="https://x.org"
    )
    found = {}
    for path in (tmp_path / "out").rglob("*.yaml"):
        (entry,) = parse_eval_result_entries(yaml.safe_load(path.read_text()))
        assert (entry.dataset_id, entry.task_id, entry.source_url) == ("org/words", "default", "https://x.org")
        found[str(path.relative_to(tmp_path / "out"))] = entry.value
    assert found == {
        "org__small/.eval_results/words.yaml": values(result, "org/small")["said", "text/contains"],
        "big/.eval_results/words.yaml": values(result, "big")["said", "text/contains"],
    }
    assert "words of org/small: 3 scores are in the value, 1 are missing; the format can't say so." in lost


def test_the_results_of_a_model_card_are_read_by_the_hubs_own_library(
    folder: Path, result: RunResult, tmp_path: Path
) -> None:
    exported(folder, "hub_results", tmp_path / "out", dataset="org/words", card=True, source_url="https://x.org")
    cards = {path.parent.name: ModelCard.load(path) for path in (tmp_path / "out").rglob("README.md")}
    assert sorted(cards) == ["big", "org__small"]
    card = cards["org__small"]
    assert card.data.model_name == "org/small"
    assert card.data.eval_results is not None
    assert {each.metric_name: each.metric_value for each in card.data.eval_results} == {
        f"{score}/{metric}": value for (score, metric), value in values(result, "org/small").items()
    }
    first = card.data.eval_results[0]
    assert (first.task_type, first.dataset_type, first.dataset_config) == ("text-generation", "org/words", "default")
    assert (first.source_url, first.source_name) == ("https://x.org", "Themis")
    # Read and written again by that library, nothing of it is lost.
    again = ModelCard(f"---\n{card.data.to_yaml()}\n---\n")
    assert again.data.eval_results == card.data.eval_results


def test_a_dataset_of_the_hub_is_named_by_the_run(tmp_path: Path) -> None:
    dataset = {"source": "huggingface/hub", "dataset_id": "openai/gsm8k", "config_name": "main", "revision": "abc"}
    manifest = {"benchmark": {"slices": [{"slice_id": "s", "dataset": dataset}]}}
    run = RunRecord("r", "completed", "2026-01-01T00:00:00+00:00", "2026-01-01T00:01:00+00:00", manifest, {})
    row = {
        "slice_id": "s",
        "model_id": "org/m",
        "prompt_variant_id": "p",
        "params": "default",
        "score": "a",
        "metric": "b",
    }
    summary = {"scores": [{**row, "value": 0.25, "n": 4, "failed": 0, "unscored": 0}]}
    told = HubResults(percent=True).export(MemoryStore(), run, summary, tmp_path)
    (path,) = tmp_path.rglob("*.yaml")
    assert yaml.safe_load(path.read_text()) == [
        {
            "dataset": {"id": "openai/gsm8k", "task_id": "main", "revision": "abc"},
            "value": 25.0,
            "date": "2026-01-01T00:01:00+00:00",
        }
    ]
    assert (str(path.relative_to(tmp_path)), list(told)) == ("org__m/.eval_results/s.yaml", [])


def test_a_dataset_that_is_not_of_the_hub_must_be_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="slice words was not loaded from the Hub: say which dataset of the Hub it is"):
        exported(folder, "hub_results", tmp_path / "out", score="said")


def test_inspect_reads_its_logs(folder: Path, result: RunResult, tmp_path: Path, read_by: ReadBy) -> None:
    exported(folder, "inspect", tmp_path / "out")
    logs = {each["model"]: each for each in read_by("inspect", tmp_path / "out")}
    assert sorted(logs) == ["big", "org/small"]
    log = logs["org/small"]
    assert (log["status"], log["task"], log["epochs"]) == ("success", "words", 2)
    names = {"said": ("said", "text/contains")}
    names |= {f"same/{metric}": ("same", metric) for metric in ("text/exact_match", "text/contains")}
    assert {name: log["scores"][name]["mean"] for name in names} == {
        name: values(result, "org/small")[place] for name, place in names.items()
    }
    samples = {(each["id"], each["epoch"]): each for each in log["samples"]}
    assert {place: each["completion"] for place, each in samples.items()} == {
        ("a", 1): "eggs", ("a", 2): "no \ud83d eggs é", ("b/1", 1): "legs", ("b/1", 2): "",
    }  # fmt: skip
    assert [samples[place]["stop"] for place in sorted(samples)] == ["stop", "stop", "max_tokens", None]
    assert samples["b/1", 2]["error"].startswith("missing: ")
    assert samples["a", 1]["scores"] == {"said": 1.0, "same/text/exact_match": 1.0, "same/text/contains": 1.0}
    assert samples["a", 1]["roles"] == ["system", "user", "assistant"]
    assert sorted(map(tuple, log["streamed"])) == sorted(map(tuple, log["summaries"])) == sorted(samples)


def test_lm_eval_finds_and_shows_its_files_and_a_converter_reads_them(
    folder: Path, result: RunResult, tmp_path: Path, read_by: ReadBy
) -> None:
    exported(folder, "lm_eval", tmp_path / "out")
    found = read_by("lm-eval", tmp_path / "out" / "org__small")
    assert (
        f"|said  |     0|text/contains   |↑  |{values(result, 'org/small')['said', 'text/contains']:.4f}|"
        in found["table"]
    )
    converted = {(name.removeprefix("words/"), metric): value for name, metric, value in found["converted"]}
    assert converted == values(result, "org/small")
    rows = [row for row in found["samples"]["words"] if row["filter"] == "same"]
    assert [(row["doc_id"], row["resps"], row["text/exact_match"]) for row in rows] == [
        (0, [["eggs", "no \ud83d eggs é"]], 0.5),
        (1, [["legs"]], 1.0),
    ]


def test_the_tools_of_openai_evals_read_its_logs(
    folder: Path, result: RunResult, tmp_path: Path, read_by: ReadBy
) -> None:
    exported(folder, "openai_evals", tmp_path / "out")
    logs = {each["spec"]["completion_fns"][0]: each for each in read_by("openai-evals", tmp_path / "out")}
    log = logs["org/small"]
    assert log["report"]["same/text/exact_match"] == values(result, "org/small")["same", "text/exact_match"]
    assert [each["sampled"] for each in log["sampling"]] == [["eggs"], ["no \ud83d eggs é"], ["legs"]]
    assert [each["said"] for each in log["metrics"]] == [1.0, 0.0, 0.0]
    assert [each["correct"] for each in log["match"] if each["score"] == "said"] == [True, False, False]
    assert [each["type"] for each in log["error"]] == ["missing"]


def test_the_validator_and_the_schemas_of_every_eval_ever_find_nothing_wrong(
    folder: Path, result: RunResult, tmp_path: Path, read_by: ReadBy
) -> None:
    exported(folder, "every_eval_ever", tmp_path / "out", organization="The lab", relationship="third_party")
    found = read_by("every-eval-ever", tmp_path / "out")
    assert found["problems"] == []
    records = {each["model_info"]["id"]: each for each in found["aggregates"]}
    assert {
        (each["metric_config"]["additional_details"]["score"], each["metric_config"]["metric_name"]): each[
            "score_details"
        ]["score"]
        for each in records["org/small"]["evaluation_results"]
    } == values(result, "org/small")
    results = [each for record in records.values() for each in record["evaluation_results"]]
    known = {each["evaluation_result_id"] for each in results}
    assert {each["evaluation_result_id"] for each in found["samples"]} == known
    assert sum(each["detailed_evaluation_results"]["total_rows"] for each in records.values()) == len(found["samples"])


def test_the_memory_of_an_export_does_not_grow_with_the_run(tmp_path: Path) -> None:
    rows = [{"id": f"i{number}", "output": "word " * 5000} for number in range(320)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps({"id": row["id"], "word": "word"}) + "\n" for row in rows))
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "spec.yaml").write_text(
        "benchmark:\n  benchmark_id: large\n"
        "  models: [{model_id: m, provider: replay/file, extras: {path: answers.jsonl}}]\n"
        '  prompt_variants: [{id: p, messages: [{role: user, content: "{{ item.word }}"}]}]\n'
        "  slices:\n    - slice_id: s\n      generation: {}\n"
        "      dataset: {source: files/jsonl, dataset_id: items.jsonl, fields: {id: id, reference: word}}\n"
        "      scores: [{name: said, metrics: [text/contains]}]\n"
    )
    themis.run(tmp_path / "spec.yaml")
    for to in FORMATS:
        tracemalloc.start()
        themis.export("large", f"interop/{to}", tmp_path / to, spec=tmp_path / "spec.yaml")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # 8 MB of answers are written, and those of 64 trials are held
        assert peak < 6_000_000, f"{to} held {peak:,} bytes"


def test_ids_of_every_eval_ever_keep_the_slashes_of_models_and_metrics(folder: Path, tmp_path: Path) -> None:
    exported(folder, "every_eval_ever", tmp_path / "out")
    records = [json.loads(path.read_text("utf-8")) for path in (tmp_path / "out").rglob("*.json")]
    (record,) = [each for each in records if each["model_info"]["id"] == "org/small"]
    assert record["evaluation_id"].rpartition("/")[0] == "trio/org/small"
    ids = {each["evaluation_result_id"] for each in record["evaluation_results"]}
    assert {(each.split("::")[1], each.split("::")[-1]) for each in ids} == {
        ("org/small", "text/contains"),
        ("org/small", "text/exact_match"),
    }
    lines = [line for path in (tmp_path / "out").rglob("*.jsonl") for line in path.read_text("utf-8").splitlines()]
    assert ids <= {json.loads(line)["evaluation_result_id"] for line in lines}
