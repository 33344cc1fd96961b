"""Tables, indices and views of a store, in SQLAlchemy Core; the README documents each column.

It runs nothing. The log is `events` with `chains` and `payloads`; every other table is a projection of it.
A change here needs a new `layout.SCHEMA_VERSION`; `layout` counts the columns. Each plugin's `generating` writes its
statements to a file, so no run imports this module.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, SmallInteger, Table, Text
from sqlalchemy.schema import UniqueConstraint

__all__ = [
    "arms",
    "batches",
    "chains",
    "events",
    "executions",
    "generations",
    "items",
    "metadata",
    "payloads",
    "runs",
    "score_links",
    "scorers",
    "scores",
    "settings",
    "slices",
    "trials",
    "indices",
    "views",
]

metadata = MetaData()
# SQLite numbers only INTEGER PRIMARY KEY rows itself, and its INTEGER has 64 bits already.
Number = BigInteger().with_variant(Integer(), "sqlite")


def _id() -> Column[int]:
    return Column("id", Number, primary_key=True, autoincrement=False)


def _unique_lookup(table: str) -> Index:
    """Rows whose keys have the same lookup bits are told apart by `twin`: so no key can be there twice.

    Where writers take turns, as in SQLite, something else than an index may find rows by `lookup`.
    """
    return Index(f"ix_{table}_lookup", "lookup", "twin", unique=True)


events = Table(
    "events",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("run_id", Text),
    Column("at", Text, nullable=False),
    Column("chain", Number, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("encoding", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
chains = Table(
    "chains",
    metadata,
    _id(),
    Column("run_id", Text),
    Column("length", Number, nullable=False),
    Column("next", Number, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)
payloads = Table(
    "payloads",
    metadata,
    _id(),
    Column("lookup", Number),
    Column("digest", LargeBinary, nullable=False),
    Column("text", Text, nullable=False),
    Column("raw", LargeBinary),
    Column("external", Integer, nullable=False),
)
runs = Table("runs", metadata, _id(), Column("run_id", Text, nullable=False, unique=True))
executions = Table(
    "executions",
    metadata,
    _id(),
    Column("run", Number, nullable=False, index=True),
    Column("started_at", Text, nullable=False),
    Column("manifest", Number),
    Column("finished_at", Text),
    Column("status", Text, nullable=False),
    Column("counts", Text, nullable=False),
    Column("part", Text),
)
arms = Table(
    "arms",
    metadata,
    _id(),
    Column("run", Number, nullable=False),
    Column("slice_id", Text, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("prompt_variant_id", Text, nullable=False),
    Column("params", Text, nullable=False),
    UniqueConstraint("run", "slice_id", "model_id", "prompt_variant_id", "params"),
)
batches = Table(
    "batches",
    metadata,
    _id(),
    Column("nonce", Text, nullable=False, unique=True),
    Column("run", Number, nullable=False),
    Column("intended_at", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("keys", Number, nullable=False),
    Column("ticket", Text),
    Column("submitted_at", Text),
    Column("outcome", Text),
    Column("ended_at", Text),
)
scorers = Table(
    "scorers",
    metadata,
    _id(),
    Column("score", Text, nullable=False),
    Column("metric", Text, nullable=False),
    Column("parse", Text),
    Index("scorers_names", "score", "metric", "parse"),
)
settings = Table(
    "settings",
    metadata,
    _id(),
    Column("model_id", Text, nullable=False),
    Column("params", Text, nullable=False),
    UniqueConstraint("model_id", "params"),
)
slices = Table(
    "slices",
    metadata,
    _id(),
    Column("run", Number, nullable=False),
    Column("slice_id", Text, nullable=False),
    Column("dimensions", Text, nullable=False),
    UniqueConstraint("run", "slice_id"),
)
items = Table(
    "items",
    metadata,
    _id(),
    Column("lookup", Integer, nullable=False),
    Column("twin", SmallInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("item_id", Text, nullable=False),
    Column("content", Number),
    Column("event", Number),
    Column("metadata", Text),
    _unique_lookup("items"),
)
generations = Table(
    "generations",
    metadata,
    _id(),
    Column("lookup", Integer, nullable=False),
    Column("twin", SmallInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("status", Text),
    Column("error_code", Text),
    Column("finish_reason", Text),
    Column("settings", Number),
    Column("messages", Number),
    Column("item_id", Text),
    Column("sample_index", Integer),
    Column("seed", Number),
    Column("answer", Number),
    Column("detail", Number),
    Column("input_tokens", Number),
    Column("output_tokens", Number),
    Column("reasoning_tokens", Number),
    Column("cached_input_tokens", Number),
    Column("cache_write_tokens", Number),
    Column("cost", Float(53)),
    Column("latency_s", Float(53)),
    Column("attempts", Integer),
    Column("run", Number),
    Column("at", Number),
    _unique_lookup("generations"),
)
trials = Table(
    "trials",
    metadata,
    _id(),
    Column("lookup", Integer, nullable=False),
    Column("twin", SmallInteger, nullable=False),
    Column("trial_id", LargeBinary, nullable=False),
    Column("arm", Number, nullable=False),
    Column("item", Number, nullable=False),
    Column("sample_index", Integer, nullable=False),
    Column("generation", Number),
    Column("earlier_generations", Text),
    Column("outcome", Text, nullable=False),
    Column("error_code", Text),
    Column("reused", Integer, nullable=False),
    Column("finished_at", Number, nullable=False),
    Index("trials_arm_item", "arm", "item"),
    _unique_lookup("trials"),
)
scores = Table(
    "scores",
    metadata,
    _id(),
    Column("lookup", Integer, nullable=False),
    Column("twin", SmallInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("value", Float(53)),
    Column("reason", Text),
    Column("parts", Text),
    Column("details", Number),
    Column("parsed", Integer),
    Column("parse_reason", Text),
    Column("extracted", Text),
    Column("extracted_payload", Number),
    _unique_lookup("scores"),
)
score_links = Table(
    "score_links",
    metadata,
    Column("trial", Number, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("scorer", Number, nullable=False),
    Column("score", Number, nullable=False),
    Column("new", Integer, nullable=False),
    Column("judged_by", Text),
    sqlite_with_rowid=False,
)


def indices(table: str) -> list[str]:
    """Return the statements that make the indices of a table which `Index` can't say.

    As an option of `Index`, a condition would import the dialect of every database that it is meant for.
    """
    if table == "payloads":
        return ["CREATE INDEX payloads_shared ON payloads (lookup) WHERE lookup IS NOT NULL"]
    return []


def views(hex_of: str, time_of: str) -> list[str]:
    """Return the statements that make the public views.

    `hex_of` is the dialect's `lower(hex({}))`; `time_of` makes text of microseconds since 1970, as `codec.time_of`.
    """

    def shown(column: str) -> str:
        return hex_of.format(column)

    return [
        """CREATE VIEW v_runs AS
