"""A result as Markdown for a pull request: the verdict first, the gates, a short table, the ledger.

Text of models, servers and specs is inert in it: it can be no link, mention, picture or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from themis_core import counted
from themis_output import cell, number
from themis_plugin_ci.telling import Told, told_of

if TYPE_CHECKING:
    from themis_core import Gate, RunResult

__all__ = ["as_markdown"]

MOST_ROWS = 20
"""Rows of the table of scores: a summary is short."""
MOST_LINES = 10
"""Warnings, and lines beneath a gate."""
LONGEST = 500
"""Characters of one text, such as a server's message."""
_NAMES = ("slice_id", "model_id", "prompt_variant_id", "params", "score", "metric")
_SIGNS = {"met": "✅ met", "missed": "❌ **not met**", "not judged": "⚠️ **not judged**", "said": "said"}


def as_markdown(result: RunResult | Mapping[str, Any]) -> str:
    """The result in some lines of Markdown, as GitHub and GitLab render it; `result` may be `RunResult.to_dict()`."""
    told = told_of(result)
    sign = "✅" if told.passed else "❌" if told.trouble is None else "⚠️"
    parts = [
        [f"### {sign} {_code(told.result['run_id'])}: {_sentence(told)}"],
        _gates(told.gates),
        _details(told.gates),
        _scores(told.result["scores"]),
        [f"{told.ledger}. Spec {_code(told.result['spec_digest'][:12])}."],
        _some([f"- ⚠️ {_code(each)}" for each in told.result["warnings"]]),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _sentence(told: Told) -> str:
    return told.verdict if told.trouble is None else f"the run is not whole: {_code(told.trouble)}"


def _gates(gates: Sequence[Gate]) -> list[str]:
    return _table(
        ["gate", "verdict", "compared"],
        ([_code(gate.key), _SIGNS[gate.state], gate.compared or "–"] for gate in gates),
    )


def _details(gates: Iterable[Gate]) -> list[str]:
    """The rows that miss each gate, or why it is not judged; and what conclusions found, which is no name of a gate."""
    listed = []
    for gate in gates:
        if (gate.failed and gate.lines) or gate.key != gate.name:
            listed += [f"- {_code(gate.name)}", *_some([f"  - {_code(line)}" for line in gate.lines], "  ")]
    return listed


def _scores(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The numbers with their ledger; what is the same in all rows is left out."""
    names = [name for name in _NAMES if len({row[name] for row in rows}) > 1]
    heads = [name.removesuffix("_id").replace("_", " ") for name in names]
    counts = [name for name in ("failed", "unscored", "unparsed") if any(row[name] for row in rows)]
    shown = (
        [*(_code(row[name]) for name in names), *_number(row), *(str(row[name]) for name in counts)]
        for row in rows[:MOST_ROWS]
    )
    same = [_code(rows[0][name]) for name in ("score", "metric") if name not in names] if rows else []
    table = _table([*heads, "value", "95 % interval", "n", *counts], shown)
    more = [f"\nand {counted(len(rows) - MOST_ROWS, 'more row')}"] if len(rows) > MOST_ROWS else []
    return [*([f"{' · '.join(same)}\n"] if same else []), *table, *more]


def _number(row: Mapping[str, Any]) -> list[str]:
    interval = "–" if row["low"] is None else f"{number(row['low'])} to {number(row['high'])}"
    return [cell(row["value"]), interval, str(row["n"])]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}", *lines] if lines else []


def _some(lines: list[str], indent: str = "") -> list[str]:
    more = [f"{indent}- and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    return [*lines[:MOST_LINES], *more]


def _code(value: object) -> str:
    """The text as code, in which nothing is a mention, a link or HTML.

    In a code span nothing but a backtick has a meaning, and in a table `|` and `\\`. Where one of these is in it,
    all that could have one is written as a character reference, within `<code>`.
    """
    text = cell(value)
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    if not text.strip():
        return "–"
    if not re.search(r"[`|\\]", text):
        return f"`{text}`"
    return f"<code>{''.join(_references(text))}</code>"


def _references(text: str) -> Iterator[str]:
    return (each if each.isalnum() or each == " " else f"&#{ord(each)};" for each in text)
