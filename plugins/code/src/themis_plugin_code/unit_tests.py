"""The metric: whether a program passes an item's tests."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache
from keyword import iskeyword
from math import fsum
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field

from themis_core import Generation, Item, Metric, Score, SpecError, counted
from themis_intervals import pass_at_k
from themis_plugin_code.running import SLACK, Job, limits, report_of
from themis_plugin_code.syntax import is_module

__all__ = ["UnitTests"]

Limit = Literal["cpu", "memory", "processes", "files", "network"]
log = logging.getLogger("themis")


class UnitTests(Metric):
    """1 if a Python program passes an item's tests, else 0; the aggregate is pass@k.

    The program runs in a process of its own, within limits, and so do the tests, which are in the item's fields or
    metadata: as HumanEval has them (`test` defines `check`, `entry_point` names what it is called with, `prompt` is
    what the program continues), as MBPP has them (`test_list` of asserts), or both. The details say the `outcome`:
    passed, failed, timeout, refused (by a limit), and the `error` and `line` that ended it. Reasons: `no_tests`,
    `bad_tests` (they can't be compiled, or an entry point is no name), `metric_error` (it could not be run).
    """

    not_identity: ClassVar[frozenset[str]] = frozenset({"k", "require"})
    aggregates_mean: ClassVar[bool] = False
    aggregates_smoothly: ClassVar[bool] = True
    runs_in = "thread"  # it waits for a process of its own
    at_once: ClassVar[int | None] = 4

    k: int = Field(1, ge=1, le=1000, description="Samples of which one must be right; the aggregate is pass@k.")
    prompt: str = Field(
        "prompt", description="Field with the text that a program continues, if there is an entry point."
    )
    test: str = Field("test", description="Field with a program that defines `check(candidate)`.")
    entry_point: str = Field(
        "entry_point", description="Field with the name of the function that `check` is called with."
    )
    test_list: str = Field("test_list", description="Field with a list of statements, asserts above all.")
    setup: tuple[str, ...] = Field(
        ("test_setup_code", "test_imports"),
        description="Fields with what is executed between the program and its tests, text or lists of it.",
    )
    cpu_s: int = Field(5, ge=1, le=3600, description="Most seconds of CPU time of a program and its tests.")
    wall_s: float = Field(20.0, gt=0, le=7200, description="Most seconds by the clock, for those that wait.")
    memory_mb: int = Field(1024, ge=128, le=1 << 20, description="Most MiB of address space.")
    site_packages: bool = Field(
        False,
        description="Whether programs can import what is installed beside Themis, not the standard library alone.",
    )
    plain_results: bool = Field(
        True, description="Whether a tested function fails if it returns an object that compares as it likes."
    )
    require: tuple[Limit, ...] = Field(
        get_args(Limit),
        description="Limits without which nothing is run: `cpu`, `memory`, `processes`, `files`, `network`.",
    )

    @property
    def seconds_per_call(self) -> float:  # type: ignore[override]
        """Most seconds that a score takes: the bound of its program, and what it takes to start and to clean up."""
        return self.wall_s + 2 * SLACK

    def check(self, base_dir: Path) -> None:
        missing = {limit: wall["missing"] for limit, wall in limits().items() if "missing" in wall}
        told = "; ".join(f"{limit} ({missing[limit]})" for limit in missing)
        if not missing.keys().isdisjoint(self.require):
            raise SpecError(
                f"code/unit_tests: this system does not hold all limits of programs that `require` names: {told}. "
                "Run it on Linux, where they hold (`themis code limits` shows what holds), or name in `require` those "
                "that you need, if you trust the programs or the machine is there for nothing else"
            )
        if missing:
            log.warning("code/unit_tests: programs run without a limit of %s", told)

    @property
    def fewest_samples(self) -> int:
        return self.k

    def unscorable(self, item: Item) -> str | None:
        try:
            tests = self._tests(item)
        except ValueError:
            return "bad_tests"
        if not tests:
            return "no_tests"
        return None if all(map(_compiles, tests)) else "bad_tests"

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        if not isinstance(value, str):
            return Score(0.0, details={"outcome": "failed", "error": "the answer is no text"})
        report = report_of(self._job(item, value))
        details: dict[str, Any] = {name: report[name] for name in ("outcome", "error", "line") if name in report}
        if details["outcome"] == "error":
            return Score(reason="metric_error", details=details)
        return Score(float(details["outcome"] == "passed"), details=details)

    def aggregate(self, scores: Iterable[Score]) -> float | None:
        """pass@k of scores that are of one item."""
        return self.aggregate_items([list(scores)])

    def aggregate_items(self, items: Sequence[Sequence[Score]]) -> float | None:
        """The mean of pass@k over items; None, and a warning, if one of them has fewer than k scored samples."""
        values = [[score.value for score in item if score.value is not None] for item in items]
        counts = [(len(each), each.count(1.0)) for each in values if each]
        if few := sum(n < self.k for n, _ in counts):
            log.warning(
                "code/unit_tests: pass@%d needs %s of each item, and %s fewer: set `num_samples` to %d or more, "
                "or lower `k`; samples that failed are asked for again by the next run",
                self.k,
                counted(self.k, "scored sample"),
                counted(few, "item", "has", "have"),
                self.k,
            )
            return None
        return fsum(pass_at_k(n, c, self.k) for n, c in counts) / len(counts) if counts else None

    def _job(self, item: Item, completion: str) -> Job:
        prompt, entry_point = _field(item, self.prompt), _field(item, self.entry_point)
        return Job(
            completion,
            self._tests(item),
            prompt=prompt if isinstance(prompt, str) else "",
            entry_point=entry_point or "",
            plain_results=self.plain_results,
            cpu_s=self.cpu_s,
            wall_s=self.wall_s,
            memory_mb=self.memory_mb,
            require=self.require,
            site_packages=self.site_packages,
        )

    def _tests(self, item: Item) -> list[str]:
        """The programs that test an item's program, none if it has none. Raises ValueError if they are ill-formed."""
        test, entry_point = _field(item, self.test), _field(item, self.entry_point)
        if entry_point is not None and not _is_name(entry_point):
            raise ValueError("the entry point is no name")
        tests = _texts(_field(item, self.test_list))
        if test is not None:
            if entry_point is None or not isinstance(test, str):
                raise ValueError("a test needs an entry point")
            tests.append(f"{test}\n\ncheck({entry_point})\n")
        setup = [text for name in self.setup for text in _texts(_field(item, name)) if text.strip()]
        return ["\n".join(setup), *tests] if setup and tests else tests


def _field(item: Item, name: str) -> Any:
    value = item.reference if name == "reference" else item.fields.get(name, item.metadata.get(name))
    return None if value == "" else value


def _texts(value: Any) -> list[str]:
    every = [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
    if not all(isinstance(each, str) for each in every):
        raise ValueError("it is neither a text nor a list of texts")
    return every


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.isidentifier() and not iskeyword(value)


@lru_cache(maxsize=16_384)
def _compiles(test: str) -> bool:
    """Whether a test is Python. Kept, for it is asked in planning and again for each answer."""
    return is_module(test)
