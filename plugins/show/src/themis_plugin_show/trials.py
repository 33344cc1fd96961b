"""`themis show trials` and `themis show items`: which trials and items of a run are worth a look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import reduce, wraps
from itertools import chain, groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import themis_output
from themis_core import SpecError
from themis_output import aligned, as_json, echo, format_option, own_stdout, safe, table

if TYPE_CHECKING:
    from themis_core import Results, RunRecord, ScoreRow, TrialRow

__all__ = ["TRIAL_COLUMNS", "show_items", "show_trials", "store_options", "trial_cells", "where_options"]

TRIAL_COLUMNS = ("trial", "outcome", "slice", "model", "prompt", "params", "item", "sample")
Scores = dict[str, "ScoreRow"]
"""`score/metric` to the score of one trial."""

_WHERE = (
    click.option("--model", metavar="ID", help="Only those of this model."),
    click.option("--prompt", metavar="ID", help="Only those of this prompt variant."),
    click.option("--slice", metavar="ID", help="Only those of this slice."),
    click.option(
        "--where",
        multiple=True,
        metavar="NAME=VALUE",
        help="Only those with this value: metadata.category=sums, params.temperature=0.7, or another name of --by. "
        "Repeatable.",
    ),
)


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say which store is shown, and how."""
    return themis_output.store_options(format_option(own_stdout()(command)), also=("--storage-from",))


def where_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that choose trials; the command gets them as one mapping, `where`."""

    @wraps(command)  # with the options that it has
    def taken(*args: Any, where: tuple[str, ...], **options: Any) -> Any:
        wanted = {name: value for name in ("model", "prompt", "slice") if (value := options.pop(name)) is not None}
        for each in where:
            name, sign, value = each.partition("=")
            if not sign:
                raise SpecError(f"--where {each!r}: write NAME=VALUE, such as metadata.category=sums")
            wanted[name] = value
        return command(*args, where=wanted, **options)

    return reduce(lambda inner, option: option(inner), reversed(_WHERE), taken)


@click.command("trials")
@click.argument("run_id")
@click.option(
    "--outcome",
    type=click.Choice(["answered", "refused", "truncated", "empty", "absent", "failed"]),
    help="Only those that ended this way.",
)
@click.option(
    "--scored",
    type=click.Choice(["right", "wrong", "unparsed", "unscored"]),
    help="Only those whose score is the best of its range (right), another value (wrong), unparsed or missing.",
)
@click.option("--metric", metavar="NAME", help="The metric or score that `--scored` means; any by default.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N.")
@where_options
@store_options
def show_trials(
    run_id: str,
    outcome: str | None,
    scored: str | None,
    metric: str | None,
    limit: int | None,
    where: Mapping[str, str],
    spec: Path | None,
    project: Path | None,
    as_format: str,
) -> None:
    """List the trials of a run with their scores, all or chosen ones; `latest` is the run that began last.

    A score is a number, or the reason why there is none, in brackets.
    """
    from themis_core import open_results

    with open_results(spec, project=project) as results:
        record = results.run(run_id)
        _check(results, record, where, metric)
        found = _scored(results, record, outcome, where)
        if scored is not None:
            found = (each for each in found if _has(each[1], record, scored, metric))
        found = islice(found, limit)
        if as_format == "json":
            echo(as_json({"run_id": record.run_id, "trials": [_plain(*each) for each in found]}))
            return
        scorers = list(dict.fromkeys(f"{each['score']}/{each['metric']}" for each in record.manifest["scorers"]))
        rows = (
            [*trial_cells(asdict(row)), *(_score_cell(scores.get(name)) for name in scorers)] for row, scores in found
        )
        first = next(rows, None)
        for line in aligned((*TRIAL_COLUMNS, *scorers), chain([first] if first else [], rows)):
            echo(line)
        if first is None:
            click.echo(f"no trial of {safe(record.run_id)} matches", err=True)


@click.command("items")
@click.argument("run_id")
@click.option("--metric", metavar="NAME", help="Only this metric or score.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="At most N for each metric."
)
@where_options
@store_options
def show_items(
    run_id: str,
    metric: str | None,
    limit: int,
    where: Mapping[str, str],
    spec: Path | None,
    project: Path | None,
    as_format: str,
) -> None:
    """List the items on which a run's models did worst, by the mean score of all answers to each item."""
    from themis_core import open_results

    with open_results(spec, project=project) as results:
        record = results.run(run_id)
        _check(results, record, where, metric)
        found = results.worst_items(record.run_id, limit, where=where, metric=metric)
    if as_format == "json":
        echo(as_json({"items": [each._asdict() for each in found]}))
    elif found:
        table(("score", "metric", "item", "mean", "n"), [each[:5] for each in found], shared=("score", "metric"))
    else:
        click.echo("no scores", err=True)


