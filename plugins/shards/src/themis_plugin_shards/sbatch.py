"""Options of `sbatch`: which there are, and how a directive is written so that it is read as it was meant."""

from __future__ import annotations

import re
from typing import Final

from themis_core import SpecError
from themis_wording import did_you_mean

__all__ = ["OPTIONS", "directive", "parsed"]

_DOCUMENTED = """
    account acctg-freq array batch bb bbf begin chdir cluster-constraint clusters comment constraint container
    container-id contiguous core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline delay-boot
    dependency distribution error exclude exclusive export export-file extra extra-node-info get-user-env gid
    gpu-bind gpu-freq gpus gpus-per-node gpus-per-socket gpus-per-task gres gres-flags hint hold ignore-pbs input
    job-name kill-on-invalid-dep licenses mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus
    network nice no-kill no-requeue nodefile nodelist nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node
    ntasks-per-socket open-mode output overcommit oversubscribe parsable partition prefer priority profile propagate
    qos quiet reboot requeue reservation resv-ports segment signal sockets-per-node spread-job switches test-only
    thread-spec threads-per-core time time-min tmp tres-bind tres-per-task uid use-min-nodes verbose wait
    wait-all-nodes wckey wrap
"""
OPTIONS: Final = frozenset(_DOCUMENTED.split())
"""The long options that the manual of sbatch documents, of Slurm 20.11 to 25.05. Plugins of a site can add others."""
OWN: Final = {
    "account": "--account",
    "array": "-n and --array-limit",
    "cpus-per-task": "--cpus",
    "error": "--log-folder",
    "gpus": "--gpus",
    "job-name": "--name",
    "mem": "--mem",
    "output": "--log-folder",
    "partition": "--partition",
    "time": "--time",
}
"""What has an option of the command, which says it in its place."""
NEVER: Final = frozenset({"wrap", "parsable", "test-only"})
"""What has no meaning in a script."""


def directive(name: str, value: str | None = None) -> str:
    """One line of a script. A value is quoted where sbatch would split it, or take a part of it for a comment.

    Raises SpecError for what no line can hold.
    """
    if value is None:
        return f"#SBATCH --{name}"
    if not value.isprintable():
        raise SpecError(f"--{name} can't be {value!r}: a directive of sbatch is one line of printable characters")
    if re.search("hetjob|packjob", value, re.IGNORECASE):  # it blanks these words wherever they stand
        raise SpecError(f"--{name} can't hold 'hetjob' or 'packjob', which sbatch takes for its own words: {value!r}")
    if re.fullmatch(r"[\w./,:=@%+~^*\[\]()&|-]+", value):
        return f"#SBATCH --{name}={value}"
    escaped = re.sub(r'([\\"])', r"\\\1", value)
    return f'#SBATCH --{name}="{escaped}"'


def parsed(given: str) -> tuple[str, str | None, str]:
    """Name and value of a directive that the user gave, and what to warn of. Raises SpecError."""
    name, equals, value = given.removeprefix("#SBATCH").strip().partition("=")
    name = name.strip().removeprefix("--").rstrip()
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        raise SpecError(f"--directive {given!r} is none: write the long name of an option of sbatch, as in gres=gpu:1")
    if name in OWN:
        raise SpecError(f"--directive {given!r}: say it by {OWN[name]} of this command")
    if name in NEVER:
        raise SpecError(f"--directive {given!r} has no meaning in a script: give it to sbatch itself")
    known = name.replace("_", "-") in OPTIONS
    warning = "" if known else f"the manual of sbatch has no option --{name}.{did_you_mean(name, sorted(OPTIONS))}"
    return name, value if equals else None, warning
