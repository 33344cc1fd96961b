"""`themis runs` and `themis show`: what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from themis_core.cli.results import View, cost_text, show_result, view_options, warn
from themis_core.cli.running import show_messages
from themis_core.errors import SpecError
from themis_core.records import RunCost
from themis_core.wording import counted
from themis_output import aligned, as_json, cell, echo, format_option, heading, number, quoted, table

if TYPE_CHECKING:
    from themis_core.records import RunRecord, TrialRow
    from themis_core.results import Results

__all__ = ["runs", "show"]

CANDIDATES = 10
TOKENS = 20
"""Tokens of an answer whose log-probabilities are shown."""
UNMISTAKABLE = 6
"""Characters of a trial's id that are not looked for among the items first."""


def _store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    spec = click.option(
        "--spec",
        "--storage-from",
        "spec",
        type=click.Path(path_type=Path),
        metavar="SPEC",
        help="Spec file whose storage is read; ./.themis by default.",
    )
    project = click.option(
        "--project", type=click.Path(path_type=Path), metavar="FILE", help="Project file whose storage is read."
    )
    return spec(project(format_option(command)))


@click.command()
@_store_options
def runs(spec: Path | None, project: Path | None, as_format: str) -> None:
    """List the stored runs, latest first."""
    from themis_core.session import open_results

    with open_results(spec, project=project) as results:
        records = [_brief(record, results.cost(record.run_id)) for record in results.runs()]
    if as_format == "json":
        echo(as_json({"runs": records}))
    elif records:
        columns = {
            "run id": "run_id",
            "status": "status",
            "started (UTC)": "started_at",
            "planned": "planned",
            "trials": "trials",
            "failed": "failed",
            "cost": "cost",
            "of unknown cost": "unknown_cost_calls",
        }
        shown = {
            name: key for name, key in columns.items() if any(record[key] for record in records) or key == "failed"
        }
        rows = [[_run_cell(key, record[key]) for key in shown.values()] for record in records]
        table(list(shown), rows, whole=set(shown) - {"run id"})
    else:
        click.echo("no runs yet", err=True)


def _run_cell(key: str, value: Any) -> object:
    if key == "started_at":
        return _second(value)
    return number(value) if key == "cost" and value is not None else value


def _brief(record: RunRecord, cost: RunCost) -> dict[str, Any]:
    # Without the manifest, which `show run` has.
    return {
        "run_id": record.run_id,
        "status": record.status,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "planned": record.manifest.get("trials"),
        "trials": record.trials,
        "failed": record.failed,
        "cost": cost.known,
        "unknown_cost_calls": cost.unknown_calls,
        "cost_at_most": cost.at_most,
    }


def _second(at: str | None) -> str | None:
    """A stored time, which is in UTC, to the second."""
    return None if at is None else at[:19].replace("T", " ")


@click.group()
def show() -> None:
    """Show a stored run, or one trial of it from prompt to score."""


@show.command("run")
@click.argument("run_id")
@click.option("--trials", is_flag=True, help="List its trials as well.")
@view_options
@_store_options
def show_run(
    run_id: str, trials: bool, spec: Path | None, project: Path | None, as_format: str, **options: Any
) -> None:
    """Show a run's results and what it was made of; the beginning of its id will do, and `latest`."""
    from themis_core.session import open_results

    view = View.taken(options)
    with open_results(spec, project=project) as results:
        record = results.run(run_id)
        result = results.result(record.run_id)
        groups = view.groups(results, record.run_id)
        if as_format == "json":
            listed = [{**asdict(row), "scores": scores} for row, scores in _trials(results, record)] if trials else []
            more = {**({"groups": groups} if groups else {}), **({"trials": listed} if trials else {})}
            echo(as_json({"run": record, "result": result, **more}))
            return
        _show_record(record, results.cost(record.run_id))
        show_result(result, view, groups)
        warn(result)
        if trials:
            heading("Trials")
            _list_trials(results, record)


def _show_record(record: RunRecord, cost: RunCost) -> None:
    for name, value in _brief(record, cost).items():
        if "cost" in name:  # the result tells it
            continue
        if name.endswith("_at"):
            echo(f"{name.removesuffix('_at')}: {cell(_second(value))}{' UTC' if value else ''}")
        else:
            echo(f"{name.replace('_', ' ')}: {cell(value)}")
    for plugin in record.manifest.get("plugins") or ():
        label = plugin.get("path") or f"{plugin.get('distribution')} {plugin.get('version')}"
        echo(f"plugin {cell(plugin.get('namespace'))}: {cell(label)}")


