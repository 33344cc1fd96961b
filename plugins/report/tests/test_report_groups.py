"""Numbers and plots by a dimension that puts slices together."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from pathlib import Path

import pytest

import themis_core as themis
from themis_core import SpecError
from themis_plugin_report.gathering import gathered, named, opened
from themis_plugin_report.plots import plots
from themis_plugin_report.reports import Wanted, page_of, tables_of
from themis_plugin_report.tables import as_markdown, tables


def spec_of(folder: Path, subjects: list[str]) -> Path:
    slices = [
        {
            "slice_id": f"s{number}",
            "dimensions": {"subject": subject},
            "dataset": {
                "source": "files/inline",
                "fields": {"id": "id", "reference": "gold", "output": "said"},
                "extras": {"rows": [{"id": n, "gold": "a", "said": "ab"[n % (number + 1) > 0]} for n in range(4)]},
            },
            "scores": [{"name": "accuracy", "metrics": ["text/exact_match"]}],
        }
        for number, subject in enumerate(subjects)
    ]
    project = {"storage": {"backend": "sqlite", "root_dir": "store"}}
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"project": project, "benchmark": {"benchmark_id": "b", "slices": slices}}), "utf-8")
    themis.run(spec)
    return spec


def test_a_dimension_that_puts_slices_together_has_a_table_and_a_plot(tmp_path: Path) -> None:
    with opened(spec_of(tmp_path, ["<law>", "<law>", "art"]), None) as (results, store):
        made = gathered(results, store, ())
        with closing(made.index):
            (table,) = (each for each in tables(made) if each.name == "groups")
            _, drawn = plots(made)
    at = [table.header.index(name) for name in ("group", "value", "n")]
    assert sorted([row[each] for each in at] for row in table.rows) == [
        ["<law>", "0.7500", "8"],
        ["art", "0.5000", "4"],
    ]
    assert [each.title for each in drawn] == ["accuracy by slice", "accuracy by subject"]
    picture = base64.b64decode(drawn[1].light.partition(",")[2]).decode()
    assert "&lt;law&gt;" in picture


def test_a_dimension_with_a_value_of_its_own_for_each_slice_says_nothing_new(tmp_path: Path) -> None:
    with opened(spec_of(tmp_path, ["law", "art"]), None) as (results, store):
        made = gathered(results, store, ())
        with closing(made.index):
            assert (made.groups, [each.title for each in plots(made)[1]]) == ({}, ["accuracy by slice"])


def with_metadata(folder: Path, levels: list[str]) -> Path:
    rows = [
        {"id": f"i{n}", "gold": "a", "said": "ab"[n % 3 == 0], "level": level, "human": n % 2}
        for n, level in enumerate(levels)
    ]
    fields = {"id": "id", "reference": "gold", "output": "said", "metadata": ["level", "human"]}
    only = {
        "slice_id": "all",
        "dataset": {"source": "files/inline", "fields": fields, "extras": {"rows": rows}},
        "scores": [{"name": "accuracy", "metrics": ["text/exact_match"]}],
    }
    project = {"storage": {"backend": "sqlite", "root_dir": "store"}}
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"project": project, "benchmark": {"benchmark_id": "b", "slices": [only]}}), "utf-8")
    themis.run(spec)
    return spec


def test_metadata_that_puts_items_together_has_a_table_and_a_plot_for_each_field(tmp_path: Path) -> None:
    spec = with_metadata(tmp_path, ["hard", "easy"] * 6)
    with opened(spec, None) as (results, store):
        made = gathered(results, store, ())
        with closing(made.index):
            (table,) = (each for each in tables(made) if each.name == "groups")
            _, drawn = plots(made)
    at = [table.header.index(name) for name in ("by", "group", "value", "n")]
    assert [[row[each] for each in at] for row in table.rows] == [
        ["human", "0", "0.6667", "6"],  # numbers 0, 2, …, of which 0 and 6 are wrong
        ["human", "1", "0.6667", "6"],
        ["level", "easy", "0.6667", "6"],
        ["level", "hard", "0.6667", "6"],
    ]
    assert [each.title for each in drawn] == ["accuracy by human", "accuracy by level"]


def test_metadata_with_a_value_for_nearly_every_item_is_no_group(tmp_path: Path) -> None:
    spec = with_metadata(tmp_path, [f"l{n}" for n in range(6)])
    with opened(spec, None) as (results, store):
        made = gathered(results, store, ())
        with closing(made.index):
            assert list(made.groups) == ["metadata.human"]


def test_what_is_named_replaces_the_groups_that_are_found(tmp_path: Path) -> None:
    spec = with_metadata(tmp_path, ["hard", "easy"] * 6)
    assert "| level |" not in as_markdown(tables_of(spec=spec, wanted=Wanted(["slice"]))["groups"])
    page = page_of(spec=spec, wanted=Wanted(["metadata.level"]))
    assert ("accuracy by level" in page, "accuracy by human" in page) == (True, False)
    with pytest.raises(SpecError, match=r"can't be grouped by 'metadata.levle'.*metadata.level"):
        page_of(spec=spec, wanted=Wanted(["metadata.levle"]))


def test_a_dimension_and_metadata_of_one_name_are_told_apart() -> None:
    groups = ["dimensions.subject", "metadata.subject", "metadata.level", "params.level"]
    assert [named(name, groups) for name in groups] == [*groups[:2], "level", "params.level"]
