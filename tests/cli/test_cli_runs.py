"""`run`, `plan`, `runs` and `show` over a small benchmark with recorded answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from themis_core.cli import cli

ESCAPE = "\x1b]0;owned\x07"


def themis(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="themis")


def themis_json(*args: object) -> Any:
    done = themis(*args, "--format", "json")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return json.loads(done.stdout)


def benchmark(**changes: Any) -> dict[str, Any]:
    return {
        "benchmark_id": "capitals",
        "models": [{"model_id": "m", "provider": "replay/file", "extras": {"path": "answers.jsonl"}}],
        "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.q }}?"}]}],
        "slices": [
            {
                "slice_id": "test",
                "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"reference": "gold"}},
                "generation": {},
                "scores": [{"name": "accuracy", "metrics": ["text/exact_match"]}],
            }
        ],
        **changes,
    }


def write_spec(folder: Path, **changes: Any) -> Path:
    rows = [
        {"id": "a", "q": "Capital of France", "gold": "Paris"},
        {"id": "b", "q": f"Capital of {ESCAPE}Peru", "gold": "Lima"},
    ]
    answers = [{"id": "a", "output": "Paris"}, {"id": "b", "output": f"Cusco{ESCAPE}"}]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    spec = folder / "capitals.yaml"
    spec.write_text(yaml.safe_dump({"benchmark": benchmark(**changes)}))
    return spec


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return write_spec(tmp_path)


def test_plan_tells_calls_and_a_prompt_and_stores_nothing(spec: Path) -> None:
    planned = themis_json("plan", spec)
    assert (planned["trials"], planned["stored"], planned["to_call"]) == (2, 0, 2)
    assert planned["slices"] == [{"slice_id": "test", "items": 2, "trials": 2}]
    assert planned["samples"][0]["messages"] == [{"role": "user", "content": "Capital of France?"}]
    done = themis("plan", spec)
    assert done.exit_code == 0
    assert "2 trials, 0 of them stored, 2 to call" in done.stdout
    assert "  user:\n    Capital of France?\n" in done.stdout
    assert not (spec.parent / ".themis").exists()


def test_run_prints_one_json_object_and_a_second_run_reuses_all(spec: Path) -> None:
    first, second = themis_json("run", spec), themis_json("run", spec)
    counts = ("status", "trials", "generated", "reused", "failed")
    assert [first[name] for name in counts] == ["completed", 2, 2, 0, 0]
    assert [second[name] for name in counts] == ["completed", 2, 0, 2, 0]
    (score,) = first["scores"]
    assert (score["score"], score["metric"], score["value"], score["n"]) == ("accuracy", "text/exact_match", 0.5, 2)


def test_run_prints_the_table_on_stdout_and_progress_on_stderr(spec: Path) -> None:
    done = themis("run", spec)
    assert done.exit_code == 0
    header, row = done.stdout.splitlines()[:2]
    assert header.split()[:6] == ["slice", "model", "prompt", "params", "score", "metric"]
    assert row.split()[:7] == ["test", "m", "plain", "default", "accuracy", "text/exact_match", "0.5000"]
    assert "completed; 2 trials (2 answered); 2 calls answered, 0 trials reused" in done.stdout
    assert "2/2 trials (100%)" in done.stderr
    assert "2/2 trials" not in themis("run", spec, "--quiet").stderr


def test_options_change_what_is_run(spec: Path) -> None:
    planned = themis_json("plan", spec, "--limit", 1, "--model", "m", "--set", "num_samples=3")
    assert planned["trials"] == 3


def test_a_failed_trial_exits_with_5_and_says_how_to_go_on(spec: Path) -> None:
    (spec.parent / "answers.jsonl").write_text('{"id": "a", "output": "Paris"}\n')
    done = themis("run", spec)
    assert done.exit_code == 5
    assert "1 failed" in done.stdout
    assert "missing, such as: " in done.stdout
    assert "run the same command again" in done.stderr


def test_a_threshold_that_is_not_met_exits_with_1(tmp_path: Path) -> None:
    done = themis("run", write_spec(tmp_path, thresholds=[{"score": "accuracy", "minimum": 0.9}]))
    assert done.exit_code == 1
    assert "threshold NOT MET: score accuracy, minimum 0.9" in done.stdout


def test_a_mistake_in_the_spec_exits_with_2_before_anything_is_stored(tmp_path: Path) -> None:
    done = themis("run", write_spec(tmp_path, num_samples="many"))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert "num_samples" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".themis").exists()


def test_runs_lists_what_is_stored(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = themis_json("run", spec)["run_id"]
    (listed,) = themis_json("runs", "--storage-from", spec)["runs"]
    assert (listed["run_id"], listed["status"], listed["trials"], listed["failed"]) == (run_id, "completed", 2, 0)
    monkeypatch.chdir(spec.parent)
    assert run_id in themis("runs").stdout


def test_show_run_finds_a_run_by_the_beginning_of_its_id(spec: Path) -> None:
    first = themis_json("run", spec)
    shown = themis_json("show", "run", "capitals", "--spec", spec, "--trials")
    assert shown["run"]["run_id"] == first["run_id"]
    assert shown["result"]["scores"] == first["scores"]
    assert [row["item_id"] for row in shown["trials"]] == ["a", "b"]
    text = themis("show", "run", "capitals", "--spec", spec, "--trials").stdout
    assert "plugin replay: themis-plugin-replay" in text
    assert "test  m  plain  default  b  0" in text


def test_show_trial_tells_the_whole_timeline_and_escapes_it(spec: Path) -> None:
    run_id = themis_json("run", spec)["run_id"]
    trials = themis_json("show", "run", run_id, "--spec", spec, "--trials")["trials"]
    trial = themis_json("show", "trial", run_id, trials[1]["trial_id"][:16], "--spec", spec)
    assert trial["turns"][0]["generation"]["text"] == f"Cusco{ESCAPE}"
    text = themis("show", "trial", run_id, trials[1]["trial_id"][:16], "--spec", spec).stdout
    assert "    Capital of \\x1b]0;owned\\x07Peru?\n" in text
    assert "    Cusco\\x1b]0;owned\\x07\n" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("args", [["show", "run", "nothing"], ["show", "trial", "capitals", "zz"]])
def test_an_unknown_run_or_trial_exits_with_2(spec: Path, args: list[str]) -> None:
    themis("run", spec)
    done = themis(*args, "--spec", spec)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("Error: ")


SLOW = """
import asyncio, sys
from themis_core import Engine, Generation, hookimpl

class Slow(Engine):
    async def generate(self, request):
        print("asked", flush=True)
        await asyncio.sleep(0.5)
        return Generation(status="answered", text="Paris")

@hookimpl
def themis_register_engines(register):
    register("slow", Slow)
"""


@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_a_run_save_what_arrives_and_say_how_to_go_on(
    tmp_path: Path, sent: signal.Signals, exit_code: int
) -> None:
    spec = write_spec(tmp_path, models=[{"model_id": "m", "provider": "mine/slow"}], num_samples=50)
    (tmp_path / "slow.py").write_text(SLOW)
    project = tmp_path / "project.yaml"
    settings = {"plugins": {"mine": "./slow.py"}, "execution_policy": {"max_in_flight_work_items": 1}}
    project.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-c", "from themis_core.cli import main; main()"]
    command += ["run", str(spec), "--project", str(project)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(sent)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == exit_code
    assert "interrupted; 100 trials (1 answered, 99 unfinished)" in stdout
    assert "run the same command again to go on" in stderr
    assert "Traceback" not in stderr
