"""What each case is handed: a folder, how many trials there are, and Themis's command, measured."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from benchmarks import made
from benchmarks.measuring import CLIENT_CORE, Figures, measured, repeated

__all__ = ["SHORT", "TWO_PARSES", "Bench", "latency_s"]

SHORT = 24
"""Trials of every case, and repetitions 1, where only the cases themselves are tried out."""
TWO_PARSES = (r"(?m)^A: (.+)$", r"A: (\d+)\s*$")


class Bench:
    """One run of the benchmarks."""

    def __init__(self, folder: Path, *, short: bool = False) -> None:
        self.folder = folder
        self.short = short

    def count(self, trials: int) -> int:
        """How many of so many there are."""
        return min(trials, SHORT) if self.short else trials

    def times(self, repetitions: int) -> int:
        return 1 if self.short else repetitions

    def repeated(self, once: Callable[[Path], Figures], times: int = 3) -> Figures:
        """Measure several times, each in an empty folder of its own that is gone afterwards."""

        def numbered(number: int) -> Figures:
            place = self.folder / f"repetition-{number}"
            place.mkdir()
            try:
                return once(place)
            finally:
                shutil.rmtree(place)

        return repeated(numbered, self.times(times))

    def themis(self, command: str, spec: Path, *arguments: str, core: int | None = CLIENT_CORE) -> Figures:
        """Measure `themis run` or `themis plan` of a spec file; its result lies beside the file."""
        whole = ("-m", "themis_core", command, str(spec), "--format", "json", *arguments)
        return measured(whole, core, spec.with_suffix(f".{command}.txt"))

    def told(self, module: str, *arguments: str) -> dict[str, float]:
        """What a module prints as JSON: figures that it measured itself, in a process of its own on all cores."""
        said = self.folder / "told.json"
        measured(("-m", module, *arguments), None, said)
        found: dict[str, float] = json.loads(said.read_text(encoding="utf-8"))
        return found

    def replay_folder(self, trials: int, patterns: tuple[str, ...] = TWO_PARSES[:1]) -> Path:
        """A folder with a spec of so many recorded trials, and no store yet unless they were replayed before."""
        place = self.folder / f"recorded-{trials}-{len(patterns)}"
        if not place.exists():
            place.mkdir()
            made.questions(place, trials)
            made.spec_file(place, made.recorded(place, trials), patterns=patterns)
        return place

    def replayed(self, trials: int, patterns: tuple[str, ...] = TWO_PARSES[:1]) -> Path:
        """Such a folder with its store."""
        place = self.replay_folder(trials, patterns)
        if not (place / ".themis").exists():
            self.themis("run", place / "spec.json")
        return place


def latency_s(folder: Path, share: float) -> float:
    """The stored latency that this share of the answers does not exceed, in seconds."""
    with closing(sqlite3.connect(folder / ".themis" / "themis.sqlite3")) as store:
        found = store.execute("SELECT latency_s FROM v_generations ORDER BY latency_s").fetchall()
    return float(found[min(int(share * len(found)), len(found) - 1)][0])
