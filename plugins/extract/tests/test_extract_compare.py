"""`themis extract compare`: two parses of one spec on stored answers, without a call."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import themis_core
from themis_core import Extraction
from themis_core.cli import cli
from themis_plugin_extract.compared import Compared, OfModel, _agreement, _count_scores

ANSWERS = {
    "neat": ["A: 1", "A: 2", "A: 3", "A: 4"],
    "chatty": ["A: 1, of 9", "It is 2", "A: 7, so 3", "none"],
}


def themis(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments], prog_name="themis")


@pytest.fixture
def run_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    ids = [str(number) for number in range(1, 5)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps({"id": each, "gold": each}) + "\n" for each in ids))
    for model, texts in ANSWERS.items():
        rows = [{"id": each, "output": text} for each, text in zip(ids, texts, strict=True)]
        (tmp_path / f"{model}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = {
        "project": {"storage": {"backend": "sqlite"}},
        "benchmark": {
            "benchmark_id": "b",
            "models": [
                {"model_id": each, "provider": "replay/file", "extras": {"path": f"{each}.jsonl"}} for each in ANSWERS
            ],
            "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "?"}]}],
            "slices": [{
                "slice_id": "s", "generation": {},
                "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl",
                            "fields": {"id": "id", "reference": "gold"}},
                "parses": [
                    {"name": "marked", "extractors": [{"id": "extract/regex", "config": {"pattern": "A: (\\d)"}}]},
                    {"name": "last", "extractors": ["extract/last_number"]},
                ],
                "scores": [
                    {"name": "raw", "metrics": ["text/exact_match"]},
                    {"name": "right", "parse": "marked", "metrics": ["text/numeric_match"]},
                ],
            }],
        },
    }  # fmt: skip
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    return themis_core.run(tmp_path / "spec.json").run_id


def test_two_parses_are_compared_by_value_by_score_and_by_model(run_id: str) -> None:
    found = json.loads(themis("extract", "compare", run_id, "marked", "last", "--format", "json").stdout)
    assert found["agreement"] == {
        "same value": 0, "same number": 4, "same text": 0, "both right": 0, "different values": 2, "only A": 0,
        "only B": 1, "neither": 1,
    }  # fmt: skip
    assert found["scored"] == "right/text/numeric_match"
    assert found["scores"] == [
        {"a": 0.0, "b": 0.0, "answers": 1}, {"a": 0.0, "b": 1.0, "answers": 2}, {"a": 1.0, "b": 0.0, "answers": 1},
        {"a": 1.0, "b": 1.0, "answers": 4},
    ]  # fmt: skip
    assert found["models"] == {
        "chatty": {"answers": 4, "unparsed": [2, 1], "means": [0.25, 0.5], "numbers": [0.25, 0.5]},
        "neat": {"answers": 4, "unparsed": [0, 0], "means": [1.0, 1.0], "numbers": [1.0, 1.0]},
    }
    assert found["rankings"] == [[["neat"], ["chatty"]]] * 2
    assert {(each["model"], each["item"], each["score_a"], each["score_b"]) for each in found["disagreements"]} >= {
        ("chatty", "1", 1.0, 0.0), ("chatty", "2", 0.0, 1.0), ("chatty", "3", 0.0, 1.0),
    }  # fmt: skip
    with themis_core.open_results() as results:
        stored = {row.model_id: row.value for row in results.result(run_id).scores if row.score == "right"}
    assert stored == {name: each["means"][0] for name, each in found["models"].items()}


OWN = """
from themis_core import Metric, Score, hookimpl

class Worst(Metric):
    "1 for a right answer, and of all answers the worst item's mean."
    aggregates_mean = False

    def score(self, item, generation, value):
        found = float(value or 0)
        return Score(float(found == float(item.reference)), parts=(found,))

    def aggregate_items(self, items):
        assert any(score.parts for scores in items for score in scores)
        return min(sum(score.value for score in scores) / len(scores) for scores in items)

@hookimpl
def themis_register_metrics(register):
    register("worst", Worst)
