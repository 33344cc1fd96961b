"""Shards as processes of this machine: each is reported, and accidents are tried again."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from stand_ins import StandIn

from themis_plugin_shards.local import Processes


def local(spec: Path, stand_in: StandIn, *arguments: str | Path) -> subprocess.Popen[str]:
    # A check in the background ignores SIGINT, and so would the command.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    themis = [sys.executable, "-c", f"{listening}from themis_core.cli import main; main()"]
    command = [*themis, "shards", "local", spec, "--themis", stand_in.command, *arguments]
    return subprocess.Popen(
        list(map(str, command)), env=stand_in.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_each_shard_is_run_and_reported_and_then_the_result_is_shown(spec: Path, stand_in: StandIn) -> None:
    process = local(spec, stand_in, "-n", "3", "--at-once", "2")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "this is whole, try 0\n")
    for shard in ("1/3", "2/3", "3/3"):
        (call,) = stand_in.calls(shard)
        assert call == {"argv": ["run", str(spec), "--shard", shard], "cwd": str(spec.parent)}
        assert f"\nshard {shard}: exit 0 after " in err
    assert stand_in.calls("whole") == [{"argv": ["run", str(spec)], "cwd": str(spec.parent)}]


@pytest.mark.parametrize(
    ("ends", "code", "tries", "told"),
    [
        pytest.param({"2/3": ["kill", 0]}, 0, [1, 2, 1, 1], "shard 2/3: exit 137 after", id="killed once"),
        pytest.param({"2/3": ["kill"]}, 137, [1, 2, 1, 0], "run the same command again to go on", id="killed always"),
        pytest.param({"1/3": [4, 4, 0]}, 4, [2, 1, 1, 0], "    this is 1/3, try 1", id="the store is away"),
        pytest.param({"3/3": [5], "whole": [5]}, 5, [1, 1, 1, 1], "shard 3/3: exit 5 after", id="trials failed"),
        pytest.param({"1/3": [2]}, 2, [1, 0, 0, 0], "shard 1/3: exit 2 after", id="the spec is wrong"),
    ],
)
def test_how_a_shard_ends_decides_what_follows(
    plain_spec: Path,
    stand_in: StandIn,
    ends: dict[str, list[int | str]],
    code: int,
    tries: list[int],
    told: str,
) -> None:
    stand_in.ends(ends)
    process = local(plain_spec, stand_in, "-n", "3", "--at-once", "1", "--tries", "2")
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert [len(stand_in.calls(shard)) for shard in ("1/3", "2/3", "3/3", "whole")] == tries
    assert told in err


@pytest.mark.parametrize("code", [2, 3])
def test_if_all_would_end_as_one_did_the_others_are_asked_to_end(
    plain_spec: Path, stand_in: StandIn, code: int
) -> None:
    stand_in.ends({"1/2": ["wait"], "2/2": [code]})
    process = local(plain_spec, stand_in, "-n", "2", "--at-once", "2")
    _, err = process.communicate(timeout=50)
    assert (process.returncode, stand_in.calls("whole")) == (code, [])
    assert "shard 1/2: exit 143 after " in err


def test_what_shards_print_is_kept_where_it_was_asked_for(plain_spec: Path, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.ends({"2/2": ["kill", 0]})
    local(plain_spec, stand_in, "-n", "2", "--log-folder", tmp_path / "logs").communicate(timeout=60)
    logs = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert logs == {
        "shard-1-of-2-try-1.log": "this is 1/2, try 0\n",
        "shard-2-of-2-try-1.log": "this is 2/2, try 0\n",
        "shard-2-of-2-try-2.log": "this is 2/2, try 1\n",
    }


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 143)])
def test_a_signal_reaches_each_shard_once_and_no_further_one_starts(
    plain_spec: Path, stand_in: StandIn, number: signal.Signals, code: int
) -> None:
    stand_in.ends({"1/3": ["wait"], "2/3": ["wait"]})
    process = local(plain_spec, stand_in, "-n", "3", "--at-once", "2")
    while len(list(stand_in.place.glob("waits.*"))) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.count("exit 143") == 2
    assert stand_in.calls("3/3") == stand_in.calls("whole") == []
    assert "run the same command again to go on" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_last_command_save_what_it_has(
    plain_spec: Path, stand_in: StandIn, number: signal.Signals
) -> None:
    stand_in.ends({"1/2": [5], "whole": ["wait"]})  # failed trials, which are tried again
    process = local(plain_spec, stand_in, "-n", "2")
    while not (stand_in.place / "waits.whole").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert (stand_in.place / "asked.whole").exists()


def test_a_shard_that_is_being_started_when_the_signal_comes_is_asked_to_end(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in.ends({"1/2": ["wait"]})
    monkeypatch.setenv("STAND_IN", str(stand_in.place))
    command = shlex.split(stand_in.command)
    processes = Processes(command, tmp_path, 2, logs=tmp_path, at_once=1, tries=1)

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            while not (stand_in.place / "waits.1-of-2").exists():
                time.sleep(0.02)
            processes._stop()  # as the signal's handler does

    monkeypatch.setattr(subprocess, "Popen", Popen)
    assert processes.run(lambda ended: None) == {1: 143}
