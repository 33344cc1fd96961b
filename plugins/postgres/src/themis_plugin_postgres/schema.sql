CREATE TABLE arms (
  id BIGINT NOT NULL,
  run BIGINT NOT NULL,
  slice_id TEXT COLLATE "C" NOT NULL,
  model_id TEXT COLLATE "C" NOT NULL,
  prompt_variant_id TEXT COLLATE "C" NOT NULL,
  params TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (id)
);

CREATE INDEX arms_names ON arms (run);

CREATE TABLE batches (
  id BIGINT NOT NULL,
  nonce TEXT COLLATE "C" NOT NULL,
  run BIGINT NOT NULL,
  intended_at TEXT COLLATE "C" NOT NULL,
  endpoint TEXT COLLATE "C" NOT NULL,
  model_id TEXT COLLATE "C" NOT NULL,
  requests INTEGER NOT NULL,
  keys BIGINT NOT NULL,
  ticket TEXT COLLATE "C",
  submitted_at TEXT COLLATE "C",
  outcome TEXT COLLATE "C",
  ended_at TEXT COLLATE "C",
  PRIMARY KEY (id)
);

CREATE INDEX batches_names ON batches USING hash (nonce);

CREATE TABLE chains (
  id BIGINT NOT NULL,
  run_id TEXT COLLATE "C",
  length BIGINT NOT NULL,
  next BIGINT NOT NULL,
  digest BYTEA NOT NULL,
  PRIMARY KEY (id)
);

CREATE TABLE events (
  seq BIGINT NOT NULL,
  count INTEGER NOT NULL,
  run_id TEXT COLLATE "C",
  at TEXT COLLATE "C" NOT NULL,
  chain BIGINT NOT NULL,
  previous BYTEA NOT NULL,
  digest BYTEA NOT NULL,
  encoding INTEGER NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (seq)
);

CREATE TABLE executions (
  id BIGINT NOT NULL,
  run BIGINT NOT NULL,
  started_at TEXT COLLATE "C" NOT NULL,
  manifest BIGINT,
  finished_at TEXT COLLATE "C",
  status TEXT COLLATE "C" NOT NULL,
  counts TEXT COLLATE "C" NOT NULL,
  part TEXT COLLATE "C",
  PRIMARY KEY (id)
);

CREATE INDEX ix_executions_run ON executions (run);

CREATE TABLE generations (
  id BIGINT NOT NULL,
  lookup INTEGER NOT NULL,
  twin SMALLINT NOT NULL,
  key BYTEA NOT NULL,
  status TEXT COLLATE "C",
  error_code TEXT COLLATE "C",
  finish_reason TEXT COLLATE "C",
  settings BIGINT,
  messages BIGINT,
  item_id TEXT COLLATE "C",
  sample_index INTEGER,
  seed BIGINT,
  answer BIGINT,
  detail BIGINT,
  input_tokens BIGINT,
  output_tokens BIGINT,
  reasoning_tokens BIGINT,
  cached_input_tokens BIGINT,
  cache_write_tokens BIGINT,
  cost FLOAT(53),
  latency_s FLOAT(53),
  attempts INTEGER,
  run BIGINT,
  at BIGINT,
  PRIMARY KEY (id)
);

CREATE UNIQUE INDEX ix_generations_lookup ON generations (lookup, twin);

CREATE TABLE items (
  id BIGINT NOT NULL,
  lookup INTEGER NOT NULL,
  twin SMALLINT NOT NULL,
  digest BYTEA NOT NULL,
  item_id TEXT COLLATE "C" NOT NULL,
  content BIGINT,
  event BIGINT,
  metadata TEXT COLLATE "C",
  PRIMARY KEY (id)
);

CREATE UNIQUE INDEX ix_items_lookup ON items (lookup, twin);

CREATE TABLE payloads (
  id BIGINT NOT NULL,
  lookup BIGINT,
  digest BYTEA NOT NULL,
  text TEXT COLLATE "C" NOT NULL,
  raw BYTEA,
  external INTEGER NOT NULL,
  PRIMARY KEY (id)
);

CREATE INDEX payloads_shared ON payloads (lookup) WHERE lookup IS NOT NULL;

CREATE TABLE runs (
  id BIGINT NOT NULL,
  run_id TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (id)
);

CREATE INDEX runs_names ON runs USING hash (run_id);

CREATE TABLE score_links (
  trial BIGINT NOT NULL,
  position INTEGER NOT NULL,
  scorer BIGINT NOT NULL,
  score BIGINT NOT NULL,
  "new" INTEGER NOT NULL,
  judged_by TEXT COLLATE "C",
  PRIMARY KEY (trial, position)
);

CREATE TABLE scorers (
  id BIGINT NOT NULL,
  score TEXT COLLATE "C" NOT NULL,
  metric TEXT COLLATE "C" NOT NULL,
  parse TEXT COLLATE "C",
  PRIMARY KEY (id)
);

CREATE INDEX scorers_names ON scorers USING hash (score);

CREATE TABLE scores (
  id BIGINT NOT NULL,
  lookup INTEGER NOT NULL,
  twin SMALLINT NOT NULL,
  key BYTEA NOT NULL,
  value FLOAT(53),
  reason TEXT COLLATE "C",
  parts TEXT COLLATE "C",
  details BIGINT,
  parsed INTEGER,
  parse_reason TEXT COLLATE "C",
  extracted TEXT COLLATE "C",
  extracted_payload BIGINT,
  PRIMARY KEY (id)
);

