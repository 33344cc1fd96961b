"""The cases, in the order of the table: each module measures one, in `rows`. Modules named `bare_…` are bare loops."""

CASES = (
    "http_free",
    "http_many",
    "http_slow",
    "http_wide",
    "one_trial",
    "replay",
    "rerun",
    "another_parse",
    "another_metric",
    "plan_stored",
    "judge_call",
    "disk",
    "metric_5_ms",
    "metric_20_ms",
    "metric_stalls",
    "store_append",
    "store_read",
    "queries",
)
