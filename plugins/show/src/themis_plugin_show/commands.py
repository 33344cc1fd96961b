"""`themis runs` and `themis show`: what is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from themis_core import SIMULATED_USER, CommandWithOutputs, RunCost, SpecError, asked_outputs, counted
from themis_display import View, cost_text, show_messages, show_result, show_steps, view_options, warn
from themis_output import aligned, as_json, cell, echo, heading, number, quoted, safe, table
from themis_plugin_show.news import news_of
from themis_plugin_show.parts import show_parts, states_of, states_told
from themis_plugin_show.trials import (
    TRIAL_COLUMNS,
    show_items,
    show_trials,
    store_options,
    trial_cells,
    where_options,
)

if TYPE_CHECKING:
    from themis_core import Results, RunRecord, TrialRow

__all__ = ["runs", "show"]

CANDIDATES = 10
TOKENS = 20
"""Tokens of an answer whose log-probabilities are shown."""
UNMISTAKABLE = 6
"""Characters of a trial's id that are not looked for among the items first."""


@click.command()
@store_options
def runs(spec: Path | None, project: Path | None, as_format: str) -> None:
    """List the stored runs, latest first."""
    from themis_core import open_results

    with open_results(spec, project=project) as results:
        records = _with_news(results)
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
            "parts": "parts",
            "in batches": "in_batches",
            "cost": "cost",
            "of unknown cost": "unknown_cost_calls",
            "new": "new",
        }
        shown = {
            name: key for name, key in columns.items() if any(record[key] for record in records) or key == "failed"
        }
        rows = [[_run_cell(key, record[key]) for key in shown.values()] for record in records]
        table(list(shown), rows, whole=set(shown) - {"run id"})
    else:
        click.echo("no runs yet", err=True)


def _with_news(results: Results) -> list[dict[str, Any]]:
    """The runs, latest first, each with what is new in it against the one before of its benchmark."""
    told: list[dict[str, Any]] = []
    waiting: dict[str, tuple[dict[str, Any], Mapping[str, Any]]] = {}
    waits: Counter[str] = Counter()
    for each in results.open_batches():
        waits[each.run_id] += len(each.keys)
    for record in results.runs():
        told.append(_brief(record, results.cost(record.run_id)) | {"in_batches": waits[record.run_id]})
        if record.in_parts:
            told[-1]["parts"] = states_of(results.parts(record.run_id, count=False))
        benchmark = record.manifest.get("benchmark", {}).get("benchmark_id", "")
        if benchmark in waiting:
            later, manifest = waiting[benchmark]
            later["new"] = news_of(manifest, record.manifest) or None
        waiting[benchmark] = (told[-1], record.manifest)
    return told


def _run_cell(key: str, value: Any) -> object:
    if key == "parts":
        return None if value is None else states_told(value)
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
        "parts": None,
        "new": None,
    }


def _second(at: str | None) -> str | None:
    """A stored time, which is in UTC, to the second."""
    return None if at is None else at[:19].replace("T", " ")


@click.group()
def show() -> None:
    """Show a stored run, or one trial of it from prompt to score."""


@show.command("run", cls=CommandWithOutputs)
@click.argument("run_id")
@view_options
@store_options
def show_run(run_id: str, spec: Path | None, project: Path | None, as_format: str, **options: Any) -> None:
    """Show a run's results and what it was made of; RUN_ID may be the beginning of an id, or `latest`."""
    from themis_core import gates_of, open_results

    outputs, view = asked_outputs(as_format), View.taken(options)
    with open_results(spec, project=project) as results:
        record = results.run(run_id)
        result = results.result(record.run_id)
        groups = view.groups(results, record.run_id)
        parts = results.parts(record.run_id)
        for output in outputs:
            output.write(result)
        if as_format == "json":
            more = {**({"groups": groups} if groups else {}), **({"parts": parts} if parts else {})}
            echo(as_json({"run": record, "result": result, **more}))
            return
        _show_record(record, results.cost(record.run_id))
        show_parts(parts)
        show_result(result, gates_of({"thresholds": result.thresholds}), view, groups)
        warn(result)
        if result.note:
            click.echo(safe(result.note), err=True)


def _show_record(record: RunRecord, cost: RunCost) -> None:
    for name, value in _brief(record, cost).items():
        if "cost" in name or name in ("new", "parts"):  # the result tells it, and a table
            continue
        if name.endswith("_at"):
            echo(f"{name.removesuffix('_at')}: {cell(_second(value))}{' UTC' if value else ''}")
        else:
            echo(f"{name.replace('_', ' ')}: {cell(value)}")
    for plugin in record.manifest.get("plugins") or ():
        label = plugin.get("path") or f"{plugin.get('distribution')} {plugin.get('version')}"
        echo(f"plugin {cell(plugin.get('namespace'))}: {cell(label)}")


