"""Paths that specs and commands name, and what is said of those that can't be used."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from themis_core import SpecError, current_folder, path_kind, resolve_path, shown_path

THEMIS = [sys.executable, "-c", "from themis_core.cli import main; main()"]
NOBODY = "~themis-nobody-9f3a"
SPEC = """
project: {{plugins: {plugins}, storage: {{backend: sqlite, root_dir: {store}}}}}
benchmark:
  benchmark_id: b
  models: [{{model_id: m, provider: replay/file, extras: {{path: {recording}}}}}]
  prompt_variants: [{{id: p, messages: [{{role: user, content: q}}]}}]
  slices:
    - slice_id: s
      dataset: {{source: files/jsonl, dataset_id: {items}, fields: {{reference: q}}}}
      generation: {{}}
      scores: [{{name: n, metrics: [text/exact_match]}}]
"""


def a_ring(folder: Path) -> Path:
    (folder / "ring").symlink_to("ring")
    return folder / "ring"


def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def a_file(folder: Path) -> Path:
    (folder / "file").write_text("x")
    return folder / "file"


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (a_file, "file"),
        (lambda folder: folder, "folder"),
        (a_pipe, "other"),
        (lambda folder: folder / "missing", "nothing"),
        (lambda folder: a_file(folder) / "beneath a file", "nothing"),
    ],
)
def test_what_is_at_a_path_is_told(tmp_path: Path, make: Callable[[Path], Path], kind: str) -> None:
    assert path_kind(make(tmp_path)) == kind


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (a_ring, "Too many levels of symbolic links"),
        (lambda folder: folder / ("x" * 300), "File name too long"),
        (lambda folder: folder.joinpath(*["a" * 200] * 30), "File name too long"),
        (lambda folder: folder / "nul\0", "null"),
    ],
)
def test_what_can_not_be_looked_at_is_an_error(tmp_path: Path, make: Callable[[Path], Path], reason: str) -> None:
    with pytest.raises(SpecError, match=reason) as raised:
        path_kind(make(tmp_path))
    assert len(str(raised.value)) < 400


def test_a_folder_that_may_not_be_searched_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(self: Path, **_: object) -> os.stat_result:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(SpecError, match=r"can't be looked at: Permission denied"):
        path_kind(tmp_path / "theirs" / "file")


@pytest.mark.parametrize("given", [NOBODY, f"{NOBODY}/data.jsonl", "a\0b"])
def test_what_can_be_no_path_is_an_error(given: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"there is no home folder for ~themis-nobody-9f3a|holds a NUL"):
        resolve_path(given, tmp_path)


def test_home_is_expanded_and_relative_paths_start_at_the_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    given = [resolve_path(each, tmp_path) for each in ("~/x", "x/y", "/x", "x~")]
    assert given == [Path("/home/ada/x"), tmp_path / "x/y", Path("/x"), tmp_path / "x~"]


def test_a_removed_current_folder_is_an_error_and_shows_paths_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(SpecError, match=r"the current folder can't be used .*by cd"):
        current_folder()
    assert shown_path(tmp_path / "x") == str(tmp_path / "x")


@pytest.mark.parametrize(
    "command", [["runs"], ["plan", "spec.yaml"], ["run", "-"], ["storage", "verify"], ["plan", "/"]]
)
def test_commands_in_a_removed_folder_say_so(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "gone").mkdir()
    script = 'cd gone && rmdir ../gone && exec "$@" < /dev/null'
    done = subprocess.run(["sh", "-c", script, "sh", *THEMIS, *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


LONG = "x" * 300


@pytest.mark.parametrize("path", [NOBODY, LONG, f"{'y' * 250}/{LONG}", "ring/x", "file/x"])
@pytest.mark.parametrize("place", ["items", "recording", "plugins", "store"])
def test_a_path_of_a_spec_that_can_not_be_used_is_an_error_of_its_own(tmp_path: Path, place: str, path: str) -> None:
    a_ring(tmp_path)
    a_file(tmp_path)
    (tmp_path / "items.jsonl").write_text('{"id": "a", "q": "x"}\n')
    (tmp_path / "answers.jsonl").write_text('{"id": "a", "output": "x"}\n')
    places = {"items": "items.jsonl", "recording": "answers.jsonl", "plugins": "{}", "store": "store"}
    places[place] = f"{{mine: {path}}}" if place == "plugins" else path
    (tmp_path / "spec.yaml").write_text(SPEC.format(**places))
    for command in ("plan", "run"):
        done = subprocess.run([*THEMIS, command, "spec.yaml"], cwd=tmp_path, capture_output=True, text=True)
        assert "Traceback" not in done.stderr
        if (place, command) == ("store", "plan") and done.returncode == 0:
            continue  # there is no store yet, and a plan makes none
        assert done.returncode == (4 if place == "store" and path != NOBODY else 2), done.stderr
        assert done.stderr.startswith("Error: ")


def test_a_spec_may_come_from_standard_input(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"id": "a", "q": "x"}\n')
    (tmp_path / "answers.jsonl").write_text('{"id": "a", "output": "x"}\n')
    text = SPEC.format(items="items.jsonl", recording="answers.jsonl", plugins="{}", store="store")

    def given(spec: str, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*THEMIS, *command], cwd=tmp_path, input=spec, capture_output=True, text=True)

    done = given(text, "run", "-", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "store" / "themis.sqlite3").exists()
    assert "1 of them stored" in given(text, "plan", "-").stdout
    as_json = '{\n\t"benchmark_id": "b",\n\t"slices": 5\n}'
    assert given(as_json, "plan", "-").stderr.startswith("Error: standard input:3: slices: ")
    assert given("", "plan", "-").stderr.startswith("Error: standard input: the file is empty")
