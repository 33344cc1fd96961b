"""One program and its tests, in one interpreter behind its walls; what they came to.

    main thread   waits, then tells the verdict
      judge       has the tests, compiled before the program begins
        program   is executed here: no caller of it has anything that judges
        test      one after another, with builtins that the program has not touched

Whatever a program changes (builtins, functions of modules, trace functions) is used by none of the upper two.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
import types
import warnings
from _thread import allocate_lock, stack_size, start_new_thread
from collections.abc import Callable, Mapping
from gc import callbacks
from types import CodeType
from typing import Any, Final, NamedTuple

from themis_plugin_code.inside.plain import checked
from themis_plugin_code.inside.telling import Verdict, told, verdict_of

__all__ = ["program_of", "run"]

_PRISTINE: Final = dict(vars(builtins))
globals()["__builtins__"] = _PRISTINE  # the functions below have builtins that no program changes
_STACK: Final = 16 << 20
_FUTURE: Final = re.compile(r"^from __future__ import (?:\([^)]*\)|[^\n;(]*)(?:;[ \t]*)?", re.MULTILINE)
_FRAMES_OF_OTHERS: Final = (
    "_current_frames", "_current_exceptions", "_settraceallthreads", "_setprofileallthreads", "monitoring",
    "addaudithook",
)  # fmt: skip
"""What of `sys` shows a thread the frames of others, or would have a program called in all of them."""


class _Part(NamedTuple):
    """Something to execute: its name, its code and its text."""

    name: str
    code: CodeType
    text: str


def run(job: Mapping[str, Any]) -> Verdict:
    """Execute a job's program, then its tests. All must end without an exception for `passed`."""
    warnings.simplefilter("ignore")
    stack_size(_STACK)
    for name in _FRAMES_OF_OTHERS:
        vars(sys).pop(name, None)
    sys.modules.pop("sys.monitoring", None)
    try:
        tests = [_compiled("tests", text) for text in job["tests"]]
    except (SyntaxError, ValueError) as error:
        return "error", f"the tests can't be compiled: {told(error)}", ""
    try:
        program = _compiled("program", program_of(job["prompt"], job["completion"], job["entry_point"]))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return "failed", told(error), ""
    called = {name for part in tests for name in _called(part.text)}
    verdicts: list[Verdict] = []
    done = allocate_lock()
    done.acquire()
    start_new_thread(_judge, (program, tests, called, job["entry_point"], job["plain_results"], verdicts, done))
    done.acquire()
    return verdicts[0]


def program_of(prompt: str, completion: str, entry_point: str) -> str:
    """Join a completion to its prompt: as the body that the prompt waits for, or as definitions that come after it.

    A prompt that is no Python is no part of the program. Without an entry point the completion is all of it.
    """
    completion = completion.removeprefix("\ufeff")  # a mark that Python ignores in files, and only there
    if not entry_point or not prompt:
        return completion
    indented = completion.lstrip("\r\n")[:1] in (" ", "\t")
    if indented and _parses(prompt + completion):
        return prompt + completion
    if not indented and not _parses(completion) and _parses(f"{prompt}    {completion}"):
        return f"{prompt}    {completion}"  # a server stripped the answer, and so the first line's indentation
    if not _parses(prompt):
        return completion
    joined = f"{prompt}\n\n{completion}"
    if _parses(joined) or not _parses(completion):
        return joined
    # What can't stand after other statements, and can stand before them.
    return "\n".join([*_FUTURE.findall(completion), prompt, "", _FUTURE.sub("", completion)])


def _parses(text: str) -> bool:
    try:
        compile(text, "<program>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _compiled(name: str, text: str) -> _Part:
    return _Part(name, compile(text, f"<{name}>", "exec", dont_inherit=True, optimize=0), text)


def _called(text: str) -> set[str]:
    calls = (node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return {each.id for each in calls if isinstance(each, ast.Name)}


def _judge(
    program: _Part,
    tests: list[_Part],
    called: set[str],
    entry_point: str,
    plain: bool,
    verdicts: list[Verdict],
    done: Any,
) -> None:
    verdict = ("failed", "what judges it was stopped", "")
    try:
        module = types.ModuleType("program")
        sys.modules["program"] = module
        failed = _in_thread(program, vars(module))
        if failed is None:
            callbacks.clear()  # they would be called while tests are executed, above what executes them
            names = _seen_by_tests(vars(module), entry_point, called, plain)
            failed = next((each for part in tests if (each := _in_thread(part, names)) is not None), None)
        verdict = failed or ("passed", "", "")
    finally:
        verdicts.append(verdict)
        done.release()


def _in_thread(part: _Part, names: dict[str, Any]) -> Verdict | None:
    """Execute in a new thread; None if it came to its end."""
    done, found = allocate_lock(), list[Verdict | None]()
    done.acquire()
    start_new_thread(_EXECUTE, (exec, part.code, names, verdict_of, part.name, part.text, found, done))
    done.acquire()
    if (verdict := found[0]) is None:
        return None
    # What comes from there may be of any class, and say anything.
    outcome, error, line = (each if type(each) is str else "" for each in verdict)
    return "refused" if outcome == "refused" else "failed", error, line


def _execute(
    execute: Callable[[CodeType, dict[str, Any]], None],
    code: CodeType,
    names: dict[str, Any],
    told: Callable[[BaseException, str, str], Verdict | None],
    name: str,
    text: str,
    found: list[Verdict | None],
    done: Any,
) -> None:
    verdict: Verdict | None = ("failed", "it ended its thread", "")
    try:
        execute(code, names)
        verdict = None
    except BaseException as error:  # noqa: BLE001 - whatever a program raises is what it came to
        verdict = told(error, name, text) or verdict
    finally:
        found.append(verdict)
        done.release()


_EXECUTE: Final = types.FunctionType(_execute.__code__, {"__builtins__": dict(_PRISTINE)})
"""The same without the names of this module, which a program would find in its caller's frame."""


def _seen_by_tests(program: Mapping[str, Any], entry_point: str, called: set[str], plain: bool) -> dict[str, Any]:
    """The names of a program as its tests see them: none that hides a builtin, unless that is what they test."""
    names = {name: value for name, value in program.items() if type(name) is str}
    tested = {entry_point} if entry_point else {name for name in called if name in names and name not in _PRISTINE}
    tested = tested or called
    names = {name: value for name, value in names.items() if name not in _PRISTINE or name in tested}
    if plain:
        names |= {name: checked(names[name]) for name in tested if name in names and callable(names[name])}
    return {**names, "__builtins__": dict(_PRISTINE), "__name__": "tests"}
