"""A baseline from another model of the same run: asked once, shared, and never waited for in a ring."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis

pytestmark = pytest.mark.parametrize("storage", ["sqlite"], indirect=True)

COUNT = 12
ITEMS = [{"id": f"i{number}", "q": f"Question {number}.", "reference": None} for number in range(COUNT)]
LARGE_IS_A = r"<answer-a-[0-9a-f]{10}>\nlarge says"
SCRIPT = [
    *({"model": name, "output": f"{name} says so."} for name in ("small", "medium", "large")),
    {"model": "judge-1", "pattern": LARGE_IS_A, "output": "VERDICT-{marker}: A"},
    {"model": "judge-1", "pattern": LARGE_IS_A.replace("-a-", "-b-"), "output": "VERDICT-{marker}: B"},
    {"model": "judge-1", "output": "VERDICT-{marker}: TIE"},
]


def against(court: Any, model: str = "large", **more: Any) -> dict[str, Any]:
    return {"id": "judge/pairwise", "config": {"model": model, **more}, "judge": court.judge()}


def by_model(result: themis.RunResult) -> dict[str, tuple[float | None, int, int]]:
    return {row.model_id: (row.value, row.n, row.unscored) for row in result.scores}


def test_each_answer_of_the_baseline_is_asked_for_once(court: Any) -> None:
    court.script(SCRIPT)
    models = ["small", "medium", "large"]
    result = court.run(ITEMS, [against(court)], models)
    assert result.status == "completed"
    assert by_model(result) == {"small": (0.0, COUNT, 0), "medium": (0.0, COUNT, 0), "large": (None, 0, COUNT)}
    (counts,) = result.ledger["scores"].values()
    assert counts == {"scored": 2 * COUNT, "unscored": {"is_baseline": COUNT}}
    assert court.asked() == {**dict.fromkeys(models, COUNT), "judge-1": 4 * COUNT}
    again = court.run(ITEMS, [against(court)], models)
    assert (again.scores, court.server.count) == (result.scores, 7 * COUNT)
    # The narrower benchmark is another run, for which everything is stored.
    narrower = court.run(ITEMS, [against(court)], ["large", "small"])
    assert (by_model(narrower)["small"], narrower.generated) == ((0.0, COUNT, 0), 0)
    # Another baseline is another score of the same answers.
    other = court.run(ITEMS, [against(court, "medium")], models)
    assert (by_model(other)["small"], court.asked()["large"]) == ((0.5, COUNT, 0), COUNT)
    assert by_model(other)["large"] == (1.0, COUNT, 0)


def test_the_answers_compared_have_equal_settings_and_samples(court: Any) -> None:
    court.script(SCRIPT)
    grid = {"inference_grid": {"overrides": {"temperature": [0.0, 1.0]}}, "num_samples": 2}
    result = court.run(ITEMS[:2], [against(court)], ["small", "large"], **grid)
    assert court.asked()["large"] == court.asked()["small"] == 2 * 2 * 2
    with themis.open_results(court.folder / "spec.json") as results:
        for row in results.trials(result.run_id):
            if row.model_id == "small":
                (score,) = results.trial(result.run_id, row.trial_id)["scores"]
                assert score["judged"][0]["request"]["item_id"] == row.item_id
    assert [(row.model_id, row.params, row.value, row.n) for row in result.scores if row.model_id == "small"] == [
        ("small", f"temperature={value}", 0.0, 4) for value in ("0.0", "1.0")
    ]


@pytest.mark.parametrize("width", [1, 2, 64])
def test_models_that_are_each_others_baseline_never_wait_for_each_other(court: Any, width: int) -> None:
    court.script(SCRIPT)
    data = court.spec(
        ITEMS,
        [
            *({**against(court, name), "name": f"against {name}"} for name in ("small", "medium", "large")),
            {**against(court, "large", quality="brevity"), "name": "brevity"},
        ],
        ["small", "medium", "large"],
    )
    # Two names of one server are two endpoints, and so two lanes.
    data["benchmark"]["models"][1]["extras"]["base_url"] = court.server.base_url.replace("127.0.0.1", "localhost")
    policy = {"max_in_flight_work_items": width, "max_retries": 0}
    data["project"]["execution_policy"] = policy
    path = court.folder / "spec.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    result = asyncio.run(asyncio.wait_for(themis.run_async(path), 60))
    assert (result.status, result.failed) == ("completed", 0)
    asked = court.asked()
    assert {name: asked[name] for name in ("small", "medium", "large")} == dict.fromkeys(
        ("small", "medium", "large"), COUNT
    )


@pytest.mark.parametrize("width", [1, 64])
def test_claims_that_a_silent_model_gives_up_make_no_ring(court: Any, width: int) -> None:
    court.script([{"model": "silent", "output": ""}, *SCRIPT])
    wanted = [{**against(court, name), "name": f"against {name}"} for name in ("small", "large")]
    data = court.spec(ITEMS, wanted, ["silent", "small", "large"])
    data["project"]["execution_policy"] = {"max_in_flight_work_items": width, "max_retries": 0}
    path = court.folder / "spec.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    result = asyncio.run(asyncio.wait_for(themis.run_async(path), 60))
    assert (result.status, result.failed) == ("completed", 0)
    asked = court.asked()
    assert [asked[name] for name in ("silent", "small", "large")] == [COUNT] * 3


def test_turns_are_compared_by_the_last_answers(court: Any) -> None:
    again = {"pattern": r"Sure\?\Z", "again": True}
    court.script([*({**again, "model": name, "output": f"{name} says yes."} for name in ("small", "large")), *SCRIPT])
    turns = [{"role": "user", "content": "{{ item.q }}"}], [{"role": "user", "content": "Sure?"}]
    variants = [{"id": "twice", "messages": turns[0], "follow_ups": turns[1]}]
    result = court.run(ITEMS[:2], [against(court)], ["small", "large"], prompt_variants=variants)
    assert (by_model(result)["small"], result.status) == ((0.0, 2, 0), "completed")
    assert court.asked() == {"small": 4, "large": 4, "judge-1": 4}
    trail = court.trail(result, "i0", "small")
    asked = trail["judged"][0]["request"]["messages"][-1]["content"]
    assert "small says yes." in asked
    assert "large says yes." in asked
    assert "Question 0.\n\nSure?\n</question-" in asked
    assert "says so" not in asked


def test_a_baseline_that_is_not_to_be_had_costs_the_verdict_alone_and_is_asked_for_again(court: Any) -> None:
    down = [{"match": "Question 3.", "status": 500}]
    court.script([row for row in SCRIPT if row.get("model") != "large"], faults=[])
    # The server has no answer of the large model: 400 for each of its requests.
    broken = court.run(ITEMS, [against(court)], ["small", "large"])
    assert (broken.status, broken.failed) == ("failed", COUNT)  # the large model's own trials
    (counts,) = broken.ledger["scores"].values()
    assert counts["unscored"]["judge_unavailable"] == COUNT
    asked = court.asked()
    assert (asked["small"], asked["judge-1"]) == (COUNT, 0)
    court.script(SCRIPT, faults=down)
    partly = court.run(ITEMS, [against(court)], ["small", "large"])
    assert (partly.failed, partly.ledger["failures"]) == (1, {"server_error": 1})
    (counts,) = partly.ledger["scores"].values()
    assert counts["unscored"]["judge_unavailable"] == 1
    assert court.asked()["small"] == 0
    court.script(SCRIPT)
    mended = court.run(ITEMS, [against(court)], ["small", "large"])
    assert (mended.status, court.asked()) == ("completed", {"large": 1, "judge-1": 2})


@pytest.mark.parametrize(
    ("output", "reason"),
    [({"content": None, "refusal": "No."}, "baseline_refused"), ({"content": ""}, "baseline_empty")],
)
def test_a_baseline_that_says_nothing_leaves_the_answer_unscored(court: Any, output: Any, reason: str) -> None:
    court.script([{"model": "large", "output": output}, *SCRIPT])
    result = court.run(ITEMS[:1], [against(court)], ["small", "large"])
    (counts,) = result.ledger["scores"].values()
    assert counts["unscored"] == {reason: 1, "is_baseline": 1}
    assert court.asked()["judge-1"] == 0


def test_a_refused_answer_needs_no_baseline_and_takes_none_from_its_own_model(court: Any) -> None:
    court.script([{"model": "small", "output": {"content": None, "refusal": "No."}}, *SCRIPT])
    result = court.run(ITEMS, [against(court)], ["small", "large"])
    assert by_model(result) == {"small": (0.0, COUNT, 0), "large": (None, 0, COUNT)}
    assert court.asked() == {"small": COUNT, "large": COUNT}


LOCAL = """
import re

