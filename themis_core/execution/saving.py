"""Last stage of a trial: its outcome is saved, then counted and told. What was paid for is saved in any case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from themis_core.execution.answering import Answered
from themis_core.execution.claims import Claims
from themis_core.execution.gathering import Gathering
from themis_core.execution.progress import Progress, now
from themis_core.execution.scores import CODE, UNAVAILABLE
from themis_core.execution.work import Work
from themis_core.execution.writer import Unsavable, Writer
from themis_core.planning import Trial
from themis_core.plugins import Observers
from themis_core.records import (
    SCORE_FAULTS,
    WARNING,
    Event,
    Generation,
    GenerationRecorded,
    ItemRecorded,
    ScoreEntry,
    TrialFinished,
)
from themis_costs import Budget
from themis_plain import own

__all__ = ["Ended", "Saving"]

ITEMS_KNOWN = 1024
"""Items of which is remembered that they are saved."""


class Ended(NamedTuple):
    """A trial whose outcome is not saved yet."""

    work: Work
    finished: TrialFinished
    generation: Generation
    error: str | None
    events: Sequence[Event]
    """What is to be saved of it, `finished` last."""


class Saving:
    """Saves the trials of one execution, and counts them."""

    def __init__(
        self,
        run_id: str,
        writer: Writer,
        claims: Claims,
        budget: Budget,
        progress: Progress,
        observers: Observers,
        tell_ended: Callable[[Sequence[Trial]], None] = lambda trials: None,
    ) -> None:
        self._run_id = run_id
        self._writer = writer
        self._claims = claims
        self._budget = budget
        self._progress = progress
        self._observers = observers
        self._tell_ended = tell_ended
        self._gathering = Gathering(self.trials)
        self._recorded_items: set[str] = set()
        self.errors: dict[str, str] = {}
        """Code of failed trials, or of `SCORE_FAULTS`: one message, as an example."""
        self.codes: Counter[str] = Counter()
        self.warnings: Counter[str] = Counter()
        """What engines warn of, by how many answers."""

    def ended(
        self, work: Work, answered: Answered, scores: Sequence[ScoreEntry], *, failed: str | None = None
    ) -> Ended:
        """A trial at its end; `failed` says why it has failed, if it is not the engine's fault."""
        trial, generation = work.trial, answered.generation
        code, error = (generation.error_code, generation.error) if generation.failed else (None, None)
        if failed is not None:
            code, error = "engine_error", failed
        finished = TrialFinished(
            self._run_id, now(), trial.slice_id, trial.trial_id, trial.item.id, trial.item.digest,
            trial.prompt_variant_id, trial.model_id, trial.params, trial.sample_index, tuple(answered.keys),
            "failed" if code else generation.status, code, not answered.called, () if code else tuple(scores),
        )  # fmt: skip
        events = [*answered.unsaved, *work.unsaved, *self._item_of(work), finished]
        return Ended(work, finished, generation, error, events)

    def _item_of(self, work: Work) -> list[Event]:
        item = work.trial.item
        if item.digest in self._recorded_items:
            return []
        if len(self._recorded_items) > ITEMS_KNOWN:
            self._recorded_items.clear()
        self._recorded_items.add(item.digest)
        return [ItemRecorded(item)]

    async def answers(self, works: Sequence[tuple[Work, Answered]]) -> list[tuple[Work, Answered]]:
        """Save answers before they are scored, with their items; who waits for one gets it.

        Returns those that could be saved.
        A trial whose answer can't be stored ends here, as failed.
        """
        new = [(work, answered.unsaved) for work, answered in works if answered.unsaved]
        try:
            if events := [event for work, unsaved in new for event in (*unsaved, *self._item_of(work))]:
                await self._writer.save(events)
        except Unsavable as error:
            self._recorded_items.difference_update(work.trial.item.digest for work, _ in new)
            if len(works) > 1:
                return [kept for each in works for kept in await self.answers([each])]
            work, answered = works[0]
            await self.trials([self.ended(work, answered._replace(unsaved=[]), (), failed=str(error))])
            return []
        for work, answered in works:
            key = answered.keys[-1]
            if key in work.owned:
                self._claims.settle(key, answered.generation)
        return [(work, answered._replace(unsaved=[])) for work, answered in works]

    async def trials(self, ended: Sequence[Ended]) -> None:
        """Save trials as one; then count them, and let go what they claimed."""
        if events := [event for each in ended for event in each.events]:
            try:
                await self._writer.save(events)
            except Unsavable:
                ended = [await self._alone(each) for each in ended]
        for each in ended:
            last = each.finished.generation_keys[-1]
            for key in each.work.owned:  # what a conversation did not come to is for others to ask
                self._claims.let_go((key,), each.generation if key == last else None)
            self._count(each.finished, each.error)
            if WARNING in each.generation.provider and not each.finished.reused:
                self.warnings[str(each.generation.provider[WARNING])] += 1
            self.warnings.update(each.work.warned)
        self._progress.cost = self._budget.before + self._budget.cost
        self._tell_ended([each.work.trial for each in ended])

    async def behind(self, ended: Ended) -> None:
        """Save a trial for which no other waits: a moment later, as one with others, unless it has a paid answer."""
        if any(isinstance(event, GenerationRecorded) for event in ended.events):
            await self.trials([ended])
        else:
            await self._gathering.save(ended)

    async def _alone(self, ended: Ended) -> Ended:
        """Save one trial; if something of it can't be stored, as failed, with what was paid for."""
        try:
            await self._writer.save(ended.events)
        except Unsavable as error:
            failed = replace(ended.finished, outcome="failed", error_code="engine_error", scores=())
            await self._save_paid(ended.events)
            await self._writer.save([failed])
            return ended._replace(finished=failed, error=str(error))
        return ended

    async def _save_paid(self, events: Sequence[Event]) -> None:
        """Save what was paid for, each answer alone, as far as it can be stored."""
        for event in events:
            if isinstance(event, GenerationRecorded):
                with suppress(Unsavable):
                    await self._writer.save([event])

    def _count(self, finished: TrialFinished, error: str | None) -> None:
        progress = self._progress
        progress.done += 1
        if finished.outcome == "failed":
            progress.failed += 1
            code = finished.error_code or "engine_error"
            self.codes[code] += 1
            self.errors.setdefault(code, error or "")
        elif finished.reused:
            progress.reused += 1
        for entry in finished.scores:
            if (reason := entry.result.reason) in SCORE_FAULTS and reason is not None:
                told = entry.result.details
                named = [str(told[name]) for name in ("component", "method", "error") if name in told]
                self.errors.setdefault(reason, ": ".join(named) or SCORE_FAULTS[reason])
        if codes := {str(each.result.details[CODE]) for each in finished.scores if each.result.reason == UNAVAILABLE}:
            progress.failed += 1
            self.codes.update(codes)
        self._observers.tell(lambda: {"event": own(finished)})
