"""Tables on terminals of several widths, and in files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click
import pytest

from themis_core import GroupRow, ResultRow, RunResult, gates_of
from themis_display import show_result
from themis_output import Figure, aligned, table

Print = pytest.CaptureFixture[str]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make stdout a terminal of some columns."""

    def of(columns: int) -> None:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(columns))

    return of


def printed(capsys: Print) -> list[str]:
    return click.unstyle(capsys.readouterr().out).splitlines()


def show(shown: RunResult) -> None:
    show_result(shown, gates_of({"thresholds": shown.thresholds}))


def test_a_table_in_a_file_is_aligned_text_with_numbers_to_the_right(capsys: Print) -> None:
    table(["model", "value", "95 %", "n"], [["small", 0.5, Figure("[0, 1]"), 10], ["[bold]x", None, Figure("–"), 2]])
    assert printed(capsys) == [
        "model    value    95 %   n",
        "small      0.5  [0, 1]  10",
        "[bold]x      –       –   2",
    ]


WIDE = (
    ["run", "summary", "calls made", "cost"],
    [["a-1", "Reads the last_number that a model wrote", 12345678, 0.5], ["b-2", "漢字漢字 漢字", 1, None]],
)


def test_calls_of_judges_and_of_simulated_users_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    show_result(result(generated=160, judged=100, simulated=40), [])
    assert "160 calls answered (100 by judges and 40 by simulated users), 0 trials reused" in capsys.readouterr().out
    show_result(result(generated=3, simulated=1), [])
    assert "3 calls answered (1 by simulated users)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (
            80,
            [
                "run  summary                                   calls made  cost",
                "───  ────────────────────────────────────────  ──────────  ────",
                "a-1  Reads the last_number that a model wrote    12345678   0.5",
                "b-2  漢字漢字 漢字                                      1     –",
            ],
        ),
        (
            40,  # what is widest gives way, between words and behind underscores; numbers and `whole` never do
            [
                "run  summary            calls made  cost",
                "───  ─────────────────  ──────────  ────",
                "a-1  Reads the last_      12345678   0.5",
                "     number that a",
                "     model wrote",
                "b-2  漢字漢字 漢字               1     –",
            ],
        ),
        (
            30,  # a header of numbers is wrapped, its numbers are not
            [
                "run  summary       calls  cost",
                "                    made",
                "───  ────────  ─────────  ────",
                "a-1  Reads      12345678   0.5",
                "     the",
                "     last_",
                "     number",
                "     that a",
                "     model",
                "     wrote",
                "b-2  漢字漢字          1     –",
                "     漢字",
            ],
        ),
        (
            20,  # too narrow for that: the plain table
            [
                "run  summary                                   calls made  cost",
                "───  ────────────────────────────────────────  ──────────  ────",
                "a-1  Reads the last_number that a model wrote    12345678   0.5",
                "b-2  漢字漢字 漢字                                      1     –",
            ],
        ),
    ],
)
def test_a_table_on_a_terminal_is_no_wider_than_it_and_loses_nothing(
    capsys: Print, terminal: Any, columns: int, lines: list[str]
) -> None:
    terminal(columns)
    table(*WIDE, whole=("run",))
    assert printed(capsys) == lines


def test_a_table_on_a_terminal_reads_no_markup_in_data(capsys: Print, terminal: Any) -> None:
    terminal(80)
    table(["model"], [["[bold]x[/bold]"]])
    assert printed(capsys)[-1] == "[bold]x[/bold]"


def test_what_all_rows_share_leaves_a_table_that_is_too_wide(capsys: Print, terminal: Any) -> None:
    rows = [["m1", "openai/chat", 1], ["m2", "openai/chat", 2]]
    terminal(25)
    table(["model", "provider", "calls"], rows, shared=("model", "provider"))
    assert printed(capsys)[2:] == ["m1     openai/chat      1", "m2     openai/chat      2"]
    terminal(24)
    table(["model", "provider", "calls"], rows, shared=("model", "provider"))
    assert printed(capsys) == [
        "all rows: provider openai/chat",
        "model  calls",
        "─────  ─────",
        "m1         1",
        "m2         2",
    ]


