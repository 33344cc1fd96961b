"""`themis runs` and `themis show`: what is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from themis_core.cli.output import as_json, cell, format_option, heading, quoted, show_result, table
from themis_core.cli.running import show_messages

if TYPE_CHECKING:
    from themis_core.records import RunRecord

__all__ = ["runs", "show"]


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
        records = [_brief(record) for record in results.runs()]
    if as_format == "json":
        click.echo(as_json({"runs": records}))
    elif records:
        table(list(records[0]), [list(record.values()) for record in records])
    else:
        click.echo("no runs yet", err=True)


def _brief(record: RunRecord) -> dict[str, Any]:
    # Without the manifest, which `show run` has.
    names = ("run_id", "status", "started_at", "finished_at", "trials", "failed")
    return {name: getattr(record, name) for name in names}


@click.group()
def show() -> None:
    """Show a stored run, or one trial of it from prompt to score."""


@show.command("run")
@click.argument("run_id")
@click.option("--trials", is_flag=True, help="List its trials as well.")
@_store_options
def show_run(run_id: str, trials: bool, spec: Path | None, project: Path | None, as_format: str) -> None:
    """Show a run's results and what it was made of; the beginning of its id will do."""
    from themis_core.session import open_results

    with open_results(spec, project=project) as results:
        record = results.run(run_id)
        result = results.result(record.run_id)
        if as_format == "json":
            listed = {"trials": list(results.trials(record.run_id))} if trials else {}
            click.echo(as_json({"run": record, "result": result, **listed}))
            return
        _show_record(record)
        show_result(result)
        if trials:
            heading("Trials")
            for row in results.trials(record.run_id):  # line by line: there may be many
                click.echo(_trial_line(asdict(row)))


def _show_record(record: RunRecord) -> None:
    for name, value in _brief(record).items():
        click.echo(f"{name.replace('_', ' ')}: {cell(value)}")
    for plugin in record.manifest.get("plugins") or ():
        label = plugin.get("path") or f"{plugin.get('distribution')} {plugin.get('version')}"
        click.echo(f"plugin {cell(plugin.get('namespace'))}: {cell(label)}")


def _trial_line(row: Mapping[str, Any]) -> str:
    outcome = row["outcome"] if row["error_code"] is None else f"{row['outcome']} ({row['error_code']})"
    names = ("slice_id", "model_id", "prompt_variant_id", "params", "item_id", "sample_index")
    return "  ".join([row["trial_id"][:12], cell(outcome), *(cell(row[name]) for name in names)])


@show.command("trial")
@click.argument("run_id")
@click.argument("trial_id")
@_store_options
def show_trial(run_id: str, trial_id: str, spec: Path | None, project: Path | None, as_format: str) -> None:
    """Show a trial's whole timeline: item, requests, answers, what was read in them, scores."""
    from themis_core.session import open_results

    with open_results(spec, project=project) as results:
        timeline = results.trial(results.run(run_id).run_id, trial_id)
    if as_format == "json":
        click.echo(as_json(timeline))
    else:
        _show_timeline(timeline)


def _show_timeline(timeline: Mapping[str, Any]) -> None:
    heading(f"Trial {timeline['trial']['trial_id']}")
    click.echo(_trial_line(timeline["trial"]))
    if item := timeline["item"]:
        heading(f"Item {item['id']}")
        for name, value in {**item["fields"], "reference": item["reference"]}.items():
            click.echo(f"  {cell(name)}: {cell(value)}")
    for number, turn in enumerate(timeline["turns"], 1):
        _show_turn(f"Turn {number}", turn)
    for entry in timeline["scores"]:
        for turn in entry["judged"]:
            _show_turn(f"Judge of {entry['score']}/{entry['metric']}", turn)
        _show_verdicts(entry)
    if timeline["scores"]:
        heading("Scores")
        columns = ("score", "metric", "value", "reason", "parse", "found")
        table(columns, [_score_cells(entry) for entry in timeline["scores"]])


def _show_turn(name: str, turn: Mapping[str, Any]) -> None:
    answer = turn["generation"]
    heading(f"{name}: asked {turn['request']['model_id']} at {turn['at']}")
    show_messages(turn["request"]["messages"])
    took = "" if answer["latency_s"] is None else f" in {answer['latency_s']:.3g} s"
    cost = "" if answer["cost"] is None else f", cost {answer['cost']:.4g}"
    click.echo(f"  → {answer['status']}{took}, attempts: {answer['attempts']}{cost}")
    if answer["status"] == "failed":
        click.echo(f"  {cell(answer['error_code'])}: {cell(answer['error'])}")
    for part in ("reasoning", "text", "refusal"):
        if answer[part]:
            click.echo(f"  {part}:\n{quoted(answer[part])}")


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