def _check(results: Results, run: RunRecord, where: Mapping[str, str], metric: str | None) -> None:
    """Raise SpecError for a slice, model, prompt, score or metric that the run does not have."""
    stored, benchmark = results.outcomes(run.run_id), run.manifest["benchmark"]
    known = {
        "slice": [*(each["slice_id"] for each in benchmark["slices"]), *(each.slice_id for each in stored)],
        "model": [*(each["model_id"] for each in benchmark["models"]), *(each.model_id for each in stored)],
        "prompt": [
            *(each["id"] for each in benchmark["prompt_variants"]),
            *(each.prompt_variant_id for each in stored),
        ],
        "score or metric": [name for each in run.manifest["scorers"] for name in (each["score"], each["metric"])],
    }
    wanted = {**where, **({"score or metric": metric} if metric is not None else {})}
    for name, value in wanted.items():
        if name in known and value not in known[name]:
            listed = ", ".join(dict.fromkeys(known[name])) or "none"
            raise SpecError(f"{run.run_id} has no {name} {value!r}. It has: {listed}")


def _scored(
    results: Results, record: RunRecord, outcome: str | None, where: Mapping[str, str]
) -> Iterator[tuple[TrialRow, Scores]]:
    """Each trial with its scores. Both streams have the same order of groups; one is held."""
    group = attrgetter("slice_id", "model_id", "prompt_variant_id", "params")
    score_groups = groupby(results.score_rows(record.run_id), group)
    ahead = next(score_groups, None)
    for names, trials in groupby(results.trials(record.run_id, outcome=outcome, where=where), group):
        while ahead is not None and ahead[0] < names:
            ahead = next(score_groups, None)
        scores: dict[str, Scores] = {}
        if ahead is not None and ahead[0] == names:
            for row in ahead[1]:
                scores.setdefault(row.trial_id, {})[f"{row.score}/{row.metric}"] = row
        for trial in trials:
            yield trial, scores.get(trial.trial_id, {})


def _has(scores: Scores, record: RunRecord, scored: str, metric: str | None) -> bool:
    bests = {(each["slice_id"], each["score"], each["metric"]): _best(each) for each in record.manifest["scorers"]}
    for row in scores.values():
        if metric not in (None, row.metric, row.score):
            continue
        best = bests[row.slice_id, row.score, row.metric]
        is_so = {
            "right": row.value is not None and row.value == best,
            "wrong": row.value is not None and best is not None and row.value != best,
            "unparsed": row.parse_reason is not None,
            "unscored": row.value is None,
        }
        if is_so[scored]:
            return True
    return False


def _best(scorer: Mapping[str, Any]) -> float | None:
    """The best end of a scorer's range; None if it has no such end."""
    best: float | None = scorer.get("highest" if scorer.get("higher_is_better", True) else "lowest")
    return best


def _plain(row: TrialRow, scores: Scores) -> dict[str, Any]:
    told = {name: {"value": each.value, "reason": each.reason} for name, each in scores.items()}
    return {**asdict(row), "scores": told}


def _score_cell(score: ScoreRow | None) -> object:
    return None if score is None else f"({score.reason})" if score.value is None else score.value


def trial_cells(row: Mapping[str, Any]) -> list[object]:
    """The cells of a trial under `TRIAL_COLUMNS`."""
    outcome = row["outcome"] if row["error_code"] is None else f"{row['outcome']} ({row['error_code']})"
    names = ("slice_id", "model_id", "prompt_variant_id", "params", "item_id", "sample_index")
    return [row["trial_id"][:12], outcome, *(row[name] for name in names)]
