"""BLEU, chrF, TER and ROUGE against what sacrebleu and rouge-score say of the same data."""

from __future__ import annotations

import json
import sys
from math import inf, sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

import themis_core as themis
from themis_core import Generation, Item, Metric, ResultRow, Score, SpecError
from themis_plugin_text.corpus import Bleu, Chrf, Ter
from themis_plugin_text.overlap import Rouge

ANSWERS = [
    "The dog bit the man.",
    "It was not unexpected at all",
    "the man bit him first, and quickly",
    "Ein ganz anderer Satz: überhaupt nicht gleich!",
    "",
    "same sentence here",
]
FIRST = [
    "The dog bit the man.",
    "It was not unexpected.",
    "The man bit him first.",
    "Kein Wort davon.",
    "An answer was due here",
    "same sentence here",
]
SECOND = [
    "The dog had bit the man.",
    "No one was surprised.",
    "The man had bitten the dog.",
    "Ein anderer Satz",
    "One more",
    "the same sentence",
]


def scores(metric: Metric, references: list[Any]) -> list[Score]:
    pairs = zip(ANSWERS, references, strict=True)
    return [metric.score(Item("1", {}, ref), Generation("answered"), text) for text, ref in pairs]


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        (Bleu(), sacrebleu.BLEU()),
        (Bleu(tokenize="intl", lowercase=True), sacrebleu.BLEU(tokenize="intl", lowercase=True)),
        (Bleu(smooth_method="add-k"), sacrebleu.BLEU(smooth_method="add-k")),
        (Chrf(), sacrebleu.CHRF()),
        (Chrf(word_order=2, lowercase=True), sacrebleu.CHRF(word_order=2, lowercase=True)),
        (Ter(), sacrebleu.TER()),
        (Ter(normalized=True, case_sensitive=True), sacrebleu.TER(normalized=True, case_sensitive=True)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_the_aggregate_is_exactly_the_corpus_score(metric: Metric, theirs: Any) -> None:
    one = metric.aggregate(scores(metric, FIRST))
    two = metric.aggregate(scores(metric, list(map(list, zip(FIRST, SECOND, strict=True)))))
    assert one == theirs.corpus_score(ANSWERS, [FIRST]).score
    assert two == theirs.corpus_score(ANSWERS, [FIRST, SECOND]).score


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        (Bleu(), sacrebleu.BLEU(effective_order=True)),
        (Chrf(), sacrebleu.CHRF()),
        (Ter(), sacrebleu.TER()),
    ],
    ids=["bleu", "chrf", "ter"],
)
def test_the_value_of_one_answer_is_its_sentence_score(metric: Metric, theirs: Any) -> None:
    expected = [theirs.sentence_score(text, [ref]).score for text, ref in zip(ANSWERS, FIRST, strict=True)]
    limit = inf if metric.highest is None else metric.highest
    assert [score.value for score in scores(metric, FIRST)] == [min(each, limit) for each in expected]


@pytest.mark.parametrize("metric", [Bleu(), Chrf(), Ter()], ids=["bleu", "chrf", "ter"])
def test_an_answer_that_never_came_counts_as_an_empty_one(metric: Metric) -> None:
    item = Item("1", {}, "An answer was due here")
    worst = metric.worst(item, Generation("refused"))
    assert worst == metric.score(item, Generation("answered"), "")
    assert worst.value == (0.0 if metric.higher_is_better else 100.0)
    assert metric.aggregate([*scores(metric, FIRST)[:4], worst]) == metric.aggregate(scores(metric, FIRST)[:5])


def test_perfect_answers_score_100_and_not_a_rounding_error_more() -> None:
    item = Item("1", {}, "the cat sat on the mat, and so did the dog")
    perfect = [Bleu().score(item, Generation("answered"), item.reference)] * 3
    assert (perfect[0].value, Bleu().aggregate(perfect)) == (100.0, 100.0)


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (Bleu(max_characters=10), "x" * 11),
        (Chrf(), "x" * 100_001),
        (Ter(), "x " * 201),
        (Ter(), "x" * 1_000_000),
        (Rouge(max_word_pairs=8), "a b c"),
        (Rouge(variant="rouge1"), "x" * 1_000_001),
    ],
    ids=["bleu", "chrf", "ter words", "ter characters", "rougeL", "rouge1"],
)
def test_what_would_take_too_long_is_unscored(metric: Metric, text: str) -> None:
    item = Item("1", {}, "one two three")
    assert metric.score(item, Generation("answered"), text) == Score(reason="too_long")


