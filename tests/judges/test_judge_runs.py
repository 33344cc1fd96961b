"""Judges from the spec to the stored score: every form, what it leaves behind, and what a further run asks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

import themis_core as themis
from themis_core.execution.writer import Writer
from themis_core.records import Event, GenerationRecorded, ItemRecorded, TrialFinished

ITEMS = [
    {"id": "france", "q": "What is the capital of France?", "reference": "Paris", "baseline": "Lyon."},
    {"id": "italy", "q": "What is the capital of Italy?", "reference": "Rome", "baseline": "Milan."},
]
SAID = {"small": {"france": "Paris.", "italy": "Naples."}}
ANSWERS = [
    {"model": "small", "pattern": "France", "output": "Paris."},
    {"model": "small", "pattern": "Italy", "output": "Naples."},
]
RIGHT = r"<answer(?:-[ab])?-[0-9a-f]{10}>\nParis\."


def says(good: str, bad: str) -> list[dict[str, Any]]:
    """The model's answers, and a judge that finds Paris right and all else wrong."""
    return [*ANSWERS, {"pattern": RIGHT, "output": good}, {"output": bad}]


def lines(*labels: str) -> str:
    tags = ["VERDICT-{marker}"] if len(labels) == 1 else [f"VERDICT-{{marker}}-{n + 1}" for n in range(len(labels))]
    return "So it is.\n" + "\n".join(f"{tag}: {label}" for tag, label in zip(tags, labels, strict=True))


def members(*labels: str) -> str:
    keys = ["verdict_{marker}"] if len(labels) == 1 else [f"verdict_{{marker}}_{n + 1}" for n in range(len(labels))]
    return json.dumps({"explanation": "So it is.", **dict(zip(keys, labels, strict=True))})


def pairs(say: Any) -> list[dict[str, Any]]:
    """A judge that prefers the answer with Paris wherever it stands, and Milan to Naples."""
    return [
        *ANSWERS,
        {"pattern": r"<answer-a-[0-9a-f]{10}>\n(Paris|Milan)", "output": say("A")},
        {"pattern": r"<answer-b-[0-9a-f]{10}>\n(Paris|Milan)", "output": say("B")},
    ]


JSON = {"verdict": "json"}
CRITERIA = [{"text": "It names the capital.", "points": 3, "id": "capital"}, {"text": "It is rude.", "points": -1}]
# Form: judge, config, what the server says, scores of France and Italy, requests for both.
FORMS: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]], tuple[float, float], int]] = {
    "correctness": ("judge/correctness", {}, says(lines("CORRECT"), lines("PARTIAL")), (1.0, 0.5), 2),
    "correctness, JSON": ("judge/correctness", JSON, says(members("CORRECT"), members("INCORRECT")), (1.0, 0.0), 2),
    "own credit": (
        "judge/correctness", {"partial_credit": 0.2}, says(lines("CORRECT"), lines("PARTIAL")), (1.0, 0.2), 2,
    ),
    "scale": ("judge/scale", {}, says(lines("5"), "**" + lines("2")[10:] + "**"), (1.0, 0.25), 2),
    "scale, JSON": ("judge/scale", {"low": 0, "high": 10} | JSON, says(members("9"), members("3")), (0.9, 0.3), 2),
    # 3 of 3 points; and 0 of 3 with a point off, which is no less than 0.
    "rubric": ("judge/rubric", {"criteria": CRITERIA}, says(lines("YES", "NO"), lines("NO", "YES")), (1.0, 0.0), 2),
    "rubric, a fault": (
        "judge/rubric", {"criteria": CRITERIA}, says(lines("YES", "YES"), lines("NO", "NO")), (2 / 3, 0.0), 2,
    ),
    "rubric, JSON": (
        "judge/rubric", {"criteria": CRITERIA} | JSON, says(members("YES", "NO"), members("NO", "NO")), (1.0, 0.0), 2,
    ),
    "rubric, one by one": (
        "judge/rubric", {"criteria": CRITERIA, "ask": "each"},
        [*ANSWERS, {"pattern": "Criterion: It is rude", "output": lines("NO")}, {"output": lines("YES")}],
        (1.0, 1.0), 4,
    ),
    "pairwise": ("judge/pairwise", {"field": "baseline"}, pairs(lines), (1.0, 0.0), 4),
    "pairwise, JSON": ("judge/pairwise", {"field": "baseline"} | JSON, pairs(members), (1.0, 0.0), 4),
    # It always says A: whoever stands first wins, so nobody does.
    "pairwise, the first": ("judge/pairwise", {"field": "baseline"}, [*ANSWERS, {"output": lines("A")}], (0.5, 0.5), 4),
    "pairwise, ties": ("judge/pairwise", {"field": "baseline"}, [*ANSWERS, {"output": lines("TIE")}], (0.5, 0.5), 4),
}  # fmt: skip


