"""Logs that are malformed or hostile: each is refused with its file, its place and what to do, or it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest

import themis_core as themis
from themis_core import SpecError
from themis_plugin_interop import from_inspect
from themis_plugin_interop.importing import import_logs

HEADER = {"version": 2, "eval": {"task": "t", "model": "m"}}
SAMPLE: dict[str, Any] = {
    "id": "a",
    "epoch": 1,
    "input": "Say T.",
    "target": "T",
    "scores": {"s": {"value": 1}},
    "output": {"choices": [{"message": {"content": "T"}, "stop_reason": "stop"}], "usage": {"input_tokens": 1}},
}


def refusal(folder: Path, file: Path, tool: str = "inspect") -> str:
    with pytest.raises(SpecError) as found:
        import_logs([file], tool, folder / "run")
    assert not (folder / "run").exists()
    assert file.name in str(found.value)
    return str(found.value)


def archive(path: Path, *samples: Any, header: Any = HEADER, packed: int = ZIP_STORED) -> Path:
    with ZipFile(path, "w", packed) as target:
        for number, each in enumerate(samples):
            target.writestr(f"samples/{number}.json", each if isinstance(each, str) else json.dumps(each))
        target.writestr("header.json", json.dumps(header))
    return path


def message(content: Any, **more: Any) -> dict[str, Any]:
    return {"output": {"choices": [{"message": {"content": content}, **more}]}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        *[({"epoch": each}, "epoch is no whole number from 1 to 1000") for each in ("x", 0, -1, 1001, 1.5, True, [1])],
        *[({"id": each}, "its id is no text and no whole number") for each in (None, [1], 1.5, True)],
        ({"input": 5}, "input is a number, not a list"),
        ({"input": None}, "it has no input"),
        ({"input": [5]}, "a message of the input is a number, not an object"),
        ({"input": [{"role": 5, "content": "x"}]}, "role is a number, not a text"),
        ({"attachments": []}, "attachments is a list, not an object"),
        ({"attachments": [1]}, "attachments is a list, not an object"),
        ({"attachments": {"x": 5}}, "an attachment is a number, not a text"),
        ({"metadata": [1]}, "metadata is a list, not an object"),
        ({"metadata": {"input": 1, "metadata_input": 2}}, "it has 'metadata_input' twice"),
        ({"scores": [1]}, "scores is a list, not an object"),
        ({"scores": {"s": 1}}, "score 's' is a number, not an object"),
        ({"scores": {"s": {"value": {"x": 1}}, "s.x": {"value": 1}}}, "it has 's.x' twice"),
        ({"choices": {"a": 1}}, "choices is an object, not a list"),
        ({"choices": [1]}, "a choice is a number, not a text"),
        ({"output": "T"}, "output is a text, not an object"),
        ({"output": {"choices": {"a": 1}}}, "output.choices is an object, not a list"),
        ({"output": {"choices": [5]}}, "output.choices[0] is a number, not an object"),
        ({"output": {"completion": 5}}, "completion is a number, not a text"),
        ({"output": {"usage": [1]}}, "usage is a list, not an object"),
        ({"output": {"usage": {"input_tokens": -1}}}, "input_tokens is no whole number from 0 to 9007199254740992"),
        ({"output": {"error": [1]}}, "output.error is a list, not a text"),
        (message("T", stop_reason={"a": 1}), "stop_reason is an object, not a text"),
        (message(5), "content is a number, not a list"),
        (message(["T"]), "a part of the content is a text, not an object"),
        (message([{"type": "text", "text": 5}]), "text is a number, not a text"),
        ({"error": "it broke"}, "error is a text, not an object"),
        ({"error": {"message": 5}}, "error.message is a number, not a text"),
    ],
)
def test_a_malformed_sample_is_named_with_what_is_wrong(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    document = tmp_path / "log.json"
    document.write_text(json.dumps({**HEADER, "samples": [{**SAMPLE, "id": "b"}, {**SAMPLE, **change}]}))
    what = "mend the log, or leave this out of it"
    assert f"samples[1] can't be read ({reason}): {what}" in refusal(tmp_path, document)
    packed = archive(tmp_path / "log.eval", {**SAMPLE, **change})
    assert f"samples/0.json can't be read ({reason}): {what}" in refusal(tmp_path, packed)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ({**HEADER, "samples": 5}, "samples is a number, not a list"),
        ({**HEADER, "samples": [5]}, "samples[0] can't be read (it is no object)"),
        ({**HEADER, "samples": [SAMPLE, SAMPLE]}, "sample 'a' has a second answer 1: keep one of them"),
        (
            {**HEADER, "samples": [{**SAMPLE, "scores": {"x\0": {"value": 1}}}]},
            "'x\\x00' can't be taken over as a name",
        ),
        ({**HEADER, "samples": [{**SAMPLE, "metadata": {"": 1}}]}, "'' can't be taken over as a name in sample 'a'"),
        ([], "it is no object"),
        *[
            ({"eval": {"task": "t", "model": each}, "samples": [SAMPLE]}, "can't be taken over as a model")
            for each in ("", " ", "a\0b", "a\ud83d", "é" * 101)
        ],
        ({"eval": {"task": "", "model": "m"}, "samples": [SAMPLE]}, "'' can't be taken over as a task"),
    ],
)
def test_a_malformed_log_is_refused(tmp_path: Path, log: Any, reason: str) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    assert reason in refusal(tmp_path, path)


def test_scores_that_are_no_finite_numbers_have_no_value(tmp_path: Path) -> None:
    values = [10**400, "[" * 100_000, "9" * 400, "1e999", [1], None, "no grade"]
    samples = [{**SAMPLE, "id": number, "scores": {"s": {"value": each}}} for number, each in enumerate(values)]
    import_logs([archive(tmp_path / "log.eval", SAMPLE, *samples)], "inspect", tmp_path / "run")
    assert [(each.value, each.n) for each in themis.run(tmp_path / "run" / "spec.yaml").scores] == [(1.0, 1)]


def test_what_is_accepted_also_runs(tmp_path: Path) -> None:
    strange = {
        "metadata": {"a.b": 1, "big": 10**400, "sample": "x", "output": [1], "{{ x }}": 1, "id": 2},
        "scores": {"a/b.c {{ x }}": {"value": 0.5}, "..": {"value": -1e308}, "é" * 90: {"value": 1e308}},
        "output": {"completion": "T\0\ud83d", "error": None, "usage": {"input_tokens": 2**53}},
        "target": {"a": [1]},
    }
    header = {"eval": {"task": "a: b/c {{ x }}", "model": "o/m: [x] {y} *"}}
    log = archive(tmp_path / "log.eval", {**SAMPLE, **strange}, {**SAMPLE, "id": "", "epoch": 1000}, header=header)
    import_logs([log], "inspect", tmp_path / "run")
    result = themis.run(tmp_path / "run" / "spec.yaml")
    assert (result.ledger["answered"], result.ledger["failed"]) == (2, 0)


ROW: dict[str, Any] = {
    "doc_id": 0,
    "doc": {"q": 1},
    "target": "T",
    "arguments": [["Say T.", {}]],
    "resps": [["T"]],
    "filtered_resps": ["T"],
    "bleu": 1.0,
}


def rows_of(folder: Path, *rows: Any, name: str = "samples_t_2026.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"doc_id": None}, "its doc_id is no text and no whole number"),
        ({"doc_id": 0}, "it is a second row of doc_id 0 and filter None"),
        ({"doc_id": 0, "filter": "x", "resps": [["U"]]}, "an earlier row of doc_id 0 has other answers"),
        ({"filter": 5}, "filter is a number, not a text"),
        ({"arguments": "x"}, "arguments is a text, not a list"),
        ({"arguments": ["x"]}, "a request in arguments is a text, not a list"),
        ({"arguments": {"a": "x"}}, "a request in arguments is a text, not an object"),
        ({"arguments": [[]]}, "it has no arguments"),
        ({"arguments": [[5]]}, "the prompt in arguments is a number, not a text"),
        ({"resps": "T"}, "resps is a text, not a list"),
        ({"resps": ["T"]}, "an entry of resps is a text, not a list"),
        ({"resps": []}, "resps has not 1 to 1000 answers"),
        ({"resps": [["T"] * 1001]}, "resps has not 1 to 1000 answers"),
        ({"resps": [["T", 5]]}, "an answer in resps is a number, not a text"),
        ({"resps": [["T"], ["U"]]}, "resps has answers to several requests"),
        ({"resps": [[1.0], [2.0]]}, "resps has more likelihoods than there are arguments"),
        ({"resps": [[["x", True]]]}, "ValueError: could not convert string to float: 'x'"),
        ({"metrics": [5]}, "a name in metrics is a number, not a text"),
        ({"metrics": {"bleu": 1}}, "metrics is an object, not a list"),
    ],
)
def test_a_malformed_row_of_lm_eval_is_named_with_its_line(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = rows_of(tmp_path, ROW, {**ROW, "doc_id": 1, **change})
    said = refusal(tmp_path, path, "lm-eval")
    assert f"{path.name}:2: the row can't be read ({reason}" in said
    assert said.endswith("mend the log, or leave this out of it")


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ("[]", "it is no object"),
        ("[" * 100_000, "nested more than 200 levels deep"),
        ('{"model_name": 5}', "model_name is a number, not a text"),
        ('{"model_name": "a', "no valid JSON"),
    ],
)
def test_malformed_results_of_lm_eval_are_named(tmp_path: Path, results: str, reason: str) -> None:
    path = rows_of(tmp_path, ROW)
    (tmp_path / "results_2026.json").write_text(results)
    with pytest.raises(SpecError) as found:
        import_logs([path], "lm-eval", tmp_path / "run")
    assert f"results_2026.json: the results can't be read ({reason}" in str(found.value)
    for name in ("a\0b", "a\ud83d"):
        (tmp_path / "results_2026.json").write_text(json.dumps({"model_name": name}))
        assert "can't be taken over as a model" in refusal(tmp_path, path, "lm-eval")


def test_a_model_is_said_by_the_newest_results_that_fit_the_samples(tmp_path: Path) -> None:
    names = {"2024": ("old", "t"), "2025": ("right", "t"), "2026": ("of-another", "u"), "2023": ("own", "v")}
    for stamp, (model, task) in names.items():
        rows_of(tmp_path, name=f"results_{stamp}.json")
        (tmp_path / f"results_{stamp}.json").write_text(json.dumps({"model_name": model, "results": {task: {}}}))
    files = [rows_of(tmp_path, ROW, name=f"samples_{name}.jsonl") for name in ("t_2027", "w_2023")]
    import_logs(files, "lm-eval", tmp_path / "run")
    assert sorted(path.stem for path in (tmp_path / "run" / "answers").iterdir()) == ["own", "right"]


def test_a_likelihood_and_a_metric_that_are_no_numbers_cost_themselves_alone(tmp_path: Path) -> None:
    asked = {"arguments": [["Q", " a"], ["Q", " b"], ["Q", " c"]]}
    nan = float("nan")
    rows = [
        {**ROW, **asked, "resps": [[[nan, False]], [["-2.0", "True"]], [[-3.0, False]]], "bleu": 10**400},
        {**ROW, **asked, "doc_id": 1, "resps": [[[nan, False]], [[None, False]], [["-inf", "False"]]]},
    ]
    import_logs([rows_of(tmp_path / "m", *rows)], "lm-eval", tmp_path / "run")
    lines = (tmp_path / "run" / "answers" / "m.jsonl").read_text().splitlines()
    assert [json.loads(line)["output"] for line in lines] == ["b", ""]
    assert [(each.value, each.n) for each in themis.run(tmp_path / "run" / "spec.yaml").scores] == [(1.0, 1)]


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (8, b"\1\0", "it is encrypted"),
        (10, b"\x63\0", "NotImplementedError: That compression method is not supported"),
        (24, b"\xff\xff\xff\x7f", "unpacked it would have 2,147,4"),
    ],
)
def test_an_archive_that_can_not_be_read_is_refused(tmp_path: Path, at: int, value: bytes, reason: str) -> None:
    path = archive(tmp_path / "log.eval", SAMPLE)
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\1\2") + at  # of the first sample, in the directory
    data[place : place + len(value)] = value
    path.write_bytes(data)
    assert reason in refusal(tmp_path, path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 300 + "]" * 300, "nested more than 200 levels deep"),
        ("[" * 100_000, "nested more than 200 levels deep"),
        ('{"a": [' + "[]," * 1_000_000 + "0]}", "it has more than"),
        ("1" * 5000, "a number has too many digits"),
        (" " * 2**21, "it has more than 1 MiB"),
    ],
)
def test_a_small_archive_that_would_become_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    monkeypatch.setattr(from_inspect, "_MOST", max(len(text) + 1, 2**20) if text[0] != " " else 2**20)
    path = archive(tmp_path / "log.eval", text, packed=ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    assert reason in refusal(tmp_path, path)


def test_an_attachment_is_not_put_in_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_inspect, "_MOST", 2**20)
    sample = {**SAMPLE, "attachments": {"x": "y" * 2**16}, "metadata": {"z": ["attachment://x"] * 17}}
    path = archive(tmp_path / "log.eval", sample)
    assert "with its attachments it has more than 1 MiB" in refusal(tmp_path, path)