SELECT r.run_id,
  CASE WHEN e.part IS NULL OR e.status NOT IN ('completed', 'failed') THEN e.status ELSE 'running' END AS status,
  e.started_at, e.finished_at, m.text AS manifest, e.counts, e.part,
  (SELECT count(*) FROM executions x WHERE x.run = r.id) AS executions,
  (SELECT count(*) FROM arms a JOIN trials t ON t.arm = a.id WHERE a.run = r.id) AS trials,
  (SELECT count(*) FROM arms a JOIN trials t ON t.arm = a.id WHERE a.run = r.id AND t.outcome = 'failed') AS failed
FROM runs r JOIN executions e ON e.id = (SELECT max(x.id) FROM executions x WHERE x.run = r.id)
LEFT JOIN payloads m ON m.id = e.manifest""",
        f"""CREATE VIEW v_trials AS
SELECT r.run_id, a.slice_id, a.model_id, a.prompt_variant_id, a.params, i.item_id, t.sample_index,
  {shown("t.trial_id")} AS trial_id, {shown("i.digest")} AS item_digest, {shown("g.key")} AS generation_key,
  t.outcome, t.error_code, t.reused, {time_of.format("t.finished_at")} AS finished_at,
  g.input_tokens, g.output_tokens, g.cost, p.text AS answer
