"""A worker process: it reads requests from a socket, one at a time, and answers each.

It is run as a script, and imports nothing of this package: it starts fast, and before it knows where modules are.

A frame is `MAGIC`, a letter for its kind, the seconds of CPU that an answer took, and the length of what follows, in
both directions:

    SETTINGS  JSON: where modules are found, the memory limit         -> DONE or RAISED
    LOAD      16 bytes that name the target, then its pickle          -> DONE or RAISED
    CALL      the pickle of (name of the target, method, arguments)   -> DONE with the pickle of the result, or RAISED
                                                           to any of them: OUT_OF_MEMORY, and the process ends
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import struct
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

__all__ = ["describe"]

HEAD: Final = struct.Struct("!4scdQ")
MAGIC: Final = b"lane"
SETTINGS, LOAD, CALL, DONE, RAISED, OUT_OF_MEMORY = (b"S", b"L", b"C", b"D", b"R", b"M")
KEY_BYTES: Final = 16
MOST_TARGETS: Final = 256
"""Targets that a worker keeps. It forgets all of them when one more comes, and so does what its parent knows of it."""
NICE: Final = 5
"""By how much workers step back where there are fewer cores than work: their parent must not be late."""
MOST_TEXT: Final = 4_000
MOST_TRACEBACK: Final = 8_000


def main() -> None:
    """Answer requests until there are no more."""
    line, lifeline = int(sys.argv[1]), int(sys.argv[2])
    del sys.argv[1:]
    for each in (line, lifeline):
        os.set_inheritable(each, False)  # to what `os.system` starts, which would hide the end of this
    follow(lifeline)
    # Ctrl-C is the parent's to answer. SIG_IGN would be handed on to what a component starts.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    keep_from_copies(line)
    out_of_memory = HEAD.pack(MAGIC, OUT_OF_MEMORY, 0.0, 0)  # made while there is memory
    targets: dict[bytes, object] = {}
    try:
        while (request := receive(line)) is not None:
            begun = time.process_time()
            kind, content = answer(targets, *request)
            send(line, kind, content, time.process_time() - begun)
    except MemoryError:
        send_all(line, out_of_memory)
    except OSError:
        os._exit(1)  # the component closed the socket, or this is a copy of the process that went on
    os._exit(0)


def follow(lifeline: int) -> None:
    """End this process and those it started as soon as the other end of this pipe is closed, by whatever end."""
    import fcntl  # here, as Windows has none and the parent imports this module
    import select

    try:
        # The kernel does it, even while C code runs that never lets a thread of Python have its turn.
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    except (AttributeError, OSError):  # not on this system
        import threading

        threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    else:
        if select.select([lifeline], [], [], 0)[0]:  # closed before the kernel was asked to tell
            os._exit(1)


def keep_from_copies(line: int) -> None:
    """Close this in copies of the process that a component makes, which would hide the end of this one."""
    ours = [line]

    def close() -> None:
        if ours:  # a copy of a copy has it closed, and the number may be another file's
            os.close(ours.pop())

    os.register_at_fork(after_in_child=close)


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def receive(line: int) -> tuple[bytes, bytearray] | None:
    """Return a frame's kind and content, or None at the end."""
    if (head := _exactly(line, HEAD.size)) is None:
        return None
    _, kind, _, length = HEAD.unpack(head)
    content = _exactly(line, length)
    return None if content is None else (kind, content)


def _exactly(line: int, length: int) -> bytearray | None:
    content = bytearray(length)
    left = memoryview(content)
    while left:
        count = os.readv(line, [left])
        if not count:
            return None
        left = left[count:]
    return content


def send(line: int, kind: bytes, content: bytes, computed_s: float) -> None:
    send_all(line, HEAD.pack(MAGIC, kind, computed_s, len(content)))
    send_all(line, content)


def send_all(line: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(line, left) :]


def answer(targets: dict[bytes, object], kind: bytes, content: bytearray) -> tuple[bytes, bytes]:
    """Do what is asked; return the kind and the content of the answer.

    Raises MemoryError alone: what is left of the heap after that is no place for further calls.
    """
    doing = ""
    try:
        if kind == SETTINGS:
            doing = "its process can't be prepared: "
            settle(**json.loads(content))
            return DONE, b""
        if kind == LOAD:
            doing = "it can't be loaded in another process: "
            load(targets, content)
            return DONE, b""
        doing = "its arguments can't be read in another process: "
        key, method, arguments = pickle.loads(content)
        doing = ""
        result = getattr(targets[key], method)(*arguments)
        if isinstance(result, Iterator):  # which is at work only when it is asked, and can't be pickled
            result = list(result)
        doing = "what it returned can't be sent to another process: "
        pickled = pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
        pickle.loads(pickled)  # if that raises or never ends, then here, and not in the parent
        return DONE, pickled
    except MemoryError:
        raise
    except BaseException as error:
        if os.getsid(0) != os.getpid():
            raise  # in a copy of this process that the component made, which ends as it likes
        name, text, trace = describe(error)
        return RAISED, json.dumps([name, doing + text, trace]).encode()


def settle(sys_path: list[str], memory_mb: int | None) -> None:
    """Find modules where the parent does, print to its standard error, step back, and keep to the memory limit."""
    sys.path[:] = sys_path
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a file of text here
    with suppress(OSError):
        os.nice(NICE)
    if memory_mb is not None:
        limit_memory(memory_mb * 1024**2)


def limit_memory(limit: int) -> None:
    """Have the system refuse more memory than these bytes, where it can: macOS refuses the limit instead."""
    import resource  # here, as Windows has none

    # RLIMIT_AS counts what is mapped and never written to as well, such as the code of large libraries.
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    most = resource.getrlimit(kind)[1]
    if most == resource.RLIM_INFINITY or limit < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (limit, limit))


def load(targets: dict[bytes, object], content: bytearray) -> None:
    target = pickle.loads(memoryview(content)[KEY_BYTES:])
    if len(targets) >= MOST_TARGETS:
        targets.clear()
    targets[bytes(content[:KEY_BYTES])] = target


def describe(error: BaseException) -> tuple[str, str, str]:
    """Return the name of an error's type, its text and its traceback, whatever the error does to prevent it."""
    text = _short(_text(error), MOST_TEXT)
    below = error.__traceback__ and error.__traceback__.tb_next  # without the frame that called the stranger's code
    try:
        lines = traceback.format_exception(type(error), error, below)
    except MemoryError:
        raise
    except BaseException:  # noqa: BLE001 - it asks the error for its text, and for its notes
        lines = []
    trace = "".join(lines)
    return type(error).__name__, text, trace[-MOST_TRACEBACK:]


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except MemoryError:
        raise
    except BaseException as second:  # noqa: BLE001 - a stranger's `__str__` can raise anything
        return f"(no text: its __str__ raised {type(second).__name__})"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


if __name__ == "__main__":
    main()
