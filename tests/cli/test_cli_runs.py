"""`run`, `plan`, `runs` and `show` over a small benchmark with recorded answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

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


@pytest.mark.parametrize(
    ("params", "cost"),
    [({"max_tokens": 100}, "≤ 0.000409"), ({}, "≥ 0.000009")],  # 18 tokens of input, two answers,
)
def test_plan_says_whether_a_cost_is_the_most_or_the_least(tmp_path: Path, params: dict[str, Any], cost: str) -> None:
    model = {"model_id": "m", "provider": "replay/file", "extras": {"path": "answers.jsonl"}}
    price = {"input_per_million": 0.5, "output_per_million": 2.0}
    grid = {"params": [params]}
    spec = write_spec(tmp_path, models=[{**model, "price": price}], inference_grid=grid)
    lines = themis("plan", spec).stdout.splitlines()
    assert lines[5].endswith(f"  {cost}")
    assert (
        lines[6] == "cost: ≤ if each answer has max_tokens, its most; ≥ where no such limit is set: of the input alone"
    )


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
    assert done.stdout.splitlines()[:3] == [
        "all rows: slice test, model m, prompt plain, method wilson, 0 unparsed, 0 unscored, 0 failed",
        "score     metric             value   95 % interval  n",
        "accuracy  text/exact_match  0.5000  [0.095, 0.905]  2",
    ]
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
    assert "missing (1), such as: " in done.stdout
    remedy = "record the output, or take the item or model out of the spec"
    assert done.stderr.splitlines()[-1] == (
        f"some trials failed or have no verdict. missing (1): {remedy}. "
        "Then run the same command again to try only those again"
    )
    again = themis_json("run", spec)
    assert (again["ledger"]["failures"], again["remedies"]) == ({"missing": 1}, {"missing": remedy})
    shown = themis("show", "run", again["run_id"], "--spec", spec).stdout
    assert f"missing, what to do: {remedy}" in shown


def test_a_threshold_that_is_not_met_exits_with_1_and_names_the_row(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, thresholds=[{"score": "accuracy", "minimum": 0.9}])
    done = themis("run", spec)
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-2:] == [
        "  threshold NOT MET: score accuracy, minimum 0.9",
        "    test · m · plain · accuracy · text/exact_match: 0.5",
    ]
    (threshold,) = themis_json("run", spec)["thresholds"]
    missed = {
        "slice_id": "test", "model_id": "m", "prompt_variant_id": "plain", "params": "default", "score": "accuracy",
        "metric": "text/exact_match", "value": 0.5,
    }  # fmt: skip
    assert threshold == {
        "measure": "value", "score": "accuracy", "minimum": 0.9, "met": False, "judged": True, "why": None,
        "rows": 1, "worst": missed, "missed": [missed], "unjudged": [],
    }  # fmt: skip


def test_a_mistake_in_the_spec_exits_with_2_before_anything_is_stored(tmp_path: Path) -> None:
    done = themis("run", write_spec(tmp_path, num_samples="many"))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert "num_samples" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".themis").exists()


def test_runs_lists_what_is_stored(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = themis_json("run", spec, "--set", "num_samples=1")["run_id"]
    (listed,) = themis_json("runs", "--storage-from", spec)["runs"]
    counts = ("run_id", "status", "planned", "trials", "failed")
    assert [listed[name] for name in counts] == [run_id, "completed", 2, 2, 0]
    monkeypatch.chdir(spec.parent)
    header, line = themis("runs").stdout.splitlines()
    assert header.split() == ["run", "id", "status", "started", "(UTC)", "planned", "trials", "failed"]
    day, second = listed["started_at"][:19].split("T")
    assert line.split() == [run_id, "completed", day, second, "2", "2", "0"]


def test_show_run_finds_a_run_by_the_beginning_of_its_id(spec: Path) -> None:
    first = themis_json("run", spec)
    shown = themis_json("show", "run", "capitals", "--spec", spec)
    trials = themis_json("show", "trials", "latest", "--spec", spec)
    assert shown["run"]["run_id"] == first["run_id"]
    assert shown["result"]["scores"] == first["scores"]
    assert [(row["item_id"], row["scores"]) for row in trials["trials"]] == [
        ("a", {"accuracy/text/exact_match": {"value": 1.0, "reason": None}}),
        ("b", {"accuracy/text/exact_match": {"value": 0.0, "reason": None}}),
    ]
    assert "plugin replay: themis-plugin-replay" in themis("show", "run", "latest", "--spec", spec).stdout
    text = themis("show", "trials", "capitals", "--spec", spec).stdout
    assert [line.split()[1:] for line in text.splitlines()] == [
        ["outcome", "slice", "model", "prompt", "params", "item", "sample", "accuracy/text/exact_match"],
        ["answered", "test", "m", "plain", "default", "a", "0", "1"],
        ["answered", "test", "m", "plain", "default", "b", "0", "0"],
    ]


def test_show_trial_tells_the_whole_timeline_and_escapes_it(spec: Path) -> None:
    run_id = themis_json("run", spec)["run_id"]
    trials = themis_json("show", "trials", run_id, "--spec", spec)["trials"]
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
        print("asked", file=sys.stderr, flush=True)
        await asyncio.sleep(SECONDS)
        return Generation(status="answered", text="Paris")

@hookimpl
def themis_register_engines(register):
    register("slow", Slow)
"""


def start_slow(spec: Path, seconds: float) -> subprocess.Popen[str]:
    (spec.parent / "slow.py").write_text(SLOW.replace("SECONDS", str(seconds)))
    project = spec.parent / "project.yaml"
    settings = {"plugins": {"mine": "./slow.py"}, "execution_policy": {"max_in_flight_work_items": 1}}
    project.write_text(yaml.safe_dump(settings))
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", f"{listening}from themis_core.cli import main; main()"]
    command += ["run", str(spec), "--project", str(project)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(stream: IO[str], line: str) -> None:
    """Read up to a line; on a busy machine, that the store lets one wait may be said before it."""
    while (said := stream.readline()) != f"{line}\n":
        assert said, f"it ended without saying {line!r}"


@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_a_run_save_what_arrives_and_say_how_to_go_on(
    tmp_path: Path, sent: signal.Signals, exit_code: int
) -> None:
    spec = write_spec(tmp_path, models=[{"model_id": "m", "provider": "mine/slow"}], num_samples=50)
    with start_slow(spec, seconds=0.5) as process:
        assert process.stderr is not None
        wait_for(process.stderr, "asked")
        process.send_signal(sent)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == exit_code
    assert "stopping: waiting for 1 answer" in stderr
    assert "interrupted; 100 trials (1 answered, 99 unfinished)" in stdout
    assert "run the same command again to go on" in stderr
    assert "Traceback" not in stderr


def test_a_second_ctrl_c_ends_a_run_at_once_and_says_what_is_saved(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, models=[{"model_id": "m", "provider": "mine/slow"}])
    with start_slow(spec, seconds=300) as process:
        assert process.stderr is not None
        wait_for(process.stderr, "asked")
        process.send_signal(signal.SIGINT)
        wait_for(process.stderr, "stopping: waiting for 1 answer; Ctrl-C again stops now")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert stderr.splitlines()[-1] == ("interrupted: what was saved stays saved; run the same command again to go on")
    assert "Traceback" not in stderr
