"""Scores added up by the database: what their means and intervals need, and how they ended.

No row of a score leaves it. Arms and scorers go in as numbers that were looked up before, so that nothing is sorted
along with long names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from themis_core import ScoreCell, ScoreEnds, ScorePlace, ScoreSums
from themis_intervals import ClusterSums
from themis_sql.codec import unpack_key, unpack_name
from themis_sql.database import Database

__all__ = ["ends", "sums"]

Arms = Sequence[tuple[int, tuple[str, ...]]]
"""Number, and slice, model, variant and params."""

# CROSS JOIN keeps SQLite to this order, in which each score is looked up once; to Postgres it is any other join.
_SCORES = "trials t CROSS JOIN score_links l CROSS JOIN scores s"
_JOINED = "l.trial = t.id AND s.id = l.score"


def sums(
    database: Database, arms: Arms, cells: Mapping[ScorePlace, ScoreCell], *, by_sample: bool, by_metadata: bool
) -> Iterator[ScoreSums]:
    """As `Store.score_sums`."""
    places, spans = _places(arms, _scorers(database), cells)
    if not places:
        return
    marks = ", ".join(f"({number}, CAST(? AS DOUBLE PRECISION), CAST(? AS DOUBLE PRECISION))" for number in spans)
    sample, by = ("t.sample_index", "c.cell, t.sample_index") if by_sample else ("0", "c.cell")
    items, joined, metadata = _by_metadata("c.item") if by_metadata else ("", "", "")
    # First each item's scores, which are one cluster; then the mean; then the clusters about the mean, so that no
    # digits are lost where values are large and close.
    sql = f"""WITH places(arm, scorer, cell, span, parsed_only) AS (VALUES {", ".join(map(str, places))}),
spans(id, low, high) AS (VALUES {marks}),
clusters AS (SELECT c.cell, {sample} AS sample, t.item, count(*) AS n, sum(s.value) AS total,
  min(s.value) AS least, max(s.value) AS greatest,
  count(CASE WHEN s.value = p.low OR s.value = p.high THEN 1 END) AS ends
  FROM {_SCORES} CROSS JOIN places c CROSS JOIN spans p
  WHERE t.arm IN ({_listed(place[0] for place in places)}) AND {_JOINED} AND c.arm = t.arm AND c.scorer = l.scorer
  AND p.id = c.span AND s.value IS NOT NULL AND (c.parsed_only = 0 OR s.parse_reason IS NULL)
  GROUP BY {by}, t.item),