@pytest.mark.parametrize("columns", [5, 80])
def test_a_table_without_rows_is_its_header(capsys: Print, terminal: Any, columns: int) -> None:
    terminal(columns)
    table(["model", "calls"], [], shared=("model",))
    assert printed(capsys) == ["model  calls", "─────  ─────"]


def test_a_cell_as_long_as_an_answer_is_broken_where_it_must_be(capsys: Print, terminal: Any) -> None:
    terminal(40)
    table(["found", "n"], [["x" * 100_000, 1]])
    lines = printed(capsys)[2:]
    assert lines[0] == "x" * 37 + "  1"
    assert "".join(line.split()[0] for line in lines) == "x" * 100_000


def test_a_stream_of_rows_is_aligned_by_its_first_rows() -> None:
    rows = (["a" * 5 if number < 300 else "b" * 9, number] for number in range(301))
    lines = list(aligned(["item", "n"], rows))
    assert [lines[0], lines[1], lines[-1]] == ["item   n", "aaaaa  0", "bbbbbbbbb  300"]


# --- results ------------------------------------------------------------------------------------------------


def row(prompt: str, score: str, value: float | None, **changes: Any) -> ResultRow:
    values: dict[str, Any] = {
        "slice_id": "two_steps", "model_id": "small", "prompt_variant_id": prompt, "params": "default", "score": score,
        "metric": {"accuracy": "text/numeric_match"}.get(score, "ends_in_number"), "value": value, "n": 20,
        "standard_error": 0.1, "low": 0.25, "high": 0.5, "interval": "wilson", "no_interval": None,
        "failed": 0, "unscored": 0, "unparsed": 0,
    }  # fmt: skip
    return ResultRow(**{**values, **changes})


def result(*scores: ResultRow, **changes: Any) -> RunResult:
    values: dict[str, Any] = {
        "run_id": "maths-0a1b2c", "spec_digest": "0" * 64, "status": "completed", "trials": 80, "generated": 80,
        "reused": 0, "failed": 0, "cost": 0.0000987654, "unknown_cost_calls": 0, "cost_at_most": 0.0000987654,
        "ledger": {"answered": 79, "empty": 1}, "scores": [*scores],
        "thresholds": [], "storage": ".themis/themis.sqlite3",
    }  # fmt: skip
    return RunResult(**{**values, **changes})


FOUR = (
    row("direct", "accuracy", 0.3, unparsed=1),
    row("direct", "format", 0.4),
    row("step_by_step", "accuracy", 0.35),
    row("step_by_step", "format", 0.45),
)
ROUNDED = "all rows: slice two_steps, model small, method wilson, 0 unscored, 0 failed"


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (
            100,
            [
                ROUNDED,
                "prompt        score     metric               value   95 % interval   n  unparsed",
                "────────────  ────────  ──────────────────  ──────  ──────────────  ──  ────────",
                "direct        accuracy  text/numeric_match  0.3000  [0.250, 0.500]  20         1",
                "direct        format    ends_in_number      0.4000  [0.250, 0.500]  20         0",
                "step_by_step  accuracy  text/numeric_match  0.3500  [0.250, 0.500]  20         0",
                "step_by_step  format    ends_in_number      0.4500  [0.250, 0.500]  20         0",
                "",
                "maths-0a1b2c: completed; 80 trials (79 answered, 1 empty)",
                "  80 calls answered, 0 trials reused; cost 0.00009877 in all executions; store .themis/themis.sqlite3",
            ],
        ),
        (
            70,
            [
                ROUNDED,
                "metrics: accuracy is text/numeric_match, format is ends_in_number",
                "prompt        score      value   95 % interval   n  unparsed",
                "────────────  ────────  ──────  ──────────────  ──  ────────",
                "direct        accuracy  0.3000  [0.250, 0.500]  20         1",
                "direct        format    0.4000  [0.250, 0.500]  20         0",
                "step_by_step  accuracy  0.3500  [0.250, 0.500]  20         0",
                "step_by_step  format    0.4500  [0.250, 0.500]  20         0",
                "",
                "maths-0a1b2c: completed; 80 trials (79 answered, 1 empty)",
                "  80 calls answered, 0 trials reused; cost 0.00009877 in all executions; store .themis/themis.sqlite3",
            ],
        ),
    ],
)
def test_scores_fit_the_terminal_and_what_all_rows_share_is_said_once(
    capsys: Print, terminal: Any, columns: int, lines: list[str]
) -> None:
    terminal(columns)
    show(result(*FOUR))
    assert printed(capsys) == lines


