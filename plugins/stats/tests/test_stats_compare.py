"""`compare` over stored runs: what is paired, what is counted, what is said, and how the command ends."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import themis_core
from themis_core import Item, SpecError
from themis_core.cli import cli
from themis_plugin_stats import Comparison, Side, compare
from themis_plugin_stats.conclusion import Compare
from themis_plugin_stats.naming import check_clusters, compared_slices
from themis_plugin_stats.showing import rows_of

ROOT = Path(__file__).parents[3]
Answers = Mapping[str, Sequence[str]]
"""By model, one answer for each item; those of further samples follow after `|`."""


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs a benchmark of recorded answers, whose right ones are `yes`, in a store in the current folder."""
    monkeypatch.chdir(tmp_path)

    def run(answers: Answers, *, name: str = "b", items: Sequence[str] = (), metric: Any = "text/exact_match",
            samples: int = 1, scored_by: Any = None, **benchmark: Any) -> str:  # fmt: skip
        ids = list(items) or [f"{i:03d}" for i in range(len(next(iter(answers.values()))))]
        rows = [{"id": each, "question": f"{each}?", "gold": "yes", "topic": str(int(each[:3]) // 2)} for each in ids]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for model, said in answers.items():
            given = [
                {"id": item, "output": text, "sample": index}
                for item, texts in zip(ids, said, strict=True)
                for index, text in enumerate(texts.split("|"))
                if text != "-"
            ]
            (tmp_path / f"{name}-{model}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
        fields = {"sample": "sample"} if samples > 1 else {}
        spec = {
            "project": {"storage": {"backend": "sqlite"}},
            "benchmark": {
                "benchmark_id": name,
                "models": [
                    {"model_id": each, "provider": "replay/file",
                     "extras": {"path": f"{name}-{each}.jsonl", "fields": fields}} for each in answers
                ],
                "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "{{ item.question }}"}]}],
                "num_samples": samples,
                "slices": [{
                    "slice_id": "s", "generation": {}, "scores": scored_by or [{"name": "right", "metrics": [metric]}],
                    "dataset": {"source": "files/jsonl", "dataset_id": f"{name}.jsonl",
                                "fields": {"id": "id", "reference": "gold", "metadata": ["topic"]}},
                }],
                **benchmark,
            },
        }  # fmt: skip
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(spec))
        return themis_core.run(path).run_id

    return run


def themis(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments], prog_name="themis")


def seen(found: Comparison) -> list[tuple[Any, ...]]:
    return [(each.a, each.b, each.n, each.won, each.lost, each.verdict, each.method) for each in found.pairs]


def yes(right: int, wrong: int) -> list[str]:
    return ["yes"] * right + ["no"] * wrong


def test_two_models_of_a_run_are_compared_item_by_item(ran: Callable[..., str]) -> None:
    run = ran({"small": yes(10, 40), "large": yes(40, 10)})
    found = compare(run)
    assert seen(found) == [("small", "large", 50, 30, 0, "better", "exact McNemar")]
    pair = found.pairs[0]
    assert (pair.value_a, pair.value_b, pair.difference) == (0.2, 0.8, pytest.approx(0.6))
    assert (found.outcome, found.exit_code, found.groups) == ("better", 0, [["large"], ["small"]])
    assert found.verdict == (
        "large is better than small: right/text/exact_match is 0.600 higher "
        "(95 % interval +0.462 to +0.724, p = 1.9e-09, n = 50)."
    )
    assert json.loads(json.dumps(found.to_dict()))["pairs"][0]["p_value"] == pair.p_value


@pytest.mark.parametrize(
    ("b", "options", "outcome", "code"),
    [
        (yes(40, 10), (), "better", 0),
        (yes(2, 48), (), "worse", 1),
        (yes(13, 37), (), "inconclusive", 10),
        (yes(10, 40), ("--margin", "0.2"), "equivalent", 0),
    ],
)
def test_the_command_ends_with_the_verdict(
    ran: Callable[..., str], b: list[str], options: tuple[str, ...], outcome: str, code: int
) -> None:
    first, second = ran({"m": yes(10, 40)}, name="a", items=NAMES), ran({"m": b}, name="b", items=NAMES)
    told = themis("compare", first, second, "--format", "json", *options)
    assert (told.exit_code, json.loads(told.stdout)["outcome"]) == (code, outcome), told.output
    text = themis("compare", first, second, *options)
    assert text.exit_code == code
    verdict, _, _ = text.stdout.partition("\n\n")
    assert verdict.replace("\n  ", " ") == json.loads(told.stdout)["verdict"]
    assert max(map(len, verdict.splitlines())) <= 100
    assert themis("compare", first, second, "--format", "markdown", *options).stdout.startswith("**")


NAMES = [f"{i:03d}" for i in range(50)]


def test_sums_of_parts_compare_as_all_scores_do(ran: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"a": ["no yes|yes", "a b|yes no", "yes|y"] * 9, "b": ["yes|yes no", "yes|yes", "no|yes"] * 9}
    run = ran(answers, samples=2, metric="text/chrf", prompt_variants=[
        {"id": each, "messages": [{"role": "user", "content": f"{each} {{{{ item.question }}}}"}]} for each in "pq"
    ])  # fmt: skip
    (by_sums,) = compare(run).pairs
    with themis_core.open_results() as results:
        (metric,) = results.aggregates(run).values()
    monkeypatch.setattr(type(metric), "sums_parts", False)
    (by_scores,) = compare(run).pairs
    for name in ("value_a", "value_b", "difference", "low", "high", "p_value"):
        assert getattr(by_sums, name) == pytest.approx(getattr(by_scores, name), rel=1e-9)
    assert by_sums.difference


def test_an_edited_item_is_no_pair_and_both_ledgers_count_it(ran: Callable[..., str]) -> None:
    first = ran({"m": yes(20, 20)}, name="a", items=NAMES[:40])
    second = ran({"m": [*yes(20, 10), "-", *yes(9, 0)]}, name="b", items=[*NAMES[:39], "039b"])
    (pair,) = compare(first, second).pairs
    assert (pair.n, pair.ledger_a["only_here"], pair.ledger_b["only_here"]) == (38, 2, 1)
    assert (pair.ledger_b["trials"], pair.ledger_b["failed"], pair.ledger_b["scored"]) == (40, 1, 39)


def test_what_is_missing_is_said_beside_the_numbers(ran: Callable[..., str]) -> None:
    first = ran({"m": yes(20, 20)}, name="a", items=NAMES[:40])
    second = ran({"m": [*yes(25, 5), *["-"] * 10]}, name="b", items=NAMES[:40])
    found = compare(first, second)
    assert found.unfinished == {second: "failed"}
    assert f"25 % of the items of {first} have no pair: the verdict is of the others alone" in found.table()
    assert found.verdict.splitlines()[1:] == [f"run {second} has the status failed: only what has a score is compared"]
    assert f"run {second} has the status failed: only what has a score is compared" in found.markdown().replace(
        "\\", ""
    )
    found.missing = {second: 1}
    assert f"run {second} has the status failed, and 1 trial has no outcome yet: only what has" in found.verdict


def test_samples_are_averaged_within_items_first_and_say_how_many_flips_are_noise(ran: Callable[..., str]) -> None:
    run = ran({"a": ["yes|no"] * 10 + ["no|no"] * 10, "b": ["yes|yes"] * 20}, samples=2)
    (pair,) = compare(run).pairs
    assert (pair.n, pair.value_a, pair.value_b, pair.method) == (20, 0.25, 1.0, "sign flips")
    assert (pair.flips_a, pair.flips_b) == (0.5, 0.0)


def test_clusters_are_what_a_metadata_field_says(ran: Callable[..., str]) -> None:
    run = ran({"a": yes(0, 40), "b": yes(20, 20)})
    (pair,) = compare(run, cluster="topic").pairs
    assert compare(run, cluster="metadata.topic").pairs == [pair]
    assert (pair.units, pair.n, pair.method) == (20, 40, "cluster sign flips")
    with pytest.raises(SpecError, match="no metadata 'nothing' to cluster by"):
        compare(run, cluster="nothing")


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ("topic", "has no value of 'topic', but null, so it belongs to no cluster"),
        ("metadata.topic", "has no value of 'metadata.topic', but null"),
        ("answer", "has no value of 'answer', but null"),
        ("metadata.answer", "has no metadata 'metadata.answer' to cluster by. It has: answer, topic"),
    ],
)
def test_an_item_whose_cluster_is_null_is_told_from_one_without_the_field(field: str, why: str) -> None:
    item = Item("1", {"answer": None}, metadata={"topic": None}, digest="0" * 64)
    with pytest.raises(SpecError) as caught:
        check_clusters(field, "s", [item])
    assert str(caught.value).startswith(f"cluster: item '1' of slice 's' {why}")


