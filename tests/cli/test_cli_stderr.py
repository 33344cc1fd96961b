"""Whatever becomes of standard error, a command ends as it would, and its output is whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

PLUGIN = """
import os, sys
from themis_core import Metric, Score, hookimpl

THEMIS_CONTRACT_VERSION = 1


class Closes(Metric):
    runs_in = "inline"

    def score(self, item, generation, value):
        if item.id == "2":
            HOW
        return Score(1.0)


@hookimpl
def themis_register_metrics(register):
    register("closes", Closes)
"""
WAYS = {
    "closed": "sys.stderr.close()",
    "closed as standard output": "sys.stdout.close()",
    "gone": "sys.stderr = None",
    "output gone": "sys.stdout = None",
    "descriptor closed": "os.close(2)",
    "both descriptors closed": "os.closerange(1, 3)",
    "descriptor used for something else": "os.dup2(os.open('other.txt', os.O_WRONLY | os.O_CREAT), 2)",
    "nothing": "pass",
}


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    rows = [{"id": number, "question": f"{number}?", "gold": str(number)} for number in range(4)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    answers = [{"id": number, "output": str(number)} for number in range(4)]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers), "utf-8")
    model = {"model_id": "m", "provider": "replay/file", "extras": {"path": "answers.jsonl"}}
    slice_ = {
        "slice_id": "s",
        "dataset": {"source": "files/jsonl", "dataset_id": "questions.jsonl", "fields": {"reference": "gold"}},
        "generation": {},
        "scores": [{"name": "x", "metrics": ["mine/closes", "text/exact_match"]}],
    }
    prompt = {"id": "p", "messages": [{"role": "user", "content": "{{ item.question }}"}]}
    benchmark = {"benchmark_id": "b", "models": [model], "prompt_variants": [prompt], "slices": [slice_]}
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"project": {"plugins": {"mine": "mine.py"}}, "benchmark": benchmark}), "utf-8")
    set_way(path, "pass")
    return path


def set_way(spec: Path, how: str) -> None:
    spec.with_name("mine.py").write_text(PLUGIN.replace("HOW", how), "utf-8")


def run(spec: Path, *arguments: str, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "themis_core", *(arguments or ("run", spec.name))]
    return subprocess.run(
        command, cwd=spec.parent, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True,
        timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)
def test_what_a_component_does_to_the_streams_costs_no_result(spec: Path, how: str) -> None:
    set_way(spec, how)
    done = run(spec)
    assert done.returncode == 0, done.stderr
    assert "x      mine/closes       1.0000" in done.stdout
    assert "4 calls answered" in done.stdout
    assert "Traceback" not in done.stderr
    if how != WAYS["gone"]:
        assert "4/4 trials (100%)" in done.stderr
    if (other := spec.with_name("other.txt")).exists():
        assert other.read_text("utf-8") == ""


def test_a_stream_that_takes_no_text_is_told_as_a_fault_not_as_a_threshold(spec: Path) -> None:
    set_way(spec, "sys.stderr = object()")
    done = run(spec)
    assert done.returncode == 70
    assert "What was saved stays saved" in done.stderr
    set_way(spec, "pass")
    assert "0 calls answered, 4 trials reused" in run(spec).stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NOT RUN: this system has no /dev/full")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("run", "spec.json"), 0), (("run", "other.json"), 2), (("no-such-command",), 2), (("run", "--nope"), 2)],
)
def test_a_full_disk_behind_standard_error_changes_no_exit_code(
    spec: Path, arguments: tuple[str, ...], code: int
) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(spec, *arguments, stderr=full.fileno())
    assert done.returncode == code
    assert ("mine/closes" in done.stdout) == (code == 0)


def test_a_reader_of_standard_error_that_leaves_changes_no_exit_code(spec: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(spec, stderr=writing)
    finally:
        os.close(writing)
    assert done.returncode == 0
    assert "mine/closes" in done.stdout


def test_a_slow_reader_that_must_not_be_waited_for_gets_what_there_is_room_for(spec: Path) -> None:
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with suppress(BlockingIOError):
            while os.write(writing, b" " * 65_536):
                pass
        done = run(spec, stderr=writing)
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == 0
    assert "mine/closes" in done.stdout
