"""The page on tracing shows what a collector gets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import themis_core as themis
from themis_core.testing.server import ScriptedServer

PAGE = Path(__file__).parents[3] / "docs" / "tracing.md"


def test_the_run_on_the_page_has_the_spans_that_it_says(tmp_path: Path, collector: Any, server: ScriptedServer) -> None:
    page = PAGE.read_text("utf-8")
    (spec,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (spans,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "traced.yaml"
    file.write_text(spec.replace("http://127.0.0.1:8000/v1", server.base_url))
    themis.run(file)
    by_start = sorted(collector.spans(), key=lambda each: each.start_time_unix_nano)
    assert [each.name for each in by_start] == spans.split("\n")[:-1]
    assert [each.parent_span_id for each in by_start] == [b"", by_start[0].span_id, by_start[1].span_id]
    assert {each.name for each in collector.metrics()} == set(re.findall(r"`(gen_ai\.client\.[\w.]+)`", page))
