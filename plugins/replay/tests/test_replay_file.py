"""Recorded outputs: what is found, what is missing, what is refused, what pins them."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import tracemalloc
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import themis_core as themis
from themis_core import EngineError, Generation, Request, SpecError, Step, Usage
from themis_plugin_replay import index, recording
from themis_plugin_replay.engine import FileEngine
from themis_rows import streams

SHARED = Path(os.environ.get("THEMIS_SHARED_DATA") or Path(__file__).resolve().parents[4] / "shared" / "data")


def request(item_id: str, model: str = "m", prompt: Any = "hello", sample: int = 0) -> Request:
    messages = [{"role": "system", "content": "terse"}, {"role": "user", "content": prompt}]
    return Request(model_id=model, messages=messages, item_id=item_id, sample_index=sample)


def engine(folder: Path, path: str = "rec.jsonl", models: Sequence[str] = ("m",), **fields: str) -> FileEngine:
    made = FileEngine.model_validate({"path": path, "fields": fields}).for_models(models)
    made.check(folder)
    made.check_content()
    return made


def ask(made: FileEngine, *args: Any, **kwargs: Any) -> Generation:
    return asyncio.run(made.generate(request(*args, **kwargs)))


def missing(made: FileEngine, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(EngineError) as caught:
        ask(made, *args, **kwargs)
    assert (caught.value.code, caught.value.retryable) == ("missing", False)
    return caught.value.message


def write(folder: Path, rows: Iterable[dict[str, Any]], name: str = "rec.jsonl") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return path


def open_files() -> int:
    """How many files this process has open; 0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_an_output_is_found_by_item_model_and_sample(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "llm": "m", "draw": 0, "output": "first"},
        {"id": "a", "llm": "m", "draw": 1, "output": "second"},
        {"id": "a", "llm": "n", "draw": 0, "output": "other"},
        {"id": 7, "llm": "m", "draw": 0, "output": "number"},
        {"id": 7.5, "llm": "m", "draw": 0, "output": "fraction"},
    ]
    write(tmp_path, rows)
    made = engine(tmp_path, model="llm", sample="draw")
    assert ask(made, "a") == Generation("answered", "first")
    assert ask(made, "a", sample=1) == Generation("answered", "second")
    assert ask(made, "a", model="n") == Generation("answered", "other")
    assert ask(made, "7") == Generation("answered", "number")
    assert ask(made, "7.5") == Generation("answered", "fraction")


def test_what_was_not_recorded_is_a_failure_that_names_it(tmp_path: Path) -> None:
    write(tmp_path, [{"id": "a", "output": "x"}])
    made = engine(tmp_path)
    where = "in the recording 'rec.jsonl'"
    assert missing(made, "b") == f"no recorded output for item 'b' and model 'm' {where}"
    assert missing(made, "a", sample=2) == (
        f"no recorded output for item 'a' and model 'm', sample 2 {where}; "
        "name the column of the sample index in fields.sample"
    )


def test_prompt_variants_are_told_apart_by_a_text_of_the_prompt(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "when": "step by step", "output": "long"},
        {"id": "a", "when": "step", "output": "middle"},
        {"id": "a", "when": None, "output": "short"},
        {"id": "b", "when": "step", "output": "only"},
    ]
    write(tmp_path, rows)
    made = engine(tmp_path, match="when")
    assert ask(made, "a", prompt="Think step by step.").text == "long"  # the longest text wins
    assert ask(made, "a", prompt="one step").text == "middle"
    assert ask(made, "a", prompt="Answer.").text == "short"  # a row without a text answers any prompt
    parts = [{"type": "text", "text": "Think step by step."}, {"type": "image_url", "image_url": {"url": "x"}}]
    assert ask(made, "a", prompt=parts).text == "long"
    assert missing(made, "b", prompt="Answer.") == (
        "no recorded output for item 'b' and model 'm' in the recording 'rec.jsonl'; it has 1, but the text in their "
        "column 'when' is not in the prompt"
    )


def test_without_a_model_column_the_rows_are_of_whoever_is_asked(tmp_path: Path) -> None:
    write(tmp_path, [{"id": "a", "output": "x"}])
    made = engine(tmp_path)
    assert [ask(made, "a", model=model).text for model in ("m", "n")] == ["x", "x"]


