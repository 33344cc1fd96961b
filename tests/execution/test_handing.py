"""What a component does to what it is handed reaches no store, no other component and no request, and is named."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core.records import Generation, Item, Usage
from themis_core.specs import digest
from themis_plain import own

PLUGIN = """
import heapq
import json
from pathlib import Path

from themis_core import (
    DatasetLoader, Engine, EngineError, Extraction, Extractor, Generation, Judge, JudgeRequest, Metric, Row, Score,
    hookimpl,
)

HERE = Path(__file__).parent
SHARED = {"id": "of the engine's own"}


def meddle(place, **names):
    if (code := json.loads((HERE / "meddle.json").read_text()).get(place)) is not None:
        exec(code, {"heapq": heapq, **names})


def seen(*what):
    return json.loads(json.dumps(what, default=lambda each: {**each.to_dict(), "latency_s": 0}))


class Fake(Engine):
    async def generate(self, request):
        meddle("engine", request=request)
        with (HERE / "sent.jsonl").open("a") as file:
            print(json.dumps([request.messages, request.params]), file=file)
        if request.model_id == "judge":
            return Generation("answered", text="yes", provider=SHARED)
        if request.item_id in ("empty", "refused"):
            return Generation(request.item_id)
        SHARED["item"] = request.item_id
        return Generation(
            "answered", text='{"answer": 4, "steps": [3, 1, 2]}', provider=SHARED,
            tool_calls=({"name": "ls", "arguments": {"all": True}},), logprobs=({"token": "4", "logprob": -0.5},),
        )


class Reading(Extractor):
    def extract(self, text):
        return Extraction(json.loads(text))


class Meddler(Metric):
    def score(self, item, generation, value):
        meddle("score", item=item, generation=generation, value=value)
        return Score(1.0)

    def unscorable(self, item):
        meddle("unscorable", item=item)
        return None

    def empty(self, item, generation):
        meddle("empty", item=item, generation=generation)
        return Score(0.0)

    def worst(self, item, generation):
        meddle("worst", item=item, generation=generation)
        return Score(0.0)


class Reader(Metric):
    def score(self, item, generation, value):
        return Score(1.0, details={"saw": seen(item.fields, item.reference, item.metadata, generation, value)})

    def worst(self, item, generation):
        return Score(0.0, details={"saw": seen(item.fields, item.reference, item.metadata, generation)})


class MeddlingJudge(Judge):
    def requests(self, judged):
        meddle("requests", judged=judged)
        return [JudgeRequest([{"role": "user", "content": "good?"}], {"temperature": 0.0})]

    def again(self, judged, reply):
        meddle("again", judged=judged, reply=reply)

    def score(self, judged, replies):
        meddle("judge", judged=judged, replies=replies)
        return Score(1.0)


class ReadingJudge(MeddlingJudge):
    def requests(self, judged):
        return [JudgeRequest([{"role": "user", "content": "good?"}], {"temperature": 0.0})]

    def again(self, judged, reply):
        return None

    def score(self, judged, replies):
        return Score(1.0, details={"saw": seen(
            judged.item.fields, judged.item.reference, judged.generation, judged.value, judged.messages,
            [[each.request.messages, each.request.params, each.generation] for each in replies],
        )})


class OneDict(DatasetLoader):
    def rows(self, spec, query, base_dir):
        spec.fields.metadata.clear()
        query.filters["id"] = "none"
        row = {"tags": [None, {"n": None}]}
        for number in range(3):
            row["id"] = row["tags"][0] = row["tags"][1]["n"] = str(number)
            yield Row(row, f"row {number}")

    def fingerprint(self, spec, base_dir):
        spec.fields.metadata.clear()
        return {}


@hookimpl
def themis_register_engines(register):
    register("fake", Fake)


@hookimpl
def themis_register_extractors(register):
    register("reading", Reading)


@hookimpl
def themis_register_metrics(register):
    register("meddler", Meddler)
    register("reader", Reader)


