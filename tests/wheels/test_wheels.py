"""What users get from an index: built wheels in clean environments, without the workspace.

`nox -s wheels` builds the wheels, names their folder in THEMIS_WHEELS, and runs this module; the other sessions leave
it out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PLUGINS = sorted(path.parent.name for path in HERE.parents[1].glob("plugins/*/pyproject.toml"))
LIBRARIES = sorted(
    [
        "blobs",
        "costs",
        "display",
        "documents",
        "http",
        "interrupts",
        "intervals",
        "labels",
        "lanes",
        "loose",
        "media",
        "numbers",
        "output",
        "pacing",
        "patterns",
        "plain",
        "rows",
        "sampling",
        "secrets",
        "sql",
        "templates",
        "wording",
        "workers",
    ]
)
BESIDE = ["pytest"]
"""A plugin of another program: Themis finds no entry point of it."""
NAMESPACE_OF = {"http_json": "http"}
"""Where a plugin's folder has another name, as that of its namespace is a library's."""
ENTRY_POINTS = sorted(NAMESPACE_OF.get(name, name) for name in PLUGINS if name not in LIBRARIES and name not in BESIDE)

SPEC = """\
project:
  storage: {backend: sqlite, root_dir: store}
benchmark:
  benchmark_id: strangers
  slices:
    - slice_id: carried
      dataset:
        source: files/inline
        fields: {id: id, reference: gold, output: said}
        extras:
          rows:
            - {id: whole, gold: lemon, said: "It is a lemon."}
            - {id: part, gold: lime, said: "Surely a line"}
            - {id: none, gold: pear, said: "An apple!"}
            - {id: unread, gold: fig, said: "..."}
      parses:
        - {name: word, extractors: [stranger/last_word]}
      scores:
        - {name: likeness, parse: word, metrics: [METRIC]}
"""

PROBE = """\
import importlib, pkgutil, sys
from importlib.metadata import entry_points

package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if module.name.startswith(("themis_core.testing", "themis_blobs.buckets", "themis_blobs.file_systems")):
        continue  # needs an extra
    importlib.import_module(module.name)
loaded = {point.name: point.load().__name__ for point in entry_points(group="themis")}
print(__import__("json").dumps({"file": package.__file__, "entry_points": loaded}))
"""

MANIFEST = """\
import json, sys
import themis_core

with themis_core.open_results("spec.yaml") as results:
    print(json.dumps(results.run(sys.argv[1]).manifest))
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and the folder that its commands are run in."""

    prefix: Path
    folder: Path

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.prefix / "bin" / program), *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=clean_environ(), capture_output=True, text=True, timeout=120
        )

    def json(self, program: str, *arguments: str) -> Any:
        done = self.run(program, *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def spec(self, metric: str) -> str:
        (self.folder / "spec.yaml").write_text(SPEC.replace("METRIC", metric), encoding="utf-8")
        return "spec.yaml"


def clean_environ() -> dict[str, str]:
    """The environment without what would lead back to the workspace, or measure its coverage."""
    strange = ("PYTHON", "COV", "VIRTUAL_ENV", "THEMIS_", "UV_PROJECT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    return {**kept, "COLUMNS": "200", "NO_COLOR": "1"}


def uv(*arguments: str | Path, cwd: Path) -> None:
    command = [os.environ.get("UV") or shutil.which("uv") or "uv", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=clean_environ(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"


def make_environment(folder: Path, links: Path, *requirements: str) -> Environment:
    """Install into a new environment; whatever the wheels in `links` can give is taken from there and nowhere else."""
    folder.mkdir(parents=True, exist_ok=True)
    pins = [f"{wheel_name(path)} @ {path.as_uri()}" for path in sorted(links.glob("*.whl"))]
    (folder / "pins.txt").write_text("\n".join([*pins, *pinned_versions()]), encoding="utf-8")
    prefix = folder / "venv"
    uv("venv", "-q", "--no-config", "--python", sys.executable, prefix, cwd=folder)
    python = prefix / "bin" / "python"
    options: list[str | Path] = ["--no-config", "--python", python, "--find-links", links, "--constraint", "pins.txt"]
    uv("pip", "install", "-q", *options, *requirements, cwd=folder)
    return Environment(prefix, folder)


def pinned_versions() -> list[str]:
    """What the workspace pins, so that a new release of another package fails no test; `nox -s newest` is for those."""
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    return [str(each) for each in project["tool"]["uv"]["constraint-dependencies"]]


def wheel_name(path: Path) -> str:
    return path.name.split("-")[0].replace("_", "-")


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of the workspace, and of two plugins that are no part of it."""
    given = os.environ.get("THEMIS_WHEELS")
    if not given:
        pytest.fail("THEMIS_WHEELS is not set: run `nox -s wheels`, which builds the wheels and names their folder")
    folder = tmp_path_factory.mktemp("wheels")
    for wheel in Path(given).glob("*.whl"):
        shutil.copy(wheel, folder)
    for name in ("stranger", "broken"):
        source = shutil.copytree(HERE / name, tmp_path_factory.mktemp("sources") / name)
        uv("build", "-q", "--no-config", "--wheel", "--out-dir", folder, source, cwd=source)
    return folder


