"""The label of a model is apart from the name that its server is sent: one model may be had from two servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core.testing.server import ScriptedServer


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[ScriptedServer, ScriptedServer]]:
    with ScriptedServer({"answers": {"rule": "echo"}}) as one, ScriptedServer({"answers": {"rule": "echo"}}) as two:
        yield one, two


@pytest.fixture(autouse=True)
def _fresh(servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    for each in servers:
        each.reset({"answers": {"rule": "echo"}})


def model(label: str, server: ScriptedServer, sent: str | None = "llama", **more: Any) -> dict[str, Any]:
    extras = {"base_url": server.base_url, "api_key_env": None, **more.pop("extras", {})}
    return {"model_id": label, "provider": "openai/chat", "extras": extras, **({"model": sent} if sent else {}), **more}


def spec(models: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    rows = [{"id": name, "q": name, "gold": name} for name in ("a", "b")]
    return {
        "benchmark_id": "labels",
        "models": models,
        "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {"source": "files/inline", "extras": {"rows": rows}, "fields": {"reference": "gold"}},
                "generation": {},
                "scores": [{"name": "exact", "metrics": ["text/exact_match"]}],
            }
        ],
        **changes,
    }


def run(folder: Path, data: dict[str, Any]) -> themis.RunResult:
    path = folder / "spec.json"
    path.write_text(json.dumps(data))
    return themis.run(path)


def test_two_servers_are_sent_one_name_and_stand_in_the_results_under_their_labels(
    tmp_path: Path, servers: tuple[ScriptedServer, ScriptedServer]
) -> None:
    one, two = servers
    price = {"input_per_million": 1e6, "output_per_million": 0}
    thresholds = [{"score": "exact", "minimum": 0.5, "model_id": "llama on two"}]
    models = [model("llama on one", one, price=price), model("llama on two", two)]
    result = run(tmp_path, spec(models, thresholds=thresholds))
    assert [[each.model for each in server.requests()] for server in servers] == [["llama"] * 2] * 2
    assert {row.model_id: row.n for row in result.scores} == {"llama on one": 2, "llama on two": 2}
    with themis.open_results(tmp_path / "spec.json") as results:
        costs = {(row.model_id, row.cost is not None) for row in results.trials(result.run_id)}
    assert costs == {("llama on one", True), ("llama on two", False)}  # each has its own price
    assert result.exit_code == 0


def test_the_same_in_python(tmp_path: Path, servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    models = [
        themis.ModelSpec(
            model_id=label,
            model="llama",
            provider="openai/chat",
            extras={"base_url": server.base_url, "api_key_env": None},
        )
        for label, server in zip(("one", "two"), servers, strict=True)
    ]
    benchmark = themis.BenchmarkSpec.model_validate(spec([each.model_dump() for each in models]))
    assert themis.run(benchmark, base_dir=tmp_path).generated == 4
    assert [server.count for server in servers] == [2, 2]


@pytest.mark.parametrize(
    ("before", "after", "calls"),
    [
        # A label is in no generation key…
        (("small", "llama"), ("big", "llama"), 0),
        (("llama", None), ("a label", "llama"), 0),
        (("a label", "llama"), ("llama", None), 0),
        (("llama", "llama"), ("llama", None), 0),
        (("labelled", "llama"), ("labelled", "other"), 2),  # …and the name that is sent is
        (("llama", None), ("llama", "other"), 2),
        (("llama", "mistral"), ("mistral", "llama"), 2),
    ],
)
def test_renaming_a_label_costs_nothing(
    tmp_path: Path,
    servers: tuple[ScriptedServer, ScriptedServer],
    before: tuple[str, str | None],
    after: tuple[str, str | None],
    calls: int,
) -> None:
    server = servers[0]
    run(tmp_path, spec([model(before[0], server, before[1])]))
    renamed = spec([model(after[0], server, after[1])])
    plan = themis.plan(themis.BenchmarkSpec.model_validate(renamed), base_dir=tmp_path)
    again = run(tmp_path, renamed)
    assert (plan.to_call, again.generated) == (calls, calls)
    assert server.count == 2 + calls
    assert {row.model_id for row in again.scores} == {after[0]}


def test_renaming_a_label_asks_no_judge_again(tmp_path: Path, servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    one, two = servers
    judge = {"model": model("strict", two, "llama"), "repeats": 2}
    scores = [{"name": "graded", "metrics": [{"id": "judge/correctness", "judge": judge}]}]
    data = spec([model("first", one)])
    data["slices"][0]["scores"] = scores
    run(tmp_path, data)
    asked = two.count
    assert asked >= 4
    data["models"][0]["model_id"] = "second"
    judge["model"]["model_id"] = "lenient"
    run(tmp_path, data)
    assert (one.count, {each.model for each in two.requests()}) == (2, {"llama"})
    assert two.count == asked


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([("twice", "llama"), ("twice", "mistral")], "twice"),
        ([("a", "llama"), ("b", "llama")], "the models 'a' and 'b' are one"),
        ([("llama", None), ("b", "llama")], "the models 'llama' and 'b' are one"),
    ],
)
def test_two_rows_never_show_one_models_answers(
    tmp_path: Path,
    servers: tuple[ScriptedServer, ScriptedServer],
    labels: list[tuple[str, str | None]],
    message: str,
) -> None:
    models = [model(label, servers[0], sent) for label, sent in labels]
    with pytest.raises(themis.SpecError, match=message):
        run(tmp_path, spec(models))
    assert servers[0].count == 0


def test_judging_models_that_are_one_are_refused(
    tmp_path: Path, servers: tuple[ScriptedServer, ScriptedServer]
) -> None:
    data = spec([model("m", servers[0])])
    panel = [{"model": model(label, servers[1], "judge-1")} for label in ("a", "b")]
    data["slices"][0]["scores"] = [{"name": "g", "metrics": [{"id": "judge/correctness", "judge": panel}]}]
    with pytest.raises(themis.SpecError, match="the judging models 'a' and 'b' are one"):
        run(tmp_path, data)


def test_a_baseline_is_named_by_its_label(tmp_path: Path, servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    data = spec([model("base", servers[0]), model("rival", servers[1])])
    judge = {"model": model("j", servers[1], "judge-1")}
    metric = {"id": "judge/pairwise", "config": {"model": "base"}, "judge": judge}
    data["slices"][0]["scores"] = [{"name": "wins", "metrics": [metric]}]
    themis.plan(themis.BenchmarkSpec.model_validate(data), base_dir=tmp_path)
    metric["config"] = {"model": "llama"}
    with pytest.raises(themis.SpecError, match=r"the baseline 'llama' is no model of this slice.*base, rival"):
        themis.plan(themis.BenchmarkSpec.model_validate(data), base_dir=tmp_path)


def test_a_recording_is_found_by_the_name_that_is_sent(tmp_path: Path) -> None:
    (tmp_path / "llama.jsonl").write_text('{"id": "a", "output": "a"}\n{"id": "b", "output": "b"}\n')
    recorded = {"model_id": "recorded", "model": "llama", "provider": "replay/file"}
    result = run(tmp_path, spec([{**recorded, "extras": {"path": "{model_id}.jsonl"}}]))
    assert [(row.model_id, row.value) for row in result.scores] == [("recorded", 1.0)]


def test_verdicts_are_found_by_the_label(tmp_path: Path, servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    verdicts = [{"id": item, "model": label, "verdict": 1} for item in "ab" for label in ("one", "renamed")]
    (tmp_path / "verdicts.jsonl").write_text("".join(json.dumps(each) + "\n" for each in verdicts))
    config = {"path": "verdicts.jsonl", "fields": {"model": "model", "verdict": "verdict"}}
    data = spec([model("one", servers[0]), model("two", servers[1])])
    data["slices"][0]["scores"] = [{"name": "said", "metrics": [{"id": "replay/verdicts", "config": config}]}]
    first = run(tmp_path, data)
    assert {row.model_id: row.n for row in first.scores} == {"one": 2, "two": 0}
    data["models"][1]["model_id"] = "renamed"
    second = run(tmp_path, data)
    assert ({row.model_id: row.n for row in second.scores}, second.generated) == ({"one": 2, "renamed": 2}, 0)


def test_the_plan_says_which_name_is_sent(tmp_path: Path, servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    data = themis.BenchmarkSpec.model_validate(spec([model("a", servers[0]), model("b", servers[1], None)]))
    report = themis.plan(data, base_dir=tmp_path)
    assert [(row["model_id"], row["model"]) for row in report.per_model] == [("a", "llama"), ("b", "b")]
