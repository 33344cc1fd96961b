"""Array jobs: read as sbatch reads them, and run as a node runs them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from stand_ins import StandIn, run_as

from themis_core import Part, SpecError, find_storage
from themis_plugin_shards.planned import own_command
from themis_plugin_shards.sbatch import OPTIONS, directive, parsed

Shards = Callable[..., Result]


def read_by_sbatch(script: str) -> dict[str, str | None]:
    """The options of a script, split as sbatch splits lines: quotes group, a backslash escapes, # begins a comment."""
    found: dict[str, str | None] = {}
    for line in script.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            break
        if line.startswith("#SBATCH"):
            for argument in _arguments(line.removeprefix("#SBATCH")):
                name, equals, value = argument.removeprefix("--").partition("=")
                found[name] = value if equals else None
    return found


def _arguments(line: str) -> Iterator[str]:
    word, begun, quote, escaped = "", False, "", False
    for char in line:
        if escaped:
            word, escaped = word + char, False
        elif char == "\\":
            begun = escaped = True
        elif quote:
            word, quote = (word, "") if char == quote else (word + char, quote)
        elif char in "\"'":
            begun, quote = True, char
        elif char == "#":
            break
        elif char.isspace():
            if begun:
                yield word
            word, begun = "", False
        else:
            word, begun = word + char, True
    assert not quote
    if begun:
        yield word


def test_each_task_runs_its_shard_of_the_spec_from_its_folder(shards: Shards, spec: Path, stand_in: StandIn) -> None:
    made = shards(
        "slurm", spec, "-n", 3, "--set", "project.project_name=it's $x", "--themis", stand_in.command, "-o", "job.sh"
    )
    assert (made.exit_code, made.stdout) == (0, "")
    script = Path("job.sh").absolute()
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    for task in ("1", "3"):
        assert run_as(["bash", str(script)], stand_in.environment, SLURM_ARRAY_TASK_ID=task).returncode == 0
        (call,) = stand_in.calls(f"{task}/3")
        assert call == {
            "argv": ["run", str(spec), "--set", "project.project_name=it's $x", "--shard", f"{task}/3"],
            "cwd": str(spec.parent),
        }


def test_the_signal_that_ends_a_task_reaches_themis_itself(shards: Shards, plain_spec: Path, stand_in: StandIn) -> None:
    stand_in.ends({"2/2": [7]})
    script = shards("slurm", plain_spec, "-n", 2, "--themis", stand_in.command).stdout
    assert script.splitlines()[-1].startswith("exec ")  # its process is the script's, which `B:` is sent to
    assert read_by_sbatch(script)["signal"] == "B:TERM@60"
    done = run_as(["bash", "-c", script], stand_in.environment, SLURM_ARRAY_TASK_ID="2")
    assert (done.returncode, done.stdout) == (7, "this is 2/2, try 0\n")


def test_a_script_that_is_not_run_by_slurm_says_so_and_calls_nothing(
    shards: Shards, plain_spec: Path, stand_in: StandIn
) -> None:
    script = shards("slurm", plain_spec, "-n", 2, "--themis", stand_in.command).stdout
    done = run_as(["bash", "-c", script], stand_in.environment)
    assert done.returncode != 0
    assert "SLURM_ARRAY_TASK_ID: is not set: submit this file by sbatch" in done.stderr
    assert stand_in.calls("/2") == stand_in.calls("whole") == []


def test_what_a_shard_needs_is_asked_for_in_options_that_sbatch_has(shards: Shards, plain_spec: Path) -> None:
    options = ["--time", "2-00:00:00", "--partition", "gpu,long", "--account", "me", "--gpus", "a100:2", "--cpus", 8]
    options += ["--mem", "64G", "--array-limit", 4, "--log-folder", "l o%g"]
    options += ["--directive", "gres=tmp:10G", "--directive", "--exclusive", "--directive", "no-requeue"]
    made = shards("slurm", plain_spec, "-n", 16, *options)
    read = read_by_sbatch(made.stdout)
    assert read == {
        "job-name": read["job-name"],
        "array": "1-16%4",
        "ntasks": "1",
        "time": "2-00:00:00",
        "partition": "gpu,long",
        "account": "me",
        "gpus": "a100:2",
        "cpus-per-task": "8",
        "mem": "64G",
        "output": f"{Path.cwd()}/l o%%g/%x-%A_%a.log",
        "open-mode": "append",
        "signal": "B:TERM@60",
        "gres": "tmp:10G",
        "exclusive": None,
        "no-requeue": None,
    }
    assert set(read) <= OPTIONS
    assert Path("l o%g").is_dir()
    assert str(read["job-name"]).startswith("two-words-")