@hookimpl
def themis_register_judges(register):
    register("meddling_judge", MeddlingJudge)
    register("reading_judge", ReadingJudge)


@hookimpl
def themis_register_dataset_loaders(register):
    register("one_dict", OneDict)


@hookimpl
def themis_run_started(event):
    meddle("run_started", event=event)


@hookimpl
def themis_trial_finished(event):
    meddle("trial_finished", event=event)


@hookimpl
def themis_run_finished(event, summary):
    meddle("run_finished", event=event, summary=summary)
"""
MODEL = {"model_id": "m", "provider": "mine/fake"}
JUDGE = {"judge": {"model": {"model_id": "judge", "provider": "mine/fake"}}}
ROWS = [
    {"id": "full", "tags": ["b", "a"], "deep": {"n": [1]}, "gold": ["z", "y", {"n": 1}], "level": {"n": 1}},
    {"id": "empty", "tags": ["b", "a"], "deep": {"n": [1]}, "gold": ["z", "y", {"n": 1}], "level": {"n": 1}},
    {"id": "refused", "tags": ["b", "a"], "deep": {"n": [1]}, "gold": ["z", "y", {"n": 1}], "level": {"n": 1}},
]


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")

    def run(self, *, meddle: dict[str, str] | None = None, dataset: dict[str, Any] | None = None) -> themis.RunResult:
        (self.folder / "meddle.json").write_text(json.dumps(meddle or {}), encoding="utf-8")
        inline = {"source": "files/inline", "extras": {"rows": ROWS}}
        inline["fields"] = {"reference": "gold", "metadata": ["level"]}
        benchmark = {
            "benchmark_id": "b",
            "models": [MODEL],
            "prompt_variants": [{"id": "v", "messages": [{"role": "user", "content": "{{ item.id }}"}]}],
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": dataset or inline,
                    "generation": {"inference_grid": {"params": [{"temperature": 0.5}]}},
                    "parses": [{"name": "read", "extractors": ["mine/reading"]}],
                    "scores": [
                        {"name": "first", "parse": "read", "metrics": ["mine/meddler", "mine/reader"]},
                        {"name": "then", "metrics": [{"id": "mine/meddling_judge", **JUDGE}]},
                        {"name": "last", "parse": "read", "metrics": [{"id": "mine/reading_judge", **JUDGE}]},
                        {"name": "end", "parse": "read", "metrics": ["mine/reader"]},
                    ],
                }
            ],
        }
        spec = {"project": {"plugins": {"mine": "mine.py"}}, "benchmark": benchmark}
        (self.folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
        return themis.run(self.folder / "spec.json")

    def stored(self, result: themis.RunResult) -> tuple[Any, dict[str, Any]]:
        """Items and turns of all trials; and the scores of (item, score, component)."""
        with themis.open_results(self.folder / "spec.json") as results:
            trials = [results.trial(result.run_id, row.trial_id) for row in results.trials(result.run_id)]
        turns = [
            [[turn["request"], {**turn["generation"], "latency_s": 0}] for turn in each["turns"]] for each in trials
        ]
        scores = {
            f"{each['item']['id']} {score['score']} {score['metric']}": [score["result"], score["extraction"]]
            for each in trials
            for score in each["scores"]
        }
        return [[each["item"] for each in trials], turns], scores

    def sent(self) -> list[Any]:
        return [json.loads(line) for line in (self.folder / "sent.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any]]:
    bench = Bench(tmp_path_factory.mktemp("handing") / "quiet")
    return bench.stored(bench.run())


@pytest.fixture
def without_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other tests here guard against: they would fail if nothing were copied."""
    monkeypatch.setattr("themis_plain.copies._copiers", defaultdict(lambda: lambda value: value))