def _list_trials(results: Results, record: RunRecord) -> None:
    """Line by line: there may be many. A score is a number, or in brackets the reason why there is none."""
    scorers = list(dict.fromkeys(f"{each['score']}/{each['metric']}" for each in record.manifest["scorers"]))
    rows = (
        [*_trial_cells(asdict(row)), *(_score_cell(scores.get(name)) for name in scorers)]
        for row, scores in _trials(results, record)
    )
    for line in aligned((*_TRIAL_COLUMNS, *scorers), rows):
        echo(line)


def _trials(results: Results, record: RunRecord) -> Iterator[tuple[TrialRow, dict[str, dict[str, Any]]]]:
    """Each trial with its scores by `score/metric`. Both streams have the same order of groups; one is held."""
    group = attrgetter("slice_id", "model_id", "prompt_variant_id", "params")
    score_groups = groupby(results.score_rows(record.run_id), group)
    ahead = next(score_groups, None)
    for names, trials in groupby(results.trials(record.run_id), group):
        scores: dict[str, dict[str, dict[str, Any]]] = {}
        if ahead is not None and ahead[0] == names:
            for row in ahead[1]:
                of_trial = scores.setdefault(row.trial_id, {})
                of_trial[f"{row.score}/{row.metric}"] = {"value": row.value, "reason": row.reason}
            ahead = next(score_groups, None)
        for trial in trials:
            yield trial, scores.get(trial.trial_id, {})


def _score_cell(score: Mapping[str, Any] | None) -> object:
    return None if score is None else f"({score['reason']})" if score["value"] is None else score["value"]


_TRIAL_COLUMNS = ("trial", "outcome", "slice", "model", "prompt", "params", "item", "sample")


def _trial_cells(row: Mapping[str, Any]) -> list[object]:
    outcome = row["outcome"] if row["error_code"] is None else f"{row['outcome']} ({row['error_code']})"
    names = ("slice_id", "model_id", "prompt_variant_id", "params", "item_id", "sample_index")
    return [row["trial_id"][:12], outcome, *(row[name] for name in names)]


@show.command("trial")
@click.argument("run_id")
@click.argument("trial")
@click.option("--slice", "slice_id", metavar="ID", help="Look in this slice only.")
@_store_options
def show_trial(
    run_id: str, trial: str, slice_id: str | None, spec: Path | None, project: Path | None, as_format: str
) -> None:
    """Show a trial's whole timeline: item, requests, answers, what was read in them, scores.

    TRIAL is the id of an item, or the beginning of a trial's id, which an item with several trials needs. Slices that
    share their items may have trials of the same id.
    """
    from themis_core.session import open_results

    with open_results(spec, project=project) as results:
        record = results.run(run_id)
        meant = _trial_meant(results, record.run_id, trial, slice_id)
        timeline = results.trial(record.run_id, meant.trial_id, meant.slice_id)
    if as_format == "json":
        echo(as_json(timeline))
    else:
        _show_timeline(timeline)


def _trial_meant(results: Results, run_id: str, name: str, slice_id: str | None) -> TrialRow:
    """The trial that is meant: a unique beginning of six or more characters, or an item's id."""
    found = _some(results.trials(run_id, name), slice_id)
    if len(found) == 1 and len(name) >= UNMISTAKABLE:
        return found[0]
    of_item = _some((row for row in results.trials(run_id) if row.item_id == name), slice_id)
    found = of_item or found
    if len(found) == 1:
        return found[0]
    if found:
        of_what = f"are of the item {name!r}" if of_item else f"begin with {name!r}"
        raise SpecError(f"several trials of {run_id} {of_what}: {_candidates(run_id, found)}")
    where = f" in its slice {slice_id!r}" if slice_id else ""
    raise SpecError(
        f"no trial of {run_id}{where} has the item {name!r}, or an id that begins so: "
        f"`themis show run {run_id} --trials` lists them"
    )


def _some(rows: Iterable[TrialRow], slice_id: str | None) -> list[TrialRow]:
    return list(islice((row for row in rows if slice_id in (None, row.slice_id)), CANDIDATES + 1))


def _candidates(run_id: str, found: list[TrialRow]) -> str:
    same = len({row.trial_id for row in found}) < len(found)
    lines = aligned(_TRIAL_COLUMNS, [_trial_cells(asdict(row)) for row in found[:CANDIDATES]])
    more = [f"and more: `themis show run {run_id} --trials` lists them"] if len(found) > CANDIDATES else []
    listed = "\n  ".join([*lines, *more])
    return f"give the beginning of a trial's id{', and --slice' if same else ''}\n  {listed}"


