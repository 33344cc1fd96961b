"""Third stage of a trial: its scores, each stored already, made by a metric, or judged by models.

It decides what is asked of which component; where that runs is the business of `lanes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from themis_core.components import Component, JudgedAnswer
from themis_core.execution.answering import Answering
from themis_core.execution.judging import JUDGED_BY, Judging
from themis_core.execution.lanes import Lanes
from themis_core.execution.scoring import unjudged
from themis_core.execution.work import Work
from themis_core.planning import Asked
from themis_core.plugins import Scorer, is_quick
from themis_core.records import Extraction, Generation, Score, ScoreEntry

__all__ = ["CODE", "UNAVAILABLE", "Scores", "are_quick"]

UNAVAILABLE = "judge_unavailable"
CODE = "error_code"
"""In the details of a score with that reason: how asking the judge failed."""
_METHODS = ("extract", "unscorable", "score", "empty", "worst", "requests", "again")


def are_quick(scorer: Scorer) -> bool:
    """Whether a score is made between the requests, without waiting for a model or a slow component."""
    chain = [] if scorer.chain is None else [each for _, each in (*scorer.chain.prepare, *scorer.chain.extractors)]
    components: list[Component] = [scorer.scoring, *chain]
    if scorer.judges or scorer.baseline is not None:
        return False
    return all(is_quick(each, method) for each in components for method in _METHODS)


class Scores:
    """The scores of one execution. `asked` is what scorers said of the items of each slice, by its id."""

    def __init__(self, asked: Mapping[str, Asked], answering: Answering, judging: Judging, lanes: Lanes) -> None:
        self._asked = asked
        self._answering = answering
        self._judging = judging
        self._lanes = lanes

    async def of(self, work: Work, generation: Generation) -> list[ScoreEntry]:
        """One score for each scorer of the trial, in their order; equal ones are made once, and each parse is."""
        entries: dict[str, ScoreEntry] = {}
        read = _read_before(work) if work.scores else {}
        scores = []
        if work.heard:
            generation = replace(generation, conversation=work.heard)
        for scorer, key in zip(work.scorers, work.score_keys, strict=True):
            if (made := entries.get(key)) is not None:
                parse = scorer.chain.name if scorer.chain else None
                entry = ScoreEntry(
                    scorer.score, scorer.metric, key, made.result, parse, made.extraction, new=False,
                    judged_by=made.judged_by,
                )  # fmt: skip
            else:
                entry = entries[key] = await self._score(work, scorer, key, generation, read)
            scores.append(entry)
        return scores

    async def _score(
        self, work: Work, scorer: Scorer, key: str, generation: Generation, read: dict[str, Extraction | Score | None]
    ) -> ScoreEntry:
        parse = scorer.chain.name if scorer.chain else None
        if (stored := work.scores.get(key)) is not None:
            judged_by = tuple(stored[0].details.get(JUDGED_BY, ())) if scorer.judges else ()
            return ScoreEntry(
                scorer.score, scorer.metric, key, stored[0], parse, stored[1], new=False, judged_by=judged_by
            )
        if scorer.baseline is not None and scorer.baseline is work.trial.model:
            return ScoreEntry(scorer.score, scorer.metric, key, Score(reason="is_baseline"), parse)
        asked = self._asked.get(work.trial.slice_id)  # none if another process has asked
        is_scorable = asked is not None and asked.is_scorable(work.trial.item)
        score, extraction = await self._lanes.do(unjudged(scorer, work.trial.item, generation, is_scorable, read))
        if score is not None:
            return ScoreEntry(scorer.score, scorer.metric, key, score, parse, extraction)
        judged = await self._judge(work, scorer, generation, extraction)
        if scorer is not work.scorers[-1]:  # the next one may wait for something
            await self._judging.save(work.unsaved)
        if isinstance(judged, Generation):  # the next run asks again
            judged = _unavailable(scorer, judged), ()
        return ScoreEntry(scorer.score, scorer.metric, key, judged[0], parse, extraction, judged_by=judged[1])

    async def _judge(
        self, work: Work, scorer: Scorer, generation: Generation, extraction: Extraction | None
    ) -> tuple[Score, tuple[str, ...]] | Generation:
        trial = work.trial
        baseline = await self._answering.baseline(work, scorer)
        if baseline is not None and baseline.failed:
            return baseline
        if baseline is not None and baseline.status == "absent":
            return Score(reason="no_baseline"), ()
        value = extraction.value if extraction is not None else generation.text
        judged = JudgedAnswer(trial.item, generation, value, trial.model_id, trial.sample_index, work.asked, baseline)
        return await self._judging.score(scorer, judged, work.unsaved)


def _read_before(work: Work) -> dict[str, Extraction | Score | None]:
    """What parses found in the answer for scores that are stored, by their names."""
    stored = [(scorer.chain, work.scores.get(key)) for scorer, key in zip(work.scorers, work.score_keys, strict=True)]
    return {chain.name: each[1] for chain, each in stored if chain and each is not None and each[1] is not None}


def _unavailable(scorer: Scorer, failed: Generation) -> Score:
    """The score of a judge of which a request failed: the other scores of the trial are not touched by it."""
    code = failed.error_code or "engine_error"
    told = {"component": scorer.component, "error": f"{code}: {failed.error}", CODE: code}
    return Score(reason=UNAVAILABLE, details=told)