MEDDLING = [
    ("score", "item.reference[:] = ['no']", "item.reference"),
    ("score", "item.reference[2]['n'] = 2", "item.reference[2].n"),
    ("score", "item.reference.sort(key=str)", "item.reference[0]"),
    ("score", "heapq.heapify(item.reference[:2] and item.fields['tags'])", "item.fields.tags[0]"),
    ("score", "item.fields.clear()", "item.fields"),
    ("score", "item.fields['deep']['n'].append(2)", "item.fields.deep.n"),
    ("score", "item.metadata['level']['n'] = None", "item.metadata.level.n"),
    ("score", "object.__setattr__(item, 'reference', ['no'])", "item.reference"),
    ("score", "generation.provider['id'] = 'other'", "generation.provider.id"),
    ("score", "generation.provider.clear()", "generation.provider"),
    ("score", "generation.tool_calls[0]['arguments'].clear()", "generation.tool_calls[0].arguments"),
    ("score", "generation.logprobs[0]['logprob'] = 0.0", "generation.logprobs[0].logprob"),
    ("score", "object.__setattr__(generation, 'text', 'other')", "generation.text"),
    ("score", "value['answer'] = 5", "value.answer"),
    ("score", "value['steps'].sort()", "value.steps[0]"),
    ("worst", "item.reference.clear()", "item.reference"),
    ("empty", "item.reference.clear()", "item.reference"),
    ("empty", "generation.provider['id'] = 'other'", "generation.provider"),
    ("worst", "generation.provider['id'] = 'other'", "generation.provider"),
    ("requests", "judged.item.fields.pop('tags')", "judged.item.fields"),
    ("requests", "judged.messages[0]['content'] = 'other'", "judged.messages[0].content"),
    ("requests", "judged.generation.provider['id'] = 'other'", "judged.generation.provider.id"),
    ("again", "reply.request.messages.append({'role': 'user', 'content': 'x'})", "reply.request.messages"),
    ("again", "reply.request.params['temperature'] = 1.0", "reply.request.params.temperature"),
    ("again", "reply.generation.provider.clear()", "reply.generation.provider"),
    ("judge", "replies.clear()", "replies"),
    ("judge", "replies[0].generation.provider['id'] = 1", "replies[0].generation.provider.id"),
    ("judge", "judged.item.reference.append('no')", "judged.item.reference"),
]


@pytest.mark.parametrize(("method", "code", "place"), MEDDLING)
def test_who_changes_what_it_is_handed_loses_its_own_score_and_nothing_else_changes(
    tmp_path: Path, quiet: tuple[Any, dict[str, Any]], method: str, code: str, place: str
) -> None:
    bench = Bench(tmp_path / "meddled")
    result = bench.run(meddle={method: code})
    kept, scores = bench.stored(result)
    assert kept == quiet[0]
    for item in kept[0]:
        names = ("id", "fields", "reference", "metadata", "output", "model")
        assert digest([item[name] for name in names]) == item["digest"]
    component = "mine/meddler" if method in ("score", "worst", "empty") else "mine/meddling_judge"
    blamed = {name: each[0] for name, each in scores.items() if each != quiet[1][name]}
    assert len(blamed) == 1
    ((name, score),) = blamed.items()
    assert name.endswith(component)
    assert (score["value"], score["reason"]) == (None, "metric_error")
    assert score["details"]["component"] == component
    assert f"it changed {place}, which it is handed to read only" in score["details"]["error"]


def test_without_copies_one_metric_changes_what_all_others_see(
    tmp_path: Path, quiet: tuple[Any, dict[str, Any]], without_copies: None
) -> None:
    bench = Bench(tmp_path / "meddled")
    _, scores = bench.stored(bench.run(meddle={"score": "item.reference[:] = ['no']"}))
    assert scores["full end mine/reader"] != quiet[1]["full end mine/reader"]


def test_without_copies_an_engine_changes_what_is_stored(
    tmp_path: Path, quiet: tuple[Any, dict[str, Any]], without_copies: None
) -> None:
    bench = Bench(tmp_path / "meddled")
    kept, _ = bench.stored(bench.run(meddle={"engine": "request.params['temperature'] = 1.0"}))
    assert kept != quiet[0]