def test_metrics_stay_in_the_table_if_a_score_has_two(capsys: Print, terminal: Any) -> None:
    terminal(70)
    show(result(row("direct", "accuracy", 0.3), row("direct", "accuracy", 0.4, metric="text/rouge_of_all_lines")))
    assert printed(capsys)[:5] == [
        "all rows: slice two_steps, model small, prompt direct, method wilson, 0 unparsed, 0 unscored, 0 failed",
        "score     metric                    value   95 % interval   n",
        "────────  ───────────────────────  ──────  ──────────────  ──",
        "accuracy  text/numeric_match       0.3000  [0.250, 0.500]  20",
        "accuracy  text/rouge_of_all_lines  0.4000  [0.250, 0.500]  20",
    ]


def test_parameters_that_all_rows_share_are_said_once_too() -> None:
    both = [
        row("direct", "accuracy", 0.3, params=f"{own}top_p=0.9, max_tokens=64") for own in ("temperature=0.7, ", "")
    ]
    assert result(*both).table().splitlines() == [
        (
            "all rows: params top_p=0.9, max_tokens=64, slice two_steps, model small, prompt direct, "
            "method wilson, 0 unparsed, 0 unscored, 0 failed"
        ),
        "params           score     metric               value   95 % interval   n",
        "temperature=0.7  accuracy  text/numeric_match  0.3000  [0.250, 0.500]  20",
        "–                accuracy  text/numeric_match  0.3000  [0.250, 0.500]  20",
    ]


def test_results_print_the_same_table_in_python() -> None:
    warm = row("direct", "accuracy", None, params="temperature=0.7", n=0, low=None, high=None, failed=20)
    warm = replace(warm, interval=None, no_interval="nothing_scored")
    assert result(row("direct", "accuracy", 0.3), warm).table().splitlines() == [
        "all rows: slice two_steps, model small, prompt direct, 0 unparsed, 0 unscored",
        "params           score     metric               value   95 % interval  method           n  failed",
        "default          accuracy  text/numeric_match  0.3000  [0.250, 0.500]  wilson          20       0",
        "temperature=0.7  accuracy  text/numeric_match       –               –  nothing_scored   0      20",
    ]


def test_a_threshold_that_is_not_met_names_the_rows_that_miss_it(capsys: Print) -> None:
    names = {"slice_id": "all", "model_id": "small", "prompt_variant_id": "direct", "score": "accuracy", "metric": "m"}
    missed = {**names, "params": "default", "value": 0.4999961}
    unjudged = {**names, "params": "t=1", "value": None, "why": "nothing was scored"}
    whole: dict[str, Any] = {"measure": "value", "met": False, "judged": True, "why": None, "rows": 1, "worst": None}
    whole |= {"missed": [], "unjudged": []}
    no_row, no_value = "no row of the results is of that kind", unjudged["why"]
    thresholds = [
        {**whole, "score": "accuracy", "minimum": 0.5, "missed": [missed], "unjudged": [unjudged], "why": no_value},
        {**whole, "score": "format", "maximum": 1.0, "met": True, "rows": 2, "worst": {**names, "value": 0.75}},
        {**whole, "measure": "latency_p95", "maximum": 2.0, "met": True, "worst": {"value": 1.25}},
        {**whole, "score": "format", "model_id": "large", "minimum": 0.0, "judged": False, "why": no_row},
        {**whole, "score": "format", "minimum": 0.0, "judged": False, "unjudged": [unjudged], "why": no_value},
        {**whole, "score": "many", "minimum": 1.0, "max_missing": 0.0, "missed": [missed] * 23},
    ]
    show(result(thresholds=thresholds))
    one = "    all · small · direct · accuracy · m: 0.499996"
    other = "    all · small · direct · t=1 · accuracy · m: nothing was scored"
    assert printed(capsys)[3:] == [
        "  threshold NOT MET: score accuracy, minimum 0.5",
        one,
        other,
        "  threshold met: score format, maximum 1: 0.75 at worst",
        "  threshold met: measure latency_p95, maximum 2: 1.25",
        "  threshold NOT JUDGED, so not met: score format, model_id large, minimum 0",
        f"    {no_row}",
        "  threshold NOT JUDGED, so not met: score format, minimum 0",
        other,
        "  threshold NOT MET: score many, minimum 1, max_missing 0",
        *[one] * 20,
        "    and 3 more; `--format json` has them all",
    ]


