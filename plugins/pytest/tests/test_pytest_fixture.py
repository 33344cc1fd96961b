"""The fixture as a project uses it: each test here runs another pytest on files of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _a_project_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider\n")


def spec(folder: Path, thresholds: list[dict[str, Any]], name: str = "eval.json", said: str = "x") -> None:
    rows = [{"id": "a", "gold": "x", "said": said}, {"id": "b", "gold": "x", "said": "y\x1b[2J"}]
    only = {
        "slice_id": "s",
        "dataset": {
            "source": "files/inline",
            "fields": {"id": "id", "reference": "gold", "output": "said"},
            "extras": {"rows": rows},
        },
        "scores": [{"name": "own", "metrics": ["text/exact_match"]}],
    }
    benchmark = {"benchmark_id": "b", "slices": [only], "thresholds": thresholds}
    (folder / name).write_text(json.dumps({"benchmark": benchmark}), "utf-8")


def test_a_spec_runs_in_a_test_and_its_rows_can_be_asserted_on(pytester: pytest.Pytester) -> None:
    spec(pytester.path, [{"score": "own", "minimum": 0.5}])
    pytester.makepyfile(
        """
        import themis_core
        from themis_plugin_pytest import CheckedRun, RunSpec

        STORE = "project.storage={{backend: sqlite, root_dir: '{}'}}"

        def test_it(themis_run: RunSpec, tmp_path) -> None:
            result = themis_run("eval.json", limit=1, overrides=[STORE.format(tmp_path)])
            assert isinstance(result, themis_core.RunResult) and type(result) is CheckedRun
            assert result.row("own", slice_id="s").value == 1.0
            assert (tmp_path / "themis.sqlite3").exists()
            result.assert_thresholds()
            assert repr(result) == f"<run {result.run_id}: completed, exit code 0, 1 score>"

        def test_spec_classes(themis_run: RunSpec) -> None:
            spec = themis_core.BenchmarkSpec.model_validate_json('{"benchmark_id": "c", "slices": []}'.replace("[]",
                '[{"slice_id": "s", "dataset": {"source": "files/inline", "fields": {"output": "said"},'
                '"extras": {"rows": [{"said": "x"}]}}}]'))
            assert themis_run(spec).trials == 1
        """
    )
    done = pytester.runpytest_subprocess("-W", "error")
    done.assert_outcomes(passed=2)
    assert "themis" not in done.stdout.str().partition("\n\n")[2]


@pytest.mark.parametrize(
    ("thresholds", "told"),
    [
        (
            [{"score": "own", "minimum": 0.9}, {"measure": "failed", "maximum": 0}],
            [
                "E * Failed: 1 of 2 thresholds not met",
                "E * b-*: completed; 2 planned, 2 answered",
                "E * NOT MET: score own, minimum 0.9",
                "E * s · recorded · own · text/exact_match: 0.5",
                "E * met: measure failed, maximum 0: 0",
            ],
        ),
        (
            [{"measure": "latency_p95", "maximum": 1}],
            ["E * NOT JUDGED, so not met: measure latency_p95, maximum 1", "E * all: no call has a latency"],
        ),
        ([], ["E * Failed: the spec has no thresholds: there is nothing to assert"]),
    ],
)
def test_a_threshold_that_is_not_met_fails_the_test_with_the_ledger(
    pytester: pytest.Pytester, thresholds: list[dict[str, Any]], told: list[str]
) -> None:
    spec(pytester.path, thresholds)
    pytester.makepyfile("def test_it(themis_run): themis_run('eval.json').assert_thresholds()")
    done = pytester.runpytest_subprocess()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(told)
    done.stdout.fnmatch_lines(["*Captured themis b-* call*", "*own*text/exact_match*0.5000*2*"])


def test_any_assertion_that_fails_shows_what_the_run_gave(pytester: pytest.Pytester) -> None:
    spec(pytester.path, [])
    pytester.makepyfile("def test_it(themis_run): assert themis_run('eval.json').row('own').value > 0.9")
    done = pytester.runpytest_subprocess()
    done.stdout.fnmatch_lines(
        ["E * assert 0.5 > 0.9", "*Captured themis b-* call*", "own *text/exact_match*0.5000*2*", "b-*2 answered"]
    )


def test_a_row_that_is_not_one_says_how_many_there_are_and_a_mistake_in_its_names_is_an_error(
    pytester: pytest.Pytester,
) -> None:
    spec(pytester.path, [])
    pytester.makepyfile(
        """
        def test_none(themis_run): themis_run("eval.json").row("other")
        def test_typo(themis_run): themis_run("eval.json").row("own", model="m")
        def test_spec(themis_run): themis_run("missing.json")
        """
    )
    done = pytester.runpytest_subprocess()
    done.assert_outcomes(failed=3)
    done.stdout.fnmatch_lines(
        [
            "E * Failed: 0 rows of the scores have score other: name one",
            "E * TypeError: row() knows slice_id, *, and not model",
            "E *SpecError: *missing.json: no such file",
        ]
    )


def test_paths_start_at_the_folder_of_the_test_file(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("deep")
    spec(folder, [])
    (folder / "test_deep.py").write_text("def test_it(themis_run): assert themis_run('eval.json').trials == 2\n")
    pytester.runpytest_subprocess("deep").assert_outcomes(passed=1)


def test_collecting_imports_no_module_of_themis(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(themis_run): themis_run('eval.json')\ndef test_other(): pass")
    pytester.makeconftest(
        """
        import sys

        def pytest_unconfigure():
            print("imported:", sorted(name for name in sys.modules if name.startswith("themis")))
        """
    )
    for arguments in (["--collect-only"], ["-k", "other"]):
        done = pytester.runpytest_subprocess("-q", *arguments)
        assert "imported: ['themis_plugin_pytest', 'themis_plugin_pytest.fixtures']" in done.stdout.lines


def test_it_can_be_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(themis_run): pass")
    done = pytester.runpytest_subprocess("-p", "no:themis")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*fixture 'themis_run' not found"])