def test_a_number_of_all_items_is_compared_by_the_jackknife(ran: Callable[..., str]) -> None:
    answers = {"a": ["a b c d", "no yes"] * 15, "b": ["yes", "yes and no"] * 15}
    run = ran(answers, metric={"id": "text/chrf"})
    (pair,) = compare(run).pairs
    assert (pair.method, pair.n, pair.verdict) == ("paired jackknife", 30, "better")
    result = {row.model_id: row.value for row in themis_core.open_results().result(run).scores}
    assert (pair.value_a, pair.value_b) == (pytest.approx(result["a"]), pytest.approx(result["b"]))


def test_a_metric_whose_least_is_best_turns_the_verdict(ran: Callable[..., str]) -> None:
    run = ran({"a": ["no yes maybe"] * 30, "b": ["yes"] * 30}, metric={"id": "text/ter"})
    (pair,) = compare(run).pairs
    assert (pair.higher_is_better, pair.verdict, pair.difference is not None and pair.difference < 0) == (
        False, "better", True,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [("compare",), ("compare", "--cluster", "topic"), ("power",)])
def test_scores_in_a_temporary_file_say_the_same_and_a_folder_that_is_not_there_is_told(
    ran: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    run = ran({"a": ["yes|no"] * 20 + ["no|no"] * 20, "b": ["yes|yes"] * 25 + ["no|no"] * 15}, samples=2)
    asked = (*arguments, run, "--format", "json")
    in_memory = themis(*asked)
    monkeypatch.setattr("themis_plugin_stats.columns.BLOCK", 8)
    monkeypatch.setattr("themis_plugin_stats.columns.ROOM", 8)
    assert in_memory.stdout == themis(*asked).stdout
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    lost = themis(*asked)
    assert (lost.exit_code, "can't keep scores in a temporary file in gone: No such file" in lost.stderr) == (4, True)


def test_all_pairs_are_corrected_and_put_into_groups(ran: Callable[..., str]) -> None:
    run = ran({"a": yes(10, 40), "b": yes(12, 38), "c": yes(45, 5)})
    found = compare(run)
    assert [each.p_corrected >= each.p_value for each in found.pairs] == [True] * 3
    assert (found.groups, found.outcome, found.exit_code) == ([["c"], ["b", "a"]], "inconclusive", 10)
    assert found.verdict == (
        "c is better than each of the others in right/text/exact_match; 2 of 3 pairs can be told apart."
    )
    one = compare(run, baseline="c")
    assert [(each.a, each.b, each.verdict) for each in one.pairs] == [("c", "a", "worse"), ("c", "b", "worse")]
    assert (one.exit_code, one.groups) == (1, [])
    assert [(each.a, each.b) for each in compare(run, only=["c", "a"]).pairs] == [("c", "a")]


def test_runs_with_the_same_models_are_compared_model_by_model(ran: Callable[..., str]) -> None:
    first = ran({"x": yes(10, 40), "y": yes(25, 25)}, name="a", items=NAMES)
    second = ran({"y": yes(25, 25), "x": yes(40, 10), "z": yes(1, 49)}, name="b", items=NAMES)
    found = compare(first, second)
    assert [(each.a, each.b, each.verdict) for each in found.pairs] == [
        (f"{first}:model=x", f"{second}:model=x", "better"),
        (f"{first}:model=y", f"{second}:model=y", "inconclusive"),
    ]
    one = compare(f"{first}:model=x", Side(second, {"model": "z"}, "new"))
    assert [(each.a, each.b, each.verdict) for each in one.pairs] == [(f"{first}:model=x", "new", "worse")]
    told = themis("compare", first, second, "--model", "x", "--format", "json")
    assert [each["verdict"] for each in json.loads(told.stdout)["pairs"]] == ["better"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--baseline", "x"), "Error: the baseline 'x' is of a single run; of several runs, the first is what"),
        (("--by", "prompt"), "Error: a single run is compared by prompt, and there are several: name a part of each"),
        (("--params", "a", "--params", "b"), "Error: a single run is compared by params, and there are several"),
    ],
)
def test_what_is_said_of_a_single_run_is_not_ignored_of_several(
    ran: Callable[..., str], options: tuple[str, ...], message: str
) -> None:
    run = ran({"x": yes(10, 40), "y": yes(25, 25)})
    done = themis("compare", f"{run}:model=x", f"{run}:model=y", *options)
    assert (done.exit_code, done.stderr.startswith(message)) == (2, True)


