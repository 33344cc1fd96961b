"""`themis extract compare`: two parses of a stored run beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from themis_output import (
    as_json,
    cell,
    cut,
    echo,
    excerpt,
    format_option,
    heading,
    own_stdout,
    quoted,
    safe,
    store_options,
    table,
)

if TYPE_CHECKING:
    from themis_plugin_extract.compared import Compared

__all__ = ["compare"]


@click.command()
@click.argument("run")
@click.argument("chain_a")
@click.argument("chain_b")
@click.option("--score", metavar="NAME", help="Score whose metric to use; by default the first that fits.")
@click.option("--slice", "slice_id", metavar="ID", help="Only this slice.")
@click.option(
    "--examples", type=click.IntRange(min=0), default=5, show_default=True, help="How many disagreements to show."
)
@store_options
@format_option
@own_stdout()
def compare(
    run: str, chain_a: str, chain_b: str, score: str | None, slice_id: str | None, examples: int, spec: Path | None,
    project: Path | None, as_format: str,
) -> None:  # fmt: skip
    """Read the stored answers of RUN with two parses of its spec, and show where they differ. Nothing is called.

    CHAIN_A and CHAIN_B are names of parses. A parse may be in the spec only for this: it needs no score.
    """
    from themis_core import open_results
    from themis_plugin_extract.compared import compare_parses

    with open_results(spec, project=project) as results:
        found = compare_parses(results, run, chain_a, chain_b, score=score, slice_id=slice_id, most=examples)
    if as_format == "json":
        echo(as_json(found.to_dict()))
    else:
        _show(found)


def _show(found: Compared) -> None:
    total = found.agreement.total()
    echo(f"{safe(found.a)} and {safe(found.b)} agree on {found.agreed:,} of {total:,} answers of {safe(found.run_id)}")
    told = found.to_dict()
    heading("Agreement (A is the first parse, B the second)")
    table(["found", "answers"], list(told["agreement"].items()))
    _show_comparison(found)
    if told["scores"]:
        heading(f"Scores by {found.scored}")
        table(["A", "B", "answers"], [list(each.values()) for each in told["scores"]])
    elif found.higher:
        heading(f"Scores by {found.scored}")
        table(["higher score", "answers"], list(told["higher"].items()))
    heading("By model")
    rows = [[name, of.answers, *of.unparsed, *of.numbers()] for name, of in found.models.items()]
    what = "mean score" if found.is_mean else "number"
    table(["model", "answers", "unparsed A", "unparsed B", f"{what} A", f"{what} B"], rows)
    if found.scored and not found.is_mean:
        echo(f"the numbers are those that {safe(found.scored)} makes of all answers at once")
    _show_ranking(found)
    for each in found.disagreements:
        heading(f"{each['model']}, item {each['item']} of {each['slice']}")
        echo(f"  A: {_value(each['value_a'])} ({cell(each['score_a'])})")
        echo(f"  B: {_value(each['value_b'])} ({cell(each['score_b'])})")
        echo(f"  reference: {_value(each['reference'])}\n{quoted(excerpt(each['answer']))}")


def _value(value: object) -> str:
    """A value with all its digits, which may be what differs, but no longer than a line."""
    return cut(cell(repr(value) if isinstance(value, float) else value))


_FORMS = {
    "same number": "one number in two forms, such as 90,000 and 90000.0, a currency, % or unit aside",
    "same text": "one text but for case, white space and a full stop",
}


def _show_comparison(found: Compared) -> None:
    """How other values than the same were compared, as far as there are any."""
    alike = f", where {safe(found.scored)} scores both alike" if found.scored else ""
    for name, told in _FORMS.items():
        if found.agreement[name]:
            echo(f"{name}: {told}{alike}")
    if found.agreement["both right"]:
        echo(f"both right: other values, each of which {safe(found.scored or '')} gives its best score")


def _show_ranking(found: Compared) -> None:
    a, b = found.ranking(0), found.ranking(1)
    if not a:
        echo("no metric of the spec scores what these parses find, so there is no ranking")
    elif a == b:
        several = len(found.models) > 1
        echo(f"the ranking stays as it is: {_ranked(a)}" if several else "there is one model, and so no ranking")
    else:
        echo(f"the ranking CHANGES: by A {_ranked(a)}; by B {_ranked(b)}")


def _ranked(places: list[list[str]]) -> str:
    """The best first; a tie is a tie."""
    return safe(", ".join(" = ".join(names) for names in places))