def test_standard_error_says_what_there_is_to_know_before_it_is_submitted(shards: Shards, plain_spec: Path) -> None:
    made = shards("slurm", plain_spec, "-n", 4, "-o", "my job.sh")
    run, *lines = made.stderr.splitlines()
    (advice,) = (each.advice for each in find_storage(plain_spec)[0].only_here(plain_spec.parent))
    of_parts = [sum(Part(number, 4).has(str(item), 0) for item in range(30)) for number in range(1, 5)]
    assert run.endswith(f": 30 trials in 4 shards, {min(of_parts)} to {max(of_parts)} in each")
    assert lines == [
        f"warning: storage.root_dir: {advice}",
        "next: sbatch 'my job.sh'",
        f"the shard that comes last makes the result; if one was lost, its part is done by themis run {plain_spec}",
    ]


def test_more_shards_than_trials_or_than_slurm_takes_as_it_comes_is_a_warning(shards: Shards, plain_spec: Path) -> None:
    told = shards("slurm", plain_spec, "-n", 2_000).stderr
    assert "warning: there are more shards than trials" in told
    assert "warning: Slurm takes indices up to 1,000 where MaxArraySize is as it comes" in told


def test_jobs_call_themis_of_the_environment_that_made_them(shards: Shards, plain_spec: Path) -> None:
    (command,) = own_command()
    assert Path(command).is_absolute()
    assert f"exec {command} run" in shards("slurm", plain_spec, "-n", 2).stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--directive", "wrap=ls"], "--directive 'wrap=ls' has no meaning in a script: give it to sbatch itself"),
        (["--directive", "array=0-3"], "--directive 'array=0-3': say it by -n and --array-limit of this command"),
        (["--directive", "-C icelake"], "write the long name of an option of sbatch, as in gres=gpu:1"),
        (["--partition", "a\nb"], "--partition can't be 'a\\nb': a directive of sbatch is one line"),
        (["--account", "HetJob"], "--account can't hold 'hetjob' or 'packjob'"),
        (["--log-folder", "a\\b"], "--log-folder can't hold a backslash"),
        (["--themis", "'"], "--themis \"'\" can't be read: No closing quotation"),
        (["--themis", ""], "--themis is empty"),
    ],
)
def test_what_no_script_can_say_is_refused(shards: Shards, plain_spec: Path, arguments: list[str], told: str) -> None:
    done = shards("slurm", plain_spec, "-n", 4, *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr


def test_a_wrong_spec_is_told_with_its_line_before_anything_is_printed(shards: Shards, plain_spec: Path) -> None:
    plain_spec.write_text(plain_spec.read_text().replace("text/exact_match", "text/exact_mach"))
    done = shards("slurm", plain_spec, "-n", 4, "-o", "job.sh")
    assert done.exit_code == 2
    assert "spec.yaml:11: slices[0].scores[0].metrics[0]" in done.stderr
    assert not Path("job.sh").exists()
    assert not Path("logs").exists()


def test_a_spec_of_standard_input_is_refused(shards: Shards) -> None:
    done = shards("slurm", "-", "-n", 4)
    assert (done.exit_code, "write the spec to a file" in done.stderr) == (2, True)


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"], include_characters=" \"'\\#$%"), min_size=1))
def test_a_directive_is_read_as_it_was_meant_or_refused(value: str) -> None:
    try:
        line = directive("comment", value)
    except SpecError:
        assert not value.isprintable() or "job" in value.lower()
    else:
        assert read_by_sbatch(line) == {"comment": value}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("gres=gpu:1", ("gres", "gpu:1", "")),
        ("--mail-type=END,FAIL", ("mail-type", "END,FAIL", "")),
        ("#SBATCH --exclusive", ("exclusive", None, "")),
        ("comment=a = b", ("comment", "a = b", "")),
        ("mem_bind=local", ("mem_bind", "local", "")),  # Slurm takes it with either sign
        ("qoss=high", ("qoss", "high", "the manual of sbatch has no option --qoss. Did you mean 'qos'?")),
    ],
)
def test_directives_are_taken_in_any_of_their_forms(given: str, found: tuple[str, str | None, str]) -> None:
    assert parsed(given) == found


def test_a_name_of_several_lines_adds_none_to_the_script(shards: Shards, plain_spec: Path) -> None:
    hostile = "x\n#SBATCH --uid=0\ntouch pwned\r\u2028touch pwned"
    made = shards("slurm", str(plain_spec), "-n", "2", "--set", f"benchmark_id={json.dumps(hostile)}")
    assert made.exit_code == 0, made.output
    script = made.stdout
    assert "uid" not in read_by_sbatch(script)
    commands = [line for line in script.split("\n") if line and not line.startswith("#")]
    assert [line.split()[0] for line in commands] == ["cd", "exec"]
