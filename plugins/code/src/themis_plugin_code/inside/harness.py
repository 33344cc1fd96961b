"""One program and its tests, in one interpreter behind its walls; what they came to.

The program runs in a thread of its own and the tests in another, so that neither finds what judges them among its
callers. The tests are compiled before the program begins, and have builtins that the program has not touched.
"""

from __future__ import annotations

import ast
import builtins
import errno
import sys
import types
import warnings
from _thread import allocate_lock, stack_size, start_new_thread
from collections.abc import Callable, Mapping
from types import CodeType, TracebackType
from typing import Any, Final, NamedTuple

from themis_plugin_code.inside.plain import checked

__all__ = ["Verdict", "program_of", "run"]

MOST_TEXT: Final = 300
"""Characters of an exception and of a line that are kept."""
_STACK: Final = 16 << 20
_REFUSED: Final = frozenset(
    {
        errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE,
        errno.ENOMEM, errno.EAGAIN, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, errno.ENOSYS,
    }
)  # fmt: skip
"""What a limit says to a program that meets it."""

Verdict = dict[str, str]
"""`outcome` (passed, failed, refused or error), and `error` and `line` where there are any."""


class _Part(NamedTuple):
    """Something to execute: its name, its code and its text."""

    name: str
    code: CodeType
    text: str


def run(job: Mapping[str, Any]) -> Verdict:
    """Execute a job's program, then its tests. All must end without an exception for `passed`."""
    warnings.simplefilter("ignore")
    stack_size(_STACK)
    for name in ("_current_frames", "_current_exceptions"):
        delattr(sys, name)  # through them a thread finds the others'
    try:
        tests = [_compiled("tests", text) for text in job["tests"]]
    except (SyntaxError, ValueError) as error:
        return {"outcome": "error", "error": f"the tests can't be compiled: {_told(error)}"}
    pristine = dict(vars(builtins))
    module = types.ModuleType("program")
    sys.modules["program"] = module
    try:
        program = _compiled("program", program_of(job["prompt"], job["completion"], job["entry_point"]))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return {"outcome": "failed", "error": _told(error)}
    if (verdict := _in_thread(program, vars(module))) is not None:
        return verdict
    names = _seen_by_tests(vars(module), job["entry_point"], tests, pristine, job["plain_results"])
    for part in tests:
        if (verdict := _in_thread(part, names)) is not None:
            return verdict
    return {"outcome": "passed"}


def program_of(prompt: str, completion: str, entry_point: str) -> str:
    """Join a completion to its prompt: as the body that the prompt waits for, or as definitions that come after it.

    A prompt that is no Python is no part of the program. Without an entry point the completion is all of it.
    """
    if not entry_point or not prompt:
        return completion
    indented = completion.lstrip("\r\n")[:1] in (" ", "\t")
    if indented and _parses(prompt + completion):
        return prompt + completion
    if not indented and not _parses(completion) and _parses(f"{prompt}    {completion}"):
        return f"{prompt}    {completion}"  # a server stripped the answer, and so the first line's indentation
    return f"{prompt}\n\n{completion}" if _parses(prompt) else completion


def _parses(text: str) -> bool:
    try:
        compile(text, "<program>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _compiled(name: str, text: str) -> _Part:
    return _Part(name, compile(text, f"<{name}>", "exec", dont_inherit=True, optimize=0), text)


def _in_thread(part: _Part, names: dict[str, Any]) -> Verdict | None:
    """Execute in a new thread; None if it came to its end."""
    done, verdicts = allocate_lock(), list[Verdict | None]()
    done.acquire()
    start_new_thread(_execute, (part, names, verdicts, done.release))
    done.acquire()
    return verdicts[0]


def _execute(part: _Part, names: dict[str, Any], verdicts: list[Verdict | None], done: Callable[[], None]) -> None:
    verdict: Verdict | None = {"outcome": "failed", "error": "it ended its thread"}
    try:
        exec(part.code, names)
        verdict = None
    except BaseException as error:  # noqa: BLE001 - whatever a program raises is what it came to
        verdict = _verdict(error, part)
    finally:
        verdicts.append(verdict)
        done()


def _verdict(error: BaseException, part: _Part) -> Verdict:
    verdict = {"outcome": "refused" if _is_refusal(error) else "failed", "error": _told(error)}
    if line := _line(error.__traceback__, part):
        verdict["line"] = line
    return verdict


def _is_refusal(error: BaseException | None) -> bool:
    for _ in range(10):
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _REFUSED):
            return True
        if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
            return True
        if error is None:
            return False
        error = error.__cause__ or error.__context__
    return False


def _told(error: BaseException) -> str:
    try:
        text = str(error)[:MOST_TEXT]
    except BaseException:  # noqa: BLE001 - it is the program's own code
        text = ""
    return f"{type(error).__name__[:MOST_TEXT]}: {text}" if text else type(error).__name__[:MOST_TEXT]


def _line(traceback: TracebackType | None, part: _Part) -> str:
    """The last line of a part that an exception passed through."""
    number = 0
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == f"<{part.name}>":
            number = traceback.tb_lineno
        traceback = traceback.tb_next
    lines = part.text.splitlines()
    return lines[number - 1].strip()[:MOST_TEXT] if 0 < number <= len(lines) else ""


def _seen_by_tests(
    program: Mapping[str, Any], entry_point: str, tests: list[_Part], pristine: dict[str, Any], plain: bool
) -> dict[str, Any]:
    """The names of a program as its tests see them: none that hides a builtin, unless that is what they test."""
    used = {name for part in tests for name in _called(part.text)}
    tested = {entry_point} if entry_point else {name for name in used if name in program and name not in pristine}
    tested = tested or used
    names = {name: value for name, value in program.items() if name not in pristine or name in tested}
    if plain:
        for name in tested & set(names):
            if callable(names[name]):
                names[name] = checked(names[name])
    return {**names, "__builtins__": pristine, "__name__": "tests"}


def _called(text: str) -> set[str]:
    calls = (node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return {each.id for each in calls if isinstance(each, ast.Name)}
