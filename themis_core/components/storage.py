"""Stores and the backends that open them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from themis_core.components.base import Component
from themis_core.components.holding import Holder, PartsRecord
from themis_core.components.summing import ends_of, sums_of
from themis_core.errors import StorageError
from themis_core.records import (
    SCORE_FAULTS,
    BatchRecord,
    Event,
    ExecutionRecord,
    Extraction,
    Generation,
    GenerationRecorded,
    Item,
    Latency,
    OutcomeCount,
    RunCost,
    RunRecord,
    Score,
    ScoreCell,
    ScoreEnds,
    ScoreEntry,
    ScorePlace,
    ScoreRow,
    ScoreSums,
    TrialPlace,
    TrialRow,
    open_batches_of,
)

__all__ = ["Damage", "LiveChange", "OnlyHere", "StorageBackend", "Store", "UnusedFile"]

LiveChange = Callable[[dict[str, Any] | None, float], tuple[dict[str, Any] | None, Any]]
"""A change of a live state: from the state and the store's clock to the new state and an answer."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong in a store."""

    place: str
    """Where: `events 17`, `payloads 4`, `trials 3`, a file."""
    problem: str
    """What is wrong, for people; no stored text."""


@dataclass(frozen=True, slots=True)
class OnlyHere:
    """One thing of a store that a process on another machine may not reach."""

    setting: str
    """The field of the backend's config that says where it is, such as `root_dir`."""
    advice: str
    """What it is, and what to do about it, for people: one sentence without a full stop, and no secret."""
    folder: Path | None = None
    """Where it is in the file system; None if it is elsewhere."""


@dataclass(frozen=True, slots=True)
class UnusedFile:
    """A file of a store to which nothing that is stored refers."""

    path: str
    size_bytes: int
    age_s: float
    """Since it was last written."""


