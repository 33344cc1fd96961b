"""A loose plugin of every kind of component, of which one method goes wrong: CHAOS_FAILS says which, CHAOS_HOW how."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from themis_core import (
    DatasetLoader,
    DatasetQuerySpec,
    DatasetSpec,
    Engine,
    Extraction,
    Extractor,
    Generation,
    Item,
    Judge,
    JudgedAnswer,
    JudgeReply,
    JudgeRequest,
    Metric,
    Request,
    Row,
    Score,
    hookimpl,
)

THEMIS_CONTRACT_VERSION = 1
VICTIM = "i2"
EMPTY = {"metric.worst", "judge.worst"}
"""Methods that are called for an answer without text only."""


def perhaps(place: str, text: str = VICTIM) -> None:
    """Go wrong if this is the place, and the text is the victim's."""
    if os.environ.get("CHAOS_FAILS") != place or VICTIM not in text:
        return
    how = os.environ["CHAOS_HOW"]
    Path("stuck").touch()
    if how == "hang":
        time.sleep(3600)
    while how == "burn":
        pass
    raise {"ValueError": ValueError, "RecursionError": RecursionError, "MemoryError": MemoryError}[how]("planted")


class Loader(DatasetLoader):
    def check(self, base_dir: Path) -> None:
        perhaps("loader.check")

    def rows(self, dataset: DatasetSpec, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
        for number in range(5):
            perhaps("loader.rows", f"i{number}")
            yield Row({"id": f"i{number}", "reference": f"i{number}"}, f"row {number}")

    def fingerprint(self, dataset: DatasetSpec, base_dir: Path) -> dict[str, Any]:
        perhaps("loader.fingerprint")
        return {}


class Echo(Engine):
    def check(self, base_dir: Path) -> None:
        perhaps("engine.check")

    async def start(self) -> None:
        perhaps("engine.start")

    async def stop(self) -> None:
        perhaps("engine.stop")

    async def generate(self, request: Request) -> Generation:
        if os.environ.get("CHAOS_HOW") == "wait" and VICTIM in request.item_id:
            await asyncio.sleep(3600)
        perhaps("engine.generate", request.item_id)
        text = str(request.messages[-1]["content"])
        if os.environ.get("CHAOS_FAILS") in EMPTY and VICTIM in text:
            return Generation("empty")
        return Generation("answered", text=text)


class Last(Extractor):
    def check(self, base_dir: Path) -> None:
        perhaps("extractor.check")

    def extract(self, text: str) -> Extraction:
        perhaps("extractor.extract", text)
        return Extraction(text.split()[-1])


class Same(Metric):
    def check(self, base_dir: Path) -> None:
        perhaps("metric.check")

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        perhaps("metric.score", item.id)
        return Score(float(value == item.reference))

    def worst(self, item: Item, generation: Generation) -> Score:
        perhaps("metric.worst", item.id)
        return super().worst(item, generation)

    aggregates_mean = False

    def aggregate(self, scores: Any) -> float | None:
        perhaps("metric.aggregate")
        return super().aggregate(scores)


class Panel(Judge):
    def check(self, base_dir: Path) -> None:
        perhaps("judge.check")

    def requests(self, judged: JudgedAnswer) -> Sequence[JudgeRequest]:
        if judged.generation.text:  # without one, it is the call before the run
            perhaps("judge.requests", judged.item.id)
        return [JudgeRequest([{"role": "user", "content": "judge " + judged.item.id.replace("i", "number ")}])]

    def score(self, judged: JudgedAnswer, replies: Sequence[JudgeReply]) -> Score:
        perhaps("judge.score", judged.item.id)
        return Score(1.0)

    def worst(self, item: Item, generation: Generation) -> Score:
        perhaps("judge.worst", item.id)
        return super().worst(item, generation)

    aggregates_mean = False

    def aggregate(self, scores: Any) -> float | None:
        perhaps("judge.aggregate")
        return super().aggregate(scores)


Register = Callable[[str, Any], None]


@hookimpl
def themis_register_dataset_loaders(register: Register) -> None:
    register("loader", Loader)


@hookimpl
def themis_register_engines(register: Register) -> None:
    register("engine", Echo)


@hookimpl
def themis_register_extractors(register: Register) -> None:
    register("extractor", Last)


@hookimpl
def themis_register_metrics(register: Register) -> None:
    register("metric", Same)


@hookimpl
def themis_register_judges(register: Register) -> None:
    register("judge", Panel)


@hookimpl
def themis_run_started(event: Any) -> None:
    perhaps("observer.run_started")


@hookimpl
def themis_trial_finished(event: Any) -> None:
    perhaps("observer.trial_finished", event.item_id)


@hookimpl
def themis_run_finished(event: Any, summary: Mapping[str, Any]) -> None:
    perhaps("observer.run_finished")