def test_parts_of_a_baseline_file_are_compared_without_a_store(
    ran: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ran({"x": yes(10, 40), "y": yes(40, 10)})
    themis("baseline", "set", run, "-o", "base.json")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "base.json").rename(tmp_path / "elsewhere" / "base.json")
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = themis("compare", "base.json:model=x", "base.json:model=y")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "base.json:model=y is better than base.json:model=x" in " ".join(done.stdout.split())


def test_unpaired_is_only_what_is_asked_for(ran: Callable[..., str]) -> None:
    first, second = (
        ran({"m": yes(5, 45)}, name="a", items=NAMES),
        ran({"m": yes(45, 5)}, items=[f"{n}x" for n in NAMES]),
    )
    apart = compare(first, second)
    assert (seen(apart)[0][2:], apart.exit_code) == ((0, 0, 0, "inconclusive", "nothing in common"), 10)
    assert "have no item in common" in apart.verdict
    (pair,) = compare(first, second, unpaired=True).pairs
    assert (pair.method, pair.verdict, pair.n) == ("Welch's t", "better", 100)
    assert not compare(first, second, unpaired=True).notes()


def test_unpaired_counts_no_wins_and_says_that_items_are_common(ran: Callable[..., str]) -> None:
    run = ran({"m": yes(5, 45), "n": yes(45, 5)}, items=NAMES)
    found = compare(run, unpaired=True)
    assert "m and n have 50 items in common, and each was taken for two" in found.notes()[0]
    header, (row,) = rows_of(found.pairs, "none", None)
    assert [dict(zip(header, row, strict=True))[name] for name in ("won", "lost", "n")] == ["–", "–", "100"]


def test_what_differs_and_what_flipped_is_shown_with_both_answers(ran: Callable[..., str]) -> None:
    first = ran({"m": yes(20, 20)}, name="a", items=NAMES[:40])
    second = ran({"n": ["no", *yes(30, 9)]}, name="b", items=NAMES[:40])
    found = compare(first, second, flips=4)
    told = {each["what"]: (each["a"], each["b"]) for each in found.differs}
    assert told["spec: benchmark_id"] == ("a", "b")
    assert told["spec: models[n].model_id"] == (None, "n")
    assert [(each["item"], each["answer_a"], each["answer_b"]) for each in found.flips] == [
        ("020", "no", "yes"), ("021", "no", "yes"), ("022", "no", "yes"), ("000", "yes", "no"),
    ]  # fmt: skip
    shown = themis("compare", first, second, "--flips", "2").stdout
    assert "Item 000 of s: 1 → 0\n  reference: yes\n  answer A:\n    yes\n  answer B:\n    no\n" in shown


def test_what_was_edited_of_an_item_is_told(ran: Callable[..., str], tmp_path: Path) -> None:
    first = ran({"m": yes(6, 2), "n": yes(5, 3)})
    rows = (tmp_path / "b.jsonl").read_text("utf-8")
    edited = rows.replace('"003?", "gold": "yes"', '"003!", "gold": "Yes"').replace('"005?"', '"005??"')
    (tmp_path / "b.jsonl").write_text(edited, "utf-8")
    found = compare(first, themis_core.run(tmp_path / "b.json").run_id)
    assert [tuple(each.values()) for each in found.differs if each["what"].startswith("item ")] == [
        ("item 003 of s: fields.question", "003?", "003!"),
        ("item 003 of s: fields.gold", "yes", "Yes"),
        ("item 003 of s: reference", "yes", "Yes"),
        ("item 005 of s: fields.question", "005?", "005??"),
    ]


