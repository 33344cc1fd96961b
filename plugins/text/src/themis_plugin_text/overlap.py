"""Metrics of the words that an answer and a reference share: token F1, ROUGE."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import Field

from themis_core import Generation, Item, Score, SpecError
from themis_plugin_text.references import BAD_REFERENCE, ReferenceMetric, as_text, reference_texts, texts_or_none
from themis_plugin_text.words import Tokenize, split_unspaced, words_by

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

__all__ = ["Rouge", "TokenF1"]

_ARTICLES: Final = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
NO_WORDS: Final = "no_words"


class TokenF1(ReferenceMetric):
    """Harmonic mean of precision and recall over the words that answer and reference share, in [0, 1].

    Words as in SQuAD's own script: small letters, without ASCII punctuation and English articles, split at white
    space; each word counts as often as it occurs. Characters of scripts that set no spaces (Chinese, Japanese, Thai,
    Lao, Khmer, Burmese) are words of their own. Of several references the best counts. If one side has no words, 1
    if the other has none either, else 0; so an empty answer is right where the reference is empty, or an empty list.
    Reasons: `bad_reference`; `no_words` (with another tokenizer, a reference in which it finds none).

    Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", section 5; the characters as
    in Lewis et al. 2020, "MLQA: Evaluating Cross-lingual Extractive Question Answering".
    """

    version: ClassVar[int] = 2

    tokenize: Literal["squad", "unicode", "char"] = Field(
        "squad", description="How texts are split into words: as SQuAD's script does, or as `text/rouge` does."
    )

    def problem(self, reference: Any) -> str | None:
        if not (accepted := texts_or_none(reference)):
            return BAD_REFERENCE
        wordless = self.tokenize != "squad" and any(each.strip() and not self._words(each) for each in accepted)
        return NO_WORDS if wordless else None

    def empty(self, item: Item, generation: Generation) -> Score:
        return self.compare("", item.reference)

    def compare(self, value: Any, reference: Any) -> Score:
        answer = self._words(as_text(value))
        return Score(max(_f1(answer, self._words(each)) for each in texts_or_none(reference)))

    def _words(self, text: str) -> list[str]:
        return _squad_words(text) if self.tokenize == "squad" else words_by(self.tokenize)(text)


def _squad_words(text: str) -> list[str]:
    return split_unspaced(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION))).split()


def _f1(answer: list[str], reference: list[str]) -> float:
    if not answer or not reference:
        return float(answer == reference)
    shared = (Counter(answer) & Counter(reference)).total()
    # 2PR / (P + R) with P = shared / answer and R = shared / reference
    return 2 * shared / (len(answer) + len(reference))


class Rouge(ReferenceMetric):
    """ROUGE F-measure of an answer and a reference by rouge-score, in [0, 1]; of several references the best counts.

    Needs the extra `rouge`. rouge1 and rouge2 count shared words and pairs, rougeL the longest common subsequence,
    rougeLsum the same line by line. Words are runs of letters and digits, in small letters. An empty answer
    is right where the reference is empty. Reasons: `bad_reference`; `no_words` (the tokenizer finds none in a
    reference); `too_long` (over a million characters, or over `max_word_pairs` for rougeL and rougeLsum, whose time
    grows with it).

    Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries".
    """

    runs_in = "thread"  # a long text takes it milliseconds

    version: ClassVar[int] = 2

    variant: Literal["rouge1", "rouge2", "rougeL", "rougeLsum"] = Field("rougeL", description="Which ROUGE.")
    stem: bool = Field(
        False, description="Compare the stems of English words (Porter), as rouge-score's `use_stemmer` does."
    )
    tokenize: Tokenize = Field(
        "unicode",
        description="What a word is: letters and digits of any script (`unicode`; each character where a script sets "
        "no spaces), `ascii` letters and digits as rouge-score has it, each character (`char`), or what `whitespace` "
        "parts.",
    )
    max_word_pairs: int = Field(
        4_000_000, ge=1, description="Most words of the answer times words of a reference for rougeL and rougeLsum."
    )

    def check(self, base_dir: Path) -> None:
        self._scorer  # noqa: B018  so that a missing package is found before anything is paid for

    @cached_property
    def _scorer(self) -> RougeScorer:
        try:
            from rouge_score.rouge_scorer import RougeScorer
        except ImportError as error:
            raise SpecError(
                "text/rouge needs the package rouge-score: pip install 'themis-plugin-text[rouge]'"
            ) from error
        return RougeScorer([self.variant], tokenizer=_Tokenizer(words_by(self.tokenize), stem=self.stem))

    def problem(self, reference: Any) -> str | None:
        accepted = reference_texts(reference)
        if any(self._too_long("", each) for each in accepted):
            return "too_long"
        # Its score would be 0 whatever the answer is, the right one included.
        if any(each.strip() and not words_by(self.tokenize)(each) for each in accepted):
            return NO_WORDS
        return super().problem(reference)

    def empty(self, item: Item, generation: Generation) -> Score:
        return self.compare("", item.reference)

    def compare(self, value: Any, reference: Any) -> Score:
        accepted, answer = reference_texts(reference), as_text(value)
        if any(self._too_long(answer, each) for each in accepted):
            return Score(reason="too_long")
        if not answer.strip() and any(not each.strip() for each in accepted):
            return Score(1.0)
        scores = (self._scorer.score(each, answer)[self.variant].fmeasure for each in accepted)
        return Score(float(max(scores)))

    def _too_long(self, answer: str, reference: str) -> bool:
        if max(len(answer), len(reference)) > 1_000_000:
            return True
        if self.variant in ("rouge1", "rouge2"):
            return False
        words = words_by(self.tokenize)
        return len(words(answer)) * len(words(reference)) > self.max_word_pairs


class _Tokenizer:
    """What rouge-score asks for words; its stems are those of words in ASCII letters with more than three of them."""

    def __init__(self, words: Callable[[str], list[str]], *, stem: bool) -> None:
        self._words = words
        self._stem: Callable[[str], str] = str
        if stem:
            from rouge_score.tokenizers import porter

            self._stem = porter.PorterStemmer().stem

    def tokenize(self, text: str) -> list[str]:
        return [self._stem(each) if len(each) > 3 and each.isascii() else each for each in self._words(text)]
