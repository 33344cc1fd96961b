"""The page on services over HTTP runs as it stands, with what it says that is sent and answered."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import themis_core as themis
from themis_core.testing.server import ScriptedServer

PAGE = (Path(__file__).parents[3] / "docs" / "http-json.md").read_text("utf-8")
(SPEC,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SENT, ANSWERED = (json.loads(each) for each in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def written(folder: Path, server: ScriptedServer, **extras: Any) -> Path:
    spec = yaml.safe_load(SPEC)
    spec["benchmark"]["models"][0]["extras"] |= {"base_url": server.origin, **extras}
    path = folder / "helpdesk.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return path


def test_the_spec_of_the_page_runs_and_keeps_the_steps(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"faults": [{"body": ANSWERED}]})
    result = themis.run(written(tmp_path, server))
    assert (result.status, result.generated, result.failed) == ("completed", 2, 0)
    assert result.cost == pytest.approx(0.0008)
    requests = {each.path: each.body for each in server.requests()}
    assert requests["/answer?team=shop%20%26%20service"] == SENT
    with themis.open_results(tmp_path / "helpdesk.yaml") as results:
        rows = {row.item_id: row.trial_id for row in results.trials(result.run_id)}
        generation = results.trial(result.run_id, rows["returns"])["turns"][0]["generation"]
    assert generation["text"] == "Within 30 days."
    (step,) = generation["steps"]
    told = {
        "kind": "retrieval",
        "name": "faq",
        "input": "return shoes",
        "output": ["Returns: 30 days"],
        "seconds": 0.02,
    }
    assert step | told == step


def test_only_what_the_templates_read_changes_what_is_asked(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"faults": [{"body": ANSWERED}]})
    path = written(tmp_path, server)
    themis.run(path)
    spec = yaml.safe_load(path.read_text("utf-8"))
    rows = spec["benchmark"]["slices"][0]["dataset"]["extras"]["rows"]
    rows[0]["note"] = rows[1]["note"] = "unread"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    assert themis.run(path).generated == 0
    rows[0]["question"] = "How long can I return boots?"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    assert themis.run(path).generated == 1


@pytest.mark.parametrize(
    ("extras", "words"),
    [
        ({"reply": {"text": "answer."}}, "is no JMESPath expression"),
        ({"body": {"q": "{{ item.qestion }}"}}, "qestion"),
        ({"body": {"q": "{{ thing }}"}}, "nothing is called 'thing'"),
    ],
)
def test_what_is_wrong_is_said_in_the_plan(
    extras: dict[str, Any], words: str, server: ScriptedServer, tmp_path: Path
) -> None:
    with pytest.raises(themis.SpecError, match=re.escape(words)):
        themis.plan(written(tmp_path, server, **extras))
    assert server.count == 0
