"""The tables of a page, and how they are written as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from themis_core import RunRecord
from themis_intervals import decimals, shown
from themis_labels import METHODS, Estimate, figures
from themis_output import number, safe, told_once
from themis_plugin_report.calls import Calls
from themis_plugin_report.gathering import Gathered, named

__all__ = ["TABLES", "Table", "as_csv", "as_latex", "as_markdown", "in_latex", "in_markdown", "tables"]

TABLES = (
    "scores",
    "groups",
    "aggregates",
    "outcomes",
    "judges",
    "ballots",
    "agreement",
    "corrected",
    "calls",
    "provenance",
)
_NAMES = (
    "run", "by", "weighting", "slice", "model", "prompt", "params", "score", "metric", "method", "of planned",
    "mean of",
)  # fmt: skip
_UNSAID = {"params": "default", "of planned": "–", "mean of": "scored"}
_NUMBERS = ("value", "95 % interval", "method", "n", "of planned", "mean of", "unparsed", "unscored", "failed")
_FIGURES = ("value", "95 % interval", "n", "of planned", "unparsed", "unscored", "failed")
_OUTCOMES = ("answered", "refused", "truncated", "empty", "absent", "failed")


@dataclass(frozen=True, slots=True)
class Table:
    """Texts in rows, with what all rows share in a line above."""

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    above: str = ""
    figures: frozenset[str] = frozenset()
    """Columns of numbers."""
    words: Sequence[tuple[str, str]] = ()
    """What the columns mean, where that is not plain."""
    whole: tuple[Sequence[str], Sequence[Sequence[str]]] | None = None
    """Header and rows with what is said above, if there is any."""


def tables(made: Gathered) -> list[Table]:
    """All tables that there is something to say in, in the order of `TABLES`."""
    found = (_scores, _groups, _aggregates, _outcomes, _judges, _ballots, _agreement, _corrected, _calls, _provenance)
    return [table for make in found if (table := make(made)).rows]


def _short(
    name: str, title: str, header: Sequence[str], rows: Sequence[Sequence[str]], figures: Sequence[str], **more: Any
) -> Table:
    """A table without what all its rows share, and without metrics that their scores tell; both are said above it."""
    lists = "params" if "params" in header else ""
    above, kept, cells = told_once(header, rows, names=_NAMES, zeros=figures, lists=lists, unsaid=_UNSAID)
    told = [f"All rows: {above[0].removeprefix('all rows: ')}"] if above else []
    if {"score", "metric"} <= set(kept):
        score, metric = kept.index("score"), kept.index("metric")
        pairs = dict.fromkeys((row[score], row[metric]) for row in cells)
        if len({each for each, _ in pairs}) == len(pairs):
            told.append("; ".join(f"{each} is {of}" for each, of in pairs))
            kept, *cells = ([each for at, each in enumerate(row) if at != metric] for row in (kept, *cells))
    return Table(name, title, kept, cells, ". ".join(told), frozenset(figures), whole=(header, rows), **more)


def _scores(made: Gathered) -> Table:
    header = ("run", "slice", "model", "prompt", "params", "score", "metric", *_NUMBERS)
    names = ("slice_id", "model_id", "prompt_variant_id", "params", "score", "metric")
    rows = [
        [result.run_id, *(str(getattr(row, name)) for name in names), *_numbers(asdict(row))]
        for result in made.results
        for row in result.scores
    ]
    words = (
        ("n", "scores that the value is made of"),
        (
            "of planned",
            "how many were planned, and what the value would be if the missing ones were all bad or all good",
        ),
        ("unparsed", "answers in which nothing was found; in n, as the worst value"),
        ("unscored", "answers that the metric could not score; in no value"),
        ("failed", "trials without an answer; in no value"),
    )
    return _short("scores", "Scores", header, rows, _FIGURES, words=words)


def _groups(made: Gathered) -> Table:
    """The numbers by each name that puts slices or items together."""
    header = ("run", "by", "group", "model", "score", "metric", *_NUMBERS)
    rows = [
        [
            run_id, named(name, made.groups), row.group[name] or "–", row.group["model"] or "–", row.score, row.metric,
            *_numbers(asdict(row)),
        ]
        for name, found in made.groups.items()
        for run_id, row in found
    ]  # fmt: skip
    return _short("groups", "Scores by group", header, rows, _FIGURES)


def _aggregates(made: Gathered) -> Table:
    """The named means of specs, if there are any."""
    told = [(result.run_id, each) for result in made.results for each in result.aggregates]
    names = list(dict.fromkeys(name for _, each in told for name in each.group))
    header = ("run", "aggregate", "weighting", *names, "score", "metric", *_NUMBERS)
    rows = [
        [
            run_id, each.aggregate or "–", ", ".join(filter(None, (each.weighed(), each.repeats))),
            *(str(each.group.get(name) or "all") for name in names), each.score, each.metric, *_numbers(asdict(each)),
        ]
        for run_id, each in told
    ]  # fmt: skip
    return _short("aggregates", "Aggregates", header, rows, _FIGURES)


def _numbers(row: Mapping[str, Any]) -> list[str]:
    """A value with its ledger, as cells under `_NUMBERS`."""
    return [
        "–" if row["value"] is None else decimals(row["value"], 4), shown(row["low"], row["high"]),
        row["interval"] or row["no_interval"] or "–", str(row["n"]), _planned(row), row.get("denominator", "scored"),
        str(row["unparsed"]), str(row["unscored"]), str(row["failed"]),
    ]  # fmt: skip


def _planned(row: Mapping[str, Any]) -> str:
    planned, worst, best = (row.get(name) for name in ("planned", "worst", "best"))
    if planned is None or planned == row["n"]:
        return "–"
    return str(planned) if worst is None or best is None else f"{planned}: {worst:.2f} to {best:.2f}"


def _outcomes(made: Gathered) -> Table:
    counts: dict[tuple[str, ...], dict[str, int]] = {}
    for run, outcomes in zip(made.runs, made.outcomes, strict=True):
        for each in outcomes:
            key = (run.run_id, each.slice_id, each.model_id, each.prompt_variant_id, each.params)
            of_group = counts.setdefault(key, dict.fromkeys(_OUTCOMES, 0))
            of_group[each.outcome] = of_group.get(each.outcome, 0) + each.count
    rows = [[*key, str(sum(ends.values())), *(str(ends[each]) for each in _OUTCOMES)] for key, ends in counts.items()]
    header = ("run", "slice", "model", "prompt", "params", "trials", *_OUTCOMES)
    return _short("outcomes", "How trials ended", header, rows, ("trials", *_OUTCOMES))


def _judges(made: Gathered) -> Table:
    rows = []
    for name, ballots in made.judged.items():
        total = ballots.total()
        rows += [
            [name, value, str(count), f"{100 * count / total:.1f} %"]
            for value, count in sorted(ballots.items(), key=lambda each: -each[1])[:20]
        ]
    return Table("judges", "Verdicts of judges", ("score", "verdict", "answers", "share"), rows, "", frozenset(
        {"verdict", "answers", "share"}
    ))  # fmt: skip


def _ballots(made: Gathered) -> Table:
    header = ("score", "judging model", "ballots", "mean", "unread", "judged again", "of those alike")
    rows = [
        [
            score, judge, str(each.values.total() + each.unread.total()),
            "–" if each.mean is None else decimals(each.mean, 4), str(each.unread.total()), str(each.repeated),
            f"{100 * each.alike / each.repeated:.1f} %" if each.repeated else "–",
        ]
        for (score, judge), each in made.ballots.items()
    ]  # fmt: skip
    words = (
        ("unread", "replies in which no verdict could be read"),
        ("judged again", "answers that the model was asked about more than once"),
        ("of those alike", "how many of them got the same verdict each time"),
    )
    return Table("ballots", "Judging models", header, rows, "", frozenset(header[2:]), words)


def _agreement(made: Gathered) -> Table:
    """What people's labels say of each judge."""
    header = ("run", "score", "metric", "slice", "figure", "value", "95 % interval", "n")
    rows = [
        [
            run_id, each.score, each.metric, ", ".join(each.slices), name, *_estimate(figure), str(figure.n),
        ]
        for run_id, each in made.measured
        for name, figure in figures(each)
    ]  # fmt: skip
    return _short("agreement", "Judges against people", header, rows, ("value", "95 % interval", "n"))


