"""Compliance suite of extractors: subclass it in a test module, and pytest runs what every extractor must fulfil.

    class TestRegex(ExtractorSuite):
        @pytest.fixture(params=[r"\\d+", r"(\\w+\\s?)*$"])
        def extractor(self, request):
            return Regex(pattern=request.param, timeout_s=0.5)

It does not test what an extractor finds: that is a table of the plugin's own.
"""

from __future__ import annotations

import time

import pytest
from pydantic import ValidationError

from themis_core.components import Extractor
from themis_core.records import Extraction
from themis_core.specs import canonical_json
from themis_core.testing.hostile import HOSTILE_TEXTS

__all__ = ["ExtractorSuite"]


_BOUNDED = (
    "any text must be done in bounded time: limit the length or the steps, or use a pattern with a timeout; "
    "`seconds_per_text` in the test class is the bound"
)


class ExtractorSuite:
    """What every extractor must fulfil. Define the fixture `extractor`; parametrise it for several configs."""

    seconds_per_text: float = 2.0
    """Most seconds of CPU that one text of up to a million characters may take; ten times as many by the clock.

    A slow machine may take twenty times as many, if it also takes them in proportion to the length of the text.
    """

    @pytest.fixture
    def extractor(self) -> Extractor:
        """The extractor to test."""
        raise NotImplementedError("define the fixture `extractor`")

    @pytest.fixture(params=sorted(HOSTILE_TEXTS))
    def hostile_text(self, request: pytest.FixtureRequest) -> str:
        return HOSTILE_TEXTS[request.param]

    def test_any_text_gives_a_value_or_a_reason_in_bounded_time(self, extractor: Extractor, hostile_text: str) -> None:
        extraction, own, took = _timed(extractor, hostile_text)
        # A busy machine may let it wait ten times as long, but it must not sleep or work elsewhere without end.
        assert took < 10 * max(own, self.seconds_per_text), _BOUNDED
        if own >= self.seconds_per_text:
            # What is made for the first such text only, a compiled pattern say, is not what a text takes.
            own = min(own, _timed(extractor, hostile_text)[1])
        if own >= self.seconds_per_text:
            # A part of 1/32, with the text's beginning and its end. What grows with the square would take 1/1024.
            part = len(hostile_text) // 64
            _, least, _ = _timed(extractor, hostile_text[:part] + hostile_text[len(hostile_text) - part :])
            assert own < 20 * self.seconds_per_text, _BOUNDED
            assert own / 100 < least < self.seconds_per_text, _BOUNDED
        check_extraction(extraction)

    def test_equal_texts_give_equal_extractions(self, extractor: Extractor) -> None:
        texts = [text for text in HOSTILE_TEXTS.values() if len(text) < 1_000]
        twin = type(extractor).model_validate(extractor.model_dump(by_alias=True))
        assert [twin.extract(text) for text in texts] == [extractor.extract(text) for text in texts], (
            "the same config and text must give the same extraction: no clock, no chance, no memory of earlier texts"
        )

    def test_what_it_found_belongs_to_whoever_got_it(self, extractor: Extractor) -> None:
        for text in (*(text for text in HOSTILE_TEXTS.values() if len(text) < 1_000), '{"a": [1, {"b": []}]}', "[[1]]"):
            found = extractor.extract(text)
            before = canonical_json(found.value)
            if isinstance(found.value, dict | list):
                found.value.clear()
            assert canonical_json(extractor.extract(text).value) == before, (
                "give out a new value for each text: whoever gets it may change it"
            )

    def test_the_config_is_frozen(self, extractor: Extractor) -> None:
        for name in type(extractor).model_fields:
            with pytest.raises(ValidationError):
                setattr(extractor, name, None)

    def test_the_identity_is_plain_data_and_gives_the_config_back(self, extractor: Extractor) -> None:
        identity = extractor.identity()
        assert canonical_json(identity)
        assert type(extractor).model_validate(identity).identity() == identity, (
            "`identity()` must be config that makes an equal extractor: a field in `not_identity` needs a default"
        )

    def test_every_field_is_described(self, extractor: Extractor) -> None:
        bare = [name for name, each in type(extractor).model_fields.items() if not each.description]
        assert bare == [], "every field needs Field(..., description=...)"


def check_extraction(extraction: Extraction) -> None:
    """Assert that an extraction has a value that JSON can hold, or a short reason and no value."""
    assert isinstance(extraction, Extraction), "an extractor returns an Extraction"
    if extraction.parsed:
        assert canonical_json(extraction.value)
    else:
        assert extraction.value is None, "an extraction with a reason has no value"
        assert extraction.reason, 'what was not found needs a reason: Extraction(reason="no_match")'
        assert extraction.reason.isidentifier(), "a reason is a short, stable code such as no_match"


def _timed(extractor: Extractor, text: str) -> tuple[Extraction, float, float]:
    """Return the extraction, and the seconds that it took: of this thread's CPU, and by the clock."""
    started = time.perf_counter(), time.thread_time()
    extraction = extractor.extract(text)
    return extraction, time.thread_time() - started[1], time.perf_counter() - started[0]