def test_a_run_that_two_stores_have_is_compared_with_itself_by_its_store(
    ran: Callable[..., str], tmp_path: Path
) -> None:
    run = ran({"m": yes(5, 5)})
    shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns("copy"))
    with themis_core.open_results() as one, themis_core.open_results(tmp_path / "copy" / "b.json") as other:
        found = compare(run, f"{run}:slice=s", results=[one, other])
        assert found.sides == [f"{run} in {one.location}", f"{run} in {other.location}:slice=s"]
        with pytest.raises(SpecError, match="is there twice"):
            compare(run, run, results=[one, one])
    assert "is the same" in found.verdict


def test_why_no_flips_are_shown_is_told(ran: Callable[..., str]) -> None:
    first, second = (ran({"m": yes(5, 5), "n": yes(9, 1)}, name=name, items=NAMES[:10]) for name in "ab")
    assert "flips are shown of one pair: name its two sides" in themis("compare", first, second, "--flips", "2").stdout
    one_pair = ("compare", f"{first}:model=m", f"{second}:model=m", "--flips", "2")
    assert themis(*one_pair).stdout.endswith("\nno item flipped\n")
    assert "no item flipped" not in themis(*one_pair[:-2]).stdout
    themis("baseline", "set", first)
    of_file = themis("compare", "themis-baseline.json:model=m", f"{second}:model=n", "--flips", "2").stdout
    assert "flips are not shown: a baseline file has no answers" in of_file
    shown = themis("baseline", "show").stdout
    assert re.search(r"completed, at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n", shown)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), "no run begins with 'nothing'"),
        (("RUN", "--metric", "wrong"), "has no score or metric 'wrong'. It has: right/text/exact_match"),
        (("RUN", "--baseline", "c"), "has no model 'c'. It has: a, b"),
        (("RUN", "--by", "prompt"), "there is one prompt to compare, p: name a second one, or another run"),
        (("RUN", "RUN"), "is there twice: nothing can be compared with itself"),
        (("RUN", "--margin", "0"), "the margin is 0: it is the difference that does not matter"),
        (("RUN:model=c", "RUN"), "has no model 'c'. It has: a, b"),
        (("lost.json", "RUN"), "can't read the baseline lost.json: No such file or directory"),
    ],
)
def test_what_can_t_be_compared_is_told(ran: Callable[..., str], arguments: tuple[str, ...], message: str) -> None:
    run = ran({"a": yes(1, 1), "b": yes(2, 0)})
    done = themis("compare", *(each.replace("RUN", run) for each in arguments))
    assert (done.exit_code, message in done.stderr) == (2, True), done.output


def test_a_second_store_has_the_other_runs(ran: Callable[..., str], tmp_path: Path) -> None:
    first = ran({"m": yes(10, 40)}, items=NAMES)
    (tmp_path / "other").mkdir()
    shutil.copytree(tmp_path / ".themis", tmp_path / "other" / ".themis")
    (tmp_path / "other" / "project.json").write_text('{"storage": {"backend": "sqlite"}}')
    second = ran({"m": yes(45, 5)}, name="c", items=NAMES)
    done = themis("compare", second, first, "--project-b", "other/project.json")
    assert done.exit_code == 1, done.output


# --- baselines and the conclusion


def test_a_baseline_is_a_file_that_later_runs_are_compared_with(ran: Callable[..., str], tmp_path: Path) -> None:
    first = ran({"m": yes(30, 20)}, items=NAMES)
    done = themis("baseline", "set", first)
    assert (done.exit_code, done.stdout) == (0, f"themis-baseline.json: {first}, 50 scores\n")
    assert "right/text/exact_match" in themis("baseline", "show").stdout
    assert json.loads(themis("baseline", "show", "--format", "json").stdout)["scores"] == [
        {"slice": "s", "model": "m", "prompt": "p", "params": "default", "metric": "right/text/exact_match",
         "value": 0.6, "items": 50}
    ]  # fmt: skip
    shutil.rmtree(tmp_path / ".themis")
    second = ran({"m": yes(10, 40)}, items=NAMES)
    found = compare("themis-baseline.json", second)
    assert seen(found) == [("themis-baseline.json", second, 50, 0, 20, "worse", "exact McNemar")]
    assert compare("themis-baseline.json", second, cluster="topic").pairs[0].units == 25
    turned = compare(second, "themis-baseline.json", cluster="topic")
    assert (turned.pairs[0].units, turned.outcome) == (25, "better")
    (tmp_path / "themis-baseline.json").write_text("{}")
    assert "is no baseline that this version reads" in themis("compare", "themis-baseline.json", second).stderr


def test_a_baseline_of_a_number_of_all_items_holds_its_parts(ran: Callable[..., str]) -> None:
    first = ran({"m": ["no yes", "a b"] * 20}, items=NAMES[:40], metric="text/chrf")
    themis("baseline", "set", first, "-o", "base.json")
    second = ran({"m": ["yes", "yes no"] * 20}, items=NAMES[:40], metric="text/chrf")
    (stored,), (filed,) = compare(first, second).pairs, compare("base.json", second).pairs
    assert (filed.difference, filed.low, filed.p_value) == (
        pytest.approx(stored.difference), pytest.approx(stored.low), pytest.approx(stored.p_value),
    )  # fmt: skip
    (turned,) = compare(second, "base.json").pairs
    assert (turned.method, turned.difference) == ("paired jackknife", pytest.approx(-(stored.difference or 0)))
    themis("baseline", "set", second, "-o", "new.json")
    with pytest.raises(SpecError, match="is not in a file: compare it with a stored run"):
        compare("base.json", "new.json")


