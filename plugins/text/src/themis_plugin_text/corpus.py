"""Metrics of translation by sacrebleu: BLEU, chrF, TER, each for one answer and, from the same counts, for a corpus."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from themis_core import Generation, Item, Score, SpecError
from themis_plugin_text.references import ReferenceMetric, as_text, reference_texts
from themis_plugin_text.words import is_unsegmented

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacrebleuMetric

__all__ = ["Bleu", "Chrf", "Ter"]


class _CorpusMetric(ReferenceMetric):
    """A score's `parts` are sacrebleu's counts for that answer; their sums give the score of the corpus.

    An answer that was refused, empty or unparsed counts as an empty one, as it would in a file of translations.
    """

    runs_in = "thread"  # a long text takes it milliseconds

    highest: ClassVar[float | None] = 100.0
    aggregates_mean: ClassVar[bool] = False
    aggregates_smoothly: ClassVar[bool] = True
    sums_parts: ClassVar[bool] = True

    def check(self, base_dir: Path) -> None:
        self._corpus_metric  # noqa: B018  so that a missing package is found before anything is paid for

    def problem(self, reference: Any) -> str | None:
        accepted = reference_texts(reference)
        if any(map(self._too_long, accepted)):
            return "too_long"
        if any(is_unsegmented(self._words(each)) for each in accepted):
            return "unsegmented"
        return super().problem(reference)

    def compare(self, value: Any, reference: Any) -> Score:
        accepted, answer = reference_texts(reference), as_text(value)
        if any(map(self._too_long, (answer, *accepted))):
            return Score(reason="too_long")
        # The public API gives a corpus score for all texts at once, no counts; these two methods are what each metric
        # of sacrebleu defines for its own corpus score, and the tests hold them against that.
        metric = self._corpus_metric
        parts = metric._extract_corpus_statistics([answer], [[each] for each in accepted])[0]
        return Score(self._in_range(self._answer_metric._compute_score_from_stats(parts).score), parts=tuple(parts))

    def worst(self, item: Item, generation: Generation) -> Score:
        return self.score(item, generation, "")

    def aggregate(self, scores: Iterable[Score]) -> float | None:
        """The corpus score: sacrebleu's formula over the sums of all answers' counts."""
        sums: list[float] | None = None
        for score in scores:
            if score.value is not None:
                sums = [a + b for a, b in zip(sums, score.parts, strict=True)] if sums else list(score.parts)
        if sums is None:
            return None
        return self._in_range(self._corpus_metric._compute_score_from_stats(sums).score)

    def _in_range(self, value: float) -> float:
        return float(value if self.highest is None else min(value, self.highest))  # BLEU's best is 100.00000000000004

    @property
    @abstractmethod
    def _corpus_metric(self) -> SacrebleuMetric: ...

    @property
    def _answer_metric(self) -> SacrebleuMetric:
        return self._corpus_metric

    @abstractmethod
    def _too_long(self, text: str) -> bool: ...

    @abstractmethod
    def _words(self, text: str) -> list[str]:
        """The words of a text as sacrebleu counts them; none if it counts characters."""


class _ByCharacters(_CorpusMetric):
    max_characters: int = Field(
        100_000, ge=1, description="Longest answer or reference that is scored; beyond it the reason is `too_long`."
    )

    def _too_long(self, text: str) -> bool:
        return len(text) > self.max_characters


class Bleu(_ByCharacters):
    """BLEU of the corpus by sacrebleu, in [0, 100]; needs the extra `bleu`.

    The value of one answer is its sentence BLEU (effective order, exponential smoothing); the results show the corpus
    BLEU, which is not their mean. A list of references is several references. Reasons: `bad_reference`; `too_long`;
    `unsegmented` (a reference without spaces that the tokenizer takes for one word: `tokenize: zh` splits Chinese,
    `char` any script).

    Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation"; Post 2018, "A Call for
    Clarity in Reporting BLEU Scores".
    """

    # Not sacrebleu's flores and spm tokenizers, which download their models.
    tokenize: Literal["13a", "intl", "zh", "char", "none"] = Field("13a", description="sacrebleu's tokenizer.")
    lowercase: bool = Field(False, description="Ignore the case of letters.")
    smooth_method: Literal["exp", "floor", "add-k", "none"] = Field(
        "exp", description="Smoothing of n-gram precisions."
    )

    def _words(self, text: str) -> list[str]:
        return self._corpus_metric._preprocess_segment(text).split()

    @cached_property
    def _corpus_metric(self) -> SacrebleuMetric:
        return self._bleu(effective_order=False)

    @cached_property
    def _answer_metric(self) -> SacrebleuMetric:
        return self._bleu(effective_order=True)

    def _bleu(self, *, effective_order: bool) -> SacrebleuMetric:
        metric: SacrebleuMetric = _sacrebleu().BLEU(
            lowercase=self.lowercase,
            tokenize=self.tokenize,
            smooth_method=self.smooth_method,
            effective_order=effective_order,
            force=True,  # no warnings about texts that look tokenized
        )
        return metric


class Chrf(_ByCharacters):
    """chrF of the corpus by sacrebleu, in [0, 100]; chrF++ with `word_order: 2`; needs the extra `bleu`.

    The value of one answer is its sentence chrF; the results show the corpus chrF, which is not their mean. Of several
    references sacrebleu takes the best for each answer. Reasons: `bad_reference`; `too_long`.

    Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation"; 2017, "chrF++".
    """

    char_order: int = Field(6, ge=1, le=20, description="Longest character n-gram.")
    word_order: int = Field(0, ge=0, le=10, description="Longest word n-gram; 2 gives chrF++.")
    beta: int = Field(2, ge=1, le=10, description="Weight of recall against precision.")
    lowercase: bool = Field(False, description="Ignore the case of letters.")

    def _words(self, text: str) -> list[str]:
        return []

    @cached_property
    def _corpus_metric(self) -> SacrebleuMetric:
        metric: SacrebleuMetric = _sacrebleu().CHRF(
            char_order=self.char_order, word_order=self.word_order, beta=self.beta, lowercase=self.lowercase
        )
        return metric


class Ter(_CorpusMetric):
    """Translation edit rate of the corpus by sacrebleu: edits per 100 words of the reference; lower is better, 0 is
    best, and there is no upper bound. Needs the extra `bleu`.

    An empty answer costs 100, and so does one that was refused or unparsed; a long wrong answer can cost more. The
    results show the corpus TER, which is not the mean. Its search for shifts can take seconds for a few hundred
    scrambled words, hence the bound. Reasons: `bad_reference`; `too_long`; `unsegmented` (a reference without spaces
    that is taken for one word: `asian_support` splits Chinese and Japanese).

    Snover et al. 2006, "A Study of Translation Edit Rate with Targeted Human Annotation".
    """

    highest: ClassVar[float | None] = None
    higher_is_better: ClassVar[bool] = False

    normalized: bool = Field(False, description="Split off punctuation first, as in tercom's normalisation.")
    ignore_punctuation: bool = Field(False, description="Leave out punctuation.")
    case_sensitive: bool = Field(False, description="Tell capitals from small letters.")
    asian_support: bool = Field(
        False, description="Split Chinese and Japanese into characters, as sacrebleu does; needs `normalized`."
    )
    max_words: int = Field(
        200, ge=1, description="Longest answer or reference, in words, that is scored; beyond it `too_long`."
    )

    @model_validator(mode="after")
    def _splits_what_it_says(self) -> Ter:
        if self.asian_support and not (self.normalized or self.ignore_punctuation):
            raise ValueError("asian_support: it changes nothing without normalized or ignore_punctuation")
        return self

    @cached_property
    def _corpus_metric(self) -> SacrebleuMetric:
        metric: SacrebleuMetric = _sacrebleu().TER(
            normalized=self.normalized,
            no_punct=self.ignore_punctuation,
            asian_support=self.asian_support,
            case_sensitive=self.case_sensitive,
        )
        return metric

    def _too_long(self, text: str) -> bool:
        # Characters first: a word of a million of them costs sacrebleu's regular expressions seconds.
        return len(text) > 40 * self.max_words or len(self._words(text)) > self.max_words

    def _words(self, text: str) -> list[str]:
        return self._corpus_metric._preprocess_segment(text).split()


def _sacrebleu() -> Any:
    try:
        import sacrebleu.metrics
    except ImportError as error:
        raise SpecError(
            "text/bleu, text/chrf and text/ter need the package sacrebleu: pip install 'themis-plugin-text[bleu]'"
        ) from error
    return sacrebleu.metrics
