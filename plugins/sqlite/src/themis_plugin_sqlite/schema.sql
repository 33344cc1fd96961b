CREATE TABLE arms (
  id INTEGER NOT NULL,
  run INTEGER NOT NULL,
  slice_id TEXT NOT NULL,
  model_id TEXT NOT NULL,
  prompt_variant_id TEXT NOT NULL,
  params TEXT NOT NULL,
  PRIMARY KEY (id),
  UNIQUE (run, slice_id, model_id, prompt_variant_id, params)
);

CREATE TABLE batches (
  id INTEGER NOT NULL,
  nonce TEXT NOT NULL,
  run INTEGER NOT NULL,
  intended_at TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  model_id TEXT NOT NULL,
  requests INTEGER NOT NULL,
  keys INTEGER NOT NULL,
  ticket TEXT,
  submitted_at TEXT,
  outcome TEXT,
  ended_at TEXT,
  PRIMARY KEY (id),
  UNIQUE (nonce)
);

CREATE TABLE chains (
  id INTEGER NOT NULL,
  run_id TEXT,
  length INTEGER NOT NULL,
  next INTEGER NOT NULL,
  digest BLOB NOT NULL,
  PRIMARY KEY (id)
);

CREATE TABLE events (
  seq INTEGER NOT NULL,
  count INTEGER NOT NULL,
  run_id TEXT,
  at TEXT NOT NULL,
  chain INTEGER NOT NULL,
  previous BLOB NOT NULL,
  digest BLOB NOT NULL,
  encoding INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (seq)
);

CREATE TABLE executions (
  id INTEGER NOT NULL,
  run INTEGER NOT NULL,
  started_at TEXT NOT NULL,
  manifest INTEGER,
  finished_at TEXT,
  status TEXT NOT NULL,
  counts TEXT NOT NULL,
  part TEXT,
  PRIMARY KEY (id)
);

CREATE INDEX ix_executions_run ON executions (run);

CREATE TABLE generations (
  id INTEGER NOT NULL,
  lookup INTEGER NOT NULL,
  twin SMALLINT NOT NULL,
  "key" BLOB NOT NULL,
  status TEXT,
  error_code TEXT,
  finish_reason TEXT,
  settings INTEGER,
  messages INTEGER,
  item_id TEXT,
  sample_index INTEGER,
  seed INTEGER,
  answer INTEGER,
  detail INTEGER,
  input_tokens INTEGER,
  output_tokens INTEGER,
  reasoning_tokens INTEGER,
  cached_input_tokens INTEGER,
  cache_write_tokens INTEGER,
  cost FLOAT,
  latency_s FLOAT,
  attempts INTEGER,
  run INTEGER,
  at INTEGER,
  PRIMARY KEY (id)
);

CREATE TABLE items (
  id INTEGER NOT NULL,
  lookup INTEGER NOT NULL,
  twin SMALLINT NOT NULL,
  digest BLOB NOT NULL,
  item_id TEXT NOT NULL,
  content INTEGER,
  event INTEGER,
  metadata TEXT,
  PRIMARY KEY (id)
);

CREATE TABLE payloads (
  id INTEGER NOT NULL,
  lookup INTEGER,
  digest BLOB NOT NULL,
  text TEXT NOT NULL,
  raw BLOB,
  external INTEGER NOT NULL,
  PRIMARY KEY (id)
);

CREATE TABLE runs (
  id INTEGER NOT NULL,
  run_id TEXT NOT NULL,
  PRIMARY KEY (id),
  UNIQUE (run_id)
);

CREATE TABLE score_links (
  trial INTEGER NOT NULL,
  position INTEGER NOT NULL,
  scorer INTEGER NOT NULL,
  score INTEGER NOT NULL,
  new INTEGER NOT NULL,
  judged_by TEXT,
  PRIMARY KEY (trial, position)
)
 WITHOUT ROWID;

CREATE TABLE scorers (
  id INTEGER NOT NULL,
  score TEXT NOT NULL,
  metric TEXT NOT NULL,
  parse TEXT,
  PRIMARY KEY (id)
);

CREATE INDEX scorers_names ON scorers (score, metric, parse);

CREATE TABLE scores (
  id INTEGER NOT NULL,
  lookup INTEGER NOT NULL,
  twin SMALLINT NOT NULL,
  "key" BLOB NOT NULL,
  value FLOAT,
  reason TEXT,
  parts TEXT,
  details INTEGER,
  parsed INTEGER,
  parse_reason TEXT,
  extracted TEXT,
  extracted_payload INTEGER,
  PRIMARY KEY (id)
);

CREATE TABLE settings (
  id INTEGER NOT NULL,
  model_id TEXT NOT NULL,
  params TEXT NOT NULL,
  PRIMARY KEY (id),
  UNIQUE (model_id, params)
);

CREATE TABLE slices (
  id INTEGER NOT NULL,
  run INTEGER NOT NULL,
  slice_id TEXT NOT NULL,
  dimensions TEXT NOT NULL,
  PRIMARY KEY (id),
  UNIQUE (run, slice_id)
);

CREATE TABLE trials (
  id INTEGER NOT NULL,
  lookup INTEGER NOT NULL,
  twin SMALLINT NOT NULL,
  trial_id BLOB NOT NULL,
  arm INTEGER NOT NULL,
  item INTEGER NOT NULL,
  sample_index INTEGER NOT NULL,
  generation INTEGER,
  earlier_generations TEXT,
  outcome TEXT NOT NULL,
  error_code TEXT,
  reused INTEGER NOT NULL,
  finished_at INTEGER NOT NULL,
  PRIMARY KEY (id)
);

CREATE INDEX trials_arm_item ON trials (arm, item);

