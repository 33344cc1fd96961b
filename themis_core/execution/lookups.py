"""First stage of a trial: what is stored of it. One look-up for many trials; those that are finished end here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from themis_core.components import Store
from themis_core.execution.claims import Claims
from themis_core.execution.progress import Progress
from themis_core.execution.work import Stored, Work
from themis_core.execution.writer import Writer
from themis_core.planning import Trial, followed
from themis_core.plugins import Scorer
from themis_core.records import Generation

__all__ = ["LookUps"]


class LookUps:
    """Look-ups of one run. `scorers` are those of each slice, by its id."""

    def __init__(
        self, run_id: str, writer: Writer, claims: Claims, scorers: Mapping[str, Sequence[Scorer]], progress: Progress
    ) -> None:
        self._run_id = run_id
        self._writer = writer
        self._claims = claims
        self._scorers = scorers
        self._progress = progress

    async def of(self, batch: Sequence[Trial]) -> list[Work]:
        """The trials of a batch that are not finished, each with what is stored of it."""
        owners = [self._claims.claim(trial.needed) for trial in batch]
        keys = [[trial.score_key(scorer) for scorer in self._scorers[trial.slice_id]] for trial in batch]
        finished, generations, stored = await self._writer.read(lambda store: self._look(store, batch, keys))
        scores = {key: each for key, each in stored.items() if each[0].rank}
        works = []
        for trial, owned, its_keys in zip(batch, owners, keys, strict=True):
            work = Work(trial, self._scorers[trial.slice_id], its_keys, generations, scores, owned)
            for key in owned:
                if key in generations:
                    self._claims.settle(key, generations[key])
            if (trial.slice_id, trial.trial_id) in finished:
                self._progress.done += 1
                self._progress.reused += 1
                self._claims.let_go(work.owned, None)
            else:
                works.append(work)
        return works

    def _look(
        self, store: Store, batch: Sequence[Trial], keys: Sequence[Sequence[str]]
    ) -> tuple[set[tuple[str, str]], dict[str, Generation], Stored]:
        finished = store.finished_trials(self._run_id, [(each.slice_id, each.trial_id) for each in batch])
        left = [index for index, each in enumerate(batch) if (each.slice_id, each.trial_id) not in finished]
        generations = store.generations([r.key for index in left for r in batch[index].needed]) if left else {}
        answered = [key for index in left if _is_answered(batch[index], generations) for key in keys[index]]
        return finished, generations, store.scores(answered) if answered else {}


def _is_answered(trial: Trial, generations: Mapping[str, Generation]) -> bool:
    """Whether the answer that is scored is stored, which may be that of an earlier turn than the last."""
    return trial.key in generations or (len(trial.requests) > 1 and followed(trial, generations).next is None)
