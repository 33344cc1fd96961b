"""Limits that do not hold: what is said, and that nothing is run."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from themis_core import Generation, Item, SpecError
from themis_plugin_code import running, unit_tests
from themis_plugin_code.commands import limits as limits_command
from themis_plugin_code.running import Job, limits, report_of
from themis_plugin_code.unit_tests import UnitTests

linux = pytest.mark.skipif(sys.platform != "linux", reason="the limits hold on Linux")
HELD = {limit: {"by": "x"} for limit in ("cpu", "memory", "processes", "files", "network")}
WITHOUT_FILES = {**HELD, "files": {"missing": "unshare: Operation not permitted; Landlock: Function not implemented"}}
ITEM = Item("1", {"test_list": ["assert f(1) == 2"]})


@linux
def test_all_limits_hold_here_and_the_command_says_by_what() -> None:
    held = limits()
    assert {limit: set(wall) for limit, wall in held.items()} == {limit: {"by"} for limit in HELD}
    UnitTests().check(Path())
    said = CliRunner().invoke(limits_command, []).output
    assert said.splitlines() == [f"{limit:<10} held by {wall['by']}" for limit, wall in held.items()]
    assert json.loads(CliRunner().invoke(limits_command, ["--format", "json"]).output) == held


def test_a_limit_that_is_required_and_does_not_hold_ends_the_run_before_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unit_tests, "limits", lambda: WITHOUT_FILES)
    with pytest.raises(SpecError) as refused:
        UnitTests().check(Path())
    assert str(refused.value) == (
        "code/unit_tests: this system does not hold all limits of programs that `require` names: files (unshare: "
        "Operation not permitted; Landlock: Function not implemented). Run it on Linux, where they hold (`themis code "
        "limits` shows what holds), or name in `require` those that you need, if you trust the programs or the machine "
        "is there for nothing else"
    )


def test_a_limit_that_is_not_required_and_does_not_hold_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unit_tests, "limits", lambda: WITHOUT_FILES)
    with caplog.at_level(logging.WARNING, "themis"):
        UnitTests(require=("cpu", "memory")).check(Path())
    (record,) = caplog.records
    assert record.getMessage() == (
        "code/unit_tests: programs run without a limit of files (unshare: Operation not permitted; Landlock: Function "
        "not implemented)"
    )


def test_where_there_are_no_limits_for_processes_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.os, "name", "nt")
    monkeypatch.setattr(running.sys, "platform", "win32")
    assert report_of(Job("")) == {
        "outcome": "error",
        "walls": {},
        "error": "win32 has no limits for processes: use Linux",
    }


# What a container or an old kernel lacks, in the process that runs the program: its calls fail.
LACKING = """
import sys
sys.path.append({source!r})
from themis_plugin_code.inside import namespaces, walls, warden
def lack(name):
    def fail(*args, **kwargs):
        raise OSError(1, name + ": Operation not permitted")
    return fail
for module, name in {lacking!r}:
    setattr(sys.modules["themis_plugin_code.inside." + module], name, lack(name))
