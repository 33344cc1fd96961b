"""An edited loose engine is asked again, what it imports included, and a plan says so before anything is paid for."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

import themis_core as themis
from themis_core.cli import cli

ENGINE = '''
from pathlib import Path

from helping import words

from themis_core import Engine, Generation, hookimpl

CALLS = Path(__file__).with_name("calls")


class Local(Engine):
    """Counts its calls in a file."""

    async def generate(self, request):
        with CALLS.open("a") as file:
            file.write("x")
        return Generation("answered", text=words())


@hookimpl
def themis_register_engines(register):
    register("local", Local)
'''
HELPER = """
def words():
    return "one"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    # A name of its own: what is imported beside a file stays imported in this process.
    helper = f"helping_{tmp_path.name}"
    (tmp_path / "engine.py").write_text(ENGINE.replace("helping", helper))
    (tmp_path / f"{helper}.py").write_text(HELPER)
    (tmp_path / "stranger.py").write_text("x = 1\n")
    return tmp_path


def spec(plugin: Any = "engine.py", rows: int = 2, **changes: Any) -> dict[str, Any]:
    data = [{"id": str(number), "q": f"q{number}", "gold": "one"} for number in range(rows)]
    model = {"model_id": "m", "provider": "mine/local", "price": {"input_per_million": 1e6, "output_per_million": 0}}
    return {
        "project": {"plugins": {"mine": plugin}},
        "benchmark": {
            "benchmark_id": "edited",
            "models": [model],
            "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {"source": "files/inline", "extras": {"rows": data}, "fields": {"reference": "gold"}},
                    "generation": {},
                    "scores": [{"name": "exact", "metrics": ["text/exact_match"]}],
                }
            ],
            **changes,
        },
    }


def write(folder: Path, data: dict[str, Any]) -> Path:
    path = folder / "spec.json"
    path.write_text(json.dumps(data))
    return path


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text())


