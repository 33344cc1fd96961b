"""What a storage backend prints or how it ends is never the output or the exit code of `themis storage`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BACKEND = """\
import asyncio, os, sys

from themis_core import hookimpl
from themis_core.testing.memory import MemoryStorage, MemoryStore


class Whole(MemoryStore):
    def verify(self):
        print("verified")
        return iter(())


class Noisy(MemoryStorage):
    def open(self, project_dir, *, mode="write"):
        print("opened")
        os.write(1, b"opened\\n")
        return Whole()


class Leaving(MemoryStorage):
    def open(self, project_dir, *, mode="write"):
        raise END


@hookimpl
def themis_register_storage_backends(register):
    register("noisy", Noisy)
    register("leaving", Leaving)
"""


def themis(folder: Path, backend: str, *args: str, end: str = "SystemExit(0)") -> subprocess.CompletedProcess[str]:
    (folder / "mine.py").write_text(BACKEND.replace("END", end), encoding="utf-8")
    project = {"plugins": {"mine": "mine.py"}, "storage": {"backend": f"mine/{backend}"}}
    (folder / "project.json").write_text(json.dumps(project), encoding="utf-8")
    command = [sys.executable, "-m", "themis_core", "storage", *args, "--project", "project.json"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("end", "command"),
    [
        ("SystemExit(0)", ["verify"]),
        ("SystemExit(1)", ["rebuild"]),
        ("KeyboardInterrupt()", ["migrate"]),
        ("asyncio.CancelledError()", ["gc"]),
        ("BaseExceptionGroup('two', [SystemExit(0), ValueError()])", ["backup", "copy"]),
    ],
)
def test_a_backend_that_ends_is_a_fault_of_its_plugin(end: str, command: list[str], tmp_path: Path) -> None:
    done = themis(tmp_path, "leaving", *command, end=end)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Error: a component failed at a call of this command: ")
    assert "mine.py" in done.stderr


def test_what_a_backend_prints_is_not_in_the_output(tmp_path: Path) -> None:
    done = themis(tmp_path, "noisy", "verify", "--format", "json")
    assert (done.returncode, json.loads(done.stdout)["damages"]) == (0, [])
    assert done.stderr == "opened\nopened\nverified\n"


def test_the_help_of_the_namespace_says_what_its_commands_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "themis_core", "storage", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "Keep a store in order" in done.stdout
    assert [line.split()[0] for line in done.stdout.partition("Commands:\n")[2].splitlines() if line[2:3].strip()] == [
        *("backup", "gc", "merge", "migrate", "rebuild", "verify")
    ]
