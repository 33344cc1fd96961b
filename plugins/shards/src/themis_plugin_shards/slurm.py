"""A Slurm array job: one script, of which each task is one shard."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from themis_core import SpecError
from themis_plugin_shards.planned import Shards
from themis_plugin_shards.sbatch import directive, parsed

__all__ = ["MOST_TASKS", "SlurmJob", "script"]

MOST_TASKS: Final = 1_000
"""The highest index of an array where a site has left Slurm's MaxArraySize as it comes."""
_BACKSLASH = "--log-folder can't hold a backslash: sbatch would leave %A and %a as they stand, and all tasks one file"


@dataclass(frozen=True)
class SlurmJob:
    """What the array job is to ask of Slurm."""

    themis: Sequence[str]
    """The words of the command."""
    log_folder: Path
    name: str | None = None
    array_limit: int | None = None
    time: str | None = None
    partition: str | None = None
    account: str | None = None
    gpus: str | None = None
    cpus: int | None = None
    mem: str | None = None
    directives: Sequence[str] = ()
    """As the user wrote them."""
    setup: Sequence[str] = ()
    """Lines of shell before the command, such as `module load cuda`."""


def script(shards: Shards, job: SlurmJob) -> tuple[str, list[str]]:
    """The script for `sbatch`, and what to warn of. Raises SpecError for what no script can say."""
    directives, warnings = _directives(shards, job)
    whole = [*job.themis, *shards.arguments(shards.spec, shards.project)]
    task = f'"${{SLURM_ARRAY_TASK_ID:?is not set: submit this file by sbatch}}/{shards.count}"'
    run_id = shards.report.run_id
    named = run_id if run_id.isprintable() else ascii(run_id)  # a line break would end the comment
    lines = [
        "#!/bin/bash",
        f"# {named}: {shards.told}. Submit it by `sbatch FILE`.",
        "# Whichever shard comes last makes the result. A shard may be run again anywhere, any number of times, as by",
        "# `sbatch --array=3,7 FILE`: what is stored is not asked again.",
        *directives,
        "",
        f"cd -- {shlex.quote(str(shards.spec.parent))} || exit 2",
        *job.setup,
        f"exec {shlex.join(whole)} --shard {task}",
    ]
    return "\n".join(lines) + "\n", warnings


def _directives(shards: Shards, job: SlurmJob) -> tuple[list[str], list[str]]:
    limit = f"%{job.array_limit}" if job.array_limit else ""
    if "\\" in str(job.log_folder):
        raise SpecError(_BACKSLASH)
    own: dict[str, str | None] = {
        "job-name": job.name or shards.name,
        "array": f"1-{shards.count}{limit}",
        "ntasks": "1",
        "cpus-per-task": str(job.cpus) if job.cpus else "",
        "mem": job.mem or "",
        "gpus": job.gpus or "",
        "time": job.time or "",
        "partition": job.partition or "",
        "account": job.account or "",
        "output": f"{str(job.log_folder).replace('%', '%%')}/%x-%A_%a.log",
        # What is lost with its node starts again, and goes on where it was; its log goes on as well.
        "requeue": None,
        "open-mode": "append",
        # Before the time is over: what has arrived by then is saved. `B:` is the script, whose process is Themis.
        "signal": "B:TERM@60",
    }
    warnings, theirs = [], {}
    for given in job.directives:
        name, value, warning = parsed(given)
        theirs[name] = value
        warnings += [warning] if warning else []
    if "no-requeue" in theirs:
        del own["requeue"]
    lines = [directive(name, value) for name, value in {**own, **theirs}.items() if value != ""]
    if shards.count > MOST_TASKS:
        warnings.append(
            f"Slurm takes indices up to {MOST_TASKS:,} where MaxArraySize is as it comes: see `scontrol show config`, "
            "and make fewer shards if it is"
        )
    return lines, warnings
