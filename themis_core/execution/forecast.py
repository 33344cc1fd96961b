"""Says which judges a run would ask how often, and what that would cost. Nothing is asked.

For an answer that is stored, the judge writes its questions, and those whose replies are stored are no calls. For an
answer that is still to come, it writes them about an empty one. Re-asks can't be foreseen and are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from themis_core.components import Judge, JudgedAnswer, JudgeRequest, Store
from themis_core.execution.budget import cost_of, estimate_tokens
from themis_core.execution.judging import judge_request
from themis_core.execution.scoring import nothing_to_read, read_answer
from themis_core.planning import Plan, Trial, questions
from themis_core.plugins import JudgingModel, Scorer
from themis_core.records import Generation, Request, Usage

__all__ = ["JudgeForecast"]


class JudgeForecast:
    """Counts the judges' calls of a plan, batch by batch."""

    def __init__(self, plan: Plan) -> None:
        self._scorers = {
            each.composed.spec.slice_id: [scorer for scorer in each.scorers if scorer.judges] for each in plan.slices
        }
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
        asked: list[tuple[dict[str, Any], JudgingModel, Request, int]] = []
        for trial, scorer in judged:
            stored = trial.score_key(scorer) in scores
            written, still_to_come = ([], 0) if stored else _written(trial, scorer, answers)
            for judging in scorer.judges or ():
                row = self._row(trial, scorer, judging)
                row["scores"] += 1
                row["stored"] += stored
                asked += [
                    (row, judging, judge_request(judging, question, trial.item.id, repeat), still_to_come)
                    for question in written
                    for repeat in range(judging.repeats)
                ]
        replies = store.stored_generations([each[2].key for each in asked]) if store is not None and asked else set()
        for row, judging, request, still_to_come in asked:
            if request.key not in replies:
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


def _written(trial: Trial, scorer: Scorer, answers: dict[str, Generation]) -> tuple[Sequence[JudgeRequest], int]:
    """The questions, and how many tokens an answer that is still to come may add to each."""
    messages = [message for request in trial.requests for message in request.messages]
    generation = answers.get(trial.key)
    if trial.model is None:
        output = trial.item.output or ""
        generation = Generation("answered" if output.strip() else "empty", text=output)
    if generation is None:
        return questions(scorer, trial.item, messages), trial.requests[-1].params.get("max_tokens") or 0
    extraction = read_answer(scorer.chain, generation)
    if nothing_to_read(generation, extraction):
        return [], 0
    baseline = trial.baseline_of(scorer)
    against = answers.get(baseline.requests[-1].key, Generation("answered")) if baseline else None
    value = extraction.value if extraction is not None else generation.text
    judged = JudgedAnswer(trial.item, generation, value, trial.model_id, trial.sample_index, messages, against)
    assert isinstance(scorer.scoring, Judge)
    try:
        return scorer.scoring.requests(judged), 0
    except Exception:  # noqa: BLE001 - a plugin's bug: the run will show it as an unscored answer
        return [], 0


def _count(row: dict[str, Any], judging: JudgingModel, request: Request, still_to_come: int) -> None:
    tokens = estimate_tokens(request.messages) + still_to_come
    limit = request.params.get("max_tokens")
    row["calls"] += 1
    row["input_tokens"] += tokens
    row["max_output_tokens"] = (
        None if limit is None or row["max_output_tokens"] is None else row["max_output_tokens"] + limit
    )
    cost = cost_of(Usage(tokens, limit or 0), judging.model.spec.price)
    if cost is not None:
        row["cost"] = (row["cost"] or 0.0) + cost