@pytest.mark.parametrize(
    ("config", "met", "said"),
    [
        ({}, None, "b is worse than a"),
        ({"fail_if": ["worse"]}, False, "b against a, right/text/exact_match: worse, which fail_if names"),
        ({"fail_if": ["inconclusive"]}, True, ""),
        ({"max_drop": 0.3}, False, "b against a, right/text/exact_match: is worse by 0.4, and max_drop is 0.3"),
        ({"max_drop": 0.45}, True, ""),
        ({"max_drop": 0.45, "max_drop_of": "bound"}, False, "may be worse by 0.5"),
    ],
)
def test_a_conclusion_ends_a_run_with_a_verdict_and_may_be_a_gate(
    ran: Callable[..., str], config: dict[str, Any], met: bool | None, said: str
) -> None:
    conclusions = [{"id": "stats/compare", "config": {"baseline": "a", **config}}]
    run = ran({"a": yes(30, 20), "b": yes(10, 40)}, conclusions=conclusions)
    with themis_core.open_results() as results:
        result = results.result(run)
    (each,) = result.conclusions
    assert (each["met"], result.exit_code, result.warnings) == (met, 1 if met is False else 0, [])
    assert said in each["text"]
    assert each["details"]["outcome"] == "worse"
    assert (
        f"stats/compare: {'NOT MET: ' if met is False else 'met: ' if met else ''}" in themis("show", "run", run).stdout
    )


def test_a_conclusion_compares_with_the_run_before_or_with_a_file(ran: Callable[..., str]) -> None:
    gate = {"id": "stats/compare", "config": {"against": "previous", "max_drop": 0.02}}
    first = ran({"m": yes(30, 20)}, items=NAMES, conclusions=[gate])
    with themis_core.open_results() as results:
        (told,) = results.result(first).conclusions
        assert (told["text"], told["met"]) == ("there is no earlier run of this benchmark to compare with", None)
    themis("baseline", "set", first, "-o", "base.json")
    second = ran({"m": yes(25, 25)}, items=NAMES, conclusions=[gate, {**gate, "config": {"against": "base.json"}}])
    with themis_core.open_results() as results:
        before, file = results.result(second).conclusions
    assert (before["met"], file["met"]) == (False, None)
    assert "is worse by 0.1, and max_drop is 0.02" in before["text"]
    with pytest.raises(SpecError, match=r"there is no baseline .*lost\.json: `themis baseline set RUN -o lost\.json`"):
        ran({"m": yes(1, 1)}, conclusions=[{"id": "stats/compare", "config": {"against": "lost.json"}}])


# --- power


def test_power_before_a_run_and_from_a_stored_one(ran: Callable[..., str]) -> None:
    told = json.loads(themis("power", "--rate", "0.7", "--difference", "0.1", "--format", "json").stdout)
    assert told["rows"] == [{"pair": None, "difference": 0.1, "items": 198, "n": None, "power": None}]
    run = ran({"a": ["yes|no"] * 20 + ["no|no"] * 20, "b": ["yes|yes"] * 40}, samples=2)
    told = json.loads(themis("power", run, "--difference", "0.1", "--items", "40", "--format", "json").stdout)
    assert [(each["pair"], each["n"], each["items"] > 40) for each in told["rows"]] == [("a, b", 40, True)]
    assert told["components"]["a"]["shares"].keys() == {"items", "samples"}
    assert "more calls are best spent on" in themis("power", run).stdout
    assert "name a run, or the rate of A" in themis("power").stderr


def test_a_side_without_any_score_is_inconclusive_and_counted(ran: Callable[..., str]) -> None:
    found = compare(ran({"a": yes(3, 2), "b": ["-"] * 5}))
    assert (seen(found)[0][2:], found.outcome) == ((0, 0, 0, "inconclusive", "nothing in common"), "inconclusive")
    assert (found.pairs[0].ledger_b["failed"], found.pairs[0].value_b) == (5, None)
    assert "a and b" in found.verdict or "b and a have no item in common" in found.verdict
    assert "inconclusive" in found.table()


def test_one_item_and_equal_answers_decide_nothing(ran: Callable[..., str]) -> None:
    one = compare(ran({"a": ["yes"], "b": ["no"]}, name="one"))
    assert (seen(one)[0][2:6], one.exit_code) == ((1, 0, 1, "inconclusive"), 10)
    same = compare(ran({"a": yes(3, 2), "b": yes(3, 2)}, name="same"), margin=0.9)
    assert (same.pairs[0].p_value, same.outcome) == (1.0, "equivalent")


# --- gates that can't be judged


def concluded(run: str) -> list[dict[str, Any]]:
    with themis_core.open_results() as results:
        return results.result(run).conclusions


@pytest.mark.parametrize("gate", [{"fail_if": ["worse"]}, {"max_drop": 0.5}])
@pytest.mark.parametrize(
    ("items", "answers", "why"),
    [
        ([f"{n}x" for n in NAMES], yes(30, 20), "nothing could be compared, so the gate can't be judged"),
        ([*NAMES[:2], *(f"{n}x" for n in NAMES[2:])], yes(30, 20), "96 % of the scores of"),
        (
            NAMES[:40],
            yes(30, 10),
            "20 % of the scores of base.json have no pair, which is more than max_unpaired",
        ),
        (NAMES, [*yes(30, 15), *["-"] * 5], "5 of 50 trials of"),
    ],
)
def test_a_gate_is_not_met_where_hardly_anything_was_compared(
    ran: Callable[..., str], gate: dict[str, Any], items: list[str], answers: list[str], why: str
) -> None:
    themis("baseline", "set", ran({"m": yes(30, 20)}, items=NAMES), "-o", "base.json")
    config = {"against": "base.json", **gate}
    waived = {**config, "max_unpaired": 1}
    run = ran(
        {"m": answers}, items=items,
        conclusions=[{"id": "stats/compare", "config": each} for each in (config, waived)],
    )  # fmt: skip
    told, free = concluded(run)
    assert (told["met"], why in told["text"]) == (False, True), told["text"]
    assert free["met"] is ("nothing" not in why)