from pydantic import Field

from themis_core import Capabilities, Engine, Generation, hookimpl


class Local(Engine):
    capabilities = Capabilities(local=True)

    async def generate(self, request):
        said = request.messages[-1]["content"]
        if request.model_id == "judge-1":
            marker = re.findall("VERDICT-([0-9a-f]{10})", said)[-1]
            return Generation("answered", text=f"VERDICT-{marker}: A")
        if request.model_id == "small" and said.endswith(("1.", "3.")):
            return Generation("refused")
        return Generation("answered", text=f"{request.model_id} says so.")


@hookimpl
def themis_register_engines(register):
    register("local", Local)
"""


@pytest.mark.parametrize("order", [["small", "large"], ["large", "small"]])
def test_a_trial_that_needs_no_baseline_holds_up_nobody_who_waits_for_it(
    court: Any, tmp_path: Path, order: list[str]
) -> None:
    (tmp_path / "mine.py").write_text(LOCAL, encoding="utf-8")
    data = court.spec(
        [{"id": str(n), "q": f"Question {n}.", "reference": None} for n in range(300)], [against(court)], order
    )
    data["project"]["plugins"] = {"mine": "mine.py"}
    for model in (
        *data["benchmark"]["models"],
        data["benchmark"]["slices"][0]["scores"][0]["metrics"][0]["judge"]["model"],
    ):
        model.update(provider="mine/local", extras={})
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    result = asyncio.run(asyncio.wait_for(themis.run_async(path), 120))
    assert (result.status, result.failed) == ("completed", 0)
    with themis.open_results(path) as results:
        values = Counter((row.model_id, row.value, row.reason) for row in results.score_rows(result.run_id))
    assert values == {("small", 0.5, None): 240, ("small", 0.0, None): 60, ("large", None, "is_baseline"): 300}