def test_the_path_may_say_the_model(tmp_path: Path) -> None:
    write(tmp_path, [{"id": "a", "output": "x"}], "out/small.jsonl")
    write(tmp_path, [{"id": "a", "output": "y"}], "out/org__large.jsonl")
    path = "out/{model_id}.jsonl"
    assert ask(engine(tmp_path, path, ["small"]), "a", model="small").text == "x"
    assert ask(engine(tmp_path, path, ["org/large"]), "a", model="org/large").text == "y"
    assert "in the recording 'out/{model_id}.jsonl'" in missing(engine(tmp_path, path, ["small"]), "b", model="small")


@pytest.mark.parametrize(
    ("path", "model", "files"),
    [
        ("out/{model_id}.jsonl", "small", ["out/small.jsonl"]),
        ("out/{model_id}.jsonl", "org/large", ["out/org__large.jsonl"]),
        ("out/{model_id}-v1.jsonl", "small", ["out/small-v1.jsonl"]),
        ("{model_id}/answers.jsonl", "small", ["small/answers.jsonl"]),
        ("{model_id}/{model_id}.jsonl", "small", ["small/small.jsonl"]),
        ("{model_id}/part-*.jsonl", "small", ["small/part-1.jsonl", "small/part-2.jsonl"]),
        ("**/{model_id}.jsonl", "small", ["deep/er/small.jsonl", "out/small.jsonl"]),
        ("out/{model_id}.jsonl", "a[b]*", ["out/a[b]*.jsonl"]),
        ("out/{model_id}-?.jsonl", "a[b]*", ["out/a[b]*-1.jsonl"]),
        ("out/{model_id}.jsonl", "{model_id}", ["out/{model_id}.jsonl"]),
    ],
)
def test_a_path_with_the_model_reads_the_files_of_that_model_alone(
    tmp_path: Path, path: str, model: str, files: list[str]
) -> None:
    for number, name in enumerate(files):
        write(tmp_path, [{"id": str(number), "output": name}], name)
    before = engine(tmp_path, path, [model])
    assert [ask(before, str(number), model=model).text for number in range(len(files))] == files
    for name in ("out/other.jsonl", "out/smaller.jsonl", "other/answers.jsonl", "out/ab-1.jsonl", "small/notes.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no JSON at all")
    assert engine(tmp_path, path, [model]).identity() == before.identity()


def test_a_file_of_another_model_makes_no_new_run(tmp_path: Path) -> None:
    rows = [{"id": "a", "gold": "x"}, {"id": "b", "gold": "y"}]
    write(tmp_path, rows, "items.jsonl")
    write(tmp_path, [{"id": row["id"], "output": row["gold"]} for row in rows], "out/small.jsonl")
    dataset = {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"reference": "gold"}}
    model = {"model_id": "small", "provider": "replay/file", "extras": {"path": "out/{model_id}.jsonl"}}
    benchmark: dict[str, Any] = {
        "benchmark_id": "b",
        "models": [model],
        "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "?"}]}],
        "slices": [
            {"slice_id": "s", "dataset": dataset, "generation": {},
             "scores": [{"name": "n", "metrics": ["text/exact_match"]}]}
        ],
    }  # fmt: skip

    def run() -> themis.RunResult:
        (tmp_path / "spec.json").write_text(json.dumps({"benchmark": benchmark}), encoding="utf-8")
        return themis.run(tmp_path / "spec.json")

    first = run()
    write(tmp_path, [{"id": "a", "output": "z"}], "out/large.jsonl")
    again = run()
    assert (again.run_id, again.generated, first.generated) == (first.run_id, 0, 2)
    # The control: who names the other model gets another run, and only that model's answers are new.
    write(tmp_path, [{"id": "a", "output": "z"}, {"id": "b", "output": "y"}], "out/large.jsonl")
    benchmark["models"].append({**model, "model_id": "large"})
    both = run()
    assert both.run_id != first.run_id
    assert (both.generated, both.reused, [row.value for row in both.scores]) == (2, 2, [0.5, 1.0])