EACH_FORM = [
    *(pytest.param(form, "sqlite", id=name) for name, form in FORMS.items()),
    *(pytest.param(FORMS[name], "postgres", id=f"{name}, Postgres") for name in ("correctness, JSON", "pairwise")),
]


@pytest.mark.parametrize(("form", "storage"), EACH_FORM, indirect=["storage"])
def test_each_form_is_asked_once_and_leaves_its_whole_trail(court: Any, form: tuple[Any, ...]) -> None:
    judge, config, script, (france, italy), requests = form
    court.script(script)
    metric = {"id": judge, "config": config, "judge": court.judge(params={"temperature": 0.0})}
    parses = [{"name": "word", "extractors": [{"id": "extract/regex", "config": {"pattern": r"(\w+)"}}]}]

    first = court.run(ITEMS, [metric], ["small"])
    assert (first.status, first.generated) == ("completed", 2 + requests)
    assert court.scores(first) == {"france": pytest.approx(france), "italy": pytest.approx(italy)}
    assert court.asked() == {"small": 2, "judge-1": requests}

    trail = court.trail(first, "france")
    assert len(trail["judged"]) == requests // 2
    sent = {json.dumps(each.messages, sort_keys=True): each for each in court.server.requests()}
    for each in trail["judged"]:
        assert each["request"]["model_id"] == "judge-1"
        assert each["request"]["params"]["temperature"] == 0.0
        assert sent[json.dumps(each["request"]["messages"], sort_keys=True)].model == "judge-1"
        assert "Paris." in each["request"]["messages"][-1]["content"]
        assert each["generation"]["status"] == "answered"
    verdicts = trail["result"]["details"]["verdicts"]
    assert all(each["judge"] == "judge-1" and each["repeat"] == 0 and each["reason"] is None for each in verdicts)
    assert trail["result"]["details"]["prompt"] == "shipped, version 1"

    court.script([], output="none of this is asked again")
    assert (court.run(ITEMS, [metric], ["small"]).scores, court.server.count) == (first.scores, 0)
    renamed = court.run(ITEMS, [{**metric, "name": "renamed"}], ["small"], parses=parses)
    assert (court.scores(renamed), court.server.count) == (court.scores(first), 0)
    assert court.trail(renamed, "france")["judged"] == trail["judged"]

    court.script(script)
    prompt = "Be strict. {{ question }} {{ answer }} {{ answer_a }} {{ answer_b }}"
    words = prompt if judge == "judge/pairwise" else prompt.partition(" {{ answer_a")[0]
    words += " {% for each in criteria %}Criterion: {{ each.text }}{% endfor %}" if judge == "judge/rubric" else ""
    words = words.replace("{{ answer }} ", "") if judge == "judge/pairwise" else words
    stricter = court.run(ITEMS, [{**metric, "config": {**config, "prompt": words}}], ["small"])
    assert (court.scores(stricter), court.asked()) == (court.scores(first), {"judge-1": requests})
    assert court.trail(stricter, "italy")["result"]["details"]["prompt"] == "of the spec"


sqlite_only = pytest.mark.parametrize("storage", ["sqlite"], indirect=True)


