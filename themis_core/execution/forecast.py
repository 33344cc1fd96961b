"""Says which calls a run would make, which judges it would ask how often, and what that would cost. Nothing is asked.

For an answer that is stored, the judge writes its questions, and those whose replies are stored are no calls. For an
answer that is still to come, it writes them about an empty one. Re-asks can't be foreseen and are not counted. A call
that several trials need is counted once, for the first of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from themis_core.components import Judge, JudgedAnswer, JudgeRequest, Store
from themis_core.execution.judging import Asking
from themis_core.execution.returned import as_questions
from themis_core.execution.scoring import here, nothing_to_read, reading, unscorable
from themis_core.planning import Plan, Trial, followed, questions
from themis_core.plugins import JudgingModel, Scorer, from_outside, in_its_time
from themis_core.records import Generation, Request, Score
from themis_core.specs import digest
from themis_costs import foreseen_cost, output_limit, prompt_tokens

__all__ = ["Counted", "JudgeForecast"]


class Counted:
    """The calls counted so far, by their keys: a run makes a call once, however many trials need it.

    It holds 60 bits of each key, 66 MB for 1,000,000 calls; two of so many are taken for one in one plan of 2,000,000.
    With `item_by_item`, a key can't come back after those of its item, and only one item's keys are held.
    """

    def __init__(self, *, item_by_item: bool) -> None:
        self._item_by_item = item_by_item
        self._item: str | None = None
        self._keys: set[int] = set()

    def is_new(self, item_id: str, key: str) -> bool:
        """Count a call for an item by its key, a SHA-256 in hexadecimal; false if it was counted before."""
        if self._item_by_item and item_id != self._item:
            self._keys.clear()
            self._item = item_id
        short = int(key[:15], 16)  # beyond 60 bits, Python's integers take half as much again
        before = len(self._keys)
        self._keys.add(short)
        return len(self._keys) > before


@dataclass(frozen=True, slots=True)
class _Written:
    """What a judge asks about one answer."""

    questions: Sequence[JudgeRequest] = ()
    still_to_come: int = 0
    """Tokens that an answer which is still to come may add to each question."""
    final: bool = True
    """Whether these are the questions themselves; if not, something they are about is still to come."""


class JudgeForecast:
    """Counts the judges' calls of a plan, batch by batch."""

    def __init__(self, plan: Plan) -> None:
        # Trials come endpoint by endpoint, and equal answers of two models give a judge equal questions.
        self._counted = Counted(item_by_item=len(plan.slices) == 1 and len(plan.endpoints()) < 2)
        self._scorers = {
            each.composed.spec.slice_id: [scorer for scorer in each.scorers if scorer.judges] for each in plan.slices
        }
        self._asking = Asking()
        self._rows: dict[tuple[str, str, str, str], dict[str, Any]] = {}

    def rows(self) -> list[dict[str, Any]]:
        """One per slice, score, judge and judging model: `slice_id, score, metric, model_id, provider, endpoint,
        scores, stored, calls, input_tokens, max_output_tokens, cost`; tokens are estimates."""
        return list(self._rows.values())

    def add(self, batch: Sequence[Trial], store: Store | None) -> None:
        """Count what the judges of some trials would be asked."""
        judged = [(trial, scorer) for trial in batch for scorer in self._scorers[trial.slice_id]]
        judged = [(trial, scorer) for trial, scorer in judged if scorer.baseline is not trial.model or not trial.model]
        if not judged:
            return
        keys = [request.key for trial in batch for request in trial.needed]
        answers = store.generations(keys) if store is not None else {}
        scores = store.scores([trial.score_key(scorer) for trial, scorer in judged]) if store is not None else {}
        asked: list[tuple[dict[str, Any], JudgingModel, Request, str, int]] = []
        for trial, scorer in judged:
            stored = (known := scores.get(trial.score_key(scorer))) is not None and known[0].rank > 0
            nothing = stored or here(unscorable(scorer, trial.item)) is not None
            written = _Written() if nothing else _written(trial, scorer, answers)
            for judging in scorer.judges or ():
                row = self._row(trial, scorer, judging)
                row["scores"] += 1
                row["stored"] += stored
                for number, question in enumerate(written.questions):
                    for repeat in range(judging.repeats):
                        request = self._asking.request(judging, question, trial.item.id, repeat)
                        key = request.key if written.final else _stand_in(trial, scorer, number, request)
                        asked.append((row, judging, request, key, written.still_to_come))
        replies = store.stored_generations([each[2].key for each in asked]) if store is not None and asked else set()
        for row, judging, request, key, still_to_come in asked:
            if request.key not in replies and self._counted.is_new(request.item_id, key):
                _count(row, judging, request, still_to_come)

    def _row(self, trial: Trial, scorer: Scorer, judging: JudgingModel) -> dict[str, Any]:
        model = judging.model
        key = (trial.slice_id, scorer.score, scorer.metric, model.spec.model_id)
        return self._rows.setdefault(
            key,
            {
                **dict(zip(("slice_id", "score", "metric", "model_id"), key, strict=True)),
                "provider": model.component,
                "endpoint": model.engine.endpoint,
                "scores": 0,
                "stored": 0,
                "calls": 0,
                "input_tokens": 0,
                "max_output_tokens": 0,
                "cost": None,
            },
        )


