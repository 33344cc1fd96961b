"""One pass of a runner over its trials, whoever works on them: watched, ended in good order, and told of."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from themis_core.errors import StorageError, ThemisError
from themis_core.execution import Progress, Runner, Writer
from themis_core.records import ERROR_REMEDIES, RunRecord
from themis_costs import Budget
from themis_wording import counted

__all__ = ["COUNTED", "INTERRUPTED", "UNFINISHED", "counts_of", "interrupt", "note_of", "worked"]

progress_log = logging.getLogger("themis.progress")
INTERRUPTED = "interrupted"
"""Why a run stopped, if the user stopped it."""
UNFINISHED = "trials are missing in the store, which had acknowledged them: run the same command again to ask for them"
COUNTED = ("generated", "judged", "simulated", "reused", "failed")
"""Numbers of an execution's progress that are stored with its end."""
_REPORT_S = 2.0


async def worked(runner: Runner, report: Callable[[Progress], None] | None) -> ThemisError | None:
    """Do what there is to do. Returns the error that ended the run; raises it if nothing can be saved any longer."""
    ticking = [asyncio.create_task(_tick(runner, report))] if report else []
    if runner.progress.part:
        ticking.append(asyncio.create_task(_report(runner)))
    try:
        await runner.run()
    except BaseException as raised:
        error = _first(raised)
        if isinstance(error, ThemisError) and not isinstance(error, StorageError):
            return error
        if error is raised:
            raise
        raise error from raised
    finally:
        for each in ticking:
            each.cancel()
    return None


def interrupt(budget: Budget, writer: Writer) -> None:
    """Have no call start any more, and say what is waited for."""
    budget.stop(INTERRUPTED, interrupted=True)
    store = f" and {writer.note}" if writer.note else ""
    progress_log.warning(
        "stopping: waiting for %s%s; Ctrl-C again stops now", counted(budget.in_flight, "answer"), store
    )


def counts_of(runner: Runner, budget: Budget, before: RunRecord | None) -> dict[str, Any]:
    """What an execution did, as the end of it is stored; `before` is what the run had, whose warnings it keeps."""
    progress = runner.progress
    warned = Counter(before.counts.get("warnings", {})) if before else Counter()
    return {
        **{name: getattr(progress, name) for name in COUNTED},
        "cost": budget.cost.known,
        "unknown_cost_calls": budget.cost.unknown_calls,
        "errors": dict(runner.saving.errors),
        "warnings": dict(warned + runner.saving.warnings),
        **({} if progress.part == "" else {"planned": progress.planned, "done": progress.done}),
    }


def note_of(
    status: str, reason: str | None, codes: Counter[str], batches: str, again: str = "run the same command again"
) -> str:
    """What is to be told of an end, and what to do; empty if all is well."""
    if status == "waiting":
        return f"waiting: {batches}; {again} to collect what they answer"
    if batches:
        again = f"{batches}; {again}, which collects what they answer,"
    if status == "interrupted":
        return f"interrupted: what arrived is saved; {again} to go on"
    if status == "stopped":
        remedy = f". {_to_do(codes)}" if "quota_exhausted" in codes else ""
        if reason is not None and reason.startswith("max_cost"):  # to begin again alone changes nothing
            again = f"raise max_cost, then {again}"
        return f"stopped: {reason}{remedy}; what arrived is saved; {again} to go on"
    if status == "failed" and not codes:
        return UNFINISHED
    if status == "failed":
        return f"some trials failed or have no verdict. {_to_do(codes)}. Then {again} to try only those again"
    return ""


def _to_do(codes: Counter[str]) -> str:
    remedies = {code: ERROR_REMEDIES.get(code, "mend what its message names") for code in codes}
    return "; ".join(f"{code} ({count}): {remedies[code]}" for code, count in codes.most_common())


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _report(runner: Runner) -> None:
    """Tell the store how far a part is, for whoever looks at the run from elsewhere."""
    with suppress(StorageError):  # which ends the run where it saves
        while True:
            await runner.report()
            await asyncio.sleep(_REPORT_S)


async def _tick(runner: Runner, report: Callable[[Progress], None]) -> None:
    while True:
        runner.progress.note = runner.note
        report(runner.progress)
        await asyncio.sleep(0.2)