class Store(ABC):
    """An open store. Used from one thread at a time."""

    @abstractmethod
    def append(self, events: Sequence[Event]) -> None:
        """Save the events in order, all or none; they are on stable storage when this returns.

        Repeating a batch changes nothing. A generation, item or score that is stored under its key stays as it is,
        except that a success replaces a failure and a score replaces one of lower `Score.rank`; a trial's later outcome
        replaces a failed one, and one of which it raises the rank of a score. Numbers must be finite: NaN and
        infinities raise ValueError, and nothing of the batch is saved.
        """

    @abstractmethod
    def finished_trials(self, run_id: str, trials: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Of these (slice id, trial id), those that the run has with an outcome other than failed, and without a score
        of rank 0: those that are not to be tried again."""

    def ended_trials(self, run_id: str, trials: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Of these (slice id, trial id), those that the run has with any outcome, failed ones included."""
        wanted = set(trials)
        return {pair for row in self.trial_rows(run_id) if (pair := (row.slice_id, row.trial_id)) in wanted}

    @abstractmethod
    def generations(self, keys: Sequence[str]) -> dict[str, Generation]:
        """The stored generations among these keys, failed ones left out."""

    @abstractmethod
    def stored_generations(self, keys: Sequence[str]) -> set[str]:
        """Which of these keys have a stored generation that did not fail."""

    @abstractmethod
    def scores(self, keys: Sequence[str]) -> dict[str, tuple[Score, Extraction | None]]:
        """The stored scores among these keys, each with the extraction it read."""

    @abstractmethod
    def runs(self) -> Iterator[RunRecord]:
        """All runs, latest first."""

    @abstractmethod
    def run(self, run_id: str) -> RunRecord | None:
        """One run by its whole id."""

    def executions(self, run_id: str) -> Sequence[ExecutionRecord]:
        """All executions of a run, of the whole and of parts, in the order in which they began."""
        found: list[ExecutionRecord] = []
        for each in self.events(run_id):
            part = each.get("part")
            if each["kind"] == "run_started":
                found.append(ExecutionRecord(part, "running", each["at"], None, each["manifest"], {}))
            elif each["kind"] == "run_finished":
                place = next((n for n in reversed(range(len(found))) if found[n].part == part), None)
                began = None if place is None else found.pop(place)
                ended = ExecutionRecord(
                    part, each["status"], began.started_at if began else each["at"], each["at"],
                    began.manifest if began else {}, each["counts"],
                )  # fmt: skip
                found.insert(len(found) if place is None else place, ended)
        return found

    def trial_places(self, run_id: str) -> Iterator[TrialPlace]:
        """Where the run's finished trials belong, and how they ended, as a stream in any order."""
        for row in self.trial_rows(run_id):
            yield TrialPlace(row.item_id, row.sample_index, row.outcome, row.error_code)

    def cost(self, run_id: str) -> RunCost:
        """What the run's calls cost, over all its executions; the sum of `RunCost.of` over its generations."""
        return self.cost_of(run_id, lambda item_id, sample_index: True)

    def cost_of(self, run_id: str, wanted: Callable[[str, int], bool]) -> RunCost:
        """What the run's calls cost that are about some items and samples; `wanted` is asked with id and index of each.

        A judge's repeat counts as a sample here.
        """
        events = (each for each in self.events(run_id) if each["kind"] == "generation")
        costs = (
            RunCost.of(Generation.from_dict(each["generation"]))
            for each in events
            if wanted(each["request"]["item_id"], each["request"]["sample_index"])
        )
        return sum(costs, RunCost())

    @abstractmethod
    def trial_rows(self, run_id: str, trial_id: str | None = None, *, outcome: str | None = None) -> Iterator[TrialRow]:
        """The run's finished trials as a stream, ordered by slice, model, variant, params, item and sample.

        With `trial_id`, only those whose id begins with it; with `outcome`, only those that ended so.
        """

    @abstractmethod
    def outcomes(self, run_id: str) -> Sequence[OutcomeCount]:
        """How the run's trials ended, counted; ordered by slice, model, variant, params, outcome and error code."""

    def latencies(self, run_id: str) -> Iterator[Latency]:
        """How long the calls took whose answers the run's trials have, reused ones included, the shortest first.

        Trials that failed, and answers without a `latency_s`, are left out.
        """
        trials = (row for row in self.trial_rows(run_id) if row.outcome != "failed" and row.generation_keys)
        found = [
            Latency(row.slice_id, row.model_id, row.prompt_variant_id, row.params, answer.latency_s)
            for row in trials
            for answer in self.generations(row.generation_keys[-1:]).values()
            if answer.latency_s is not None
        ]
        return iter(sorted(found, key=lambda each: each.latency_s))

    @abstractmethod
    def score_rows(self, run_id: str, trial_id: str | None = None, *, whole: bool = False) -> Iterator[ScoreRow]:
        """The run's scores as a stream, ordered by slice, model, variant, params, score, metric, item and sample.

        With `trial_id`, only those of trials whose id begins with it; with `whole`, each has what its parse found and
        the details.
        """

    @abstractmethod
    def scores_by_item(self, run_id: str, *, whole: bool = False) -> Iterator[ScoreRow]:
        """The run's scores as a stream, ordered by score, metric and item digest: those of one item come together.

        So they are grouped by anything in constant memory. `whole` as above.
        """

    def score_sums(
        self, run_id: str, cells: Mapping[ScorePlace, ScoreCell], *, by_sample: bool = False, by_metadata: bool = False
    ) -> Iterator[ScoreSums]:
        """What the run's values come to, by the number of the cell that their place has; others are left out.

        All scores of one item in a cell are one cluster, with `by_sample` those of one sample. With `by_metadata`,
        items that differ in their metadata are apart, in rows of one item or of several. This and `score_ends` read
        all scores; a backend that can add up itself says the same in less time, but for what rounding does to a sum.
        """
        return sums_of(self.scores_by_item(run_id), cells, by_sample=by_sample, by_metadata=by_metadata)

    def score_ends(self, run_id: str, *, by_sample: bool = False, by_metadata: bool = False) -> Iterable[ScoreEnds]:
        """How the run's scores ended, counted; ordered by slice, model, variant, params, score and metric.

        The options are those of `score_sums`.
        """
        return ends_of(self.scores_by_item(run_id), by_sample=by_sample, by_metadata=by_metadata)

    def has_faults(self, run_id: str) -> bool:
        """Whether the run has a score of rank 0, which is to be tried again."""
        return any(row.reason in SCORE_FAULTS for row in self.score_rows(run_id))

    @abstractmethod
    def generation_records(self, keys: Sequence[str]) -> Iterator[GenerationRecorded]:
        """The stored requests with their generations, failed ones included, in the order of the keys."""

    @abstractmethod
    def items(self, digests: Sequence[str]) -> dict[str, Item]:
        """The stored items among these digests."""

    def metadata(self, digests: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The metadata of the stored items among these digests; asked for a thousand at a time, to group by it."""
        return {digest: item.metadata for digest, item in self.items(digests).items()}

    @abstractmethod
    def score_entries(self, run_id: str, slice_id: str, trial_id: str) -> Sequence[ScoreEntry]:
        """All scores of one finished trial in full, in the order in which they were appended."""

    @abstractmethod
    def events(self, run_id: str | None = None) -> Iterator[dict[str, Any]]:
        """The log as plain data in the order of appending: `seq`, `kind`, `at`, and the event's fields.

        `seq` increases from event to event; where several writers share a store, it has gaps.
        """

    @abstractmethod
    def lock_run(self, run_id: str, part: str = "") -> AbstractContextManager[None]:
        """Hold the run for this process, or a part of it: `3/16` is a shard, `worker <name>` a worker.

        Raises RunLocked, naming the holder, if somebody is at work who keeps it out (`shuts_out`): for one of several
        who ask at the same instant, all others are there already. `locked_by` makes the error.
        """

    @abstractmethod
    def is_held(self, run_id: str, part: str | None = None) -> bool:
        """Whether a process holds the run, any part of it, or with `part` that one (empty: the whole).

        One that was killed does not, at once or after some seconds.
        """

    def at_work(self, run_id: str) -> Sequence[Holder]:
        """Who holds the run, or parts of it, now; a backend may leave it out."""
        return ()

    def report(self, run_id: str, part: str, progress: Mapping[str, Any]) -> None:  # noqa: B027 - may be left out
        """Note how far the holder of this part is, for `at_work`. Called about every 2 s; no part of the log."""

    def open_parts(self, run_id: str, of: int) -> int:
        """Begin to hand out the parts of a run, numbered from 1; return how many there are.

        That is `of`, or the number that others opened whose round goes on: it is over when all parts are finished and
        nobody is at work who was when it was opened, or when nobody but the caller is. A new one has all parts again,
        for what is done is told by what is stored. This and what follows divides a run among workers; a backend that
        leaves it out raises StorageError.
        """
        raise self._hands_out_nothing()

    def take_parts(self, run_id: str, part: str, most: int) -> Sequence[int]:
        """Lease to the holder of `part` up to so many of the parts that are open and that nobody who lives has leased.

        A lease lasts as long as the holder's lock does: what a killed worker had is given to others when that ran out.
        Raises StorageError if the lock of `part` was lost.
        """
        raise self._hands_out_nothing()

    def finish_parts(self, run_id: str, part: str, numbers: Sequence[int]) -> None:
        """Note that these are done: all their trials are stored. Those that others took over meanwhile stay theirs."""
        raise self._hands_out_nothing()

    def give_back_parts(self, run_id: str, part: str) -> None:
        """Let others have at once what this holder has leased and not finished."""
        raise self._hands_out_nothing()

    def parts(self, run_id: str) -> PartsRecord:
        """How many parts there are, are finished, and are leased now."""
        raise self._hands_out_nothing()

    def open_batches(self) -> Sequence[BatchRecord]:
        """The batches of all runs that are intended and not ended, in the order in which they were appended."""
        return open_batches_of(self.events())

    def has_others_at_work(self, run_id: str) -> bool:
        """Whether a run other than this one is held, or a part of one; asked twice a second while calls are made.

        This and the two that follow keep two runs from asking for the same at once. A backend may leave them out.
        """
        return False

    def claim(self, run_id: str, key: str) -> bool:
        """Note that the run asks for a generation now, by its key; false if another run that is held has noted it."""
        return True

    def release(self, run_id: str, keys: Sequence[str] | None = None) -> None:  # noqa: B027 - may be left out
        """Forget that the run asks for these generations, or for any."""

    def exchange(self, changes: Mapping[str, LiveChange]) -> dict[str, Any]:
        """Read and change live states by their names, in one short transaction; return the answers by name.

        A change is called with the state as it is (None at first), plain data without NaN, and the time in seconds by
        a clock that all who use the store share. Nobody else sees or changes these states meanwhile. It returns the new
        state and an answer; it may be called again if the first call came to nothing. If one raises, nothing changes.
        Live states are no results: they need not survive a power cut, and may be forgotten after some days. Called
        about twice a second by runs with `share_limits`. A backend that leaves it out raises StorageError.
        """
        raise StorageError(
            f"{type(self).__name__} can't share limits between processes (execution_policy.share_limits): leave that "
            "out, or use a store that can, such as SQLite or Postgres"
        )

    def verify(self) -> Iterator[Damage]:
        """Check everything that is stored, and yield what is wrong; changes nothing, and others may write meanwhile.

        This and what follows keeps a store in order. A backend that leaves it out raises StorageError.
        """
        raise self._left_out("check what it holds")

    def check_log(self) -> Iterator[Damage]:
        """Check the log alone, and the links between its events, and yield what is wrong; nothing, where none are kept.

        Faster than `verify`: long texts are not read. Who copies events from a store asks this before.
        """
        return iter(())

    def rebuild(self, *, accept_loss: bool = False) -> Sequence[Damage]:
        """Make again, in one transaction, what is derived from the log; return what is lost.

        Raises StorageError if the log is damaged. With `accept_loss`, what can't be read is left out instead; the
        damage stays in the log, and `verify` goes on to tell it.
        """
        raise self._left_out("rebuild what it derives")

    def back_up(self, target: Path) -> None:
        """Copy the store, as it is at one moment, to a folder that is empty or new; others may write meanwhile.

        The same backend opens the copy there. Raises StorageError if the copy does not verify.
        """
        raise self._left_out("copy itself")

    def remove_unused_files(self, *, older_than_s: float, dry_run: bool) -> Iterator[UnusedFile]:
        """Remove files to which nothing refers and which were last written longer ago, yielding each.

        With `dry_run`, they are only yielded. Others may write meanwhile.
        """
        raise self._left_out("remove unused files")

    def _hands_out_nothing(self) -> StorageError:
        return StorageError(
            f"{type(self).__name__} can't hand out the parts of a run to workers: divide it by hand with "
            "--shard K/N, or use a store in Postgres"
        )

    def _left_out(self, task: str) -> StorageError:
        return StorageError(f"{type(self).__name__} can't {task}: use the tools of its database")

    @abstractmethod
    def close(self) -> None:
        """Release files and connections; further use is an error."""


class StorageBackend(Component):
    """Config of a store, and the way to open it. The spec's `storage` holds its fields beside `backend`.

    In Python, an instance can stand in place of that mapping: `ProjectSpec(storage=MyStorageSpec(folder="runs"))`.
    """

    backend: ClassVar[str] = ""
    """What `storage.backend` of a spec calls it: the plugin's namespace, or `namespace/name` if that offers several."""

    @abstractmethod
    def open(self, base_dir: Path, *, mode: Literal["write", "read"] = "write") -> Store:
        """Open the store, making it if `mode` is write and there is none; called in the thread that will use it.

        Relative paths start at `base_dir`. Raises StorageError if it can't be opened, or belongs to a newer Themis
        (and then leaves it untouched); in mode `read`, StoreMissing if there is none.
        """

    def location(self, base_dir: Path) -> str:
        """Where the store is, for messages: a path or a URL without credentials."""
        return ""

    def only_here(self, base_dir: Path) -> Sequence[OnlyHere]:
        """What processes on other machines may not reach of the store; asked before work is spread over several.

        It opens nothing. By default nothing is: all who have the config can use the store.
        """
        return ()
