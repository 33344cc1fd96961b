"""What a parse makes of one answer: alternatives in order, and a component's failure that is never a finding."""

from __future__ import annotations

from typing import Any

import pytest

from themis_core import SCORE_FAULTS, Extraction, Extractor, Generation, Item, Metric, Score
from themis_core.execution.scoring import here, measuring, reading
from themis_core.plugins import Chain, Scorer


class Doing(Extractor):
    """Returns what it is told to, raises if that is an exception; marks the text if told nothing."""

    does: Any = None

    def extract(self, text: str) -> Extraction:
        if isinstance(self.does, BaseException):
            raise self.does
        return Extraction(f"{text}+") if self.does is None else self.does


def chain(*extractors: Any, prepare: tuple[Any, ...] = ()) -> Chain:
    def named(kind: str, steps: tuple[Any, ...]) -> tuple[tuple[str, Extractor], ...]:
        return tuple((f"mine/{kind}{number}", Doing(does=each)) for number, each in enumerate(steps))

    return Chain("number", named("prepare", prepare), named("extract", extractors), {})


MARKS = None
NOTHING = Extraction(reason="no_match")
TIMEOUT = Extraction(reason="extractor_timeout")
FOUND = Extraction("found")


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (chain(NOTHING, FOUND, MARKS), FOUND),
        (chain(NOTHING, Extraction(reason="empty")), Extraction(reason="empty")),
        (chain(MARKS, prepare=(MARKS, MARKS)), Extraction("text+++")),
        (chain(MARKS, prepare=(Extraction(7),)), Extraction("7+")),
        (chain(FOUND, prepare=(Extraction(reason="unfinished_reasoning"),)), Extraction(reason="unfinished_reasoning")),
    ],
)
def test_the_first_extractor_that_finds_something_wins_and_a_prepare_step_with_a_reason_ends_it(
    read: Chain, expected: Extraction
) -> None:
    assert here(reading(read, Generation("answered", "text"))) == expected


@pytest.mark.parametrize(
    ("read", "reason", "component", "says"),
    [
        (chain(ValueError("planted"), FOUND), "extractor_error", "mine/extract0", "ValueError: planted"),
        (chain(NOTHING, ValueError("planted"), FOUND), "extractor_error", "mine/extract1", "ValueError: planted"),
        (chain(FOUND, prepare=(MARKS, OSError("full"))), "extractor_error", "mine/prepare1", "OSError: full"),
        (chain(TimeoutError("slow"), FOUND), "extractor_timeout", "mine/extract0", "TimeoutError: slow"),
        (chain(TIMEOUT, FOUND), "extractor_timeout", "mine/extract0", SCORE_FAULTS["extractor_timeout"]),
        (chain(FOUND, prepare=(TIMEOUT,)), "extractor_timeout", "mine/prepare0", SCORE_FAULTS["extractor_timeout"]),
        (chain("text", FOUND), "extractor_error", "mine/extract0", "TypeError: it returned str, not an Extraction"),
        (chain(FOUND, prepare=(7,)), "extractor_error", "mine/prepare0", "TypeError: it returned int"),
        (chain(Extraction({1}), FOUND), "extractor_error", "mine/extract0", "TypeError: Extraction.value holds"),
        (chain(Extraction(reason="extractor_error"), FOUND), "extractor_error", "mine/extract0", "an extractor raised"),
        (chain(SystemExit(0), FOUND), "extractor_error", "mine/extract0", "SystemExit: 0"),
    ],
)
def test_an_extractor_that_fails_ends_the_parse_and_no_later_one_is_tried(
    read: Chain, reason: str, component: str, says: str
) -> None:
    failed = here(reading(read, Generation("answered", "text")))
    assert isinstance(failed, Score)
    assert (failed.value, failed.reason, failed.details["component"]) == (None, reason, component)
    assert failed.details["error"].startswith(says)


@pytest.mark.parametrize("status", ["refused", "empty"])
def test_an_answer_without_text_is_not_read(status: Any) -> None:
    assert here(reading(chain(ValueError("planted")), Generation(status))) is None


class Slow(Metric):
    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        raise TimeoutError("a second")


def test_a_metric_that_runs_out_of_time_has_a_reason_of_its_own() -> None:
    scorer = Scorer("accuracy", "slow", "mine/slow", Slow(), None, None, None, "")
    details = {"component": "mine/slow", "method": "score", "error": "TimeoutError: a second"}
    assert here(measuring(scorer, Item("1", {}), Generation("answered", "x"), None)) == Score(
        reason="metric_timeout", details=details
    )