@sqlite_only
@pytest.mark.parametrize(
    ("combine", "labels", "score"),
    [
        ("mean", ["CORRECT", "PARTIAL", "INCORRECT"], 0.5),
        ("mean", ["CORRECT", "CORRECT", "INCORRECT"], 2 / 3),
        ("median", ["CORRECT", "CORRECT", "INCORRECT"], 1.0),
        ("median", ["CORRECT", "PARTIAL", "INCORRECT"], 0.5),
        ("majority", ["CORRECT", "INCORRECT", "INCORRECT"], 0.0),
        ("majority", ["CORRECT", "PARTIAL", "INCORRECT"], "no_majority"),
        ("majority", ["CORRECT", "CORRECT", "?"], 1.0),  # two of three, whatever the third would have said
        ("majority", ["CORRECT", "INCORRECT", "?"], "unknown_verdict"),
        ("unanimity", ["CORRECT", "CORRECT", "CORRECT"], 1.0),
        ("unanimity", ["CORRECT", "CORRECT", "PARTIAL"], "not_unanimous"),
        ("unanimity", ["CORRECT", "CORRECT", "?"], "unknown_verdict"),
        ("mean", ["CORRECT", "CORRECT", "?"], "unknown_verdict"),
        ("median", ["CORRECT", "CORRECT", "?"], "unknown_verdict"),
    ],
)
def test_a_panel_gives_one_score_of_several_judges(
    court: Any, combine: str, labels: list[str], score: float | str
) -> None:
    names = ["judge-1", "judge-2", "judge-3"]
    court.script([{"model": name, "output": lines(label)} for name, label in zip(names, labels, strict=True)])
    metric = {
        "id": "judge/correctness",
        "config": {"question": "{{ item.q }}", "combine": combine},
        "judge": [court.judge(name) for name in names],
    }
    result = court.run([{**ITEMS[0], "output": "Paris."}], [metric])
    assert court.scores(result) == {"france": pytest.approx(score) if isinstance(score, float) else score}
    verdicts = court.trail(result, "france")["result"]["details"]["verdicts"]
    assert [each["judge"] for each in verdicts] == names
    assert [each.get("asked_again", False) for each in verdicts] == [label == "?" for label in labels]
    assert court.asked() == {name: 1 + (label == "?") for name, label in zip(names, labels, strict=True)}


@sqlite_only
def test_repeats_are_samples_of_their_own_and_more_of_them_add_calls_only(court: Any) -> None:
    court.script([{"output": lines("CORRECT")}])
    item = [{**ITEMS[0], "output": "Paris."}]

    def run(repeats: int) -> themis.RunResult:
        judge = court.judge(repeats=repeats, params={"seed": 5})
        return court.run(item, [{"id": "judge/correctness", "config": {"question": "{{ item.q }}"}, "judge": judge}])

    two = run(2)
    three = run(3)
    requests = court.server.requests()
    assert [court.scores(two), court.scores(three)] == [{"france": 1.0}] * 2
    assert len({json.dumps(each.messages) for each in requests}) == 1
    seeds = [each.body["seed"] for each in requests]
    assert (len(seeds), len(set(seeds)), seeds[0]) == (3, 3, 5)
    trail = court.trail(three, "france")
    assert [each["request"]["sample_index"] for each in trail["judged"]] == [0, 1, 2]
    assert [each["repeat"] for each in trail["result"]["details"]["verdicts"]] == [0, 1, 2]


@sqlite_only
def test_an_unreadable_verdict_is_asked_for_once_more_and_both_replies_are_kept(court: Any) -> None:
    court.script([{"again": False, "output": "I think it is right."}, {"again": True, "output": lines("CORRECT")}])
    metric = {"id": "judge/correctness", "config": {"question": "{{ item.q }}"}, "judge": court.judge()}
    item = [{**ITEMS[0], "output": "Paris."}]
    result = court.run(item, [metric])
    assert court.scores(result) == {"france": 1.0}
    first, second = court.server.requests()
    assert second.messages[:-2] == first.messages
    assert second.messages[-2] == {"role": "assistant", "content": "I think it is right."}
    assert "no verdict where it was to be" in second.messages[-1]["content"]
    trail = court.trail(result, "france")
    assert [each["generation"]["status"] for each in trail["judged"]] == ["answered"] * 2
    assert trail["judged"][0]["generation"]["text"] == "I think it is right."
    (verdict,) = trail["result"]["details"]["verdicts"]
    assert verdict == {
        "judge": "judge-1", "repeat": 0, "value": 1.0, "reason": None, "label": "CORRECT", "asked_again": True,
    }  # fmt: skip
    court.run(item, [{**metric, "name": "again"}])
    assert court.server.count == 2


def with_logprobs(alternatives: dict[str, float], chosen: str) -> dict[str, Any]:
    """A reply whose verdict begins with a token of which the alternatives and their log-probabilities are known."""
    tokens = ["VERDICT-", "{marker}", ":", chosen]
    listed = [{"token": token, "logprob": logprob} for token, logprob in alternatives.items()]
    content: list[dict[str, Any]] = [{"token": each, "logprob": 0.0, "top_logprobs": []} for each in tokens]
    content[-1] |= {"logprob": alternatives[chosen], "top_logprobs": listed}
    return {"content": "".join(tokens), "logprobs": {"content": content}}


