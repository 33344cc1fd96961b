"""Stores that are filled without a run, on each backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from themis_core import Event, Generation, GenerationRecorded, StorageBackend, TrialFinished
from themis_core.testing.events import generation_recorded, item_recorded, score_entry, trial_finished

__all__ = ["GROUP", "Place", "made_trial", "made_trials"]

GROUP = 64
"""Trials of a batch, as of a run with 64 in flight."""
ANSWER = "Some words before it, as models like to say them. " * 8


def made_trials(count: int) -> Iterator[list[Event]]:
    """One batch after another, each trial with its item, its answer and one score."""
    events = (event for number in range(count) for event in made_trial(str(number)))
    while batch := list(islice(events, 3 * GROUP)):
        yield batch


def made_trial(name: str) -> tuple[Event, GenerationRecorded, TrialFinished]:
    question = f"Number {name}: what is it, all told, if every step is written down?"
    answer = Generation("answered", f"{ANSWER}\nA: {name}")
    score = score_entry(f"score {name}")
    return (
        item_recorded(name, text=question, reference=name),
        generation_recorded(name, answer, text=question),
        trial_finished(name, scores=(score,)),
    )


class Place:
    """Where stores of one backend are made, each an empty one of its own."""

    def __init__(self, backend: str, folder: Path, stack: ExitStack) -> None:
        self.backend = backend
        self._folder = folder
        self._made = 0
        if backend == "postgres":
            from themis_core.testing.postgres import PostgresServer

            self._server = stack.enter_context(PostgresServer(fsync=True))

    def new(self) -> StorageBackend:
        self._made += 1
        folder = str(self._folder / str(self._made))
        if self.backend == "sqlite":
            from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

            return SqliteBlobStorageSpec(root_dir=folder)
        from themis_plugin_postgres.backend import PostgresBlobStorageSpec

        return PostgresBlobStorageSpec(url=self._server.new_database(), blobs=folder)