def _corrected(made: Gathered) -> Table:
    """What people would have given the answers that have no label."""
    header = (
        "run", "score", "metric", "slice", "model", "prompt", "params", "judge", "corrected", "95 % interval", "n",
        "not judged", "unscored", "by",
    )  # fmt: skip
    rows = [
        [
            run_id, each.score, each.metric, row.slice_id, row.model_id, row.prompt_variant_id, row.params,
            "–" if row.judge_mean is None else decimals(row.judge_mean, 4), *_estimate(row.corrected), str(row.n),
            str(row.not_judged), str(row.unscored), METHODS[each.method],
        ]
        for run_id, each in made.measured
        for row in each.corrected
        if row.n
    ]  # fmt: skip
    words = (
        ("judge", "the judge's mean over the answers without a label"),
        ("corrected", "what people would have given these answers, by what the labels teach of the judge's errors"),
        ("not judged", "answers that were refused, empty or unparsed, so that no judge saw them"),
        ("unscored", "answers whose verdict could not be read"),
    )
    return _short("corrected", "Scores corrected by the labels", header, rows, header[7:13], words=words)


def _estimate(figure: Estimate) -> list[str]:
    return ["–" if figure.value is None else decimals(figure.value, 4), shown(figure.low, figure.high)]


def _calls(made: Gathered) -> Table:
    header = (
        "run", "model", "prompt", "params", "calls", "input tokens", "output tokens", "cost", "cost unknown",
        "median s", "95 % within s", "slowest s",
    )  # fmt: skip
    rows = [
        [system.run_id, system.model_id, system.prompt_variant_id, system.params, *_spent(calls)]
        for system, calls in made.calls.items()
    ]
    table = _short("calls", "Cost and latency", header, rows, header[4:])
    empty = {name for at, name in enumerate(table.header) if all(row[at] == "–" for row in table.rows)}
    kept = [at for at, name in enumerate(table.header) if name not in empty]
    cells = [[row[at] for at in kept] for row in table.rows]
    return Table(
        table.name, table.title, [table.header[at] for at in kept], cells, table.above, table.figures
    )  # fmt: skip