FROM trials t JOIN arms a ON a.id = t.arm JOIN runs r ON r.id = a.run JOIN items i ON i.id = t.item
LEFT JOIN generations g ON g.id = t.generation LEFT JOIN payloads p ON p.id = g.answer""",
        f"""CREATE VIEW v_generations AS
SELECT {shown("g.key")} AS generation_key, s.model_id, s.params, g.item_id, g.sample_index, g.seed, g.status,
  g.error_code, g.finish_reason, m.text AS messages, p.text AS answer, d.text AS detail, g.input_tokens,
  g.output_tokens, g.reasoning_tokens, g.cached_input_tokens, g.cache_write_tokens, g.cost,
  g.latency_s, g.attempts, r.run_id, {time_of.format("g.at")} AS at
FROM generations g JOIN settings s ON s.id = g.settings JOIN payloads m ON m.id = g.messages
JOIN runs r ON r.id = g.run LEFT JOIN payloads p ON p.id = g.answer LEFT JOIN payloads d ON d.id = g.detail
WHERE g.status IS NOT NULL""",
        f"""CREATE VIEW v_scores AS
SELECT r.run_id, a.slice_id, a.model_id, a.prompt_variant_id, a.params, k.score, k.metric, k.parse, i.item_id,
  t.sample_index, {shown("t.trial_id")} AS trial_id, t.outcome, s.value, s.reason, s.parsed, s.parse_reason,
  coalesce(s.extracted, x.text) AS extracted, d.text AS details, {shown("s.key")} AS score_key, p.text AS answer,
  {shown("i.digest")} AS item_digest, n.dimensions, i.metadata
FROM score_links l JOIN trials t ON t.id = l.trial JOIN arms a ON a.id = t.arm JOIN runs r ON r.id = a.run
JOIN items i ON i.id = t.item JOIN scorers k ON k.id = l.scorer JOIN scores s ON s.id = l.score
LEFT JOIN slices n ON n.run = a.run AND n.slice_id = a.slice_id
LEFT JOIN payloads x ON x.id = s.extracted_payload LEFT JOIN payloads d ON d.id = s.details
LEFT JOIN generations g ON g.id = t.generation LEFT JOIN payloads p ON p.id = g.answer""",
        f"""CREATE VIEW v_compare_pairs AS
SELECT r.run_id, q.run_id AS other_run_id, a.slice_id, k.score, k.metric, i.item_id, {shown("i.digest")} AS item_digest,
  t.sample_index, a.model_id, b.model_id AS other_model_id, a.prompt_variant_id,
  b.prompt_variant_id AS other_prompt_variant_id, a.params, b.params AS other_params, s.value,
  o.value AS other_value, o.value - s.value AS difference
FROM runs r JOIN arms a ON a.run = r.id JOIN arms b ON b.slice_id = a.slice_id AND b.id <> a.id
JOIN runs q ON q.id = b.run JOIN trials t ON t.arm = a.id
JOIN trials u ON u.arm = b.id AND u.item = t.item AND u.sample_index = t.sample_index
JOIN items i ON i.id = t.item JOIN score_links l ON l.trial = t.id JOIN scorers k ON k.id = l.scorer
JOIN score_links m ON m.trial = u.id JOIN scorers j ON j.id = m.scorer AND j.score = k.score AND j.metric = k.metric
JOIN scores s ON s.id = l.score JOIN scores o ON o.id = m.score""",
    ]
