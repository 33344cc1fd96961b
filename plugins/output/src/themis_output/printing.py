"""How values are shown: text made safe for terminals, numbers in plain form, JSON; and where, on standard output.

It knows no command; what it shows was computed elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

import click

__all__ = [
    "CannotPrint", "as_json", "cell", "cut",
    "echo", "excerpt", "format_option", "heading", "leave_stdout", "number", "own_path",
    "own_stdout", "printing", "quoted", "safe", "sentences", "shortened", "stdout", "store_options",
]  # fmt: skip

# C0 but tab and line feed, DEL and C1 (escape sequences begin with them), what turns the direction of writing, and
# lone surrogates, which no encoding can print.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


_IN_PARENTHESES = re.compile(r"\([^()]{1,90}\)")


def safe(text: str) -> str:
    """Escape what could steer a terminal or hide text: control and bidi characters become `\\x1b`, `\\u202e`."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


_DATA_URL = re.compile(r"(data:[\w.+-]+/[\w.+-]+[^\s\"',]{0,200},)([^\s\"'<>()]{100,})")


def shortened(text: str) -> str:
    """The text with what its data URLs hold, such as an image, cut to its length."""
    return _DATA_URL.sub(lambda match: f"{match[1]}{match[2][:12]}… ({len(match[2]):,} characters)", text)


def cut(text: str, most: int = 120) -> str:
    """The text; of one that would fill the page, such as a whole document in an item's metadata, both its ends."""
    return text if len(text) <= most else f"{text[:60]}…{text[-20:]} ({len(text):,} characters)"


def excerpt(text: str, lines: int = 20, width: int = 200) -> str:
    """The text as far as people read it: its last `lines`, where the answer mostly is, each cut to its `width`."""
    found = text.split("\n")
    left_out = len(found) - lines
    above = [f"… ({left_out:,} lines above)"] if left_out > 1 else []
    return "\n".join([*above, *(cut(line, width) for line in (found[left_out:] if above else found))])


def cell(value: object) -> str:
    """One line for one value: None as a dash, floats to four significant digits."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return number(value)
    text = str(value) if isinstance(value, (str, int)) else as_json(value, indent=None)
    return safe(shortened(text)).replace("\n", "\\n").replace("\t", "\\t")


def number(value: float, digits: int = 4) -> str:
    """A number to some significant digits in plain form, such as `0.000099`; with an exponent where that is long."""
    if not math.isfinite(value) or (value and not 1e-9 < abs(value) < 1e15):
        return f"{value:.{digits}g}"
    return f"{Decimal(f'{value:.{digits}g}'):f}"


def quoted(text: str) -> str:
    """Text of a model or an item, indented, so that it is not taken for the command's own words."""
    return "\n".join(f"    {line}" for line in safe(shortened(text)).split("\n"))


def sentences(text: str, begin: str = "", more: str = "  ") -> str:
    """One line of prose in lines of at most 100 characters; `more` begins each but the first.

    What is in parentheses stays in one line if it fits, so that the figures of a sentence are not torn apart.
    """
    glued = _IN_PARENTHESES.sub(lambda match: match[0].replace(" ", "\0"), text)
    wrapped = textwrap.wrap(
        glued, 100, initial_indent=begin, subsequent_indent=more, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(wrapped).replace("\0", " ")


def heading(text: str) -> None:
    echo(f"\n{safe(text)}", bold=True)


def as_json(value: object, indent: int | None = 2) -> str:
    """JSON of records and plain data. ASCII only, which is safe on every terminal and keeps lone surrogates."""
    text = json.dumps(value, indent=indent, ensure_ascii=True, allow_nan=False, default=_plain)
    return text.replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--format`; the command receives `as_format`."""
    return click.option(
        "--format",
        "as_format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="For people, or one JSON object for programs.",
    )(command)


def store_options(command: Callable[..., Any], *, also: Sequence[str] = ()) -> Callable[..., Any]:
    """Add `--spec`, which has further names in `also`, and `--project`: where the store of the command is."""
    path = click.Path(path_type=Path)
    of_spec = "Spec file that names the store; by default the store is ./.themis."
    spec = click.option("--spec", *also, "spec", type=path, metavar="SPEC", help=of_spec)
    project = click.option("--project", type=path, metavar="FILE", help="Project file that names the store.")
    return spec(project(command))


# --- standard output ----------------------------------------------------------------------------------------

_own: TextIO | None = None
"""Where the command prints while everything else that prints is sent to standard error."""
_was_own = False


def stdout() -> TextIO:
    """Standard output, for the command itself."""
    return _own or sys.stdout


class CannotPrint(Exception):
    """Standard output takes no more; `by_reader` is true if whoever reads it has left, as `head` does."""

    def __init__(self, reason: str, *, by_reader: bool) -> None:
        super().__init__(reason)
        self.by_reader = by_reader


def echo(text: str = "", *, err: bool = False, **style: Any) -> None:
    """Print a line as the command's own; all that commands print goes through here. Raises CannotPrint."""
    with suppress(OSError) if err else printing():
        click.secho(text, file=None if err else stdout(), err=err, **style)


@contextmanager
def printing() -> Iterator[None]:
    """Turn what standard output raises into CannotPrint."""
    try:
        yield
    except OSError as error:
        raise CannotPrint(error.strerror or str(error), by_reader=isinstance(error, BrokenPipeError)) from error


def own_path(path: Path) -> Path:
    """The path itself; for one of the names of standard output, a name of where the command prints."""
    if _own is not None and str(path) in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        return Path(f"/dev/fd/{_own.fileno()}")
    return path


@contextmanager
def own_stdout() -> Iterator[None]:
    """Keep standard output for `echo`: what components print goes to standard error.

    That holds for `print`, for what is written to the descriptor itself, and for the processes that they start.
    """
    global _own, _was_own
    shared = sys.stdout
    if shared is None or _own is not None:  # closed before the command began; or within a command
        yield
        return
    shared.flush()
    _own = _duplicate(shared)
    _was_own = True
    _send_to_stderr(shared)
    try:
        yield
    finally:
        own, _own, sys.stdout = _own, None, shared
        if own is not shared:
            try:
                shared.flush()  # what a component wrote to `sys.__stdout__`, which leads to standard error until here
                with printing():
                    own.flush()
            finally:
                os.dup2(own.fileno(), 1)
                with suppress(OSError):  # told by `flush`
                    own.close()


def leave_stdout() -> None:
    """Send to standard error what is printed from here on, if the command had standard output for itself.

    Libraries print when the interpreter ends, and threads do when they like.
    """
    if _was_own and sys.stdout is not None:
        _send_to_stderr(sys.stdout)


def _is_descriptor_1(stream: TextIO) -> bool:
    with suppress(OSError, ValueError, AttributeError):  # a stream that stands in for standard output has none
        return stream.fileno() == 1
    return False


def _duplicate(shared: TextIO) -> TextIO:
    if not _is_descriptor_1(shared):
        return shared
    return open(  # noqa: PTH123 - a descriptor; closed where `own_stdout` ends
        os.dup(1), "w", encoding=shared.encoding, errors=shared.errors, buffering=1 if shared.isatty() else -1
    )


def _send_to_stderr(shared: TextIO) -> None:
    sys.stdout = sys.stderr
    if _is_descriptor_1(shared):
        try:
            os.dup2(2, 1)
        except OSError:  # standard error is closed
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