means AS (SELECT cell, sample, sum(total) / sum(n) AS mean FROM clusters GROUP BY cell, sample)
SELECT x.*, f.digest FROM (
  SELECT c.cell, c.sample, sum(c.n) AS n, min(c.least) AS least, max(c.greatest) AS greatest, sum(c.ends) AS ends,
  count(*) AS clusters, m.mean, sum(c.total) AS total,
  sum((c.total - c.n * m.mean) * (c.total - c.n * m.mean)) AS squares,
  sum((c.total - c.n * m.mean) * c.n) AS products, sum(c.n * c.n) AS count_squares,
  min(c.total / c.n) AS low, max(c.total / c.n) AS high, min(c.item) AS item
  FROM clusters c CROSS JOIN means m{items} WHERE m.cell = c.cell AND m.sample = c.sample{joined}
  GROUP BY c.cell, c.sample, m.mean{metadata}
) x CROSS JOIN items f WHERE f.id = x.item"""
    for row in database.rows(sql, tuple(value for span in spans.values() for value in span)):
        if not all(isinstance(value, int | float) for value in row[3:5]):
            raise TypeError("no number")  # which a sum would take for 0; it is the least or the greatest
        made = _summed(*row[2:14])
        yield ScoreSums(row[0], made, row[1], unpack_key(row[15]) if by_metadata else "")


def _by_metadata(item: str) -> tuple[str, str, str]:
    """What is joined, on what, and what is grouped by.

    Where no metadata are told, the item stands for itself: its content has them.
    """
    return " CROSS JOIN items i", f" AND i.id = {item}", ", i.metadata, CASE WHEN i.metadata IS NULL THEN i.id END"


def _summed(
    n: Any, least: float, greatest: float, ends: Any, clusters: int, centre: float, total: float, squares: float,
    products: float, count_squares: Any, low: float, high: float,
) -> ClusterSums:  # fmt: skip
    """The sums about their own mean, of sums about another."""
    # Postgres sums whole numbers as decimals.
    n, count_squares, binary = int(n), int(count_squares), int(ends) == int(n)
    if low == high:  # clusters that don't differ have no spread, not what rounding makes of it
        mean = least if least == greatest else low
        return ClusterSums(n, clusters, mean, 0.0, 0.0, count_squares, least, greatest, binary)
    mean = total / n
    found = ClusterSums(n, clusters, centre, squares, products, count_squares, least, greatest, binary)
    squares, products = found.about(mean)
    return found._replace(mean=mean, squares=squares, products=products)


def ends(database: Database, arms: Arms, *, by_sample: bool, by_metadata: bool) -> Iterator[ScoreEnds]:
    """As `Store.score_ends`."""
    scorers = _scorers(database)
    sample = ", t.sample_index" if by_sample else ""
    items, joined, metadata = _by_metadata("t.item") if by_metadata else ("", "", "")
    by = f"l.scorer, s.parsed, s.parse_reason, s.value IS NULL, s.reason{sample}"
    sql = f"""SELECT x.*, f.digest FROM (
  SELECT l.scorer, s.parsed, s.parse_reason, s.value IS NULL AS is_missing, s.reason, count(*) AS count,
  {"t.sample_index" if by_sample else "0"} AS sample, min(t.item) AS item
  FROM {_SCORES}{items} WHERE t.arm = ? AND {_JOINED}{joined} GROUP BY {by}{metadata}
) x CROSS JOIN items f WHERE f.id = x.item"""
    for arm, names in arms:
        found = [(*scorers[row[0]], *row[1:]) for row in database.rows(sql, (arm,))]
        for row in sorted(found, key=lambda row: row[:2]):
            yield _ended(names, row, by_metadata=by_metadata)


def _ended(arm: tuple[str, ...], row: Any, *, by_metadata: bool) -> ScoreEnds:
    score, metric, parse, parsed, parse_reason, is_missing, reason, count, sample, _, digest = row
    return ScoreEnds(
        arm[0], arm[1], arm[2], arm[3], score, metric, parse, None if parse is None else bool(parsed),
        None if parse_reason is None else unpack_name(parse_reason),
        (unpack_name(reason) if reason else "?") if is_missing else None, count, sample,
        unpack_key(digest) if by_metadata else "",
    )  # fmt: skip


def _scorers(database: Database) -> dict[int, tuple[str, str, str | None]]:
    """Score, metric and parse of each scorer of the store, by its number."""
    rows = database.rows("SELECT id, score, metric, parse FROM scorers")
    return {
        number: (unpack_name(score), unpack_name(metric), None if parse is None else unpack_name(parse))
        for number, score, metric, parse in rows
    }


Span = tuple[float | None, float | None]


def _places(
    arms: Arms, scorers: Mapping[int, tuple[str, str, str | None]], cells: Mapping[ScorePlace, ScoreCell]
) -> tuple[list[tuple[int, ...]], dict[int, Span]]:
    """Arm, scorer, cell, span and whether only parsed scores count, of each place; and the spans, which are few."""
    spans: dict[Span, int] = {}
    places: list[tuple[int, ...]] = []
    for arm, names in arms:
        for scorer, (score, metric, _) in scorers.items():
            if (cell := cells.get((names[0], names[1], names[2], names[3], score, metric))) is not None:
                span = spans.setdefault((cell.lowest, cell.highest), len(spans))
                places.append((arm, scorer, cell.number, span, int(cell.parsed_only)))
    return places, {number: span for span, number in spans.items()}


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, dict.fromkeys(numbers)))
