"""What is to be run in shards: planned and checked here, before anything is made of it."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Final

import themis_core as themis
from themis_core import OnlyHere, PlanReport, SpecError, StorageBackend, counted, current_folder, path_kind

__all__ = ["LABEL", "Shards", "command_of", "label_of", "own_command", "planned", "utf8"]

LABEL: Final = 63
"""Most characters of a label of RFC 1123, as the names of jobs and hosts are."""


@dataclass(frozen=True)
class Shards:
    """A benchmark and how many shards it is run in."""

    spec: Path
    project: Path | None
    options: tuple[str, ...]
    """Further arguments of `themis run`, such as `--set` and its value."""
    count: int
    report: PlanReport
    storage: StorageBackend
    storage_dir: PurePath
    """The folder that relative paths of the storage start at."""

    def arguments(self, spec: PurePath, project: PurePath | None) -> list[str]:
        """The arguments of the command but for `--shard`, with the files where the job has them."""
        named = [] if project is None else ["--project", str(project)]
        return ["run", str(spec), *named, *self.options]

    def only_here(self, storage_dir: PurePath | None = None) -> Sequence[OnlyHere]:
        """What jobs may not reach of the store, whose relative paths start at a folder of theirs."""
        return self.storage.only_here(Path(storage_dir or self.storage_dir))

    @cached_property
    def name(self) -> str:
        """A name for jobs: that of the run."""
        return label_of(self.report.run_id, LABEL - len(f"-{self.count - 1}"))

    @property
    def told(self) -> str:
        """How many trials there are in how many shards, in a sentence."""
        many = f"{counted(self.report.trials, 'trial')} in {counted(self.count, 'shard')}"
        least, most = min(self.report.parts), max(self.report.parts)
        return f"{many}, {least:,} to {most:,} in each" if least < most else f"{many}, {most:,} in each"


def planned(
    spec: Path, project: Path | None, overrides: Sequence[str], limit: int | None, models: Sequence[str], count: int
) -> Shards:
    """Compose and plan a benchmark; the store is not opened, as only the jobs have to reach it.

    Raises SpecError or PluginError, as a run would.
    """
    if str(spec) == "-":
        raise SpecError("shards can't read standard input: write the spec to a file that all of them can read")
    report = themis.plan(
        spec, project=project, overrides=overrides, limit=limit, models=models, look_up=False, parts=count
    )
    storage, directory = themis.find_storage(spec, project=project, overrides=overrides)
    options = [
        *(part for each in overrides for part in ("--set", each)),
        *(("--limit", str(limit)) if limit is not None else ()),
        *(part for each in models for part in ("--model", each)),
    ]
    here = current_folder()
    return Shards(
        utf8(here / spec),
        None if project is None else utf8(here / project),
        tuple(map(_whole, options)),
        count,
        report,
        storage,
        here / directory,
    )


def utf8(path: Path) -> Path:
    """The path itself. Raises SpecError if a text of UTF-8 can't hold it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise SpecError("the path is no UTF-8, which no job file can hold: rename the file", path=repr(path)) from error
    return path


def _whole(argument: str) -> str:
    if "\0" in argument:
        raise SpecError(f"{argument!r} can't be an argument: it holds a NUL character")
    return argument


def own_command() -> list[str]:
    """The command `themis` of the environment that runs, by its path, so that a job need not activate it."""
    beside = Path(sys.executable).with_name("themis")
    if path_kind(beside) == "file":
        return [str(beside)]
    return [shutil.which("themis") or "themis"]


def command_of(given: str | None, default: Sequence[str]) -> list[str]:
    """The words of a command that the user gave, quoted as in a shell. Raises SpecError."""
    if given is None:
        return list(default)
    try:
        words = shlex.split(given)
    except ValueError as error:
        raise SpecError(f"--themis {given!r} can't be read: {error}") from error
    if not words:
        raise SpecError("--themis is empty: name a command, such as /opt/venv/bin/themis")
    return words


def label_of(name: str, most: int = LABEL) -> str:
    """A label of RFC 1123: lower-case letters, digits and hyphens, of which none is at an end.

    A name that does not fit, or loses characters that tell it from others, ends in a hash of the whole.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if plain and plain == re.sub(r"[ ._]", "-", name.lower()) and len(plain) <= most:
        return plain
    end = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[: most - len(end) - 1].strip('-') or 'themis'}-{end}"