@sqlite_only
def test_a_score_from_log_probabilities_is_the_mean_over_the_verdicts(court: Any) -> None:
    # Probabilities 0.6 for 4, 0.2 for 2, 0.1 for no verdict: (0.6 * 3/4 + 0.2 * 1/4) / 0.8 = 0.625.
    court.script(
        [{"output": with_logprobs({" 4": -0.5108256237659907, " 2": -1.6094379124341003, " the": -2.3}, " 4")}]
    )
    metric = {"id": "judge/scale", "config": {"question": "{{ item.q }}", "logprobs": 5}, "judge": court.judge()}
    result = court.run([{**ITEMS[0], "output": "Paris."}], [metric])
    assert court.scores(result) == {"france": pytest.approx(0.625)}
    (verdict,) = court.trail(result, "france")["result"]["details"]["verdicts"]
    assert (verdict["label"], verdict["mass"]) == ("4", pytest.approx(0.8))
    (request,) = court.server.requests()
    assert (request.body["logprobs"], request.body["top_logprobs"]) == (True, 5)

    court.script([{"output": lines("4")}])  # another model: it gives none
    silent = court.run([{**ITEMS[0], "output": "Paris."}], [{**metric, "judge": court.judge("judge-2")}])
    assert (court.scores(silent), court.server.count) == ({"france": "no_logprobs"}, 1)


@sqlite_only
def test_another_parse_that_finds_the_same_asks_nothing_and_calls_are_reported(court: Any) -> None:
    court.script(
        [*ANSWERS, {"pattern": r"<answer-[0-9a-f]{10}>\nParis\n", "output": lines("CORRECT")}], lines("INCORRECT")
    )
    metric = {"id": "judge/correctness", "judge": court.judge()}
    seen: list[tuple[int, int]] = []

    def run(pattern: str) -> themis.RunResult:
        parses = [{"name": "word", "extractors": [{"id": "extract/regex", "config": {"pattern": pattern}}]}]
        path = court.write(ITEMS, [metric], ["small"], parses=parses, parse="word")
        result = themis.run(path, progress=lambda now: seen.append((now.generated, now.judged)))
        assert court.scores(result) == {"france": 1.0, "italy": 0.0}
        return result

    assert (run(r"(\w+)").generated, court.server.count, seen[-1]) == (4, 4, (4, 2))
    assert (run(r"(\w+)\.").generated, court.server.count, seen[-1]) == (0, 4, (0, 0))


@sqlite_only
@pytest.mark.parametrize("calls", [1, 2, 3, 4, 5, 6, 7])
def test_a_stopped_run_goes_on_with_the_judges_where_it_stopped(court: Any, calls: int) -> None:
    court.script(pairs(lines))
    metric = {"id": "judge/pairwise", "config": {"field": "baseline"}, "judge": court.judge(repeats=2)}
    path = court.folder / "spec.json"
    data = court.spec(ITEMS, [metric], ["small"])
    policy = data["project"]["execution_policy"]
    path.write_text(
        json.dumps(data | {"project": {**data["project"], "execution_policy": policy | {"max_calls": calls}}})
    )
    stopped = themis.run(path)
    assert (stopped.status, court.server.count) == ("stopped", calls)
    path.write_text(json.dumps(data))
    result = themis.run(path)
    assert (result.run_id, result.status) == (stopped.run_id, "completed")
    assert (court.scores(result), court.asked()) == ({"france": 1.0, "italy": 0.0}, {"small": 2, "judge-1": 8})


IN_A_THREAD = """
from themis_core import hookimpl
from themis_plugin_judge.correctness import Correctness

class Slow(Correctness):
    runs_in = "thread"

@hookimpl
def themis_register_judges(register):
    register("slow", Slow)
"""


def told(event: Event) -> str:
    if isinstance(event, GenerationRecorded):
        return "answer" if event.request.model_id == "small" else "reply"
    return {ItemRecorded: "item", TrialFinished: "trial"}.get(type(event), "")


ONE_BY_ONE = {"id": "judge/rubric", "config": {"criteria": CRITERIA, "ask": "each"}}