@pytest.mark.parametrize("variant", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_rouge_is_the_best_f_measure_of_the_references(variant: Any) -> None:
    scorer = RougeScorer([variant])
    expected = [
        max(scorer.score(ref, text)[variant].fmeasure for ref in refs)
        for text, *refs in zip(ANSWERS, FIRST, SECOND, strict=True)
    ]
    found = scores(Rouge(variant=variant), list(map(list, zip(FIRST, SECOND, strict=True))))
    assert [score.value for score in found] == expected
    assert Rouge(variant=variant).aggregate(found) == pytest.approx(sum(expected) / len(expected))


@pytest.mark.parametrize(
    ("metric", "package", "extra"),
    [(Bleu(), "sacrebleu", "bleu"), (Ter(max_words=7), "sacrebleu", "bleu"), (Rouge(), "rouge_score", "rouge")],
    ids=["bleu", "ter", "rouge"],
)
def test_a_missing_package_is_found_before_the_run_and_names_the_extra(
    metric: Metric, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # makes its import fail
    with pytest.raises(SpecError, match=rf"pip install 'themis-plugin-text\[{extra}\]'"):
        type(metric).model_validate(metric.identity()).check(Path())


ROWS = [
    {"id": f"i{number}", "reference": reference, "output": answer}
    for number, (answer, reference) in enumerate(zip(ANSWERS, FIRST, strict=True))
]


def rows_of_run(folder: Path, rows: list[dict[str, Any]]) -> dict[str, ResultRow]:
    scores = [{"name": name, "metrics": [f"text/{name}"]} for name in ("bleu", "chrf", "ter")]
    dataset = {
        "source": "files/inline",
        "fields": {"id": "id", "output": "output", "reference": "reference"},
        "extras": {"rows": rows},
    }
    spec = {
        "project": {"storage": {"backend": "sqlite"}},
        "benchmark": {"benchmark_id": "b", "slices": [{"slice_id": "s", "dataset": dataset, "scores": scores}]},
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return {row.score: row for row in themis.run(path).scores}


def test_corpus_scores_have_a_jackknife_interval_within_their_range(tmp_path: Path) -> None:
    found = rows_of_run(tmp_path, ROWS)
    for name, theirs in (("bleu", sacrebleu.BLEU()), ("chrf", sacrebleu.CHRF()), ("ter", sacrebleu.TER())):
        left_out = [
            theirs.corpus_score(ANSWERS[:at] + ANSWERS[at + 1 :], [FIRST[:at] + FIRST[at + 1 :]]).score
            for at in range(len(ANSWERS))
        ]
        error = sqrt(5 / 6 * sum((each - fmean(left_out)) ** 2 for each in left_out))
        row = found[name]
        assert (row.interval, row.no_interval) == ("jackknife", None)
        assert row.standard_error == pytest.approx(error, rel=1e-9)
        assert row.low is not None
        assert row.high is not None
        assert row.value is not None
        assert 0 <= row.low < row.value < row.high
        assert name == "ter" or row.high <= 100


def test_a_corpus_score_of_one_item_or_of_equal_items_has_no_interval_and_says_why(tmp_path: Path) -> None:
    same = "the cat sat on the mat, and so did the dog"
    for count, missing in ((1, "one_item"), (5, "no_spread")):
        folder = tmp_path / str(count)
        folder.mkdir()
        rows = [{"id": f"i{number}", "reference": same, "output": same} for number in range(count)]
        found = rows_of_run(folder, rows)
        assert {(each.interval, each.no_interval, each.low) for each in found.values()} == {(None, missing, None)}