def _spent(calls: Calls) -> list[str]:
    seconds = [calls.quantile(share) for share in (0.5, 0.95, 1.0)]
    return [
        str(calls.calls),
        str(calls.input_tokens or "–"),
        str(calls.output_tokens or "–"),
        "–" if calls.cost.known is None else number(calls.cost.known),
        str(calls.cost.unknown_calls),
        *("–" if each is None else f"{each:.2f}" for each in seconds),
    ]


def _provenance(made: Gathered) -> Table:
    rows = [
        [run.run_id, *row]
        for run, result in zip(made.runs, made.results, strict=True)
        for row in _made_of(run, result.storage)
    ]
    return _short("provenance", "What the results were made of", ("run", "what", "name", "version or digest"), rows, ())


def _made_of(run: RunRecord, storage: str) -> Iterator[list[str]]:
    manifest = run.manifest
    yield ["framework", "themis-core", str(manifest.get("themis", "–"))]
    yield ["Python", str(manifest.get("platform", "–")), str(manifest.get("python", "–"))]
    for each in manifest.get("plugins", ()):
        label = each.get("path") or each.get("distribution")
        yield ["plugin", f"{each['namespace']} ({label})", str(each.get("sha256") or each.get("version"))]
    for each in manifest.get("datasets", ()):
        yield ["dataset", f"{each['slice_id']} ({each['component']}, {each['items']} items)", str(each["digest"])]
    for each in {(one["score"], one["metric"]): one for one in manifest["scorers"]}.values():
        by = "" if each["component"] == each["metric"] else f" ({each['component']})"
        yield [each["kind"], f"{each['score']}/{each['metric']}{by}", f"version {each['version']}"]
    yield ["spec", str(manifest["benchmark"]["benchmark_id"]), str(manifest["spec_digest"])]
    yield ["plan", run.run_id, str(manifest.get("plan_digest", "–"))]
    yield ["store", storage, str(manifest.get("storage", "–"))]
    yield ["started", "UTC", run.started_at[:19].replace("T", " ")]
    yield ["finished", "UTC", (run.finished_at or "–")[:19].replace("T", " ")]