"""


def test_a_metric_that_makes_its_number_of_all_answers_makes_it_of_both(tmp_path: Path, run_id: str) -> None:
    spec = json.loads((tmp_path / "spec.json").read_text())
    spec["project"]["plugins"] = {"mine": "mine.py"}
    (tmp_path / "mine.py").write_text(OWN)
    spec["benchmark"]["slices"][0]["scores"][1]["metrics"] = ["mine/worst"]
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    result = themis_core.run(tmp_path / "spec.json")
    asked = ("extract", "compare", result.run_id, "marked", "last", "--spec", "spec.json")
    found = json.loads(themis(*asked, "--format", "json").stdout)
    stored = {row.model_id: row.value for row in result.scores if row.score == "right"}
    assert stored == {name: each["numbers"][0] for name, each in found["models"].items()}
    assert found["models"]["neat"]["numbers"] == [1.0, 1.0]
    assert found["models"]["chatty"]["numbers"] == [0.0, 0.0]
    assert found["models"]["chatty"]["means"] == [0.25, 0.5]
    shown = themis(*asked).stdout
    assert ("number A" in shown, "makes of all answers at once" in shown) == (True, True)


def test_people_see_the_ranking_and_the_most_telling_disagreements(run_id: str) -> None:
    shown = themis("extract", "compare", run_id, "marked", "last", "--examples", "1").stdout
    assert "the ranking stays as it is: neat, chatty" in shown
    assert shown.count("\n  reference: ") == 1
    assert "chatty, item 1 of s" in shown


def test_one_number_in_two_texts_is_alike_only_where_the_metric_scores_it_alike(run_id: str) -> None:
    found = json.loads(
        themis("extract", "compare", run_id, "marked", "last", "--score", "raw", "--format", "json").stdout
    )
    scores = {(each["model"], each["item"]): (each["score_a"], each["score_b"]) for each in found["disagreements"]}
    unlike = [place for place, (a, b) in scores.items() if place[0] == "neat" and a != b]
    assert found["agreement"]["same number"] + len(unlike) == 4
    assert found["agreement"]["same value"] == 0


@pytest.mark.parametrize(
    ("a", "b", "scores", "found"),
    [
        ("90", "90", (0, 1), "same value"),  # what else the metric looks at is not the parse's doing
        ("90,000", 90000, (0, 0), "same number"),
        ("$90", "90.0", (1, 1), "same number"),
        ("90 %", 90, (None, None), "same number"),
        ("0.545454545454545454", 0.5454545454545454, (0, 0), "same number"),  # the double of that text
        ("0.3333", 0.3333333333333333, (0, 0), "different values"),
        (10**400, 1e300, (0, 0), "different values"),
        ("90,000", 90000, (0, 1), "different values"),  # the metric tells them apart
        (" Paris", "paris.", (0, 0), "same text"),
        ("New\n York", "New York", (None, None), "same text"),
        (True, "true", (0, 0), "same text"),
        (True, 1, (0, 0), "different values"),
        ("Paris", "Lyon", (0, 0), "different values"),
        ("x + 1", "1 + x", (1, 1), "both right"),
        ("x + 1", "1 + x", (0.5, 0.5), "different values"),
        ("10", None, (0, 0), "only A"),
        (None, None, (0, 0), "neither"),
    ],
)
def test_values_agree_where_the_metric_takes_them_for_one(a: object, b: object, scores: tuple, found: str) -> None:  # type: ignore[type-arg]
    read = [Extraction(reason="no_match") if each is None else Extraction(each) for each in (a, b)]
    assert _agreement(*read, scores, best=1.0) == found
    back = {"only A": "only B"}.get(found, found)
    assert _agreement(*reversed(read), scores[::-1], best=1.0) == back


def test_of_many_pairs_of_scores_it_is_said_which_parse_scores_higher() -> None:
    found = Compared("r", "a", "b", "s/m", Counter(), Counter(), {}, [])
    for place in range(30):
        _count_scores(found, place / 30, 0.5)
    _count_scores(found, None, 0.5)
    assert found.right == {}
    assert found.to_dict()["higher"] == {"A": 14, "B": 15, "neither": 1}


def test_people_see_how_values_were_compared_and_no_line_without_end(run_id: str, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (tmp_path / "neat.jsonl").read_text().splitlines()]
    rows[0]["output"] = "\n".join(["long"] * 40 + [f"A: 2, or {'3' * 2_000}"])
    (tmp_path / "neat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ("extract", "compare", themis_core.run(tmp_path / "spec.json").run_id, "marked", "last")
    shown = themis(*asked).stdout
    assert "\nsame number: one number in two forms, such as 90,000 and 90000.0" in shown
    assert "where right/text/numeric_match scores both alike" in shown
    assert "    … (21 lines above)\n" in shown
    assert f"    A: 2, or {'3' * 51}…{'3' * 20} (2,009 characters)\n" in shown
    assert max(map(len, shown.splitlines())) < 200
    found = json.loads(themis(*asked, "--format", "json").stdout)
    assert max(len(each["answer"]) for each in found["disagreements"]) > 2_000


@pytest.mark.parametrize(("up", "ranking"), [(True, [["c"], ["a", "b"]]), (False, [["a", "b"], ["c"]])])
def test_a_ranking_has_the_best_first_and_ties(up: bool, ranking: list[list[str]]) -> None:
    models = {
        name: OfModel(4, sums=[total, 0.0], scored=[n, 0])
        for name, total, n in (("b", 0.3, 3), ("a", 0.1, 1), ("c", 2.0, 4), ("d", 0.0, 0))
    }
    found = Compared("r", "a", "b", "s/m", Counter(), Counter(), models, [], higher_is_better=up)
    assert (found.ranking(0), found.ranking(1)) == (ranking, [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("marked", "first"), "no slice of RUN has both parses, 'marked' and 'first': s has marked, last"),
        (("marked", "marked"), "'marked' agrees with itself: name two parses"),
        (("marked", "last", "--score", "wrong"), "slice 's' has no score 'wrong'. It has: raw, right"),
    ],
)
def test_a_name_that_is_none_is_told(run_id: str, arguments: tuple[str, ...], message: str) -> None:
    done = themis("extract", "compare", run_id, *arguments)
    assert (done.exit_code, message.replace("RUN", run_id) in done.stderr) == (2, True), done.output