@pytest.fixture(scope="module")
def strangers(links: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Core, some first-party plugins, the stranger's and the broken one."""
    wanted = ("describe", "files", "show", "sqlite", "stranger", "broken")
    return make_environment(tmp_path_factory.mktemp("strangers"), links, *(f"themis-plugin-{name}" for name in wanted))


def test_each_distribution_of_the_workspace_has_a_wheel(links: Path) -> None:
    expected = {
        "themis-core",
        *(f"themis-{name}" for name in LIBRARIES),
        *(f"themis-plugin-{name}" for name in (*ENTRY_POINTS, *BESIDE, "stranger", "broken")),
    }
    assert {wheel_name(path) for path in links.glob("*.whl")} == expected


def test_the_core_alone_installs_and_imports(links: Path, tmp_path: Path) -> None:
    alone = make_environment(tmp_path, links, "themis-core")
    found = alone.json("python", "-c", PROBE, "themis_core")
    assert Path(found["file"]).is_relative_to(alone.prefix)
    assert found["entry_points"] == {}
    assert alone.run("themis", "--help").returncode == 0
    for command, plugin in {"storage": "storage", "plugins": "describe", "runs": "show", "compare": "stats"}.items():
        order = alone.run("themis", command)
        assert (order.returncode, f"To install it: pip install themis-plugin-{plugin}" in order.stderr) == (2, True)
    missing = alone.run("themis", "run", alone.spec("stranger/shared_prefix"))
    assert missing.returncode == 2
    assert "plugin 'sqlite' is not installed. No plugin is installed." in missing.stderr
    assert "pip install themis-plugin-sqlite" in missing.stderr


@pytest.mark.parametrize("name", PLUGINS)
def test_the_core_with_a_single_plugin_installs_and_imports(name: str, links: Path, tmp_path: Path) -> None:
    distribution, module = f"themis-{name}", f"themis_{name}"
    entry_points = {}
    if name not in LIBRARIES:
        name = NAMESPACE_OF.get(name, name)
        distribution, module = f"themis-plugin-{name}", f"themis_plugin_{name}"
        entry_points = {} if name in BESIDE else {name: f"{module}.plugin"}
    environment = make_environment(tmp_path, links, distribution, *(["themis-plugin-describe"] if entry_points else []))
    entry_points |= {"describe": "themis_plugin_describe.plugin"} if entry_points else {}
    found = environment.json("python", "-W", "error", "-c", PROBE, module)
    assert Path(found["file"]).is_relative_to(environment.prefix)
    assert found["entry_points"] == entry_points
    if name in entry_points:
        shown = environment.run("themis", "plugins", "show", name)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert distribution in shown.stdout


def test_a_strangers_plugin_is_found_beside_a_broken_one(strangers: Environment) -> None:
    listed = strangers.run("themis", "plugins", "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    for name, version in {"stranger": "2.5.1", "broken": "0.0.7", "files": "0.2.0", "sqlite": "0.2.0"}.items():
        row = next(line for line in listed.stdout.splitlines() if f"themis-plugin-{name}" in line)
        assert version in row
    shown = strangers.run("themis", "plugins", "show", "stranger")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "last_word" in shown.stdout
    assert "shared_prefix" in shown.stdout


def test_a_strangers_plugin_scores_a_run_and_is_in_its_manifest(strangers: Environment, links: Path) -> None:
    result = strangers.json("themis", "run", strangers.spec("stranger/shared_prefix"), "--format", "json")
    assert (result["status"], result["trials"], result["generated"], result["failed"]) == ("completed", 4, 0, 0)
    row = only(result["scores"])
    named = {key: row[key] for key in ("slice_id", "score", "metric", "n")}
    assert named == {"slice_id": "carried", "score": "likeness", "metric": "stranger/shared_prefix", "n": 4}
    # lemon 5/5, lime and line 2/4 (l-i), pear and apple 0/4, unread: the worst value
    assert row["value"] == pytest.approx((1 + 2 / 4 + 0 + 0) / 4)

    manifest = strangers.json("python", "-c", MANIFEST, result["run_id"])
    plugins = {each["namespace"]: each for each in manifest["plugins"]}
    assert sorted(plugins) == ["files", "sqlite", "stranger"]
    stranger = plugins["stranger"]
    origin = stranger.pop("origin")
    assert stranger == {
        "namespace": "stranger",
        "distribution": "themis-plugin-stranger",
        "version": "2.5.1",
        "entry_point": "themis_plugin_stranger.plugin",
    }
    assert origin["url"] == only(list(links.glob("themis_plugin_stranger-*.whl"))).as_uri()


def test_a_broken_plugin_is_the_errors_subject_once_it_is_named(strangers: Environment) -> None:
    failed = strangers.run("themis", "run", strangers.spec("broken/anything"))
    assert failed.returncode == 3
    assert "plugin 'broken' (themis-plugin-broken 0.0.7) failed at import: OSError: libstranger.so.1" in failed.stderr
    assert failed.stdout == ""
    shown = strangers.run("themis", "plugins", "show", "broken")
    assert shown.returncode == 3
    assert 'raise OSError("libstranger.so.1: cannot open shared object file")' in shown.stderr


def only(values: list[Any]) -> Any:
    assert len(values) == 1, values
    return values[0]
