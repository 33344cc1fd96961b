"""What is seen on stderr while a run works: one live line on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

import click

from themis_display.results import cost_text
from themis_display.shapes import Progress
from themis_output import number, safe
from themis_wording import counted

__all__ = ["ProgressLine", "progress_text"]

LOG_EVERY_S = 10.0
NEWS_AFTER_S = 2.0
"""After so long a log says what holds the run up, if it did not say so before."""
DRAW_EVERY_S = 0.1


def progress_text(now: Progress) -> str:
    """One line: trials done of those planned, rate, time left, failures, cost, and what holds the run up."""
    share = f" ({100 * now.done // now.planned}%)" if now.planned else ""
    parts = [f"{now.done}/{now.planned} trials{share}", f"{_rate(now.rate)}/s"]
    if now.done < now.planned:
        parts.append(f"ETA {'–' if now.eta_s is None else _duration(now.eta_s)}")
    else:
        parts.append(f"took {_duration(now.elapsed_s)}")
    parts += [f"{now.reused} reused", f"{now.failed} failed"]
    if now.judged:
        parts.append(counted(now.judged, "judge call"))
    if now.in_flight:
        parts.append(f"{now.in_flight} in flight")
    if cost := cost_text(now.cost.known, now.cost.unknown_calls, now.cost.at_most):
        parts.append(cost)
    if now.note:
        parts.append(safe(now.note).replace("\n", " "))
    return " · ".join(parts)


def _rate(per_second: float) -> str:
    return f"{float(f'{per_second:.3g}'):,.0f}" if per_second >= 100 else number(per_second, 3)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ProgressLine:
    """Shows progress while the context is open; call it with each report. Never writes to stdout."""

    def __init__(self) -> None:
        self._live: Any = None
        self._last: Progress | None = None
        self._shown = ""
        self._noted = False
        self._next = time.monotonic() + LOG_EVERY_S

    def __enter__(self) -> ProgressLine:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            # Drawn only when there is news: a thread that refreshes would take time from the run.
            self._live = Live(console=Console(stderr=True), auto_refresh=False, redirect_stdout=False)
            self._live.start()
            self._next = 0.0
        return self

    def __call__(self, now: Progress) -> None:
        self._last = now
        at = time.monotonic()
        if at >= self._next or (now.note and not self._noted and at >= self._next - LOG_EVERY_S + NEWS_AFTER_S):
            self._noted = bool(now.note)
            self._show()
            self._next = at + (DRAW_EVERY_S if self._live else LOG_EVERY_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show()
        if self._live:
            self._live.stop()

    def _show(self) -> None:
        # Compared as text: the run reports one object again and again, with new numbers in it.
        if self._last is None or (text := progress_text(self._last)) == self._shown:
            return
        self._shown = text
        if self._live:
            from rich.text import Text

            self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)
        else:
            click.echo(text, err=True)
