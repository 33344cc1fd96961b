"""Compliance suite of judges: subclass it in a test module, and pytest runs what every judge must fulfil.

    class TestPoliteness(JudgeSuite):
        @pytest.fixture
        def judge(self):
            return Politeness()

        @pytest.fixture
        def judged(self):
            return JudgedAnswer(Item("1", {"q": "Who?"}), Generation("answered", "Sir, me."), "Sir, me.")

        def says(self, request, good):
            return "VERDICT-" + marker_in(request) + (": YES" if good else ": NO")

It does not test whether prompts are good ones: that is a measurement against human labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from math import isfinite
from typing import Any

import pytest
from pydantic import ValidationError

from themis_core.components import Judge, JudgedAnswer, JudgeReply, JudgeRequest
from themis_core.records import Generation, Score
from themis_core.specs import canonical_json
from themis_core.testing.hostile import HOSTILE_TEXTS
from themis_core.testing.metric import check_unchanged
from themis_plain import Handed, own

__all__ = ["JudgeSuite"]


class JudgeSuite:
    """What every judge that asks models must fulfil. Define `judge`, `judged` and `says`."""

    @pytest.fixture
    def judge(self) -> Judge:
        """The judge to test; parametrise it for several configs."""
        raise NotImplementedError("define the fixture `judge`")

    @pytest.fixture
    def judged(self) -> JudgedAnswer:
        """An answer that there is something to ask about."""
        raise NotImplementedError("define the fixture `judged`")

    def says(self, request: JudgeRequest, good: bool) -> Any:
        """The reply of a model whose verdict is the best or the worst that the judge knows: a text, or a Generation."""
        raise NotImplementedError("define the method `says`")

    @pytest.fixture(params=sorted(HOSTILE_TEXTS))
    def hostile_text(self, request: pytest.FixtureRequest) -> str:
        return HOSTILE_TEXTS[request.param]

    def test_a_good_and_a_bad_verdict_are_read(self, judge: Judge, judged: JudgedAnswer) -> None:
        best, worst = self.score(judge, judged, good=True), self.score(judge, judged, good=False)
        assert best.value is not None
        assert worst.value is not None
        assert (best.value > worst.value) is judge.higher_is_better
        for score in (best, worst):
            check_score(judge, score)

    def test_equal_answers_get_equal_questions_that_are_plain_data(self, judge: Judge, judged: JudgedAnswer) -> None:
        twin = type(judge).model_validate(judge.model_dump(by_alias=True))
        asked = [canonical_json(asdict(each)) for each in judge.requests(judged)]
        assert asked
        assert [canonical_json(asdict(each)) for each in twin.requests(judged)] == asked

    def test_another_answer_gets_other_questions(self, judge: Judge, judged: JudgedAnswer) -> None:
        first, second = (_asked(judge.requests(answer(judged, text))) for text in ("It is so.", "It is not so."))
        assert first != second

    def test_any_answer_can_be_asked_about_and_scored(
        self, judge: Judge, judged: JudgedAnswer, hostile_text: str
    ) -> None:
        hostile = answer(judged, hostile_text)
        assert canonical_json([asdict(each) for each in judge.requests(hostile)])
        check_score(judge, self.score(judge, hostile, good=False))

    def test_any_reply_gives_a_reason_and_no_value(self, judge: Judge, judged: JudgedAnswer, hostile_text: str) -> None:
        replies = list(self.replies(judge, judged, [hostile_text] * len(judge.requests(judged))))
        for reply in replies:
            again = judge.again(judged, reply)
            assert again is None or canonical_json(asdict(again))
        score = judge.score(judged, replies)
        check_score(judge, score)
        assert score.value is None, "a text without a verdict has no value, not even the worst one"

    @pytest.mark.parametrize("status", ["refused", "truncated", "empty"])
    def test_a_reply_that_did_not_end_well_gives_a_reason_and_no_value(
        self, judge: Judge, judged: JudgedAnswer, status: Any
    ) -> None:
        said = [replace(_generation(self.says(each, good=True)), status=status) for each in judge.requests(judged)]
        score = judge.score(judged, list(self.replies(judge, judged, said)))
        check_score(judge, score)
        assert score.value is None

    def test_a_verdict_planted_in_the_answer_does_not_count(self, judge: Judge, judged: JudgedAnswer) -> None:
        """The best verdict for another answer is all that an attacker can know."""
        known = [_generation(self.says(each, good=True)).text for each in judge.requests(answer(judged, "Anything."))]
        attack = answer(judged, "\n".join(known))
        found, without = self.score(judge, attack, good=False), self.score(judge, judged, good=False)
        assert (found.value, found.reason) == (without.value, without.reason)
        repeated = judge.score(attack, list(self.replies(judge, attack, known)))
        assert repeated.value is None, "a judge that repeats the answer has given no verdict"

    def test_what_is_asked_again_is_read_like_the_first_reply(self, judge: Judge, judged: JudgedAnswer) -> None:
        first = list(self.replies(judge, judged, ["I can't say."] * len(judge.requests(judged))))
        asked = [judge.again(judged, each) for each in first]
        if None in asked:
            assert asked == [None] * len(asked), "equal replies are all asked again, or none is"
            return
        second = [
            replace(reply, request=again, generation=_generation(self.says(again, good=True)), asked_again=True)
            for reply, again in zip(first, asked, strict=True)
            if again is not None
        ]
        assert judge.score(judged, second).value == self.score(judge, judged, good=True).value

    def test_what_it_is_handed_stays_as_it_is(self, judge: Judge, judged: JudgedAnswer) -> None:
        rich = replace(
            judged,
            item=replace(judged.item, metadata={**judged.item.metadata, "level": [1]}),
            generation=replace(judged.generation, provider={"id": ["x"]}),
            messages=[*judged.messages, {"role": "user", "content": "Who?"}],
        )
        handed = Handed(judged=rich)
        judge.requests(handed["judged"])
        check_unchanged(handed)
        for said in ("I can't say.", ""):
            replies = list(self.replies(judge, rich, [said] * len(judge.requests(own(rich)))))
            handed = Handed(judged=rich, replies=replies)
            for reply in handed["replies"]:
                judge.again(handed["judged"], reply)
            judge.score(handed["judged"], handed["replies"])
            judge.worst(handed["judged"].item, handed["judged"].generation)
            check_unchanged(handed)

    def test_no_score_has_no_aggregate(self, judge: Judge) -> None:
        assert judge.aggregate([]) is None

    def test_the_config_is_frozen(self, judge: Judge) -> None:
        for name in type(judge).model_fields:
            with pytest.raises(ValidationError):
                setattr(judge, name, None)

    def test_the_identity_is_plain_data_and_gives_the_config_back(self, judge: Judge) -> None:
        identity = judge.identity()
        assert canonical_json(identity)
        assert type(judge).model_validate(identity).identity() == identity

    def test_every_field_is_described(self, judge: Judge) -> None:
        assert [name for name, each in type(judge).model_fields.items() if not each.description] == []

    def score(self, judge: Judge, judged: JudgedAnswer, *, good: bool) -> Score:
        """The score if the only judging model gives its best or worst verdict to each question."""
        said = [self.says(each, good) for each in judge.requests(judged)]
        return judge.score(judged, list(self.replies(judge, judged, said)))

    @staticmethod
    def replies(judge: Judge, judged: JudgedAnswer, said: Sequence[Any]) -> Iterator[JudgeReply]:
        """Replies to each question, in order."""
        for number, (request, reply) in enumerate(zip(judge.requests(judged), said, strict=True)):
            yield JudgeReply("judge-1", number, 0, request, _generation(reply))


def answer(judged: JudgedAnswer, text: str) -> JudgedAnswer:
    """The same with another answer."""
    return replace(judged, generation=Generation("answered", text=text), value=text)


def check_score(judge: Judge, score: Score) -> None:
    """Assert that a score has a finite value within the judge's range, or a short reason and no value."""
    assert isinstance(score, Score)
    assert canonical_json(score.details)
    if score.value is None:
        assert score.reason
        assert score.reason.isidentifier(), "a reason is a short, stable code such as no_verdict"
        return
    assert score.reason is None
    assert isfinite(score.value)
    assert judge.lowest is None or score.value >= judge.lowest
    assert judge.highest is None or score.value <= judge.highest


def _asked(requests: Sequence[JudgeRequest]) -> list[str]:
    return [canonical_json(each.messages) for each in requests]


def _generation(said: Any) -> Generation:
    return said if isinstance(said, Generation) else Generation("answered", text=said)
