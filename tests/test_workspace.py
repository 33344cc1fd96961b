"""The lists that must name every distribution of the workspace do, and the public surface is what it says."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import themis_core
from themis_core.discovery import BROUGHT_BY

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
TOOL = PROJECT["tool"]
FOLDERS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
BENEATH = [
    f"themis_{name}"
    for name in (
        *("costs", "display", "documents", "interrupts", "intervals", "lanes", "loose", "media", "output", "pacing"),
        *("plain", "sampling", "secrets", "templates", "wording", "workers"),
    )
]
"""Libraries that the core needs; they know nothing of it."""
UPON_OTHERS = ["themis_costs", "themis_display", "themis_media"]
"""Of these, what uses others of them."""
NAMESPACE_OF = {"http_json": "http"}
"""Where a plugin's folder has another name, as that of its namespace is a library's."""
LIBRARIES = sorted(
    [
        *("themis_blobs", "themis_http", "themis_labels", "themis_numbers", "themis_patterns", "themis_rows"),
        *("themis_sql", *BENEATH),
    ]
)
NAMESPACES = sorted(
    NAMESPACE_OF.get(folder.name, folder.name) for folder in FOLDERS if f"themis_{folder.name}" not in LIBRARIES
)
BESIDE = ["pytest"]
"""Of these, what is no plugin of Themis but of another program, and is installed by who wants it there."""
APART = ["bedrock", "ray"]
"""Those that an extra of their own installs, as they bring much that few need."""
PACKAGES = sorted([*(f"themis_plugin_{name}" for name in NAMESPACES), *LIBRARIES])
DISTRIBUTIONS = sorted(name.replace("_", "-") for name in PACKAGES)


def contract(begin: str) -> dict[str, Any]:
    (found,) = (each for each in TOOL["importlinter"]["contracts"] if each["name"].startswith(begin))
    return dict(found)


def layers(begin: str) -> list[list[str]]:
    return [[name.strip() for name in layer.split("|")] for layer in contract(begin)["layers"]]


def names(requirements: list[str]) -> list[str]:
    return [requirement.partition(">")[0].partition("[")[0] for requirement in requirements]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        pytest.param(TOOL["importlinter"]["root_packages"], ["themis_core", *PACKAGES], id="import-linter's roots"),
        pytest.param(
            contract("The core knows no plugin")["forbidden_modules"],
            [name for name in PACKAGES if name not in BENEATH],
            id="unknown to the core",
        ),
        pytest.param(contract("Plugins use the public")["source_modules"], PACKAGES, id="users of the public API"),
        pytest.param(
            layers("Plugins do not know each other"),
            [
                [f"themis_plugin_{name}" for name in NAMESPACES],
                ["themis_http", "themis_labels", "themis_rows", "themis_sql"],
                ["themis_blobs"],
                ["themis_core"],
                UPON_OTHERS,
                sorted(["themis_numbers", "themis_patterns", *(name for name in BENEATH if name not in UPON_OTHERS)]),
            ],
            id="plugins apart",
        ),
        pytest.param(TOOL["coverage"]["run"]["source_pkgs"], ["themis_core", *PACKAGES], id="coverage"),
        pytest.param(sorted(TOOL["uv"]["sources"]), sorted(["themis-core", *DISTRIBUTIONS]), id="uv's sources"),
        pytest.param(
            names(PROJECT["project"]["optional-dependencies"]["standard"]),
            [f"themis-plugin-{name}" for name in NAMESPACES if name not in (*BESIDE, *APART)],
            id="the standard extra",
        ),
        *(
            pytest.param(
                names(PROJECT["project"]["optional-dependencies"][name]),
                [f"themis-plugin-{name}"],
                id=f"the extra {name}",
            )
            for name in APART
        ),
    ],
)
def test_a_list_names_every_distribution_of_the_workspace(listed: list[str], expected: list[str]) -> None:
    assert listed == expected


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_plugin_folder_holds_the_distribution_and_entry_point_of_its_name(folder: Path) -> None:
    own = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    name = NAMESPACE_OF.get(folder.name, folder.name)
    if f"themis_{folder.name}" in LIBRARIES:
        assert (own["name"], own.get("entry-points", {})) == (f"themis-{name}", {})
    elif name in BESIDE:
        assert own["name"] == f"themis-plugin-{name}"
        assert own["entry-points"] == {"pytest11": {"themis": f"themis_plugin_{name}.fixtures"}}
    else:
        assert own["name"] == f"themis-plugin-{name}"
        points = dict(own["entry-points"])
        brought = {**points.pop("themis.commands", {}), **points.pop("themis.outputs", {})}
        assert points == {"themis": {name: f"themis_plugin_{name}.plugin"}}
        assert all(each.startswith(f"themis_plugin_{name}.") for each in brought.values())
    package = "themis_" + own["name"].removeprefix("themis-").replace("-", "_")
    assert [each.name for each in (folder / "src").iterdir() if (each / "__init__.py").exists()] == [package]
    assert (folder / "src" / package / "py.typed").exists()


def test_the_core_says_which_plugin_brings_a_command_that_is_missing() -> None:
    brought = {}
    for folder in FOLDERS:
        points = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"].get("entry-points", {})
        brought |= dict.fromkeys(points.get("themis.commands", {}), folder.name)
    assert brought == BROUGHT_BY


def test_every_room_of_the_core_is_in_a_layer() -> None:
    rooms = {path.stem for path in (ROOT / "themis_core").iterdir() if path.is_dir() or path.suffix == ".py"}
    listed = {room for layer in layers("The rooms of the core") for room in layer}
    assert rooms - {"__init__", "__pycache__"} <= listed


def test_the_public_names_are_sorted_and_each_can_be_imported() -> None:
    assert themis_core.__all__ == sorted(set(themis_core.__all__))
    assert [name for name in themis_core.__all__ if not hasattr(themis_core, name)] == []
    assert set(themis_core.__all__) <= set(dir(themis_core))


def test_type_checkers_are_told_of_every_public_name_and_its_room_lists_it() -> None:
    tree = ast.parse((ROOT / "themis_core" / "__init__.py").read_text("utf-8"))
    (block,) = (each for each in tree.body if isinstance(each, ast.If))
    told = [each for each in block.body if isinstance(each, ast.ImportFrom) and each.module != "typing"]
    assert {f"{each.module}.{name.name}" for each in told for name in each.names if name.name == name.asname} == {
        f"themis_core.{room}.{name}"
        for room, names in themis_core._ROOMS.items()
        for name in names
        if name in importlib.import_module(f"themis_core.{room}").__all__
    }
    assert sum(len(each.names) for each in told) == len(themis_core.__all__)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'themis_core' has no attribute 'evaluate'"):
        _ = themis_core.evaluate


def test_no_room_takes_the_place_of_a_public_function_of_its_name() -> None:
    # Importing a submodule sets it as an attribute of its package, over a function of the same name.
    code = (
        "import themis_core.session, themis_core.planning, themis_core.execution, themis_core.results, themis_core\n"
        "functions = [themis_core.run, themis_core.run_async, themis_core.plan, themis_core.open_results]\n"
        "assert all(map(callable, functions)), functions"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_package_that_is_named_is_pinned_to_what_was_tested_and_no_host_is_named() -> None:
    pins = [*TOOL["uv"]["constraint-dependencies"], *TOOL["uv"]["build-constraint-dependencies"]]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[0-9][\w.+!]*( ; [\w\s.<>=!'()*]+)?", each) for each in pins)
    pinned = {each.partition("==")[0] for each in pins}
    files = [PROJECT, *(tomllib.loads((folder / "pyproject.toml").read_text("utf-8")) for folder in FOLDERS)]
    wanted = set()
    for each in files:
        extras = each["project"].get("optional-dependencies", {}).values()
        groups = each.get("dependency-groups", {}).values()
        requirements = [*each["build-system"]["requires"], *each["project"].get("dependencies", [])]
        for listed in (*extras, *groups):
            requirements += [one for one in listed if isinstance(one, str)]
        wanted |= {re.match(r"[\w.-]+", one)[0].lower() for one in requirements}  # type: ignore[index]
    own = {"themis-core", *DISTRIBUTIONS}
    assert wanted - own - pinned == set()
