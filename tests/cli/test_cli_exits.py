"""Every end of the command has an exit code that means one thing; 1 is a threshold that is not met, nothing else."""

from __future__ import annotations

import asyncio
import errno
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from themis_core import BudgetExceeded, PluginError, RunLocked, SpecError, StorageError, ThemisError
from themis_core.cli import cli
from themis_output import CannotPrint

THEMIS = [sys.executable, "-c", "from themis_core.cli import main; main()"]
SPEC = """
project: {storage: {backend: sqlite, root_dir: .themis}}
benchmark:
  benchmark_id: b
  slices:
    - slice_id: s
      dataset:
        source: files/inline
        fields: {reference: gold, output: said}
        extras: {rows: [{id: a, gold: x, said: x}, {id: b, gold: y, said: z}]}
      scores: [{name: n, metrics: [text/exact_match]}]
  thresholds: [{score: n, minimum: MINIMUM}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "spec.yaml").write_text(SPEC.replace("MINIMUM", "0.5"))
    (tmp_path / "missed.yaml").write_text(SPEC.replace("MINIMUM", "0.9"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


def themis(*args: str) -> Result:
    return CliRunner().invoke(cli, args, prog_name="themis")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SpecError("x"), 2),
        (PluginError("x"), 3),
        (StorageError("x"), 4),
        (RunLocked("x"), 4),
        (BudgetExceeded("x"), 6),
        (ThemisError("x"), 70),
        (RuntimeError("x"), 70),
        (MemoryError(), 70),
        (RecursionError("x"), 70),
        (AssertionError(), 70),
        (KeyError("x"), 70),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "x"), 70),
        (OSError(errno.ENOSPC, "No space left on device"), 70),
        (EOFError(), 70),
        (ExceptionGroup("x", [ValueError("y")]), 70),
        (BaseExceptionGroup("x", [SystemError("y")]), 70),
        (GeneratorExit(), 3),  # no code of the command raises these two: a component did
        (asyncio.CancelledError(), 3),
        (StopIteration(), 70),
        (Unspeakable(), 70),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.ClickException("x"), 2),
        (click.FileError("x"), 2),
        (click.UsageError("x"), 2),
        (CannotPrint("x", by_reader=True), 0),
        (CannotPrint("x", by_reader=False), 74),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
@pytest.mark.parametrize("command", [("run", "spec.yaml"), ("plan", "spec.yaml"), ("runs",), ("show", "run", "b")])
def test_no_error_ends_in_the_exit_of_a_missed_threshold(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, command: tuple[str, ...]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    for name in ("run", "plan", "open_results"):
        monkeypatch.setattr(f"themis_core.{name}", fail)  # first: on first use it is taken from the other
        monkeypatch.setattr(f"themis_core.session.{name}", fail)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a check in the background ignores it
    try:
        done = themis(*command)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.exit_code == code
    assert ("Traceback" in done.output) == (code == PluginError.exit_code and not isinstance(error, PluginError))
    files = list((folder / "tmp").iterdir())
    assert bool(files) == (code == 70 and not isinstance(error, ThemisError))
    for file in files:
        assert f"The traceback is in {file}" in done.stderr
        assert "Traceback (most recent call last)" in file.read_text()
        assert oct(file.stat().st_mode)[-3:] == "600"


def test_only_a_missed_threshold_is_1(folder: Path) -> None:
    assert themis("run", "spec.yaml").exit_code == 0
    assert themis("run", "missed.yaml").exit_code == 1


def test_what_a_traceback_holds_of_secrets_is_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_API_KEY", "quite-a-secret-1234")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(
            "quite-a-secret-1234 at postgresql://ada:lovelace@db/lab with 'sk-proj-Zx81QwErTy77UiOpAs99Df'"
        )

    monkeypatch.setattr("themis_core.session.run", fail)
    done = themis("run", "spec.yaml")
    (file,) = (folder / "tmp").iterdir()
    for text in (done.output, file.read_text()):
        assert "RuntimeError: *** at postgresql://***@db/lab with '***'" in text
        assert not any(secret in text for secret in ("quite-a-secret", "lovelace", "sk-proj"))


def test_a_traceback_that_can_not_be_written_hides_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("x")

    monkeypatch.setattr("themis_core.session.run", fail)
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "nowhere"))
    done = themis("run", "spec.yaml")
    assert (done.exit_code, done.stderr.splitlines()) == (
        70,
        ["Error: unexpected error: RuntimeError: x", "The traceback could not be written to a file."],
    )


@pytest.mark.parametrize(
    ("command", "redirect", "code", "told"),
    [
        ("run spec.yaml --quiet", "> /dev/full", 74, "standard output can't be written: No space left on device"),
        ("run missed.yaml --quiet", "> /dev/full", 1, "standard output can't be written: No space left on device"),
        ("run spec.yaml --quiet --format json", "> /dev/full", 74, "All that was done is stored"),
        ("run spec.yaml --quiet", ">&-", 0, ""),
        ("run spec.yaml --quiet", ">&- 2>&-", 0, ""),
        ("run spec.yaml --quiet", "2> /dev/full", 0, ""),
        ("run spec.yaml --quiet", "| true", 0, ""),
        ("run missed.yaml --quiet", "| true", 1, ""),
        ("show run b", "| head -1", 0, ""),
        ("show trials b", "| true", 0, ""),
        ("export", "| true", 0, ""),
        ("export", "> /dev/full", 74, "No space left on device"),
        ("runs", "> /dev/full", 74, "No space left on device"),
        ("--help", "> /dev/full", 74, ""),
        ("--version", ">&-", 0, ""),
    ],
)
def test_output_that_is_not_taken_is_no_threshold_and_no_traceback(
    folder: Path, command: str, redirect: str, code: int, told: str
) -> None:
    themis("run", "spec.yaml")
    script = f'set -o pipefail; "$@" {command} {redirect}'
    done = subprocess.run(["bash", "-c", script, "bash", *THEMIS], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert len(themis("runs", "--spec", "spec.yaml").stdout.splitlines()) == (3 if "missed" in command else 2)


def test_a_plugins_command_that_fails_is_no_missed_threshold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("themis_core.cli._plugin_commands", lambda name: 1 / 0)
    done = themis("strange", "--help")
    assert (done.exit_code, "ZeroDivisionError" in done.stderr) == (70, True)