@pytest.mark.parametrize(
    ("hook", "code"),
    [
        ("run_started", "event.manifest.clear()"),
        ("run_started", "event.manifest['scorers'][0]['metric'] = 'other'"),
        ("trial_finished", "event.scores[1].result.details.clear()"),
        ("trial_finished", "event.scores[0].extraction and event.scores[0].extraction.value.clear()"),
        ("run_finished", "event.counts['generated'] = 0; summary['scores'].clear()"),
        ("run_finished", "object.__setattr__(event, 'status', 'failed')"),
        ("engine", "request.messages.append({'role': 'user', 'content': 'more'})"),
        ("engine", "request.messages[0]['content'] = 'other'"),
        ("engine", "request.params['temperature'] = 1.0"),
        ("engine", "object.__setattr__(request, 'params', {})"),
    ],
)
def test_what_observers_and_engines_change_is_their_own_copy(
    tmp_path: Path, quiet: tuple[Any, dict[str, Any]], hook: str, code: str
) -> None:
    bench = Bench(tmp_path / "meddled")
    result = bench.run(meddle={hook: code})
    assert bench.stored(result) == quiet
    assert (result.status, len(result.scores)) == ("completed", 5)


def test_an_answer_that_is_tried_again_is_asked_for_as_it_was_meant(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "b")
    code = "request.messages[0]['content'] += '!'; request.params.clear()"
    (bench.folder / "mine.py").write_text(
        PLUGIN.replace(
            '        meddle("engine", request=request)\n',
            "        first = json.dumps([request.messages, request.params])\n"
            '        with (HERE / "asked.jsonl").open("a") as file:\n'
            "            print(first, file=file)\n"
            '        meddle("engine", request=request)\n'
            '        if (HERE / "asked.jsonl").read_text().count(first) < 3:\n'
            '            raise EngineError("server_error", "not yet", retryable=True)\n',
        )
    )
    bench.run(meddle={"engine": code})
    asked = (bench.folder / "asked.jsonl").read_text().splitlines()
    assert sorted(set(asked)) == [
        '[[{"role": "user", "content": "empty"}], {"temperature": 0.5}]',
        '[[{"role": "user", "content": "full"}], {"temperature": 0.5}]',
        '[[{"role": "user", "content": "good?"}], {"temperature": 0.0}]',
        '[[{"role": "user", "content": "refused"}], {"temperature": 0.5}]',
    ]


def test_what_an_engine_fills_again_for_each_answer_is_stored_as_it_was_at_each(
    tmp_path: Path, quiet: tuple[Any, dict[str, Any]]
) -> None:
    turns = quiet[0][1]
    assert [generation["provider"].get("item") for ((_, generation),) in turns] == [None, "full", None]


def test_a_loader_may_fill_one_dict_for_all_rows_and_change_its_spec_and_query(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "b")
    result = bench.run(dataset={"source": "mine/one_dict", "fields": {"metadata": ["tags"]}})
    items, _ = bench.stored(result)[0]
    with themis.open_results(bench.folder / "spec.json") as results:
        stored = results.run(result.run_id).manifest["benchmark"]["slices"][0]
    assert (stored["dataset"]["fields"]["metadata"], stored["dataset_query"]["filters"]) == (["tags"], {})
    assert [item["metadata"]["tags"] for item in items] == [["0", {"n": "0"}], ["1", {"n": "1"}], ["2", {"n": "2"}]]


def test_a_copy_of_a_record_is_equal_and_shares_nothing_that_can_be_changed() -> None:
    item = Item("1", {"a": [1, {"b": (2, [3])}]}, float("nan"), {"m": {}})
    generation = Generation("answered", usage=Usage(1), provider={"p": []}, tool_calls=({"t": []},))
    for record in (item, generation):
        copy: Any = own(record)
        assert copy == record
        assert copy is not record
    assert own(generation).usage is generation.usage
    copy = own(item)
    copy.fields["a"][1]["b"][1].append(4)
    assert item.fields == {"a": [1, {"b": (2, [3])}]}
