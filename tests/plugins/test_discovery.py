"""What is found in `site-packages`, however broken it is: leftovers harm nobody."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import themis_core
from themis_core import SpecError
from themis_core.plugins import Plugins, discover

THEMIS = [sys.executable, "-c", "from themis_core.cli import main; main()"]
POINTS = "[themis]\nleft = left_over\n"


def a_leftover(folder: Path, name: str, **files: str | bytes) -> Path:
    info = folder / name
    info.mkdir(parents=True)
    for each, content in files.items():
        file = info / (each if each != "points" else "entry_points.txt")
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return info


LEFTOVERS: dict[str, Callable[[Path], Path]] = {
    "without METADATA": lambda site: a_leftover(site, "left-1.0.dist-info", points=POINTS),
    "empty METADATA": lambda site: a_leftover(site, "left-1.0.dist-info", points=POINTS, METADATA=""),
    "no version": lambda site: a_leftover(site, "left-1.0.dist-info", points=POINTS, METADATA="Name: left\n"),
    "no name": lambda site: a_leftover(site, "left-1.0.dist-info", points=POINTS, METADATA="Version: 1.0\n"),
    "not UTF-8": lambda site: a_leftover(site, "left-1.0.dist-info", points=b"[themis]\nl\xff = left\n"),
    "entry points of nonsense": lambda site: a_leftover(site, "left-1.0.dist-info", points="[themis\nx\n= \n"),
    "a removal that was cut off": lambda site: a_leftover(site, "~eft-1.0.dist-info", points=POINTS),
    "a folder of that name": lambda site: a_leftover(site, "left-1.0.dist-info/entry_points.txt"),
    "the core's own, of an older version": lambda site: a_leftover(site, "themis_core-0.1.dist-info"),
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_a_leftover_harms_no_command_and_is_a_line_of_the_list(site: Path, leftover: str) -> None:
    names = set(discover()[0])
    path = LEFTOVERS[leftover](site)
    found, unreadable = discover()
    assert set(found) - {"x"} == names
    assert themis_core.__version__ == "0.2.0"
    done = subprocess.run([*THEMIS, "plugins", "list", "--format", "json"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert {each["namespace"] for each in told["plugins"]} - {"x"} == names
    assert [each["path"] for each in told["unreadable"]] == [each.path for each in unreadable]
    assert all(each.path.startswith(str(site)) for each in unreadable)
    if path.name == "left-1.0.dist-info" and "nonsense" not in leftover:
        assert unreadable
        listed = subprocess.run([*THEMIS, "plugins", "list"], capture_output=True, text=True)
        assert listed.stderr.startswith("can't be read, and harms no other: ")
    version = subprocess.run([*THEMIS, "--version"], capture_output=True, text=True)
    assert version.stdout == "themis, version 0.2.0\n"


def test_of_two_distributions_of_one_name_the_first_on_the_path_counts(site: Path) -> None:
    for folder, version in ((site, "2.0"), (site / "later", "1.0")):
        metadata = f"Metadata-Version: 2.1\nName: themis-plugin-poems\nVersion: {version}\n"
        a_leftover(
            folder, f"themis_plugin_poems-{version}.dist-info", points="[themis]\npoems = x\n", METADATA=metadata
        )
    sys.path.append(str(site / "later"))
    try:
        assert [each.version for each in discover()[0]["poems"]] == ["2.0"]
    finally:
        sys.path.remove(str(site / "later"))


@pytest.mark.parametrize("namespace", ["opneai", "torch", "x", "mistral", "plugin-openai", "text2"])
def test_no_strangers_package_is_named_for_what_is_not_installed(namespace: str) -> None:
    with pytest.raises(SpecError) as raised:
        Plugins().load(namespace)
    assert "pip install" not in str(raised.value)


def test_a_package_of_this_project_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("themis_core.plugins.loading.installed", dict)
    with pytest.raises(SpecError, match=r"To install it: pip install themis-plugin-sqlite$"):
        Plugins().load("sqlite")
