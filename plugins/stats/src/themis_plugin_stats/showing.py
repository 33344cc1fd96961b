"""Pairs as text, for a terminal, and as Markdown, for a page. The verdict first, both ledgers last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from themis_core import counted
from themis_intervals import decimals
from themis_output import lines, told_once
from themis_plugin_stats.gating import MOST_UNPAIRED, UNPAIRED
from themis_plugin_stats.multiple import Correction
from themis_plugin_stats.verdicts import Pair, round_up

__all__ = ["Table", "as_markdown", "as_text", "caveats_of", "ledgers_of", "notes_of", "rows_of"]

Table: TypeAlias = tuple[list[str], list[list[str]]]
"""Header and cells."""
_LEFT = ("A", "B", "metric", "verdict", "side", "95 % interval")
_METHODS = {"holm": "p (Holm)", "bh": "p (Benjamini-Hochberg)"}


def as_text(rows: Table, notes: Sequence[str], ledgers: Table) -> str:
    """All of it as plain text."""
    above, header, cells = told_once(*rows, names=("metric", "A", "n", "method"))
    return "\n".join([*above, *lines(header, cells, left=_LEFT), *notes, "", *lines(*ledgers, left=_LEFT)])


def as_markdown(verdict: str, rows: Table, notes: Sequence[str], ledgers: Table) -> str:
    """All of it as Markdown, the verdict first."""
    said = _escaped(verdict).replace("\n", "  \n")
    listed = [f"- {_escaped(each)}" for each in notes]
    return "\n".join([f"**{said}**", "", *_table(*rows), "", *listed, *([""] if listed else []), *_table(*ledgers)])


def rows_of(pairs: Sequence[Pair], correction: Correction, margin: float | None) -> Table:
    """The table of differences."""
    header = ["A", "B", "metric", "value A", "value B", "B − A", "95 % interval", "p"]
    several = len(pairs) > 1 and correction != "none"
    header += [_METHODS[correction]] if several else []
    header += ["p (margin)"] if margin is not None else []
    header += ["n", "won", "lost", "method", "verdict"]
    return header, [_row(each, several, margin is not None) for each in pairs]


def _row(each: Pair, several: bool, margin: bool) -> list[str]:
    low, high = (None if end is None else decimals(end, 4, "+") for end in (each.low, each.high))
    ends = "–" if low is None or high is None else f"[{low}, {high}]"
    numbers = [_number(each.value_a), _number(each.value_b), _number(each.difference, "+"), ends, f"{each.p_value:.2g}"]
    numbers += [f"{each.p_corrected:.2g}"] if several else []
    numbers += [f"{each.p_equivalent:.2g}"] if margin and each.p_equivalent is not None else []
    won_lost = ["–", "–"] if each.method == UNPAIRED else [str(each.won), str(each.lost)]
    counts = [str(each.n), *won_lost]
    return [each.a, each.b, each.name, *numbers, *counts, each.method, each.verdict]


def notes_of(pairs: Sequence[Pair], cluster: str | None, groups: Sequence[Sequence[str]]) -> list[str]:
    """What must be known beside the numbers, a line each."""
    said = []
    if cluster is not None:
        units = ", ".join(dict.fromkeys(str(each.units) for each in pairs))
        said.append(f"clusters by {cluster}: {units}")
    could = [each for each in pairs if each.smallest is not None and each.verdict == "inconclusive"]
    for each in could:
        needed = "" if each.items_needed is None or each.items_needed <= each.n else (
            f"; if the difference is as it seems, some {round_up(each.items_needed):,} items would decide"
        )  # fmt: skip
        least = decimals(each.smallest or 0.0)
        said.append(f"{each.a} and {each.b}: {counted(each.n, 'item')} could show a difference of {least}{needed}")
    if groups:
        told = "; ".join(", ".join(group) for group in groups)
        said.append(f"groups that can't be told apart, the best first: {told}")
    per_item = sorted({each.per_item for each in pairs if each.per_item > 1})
    if per_item:
        told = " to ".join(f"{count:.3g}" for count in dict.fromkeys((per_item[0], per_item[-1])))
        said.append(f"an item's score is the mean of {told}: of prompt variants, settings or slices")
    for each in pairs:
        for name, share in ((each.a, each.flips_a), (each.b, each.flips_b)):
            if share is not None:
                said.append(f"two answers of {name} differ by themselves in {100 * share:.1f} % of the items")
    return list(dict.fromkeys(said))


def caveats_of(pairs: Sequence[Pair]) -> list[str]:
    """What was not compared, a line each."""
    said = [told for each in pairs for told in _lacking(each)]
    said += [
        f"{each.a} and {each.b}: one side alone has {', '.join(each.unmatched)}: not compared"
        for each in pairs
        if each.unmatched
    ]
    return list(dict.fromkeys(said))


def _lacking(each: Pair) -> list[str]:
    """What is missing in more than a twentieth: then it may not be missing by chance."""
    told = []
    both = each.ledger_a["items"] - each.ledger_a["only_here"]
    if each.method == UNPAIRED and both:
        told.append(
            f"{each.a} and {each.b} have {counted(both, 'item')} in common, and each was taken for two: if all or most "
            "are common, compare them paired, which shows smaller differences"
        )
    for name, ledger in ((each.a, each.ledger_a), (each.b, each.ledger_b)):
        if not each.n or each.method == UNPAIRED:
            continue
        if ledger["only_here"] > MOST_UNPAIRED * ledger["items"]:
            share = 100 * ledger["only_here"] / ledger["items"]
            told.append(f"{share:.0f} % of the items of {name} have no pair: the verdict is of the others alone")
        elif ledger["unpaired"] > MOST_UNPAIRED:
            told.append(
                f"{100 * ledger['unpaired']:.0f} % of the scores of {name} have no pair, by prompt variant, setting "
                "and slice: the verdict is of the others alone"
            )
    return told


def ledgers_of(first: Sequence[Pair]) -> Table:
    """The ledger of each side, of the pairs of one metric."""
    header = ["side", "trials", "failed", "scored", "unparsed", "unscored", "items", "without a pair"]
    ledgers = {each.a: each.ledger_a for each in first} | {each.b: each.ledger_b for each in first}
    lacks: dict[str, set[int]] = {}
    for each in first:
        lacks.setdefault(each.a, set()).add(each.ledger_a["only_here"])
        lacks.setdefault(each.b, set()).add(each.ledger_b["only_here"])
    rows = []
    for name, ledger in ledgers.items():
        unscored = ", ".join(f"{reason} {count}" for reason, count in ledger["unscored"].items()) or "0"
        counts = [str(ledger[key]) for key in ("trials", "failed", "scored", "unparsed")]
        span = sorted(lacks[name])
        without = str(span[0]) if len(span) == 1 else f"{span[0]} to {span[-1]}"
        rows.append([name, *counts, unscored, str(ledger["items"]), without])
    return header, rows


def _number(value: float | None, sign: str = "") -> str:
    return "–" if value is None else decimals(value, 4, sign)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    marks = [":---" if name in _LEFT else "---:" for name in header]
    return [f"| {' | '.join(map(_escaped, row))} |" for row in (header, marks, *rows)]


def _escaped(text: str) -> str:
    """Inert in Markdown: names come from specs and stores."""
    for mark in ("\\", "|", "`", "*", "_", "[", "]", "<", ">", "#"):
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\\[", "[").replace("\\]", "]") if "](" not in text else text
