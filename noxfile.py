"""The whole check: `nox` runs every default session, `nox -s tests` one of them, `nox -s bench` measures.

Not a second environment manager: the sessions share the project's own uv environment and add the dependency
group that they need. Only the other Python versions, and the built wheels, get environments of their own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "none"
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).parent
FAULTS = ("tests/chaos", "tests/network")
IN_FULL = (*FAULTS, "plugins/postgres/tests/test_postgres_compliance.py")
"""What has a short form as well."""
RAY = ("tests/ray", "plugins/ray")
PARALLEL = (
    "-n",
    "auto",
    "--ignore=tests/wheels",
    "--ignore=tests/browser",
    *(f"--ignore={folder}" for folder in RAY),
    *(f"--ignore={folder}" for folder in FAULTS),
)
NO_LIMIT = ("-o", "faulthandler_timeout=0")
"""Of a single test's time, where one may take longer than ten minutes."""
NOT_OF_PINS = (
    "--deselect",
    "tests/test_workspace.py::test_every_package_that_is_named_is_pinned_to_what_was_tested_and_no_host_is_named",
)
"""Where nothing is pinned, there is nothing to say of the pins."""
OTHER_TOOLS = (
    "inspect-ai==0.3.285",
    *("jinja2", "jsonschema>=4.26,<5", "numpy", "pandas", "pydantic>=2.12.5,<3", "pytablewriter", "pyyaml", "requests"),
)
"""What `other_tools` installs whole: Inspect, and what the readers of the others import."""
BYTECODE = {"PYTHONDONTWRITEBYTECODE": None, "PYTHONPYCACHEPREFIX": str(ROOT / ".nox" / "bytecode")}
"""Where a machine keeps no bytecode, each of the thousand commands that tests start would compile all it imports."""
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VERSIONS = ("3.11", "3.12", "3.13")
PINS = re.compile(r"# <pins>.*?# </pins>\n", re.DOTALL)
"""In pyproject.toml: names and versions, no hosts. `uv.lock` names hosts, so it stays out of git."""