def test_a_gate_is_not_met_where_one_side_lacks_a_slice_a_prompt_or_a_model(ran: Callable[..., str]) -> None:
    prompts = [{"id": each, "messages": [{"role": "user", "content": "{{ item.question }}"}]} for each in "pq"]
    themis("baseline", "set", ran({"m": yes(30, 20)}, items=NAMES, prompt_variants=prompts), "-o", "base.json")
    config = {"against": "base.json", "fail_if": ["worse"]}
    gates = [{"id": "stats/compare", "config": each} for each in (config, {**config, "max_unpaired": 0.5})]
    told, free = concluded(ran({"m": yes(30, 20)}, items=NAMES, conclusions=gates))
    assert (told["met"], "one side alone has q" in told["text"], free["met"]) == (False, True, True), told["text"]
    first = ran({"x": yes(30, 20), "y": yes(30, 20), "z": yes(30, 20)}, name="three", items=NAMES)
    gate = {"id": "stats/compare", "config": {"against": first, "fail_if": ["worse"]}}
    (told,) = concluded(ran({"x": yes(30, 20), "y": yes(30, 20)}, name="two", items=NAMES, conclusions=[gate]))
    assert (told["met"], "one side alone has model z" in told["text"]) == (False, True), told["text"]


@pytest.mark.parametrize("gate", [{"fail_if": ["worse"]}, {"fail_if": ["better"]}, {"max_drop": 0.1}])
def test_a_gate_with_a_direction_names_what_is_compared_with_what(ran: Callable[..., str], gate: Any) -> None:
    with pytest.raises(SpecError, match="name a `baseline` of the run, or `against` another run"):
        ran({"a": yes(1, 1), "b": yes(2, 0)}, conclusions=[{"id": "stats/compare", "config": gate}])


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"against": "b-0123"}, r"conclusions\[0\].config: against: (no run begins with 'b-0123'|there is no run)"),
        ({"against": "b-0123:model=a"}, r"against: (no run begins with 'b-0123'|there is no run 'b-0123')"),
        (
            {"cluster": "topik"},
            "cluster: item '000' of slice 's' has no metadata 'topik' to cluster by. It has: ",
        ),
    ],
    ids=["run", "part of a run", "cluster"],
)
def test_what_a_conclusion_lacks_in_the_store_or_in_the_items_is_found_before_the_run(
    ran: Callable[..., str], tmp_path: Path, config: dict[str, Any], told: str, stored: bool
) -> None:
    answers = {"a": yes(1, 1), "b": yes(2, 0)}
    if stored:
        ran(answers, name="first")
    with pytest.raises(SpecError, match=told) as caught:
        ran(answers, conclusions=[{"id": "stats/compare", "config": config}])
    assert caught.value.path == str(tmp_path / "b.json")
    with pytest.raises(SpecError, match=told):
        themis_core.plan(tmp_path / "b.json")
    if stored:
        with themis_core.open_results() as results:
            assert [run.run_id.partition("-")[0] for run in results.runs()] == ["first"]
    else:
        assert not (tmp_path / ".themis").exists()


