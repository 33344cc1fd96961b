"""Texts of any script: identical ones are right, alike ones have a share, and what can't be split is not scored 0."""

from __future__ import annotations

from typing import Any

import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from themis_core import Generation, Item, Metric
from themis_plugin_text.corpus import Bleu, Chrf, Ter
from themis_plugin_text.matches import Contains, ExactMatch
from themis_plugin_text.overlap import Rouge, TokenF1
from themis_plugin_text.words import visible

LANGUAGES = {
    "English": ("the ship left the port", "the ship left a harbour", 3 / 5),
    "German": ("Äpfel für Übermüdete", "Apfel für Ubermudete", 1 / 3),
    "Russian": ("цена выросла на 5", "цена упала на 5", 3 / 4),
    "Greek": ("το πλοίο έφυγε", "το τρένο έφυγε", 2 / 3),
    "Nepali": ("जहाज बन्दरगाहबाट निस्क्यो", "जहाज निस्क्यो", 4 / 5),  # 2 * 2 / (3 + 2)
    "Arabic": ("السفينة غادرت الميناء", "السفينة في الميناء", 2 / 3),
    "Hebrew with vowel points": ("שָׁלוֹם לָךְ", "שָׁלוֹם לָכֶם", 1 / 2),
    "Tamil": ("கப்பல் வந்தது", "கப்பல் போனது", 1 / 2),
    "Korean": ("배가 항구를 떠났다", "배가 항구에 왔다", 1 / 3),
    "Amharic": ("መርከቡ ወደብ ለቀቀ", "መርከቡ ወደብ ደረሰ", 2 / 3),
    "Chinese": ("今天天气很好", "今天天气不好", 5 / 6),
    "Japanese": ("ラーメンを食べる", "ラーメンを食べた", 7 / 8),
    "Thai": ("กินข้าว", "กินน้ำ", 4 / 9),  # กิ น ข้ า ว and กิ น น้ ำ: 2 * 2 / (5 + 4)
    "Mixed": ("GPT-4 在2024年", "GPT-4 在2023年", 4 / 5),  # gpt 4 在 2024 年
    "Vietnamese, composed or not": ("tàu rời bến", "ta\u0300u ro\u031b\u0300i be\u0302\u0301n", 1.0),
}


def found(metric: Metric, answer: str, reference: Any) -> float | str | None:
    item = Item("1", {}, reference)
    return metric.unscorable(item) or metric.score(item, Generation("answered"), answer).value


@pytest.mark.parametrize(("reference", "answer", "share"), LANGUAGES.values(), ids=LANGUAGES)
@pytest.mark.parametrize("metric", [Rouge(variant="rouge1"), TokenF1(tokenize="unicode")], ids=["rouge", "f1"])
def test_words_are_those_of_the_script(metric: Metric, reference: str, answer: str, share: float) -> None:
    assert found(metric, reference, reference) == 1.0
    assert found(metric, answer, reference) == pytest.approx(share)