def append(name: str, text: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = next(folder.glob(name))
        path.write_text(path.read_text() + text)

    return edit


def new_neighbour(folder: Path) -> None:
    (folder / f"further_{folder.name}.py").write_text("y = 2\n")
    append("helping_*.py", f"\nfrom further_{folder.name} import y\n")(folder)


EDITS: list[tuple[str, Callable[[Path], None], int, list[str]]] = [
    ("its code", append("engine.py", "\nCALLS = CALLS\n"), 2, ["engine.py"]),
    ("a comment", append("engine.py", "\n# a word\n"), 2, ["engine.py"]),
    ("a neighbour", append("helping_*.py", "\nwords = lambda: 'two'\n"), 2, ["helping"]),
    ("a neighbour that a neighbour imports now", new_neighbour, 2, ["further", "helping"]),
    ("white space", append("engine.py", "\n\n"), 2, ["engine.py"]),
    ("a file that nobody imports", append("stranger.py", "y = 2\n"), 0, []),
    ("nothing", lambda folder: (folder / "engine.py").touch(), 0, []),
]


@pytest.mark.parametrize(("edit", "again", "files"), [each[1:] for each in EDITS], ids=[each[0] for each in EDITS])
def test_what_was_edited_is_asked_again_and_the_plan_says_so(
    folder: Path, edit: Callable[[Path], None], again: int, files: list[str]
) -> None:
    path = write(folder, spec())
    first = themis.run(path)
    edit(folder)
    report = themis.plan(path)
    assert report.to_call == again
    assert calls(folder) == 2  # a plan asks nothing
    assert [(row["component"], row["since"], row["calls"]) for row in report.edited] == (
        [("mine/local", first.run_id, 2)] if again else []
    )
    assert [[name.partition("_")[0] for name in row["files"]] for row in report.edited] == ([files] if again else [])
    result = themis.run(path)
    assert (result.generated, calls(folder)) == (again, 2 + again)
    assert themis.plan(path).edited == []  # it is paid for, so there is nothing to say


def test_an_edit_taken_back_finds_its_answers(folder: Path) -> None:
    path, engine = write(folder, spec()), folder / "engine.py"
    code = engine.read_text()
    themis.run(path)
    engine.write_text(code + "# edited\n")
    themis.run(path)
    engine.write_text(code)
    assert (themis.plan(path).to_call, themis.plan(path).edited) == (0, [])
    assert (themis.run(path).generated, calls(folder)) == (0, 4)


def test_with_identity_version_an_edit_costs_nothing(folder: Path) -> None:
    path = write(folder, spec({"path": "engine.py", "identity": "version"}))
    themis.run(path)
    append("engine.py", "\n# a word\n")(folder)
    append("helping_*.py", "\n# a word\n")(folder)
    assert (themis.plan(path).to_call, themis.plan(path).edited) == (0, [])
    assert (themis.run(path).generated, calls(folder)) == (0, 2)
    append("engine.py", "\nLocal.version = 2\n")(folder)
    assert themis.plan(path).to_call == 2


def test_what_the_plan_says_keeps_the_answers(folder: Path) -> None:
    path = write(folder, spec())
    before = themis.run(path)
    append("engine.py", "\n# a word\n")(folder)
    printed = CliRunner().invoke(cli, ["plan", str(path)]).stdout
    assert (
        f"mine/local: engine.py changed since run {before.run_id}, so 2 stored answers are asked again, for about"
        in " ".join(printed.split())
    )
    [row] = themis.plan(path).edited
    assert f"identity: {row['content']}" in printed
    write(folder, spec({"path": row["path"], "identity": row["content"]}))
    assert (themis.plan(path).to_call, themis.run(path).generated, calls(folder)) == (0, 0, 2)


def test_only_answers_that_are_stored_are_said_to_be_asked_again(folder: Path) -> None:
    path = write(folder, spec())
    themis.run(path)
    append("engine.py", "\n# a word\n")(folder)
    write(folder, spec(rows=5))
    report = themis.plan(path)
    [row] = report.edited
    [model] = report.per_model
    assert (report.to_call, row["calls"]) == (5, 2)
    assert row["cost"] == pytest.approx(model["cost"] * 2 / 5)


def test_the_same_in_python(folder: Path) -> None:
    benchmark = themis.BenchmarkSpec.model_validate(spec()["benchmark"])
    loose = themis.LoosePluginSpec(path="engine.py", identity="version")
    project = themis.ProjectSpec(plugins={"mine": loose})
    plain = {"plugins": {"mine": {"path": "engine.py", "identity": "version"}}}
    assert project == themis.ProjectSpec.model_validate(plain)
    assert themis.ProjectSpec.model_validate_json(project.model_dump_json()) == project
    themis.run(benchmark, project=project, base_dir=folder)
    append("engine.py", "\n# a word\n")(folder)
    assert themis.plan(benchmark, project=project, base_dir=folder).to_call == 0


@pytest.mark.parametrize("identity", ["Version", "", "file", "3f2a", "g" * 64])
def test_an_identity_that_is_none_is_refused(folder: Path, identity: str) -> None:
    with pytest.raises(ValidationError):
        themis.LoosePluginSpec(path="engine.py", identity=identity)
    with pytest.raises(themis.SpecError, match="identity"):
        themis.plan(write(folder, spec({"path": "engine.py", "identity": identity})))


def test_a_run_says_so_before_it_pays_and_says_it_once(folder: Path) -> None:
    seen: list[tuple[str, int]] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((record.getMessage(), calls(folder)))

    noting, log = Noting(), logging.getLogger("themis")
    log.addHandler(noting)
    try:
        path = write(folder, spec())
        before = themis.run(path)
        assert seen == []
        append("engine.py", "\n# a word\n")(folder)
        for _ in range(2):
            themis.run(path)
    finally:
        log.removeHandler(noting)
    [(told, paid)] = seen
    assert told.startswith(
        f"mine/local: engine.py changed since run {before.run_id}, so 2 stored answers are asked again"
    )
    assert (paid, calls(folder)) == (2, 4)


def test_a_run_that_keeps_its_answers_says_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(folder, spec({"path": "engine.py", "identity": "version"}))
    themis.run(path)
    append("engine.py", "\n# a word\n")(folder)
    themis.run(path)
    assert caplog.messages == []


def test_a_quiet_run_shows_the_warning_and_no_progress(folder: Path) -> None:
    path = write(folder, spec())
    themis.run(path)
    append("engine.py", "\nimport logging\nlogging.getLogger('a library').warning('hm')\n")(folder)
    done = subprocess.run(
        [sys.executable, "-m", "themis_core", "run", str(path), "--quiet"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("mine/local: engine.py changed since run ")
    assert len(done.stderr.splitlines()) == 1