def test_a_pattern_reads_its_files_as_one(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path, [{"id": str(number), "output": f"x{number}"}], f"part-{number}.jsonl")
    made = engine(tmp_path, "part-*.jsonl")
    assert [ask(made, str(number)).text for number in range(3)] == ["x0", "x1", "x2"]


ROWS = [{"id": "a", "output": "x\ny"}, {"id": "b", "output": 'say "é"'}]
CSV = 'id,output\n\na,"x\ny"\nb,"say ""é"""\n'.encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rec.jsonl", b'\n{"id": "a", "output": "x\\ny"}\r\n \n {"output": "say \\"\xc3\xa9\\"", "id": "b"}'),
        ("rec.jsonl", b'\xef\xbb\xbf{"id": "a", "output": "x\\ny"}\n{"id": "b", "output": "say \\"\xc3\xa9\\""}'),
        ("rec.ndjson", b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)),
        ("rec.json", json.dumps(ROWS, indent=1).encode()),
        ("rec.json", b"\xef\xbb\xbf" + json.dumps(ROWS).encode()),
        ("rec.csv", CSV),
        ("rec.csv", b"\xef\xbb\xbf" + CSV),
        ("rec.jsonl.gz", gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in ROWS), mtime=0)),
        ("rec.csv.zst", zstandard.compress(CSV)),
    ],
)
def test_every_format_gives_the_same(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    made = engine(tmp_path, name)
    assert [ask(made, each) for each in "ab"] == [Generation("answered", row["output"]) for row in ROWS]


@pytest.mark.parametrize("text", ["\0", "\ud800", "\u2028", "x" * 200_000, "😀\r\n"])
def test_a_text_comes_out_as_it_was_recorded(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, [{"id": "a", "output": text}])
    (tmp_path / "rec.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert [ask(engine(tmp_path, name), "a").text for name in ("rec.jsonl", "rec.jsonl.gz")] == [text, text]


FIELDS = {
    "status": "how",
    "finish_reason": "end",
    "reasoning": "thought",
    "refusal": "no",
    "error": "err",
    "input_tokens": "usage.in",
    "output_tokens": "usage.out",
    "reasoning_tokens": "usage.think",
    "cached_input_tokens": "usage.cached",
    "tool_calls": "calls",
    "steps": "steps",
}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"output": "x"}, Generation("answered", "x")),
        ({"output": ""}, Generation("empty")),
        ({"output": " \n"}, Generation("empty", " \n")),
        ({"output": None}, Generation("empty")),
        ({"output": "x", "end": "stop"}, Generation("answered", "x", finish_reason="stop")),
        ({"output": "x", "end": "length"}, Generation("truncated", "x", finish_reason="length")),
        ({"output": "", "end": "MAX_TOKENS"}, Generation("truncated", "", finish_reason="MAX_TOKENS")),
        ({"output": None, "end": "content_filter"}, Generation("refused", finish_reason="content_filter")),
        ({"output": "", "no": "I won't."}, Generation("refused", refusal="I won't.")),
        ({"output": "x", "thought": "hm"}, Generation("answered", "x", reasoning="hm")),
        ({"output": "x", "how": "refused", "end": "stop"}, Generation("refused", "x", finish_reason="stop")),
        ({"output": "x", "how": None, "thought": ""}, Generation("answered", "x")),
        (
            {"output": "x", "usage": {"in": 3, "out": "4", "think": 0, "cached": None}},
            Generation("answered", "x", usage=Usage(3, 4, 0, None)),
        ),
        ({"output": "x", "usage": {"in": 3}, "usage.in": 5}, Generation("answered", "x", usage=Usage(5))),
        ({"output": "x", "usage": 3}, Generation("answered", "x")),
        ({"output": None, "calls": [CALL]}, Generation("answered", tool_calls=(CALL,))),
        (
            {"output": "x", "calls": None, "steps": [{"kind": "tool_call", "name": "f", "output": 3}]},
            Generation("answered", "x", steps=(Step("tool_call", "f", output=3),)),
        ),
    ],
)
def test_columns_say_how_a_generation_ended(tmp_path: Path, row: dict[str, Any], expected: Generation) -> None:
    write(tmp_path, [{"id": "a", **row}])
    assert ask(engine(tmp_path, **FIELDS), "a") == expected


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"calls": "f"}, "the column 'calls' has no tool calls: "),
        ({"calls": [5]}, "the column 'calls' has no tool calls: "),
        ({"steps": {"kind": "other"}}, "the column 'steps' has no steps: "),
        ({"steps": [{"kind": "walk"}]}, "the column 'steps' has no steps: one of Generation.steps has the kind 'walk'"),
        ({"steps": [{"kind": "other", "did": 1}]}, "has the field 'did'; known: kind, name"),
    ],
)
def test_tool_calls_and_steps_that_are_none_are_told_with_their_line(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    write(tmp_path, [{"id": "a", "output": "x"}, {"id": "b", "output": "x", **row}])
    with pytest.raises(SpecError) as found:
        engine(tmp_path, **FIELDS)
    assert message in str(found.value)
    assert "rec.jsonl:2" in str(found.value)


@pytest.mark.parametrize("name", ["rec.jsonl", "rec.jsonl.gz"])
def test_without_further_columns_only_the_output_tells(tmp_path: Path, name: str) -> None:
    content = b'{"id": "a", "output": ""}\n{"id": "b", "output": null}\n{"id": "c", "output": "\\t"}\n'
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    made = engine(tmp_path, name)
    assert [ask(made, each) for each in "abc"] == [
        Generation("empty"),
        Generation("empty"),
        Generation("empty", "\t"),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [({"err": "timeout"}, "timeout"), ({"how": "failed", "output": None}, "no reason was recorded")],
)
def test_a_recorded_failure_is_a_failure(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    write(tmp_path, [{"id": "a", **row}])
    assert missing(engine(tmp_path, **FIELDS), "a") == f"the recording 'rec.jsonl' has item 'a' as failed: {said}"


GOOD = b'{"id": "g", "output": "x"}\n'


@pytest.mark.parametrize(
    ("name", "content", "line", "message"),
    [
        ("rec.jsonl", GOOD + b'{"\n', 2, "no valid JSON: Unterminated string starting at (column 2)"),
        ("rec.jsonl", GOOD + b"[1]\n", 2, "the row is a list, not an object"),
        (
            "rec.jsonl",
            GOOD + b'{"id": "a", "output": "\xff"}',
            2,
            "no valid UTF-8: byte 0xff at position 24; convert the file to UTF-8",
        ),
        ("rec.jsonl", GOOD + b'{"id": "a", "id": "b", "output": "x"}', 2, "the key 'id' is there twice"),
        ("rec.jsonl", b'{"id": "a", "output": 25}', 1, "the column 'output' has int; text or null was expected"),
        ("rec.jsonl", b'{"id": "a", "text": "x"}', 1, "there is no column 'output'; the row has: id, text"),
        ("rec.jsonl", b'{"key": "a", "output": "x"}', 1, "there is no column 'id'; the row has: key, output"),
        ("rec.jsonl", b'{"id": [1], "output": "x"}', 1, "the column 'id' has [1]; text or a number was expected"),
        (
            "rec.jsonl",
            b'{"id": true, "output": "x"}',
            1,
            "the column 'id' has True; text or a number was expected",
        ),
        ("rec.jsonl", b"[" * 100_000, 1, "nested more than 200 levels deep"),
        (
            "rec.jsonl",
            GOOD + b"\n" + GOOD,
            3,
            (
                "a second output for item 'g', sample 0; the first is at BASE/rec.jsonl:1; "
                "columns for model, sample and match tell rows apart, if named in fields"
            ),
        ),
        (
            "rec.jsonl.gz",
            gzip.compress(b"\n\n" + GOOD + b"\n" + GOOD, mtime=0),
            5,
            (
                "a second output for item 'g', sample 0; the first is at BASE/rec.jsonl.gz:3; "
                "columns for model, sample and match tell rows apart, if named in fields"
            ),
        ),
        ("rec.json", b'[{"id": "a",\n"output": "x"},\n3]', 3, "the row is a number, not an object"),
        (
            "rec.json",
            b'[{"id": "a", "output": "x"}\n{}]',
            2,
            "no valid JSON: Expecting ',' delimiter (column 1)",
        ),
        (
            "rec.json",
            b'{"id": "a"}',
            1,
            "the document is an object, not a list of objects",
        ),
        (
            "rec.json",
            b"[]\n]",
            2,
            "no valid JSON: Extra data (column 1); one object per line is JSON Lines: read it as such",
        ),
        ("rec.json", b'["\xff"]', 1, "no valid UTF-8: byte 0xff at position 3; convert the file to UTF-8"),
        ("rec.csv", b"id,output\na,x\nb\n", 3, "the row has 1 cell, and the header 2 columns"),
        ("rec.csv", b"id,id\na,x\n", 1, "the column 'id' is there twice"),
        ("rec.csv", b'id,output\na,"x\n', 2, "no valid CSV: a quoted cell that starts in this row is never closed"),
        ("rec.csv", b"id,output\n,x\n", 2, "the column 'id' has ''; text or a number was expected"),
        (
            "rec.txt",
            GOOD,
            None,
            (
                "the name says no format: it must end in one of .jsonl, .ndjson, .json, .csv, also with "
                ".gz or .zst behind"
            ),
        ),
    ],
)
def test_bad_rows_are_named_before_the_run(
    tmp_path: Path, name: str, content: bytes, line: int | None, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SpecError) as caught:
        engine(tmp_path, name)
    found = caught.value
    assert (found.path, found.line) == (str(tmp_path / name), line)
    assert found.message.replace(str(tmp_path), "BASE") == message


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"how": "fine"},
            (
                "the column 'how' has 'fine', which is no status; known: answered, refused, truncated, empty, "
                "absent, failed"
            ),
        ),
        ({"end": 3}, "the column 'end' has 3; text was expected"),
        ({"usage": {"in": -1}}, "the column 'usage.in' has -1; a whole number from 0 was expected"),
        ({"usage": {"in": 1.5}}, "the column 'usage.in' has 1.5; a whole number from 0 was expected"),
        ({"llm": None}, "the column 'llm' has None; text or a number was expected"),
        ({"draw": None}, "the column 'draw' is missing or empty; a sample index was expected"),
        ({"draw": "x"}, "the column 'draw' has 'x'; a whole number from 0 was expected"),
        ({"when": 3}, "the column 'when' has 3; text was expected"),
    ],
)
def test_columns_that_are_named_are_checked(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    write(tmp_path, [{"id": "a", "output": "x", "llm": "m", "draw": 0, **row}])
    with pytest.raises(SpecError) as caught:
        engine(tmp_path, **FIELDS, model="llm", sample="draw", match="when")
    assert (caught.value.line, caught.value.message) == (1, message)


def test_two_rows_for_one_request_are_named_across_files(tmp_path: Path) -> None:
    write(tmp_path, [{"id": "a", "llm": "m", "output": "x"}, {"id": "b", "llm": "m", "output": "x"}], "1.jsonl")
    (tmp_path / "2.csv").write_text("id,llm,output\nc,m,x\nb,m,y\n")
    with pytest.raises(SpecError) as caught:
        engine(tmp_path, "[12].*", model="llm")
    assert str(caught.value).replace(str(tmp_path), "BASE") == (
        "BASE/2.csv:3: a second output for item 'b' and model 'm', sample 0; the first is at BASE/1.jsonl:2; columns "
        "for model, sample and match tell rows apart, if named in fields"
    )


def test_one_item_may_have_so_many_matching_texts_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MAX_ROWS_PER_KEY", 3)
    monkeypatch.setattr(recording, "MAX_ROWS_PER_KEY", 3)
    rows = [{"id": "a", "when": f"<{number}>", "output": str(number)} for number in range(4)]
    write(tmp_path, rows[:3])
    made = engine(tmp_path, match="when")
    assert [ask(made, "a", prompt=f"<{number}>").text for number in range(3)] == ["0", "1", "2"]
    write(tmp_path, rows)
    with pytest.raises(SpecError, match="more than 3 rows for item 'a', sample 0"):
        engine(tmp_path, match="when")


@pytest.mark.parametrize("match", ["", "<x>"])
def test_of_several_rows_that_answer_the_same_the_first_in_the_file_is_named(tmp_path: Path, match: str) -> None:
    rows = [{"id": str(number % 50), "when": match, "output": "x"} for number in range(200)]
    write(tmp_path, [{"id": "other", "when": "", "output": "x"}, *rows])
    with pytest.raises(SpecError) as caught:
        engine(tmp_path, match="when")
    assert str(caught.value).startswith(
        f"{tmp_path}/rec.jsonl:52: a second output for item '0', sample 0; the first is at {tmp_path}/rec.jsonl:2"
    )


def test_rows_of_equal_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "hash", lambda key: 1, raising=False)
    write(tmp_path, [{"id": each, "output": each * 2} for each in "abc"])
    made = engine(tmp_path)
    assert [ask(made, each).text for each in "abc"] == ["aa", "bb", "cc"]
    assert missing(made, "d").startswith("no recorded output for item 'd'")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("out/smal.jsonl", "BASE/out/smal.jsonl: no such file. Did you mean 'BASE/out/small.jsonl'?"),
        ("nowhere/x.jsonl", "BASE/nowhere/x.jsonl: no such file; the folder BASE/nowhere does not exist"),
        ("out/*.csv", "BASE/out/*.csv: no file matches this pattern"),
        ("out/x-{model_id}.jsonl", "BASE/out/x-m.jsonl: no such file. Did you mean 'BASE/out/small.jsonl'?"),
        ("out/smal{model_id}.jsonl", "BASE/out/smalm.jsonl: no such file. Did you mean 'BASE/out/small.jsonl'?"),
        ("{model_id}/*.jsonl", "BASE/m/*.jsonl: no file matches this pattern"),
        ("out", "BASE/out: this is a folder: name its files, such as out/*"),
    ],
)
def test_a_recording_that_is_not_there_is_named_before_the_run(tmp_path: Path, path: str, message: str) -> None:
    write(tmp_path, [{"id": "a", "output": "x"}], "out/small.jsonl")
    with pytest.raises(SpecError) as caught:
        engine(tmp_path, path)
    assert str(caught.value).replace(str(tmp_path), "BASE") == message


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_recording_that_is_cut_off_is_refused(tmp_path: Path, suffix: str) -> None:
    plain = b"".join(b'{"id": "%d", "output": "x"}\n' % number for number in range(20_000))
    whole = gzip.compress(plain) if suffix == ".gz" else zstandard.compress(plain)
    for end in (1, len(whole) // 2, len(whole) - 1):
        (tmp_path / f"rec.jsonl{suffix}").write_bytes(whole[:end])
        with pytest.raises(SpecError, match="can't be read"):
            engine(tmp_path, f"rec.jsonl{suffix}")


def test_a_line_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_LINE", 1000)
    (tmp_path / "rec.jsonl").write_bytes(GOOD + b'{"id": "' + b"x" * 2000)
    with pytest.raises(SpecError) as caught:
        engine(tmp_path)
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"path": "{model_id}.jsonl", "fields": {"model": "llm"}}, "says the model"),
        ({"path": ""}, "at least 1 character"),
        ({"path": "x.jsonl", "fields": {"out": "x"}}, "Extra inputs"),
    ],
)
def test_a_wrong_config_says_what_is_wrong(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FileEngine.model_validate(config)


def test_the_identity_is_what_is_recorded_not_where(tmp_path: Path) -> None:
    rows = [{"id": "a", "output": "x"}]
    write(tmp_path, rows)
    write(tmp_path, rows, "elsewhere/copy.jsonl")
    here, there = engine(tmp_path), engine(tmp_path, "elsewhere/*.jsonl")
    assert here.identity() == there.identity()
    assert engine(tmp_path, status="how").identity() != here.identity()
    write(tmp_path, [{"id": "a", "output": "y"}])
    assert engine(tmp_path).identity() != here.identity()
    assert engine(tmp_path, "{model_id}.jsonl", ["rec"]).identity() != engine(tmp_path).identity()


def test_an_engine_that_was_not_checked_has_no_identity() -> None:
    with pytest.raises(RuntimeError, match="before `check`"):
        FileEngine(path="rec.jsonl").identity()


@pytest.mark.parametrize("piece", [1, 100, 2**16])
@pytest.mark.parametrize("blank", [b"", b"\n \n", b"\n" * 100])
@given(data=st.data())
@settings(
    max_examples=15,
    deadline=None,  # on a busy machine, indexing a file may take as long as it likes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_rows_are_the_same_in_whatever_order_they_are_asked_for(
    data: st.DataObject, blank: bytes, piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_PIECE", piece)
    lines = (json.dumps({"id": f"q{number}", "output": "é" * number + "."}).encode() + b"\n" for number in range(20))
    (tmp_path / "rec.jsonl").write_bytes(blank.join(lines))
    made = engine(tmp_path)
    halves = [number for pair in zip(range(10), range(10, 20), strict=True) for number in pair]
    for number in [*range(20), *halves, *data.draw(st.lists(st.integers(0, 19), max_size=40))]:
        assert ask(made, f"q{number}").text == "é" * number + "."


def test_checking_again_reads_again(tmp_path: Path) -> None:
    write(tmp_path, [{"id": "a", "output": "x"}])
    made = engine(tmp_path)
    assert ask(made, "a").text == "x"
    write(tmp_path, [{"id": "a", "output": "y"}])
    made.check(tmp_path)
    assert ask(made, "a").text == "y"


def test_a_file_that_changes_before_its_rows_are_looked_at_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [{"id": "a", "output": "x"}])
    made = FileEngine.model_validate({"path": "rec.jsonl"})
    made.check(tmp_path)
    write(tmp_path, [{"id": "a", "output": "y"}])
    with pytest.raises(SpecError) as caught:
        made.check_content()
    assert str(caught.value) == f"{path}: it was changed meanwhile: run the same command again"


def test_a_complete_run_reads_no_row_and_a_start_without_a_check_reads_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [{"id": "a", "output": "x"}])
    rows = [{"id": "a", "gold": "x"}]
    benchmark = {
        "benchmark_id": "b",
        "models": [{"model_id": "m", "provider": "replay/file", "extras": {"path": "rec.jsonl"}}],
        "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "?"}]}],
        "slices": [
            {"slice_id": "s", "dataset": {"source": "files/inline", "fields": {"reference": "gold"},
                                          "extras": {"rows": rows}},
             "generation": {}, "scores": [{"name": "n", "metrics": ["text/exact_match"]}]}
        ],
    }  # fmt: skip
    (tmp_path / "spec.json").write_text(json.dumps({"benchmark": benchmark}), encoding="utf-8")
    assert themis.run(tmp_path / "spec.json").status == "completed"
    monkeypatch.setattr(recording.Recording, "indexed", lambda self: pytest.fail("indexed"))
    assert themis.run(tmp_path / "spec.json").status == "completed"
    assert themis.plan(tmp_path / "spec.json").to_call == 0
    monkeypatch.undo()
    made = FileEngine.model_validate({"path": "rec.jsonl"})
    made.check(tmp_path)
    (tmp_path / "rec.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(SpecError, match=r"rec.jsonl:1: no valid JSON"):
        asyncio.run(made.start())


@pytest.mark.parametrize(
    "changed", [b"", b'{"id": "a", "output": 12345}\n', b'["id", "a", "output", "x"]\n', b"\xff" * 30]
)
def test_a_file_that_changes_under_a_run_is_a_failure(tmp_path: Path, changed: bytes) -> None:
    path = write(tmp_path, [{"id": "a", "output": "12345"}])
    made = engine(tmp_path)
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(changed)
    assert missing(made, "a").startswith("the recording 'rec.jsonl' changed while it was used: ")


def test_outputs_are_not_held_in_memory_and_files_are_closed(tmp_path: Path) -> None:
    count = 20_000
    path = write(tmp_path, ({"id": str(number), "output": "x" * 500} for number in range(count)))
    gc.collect()
    before = open_files()
    tracemalloc.start()
    made = engine(tmp_path)
    asyncio.run(made.generate(request("7")))
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 500 * count
    assert held < 60 * count
    del made
    gc.collect()
    assert open_files() == before


def test_recorded_solutions_come_back_as_they_were_published() -> None:
    folder = SHARED / "gsm8k" / "solutions"
    assert folder.is_dir(), f"the shared data is missing: {folder} (set THEMIS_SHARED_DATA)"
    made = {path.stem: engine(folder, "{model_id}.jsonl", [path.stem]) for path in folder.glob("*.jsonl")}
    correct: dict[str, int] = {}

    async def replay() -> None:
        for path in sorted(folder.glob("*.jsonl")):
            for line in path.read_text("utf-8").splitlines():
                row = json.loads(line)
                found = await made[path.stem].generate(request(row["id"], row["model"]))
                assert found == Generation("answered", row["output"])
                correct[row["model"]] = correct.get(row["model"], 0) + row["is_correct"]

    asyncio.run(replay())
    assert correct == {"6b_finetuning": 286, "6b_verification": 515, "175b_finetuning": 458, "175b_verification": 742}


@pytest.mark.parametrize(
    ("fields", "asked", "outcome"),
    [
        ({}, {"item_id": "a"}, "answered"),
        ({}, {"item_id": "b"}, "absent"),
        ({}, {"item_id": "a", "sample": 1}, "absent"),
        ({"sample": "draw"}, {"item_id": "a", "sample": 0}, "answered"),
        ({"sample": "draw"}, {"item_id": "a", "sample": 1}, "absent"),
        ({"model": "llm"}, {"item_id": "a", "model": "m"}, "answered"),
        ({"model": "llm"}, {"item_id": "a", "model": "other"}, "absent"),
        ({"match": "when"}, {"item_id": "a", "prompt": "step by step"}, "answered"),
        ({"match": "when"}, {"item_id": "a", "prompt": "at once"}, "absent"),
        ({"error": "err"}, {"item_id": "f"}, "failed"),
        ({"status": "how"}, {"item_id": "e"}, "empty"),
        ({"status": "how"}, {"item_id": "n"}, "absent"),
    ],
)
def test_what_was_never_recorded_is_absent_if_the_spec_says_so(
    tmp_path: Path, fields: dict[str, str], asked: dict[str, Any], outcome: str
) -> None:
    row = {"llm": "m", "draw": 0, "when": "step", "err": None, "how": None}
    rows = [{"id": "a", "output": "x", **row}, {"id": "f", "output": None, **row, "err": "timeout"}]
    rows += [{"id": "e", "output": "", **row}, {"id": "n", "output": None, **row, "how": "absent"}]
    write(tmp_path, rows)
    made = FileEngine.model_validate({"path": "rec.jsonl", "fields": fields, "missing": "absent"})
    made.check(tmp_path)
    if outcome == "failed":
        missing(made, **asked)
    else:
        assert ask(made, **asked).status == outcome
    strict = engine(tmp_path, **fields)
    if outcome == "absent" and asked["item_id"] != "n":
        missing(strict, **asked)  # the control: without the setting it is a failure


def test_absent_answers_are_counted_have_no_score_and_are_not_asked_again(tmp_path: Path) -> None:
    items = [{"id": each, "gold": "x"} for each in "abcd"]
    write(tmp_path, items, "items.jsonl")
    write(tmp_path, [{"id": "a", "output": "x"}, {"id": "b", "output": "y"}])
    dataset = {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"reference": "gold"}}
    extras = {"path": "rec.jsonl", "missing": "absent"}
    benchmark: dict[str, Any] = {
        "benchmark_id": "b",
        "models": [{"model_id": "m", "provider": "replay/file", "extras": extras}],
        "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "?"}]}],
        "thresholds": [{"score": "n", "minimum": 0.5}],
        "slices": [
            {"slice_id": "s", "dataset": dataset, "generation": {},
             "scores": [{"name": "n", "metrics": ["text/exact_match"]}]}
        ],
    }  # fmt: skip

    def run() -> themis.RunResult:
        (tmp_path / "spec.json").write_text(json.dumps({"benchmark": benchmark}), encoding="utf-8")
        return themis.run(tmp_path / "spec.json")

    for result in (run(), run()):
        (row,) = result.scores
        assert (result.exit_code, result.status, result.ledger["absent"], result.failed) == (0, "completed", 2, 0)
        assert (row.value, row.n, row.failed, row.unscored) == (0.5, 2, 0, 0)
    extras["missing"] = "failed"
    assert (run().exit_code, run().failed) == (5, 2)
    extras["missing"] = "absent"
    write(tmp_path, [{"id": "z", "output": "x"}])
    nothing = run()
    assert (nothing.exit_code, nothing.ledger["absent"]) == (5, 4)
    assert nothing.warnings == ["all answers are absent, so there is no number: is that what the recording should be?"]
