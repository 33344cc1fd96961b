"""The page as a text: what it says, holds and allows. What a browser makes of it is tested in tests/browser."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import themis_core as core
from themis_core import Store
from themis_core.cli import cli
from themis_plugin_report.gathering import Gathered, gathered, opened, runs_of
from themis_plugin_report.index import Query
from themis_plugin_report.names import name_of_group, name_of_row
from themis_plugin_report.page import packed, rendered, told_of
from themis_plugin_report.trials import groups
from themis_plugin_report.verdicts import Verdict, verdicts


def page_of(spec: Path, run_id: str, folder: Path, *more: str) -> str:
    output = folder / "report.html"
    done = CliRunner().invoke(cli, ["report", run_id, "--spec", str(spec), "-o", str(output), *more])
    assert done.exit_code == 0, done.output
    return output.read_text("utf-8")


def results_in(page: str) -> list[dict[str, Any]]:
    (block,) = re.findall(r'<script type="text/plain" id="data">([A-Za-z0-9+/=]*)</script>', page)
    found: list[dict[str, Any]] = json.loads(gzip.decompress(base64.b64decode(block)))["groups"]
    return found


def test_the_policy_allows_the_page_s_own_script_and_style_alone(spec: Path, run_id: str, tmp_path: Path) -> None:
    page = page_of(spec, run_id, tmp_path)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    digests = [
        base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()
        for tag in ("script", "style")
        for each in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    ]
    assert policy.replace("&#39;", "'") == (
        f"default-src 'none'; script-src 'sha256-{digests[0]}'; style-src 'sha256-{digests[1]}'; img-src data:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )
    assert re.findall(r"<[^>]*\son\w+\s*=|<[^>]*\sstyle\s*=|https?://", page) == []


def test_the_page_holds_each_result_from_prompt_to_score(spec: Path, run_id: str, tmp_path: Path) -> None:
    found = results_in(page_of(spec, run_id, tmp_path))
    assert [each["item"]["id"] for each in found] == ["days", "eggs", "feet", "pens"]
    days = found[0]
    assert days["prompts"] == [[{"role": "user", "content": "How many days?"}]]
    assert days["item"]["metadata"] == {"level": "a"}
    large, small = days["trials"]
    assert large["scores"] == [
        {"scorer": 0, "value": 1.0, "found": "21", "correct": True, "flipped": True, "parse": "number"}
    ]
    assert small["scores"] == [
        {"scorer": 0, "value": 0.0, "unparsed": "no_match", "correct": False, "flipped": True, "parse": "number"}
    ]
    assert small["turns"][0]["text"] == "no idea"
    failed = found[3]["trials"][0]
    assert (failed["outcome"], failed["code"], "scores" in failed) == ("failed", "missing", False)


def test_a_page_that_holds_fewer_results_says_so(spec: Path, run_id: str, tmp_path: Path) -> None:
    page = page_of(spec, run_id, tmp_path, "--results", "3")
    assert sum(len(each["trials"]) for each in results_in(page)) == 3
    assert "This page holds the first 3 of 8 results, by item." in page


def test_a_page_without_results_says_so_and_has_nothing_to_browse(spec: Path, run_id: str, tmp_path: Path) -> None:
    page = page_of(spec, run_id, tmp_path, "--results", "0")
    assert results_in(page) == []
    assert "This page holds none of 8 results." in page
    assert re.findall(r'<div hidden>\s*<form id="filters"', page) != []


def test_the_same_run_gives_the_same_page(spec: Path, run_id: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    assert page_of(spec, run_id, first) == page_of(spec, run_id, second)


def test_the_index_counts_what_each_filter_shows(made: tuple[Gathered, Store]) -> None:
    index = made[0].index
    counts = {shown: index.count(Query(shown)) for shown in index.SHOWN}
    assert counts == {
        "all": 8, "failed": 1, "wrong": 2, "right": 5, "unparsed": 1, "unscored": 0, "flipped": 4,
    }  # fmt: skip
    assert index.count(Query("all", system=0, facet=("level", "a"))) == 2
    assert index.facets() == {"level": ["a", "b"]}


def test_without_conclusions_the_verdict_names_the_best_model_and_whether_intervals_overlap(
    made: tuple[Gathered, Store],
) -> None:
    found = verdicts(made[0].runs[0], made[0].results[0])
    assert found[0] == Verdict(
        "large has the highest accuracy: 1.000 [0.439, 1.000]",
        None,
        "95 % interval; 3 of 4 answers scored. Next is small with 0.500 [0.150, 0.850]; their intervals overlap, so "
        "the values alone do not say which one is better.",
    )
    assert found[1] == Verdict("1 of 8 trials failed", False, "missing 1; in no mean.")


def told_as(result: core.RunResult, told: dict[str, Any]) -> Any:
    """A result that tells something else of itself."""

    class Told:
        to_dict = staticmethod(lambda: told)

        def __getattr__(self, name: str) -> Any:
            return getattr(result, name)

    return Told()


def test_the_conclusions_of_a_run_are_its_verdict(made: tuple[Gathered, Store]) -> None:
    gathered_run, _ = made

    result = replace(gathered_run.results[0], failed=0)
    told = {**result.to_dict(), "conclusions": [{"text": "large is better", "met": True}]}
    assert verdicts(gathered_run.runs[0], told_as(result, told))[0] == Verdict("large is better", True)


def test_two_runs_are_one_page(spec: Path, run_id: str) -> None:
    other = core.run(spec, limit=2).run_id
    with opened(spec, None) as (results, store):
        both = gathered(results, store, [run_id, other])
        with closing(both.index):
            page = rendered(both, data=packed(groups(store, both.index, both.index.entries())))
            assert [system.run_id for system in both.index.systems] == [run_id, run_id, other, other]
    assert page.count(f"<code>{other}</code>") == 3
    assert [len(each["trials"]) for each in results_in(page)] == [2, 4, 4, 2]


def test_an_extractor_that_may_not_have_been_needed_is_told_as_such(made: tuple[Gathered, Store]) -> None:
    run = made[0].runs[0]
    (of_slice,) = run.manifest["benchmark"]["slices"]
    parse = {"name": "number", "extractors": [{"id": "extract/number"}, {"id": "extract/line", "config": {"a": 1}}]}
    benchmark = {**run.manifest["benchmark"], "slices": [{**of_slice, "parses": [parse]}]}
    told = told_of(replace(made[0], runs=[replace(run, manifest={**run.manifest, "benchmark": benchmark})]))
    assert told["parses"]["all"]["number"] == ["try extract/number", 'else try extract/line {"a": 1}']


def test_the_aggregates_of_a_spec_come_before_single_slices(made: tuple[Gathered, Store]) -> None:
    run, result = made[0].runs[0], made[0].results[0]
    rows = [
        {
            "aggregate": "macro", "group": {"model": model, "prompt": "plain", "params": "default"},
            "score": "accuracy", "metric": "text/exact_match",
            "value": value, "low": value - 0.1, "high": value + 0.1, "n": 8,
        }
        for model, value in (("small", 0.5), ("large", 0.75))
    ]  # fmt: skip
    told = {**result.to_dict(), "aggregates": rows}
    found = verdicts(run, told_as(result, told))
    assert found[0] == Verdict(
        "large has the highest accuracy, macro: 0.750 [0.650, 0.850]",
        None,
        "95 % interval; n = 8. Next is small with 0.500 [0.400, 0.600]; their intervals do not overlap.",
    )


def test_a_threshold_is_told_with_what_it_measures_and_the_number_that_was_compared(spec: Path, tmp_path: Path) -> None:
    told = json.loads(spec.read_text("utf-8"))
    told["project"]["storage"]["root_dir"] = str(tmp_path / "store")
    told["benchmark"]["thresholds"] = [
        {"measure": "failed", "maximum": 0.3},
        {"measure": "latency_p95", "maximum": 1},
        {"score": "accuracy", "measure": "low", "minimum": 0.3, "prompt_variant_id": "plain"},
        {"score": "accuracy", "measure": "high", "minimum": 0.3},
        {"score": "accuracy", "minimum": 0.9, "model_id": "small"},
    ]
    gated = spec.with_name("gated.json")
    gated.write_text(json.dumps(told), "utf-8")
    result = core.run(gated)
    with core.open_results(gated) as results:
        found = verdicts(results.run(result.run_id), result)
    row = "all · small · plain · accuracy · text/exact_match"
    assert [each for each in found if each.text.startswith("Threshold")] == [
        Verdict("Threshold met: measure failed, maximum 0.3: 0.125", True),
        Verdict(
            "Threshold not judged, so not met: measure latency_p95, maximum 1", False, "all: no call has a latency"
        ),
        Verdict(
            "Threshold not met: measure low, score accuracy, prompt_variant_id plain, minimum 0.3: 0.150039 at worst",
            False,
            f"{row}: 0.150039",
        ),
        Verdict("Threshold met: measure high, score accuracy, minimum 0.3: 0.849961 at worst", True),
        Verdict("Threshold not met: score accuracy, model_id small, minimum 0.9: 0.5", False, f"{row}: 0.5"),
    ]


def test_a_field_with_very_many_values_takes_no_other_field_from_the_filter(
    made: tuple[Gathered, Store],
) -> None:
    index = made[0].index
    rows = [(f"digest {at}", b"a_url", f"https://example.org/{at}".encode()) for at in range(6000)]
    index._db.executemany("INSERT INTO facets VALUES (?, ?, ?)", rows)
    assert index.facets() == {"level": ["a", "b"]}


def rows_of(row: core.ResultRow, *values: tuple[str, str, float, float, float]) -> list[core.ResultRow]:
    """Rows by slice, model, value, and the bounds of the interval."""
    return [
        replace(row, slice_id=slice_id, model_id=model, value=value, low=low, high=high)
        for slice_id, model, value, low, high in values
    ]


@pytest.mark.parametrize(
    ("values", "text", "more"),
    [
        (
            [("all", "a", 0.5, 0.4, 0.6), ("all", "b", 0.5, 0.3, 0.7), ("all", "c", 0.1, 0.0, 0.2)],
            "a and b have the highest accuracy: 0.500 [0.400, 0.600] and [0.300, 0.700]",
            (
                "95 % interval; 3 of 4 answers scored. Next is c with 0.100 [0.000, 0.200]; their intervals do not "
                "overlap."
            ),
        ),
        (
            [("all", model, 0.5, 0.4, 0.6) for model in "abc"],
            "a, b and c have the same accuracy: 0.500 [0.400, 0.600]",
            "95 % interval; 3 of 4 answers scored.",
        ),
        (
            [("one", "a", 0.5, 0.4, 0.6), ("one", "b", 0.5, 0.4, 0.6),
             ("two", "a", 0.9, 0.8, 1), ("two", "b", 0, 0, 0.1)],
            "a has the highest accuracy in 2 of 2 slices",
            "a alone in 1 of them, b in 1. The intervals of the first and the next do not overlap in 1 of 2 slices.",
        ),
        (
            [("one", "a", 0.5, 0.4, 0.6), ("one", "b", 0.4, 0.3, 0.5),
             ("two", "a", 0.1, 0, 0.2), ("two", "b", 0.2, 0, 0.3)],
            "a and b each have the highest accuracy in 1 of 2 slices",
            "The intervals of the first and the next do not overlap in 0 of 2 slices.",
        ),
        (
            [("one", "a", 0.5, 0.4, 0.6), ("two", "a", 0.9, 0.8, 1)],
            "a: accuracy from 0.500 to 0.900 in 2 slices",
            "",
        ),
        (
            [("one", "a", 0.5, 0.4, 0.6), ("two", "a", 0.5, 0.3, 0.7)],
            "a: accuracy 0.500 in 2 slices",
            "",
        ),
    ],
)  # fmt: skip
def test_all_that_share_the_best_value_are_named_and_one_model_leads_nobody(
    values: list[tuple[str, str, float, float, float]], text: str, more: str, made: tuple[Gathered, Store]
) -> None:
    run, result = made[0].runs[0], made[0].results[0]
    rows = rows_of(next(row for row in result.scores if row.model_id == "large"), *values)
    assert verdicts(run, replace(result, scores=rows))[0] == Verdict(text, None, more)


@pytest.mark.parametrize(
    ("systems", "names"),
    [
        ([("a", "plain", "default"), ("b", "plain", "default")], ["a", "b"]),
        ([("a", "plain", "default"), ("a", "brief", "default")], ["a · plain", "a · brief"]),
        ([("recorded",) * 3, ("a", "plain", "default")], ["recorded", "a"]),
        (
            [("recorded",) * 3, ("a", "plain", "cold"), ("a", "recorded", "cold")],
            ["recorded", "a · plain", "a · recorded"],
        ),
    ],
)
def test_a_row_is_called_by_what_tells_it_from_other_models_rows(
    systems: list[tuple[str, str, str]], names: list[str], made: tuple[Gathered, Store]
) -> None:
    row = made[0].results[0].scores[0]
    rows = [replace(row, model_id=model, prompt_variant_id=prompt, params=params) for model, prompt, params in systems]
    assert [name_of_row(each, rows) for each in rows] == names


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        ([{"model": "a", "prompt": "plain"}, {"model": "b", "prompt": "plain"}], ["a", "b"]),
        ([{"model": "a", "params": "cold"}, {"model": "a", "params": "warm"}], ["a · cold", "a · warm"]),
        ([{"prompt": "plain"}, {"prompt": "brief"}], ["plain", "brief"]),
        ([{}], ["The run"]),
    ],
)
def test_a_group_is_called_by_its_model_and_by_what_differs(groups: list[dict[str, str]], names: list[str]) -> None:
    assert [name_of_group(each, groups) for each in groups] == names


def test_a_run_that_is_named_twice_is_there_once(spec: Path, run_id: str, tmp_path: Path) -> None:
    assert page_of(spec, run_id, tmp_path, run_id[:-1], run_id[:-2]) == page_of(spec, run_id, tmp_path)
    with opened(spec, None) as (results, _):
        assert [run.run_id for run in runs_of(results, [run_id[:-1], run_id, run_id[:-1]])] == [run_id]


def test_answers_are_unscored_by_the_scores_of_their_own_slice_alone(spec: Path, tmp_path: Path) -> None:
    told = json.loads(spec.read_text("utf-8"))
    told["project"]["storage"]["root_dir"] = str(tmp_path / "store")
    (common,) = told["benchmark"]["slices"]
    told["benchmark"]["slices"] = [common, {**common, "slice_id": "more", "scores": [
        {"name": "other", "metrics": ["text/exact_match"]}
    ]}]  # fmt: skip
    two = spec.with_name("two.json")
    two.write_text(json.dumps(told), "utf-8")
    run_id = core.run(two).run_id
    with opened(two, None) as (results, store):
        both = gathered(results, store, [run_id])
        with closing(both.index):
            assert [both.index.count(Query("unscored", scorer)) for scorer in (0, 1)] == [0, 0]
            assert both.index.scored() == {run_id: {"all": [0], "more": [1]}}
            both.index._db.execute("DELETE FROM scores WHERE scorer = 1")
            assert [both.index.count(Query("unscored", scorer)) for scorer in (0, 1)] == [0, 7]


def test_numbers_of_metadata_are_on_the_page_as_the_filter_has_them(spec: Path, tmp_path: Path) -> None:
    told = json.loads(spec.read_text("utf-8"))
    told["project"]["storage"]["root_dir"] = str(tmp_path / "store")
    told["benchmark"]["slices"][0]["dataset"]["dataset_id"] = "numbered.jsonl"
    rows = [json.loads(line) for line in spec.with_name("items.jsonl").read_text("utf-8").splitlines()]
    levels = [1.0, 1e-07, 2**60, "1"]
    lines = [json.dumps({**row, "level": level}) for row, level in zip(rows, levels, strict=True)]
    spec.with_name("numbered.jsonl").write_text("\n".join(lines), "utf-8")
    numbered = spec.with_name("numbered.json")
    numbered.write_text(json.dumps(told), "utf-8")
    run_id = core.run(numbered).run_id
    found = results_in(page_of(numbered, run_id, tmp_path))
    assert {each["item"]["id"]: each["item"].get("numbers") for each in found} == {
        "eggs": {"level": "1.0"}, "feet": {"level": "1e-07"}, "days": {"level": "1152921504606846976"}, "pens": None,
    }  # fmt: skip