def _stand_in(trial: Trial, scorer: Scorer, number: int, request: Request) -> str:
    """A key for a question about answers to come: equal for equal answers, read and compared alike, and no others."""
    baseline = trial.baseline_of(scorer)
    chain = scorer.chain.identity if scorer.chain else None
    return digest([trial.key, baseline.requests[-1].key if baseline else None, chain, number, request.key])


def _written(trial: Trial, scorer: Scorer, answers: Mapping[str, Generation]) -> _Written:
    talk = followed(trial, answers)
    messages, generation = talk.asked, talk.scored
    if trial.model is None:
        output = trial.item.output or ""
        generation = Generation("answered" if output.strip() else "empty", text=output)
    if generation is None:
        turns = trial.own if trial.talk else trial.requests[-1:]
        to_come = sum(output_limit(each.params) or 0 for each in turns)
        asked = [message for request in trial.requests for message in request.messages]
        return _as_sent(lambda: questions(scorer, trial.item, asked), to_come, final=False)
    if generation.failed:
        return _Written()
    extraction = here(reading(scorer.chain, generation))
    if isinstance(extraction, Score) or nothing_to_read(generation, extraction):
        return _Written()
    baseline = trial.baseline_of(scorer)
    against = followed(baseline, answers).scored if baseline else None
    if against is not None and against.status == "absent":
        return _Written()
    missing = baseline is not None and against is None
    value = extraction.value if extraction is not None else generation.text
    judged = JudgedAnswer(
        trial.item, generation, value, trial.model_id, trial.sample_index, messages,
        Generation("answered") if missing else against,
    )  # fmt: skip
    judge = scorer.scoring
    assert isinstance(judge, Judge)
    return _as_sent(lambda: in_its_time(scorer.component, judge, "requests", judged), final=not missing)


def _as_sent(write: Callable[[], Sequence[JudgeRequest]], to_come: int = 0, *, final: bool) -> _Written:
    try:
        return _Written(as_questions(write()), to_come, final)
    except BaseException as error:  # a plugin's bug: the run will show it as an unscored answer
        if from_outside(error):
            raise
        return _Written()


def _count(row: dict[str, Any], judging: JudgingModel, request: Request, still_to_come: int) -> None:
    tokens = prompt_tokens(request.messages) + still_to_come
    limit = output_limit(request.params)
    row["calls"] += 1
    row["input_tokens"] += tokens
    row["max_output_tokens"] = (
        None if limit is None or row["max_output_tokens"] is None else row["max_output_tokens"] + limit
    )
    cost = foreseen_cost(request, tokens, (limit or 0) * (request.params.get("n") or 1), judging.model.spec.price)
    if cost is not None:
        row["cost"] = (row["cost"] or 0.0) + cost
