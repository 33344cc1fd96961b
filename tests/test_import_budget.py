"""What commands and `import themis_core` may import: asserted on `sys.modules`, never on time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PLUGIN_PACKAGES = {path.parent.name for path in Path(__file__).parents[1].glob("plugins/*/src/*/plugin.py")}
EACH = [
    pytest.param(
        package,
        marks=pytest.mark.skipif(
            find_spec(package) is None, reason=f"NOT RUN: {package} is not installed here; `nox -s ray` tests Ray's"
        ),
    )
    for package in sorted(PLUGIN_PACKAGES)
]
QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart"
BENEATH = {
    *("costs", "display", "documents", "interrupts", "intervals", "lanes", "loose", "media", "output", "pacing"),
    *("plain", "sampling", "secrets", "templates", "wording"),
}
"""Libraries that the core itself uses."""
LIBRARIES = {"http", "numbers", "patterns", "rows", "sql", *BENEATH}
OURS = PLUGIN_PACKAGES | {f"themis_{name}" for name in LIBRARIES - BENEATH}

REPORT = """
import json, sys
print("\\n" + json.dumps(sorted(sys.modules)), file=sys.stderr)  # a command leaves standard output to itself
"""

COMMAND = """
import sys
from themis_core.cli import main
sys.argv = ["themis", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""

LOAD = """
from themis_core.plugins import Plugins
Plugins().load({namespace!r})
"""


def modules_after(code: str, folder: Path) -> set[str]:
    """Run the code in a new interpreter; return the names of all modules that it imported, with their packages."""
    done = subprocess.run([sys.executable, "-c", code + REPORT], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def packages_after(code: str, folder: Path) -> set[str]:
    return {name.partition(".")[0] for name in modules_after(code, folder)}


@pytest.mark.parametrize(
    ("code", "banned"),
    [
        pytest.param(
            "import themis_core",
            {"click", "httpx", "jinja2", "psycopg", "pydantic", "pyreqwest", "rich", "sqlalchemy", "yaml"},
            id="import themis_core",
        ),
        pytest.param(
            "import themis_core; themis_core.run, themis_core.BenchmarkSpec, themis_core.open_results",
            {"click", "httpx", "psycopg", "pyreqwest", "rich", "sqlalchemy"},
            id="its public names",
        ),
        pytest.param(
            COMMAND.format(arguments=["--help"]),
            {"httpx", "jinja2", "psycopg", "pydantic", "pyreqwest", "rich", "sqlalchemy", "yaml"},
            id="themis --help",
        ),
        pytest.param(
            COMMAND.format(arguments=["run", "--help"]),
            {"httpx", "psycopg", "pydantic", "pyreqwest", "sqlalchemy"},
            id="themis run --help",
        ),
    ],
)
def test_neither_plugins_nor_heavy_packages_are_imported_before_they_are_named(
    code: str, banned: set[str], tmp_path: Path
) -> None:
    assert packages_after(code, tmp_path) & (banned | OURS) == set()


def test_listing_the_plugins_imports_only_what_lists_them(tmp_path: Path) -> None:
    imported = packages_after(COMMAND.format(arguments=["plugins", "list"]), tmp_path)
    assert imported & OURS == {"themis_plugin_describe"}
    assert imported & {"datasets", "httpx", "psycopg", "pyreqwest", "sqlalchemy"} == set()


def test_a_run_in_a_new_store_imports_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    shutil.copytree(QUICKSTART, tmp_path / "quickstart")
    shutil.copy(QUICKSTART.with_suffix(".yaml"), tmp_path)
    modules = modules_after(COMMAND.format(arguments=["run", "quickstart.yaml"]), tmp_path)
    imported = {name.partition(".")[0] for name in modules}
    assert imported & {"jinja2", "sqlalchemy", "sqlite3", "themis_sql"} == {"sqlite3", "themis_sql"}
    assert "themis_workers" not in imported
    assert "email.policy" not in modules  # and its grammar, which all metadata would be read by
    assert modules & {"themis_pacing.breaker", "themis_pacing.pool"} == {"themis_pacing.breaker"}
    assert (tmp_path / ".themis" / "themis.sqlite3").exists()


@pytest.mark.parametrize("package", EACH)
def test_naming_a_plugin_imports_that_one_only(package: str, tmp_path: Path) -> None:
    namespace = package.removeprefix("themis_plugin_")
    assert packages_after(LOAD.format(namespace=namespace), tmp_path) & PLUGIN_PACKAGES == {package}


@pytest.mark.parametrize("package", EACH)
def test_reading_a_plugin_file_imports_its_own_package_only(package: str, tmp_path: Path) -> None:
    imported = modules_after(f"import {package}.plugin", tmp_path)
    own = {name for name in imported if name.partition(".")[0] == package}
    assert own == {package, f"{package}.plugin"}
    assert {name.partition(".")[0] for name in imported} & {
        *("click", "datasets", "httpx", "pyarrow", "pyreqwest", "regex", "rich", "sqlalchemy", "yaml")
    } == set()


def test_naming_an_extractor_of_choices_compiles_no_grammar(tmp_path: Path) -> None:
    loaded = LOAD.format(namespace="extract") + "Plugins().resolve('extractor', 'extract/choice')\n"
    looked = "import sys\nassert sys.modules['themis_plugin_extract.statements'].grammar.cache_info().currsize == 0"
    assert "themis_plugin_extract.statements" in modules_after(loaded + looked, tmp_path)
