"""A program and its tests, run in a process of their own; and which limits hold on this system."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from themis_plugin_code.inside import LIMITS

__all__ = ["SLACK", "Job", "limits", "report_of"]

SLACK: Final = 10.0
"""Seconds that the warden may take beyond the bound of its program, to start and to clean up."""
_START: Final = "import sys; sys.path.append(sys.argv[1]); from themis_plugin_code.inside.warden import main; main({})"

Report = dict[str, Any]
"""`outcome` (passed, failed, timeout, refused or error), perhaps `error` and `line`; `walls`, as `limits` returns."""


@dataclass(frozen=True)
class Job:
    """What is to run, and within which limits."""

    completion: str
    tests: Sequence[str] = ()
    """Programs that are executed one after another with the names of the program; an exception is a failure."""
    prompt: str = ""
    entry_point: str = ""
    plain_results: bool = True
    cpu_s: int = 5
    wall_s: float = 20.0
    memory_mb: int = 1024
    require: Sequence[str] = LIMITS
    """Limits without which nothing is executed."""
    site_packages: bool = False
    namespaces: bool = True
    """Whether to try them; without, what needs none must do."""


@cache
def limits(namespaces: bool = True) -> dict[str, dict[str, str]]:
    """Each limit with what makes it hold here (`by`), or why it does not (`missing`); tried once in a process."""
    report = report_of(Job("", require=(), namespaces=namespaces))
    if not report["walls"]:
        return {limit: {"missing": report["error"]} for limit in LIMITS}
    return {limit: report["walls"][limit] for limit in LIMITS}


def report_of(job: Job) -> Report:
    """Run a job to its end, at most `SLACK` seconds longer than it may take. Leaves no process and no file."""
    if os.name != "posix":
        return {"outcome": "error", "walls": {}, "error": f"{sys.platform} has no limits for processes: use Linux"}
    with _scratch() as folder, _alive() as alive:
        # `-I` would make hashes differ from run to run; the environment is empty, so these three are the same.
        flags = ["-P", "-s", *([] if job.site_packages else ["-S"])]
        own = str(Path(__file__).parents[1])
        process = subprocess.Popen(
            [sys.executable, *flags, "-c", _START.format(alive), own],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[alive],
            cwd=folder,
            env=_environment(),
            start_new_session=True,
        )
        return _exchange(process, json.dumps(asdict(job) | {"scratch": str(folder)}), job.wall_s + SLACK)


def _exchange(process: subprocess.Popen[bytes], job: str, seconds: float) -> Report:
    try:
        said, told = process.communicate(job.encode(), timeout=seconds)
        return dict(json.loads(said))
    except subprocess.TimeoutExpired:
        _end(process)
        return {"outcome": "error", "walls": {}, "error": f"the warden did not end within {seconds:g} s"}
    except ValueError:
        last = told.decode(errors="replace").strip().rpartition("\n")[2]
        return {
            "outcome": "error",
            "walls": {},
            "error": f"the warden ended with code {process.returncode}: {last:.300}",
        }
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a warden that nobody has waited for, with its program."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _environment() -> dict[str, str]:
    # By default the C library reserves 64 MiB of address space for a thread, which is what `memory_mb` counts.
    own = {
        "MALLOC_ARENA_MAX": "1",
        "LANG": "C.UTF-8",
        "PATH": os.defpath,
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "TZ": "UTC",
    }
    kept = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # without them some builds of Python don't start
    return own | {name: os.environ[name] for name in kept if name in os.environ}


@contextmanager
def _alive() -> Iterator[int]:
    """A descriptor to hand over: it is at its end when this process has left the block, or has ended."""
    theirs, ours = os.pipe()
    try:
        yield theirs
    finally:
        os.close(theirs)
        os.close(ours)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A new folder, removed with whatever a program left in it."""
    folder = Path(tempfile.mkdtemp(prefix="themis-code-")).resolve()
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder)
        except (OSError, RecursionError):  # folders without rights, or in one another by the thousand
            subprocess.run(["chmod", "-R", "u+rwx", folder], check=False, stderr=subprocess.DEVNULL)
            subprocess.run(["rm", "-rf", folder], check=False, stderr=subprocess.DEVNULL)