@pytest.mark.parametrize(
    ("config", "slices"),
    [
        ({}, ["s", "both"]),
        ({"metric": ["long"]}, ["both", "t"]),
        ({"metric": ["text/exact_match"]}, ["s", "both"]),
        ({"slice": "t", "metric": ["long/text/rouge"]}, ["t"]),
    ],
)
def test_items_of_slices_that_are_not_compared_need_no_cluster(config: dict[str, Any], slices: list[str]) -> None:
    right, long = (
        {"name": name, "metrics": [f"text/{of}"]} for name, of in (("right", "exact_match"), ("long", "rouge"))
    )
    dataset = {"source": "files/inline", "fields": {"output": "said"}}
    benchmark = themis_core.BenchmarkSpec.model_validate(
        {
            "benchmark_id": "b",
            "slices": [
                {"slice_id": name, "dataset": dataset, "scores": scores}
                for name, scores in {"s": [right], "both": [right, long], "t": [long]}.items()
            ],
        }
    )
    assert compared_slices(Compare(cluster="topic", **config), benchmark) == slices


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"metric": ["wrong"]}, "the spec has no score or metric 'wrong'. It has: right/text/exact_match, right, text"),
        ({"metric": ["right/exact"]}, "no score or metric 'right/exact'"),
        ({"slice": "t"}, "the spec has no slice 't'. It has: s"),
        ({"baseline": "c"}, "the spec has no model 'c'. It has: a, b"),
        ({"only": ["a", "c"]}, "the spec has no model 'c'. It has: a, b"),
        ({"only": ["a"]}, "there is one model to compare, a"),
        ({"by": "prompt"}, "there is one prompt to compare, p"),
        ({"by": "prompt", "baseline": "a"}, "the spec has no prompt 'a'. It has: p"),
        ({"against": "previous", "only": ["c"]}, "the spec has no model 'c'. It has: a, b"),
        ({"against": ""}, "at least 1 character"),
        ({"cluster": "topic", "unpaired": True}, "leave out one of `cluster` and `unpaired`"),
        ({"max_drop_of": "bound"}, "give `max_drop` as well"),
        ({"max_unpaired": 0.1}, "`max_unpaired` is of a gate"),
        ({"fail_if": ["equivalent"]}, "`equivalent` is within a `margin`"),
        ({"margin": float("inf")}, "finite"),
    ],
)
def test_a_typing_mistake_in_a_conclusion_is_found_before_the_run(
    ran: Callable[..., str], tmp_path: Path, config: Any, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        ran({"a": yes(1, 1), "b": yes(2, 0)}, conclusions=[{"id": "stats/compare", "config": config}])
    assert message in str(caught.value)
    assert not (tmp_path / ".themis").exists()


def test_a_run_that_missed_its_gate_is_no_reference_of_the_next(ran: Callable[..., str]) -> None:
    gate = {"id": "stats/compare", "config": {"against": "previous", "max_drop": 0.02}}
    other = {"id": "stats/compare", "config": {"baseline": "a", "fail_if": ["worse", "inconclusive"]}}
    told = []
    for name, right in (("first", 30), ("worse", 20), ("again", 20), ("better", 31), ("next", 30)):
        answers = {"a": yes(right, 50 - right), "b": yes(right, 50 - right)}
        metadata = {"commit": name}
        run = ran(answers, items=NAMES, conclusions=[gate, other], metadata=metadata, num_samples=1)
        told.append(concluded(run)[0]["met"])
    assert told == [None, False, False, True, True]


# --- several metrics, and what only has the same name


def test_the_least_welcome_verdict_of_several_metrics_counts(ran: Callable[..., str]) -> None:
    metrics = [{"name": "good", "metrics": ["text/exact_match"]}, {"name": "bad", "metrics": ["text/ter"]}]
    run = ran({"a": ["no"] * 50, "b": [*yes(25, 0), *["a b c d"] * 25]}, scored_by=metrics)
    found = compare(run, baseline="a", metric=["good", "bad"])
    assert [each.verdict for each in found.pairs] == ["better", "worse"]
    assert (found.outcome, found.exit_code) == ("worse", 1)
    assert [line.split(":")[0] for line in found.verdict.splitlines()] == ["b is better than a", "b is worse than a"]
    assert len(compare(run, metric=["good", "bad"]).verdict.splitlines()) == 2


def test_different_metrics_of_one_name_are_refused(ran: Callable[..., str]) -> None:
    named = [{"id": each, "name": "m"} for each in ("text/exact_match", "text/ter", "text/chrf")]
    runs = [ran({"x": yes(3, 2)}, name=name, metric=each) for name, each in zip("abc", named, strict=True)]
    for one, other in ((0, 1), (1, 0), (1, 2)):
        with pytest.raises(SpecError, match="numbers of different metrics can't be compared") as caught:
            compare(runs[one], runs[other])
        assert named[one]["id"] in str(caught.value)
        assert named[other]["id"] in str(caught.value)


def test_a_denominator_that_is_not_that_of_the_comparison_is_told_in_the_first_lines(ran: Callable[..., str]) -> None:
    scores = [{"name": "right", "metrics": ["text/exact_match"], "denominator": "planned_missing_worst"}]
    run = ran({"a": yes(3, 2), "b": yes(2, 3)}, scored_by=scores)
    assert compare(run).verdict.splitlines()[-1] == (
        "Compared are means of scored items; the denominator of right/text/exact_match is planned_missing_worst in a, "
        "slice s."
    )
    assert compare(ran({"a": yes(3, 2), "b": yes(2, 3)})).denominators == []


# --- baseline files


def test_no_number_is_called_certain_because_all_scores_are_alike(ran: Callable[..., str]) -> None:
    run = ran({"a": ["yes"] * 10, "b": ["yes", "no"] * 5})
    told = themis("power", run).stdout
    assert "\na: all its items have the same score, which does not say how far others would differ\n" in told
    assert ("\na: its number is certain" in told, "\nb: its number is certain" in told) == (False, True)


def test_a_baseline_shows_the_numbers_of_its_run_and_what_became_of_it(ran: Callable[..., str]) -> None:
    run = ran({"m": [*["no yes maybe", "yes", "a b"] * 14, "-"]}, items=NAMES[:43], metric="text/chrf")
    done = themis("baseline", "set", run)
    assert "warning: this run has the status failed: only what has a score is in the file" in done.stderr
    shown = json.loads(themis("baseline", "show", "--format", "json").stdout)
    with themis_core.open_results() as results:
        (value,) = [row.value for row in results.result(run).scores]
    assert [each["value"] for each in shown["scores"]] == [value]
    assert (value or 0.0) > 0.3
    assert shown["status"] == "failed"
    other = ran({"m": ["yes"] * 43}, items=NAMES[:43], metric="text/chrf")
    assert f"run {run} has the status failed: only what has a score is compared" in compare(FILE, other).verdict


FILE = "themis-baseline.json"


def test_parts_of_one_file_and_files_of_one_name_are_compared(ran: Callable[..., str], tmp_path: Path) -> None:
    themis("baseline", "set", ran({"a": yes(10, 40), "b": yes(40, 10)}))
    assert seen(compare(f"{FILE}:model=a", f"{FILE}:model=b"))[0][:2] == (f"{FILE}:model=a", f"{FILE}:model=b")
    (tmp_path / "old").mkdir()
    shutil.copy(FILE, "old")
    assert next((each.a, each.n) for each in compare(f"old/{FILE}", FILE).pairs) == (f"old/{FILE}:model=a", 50)
    with pytest.raises(SpecError, match="is there twice"):
        compare(FILE, FILE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["scores"][0]["items"].update(dict.fromkeys(data["scores"][0]["items"], float("nan"))),
         "scores.0.items"),
        (lambda data: data["scores"][0]["items"].update({"0" * 70: 1.0}), "scores.0.items.000"),
        (lambda data: data["scores"][0]["items"].update({"xyz": 1.0}), "scores.0.items.xyz"),
        (lambda data: data["scores"][0]["items"].update({"0" * 24: "1"}), "scores.0.items.000"),
        (lambda data: data["manifest"].pop("scorers"), "manifest.scorers: Field required"),
        (lambda data: data["manifest"]["scorers"][0].pop("component"), "manifest.scorers.0.component: Field required"),
        (lambda data: data["manifest"]["scorers"][0].update(aggregates_mean=False),
         "scores.0.items: those of text/exact_match are lists of samples with their parts"),
        (lambda data: data["scores"][0].update(score="other"), "scores.0: the manifest has no s/other"),
        (lambda data: data.update(outcomes=[["s"]]), "outcomes.0"),
        (lambda data: data.update(run_id=None), "run_id: Input should be a valid string"),
    ],
)  # fmt: skip
def test_a_damaged_baseline_is_an_error_that_says_where(
    ran: Callable[..., str], tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    run = ran({"m": yes(3, 2)})
    themis("baseline", "set", run)
    data = json.loads((tmp_path / FILE).read_text())
    change(data)
    (tmp_path / FILE).write_text(json.dumps(data))
    for arguments in (("compare", FILE, run), ("baseline", "show")):
        done = themis(*arguments)
        assert (done.exit_code, f"{FILE} is damaged: {message}" in done.stderr) == (2, True), done.output


# --- what is impossible, and what only seems to differ


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "RUN", "--margin", "inf"), "a number greater than 0"),
        (("compare", "RUN", "--margin", "nan"), "a number greater than 0"),
        (("power", "--rate", "nan"), "the rate is nan: it is a share, from 0 to 1"),
        (("power", "--rate", "0.7", "--agreement", "nan"), "the agreement is nan: it is a share, from 0 to 1"),
        (("power", "--rate", "0.7", "--power", "nan"), "the power is nan: it is a share, from 0 to 1"),
        (("power", "RUN", "--difference", "inf"), "the difference is inf: it is a number greater than 0"),
        (("power", "RUN", "--difference", "-0.05"), "the difference is -0.05: it is a number greater than 0"),
        (("power", "RUN", "--difference", "0"), "the difference is 0: it is a number greater than 0"),
        (("power", "RUN", "--difference", "5"), "of right/text/exact_match it is at most 1"),
        (("power", "RUN", "--rate", "0.5"), "are assumed without a run"),
        (("power", "--rate", "0.5", "--difference", "5"), "from a rate of 0.5 it is at most 0.5"),
        (("power", "--rate", "0.5", "--difference", "0.9"), "from a rate of 0.5 it is at most 0.5"),
        (("power", "--rate", "0.5", "--difference", "nan"), "it is a number greater than 0"),
    ],
)
def test_impossible_numbers_are_refused(ran: Callable[..., str], arguments: tuple[str, ...], message: str) -> None:
    run = ran({"a": yes(3, 2), "b": yes(2, 3)})
    done = themis(*(each.replace("RUN", run) for each in arguments))
    assert (done.exit_code, message in done.stderr) == (2, True), done.output