CREATE UNIQUE INDEX ix_scores_lookup ON scores (lookup, twin);

CREATE TABLE settings (
  id BIGINT NOT NULL,
  model_id TEXT COLLATE "C" NOT NULL,
  params TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (id)
);

CREATE INDEX settings_names ON settings USING hash (params);

CREATE TABLE slices (
  id BIGINT NOT NULL,
  run BIGINT NOT NULL,
  slice_id TEXT COLLATE "C" NOT NULL,
  dimensions TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (id)
);

CREATE TABLE trials (
  id BIGINT NOT NULL,
  lookup INTEGER NOT NULL,
  twin SMALLINT NOT NULL,
  trial_id BYTEA NOT NULL,
  arm BIGINT NOT NULL,
  item BIGINT NOT NULL,
  sample_index INTEGER NOT NULL,
  generation BIGINT,
  earlier_generations TEXT COLLATE "C",
  outcome TEXT COLLATE "C" NOT NULL,
  error_code TEXT COLLATE "C",
  reused INTEGER NOT NULL,
  finished_at BIGINT NOT NULL,
  PRIMARY KEY (id)
);

CREATE UNIQUE INDEX ix_trials_lookup ON trials (lookup, twin);

CREATE INDEX trials_arm_item ON trials (arm, item);

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
  encode(t.trial_id, 'hex') AS trial_id, encode(i.digest, 'hex') AS item_digest, encode(g.key, 'hex') AS generation_key,
  t.outcome, t.error_code, t.reused, to_char(timestamp '1970-01-01' + t.finished_at * interval '1 microsecond', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') AS finished_at,
  g.input_tokens, g.output_tokens, g.cost, p.text AS answer
FROM trials t JOIN arms a ON a.id = t.arm JOIN runs r ON r.id = a.run JOIN items i ON i.id = t.item
LEFT JOIN generations g ON g.id = t.generation LEFT JOIN payloads p ON p.id = g.answer;

CREATE VIEW v_generations AS
SELECT encode(g.key, 'hex') AS generation_key, s.model_id, s.params, g.item_id, g.sample_index, g.seed, g.status,
  g.error_code, g.finish_reason, m.text AS messages, p.text AS answer, d.text AS detail, g.input_tokens,
  g.output_tokens, g.reasoning_tokens, g.cached_input_tokens, g.cache_write_tokens, g.cost,
  g.latency_s, g.attempts, r.run_id, to_char(timestamp '1970-01-01' + g.at * interval '1 microsecond', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') AS at
FROM generations g JOIN settings s ON s.id = g.settings JOIN payloads m ON m.id = g.messages
JOIN runs r ON r.id = g.run LEFT JOIN payloads p ON p.id = g.answer LEFT JOIN payloads d ON d.id = g.detail
WHERE g.status IS NOT NULL;

CREATE VIEW v_scores AS
SELECT r.run_id, a.slice_id, a.model_id, a.prompt_variant_id, a.params, k.score, k.metric, k.parse, i.item_id,
  t.sample_index, encode(t.trial_id, 'hex') AS trial_id, t.outcome, s.value, s.reason, s.parsed, s.parse_reason,
  coalesce(s.extracted, x.text) AS extracted, d.text AS details, encode(s.key, 'hex') AS score_key, p.text AS answer,
  encode(i.digest, 'hex') AS item_digest, n.dimensions, i.metadata
FROM score_links l JOIN trials t ON t.id = l.trial JOIN arms a ON a.id = t.arm JOIN runs r ON r.id = a.run
JOIN items i ON i.id = t.item JOIN scorers k ON k.id = l.scorer JOIN scores s ON s.id = l.score
LEFT JOIN slices n ON n.run = a.run AND n.slice_id = a.slice_id
LEFT JOIN payloads x ON x.id = s.extracted_payload LEFT JOIN payloads d ON d.id = s.details
LEFT JOIN generations g ON g.id = t.generation LEFT JOIN payloads p ON p.id = g.answer;

CREATE VIEW v_compare_pairs AS
SELECT r.run_id, q.run_id AS other_run_id, a.slice_id, k.score, k.metric, i.item_id, encode(i.digest, 'hex') AS item_digest,
  t.sample_index, a.model_id, b.model_id AS other_model_id, a.prompt_variant_id,
  b.prompt_variant_id AS other_prompt_variant_id, a.params, b.params AS other_params, s.value,
  o.value AS other_value, o.value - s.value AS difference
FROM runs r JOIN arms a ON a.run = r.id JOIN arms b ON b.slice_id = a.slice_id AND b.id <> a.id
JOIN runs q ON q.id = b.run JOIN trials t ON t.arm = a.id
JOIN trials u ON u.arm = b.id AND u.item = t.item AND u.sample_index = t.sample_index
JOIN items i ON i.id = t.item JOIN score_links l ON l.trial = t.id JOIN scorers k ON k.id = l.scorer
JOIN score_links m ON m.trial = u.id JOIN scorers j ON j.id = m.scorer AND j.score = k.score AND j.metric = k.metric
JOIN scores s ON s.id = l.score JOIN scores o ON o.id = m.score;