@sqlite_only
@pytest.mark.parametrize(
    ("metrics", "verdict", "saved"),
    [
        ([{"id": "judge/correctness"}], "CORRECT", ["answer item", "reply trial"]),
        ([{"id": "judge/correctness"}], "PERHAPS", ["answer item", "reply", "reply trial"]),  # it is asked once more
        ([ONE_BY_ONE], "YES", ["answer item", "reply", "reply trial"]),
        ([{"id": "mine/slow"}], "CORRECT", ["answer item", "reply", "trial"]),
        ([{"id": "judge/correctness"}, {"id": "text/exact_match"}], "CORRECT", ["answer item", "reply", "trial"]),
    ],
)
def test_a_reply_is_saved_before_anything_is_waited_for(
    court: Any, metrics: list[dict[str, Any]], verdict: str, saved: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    court.script([*ANSWERS, {"output": lines(verdict)}])
    (court.folder / "mine.py").write_text(IN_A_THREAD, encoding="utf-8")
    data = court.spec(
        ITEMS[:1],
        [{**each, **({} if "text" in each["id"] else {"judge": court.judge()})} for each in metrics],
        ["small"],
    )
    data["project"]["plugins"] = {"mine": "mine.py"}
    (court.folder / "spec.json").write_text(json.dumps(data), encoding="utf-8")
    seen: list[str] = []
    save = Writer.save

    async def spied(self: Writer, events: Sequence[Event]) -> None:
        seen.append(" ".join(map(told, events)).strip())
        await save(self, events)

    monkeypatch.setattr(Writer, "save", spied)
    assert themis.run(court.folder / "spec.json").status == "completed"
    assert [each for each in seen if each] == saved


@sqlite_only
def test_what_there_is_nothing_to_ask_about_costs_no_request(court: Any) -> None:
    court.script([{"output": lines("CORRECT")}])
    items = [{**ITEMS[0], "output": "Paris.", "reference": None, "baseline": " "}]
    question = {"question": "{{ item.q }}"}
    for judge, config, reason in (
        ("judge/correctness", {}, "no_reference"),
        ("judge/pairwise", {"field": "baseline"}, "no_baseline"),
        ("judge/rubric", {"field": "q"}, "bad_criteria"),
    ):
        metric = {"id": judge, "config": {**question, **config}, "judge": court.judge()}
        assert court.scores(court.run(items, [metric])) == {"france": reason}
    assert court.server.count == 0


@sqlite_only
def test_a_rubric_may_be_the_items_own(court: Any) -> None:
    rubrics = [["It says Paris.", {"text": "It says more.", "points": 2}], [{"text": "It says Rome."}]]
    items = [{**item, "output": "Paris.", "rubric": rubric} for item, rubric in zip(ITEMS, rubrics, strict=True)]
    court.script([{"pattern": "1. It says Paris", "output": lines("YES", "NO")}, {"output": lines("NO")}])
    config = {"question": "{{ item.q }}", "field": "rubric"}
    result = court.run(items, [{"id": "judge/rubric", "config": config, "judge": court.judge()}])
    assert court.scores(result) == {"france": pytest.approx(1 / 3), "italy": 0.0}


# --- before the first call ----------------------------------------------------------------------------------


def priced(model: dict[str, Any]) -> dict[str, Any]:
    return {**model, "price": {"input_per_million": 1e6, "output_per_million": 0.0}}


@sqlite_only
def test_a_plan_counts_the_judges_calls_and_what_they_cost(court: Any) -> None:
    script = [*ANSWERS, {"model": "judge-1", "output": lines("A")}, {"model": "judge-2", "output": lines("B")}]
    court.script(script)
    judges = [{"model": priced(court.model("judge-1"))}, court.judge("judge-2", repeats=2)]
    metric = {"id": "judge/pairwise", "config": {"field": "baseline"}, "judge": judges}
    path = court.write(ITEMS, [metric], ["small"])

    def calls() -> tuple[int, list[tuple[str, int, int, int]]]:
        report = themis.plan(path)
        return report.to_call, [(row["model_id"], row["scores"], row["stored"], row["calls"]) for row in report.judges]

    assert calls() == (2 + 4 + 8, [("judge-1", 2, 0, 4), ("judge-2", 2, 0, 8)])
    foreseen = themis.plan(path).judges
    result = themis.run(path)
    assert court.asked() == {"small": 2, "judge-1": 4, "judge-2": 8}
    # A token for each four characters, at one unit of money a token; the answers were still to come.
    assert foreseen[0]["cost"] == foreseen[0]["input_tokens"] > 4 * 100
    assert foreseen[1]["cost"] is None
    assert result.cost is not None
    assert result.cost > 0
    assert calls() == (0, [("judge-1", 2, 2, 0), ("judge-2", 2, 2, 0)])
    judges[1]["repeats"] = 3  # another score, whose first two repeats are stored
    path = court.write(ITEMS, [metric], ["small"])
    assert calls() == (4, [("judge-1", 2, 0, 0), ("judge-2", 2, 0, 4)])
    cheaper = json.loads(json.dumps(metric).replace("1000000.0", "1.0"))
    assert themis.plan(court.write(ITEMS, [cheaper], ["small"])).run_id == themis.plan(path).run_id


@sqlite_only
@pytest.mark.parametrize(
    ("judge", "config", "place", "words"),
    [
        ("judge/correctness", {"prompt": "{{ answr }} {{ answer }}"}, "config", "the template names 'answr'"),
        ("judge/correctness", {"prompt": "{{ item.qq }} {{ answer }}"}, "config", "the item has no field 'qq'"),
        ("judge/correctness", {"prompt": "{{ answer"}, "config.prompt", "template, line 1"),
        ("judge/correctness", {"prompt": "Is it right?"}, "config", "it does not show {{ answer }}"),
        ("judge/correctness", {"question": "{{ item.title }}"}, "config", "the item has no field 'title'"),
        ("judge/correctness", {"logprobs": 5, "verdict": "json"}, "config", "they are read from verdicts in free text"),
        ("judge/correctness", {"logprobs": 5, "combine": "majority"}, "config", "there is no majority: use mean"),
        ("judge/scale", {"low": 5}, "config", "high: 5 is not above low, which is 5"),
        ("judge/scale", {"logprobs": 5, "high": 10}, "config", "the verdict 1 is the beginning of 10"),
        ("judge/rubric", {}, "config", "give either criteria or field"),
        ("judge/rubric", {"criteria": [{"text": "x", "points": -1}]}, "config", "none has positive points"),
        ("judge/pairwise", {}, "config", "give either field, with a recorded baseline answer, or model"),
        ("judge/pairwise", {"model": "large"}, "config", "the baseline 'large' is no model of this slice"),
        ("judge/corectness", {}, "id", "Did you mean 'correctness'?"),
    ],
)
def test_a_mistake_is_found_before_anything_is_asked(
    court: Any, judge: str, config: dict[str, Any], place: str, words: str
) -> None:
    court.script(ANSWERS)
    with pytest.raises(themis.SpecError) as caught:
        court.run(ITEMS, [{"id": judge, "config": config, "judge": court.judge()}], ["small"])
    assert f"slices[0].scores[0].metrics[0].{place}: " in str(caught.value)
    assert words in str(caught.value)
    assert court.server.count == 0


@sqlite_only
def test_recorded_answers_need_a_question_and_log_probabilities_an_engine_that_has_them(court: Any) -> None:
    items = [{**ITEMS[0], "output": "Paris."}]
    judge = {"id": "judge/correctness", "judge": court.judge()}
    with pytest.raises(themis.SpecError, match=r"question: the answers are recorded, .* {{ item.question }}"):
        court.run(items, [judge])
    recording = court.folder / "judge.jsonl"
    recording.write_text('{"id": "france", "output": "x"}', encoding="utf-8")
    replayed = {"model": {"model_id": "j", "provider": "replay/file", "extras": {"path": str(recording)}}}
    config = {"question": "{{ item.q }}", "logprobs": 5}
    with pytest.raises(
        themis.SpecError, match=r"judge\[0\]: judge/correctness needs logprobs, which engine 'replay/file'"
    ):
        court.run(items, [{**judge, "config": config, "judge": [replayed]}])


@sqlite_only
@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ({"id": "judge/correctness"}, "judge/correctness is a judge: it needs `judge:` with the judging model"),
        ({"id": "judge/correctness", "judge": []}, "should be at least 1 long"),
        ({"id": "text/exact_match", "judge": "ONE"}, "There is a metric of that name."),
        ({"id": "judge/correctness", "judge": "TWICE"}, "judge-1 is there twice; to ask a model several times, set"),
    ],
)
def test_judging_models_are_named_where_they_belong(court: Any, metric: dict[str, Any], words: str) -> None:
    judges = {"ONE": court.judge(), "TWICE": [court.judge(), court.judge()]}
    given = {**metric, **({"judge": judges.get(str(metric["judge"]), [])} if "judge" in metric else {})}
    with pytest.raises(themis.SpecError) as caught:
        court.run(ITEMS, [given], ["small"])
    assert words in str(caught.value)