def test_runs_of_other_models_are_told_how_to_name_one(ran: Callable[..., str]) -> None:
    first, second = ran({"a": yes(3, 2), "b": yes(2, 3)}), ran({"c": yes(3, 2)}, name="c")
    with pytest.raises(SpecError, match="name a model of each, such as RUN:model=a"):
        compare(first, second)


def test_a_prompt_differs_only_if_that_of_the_same_item_does(ran: Callable[..., str]) -> None:
    first = ran({"m": yes(20, 10)}, name="a", items=NAMES[:30])
    second = ran({"m": yes(20, 10)}, name="b", items=NAMES[10:40])
    assert "prompt" not in {each["what"] for each in compare(first, second).differs}
    other = [{"id": "p", "messages": [{"role": "user", "content": "Say: {{ item.question }}"}]}]
    third = ran({"m": yes(20, 10)}, name="c", items=NAMES[5:35], prompt_variants=other)
    assert "prompt" in {each["what"] for each in compare(first, third).differs}


def test_items_are_counted_once_whatever_they_were_asked_by(ran: Callable[..., str]) -> None:
    prompts = [{"id": each, "messages": [{"role": "user", "content": "{{ item.question }}"}]} for each in "pqr"]
    first = ran({"m": yes(20, 30)}, name="a", items=NAMES, prompt_variants=prompts)
    second = ran({"m": yes(25, 15)}, name="b", items=NAMES[:40], prompt_variants=prompts)
    found = compare(first, second)
    (pair,) = found.pairs
    assert (pair.n, pair.ledger_a["items"], pair.ledger_a["only_here"]) == (40, 50, 10)
    assert f"20 % of the items of {first} have no pair" in found.table()


def test_how_many_items_would_decide_is_one_number(ran: Callable[..., str]) -> None:
    found = compare(ran({"a": yes(20, 30), "b": [*yes(18, 0), *["no"] * 25, *yes(7, 0)]}))
    (needed,) = set(re.findall(r"some ([\d,]+) items would decide", found.verdict + found.table()))
    assert int(needed.replace(",", "")) >= (found.pairs[0].items_needed or 0) > 100