warden.main({{}})
"""
NAMESPACES, LANDLOCK, SECCOMP = ("warden", "leave_all"), ("walls", "confine_files"), ("walls", "filter_calls")
MOUNTS, CPU = ("walls", "see_only"), ("walls", "_limit")


@linux
@pytest.mark.parametrize(
    ("lacking", "missing"),
    [
        ([], []),
        ([NAMESPACES], []),
        ([MOUNTS], []),
        ([LANDLOCK], []),
        ([NAMESPACES, LANDLOCK], ["files"]),
        ([SECCOMP], ["processes"]),
        ([NAMESPACES, SECCOMP], ["processes", "files", "network"]),
    ],
)
def test_what_the_system_lacks_is_missing_and_then_nothing_runs(
    lacking: list[tuple[str, str]], missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = str(Path(running.__file__).parents[1])
    monkeypatch.setattr(running, "_START", LACKING.format(source=source, lacking=lacking))
    report = report_of(Job("def f(x): return x + 1", ("assert f(1) == 2",)))
    assert [limit for limit in HELD if "missing" in report["walls"][limit]] == missing
    if missing:
        assert (report["outcome"], report["error"]) == ("error", f"not held: {', '.join(missing)}")
        assert "Operation not permitted" in report["walls"][missing[0]]["missing"]
    else:
        assert report["outcome"] == "passed"


@linux
def test_a_program_that_could_not_be_run_is_unscored_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_START", "raise RuntimeError('no')")
    score = UnitTests().score(ITEM, Generation("answered"), "x = 1")
    assert (score.value, score.reason, score.details) == (
        None,
        "metric_error",
        {"outcome": "error", "error": "the warden ended with code 1: RuntimeError: no"},
    )


@linux
def test_a_warden_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_START", "import time; time.sleep(1000)")
    monkeypatch.setattr(running, "SLACK", 0.2)
    assert report_of(Job("", wall_s=0.1))["error"] == "the warden did not end within 0.3 s"


@linux
@pytest.mark.parametrize("namespaces", [True, False])
def test_a_program_ends_with_themis(namespaces: bool) -> None:
    code = (
        "from themis_plugin_code.running import *\n"
        f"report_of(Job('import time; time.sleep(1000)', wall_s=1000, namespaces={namespaces}))"
    )
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as themis:
        until = time.monotonic() + 30
        while len(started := descendants(themis.pid)) < 2:  # the warden and its program
            assert time.monotonic() < until
        themis.send_signal(signal.SIGKILL)
    while any(map(alive, started)):
        assert time.monotonic() < until, "a process is left"


def descendants(pid: int) -> list[int]:
    parents = {int(path.name): state_of(int(path.name))[1] for path in Path("/proc").glob("[0-9]*")}
    children = [child for child, parent in parents.items() if parent == pid]
    return [*children, *(each for child in children for each in descendants(child))]


def state_of(pid: int) -> tuple[str, int]:
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return "X", -1
    return state, int(parent)


def alive(pid: int) -> bool:
    return state_of(pid)[0] not in "XZ"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "no_tests"),
        ({"test_list": []}, "no_tests"),
        ({"test_list": ["assert f(1) =="]}, "bad_tests"),
        ({"test_list": [1]}, "bad_tests"),
        ({"test": "def check(f): pass"}, "bad_tests"),
        ({"test": "def check(f): pass", "entry_point": "f()"}, "bad_tests"),
        ({"test": "def check(f): pass", "entry_point": "class"}, "bad_tests"),
        ({"test": "def check(f): pass", "entry_point": "f"}, None),
        ({"test_list": ["assert f(1)"], "test_setup_code": "import ("}, "bad_tests"),
        ({"test_list": "assert f(1)", "test_imports": ["import math"], "test_setup_code": ""}, None),
    ],
)
def test_an_item_without_tests_that_can_be_run_is_unscorable(fields: dict[str, object], reason: str | None) -> None:
    assert UnitTests().unscorable(Item("1", fields)) == reason


@linux
@pytest.mark.parametrize(
    "item",
    [
        Item(
            "1", {"checks": "def check(f):\n  assert f(1) == sqrt(4)", "name": "f", "before": "from math import sqrt"}
        ),
        Item("1", {"name": "f", "before": ["from math import sqrt"]}, "def check(f):\n  assert f(1) == sqrt(4)"),
        Item("1", {"name": "f"}, None, {"checks": "def check(f):\n  assert f(1) == 2"}),
    ],
    ids=["fields", "reference", "metadata"],
)
def test_the_config_says_which_fields_hold_what(item: Item) -> None:
    test = "reference" if item.reference else "checks"
    metric = UnitTests(test=test, entry_point="name", setup=("before",))
    assert metric.unscorable(item) is None
    assert metric.score(item, Generation("answered"), "def f(x): return x + 1").details == {"outcome": "passed"}
    assert metric.score(item, Generation("answered"), "def f(x): return x").value == 0.0


@linux
def test_installed_packages_can_be_imported_if_the_config_says_so() -> None:
    report = report_of(Job("import pytest", site_packages=True, memory_mb=2048))
    assert report["outcome"] == "passed"


@linux
def test_a_program_sees_no_variable_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEMIS_TEST_KEY", "secret")
    assert report_of(Job("import os; assert 'secret' not in str(os.environ)"))["outcome"] == "passed"
    assert os.environ["THEMIS_TEST_KEY"] == "secret"
