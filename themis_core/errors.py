"""Every exception that Themis raises on purpose, each saying what is wrong, where, and what to do.

It does not decide exits: a class only carries the exit code that the command ends with.

    ThemisError
    ├── SpecError            exit 2   the spec, its data or the command line is wrong: mend the file
    ├── PluginError          exit 3   an installed or loose plugin is broken
    ├── StorageError         exit 4   the store can't be opened, read or written
    │   ├── RunLocked        exit 4   another process is running this very run
    │   ├── StoreMissing     exit 4   nothing was ever stored there, and this command only reads
    │   └── StoreOutdated    exit 4   an older Themis made the store, and this command only reads
    ├── BudgetExceeded       exit 6   a budget of the execution policy, or the provider's quota, is used up
    └── EngineError          (caught) one request failed; becomes a failed generation, never a score
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from themis_costs import Usage
from themis_wording import shortened

__all__ = [
    "BudgetExceeded",
    "EngineError",
    "PluginError",
    "RunLocked",
    "SpecError",
    "StorageError",
    "StoreMissing",
    "StoreOutdated",
    "ThemisError",
]


class ThemisError(Exception):
    """Base of all expected errors. The command prints it without a traceback and exits with `exit_code`."""

    exit_code: ClassVar[int] = 70
    """Each class that is raised has one of its own; this is that of what nobody foresaw."""

    def __str__(self) -> str:
        return shortened(super().__str__())


class SpecError(ThemisError):
    """The spec, the data it names or an argument is wrong. Nothing was called and nothing was stored.

    `path` and `line` (1-based) say where in the file, `loc` where in the spec (`slices[0].scores[0].metrics[0]`).

    **What to do:** open the file at the printed line and mend what the message names; `themis plan SPEC`
    checks again without calling anything.
    """

    exit_code = 2

    def __init__(
        self, message: str, *, path: str | None = None, line: int | None = None, loc: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.line = line
        self.loc = loc

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.path and self.line else self.path
        return shortened(": ".join(part for part in (place, self.loc, self.message) if part))


class PluginError(ThemisError):
    """An installed or loose plugin can't be imported, offers something unusable, or wants another core.

    The message names the plugin, its distribution and version and the original error, which is also `__cause__`.

    **What to do:** update or uninstall the distribution that the message names, or take it out of the spec;
    `themis plugins show NAME` prints the full traceback.
    """

    exit_code = 3


class StorageError(ThemisError):
    """The store can't be opened, read or written; no call was started whose result could not be saved.

    **What to do:** what the message says (free space, permissions, another version of Themis); then run the
    same command again: what was saved is found and is not paid for again.
    """

    exit_code = 4


class RunLocked(StorageError):
    """Another process is working on the same run, so this one left before it made a call.

    **What to do:** wait for the process that the message names, or stop it, then run the command again.
    """


class StoreMissing(StorageError):
    """Nothing was ever stored where the command looks for it.

    **What to do:** run something first, or name the spec or project whose storage is meant (`--spec`, `--project`).
    """


class StoreOutdated(StorageError):
    """The store was made by an older Themis, and the command only reads, so it can't bring it up to date.

    **What to do:** copy the store if an older Themis is to read it once more, then run `themis storage migrate`.
    """


class BudgetExceeded(ThemisError):
    """A budget of the execution policy was reached, or the provider says that its quota is used up.

    **What to do:** raise `execution_policy.max_cost` or `max_calls`, or top up the account, and run the same
    command again: it goes on where it stopped.
    """

    exit_code = 6


class EngineError(ThemisError):
    """One attempt at a request failed. Raised by engines, turned into a retry or a failed generation by the run.

    `code` is one of `themis_core.ERROR_CODES`; `retryable` says whether the same request may succeed later;
    `retry_after` is the provider's own wait in seconds, if it gave one; `status` the HTTP status, if any;
    `unknown_outcome` is true when the provider may have answered (and billed) although no reply arrived;
    `usage` has the token counts of a reply that is no answer but was billed, if it gave them, and `cost` what was
    spent on it, if the engine knows. `steps` (of the type Step, or dicts of its fields) are
    those that were done before it failed; they are kept and shown.

    **What to do:** nothing for the run as a whole: failed trials are shown in the ledger with their code, count
    in no mean, and are tried again by the next run of the same spec.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
        unknown_outcome: bool = False,
        usage: Usage | None = None,
        cost: float | None = None,
        steps: Sequence[Any] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after
        self.status = status
        self.unknown_outcome = unknown_outcome
        self.usage = usage
        self.cost = cost
        self.steps = steps

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"