show.add_command(show_trials)
show.add_command(show_items)


@show.command("trial")
@click.argument("run_id")
@click.argument("trial")
@where_options
@store_options
def show_trial(
    run_id: str, trial: str, where: Mapping[str, str], spec: Path | None, project: Path | None, as_format: str
) -> None:
    """Show a trial's whole timeline: item, requests, answers, extracted values, scores.

    TRIAL is the id of an item, or the beginning of a trial's id. If an item has several trials, choose one by --model,
    --prompt, --slice and --where (`sample=2`). Slices that share items may have trials with the same id.
    """
    from themis_core import open_results

    with open_results(spec, project=project) as results:
        record = results.run(run_id)
        meant = _trial_meant(results, record.run_id, trial, where)
        timeline = results.trial(record.run_id, meant.trial_id, meant.slice_id)
    if as_format == "json":
        echo(as_json(timeline))
    else:
        _show_timeline(timeline)


def _trial_meant(results: Results, run_id: str, name: str, where: Mapping[str, str]) -> TrialRow:
    """The trial that is meant: a unique beginning of six or more characters, or an item's id."""
    found = list(islice(results.trials(run_id, name, where=where), CANDIDATES + 1))
    if len(found) == 1 and len(name) >= UNMISTAKABLE:
        return found[0]
    of_item = list(islice((row for row in results.trials(run_id, where=where) if row.item_id == name), CANDIDATES + 1))
    found = of_item or found
    if len(found) == 1:
        return found[0]
    if found:
        of_what = f"are of the item {name!r}" if of_item else f"begin with {name!r}"
        raise SpecError(f"several trials of {run_id} {of_what}: {_candidates(run_id, found)}")
    told = ", ".join(f"{key} {value!r}" for key, value in where.items())
    raise SpecError(
        f"no trial of {run_id}{f' with {told}' if told else ''} has the item {name!r}, or an id that begins so: "
        f"`themis show trials {run_id}` lists them"
    )


def _candidates(run_id: str, found: list[TrialRow]) -> str:
    same = len({row.trial_id for row in found}) < len(found)
    lines = aligned(TRIAL_COLUMNS, [trial_cells(asdict(row)) for row in found[:CANDIDATES]])
    more = [f"and more: `themis show trials {run_id}` lists them"] if len(found) > CANDIDATES else []
    listed = "\n  ".join([*lines, *more])
    how = "give --slice as well" if same else "add --model, --prompt or --where, or give the beginning of a trial's id"
    return f"{how}\n  {listed}"


def _show_timeline(timeline: Mapping[str, Any]) -> None:
    heading(f"Trial {timeline['trial']['trial_id']}")
    for line in aligned(TRIAL_COLUMNS, [trial_cells(timeline["trial"])]):
        echo(line)
    if item := timeline["item"]:
        heading(f"Item {item['id']}")
        for name, value in {**item["fields"], "reference": item["reference"]}.items():
            echo(f"  {cell(name)}: {cell(value)}")
    _show_turns(timeline["turns"])
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


def _show_turns(turns: Sequence[Mapping[str, Any]]) -> None:
    """The turns of a trial: of each what was new in it, so that together they read as the conversation that it was."""
    told: dict[bool, list[Any]] = {}
    number_of_turn = 0
    # What a simulated user said last may stand before the answer that it is to: by turn, then the user's after that.
    by_user = [turn["generation"]["provider"].get(SIMULATED_USER) for turn in turns]
    answers = iter(range(1, len(turns) + 1))
    places = [next(answers) if after is None else after + 0.5 for after in by_user]
    for _, turn, after in sorted(zip(places, turns, by_user, strict=True), key=lambda each: each[0]):
        number_of_turn += after is None
        name = f"Turn {number_of_turn}" if after is None else f"Simulated user after turn {after}"
        messages, before = turn["request"]["messages"], told.get(after is not None, [])
        told[after is not None] = messages
        new = messages[len(before) + 1 :] if before and messages[: len(before)] == before else messages
        _show_turn(name, turn, new if len(new) < len(messages) else None)


def _show_turn(name: str, turn: Mapping[str, Any], new: Sequence[Any] | None = None) -> None:
    """`new` are its messages beyond those of the turn before and the answer to it, if it goes on from there."""
    answer = turn["generation"]
    heading(f"{name}: asked {turn['request']['model_id']} at {turn['at']}")
    if new is not None:
        echo("  (what was said so far, and then)")
    show_messages(turn["request"]["messages"] if new is None else list(new))
    if turn["request"]["item"]:
        echo("  handed of the item:")
        for field, value in turn["request"]["item"].items():
            echo(f"    {cell(field)}: {cell(value)}")
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
    show_steps(answer["steps"], answer["steps_left_out"])
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
