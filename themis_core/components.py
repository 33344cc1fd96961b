"""The six base classes that plugins implement, and what each is handed.

A component is a frozen pydantic model: its fields are its config, validated before anything runs. It knows
nothing of specs, runs or stores beyond what its methods are given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict

from themis_core.errors import StorageError
from themis_core.records import (
    Event,
    Extraction,
    Generation,
    GenerationRecorded,
    Item,
    OutcomeCount,
    Request,
    Row,
    RunRecord,
    Score,
    ScoreEntry,
    ScoreRow,
    TrialRow,
)
from themis_core.specs import DatasetQuerySpec, DatasetSpec

__all__ = [
    "CONTRACT_VERSION",
    "Capabilities",
    "Component",
    "Damage",
    "DatasetLoader",
    "Engine",
    "Extractor",
    "Judge",
    "JudgeReply",
    "JudgeRequest",
    "JudgedAnswer",
    "Metric",
    "StorageBackend",
    "Store",
    "UnusedFile",
]

CONTRACT_VERSION: Final = 1
"""Version of the contract between core and plugins; a plugin states the one it was written for."""


class Component(BaseModel, ABC):
    """Base of all components: a frozen config with a version.

    Raise `version` when the same input may give another output. Fields named in `not_identity` can't change an
    answer (timeouts, key variables) and stay out of all keys.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    version: ClassVar[int] = 1
    """Raised when the same input may give another output; part of every key."""
    not_identity: ClassVar[frozenset[str]] = frozenset()
    """Fields that can't change an output, and so stay out of every key."""

    def identity(self) -> dict[str, Any]:
        """The config that can change an output, as plain data."""
        return self.model_dump(mode="json", by_alias=True, exclude=set(self.not_identity))

    def check(self, base_dir: Path) -> None:
        """Look for what the component will need (files, environment variables) before anything is called.

        `base_dir` is the folder that relative paths start from. Called once per run, after the config was
        validated. Raise SpecError or ValueError with a message that says what to do. No network.
        """