CREATE TABLE lookups (name TEXT NOT NULL, through INTEGER NOT NULL, PRIMARY KEY (name)) WITHOUT ROWID;

CREATE TABLE payloads_lookups (lookup INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (lookup, id)) WITHOUT ROWID;

CREATE TABLE items_lookups (lookup INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (lookup, id)) WITHOUT ROWID;

CREATE TABLE generations_lookups (lookup INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (lookup, id)) WITHOUT ROWID;

CREATE TABLE trials_lookups (lookup INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (lookup, id)) WITHOUT ROWID;

CREATE TABLE scores_lookups (lookup INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (lookup, id)) WITHOUT ROWID;

CREATE VIEW v_runs AS
SELECT r.run_id,
  CASE WHEN e.part IS NULL OR e.status NOT IN ('completed', 'failed') THEN e.status ELSE 'running' END AS status,
  e.started_at, e.finished_at, m.text AS manifest, e.counts, e.part,
  (SELECT count(*) FROM executions x WHERE x.run = r.id) AS executions,
  (SELECT count(*) FROM arms a JOIN trials t ON t.arm = a.id WHERE a.run = r.id) AS trials,
  (SELECT count(*) FROM arms a JOIN trials t ON t.arm = a.id WHERE a.run = r.id AND t.outcome = 'failed') AS failed
FROM runs r JOIN executions e ON e.id = (SELECT max(x.id) FROM executions x WHERE x.run = r.id)
LEFT JOIN payloads m ON m.id = e.manifest;

CREATE VIEW v_trials AS
SELECT r.run_id, a.slice_id, a.model_id, a.prompt_variant_id, a.params, i.item_id, t.sample_index,
  lower(hex(t.trial_id)) AS trial_id, lower(hex(i.digest)) AS item_digest, lower(hex(g.key)) AS generation_key,
  t.outcome, t.error_code, t.reused, strftime('%Y-%m-%dT%H:%M:%S', t.finished_at / 1000000, 'unixepoch') || printf('.%06d+00:00', t.finished_at % 1000000) AS finished_at,
  g.input_tokens, g.output_tokens, g.cost, p.text AS answer
FROM trials t JOIN arms a ON a.id = t.arm JOIN runs r ON r.id = a.run JOIN items i ON i.id = t.item
LEFT JOIN generations g ON g.id = t.generation LEFT JOIN payloads p ON p.id = g.answer;

CREATE VIEW v_generations AS
SELECT lower(hex(g.key)) AS generation_key, s.model_id, s.params, g.item_id, g.sample_index, g.seed, g.status,
  g.error_code, g.finish_reason, m.text AS messages, p.text AS answer, d.text AS detail, g.input_tokens,
  g.output_tokens, g.reasoning_tokens, g.cached_input_tokens, g.cache_write_tokens, g.cost,
  g.latency_s, g.attempts, r.run_id, strftime('%Y-%m-%dT%H:%M:%S', g.at / 1000000, 'unixepoch') || printf('.%06d+00:00', g.at % 1000000) AS at
FROM generations g JOIN settings s ON s.id = g.settings JOIN payloads m ON m.id = g.messages
JOIN runs r ON r.id = g.run LEFT JOIN payloads p ON p.id = g.answer LEFT JOIN payloads d ON d.id = g.detail
WHERE g.status IS NOT NULL;

CREATE VIEW v_scores AS
SELECT r.run_id, a.slice_id, a.model_id, a.prompt_variant_id, a.params, k.score, k.metric, k.parse, i.item_id,
  t.sample_index, lower(hex(t.trial_id)) AS trial_id, t.outcome, s.value, s.reason, s.parsed, s.parse_reason,
  coalesce(s.extracted, x.text) AS extracted, d.text AS details, lower(hex(s.key)) AS score_key, p.text AS answer,
  lower(hex(i.digest)) AS item_digest, n.dimensions, i.metadata
FROM score_links l JOIN trials t ON t.id = l.trial JOIN arms a ON a.id = t.arm JOIN runs r ON r.id = a.run
JOIN items i ON i.id = t.item JOIN scorers k ON k.id = l.scorer JOIN scores s ON s.id = l.score
LEFT JOIN slices n ON n.run = a.run AND n.slice_id = a.slice_id
LEFT JOIN payloads x ON x.id = s.extracted_payload LEFT JOIN payloads d ON d.id = s.details
LEFT JOIN generations g ON g.id = t.generation LEFT JOIN payloads p ON p.id = g.answer;

CREATE VIEW v_compare_pairs AS
SELECT r.run_id, q.run_id AS other_run_id, a.slice_id, k.score, k.metric, i.item_id, lower(hex(i.digest)) AS item_digest,
  t.sample_index, a.model_id, b.model_id AS other_model_id, a.prompt_variant_id,
  b.prompt_variant_id AS other_prompt_variant_id, a.params, b.params AS other_params, s.value,
  o.value AS other_value, o.value - s.value AS difference
FROM runs r JOIN arms a ON a.run = r.id JOIN arms b ON b.slice_id = a.slice_id AND b.id <> a.id
JOIN runs q ON q.id = b.run JOIN trials t ON t.arm = a.id
JOIN trials u ON u.arm = b.id AND u.item = t.item AND u.sample_index = t.sample_index
JOIN items i ON i.id = t.item JOIN score_links l ON l.trial = t.id JOIN scorers k ON k.id = l.scorer
JOIN score_links m ON m.trial = u.id JOIN scorers j ON j.id = m.scorer AND j.score = k.score AND j.metric = k.metric
JOIN scores s ON s.id = l.score JOIN scores o ON o.id = m.score;