def _show_timeline(timeline: Mapping[str, Any]) -> None:
    heading(f"Trial {timeline['trial']['trial_id']}")
    for line in aligned(_TRIAL_COLUMNS, [_trial_cells(timeline["trial"])]):
        echo(line)
    if item := timeline["item"]:
        heading(f"Item {item['id']}")
        for name, value in {**item["fields"], "reference": item["reference"]}.items():
            echo(f"  {cell(name)}: {cell(value)}")
    for ordinal, turn in enumerate(timeline["turns"], 1):
        _show_turn(f"Turn {ordinal}", turn)
    for entry in timeline["scores"]:
        for turn in entry["judged"]:
            _show_turn(f"Judge of {entry['score']}/{entry['metric']}", turn)
        _show_verdicts(entry)
    if timeline["scores"]:
        heading("Scores")
        columns = ("score", "metric", "value", "reason", "parse", "found")
        table(columns, [_score_cells(entry) for entry in timeline["scores"]])
    for entry in timeline["scores"]:
        # A component that failed leaves what it raised; see the reason `metric_error`.
        if entry["result"]["value"] is None and (error := entry["result"]["details"].get("error")) is not None:
            echo(f"  {cell(entry['score'])}/{cell(entry['metric'])}: {cell(entry['result']['reason'])}: {cell(error)}")


def _show_turn(name: str, turn: Mapping[str, Any]) -> None:
    answer = turn["generation"]
    heading(f"{name}: asked {turn['request']['model_id']} at {turn['at']}")
    show_messages(turn["request"]["messages"])
    took = "" if answer["latency_s"] is None else f" in {number(answer['latency_s'], 3)} s"
    unknown = answer["provider"].get("unknown_cost")
    spent = RunCost(**unknown) if unknown else RunCost(answer["cost"])
    cost = f", {told}" if (told := cost_text(spent.known, spent.unknown_calls, spent.at_most)) else ""
    ended = "" if answer["finish_reason"] is None else f" ({cell(answer['finish_reason'])})"
    echo(f"  → {answer['status']}{ended}{took}, attempts: {answer['attempts']}{cost}")
    if answer["status"] == "failed":
        echo(f"  {cell(answer['error_code'])}: {cell(answer['error'])}")
    for part in ("reasoning", "text", "refusal"):
        if answer[part]:
            echo(f"  {part}:\n{quoted(answer[part])}")
    for call in answer["tool_calls"]:
        echo(f"  tool call:\n{quoted(as_json(call, indent=None))}")
    for ordinal, text in enumerate(answer["alternatives"], 2):
        echo(f"  choice {ordinal}:\n{quoted(text)}")
    if answer["logprobs"]:
        _show_logprobs(answer["logprobs"])


def _show_logprobs(tokens: Sequence[Mapping[str, Any]]) -> None:
    """The first tokens with their log-probabilities and the likeliest others."""
    shown = [f"{cell(repr(each.get('token')))} {cell(each.get('logprob'))}{_others(each)}" for each in tokens[:TOKENS]]
    more = (
        f"\n    and {counted(len(tokens) - TOKENS, 'more token')}; --format json has them all"
        if len(tokens) > TOKENS
        else ""
    )
    echo("  logprobs:\n    " + "\n    ".join(shown) + more)


def _others(token: Mapping[str, Any]) -> str:
    others = [each for each in token.get("top_logprobs") or () if isinstance(each, dict)]
    likeliest = ", ".join(f"{cell(repr(each.get('token')))} {cell(each.get('logprob'))}" for each in others[:5])
    return f"  (of {likeliest})" if likeliest else ""


def _show_verdicts(entry: Mapping[str, Any]) -> None:
    """What a judge read in its models' replies, if it tells: `details.verdicts`, a list of mappings."""
    verdicts = entry["result"]["details"].get("verdicts")
    if not isinstance(verdicts, list) or not all(isinstance(each, dict) for each in verdicts) or not verdicts:
        return
    columns = list(dict.fromkeys(name for each in verdicts for name in each))
    heading(f"Verdicts of {entry['score']}/{entry['metric']}")
    table([cell(str(name)) for name in columns], [[each.get(name) for name in columns] for each in verdicts])


def _score_cells(entry: Mapping[str, Any]) -> list[object]:
    result, found = entry["result"], entry["extraction"]
    read = None if found is None else found["value"] if found["reason"] is None else f"nothing ({found['reason']})"
    return [entry["score"], entry["metric"], result["value"], result["reason"], entry["parse"], read]
