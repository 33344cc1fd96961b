"""What notebooks show of results, and scores as data frames."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import themis_core as themis

SPEC = """
project:
  storage: {backend: sqlite, root_dir: store}
benchmark:
  benchmark_id: "<b>fruit</b>"
  slices:
    - slice_id: all
      dataset:
        source: files/inline
        fields: {id: id, reference: gold, output: said}
        extras:
          rows:
            - {id: one, gold: lemon, said: lemon}
            - {id: "<img onerror=x>", gold: lime, said: fig}
            - {id: none, gold: null, said: fig}
"""
SCORES = """
      scores: [{name: accuracy, metrics: [text/exact_match]}]
  aggregates: [{name: "<b>all", score: accuracy, weighting: micro}]
  thresholds: [{score: accuracy, minimum: 0.9}, {measure: failed, maximum: 0}]
"""
COLUMNS = [
    "slice_id", "model_id", "prompt_variant_id", "params", "score", "metric", "item_id", "sample_index", "trial_id",
    "outcome", "value", "reason", "parse", "parsed", "parse_reason", "item_digest", "extracted",
]  # fmt: skip


@pytest.fixture
def ran(tmp_path: Path) -> Iterator[tuple[themis.Results, themis.RunResult]]:
    (tmp_path / "spec.yaml").write_text(SPEC + SCORES, "utf-8")
    result = themis.run(tmp_path / "spec.yaml")
    with themis.open_results(tmp_path / "spec.yaml") as results:
        yield results, result


def test_a_result_and_a_store_are_tables_of_text_in_a_notebook(ran: tuple[themis.Results, themis.RunResult]) -> None:
    results, result = ran
    shown = result._repr_html_()
    assert shown.startswith(
        f"<p>&lt;b&gt;fruit&lt;/b&gt;-{result.run_id[-12:]}: completed; 3 planned, 3 answered; all rows:"
    )
    assert "<td>0.5000</td>" in shown
    assert "<b>" not in shown + results._repr_html_()
    assert results._repr_html_().count("<tr>") == 2
    assert "<p>&lt;b&gt;all: micro mean; all rows: " in shown
    assert shown.endswith("</table><p>NOT MET: 1 of 2 thresholds</p>")


def test_a_notebook_shows_conclusions_and_thresholds_that_are_met(
    ran: tuple[themis.Results, themis.RunResult],
) -> None:
    _, result = ran
    said = [
        {"conclusion": "mine/a", "text": "a < b\nby far", "met": None, "details": {}},
        {"conclusion": "mine/b", "text": "worse", "met": False, "details": {}},
    ]
    thresholds = [{**each, "met": True} for each in result.thresholds]
    shown = replace(result, conclusions=said, thresholds=thresholds)._repr_html_()
    assert shown.endswith("<p>met: 2 thresholds</p><p>mine/a: a &lt; b\nby far</p><p>mine/b: NOT MET: worse</p>")


def test_scores_are_a_frame_of_pandas(ran: tuple[themis.Results, themis.RunResult]) -> None:
    results, result = ran
    frame = results.to_pandas(result.run_id)
    assert list(frame.columns) == COLUMNS
    assert frame.set_index("item_id")["value"].fillna(-1).to_dict() == {
        "one": 1.0,
        "<img onerror=x>": 0.0,
        "none": -1.0,
    }
    assert frame.groupby("model_id")["value"].mean().to_list() == [0.5]


def test_scores_are_a_frame_of_polars_and_a_table_of_arrow(ran: tuple[themis.Results, themis.RunResult]) -> None:
    results, result = ran
    polars, arrow = results.to_polars(result.run_id), results.to_arrow(result.run_id)
    assert polars.columns == arrow.column_names == COLUMNS
    assert polars.to_dicts() == arrow.to_pylist()
    assert [str(arrow.schema.field(name).type) for name in ("sample_index", "value", "parsed")] == [
        "int64",
        "double",
        "bool",
    ]


def test_a_run_without_scores_has_the_same_columns(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC, "utf-8")
    result = themis.run(tmp_path / "spec.yaml")
    with themis.open_results(tmp_path / "spec.yaml") as results:
        assert list(results.to_pandas(result.run_id).columns) == COLUMNS
        assert results.to_polars(result.run_id).columns == COLUMNS
        assert results.to_arrow(result.run_id).column_names == COLUMNS


def test_a_package_that_is_missing_is_named(
    ran: tuple[themis.Results, themis.RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    results, result = ran
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(themis.SpecError, match="this needs the package polars: pip install polars"):
        results.to_polars(result.run_id)


LABELLED = """
project: {storage: {backend: sqlite, root_dir: store}}
benchmark:
  benchmark_id: labelled
  models: [{model_id: m, provider: replay/file, extras: {path: answers.jsonl}}]
  prompt_variants: [{id: plain, messages: [{role: user, content: "{{ item.id }}"}]}]
  inference_grid: {overrides: {temperature: [0.0, 1.0]}}
  slices:
    - slice_id: all
      dimensions: {subject: "fruit|vegetables"}
      dataset:
        source: files/inline
        fields: {id: id, reference: gold, metadata: [level, share, hard, mixed, nested, none]}
        extras:
          rows:
            - {id: one, gold: a, level: 1, share: 1, hard: true, mixed: 1, nested: {deep: [1]}, none: null}
            - {id: two, gold: b, level: 2, share: 0.5, hard: false, mixed: "<b>", nested: [], none: null}
      generation: {}
      parses: [{name: letter, extractors: [{id: extract/regex, config: {pattern: "A: (.)"}}]}]
      scores: [{name: accuracy, parse: letter, metrics: [text/exact_match]}]
"""


def test_a_frame_has_what_was_found_and_all_that_results_are_grouped_by(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(LABELLED, "utf-8")
    (tmp_path / "answers.jsonl").write_text('{"id": "one", "output": "A: a"}\n{"id": "two", "output": "b"}\n', "utf-8")
    result = themis.run(tmp_path / "spec.yaml")
    with themis.open_results(tmp_path / "spec.yaml") as results:
        arrow, polars = results.to_arrow(result.run_id), results.to_polars(result.run_id)
        pandas = results.to_pandas(result.run_id)
    assert arrow.column_names == polars.columns == list(pandas.columns)
    assert polars.to_dicts() == arrow.to_pylist()
    one, two = (next(row for row in arrow.to_pylist() if row["item_id"] == item) for item in ("one", "two"))
    names = arrow.column_names[len(COLUMNS) - 1 :]
    assert [(name, one[name], two[name]) for name in names] == [
        ("extracted", "a", None),
        ("dimensions.subject", "fruit|vegetables", "fruit|vegetables"),
        ("metadata.level", 1, 2),
        ("metadata.share", 1.0, 0.5),
        ("metadata.hard", True, False),
        ("metadata.mixed", "1", "<b>"),
        ("metadata.nested", '{"deep":[1]}', "[]"),
        ("metadata.none", None, None),
        ("params.temperature", "0.0", "0.0"),
    ]
    assert pandas.groupby("metadata.level")["value"].mean().to_dict() == {1: 1.0, 2: 0.0}
    assert pandas.groupby("params.temperature")["value"].mean().to_dict() == {"0.0": 0.5, "1.0": 0.5}
