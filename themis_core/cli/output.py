"""How answers are shown: text made safe for terminals, tables, JSON.

It knows no command; what it shows was computed elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from themis_core.results import RunResult

__all__ = ["as_json", "cell", "format_option", "heading", "quoted", "safe", "show_result", "table"]

_NAMES = ("slice", "model", "prompt", "params", "score", "metric")

# C0 but tab and line feed, DEL and C1 (escape sequences begin with them), what turns the direction of writing, and
# lone surrogates, which no encoding can print.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(text: str) -> str:
    """Escape what could steer a terminal or hide text: control and bidi characters become `\\x1b`, `\\u202e`."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def cell(value: object) -> str:
    """One line for one value: None as a dash, floats to four significant digits."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value) if isinstance(value, (str, int)) else as_json(value, indent=None)
    return safe(text).replace("\n", "\\n").replace("\t", "\\t")


def quoted(text: str) -> str:
    """Text of a model or an item, indented, so that it is not taken for the command's own words."""
    return "\n".join(f"    {line}" for line in safe(text).split("\n"))


def heading(text: str) -> None:
    click.secho(f"\n{safe(text)}", bold=True)


def as_json(value: object, indent: int | None = 2) -> str:
    """JSON of records and plain data. ASCII only, which is safe on every terminal and keeps lone surrogates."""
    text = json.dumps(value, indent=indent, ensure_ascii=True, allow_nan=False, default=_plain)
    return text.replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--format`; the command receives `as_format`."""
    return click.option(
        "--format",
        "as_format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="For people, or one JSON object for programs.",
    )(command)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: rich on a terminal, aligned text otherwise. Columns of numbers are aligned right."""
    right = [
        bool(rows) and all(isinstance(row[index], (int, float, type(None))) for row in rows)
        for index in range(len(columns))
    ]
    cells = [[cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _rich_table(columns, cells, right)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in ([*columns], *cells):
        padded = (
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(line, widths, right, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


def _rich_table(columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, is_right in zip(columns, right, strict=True):
        shown.add_column(column, justify="right" if is_right else "left", overflow="fold")
    for line in cells:
        shown.add_row(*map(Text, line))  # Text, because a str would be read as markup
    Console().print(shown)


def show_result(result: RunResult) -> None:
    """Print what a run gave: scores with their intervals, then the ledger that every number needs beside it."""
    if not result.scores:
        click.echo("no scores")
    elif sys.stdout.isatty():
        from themis_core.results.summary import HEADER, table_cells

        cells = [[cell(each) for each in table_cells(row)] for row in result.scores]
        _rich_table(HEADER, cells, [name not in _NAMES for name in HEADER])
    else:
        click.echo(safe(result.table()))
    click.echo(f"\n{safe(result.run_id)}: {_counts(result)}")
    for name, counts in result.ledger.get("scores", {}).items():
        if unscored := counts["unscored"]:
            reasons = ", ".join(f"{cell(reason)} {count}" for reason, count in unscored.items())
            click.echo(f"  {cell(name)}: {sum(unscored.values())} unscored ({reasons})")
    for code, message in result.errors.items():
        click.echo(f"  {cell(code)}, such as: {cell(message)}")
    for threshold in result.thresholds:
        told = ", ".join(f"{name} {cell(value)}" for name, value in threshold.items() if name != "met")
        click.echo(f"  threshold {'met' if threshold['met'] else 'NOT MET'}: {told}")


def _counts(result: RunResult) -> str:
    ends = ("answered", "refused", "truncated", "empty", "failed", "unfinished")
    ledger = ", ".join(f"{result.ledger[name]} {name}" for name in ends if result.ledger.get(name))
    cost = "" if result.cost is None else f"; cost {result.cost:.4g}"
    return (
        f"{result.status}; {result.trials} trials ({ledger or 'none finished'}); "
        f"{result.generated} calls answered, {result.reused} trials reused{cost}; store {safe(result.storage)}"
    )