def test_an_example_of_each_error_is_printed_beside_the_counts(capsys: Print) -> None:
    scores = {"accuracy/mine/m": {"scored": 1, "unscored": {"metric_error": 2}}}
    errors = {"timeout": "no reply in 60 s", "metric_error": "mine/m: score: ZeroDivisionError: division by zero"}
    show(result(ledger={"answered": 3, "scores": scores}, errors=errors))
    assert printed(capsys)[-3:] == [
        "  accuracy/mine/m: 2 unscored (metric_error 2)",
        "  timeout, such as: no reply in 60 s",
        "  metric_error, such as: mine/m: score: ZeroDivisionError: division by zero",
    ]


def test_models_are_columns_where_a_row_for_each_number_is_too_wide(capsys: Print, terminal: Any) -> None:
    terminal(100)
    rows = [
        ResultRow(
            "gsm8k", model, prompt, f"temperature={heat}, max_tokens=512", "accuracy", "text/numeric_match", 0.5, n,
            0.03, 0.43, 0.57, "wilson", None, 0, 0, int(model == "small"), {}, {}, n, 0.5, 0.5, 100,
        )
        for prompt in ("plain", "chain_of_thought")
        for heat, n in ((0.0, 200), (0.7, 198))
        for model in ("small", "large")
    ]  # fmt: skip
    show(result(scores=rows))
    assert printed(capsys)[:7] == [
        "all rows: params max_tokens=512, slice gsm8k, score accuracy, metric text/numeric_match",
        "prompt            params             n  unparsed                 small                 large",
        "────────────────  ───────────────  ───  ────────  ────────────────────  ────────────────────",
        "plain             temperature=0.0  200         1  0.500 [0.430, 0.570]  0.500 [0.430, 0.570]",
        "plain             temperature=0.7  198         1  0.500 [0.430, 0.570]  0.500 [0.430, 0.570]",
        "chain_of_thought  temperature=0.0  200         1  0.500 [0.430, 0.570]  0.500 [0.430, 0.570]",
        "chain_of_thought  temperature=0.7  198         1  0.500 [0.430, 0.570]  0.500 [0.430, 0.570]",
    ]


def test_rows_without_the_samples_for_a_number_say_how_many_it_takes(capsys: Print) -> None:
    any_of_four = GroupRow(
        {"model": "a"}, "accuracy", "exact", None, 0, 0, None, None, None, None, "too_few_samples", 0, 6, 0,
        aggregate="any of four", weighting="micro", repeats="pass^4",
    )  # fmt: skip
    show(result(*FOUR, aggregates=[any_of_four]))
    assert "too_few_samples: pass^4 needs 4 scored samples of an item, and no item there has so many" in printed(capsys)


def of_group(group: dict[str, str | None], value: float) -> GroupRow:
    return GroupRow(group, "accuracy", "exact", value, 4, 4, None, None, None, None, "one_item", 0, 0, 0)


@pytest.mark.parametrize("models", [("a", "b"), ("a",)], ids=["a column for each model", "a row for each number"])
def test_groups_that_are_called_as_totals_and_missing_values_are_shown_stay_rows_of_their_own(
    capsys: Print, models: tuple[str, ...]
) -> None:
    kinds = ["sums", "all", "–", "", None]
    groups = [of_group({"kind": kind, "model": model}, 0.25) for kind in kinds for model in models]
    totals = [of_group({"model": model}, 0.5) for model in models]
    show_result(result(), [], groups=[*groups, *totals])
    rows = [line.split()[0] for line in printed(capsys) if line.startswith(("sums", "all  ", '"', "–"))]
    assert rows == ["sums", '"all"', '"–"', '""', "–", "all"]


def test_a_group_that_is_called_all_needs_no_quotes_beside_no_total(capsys: Print) -> None:
    show_result(result(), [], groups=[of_group({"kind": kind, "model": "a"}, 0.5) for kind in ("all", "some")])
    assert any(line.startswith("all  ") for line in printed(capsys))
