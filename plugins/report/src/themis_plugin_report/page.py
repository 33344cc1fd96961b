"""The page: one HTML file that makes no request, and in which nothing that a model wrote can act.

Text of the page is escaped by the template; single results are compressed data in a block that no browser executes,
and its script shows them as text. The content security policy allows that script and this style, by their digests.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

import themis_core as themis
from themis_core import RunRecord, RunResult, Store, counted
from themis_output import number, safe
from themis_plugin_report.gathering import Gathered
from themis_plugin_report.judge_plots import judge_plots
from themis_plugin_report.plots import plots
from themis_plugin_report.tables import TABLES, tables
from themis_plugin_report.trials import groups
from themis_plugin_report.verdicts import verdicts

__all__ = ["PAGE", "asset", "listed", "packed", "policy", "rendered", "told_of", "waiting", "whole"]


MOST_OPEN = 40
"""Rows of the table of groups that stand open on the page, beside their plots."""
PAGE = 25
"""Results of one page of the browser of results; its script has the same number."""


@cache
def asset(name: str) -> str:
    """A file of the folder `pages`."""
    return resources.files("themis_plugin_report").joinpath("pages", name).read_text("utf-8")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("themis_plugin_report", "pages"), autoescape=True, undefined=StrictUndefined
    )
    made.trim_blocks = made.lstrip_blocks = True
    made.filters["told"] = lambda text: safe(str(text))
    return made


def policy(connect: str = "'none'") -> str:
    """The content security policy of a page; `connect` is where its script may ask for results."""
    digests = {
        name: base64.b64encode(hashlib.sha256(asset(name).encode()).digest()).decode()
        for name in ("report.css", "report.js")
    }
    return (
        f"default-src 'none'; script-src 'sha256-{digests['report.js']}'; style-src 'sha256-{digests['report.css']}'; "
        f"img-src data:; connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def told_of(made: Gathered) -> dict[str, Any]:
    """What the script is told of all results: the names that they refer to by number, and how answers were read."""
    index = made.index
    return {
        "systems": [
            {"run": each.run_id, "model": each.model_id, "prompt": each.prompt_variant_id, "params": each.params}
            for each in index.systems
        ],
        "scorers": [each.name for each in index.scorers],
        "slices": index.slices,
        "scored": index.scored(),
        "metadata": index.facets(),
        "parses": {
            of_slice["slice_id"]: {each["name"]: _chain(each) for each in of_slice.get("parses") or ()}
            for run in made.runs
            for of_slice in run.manifest["benchmark"]["slices"]
        },
    }


def _chain(parse: Mapping[str, Any]) -> list[str]:
    """The steps of a parse, as they are tried."""
    steps = [("prepare", each) for each in parse.get("prepare") or ()]
    steps += [("else try" if at else "try", each) for at, each in enumerate(parse.get("extractors") or ())]
    return [
        f"{verb} {each['id']}{f' {json.dumps(config)}' if (config := each.get('config')) else ''}"
        for verb, each in steps
    ]


def packed(groups: Iterable[dict[str, Any]]) -> str:
    """Results as base64 of gzip of JSON: it holds no character that could end the block it stands in."""
    parts = [json.dumps(each, separators=(",", ":"), allow_nan=False) for each in groups]
    text = f'{{"groups":[{",".join(parts)}]}}'
    return base64.b64encode(gzip.compress(text.encode("ascii"), 9, mtime=0)).decode()


def whole(made: Gathered, store: Store, most: int) -> tuple[str, int]:
    """The page with at most so many single results in it, and how many are left out."""
    left_out = max(made.index.count() - most, 0)
    data = packed(groups(store, made.index, made.index.entries(limit=most)))
    return rendered(made, data=data, left_out=left_out), left_out


def rendered(made: Gathered, *, data: str = "", connect: str = "'none'", left_out: int = 0, live: bool = False) -> str:
    """The whole page. Without `data`, its script asks the server for results; `left_out` are not in the data."""
    forests, by_group = plots(made)
    template = _environment().get_template("report.html.j2")
    page = template.render(
        title=made.title,
        notes=made.notes,
        runs=[
            {
                "record": run,
                "result": result,
                "verdicts": verdicts(run, result),
                "cost": _cost(result),
                "spec": _spec(run.manifest),
            }
            for run, result in zip(made.runs, made.results, strict=True)
        ],
        tables=dict.fromkeys(TABLES) | {each.name: each for each in tables(made)},
        forests=forests,
        groups=by_group,
        judges=judge_plots(made),
        folded=MOST_OPEN,
        data=data,
        told=json.dumps(told_of(made)).replace("<", "\\u003c"),
        left_out=left_out,
        total=made.index.count(),
        live=live,
        reading=live and not made.whole,
        policy=policy(connect),
        counted=counted,
        version=themis.__version__,
        css=asset("report.css"),
        js=asset("report.js"),
    )
    return page.encode("utf-8", "backslashreplace").decode()


def listed(runs: Sequence[tuple[RunRecord, str]]) -> str:
    """The page that lists runs, each with its address."""
    page = _environment().get_template("runs.html.j2").render(runs=runs, css=asset("report.css"))
    return page.encode("utf-8", "backslashreplace").decode()


def waiting(runs: Sequence[RunRecord]) -> str:
    """The page of runs of which nothing has been read yet; it asks again by itself."""
    page = _environment().get_template("waiting.html.j2").render(runs=runs, css=asset("report.css"))
    return page.encode("utf-8", "backslashreplace").decode()


def _cost(result: RunResult) -> str:
    """What the run cost in all, or nothing if no price is given."""
    if result.cost is None:
        return ""
    unknown = f", and {counted(result.unknown_cost_calls, 'call')} of unknown cost" if result.unknown_cost_calls else ""
    return f"All calls of {result.run_id}, judges included: {number(result.cost)}{unknown}."


def _spec(manifest: Mapping[str, Any]) -> str:
    """The spec as YAML, without what was not set."""
    told = {name: _set(manifest.get(name)) for name in ("project", "benchmark")}
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=110)


def _set(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: kept for name, each in value.items() if (kept := _set(each)) not in (None, {}, [])}
    if isinstance(value, list):
        return [_set(each) for each in value]
    return value