@pytest.mark.parametrize("variant", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
@pytest.mark.parametrize("stem", [False, True], ids=["words", "stems"])
def test_english_figures_are_those_of_rouge_score(variant: Any, stem: bool) -> None:
    reference = "It’s 5_000 m² — “ships”, leaving\nthe port’s 2nd quay… at 7½%™"
    answer = "The ship’s left the ports: 5,000 m² (2nd) quays\nat 7 %"
    expected = RougeScorer([variant], use_stemmer=stem).score(reference, answer)[variant].fmeasure
    assert 0 < expected < 1
    for tokenize in ("unicode", "ascii"):
        metric = Rouge.model_validate({"variant": variant, "stem": stem, "tokenize": tokenize})
        assert found(metric, answer, reference) == expected


def test_the_ascii_tokenizer_is_rouge_score_in_any_language() -> None:
    reference, answer = "Äpfel für Übermüdete", "Apfel für Ubermudete"
    expected = RougeScorer(["rouge1"]).score(reference, answer)["rouge1"].fmeasure
    assert found(Rouge(variant="rouge1", tokenize="ascii"), answer, reference) == expected == pytest.approx(4 / 9)


@pytest.mark.parametrize(
    ("metric", "reference", "expected"),
    [
        (Rouge(tokenize="ascii"), "корабль вышел", "no_words"),
        (Rouge(tokenize="ascii"), ["the ship", "корабль"], "no_words"),
        (Rouge(), "👍", "no_words"),
        (Rouge(), "?!", "no_words"),
        (Rouge(tokenize="char"), "?!", 1.0),
        (Rouge(tokenize="whitespace"), "👍 ok", 1.0),
        (Rouge(), "", 1.0),
        (TokenF1(tokenize="unicode"), "…", "no_words"),
        (TokenF1(tokenize="char"), "…", 1.0),
        (TokenF1(), "the", 1.0),
        (TokenF1(), "今天天气很好", 1.0),
        (Bleu(), "今天天气很好", "unsegmented"),
        (Bleu(tokenize="intl"), "เรือออกจากท่าเรือ", "unsegmented"),
        (Bleu(tokenize="none"), ["今天 天气 很 好", "今天天气很好"], "unsegmented"),
        (Bleu(tokenize="none"), "今天 天气 很 好", 100.0),
        (Bleu(tokenize="zh"), "今天天气很好", 100.0),
        (Bleu(tokenize="zh"), "ラーメンがたべたい", "unsegmented"),
        (Bleu(tokenize="char"), "เรือออกจากท่าเรือ", 100.0),
        (Bleu(), "Beijing (北京) is the capital of 中华人民共和国.", 100.0),
        (Bleu(), "корабль вышел из порта", 100.0),
        (Bleu(), "배가 항구를 떠났다", 100.0),
        (Ter(), "今天天气很好", "unsegmented"),
        (Ter(normalized=True, asian_support=True), "今天天气很好", 0.0),
        (Ter(normalized=True, asian_support=True), "เรือออกจากท่าเรือ", "unsegmented"),
        (Chrf(), "今天天气很好", 100.0),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Metric) else ascii(each),
)
def test_what_a_tokenizer_cannot_split_has_no_score_instead_of_a_wrong_one(
    metric: Metric, reference: Any, expected: float | str
) -> None:
    answer = reference if isinstance(reference, str) else reference[0]
    assert found(metric, answer, reference) == expected


def test_ter_splits_chinese_as_sacrebleu_does() -> None:
    theirs = sacrebleu.TER(normalized=True, asian_support=True).sentence_score("今天天气不好", ["今天天气很好"]).score
    metric = Ter(normalized=True, asian_support=True)
    assert found(metric, "今天天气不好", "今天天气很好") == theirs == pytest.approx(100 / 6)
    with pytest.raises(ValueError, match="asian_support: it changes nothing without normalized"):
        Ter(asian_support=True)


@pytest.mark.parametrize(
    ("answer", "reference", "equal"),
    [
        ("New\u200b York", "New York", True),  # zero-width space
        ("co\u00adoperation", "cooperation", True),  # soft hyphen
        ("\ufeffParis", "Paris", True),  # byte order mark
        ("\u200fשלום", "שלום", True),  # right-to-left mark
        ("\u202bשלום\u202c", "שלום", True),  # embedding and its end
        ("\u2067שלום\u2069", "שלום", True),  # isolate and its end
        ("\u061cسلام", "سلام", True),  # Arabic letter mark
        ("می\u200cخواهم", "میخواهم", True),  # zero-width non-joiner
        ("a\u2060b\u2064c", "abc", True),  # word joiner, invisible plus
        ("\u2764\ufe0f", "\u2764", True),  # how a heart is drawn
        ("e\u034f\u0301", "é", True),  # grapheme joiner
        ("\u3164", "", True),  # Hangul filler
        (" \u200b\n", "", True),
        ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "\U0001f3f4", False),  # England
        ("\U0001f468\u200d\U0001f467", "\U0001f468\U0001f467", False),  # a family is not a man and a girl
        ("\u06dd5", "5", False),  # end of ayah, of the same category, is seen
        ("1 0", "10", False),
        ("New\u200bYork", "New York", False),
        ("a-b", "ab", False),
    ],
    ids=ascii,
)
def test_what_shows_nothing_makes_no_difference_under_unicode(answer: str, reference: str, equal: bool) -> None:
    assert found(ExactMatch(unicode=True), answer, reference) == equal
    assert found(ExactMatch(unicode=True), reference, answer) == equal
    if reference:
        assert found(Contains(unicode=True), f"so {answer}, yes", f"so {reference}, yes") == equal
    assert found(ExactMatch(), answer, reference) == 0.0  # the control: without it, every character counts


def test_ascii_text_is_left_as_it_is() -> None:
    text = "a\x00b\x7f \t-"
    assert visible(text) is text