def as_markdown(table: Table) -> str:
    """The table in the Markdown of GitHub; whatever a cell holds, it is text."""
    marks = ["---:" if name in table.figures else "---" for name in table.header]
    lines = [f"| {' | '.join(map(in_markdown, cells))} |" for cells in (table.header, *table.rows)]
    lines.insert(1, f"| {' | '.join(marks)} |")
    above = [in_markdown(table.above), ""] if table.above else []
    return "\n".join([f"## {table.title}", "", *above, *lines, ""])


_OF_MARKDOWN: Final = re.compile(r"([\\`*_\[\]<>#|~$@&]|:(?=//)|(?<=www)\.)")  # bare URLs are links on GitHub
_PLAIN: Final = re.compile(r"[\d\s.,–%\[\]-]*")


def in_markdown(text: str) -> str:
    """One line of text in Markdown."""
    line = _line(text)
    return line if _PLAIN.fullmatch(line) else _OF_MARKDOWN.sub(r"\\\1", line)


def as_latex(table: Table) -> str:
    """The table for the package booktabs."""
    columns = "".join("r" if name in table.figures else "l" for name in table.header)
    header, *rows = map(_latex_row, (table.header, *table.rows))
    above = f" {in_latex(table.above)}." if table.above else ""
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{in_latex(table.title)}.{above}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{columns}}}", r"\toprule", header, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}",
        r"\end{table}", "",
    ])  # fmt: skip


def _latex_row(cells: Sequence[str]) -> str:
    row = " & ".join(map(in_latex, cells))
    # What ends the row before would take these for its own: a height, or that no page may end there.
    return rf"{'{}' if row.startswith(('[', '*')) else ''}{row} \\"


_OF_LATEX: Final = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "…": r"\dots{}",
    **{each: f"\\{each}" for each in "&%$#_{}"}, "<": r"\textless{}", ">": r"\textgreater{}", "·": r"$\cdot$",
    "|": r"\textbar{}", "`": r"\textasciigrave{}", '"': r"\symbol{34}",
}  # fmt: skip


_JOINED: Final = frozenset({"--", "-–", "–-", "––", "''"})
"""What LaTeX would make one character of."""


def in_latex(text: str) -> str:
    """One line of text in LaTeX."""
    line = _line(text)
    following = zip(line, f"{line[1:]} ", strict=True)
    return "".join(
        f"{_OF_LATEX.get(one, one)}{'{}' if one + next_one in _JOINED else ''}" for one, next_one in following
    )


def as_csv(table: Table) -> str:
    """The table as CSV, with all its columns. What spreadsheets would take for a formula gets an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file)
    header, rows = table.whole or (table.header, table.rows)
    for cells in (header, *rows):
        writer.writerow([_csv(_line(cell)) for cell in cells])
    return file.getvalue()


_FORMULA: Final = re.compile(r"\s*[=+\-@＝＋－＠]")
_NUMBER: Final = re.compile(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?")


def _csv(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _line(text: str) -> str:
    """Text in one line, without characters that steer: they are shown as `\\x1b`."""
    return " ".join(safe(text).split())