@nox.session
def lint(session: nox.Session) -> None:
    """Style and likely bugs."""
    uv_run(session, "lint", "ruff", "check")
    uv_run(session, "lint", "ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Strict types of the core and of each plugin."""
    uv_run(session, "types", "mypy")


@nox.session
def layers(session: nox.Session) -> None:
    """Who may import whom. All plugins are read, and those that need much are not installed for that."""
    sources = os.pathsep.join(map(str, sorted(ROOT.glob("plugins/*/src"))))
    uv_run(session, "lint", "lint-imports", env={"PYTHONPATH": sources})


@nox.session
def tests(session: nox.Session) -> None:
    """All tests. Arguments after `--` go to pytest."""
    if session.posargs:
        uv_run(session, "tests", "pytest", *session.posargs)
        return
    uv_run(session, "tests", "pytest", *PARALLEL)
    # One after another: a slow process would be one more fault than they mean to cause.
    uv_run(session, "tests", "pytest", *FAULTS)


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Which lines and branches the tests reach, those of faults left out; it doubles their time."""
    uv_run(session, "tests", "pytest", *PARALLEL, "--cov", "--cov-report=term", *session.posargs)


@nox.session(default=False)
def other_python(session: nox.Session) -> None:
    """All tests but those of faults on the Python furthest from this one, if the machine has it."""
    test_on(session, max(VERSIONS, key=lambda version: abs(minor(version) - sys.version_info.minor)))


@nox.session(default=False)
@nox.parametrize("version", VERSIONS)
def every_python(session: nox.Session, version: str) -> None:
    """The same on each supported Python that the machine has."""
    test_on(session, version)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, with warnings as errors."""
    uv_run(session, "docs", "sphinx-build", "-W", "--keep-going", "-q", "docs", "docs/_build/html")


@nox.session
def wheels(session: nox.Session) -> None:
    """Build every distribution, and use the wheels in clean environments without the workspace."""
    folder = ROOT / ".nox" / "wheels"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("uv", "build", "--all-packages", "--wheel", "-q", "--out-dir", str(folder), external=True)
    uv_run(session, "tests", "pytest", "tests/wheels", *session.posargs, env={"THEMIS_WHEELS": str(folder)})


@nox.session
def other_tools(session: nox.Session) -> None:
    """Let the tools that exports are for read them, in an environment of their own: `THEMIS_OTHER_TOOLS` names it."""
    folder = ROOT / ".nox" / "other-tools"
    python = str(folder / "bin" / "python")
    session.run("uv", "venv", "-q", "--clear", "--python", sys.executable, str(folder), external=True)
    install = ("uv", "pip", "install", "-q", "--no-config", "--python", python)  # pins are for the project alone
    session.run(*install, *OTHER_TOOLS, external=True)
    # Of these, only what reads results is used: what runs models would bring hundreds of packages more. The last one
    # says that it needs Python 3.12, and what is used of it doesn't.
    session.run(*install, "--no-deps", "lm-eval==0.4.13", "evals==3.0.1.post1", external=True)
    target = ("--no-deps", "--python-version", "3.12", "--target", str(folder / "every-eval-ever"))
    session.run(*install, *target, "every-eval-ever==0.3.0", external=True)
    tests = session.posargs or ("plugins/interop",)
    uv_run(session, "tests", "pytest", "-n", "0", *tests, env={"THEMIS_OTHER_TOOLS": python})


@nox.session
def browser(session: nox.Session) -> None:
    """Pages in a headless Chromium of this machine: click, search, filter, print, attack."""
    if not any(map(shutil.which, CHROMIUMS)) and not os.environ.get("THEMIS_CHROMIUM"):
        told = "NOT RUN: no Chromium on this machine, so no page was tested. Debian: apt-get install chromium"
        session.warn(told)
        session.skip(told)
    uv_run(session, "browser", "pytest", "tests/browser", *session.posargs)


@nox.session
def ray(session: nox.Session) -> None:
    """Runs by workers on a real Ray cluster of two nodes on this machine, whose actors and nodes are killed."""
    need_ray(session)
    uv_run(session, "ray", "pytest", "-n", "0", *(session.posargs or (*RAY, "tests/test_import_budget.py")))


@nox.session(default=False)
def ray_chaos(session: nox.Session) -> None:
    """The same with more kills."""
    need_ray(session)
    uv_run(session, "ray", "pytest", "-n", "0", *NO_LIMIT, *(session.posargs or RAY), env={"THEMIS_CHAOS": "full"})


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure speed, memory and size, as ratios to bare loops."""
    uv_run(session, "bench", "python", "-m", "benchmarks", *session.posargs)


@nox.session(default=False)
def chaos(session: nox.Session) -> None:
    """Kill, starve and lie to runs, with the counts of docs/reliability.md; `tests` does so with small ones."""
    uv_run(session, "tests", "pytest", *NO_LIMIT, *(session.posargs or IN_FULL), env={"THEMIS_CHAOS": "full"})


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Run or refuse 3,000 mutated specs, and read 2,000 mutated replies; `tests` does so with few."""
    uv_run(session, "tests", "pytest", *NO_LIMIT, *(session.posargs or ("tests/fuzz",)), env={"THEMIS_FUZZ": "full"})


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Replay 100,000 trials, and watch memory and file descriptors."""
    test = "tests/chaos/test_chaos_soak.py"
    uv_run(session, "tests", "pytest", *NO_LIMIT, test, *session.posargs, env={"THEMIS_SOAK": "100000"})


@nox.session(default=False)
def calibration(session: nox.Session) -> None:
    """Simulate how often the corrected scores of judges cover the truth; fails outside 93 to 97 %."""
    uv_run(session, "bench", "python", "-m", "benchmarks.simulations.judge_calibration")


@nox.session(default=False)
def coverage_of_intervals(session: nox.Session) -> None:
    """Simulate how often the intervals of results cover the truth; fails outside 93 to 97 % for continuous scores."""
    uv_run(session, "bench", "python", "-m", "benchmarks.simulations.interval_coverage")


@nox.session(default=False)
def comparisons(session: nox.Session) -> None:
    """Simulate how often `compare` finds a difference where there is none; fails above 5.5 %, or if power is not as
    predicted."""
    uv_run(session, "bench", "python", "-m", "benchmarks.simulations.comparisons")


@nox.session(default=False)
def newest(session: nox.Session) -> None:
    """All tests but those of faults with the newest versions that the bounds allow, and not those that are pinned."""
    test_unpinned(session, "highest")


@nox.session(default=False)
def lowest(session: nox.Session) -> None:
    """The same with the lowest versions of what the packages name themselves."""
    test_unpinned(session, "lowest-direct")


@nox.session(default=False)
def pins(session: nox.Session) -> None:
    """Write the versions with which `newest` has passed into pyproject.toml: what a clone gets from then on."""
    copy = ROOT / ".nox" / "highest"
    if not (copy / "passed").exists():
        session.error("run `nox -s newest` first: only what passed the tests is pinned")
    export = ("uv", "export", "-q", "--frozen", "--no-hashes", "--no-emit-workspace", "--no-header", "--no-annotate")
    everything = ("--all-packages", "--all-extras", "--all-groups", "--format", "requirements.txt")
    used = str(session.run(*export, *everything, "--project", str(copy), external=True, silent=True))
    compiled = ("uv", "pip", "compile", "-q", "--universal", "--no-config", "--no-header", "--no-annotate")
    (copy / "build.in").write_text("hatchling>=1.27,<2\neditables\n")
    build = str(session.run(*compiled, str(copy / "build.in"), external=True, silent=True))
    file = ROOT / "pyproject.toml"
    unpinned = PINS.sub("", file.read_text(encoding="utf-8"))
    head, _, tail = unpinned.partition("[tool.uv]\n")
    file.write_text(f"{head}[tool.uv]\n{pins_of(used, build)}{tail}", encoding="utf-8")


def pins_of(used: str, build: str) -> str:
    """The block of pyproject.toml that says which versions were tested."""
    lists = {"constraint-dependencies": used, "build-constraint-dependencies": build}
    text = "# <pins> The versions that were tested, written by `nox -s pins`.\n"
    for name, lines in lists.items():
        listed = "".join(f"    {json.dumps(line)},\n" for line in lines.splitlines() if "==" in line)
        text += f"{name} = [\n{listed}]\n"
    return f"{text}# </pins>\n"


def test_unpinned(session: nox.Session, resolution: str) -> None:
    """Test a copy of the project that pins nothing, in an environment of its own."""
    copy = ROOT / ".nox" / resolution
    shutil.rmtree(copy, ignore_errors=True)
    listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    file = copy / "pyproject.toml"
    file.write_text(PINS.sub("", file.read_text(encoding="utf-8")), encoding="utf-8")
    shared = os.environ.get("THEMIS_SHARED_DATA") or str(ROOT.parent / "shared" / "data")
    env = {"THEMIS_SHARED_DATA": shared, "VIRTUAL_ENV": None, "UV_PROJECT_ENVIRONMENT": None}
    session.chdir(copy)
    session.run("uv", "lock", "--resolution", resolution, env=env, external=True)
    command = ("uv", "run", "--frozen", "--group", "tests", "pytest", *(session.posargs or PARALLEL), *NOT_OF_PINS)
    session.run(*command, env=env, external=True)
    (copy / "passed").touch()


def uv_run(session: nox.Session, group: str, *command: str, env: Mapping[str, str] | None = None) -> None:
    """Run a command in the project's environment, with a dependency group added to what is there."""
    session.run("uv", "run", "--group", group, *command, env={**BYTECODE, **(env or {})}, external=True)


def need_ray(session: nox.Session) -> None:
    """Skip the session, loudly, where there is no wheel of Ray; any other mistake of the installation is one."""
    install = ("uv", "sync", "-q", "--inexact", "--group", "ray")
    found = subprocess.run(install, cwd=ROOT, capture_output=True, text=True)
    said = " ".join(found.stderr.split())
    if found.returncode and re.search(r"\bray\b.*(has no wheels|wheel for the current platform)", said):
        told = "NOT RUN: Ray has no wheel for this Python and machine, so nothing of workers on Ray was tested."
        session.warn(told)
        session.skip(told)
    if found.returncode:
        session.error(f"the group `ray` can't be installed: {said}")


def test_on(session: nox.Session, version: str) -> None:
    """Run the tests in an environment of its own on another Python version."""
    python = find_python(version)
    if python is None:
        session.warn(f"NOT RUN: no Python {version} on this machine; the tests were not run on it.")
        session.skip(f"NOT RUN: no Python {version} on this machine")
    environment = str(ROOT / ".nox" / f"python-{version}")
    arguments = session.posargs or PARALLEL
    session.run(
        *("uv", "run", "--python", python, "--no-default-groups", "--extra", "standard", "--group", "tests"),
        *("pytest", *arguments),
        env={"UV_PROJECT_ENVIRONMENT": environment, "VIRTUAL_ENV": None},
        external=True,
    )


def minor(version: str) -> int:
    return int(version.split(".")[1])


def find_python(version: str) -> str | None:
    """Return a Python of this version that starts, or None.

    A pyenv shim can be on the path for a version that is not active, and then fails, for uv too; so what
    pyenv installed is tried as well.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    on_path = shutil.which(f"python{version}")
    find = ("uv", "python", "find", "--no-project", "--no-python-downloads", version)
    managed = subprocess.run(find, capture_output=True, text=True).stdout.strip()
    for candidate in (on_path, managed, *map(str, pyenv.glob(f"{version}.*/bin/python"))):
        if candidate and subprocess.run([candidate, "--version"], capture_output=True).returncode == 0:
            return candidate
    return None