class DatasetLoader(Component):
    """Streams the rows of a dataset."""

    @abstractmethod
    def rows(self, dataset: DatasetSpec, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
        """Yield the rows in the source's order, reading as it goes; equal on every call.

        May leave out rows that `query.item_ids` or `query.filters` rule out, where that is cheap; the core applies the
        whole query again. Must not sample. Relative paths start at `base_dir`. Raises SpecError that names file
        and line (`path`, `line`) for a missing file or a bad row. Runs in a worker thread or the event loop's.
        """

    def fingerprint(self, dataset: DatasetSpec, base_dir: Path) -> dict[str, Any]:
        """What pins the data for the manifest: a resolved revision, a file's size and SHA-256. Read once per run."""
        return {}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do. A request that needs more is refused before it is sent."""

    seed: bool = False
    """Takes `seed`: samples get seeds of their own."""
    logprobs: bool = False
    n: bool = False
    tools: bool = False
    images: bool = False
    batch: bool = False
    """Answers locally at once, so requests need no limits, deadlines or retries."""


class Engine(Component):
    """Turns one request into one generation. Used from one event loop only."""

    capabilities: ClassVar[Capabilities] = Capabilities()

    @property
    def endpoint(self) -> str:
        """What limits and the circuit breaker apply to: engines with an equal endpoint share them (a URL's origin).

        Shown in messages: no credentials.
        """
        return type(self).__name__

    async def start(self) -> None:
        """Open what requests need. Called once, in the run's event loop, before the first request."""

    async def stop(self) -> None:
        """Close it. Called once after the last request, also after errors."""

    @abstractmethod
    async def generate(self, request: Request) -> Generation:
        """Send the request once and return the answer; never retry.

        `status` is answered, refused, truncated (cut at a length limit) or empty; a failure raises EngineError with
        a stable code. Any other exception becomes a failed generation with code `engine_error`. The deadline is
        the caller's, which cancels.
        """


class Extractor(Component):
    """Finds a value in a text."""

    @abstractmethod
    def extract(self, text: str) -> Extraction:
        """Return what the text holds, or the reason why not; never raise on any text, and return in bounded time."""


class Metric(Component):
    """Scores one answer against its item."""

    lowest: ClassVar[float | None] = 0.0
    """Least value a score can have; None if unbounded."""
    highest: ClassVar[float | None] = 1.0
    """Greatest value a score can have; None if unbounded."""
    higher_is_better: ClassVar[bool] = True
    """Which end of the range is the good one."""
    aggregates_mean: ClassVar[bool] = True
    """False if `aggregate` is overridden: then no standard error of the mean is shown."""

    @abstractmethod
    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        """Score one answer; `value` is what the parse found, or the raw text if the score has no parse.

        Return a finite number, or `Score(reason=...)` where it can't be scored (`no_reference`). Runs in the event
        loop's thread; an exception becomes an unscored score with reason `metric_error`.
        """

    def worst(self, item: Item, generation: Generation) -> Score:
        """Return the score of an answer that was refused, empty or unparsed: the bad end of the range by default."""
        end = self.lowest if self.higher_is_better else self.highest
        return Score(reason="no_worst_value") if end is None else Score(value=end)

    def aggregate(self, scores: Iterable[Score]) -> float | None:
        """Return one number for a group of scored scores (None if there is none); the mean by default."""
        total, count = 0.0, 0
        for score in scores:
            if score.value is not None:
                total += score.value
                count += 1
        return total / count if count else None


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """What a judge judges: one answer to one item."""

    item: Item
    generation: Generation
    value: Any
    """What the score's parse found, or the raw text if it has none."""
    model_id: str = ""
    """The model that answered."""
    sample_index: int = 0
    messages: Sequence[dict[str, Any]] = ()
    """What the model was sent: the rendered messages of all turns, its own answers left out. None if the answer is
    recorded in the item."""
    baseline: Generation | None = None
    """The answer of `Judge.baseline_model` to the same, with equal settings and sample; None if it names no model."""


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """One question to a judging model: rendered messages, and settings that override the spec's."""

    messages: list[dict[str, Any]]
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JudgeReply:
    """What one judging model said to one question."""

    model_id: str
    """The judging model."""
    question: int
    """Index in what `Judge.requests` returned."""
    repeat: int
    """From 0 to the `repeats` of the spec, less one."""
    request: JudgeRequest
    generation: Generation
    """Answered, refused, truncated or empty, never failed."""
    asked_again: bool = False
    """Whether this is the reply to what `Judge.again` returned; the reply before it is kept, but read no more."""


class Judge(Component):
    """Asks models about an answer and reads their verdicts. Does no I/O: the run sends the requests.

    Each question goes to every judging model of the spec, as often as its `repeats` say.
    """

    lowest: ClassVar[float | None] = 0.0
    highest: ClassVar[float | None] = 1.0
    higher_is_better: ClassVar[bool] = True
    aggregates_mean: ClassVar[bool] = True
    asks_models: ClassVar[bool] = True
    """False for a judge that knows its verdicts, also of answers that hold nothing; the spec then names no model."""

    @property
    def requires(self) -> frozenset[str]:
        """Names of the `Capabilities` that the engines of its judging models must have."""
        return frozenset()

    @property
    def baseline_model(self) -> str | None:
        """Id of the model of the same slice whose answer is `JudgedAnswer.baseline`, if the judge compares with one.

        The answers of that model itself are unscored, with reason `is_baseline`.
        """
        return None

    @abstractmethod
    def requests(self, judged: JudgedAnswer) -> Sequence[JudgeRequest]:
        """Return the questions to ask about one answer; equal input gives equal questions. None if there is no need.

        Also called before the run, with an empty answer to each item, so that a SpecError (an unknown template
        variable, say) comes before the first call, and a plan can count the calls.
        """

    def again(self, judged: JudgedAnswer, reply: JudgeReply) -> JudgeRequest | None:
        """Return what to ask once more after a reply whose verdict can't be read; None if there is nothing to ask.

        Called once for each reply, and not for the reply to what it returned.
        """
        return None

    @abstractmethod
    def score(self, judged: JudgedAnswer, replies: Sequence[JudgeReply]) -> Score:
        """Read the verdicts: one reply per judging model, question and repeat, in this order.

        A verdict that can't be read is `Score(reason=...)`, never the worst value.
        """

    def worst(self, item: Item, generation: Generation) -> Score:
        """Return the score of an answer that was refused, empty or unparsed, which is not put to the judge."""
        end = self.lowest if self.higher_is_better else self.highest
        return Score(reason="no_worst_value") if end is None else Score(value=end)

    def aggregate(self, scores: Iterable[Score]) -> float | None:
        """Return one number for a group of scored scores (None if there is none); the mean by default."""
        return Metric.aggregate(self, scores)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong in a store."""

    place: str
    """Where: `events 17`, `payloads 4`, `trials 3`, a file."""
    problem: str
    """What is wrong, for people; no stored text."""


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
        except that a success replaces a failure and a score replaces an unscored one; a trial's later outcome replaces
        a failed one. Numbers must be finite: NaN and infinities raise ValueError, and nothing of the batch is saved.
        """

    @abstractmethod
    def finished_trials(self, run_id: str, trials: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Of these (slice id, trial id), those that the run has with an outcome other than failed."""

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

    @abstractmethod
    def trial_rows(self, run_id: str, trial_id: str | None = None) -> Iterator[TrialRow]:
        """The run's finished trials as a stream, ordered by slice, model, variant, params, item and sample.

        With `trial_id`, only those whose id begins with it.
        """

    @abstractmethod
    def outcomes(self, run_id: str) -> Sequence[OutcomeCount]:
        """How the run's trials ended, counted; ordered by slice, model, variant, params, outcome and error code."""

    @abstractmethod
    def score_rows(self, run_id: str, trial_id: str | None = None) -> Iterator[ScoreRow]:
        """The run's scores as a stream, ordered by slice, model, variant, params, score, metric, item and sample."""

    @abstractmethod
    def generation_records(self, keys: Sequence[str]) -> Iterator[GenerationRecorded]:
        """The stored requests with their generations, failed ones included, in the order of the keys."""

    @abstractmethod
    def items(self, digests: Sequence[str]) -> dict[str, Item]:
        """The stored items among these digests."""

    @abstractmethod
    def score_entries(self, run_id: str, slice_id: str, trial_id: str) -> Sequence[ScoreEntry]:
        """All scores of one finished trial in full, in the order in which they were appended."""

    @abstractmethod
    def events(self, run_id: str | None = None) -> Iterator[dict[str, Any]]:
        """The log as plain data in the order of appending: `seq`, `kind`, `at`, and the event's fields."""

    @abstractmethod
    def lock_run(self, run_id: str) -> AbstractContextManager[None]:
        """Hold the run for this process; raises RunLocked, naming the holder, if another one has it."""

    def verify(self) -> Iterator[Damage]:
        """Check everything that is stored, and yield what is wrong; changes nothing, and others may write meanwhile.

        This and what follows keeps a store in order. A backend that leaves it out raises StorageError.
        """
        raise self._left_out("check what it holds")

    def rebuild(self) -> None:
        """Make again, in one transaction, what is derived from the log."""
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

    def _left_out(self, task: str) -> StorageError:
        return StorageError(f"{type(self).__name__} can't {task}: use the tools of its database")

    @abstractmethod
    def close(self) -> None:
        """Release files and connections; further use is an error."""


class StorageBackend(Component):
    """Config of a store, and the way to open it. The spec's `storage` holds its fields beside `backend`."""

    @abstractmethod
    def open(self, base_dir: Path, *, mode: Literal["write", "read"] = "write") -> Store:
        """Open the store, making it if `mode` is write and there is none; called in the thread that will use it.

        Relative paths start at `base_dir`. Raises StorageError if it can't be opened, or belongs to a newer Themis
        (and then leaves it untouched); in mode `read`, also if there is none.
        """

    def location(self, base_dir: Path) -> str:
        """Where the store is, for messages: a path or a URL without credentials."""
        return ""


COMPONENT_KINDS: Final[dict[str, type[Component]]] = {
    "dataset_loader": DatasetLoader,
    "engine": Engine,
    "extractor": Extractor,
    "metric": Metric,
    "judge": Judge,
    "storage_backend": StorageBackend,
}
"""Kind, as messages and hooks name it, to base class."""
