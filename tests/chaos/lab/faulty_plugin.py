"""A loose plugin of every kind of component, of which one method goes wrong: CHAOS_FAILS says which, CHAOS_HOW how."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from themis_core import (
    Capabilities,
    DatasetLoader,
    DatasetQuerySpec,
    DatasetSpec,
    Engine,
    EngineError,
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
STUCK = Path(__file__).parent / "stuck"
"""Says that it went wrong."""
LANE: Any = os.environ.get("CHAOS_LANE", "thread")
UNREAD = {"metric.worst": "refused", "judge.worst": "refused", "metric.empty": "empty", "judge.empty": "empty"}
"""Methods that are called for such an answer only."""


def perhaps(place: str, text: str = VICTIM) -> None:
    """Go wrong if this is the place, and the text is the victim's."""
    if os.environ.get("CHAOS_FAILS") != place or VICTIM not in text:
        return
    how = os.environ["CHAOS_HOW"]
    STUCK.touch()
    if how == "hang":
        time.sleep(3600)
    while how == "burn":
        pass
    if how == "pattern":
        re.search(r"(a+)+$", "a" * 64 + "b")
    if how == "exit":
        os._exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "memory":
        held = []
        while True:
            held.append(bytearray(2**24))
    if how == "print":
        print("planted")
        os.write(1, b"planted\n")
        return
    if how == "BaseExceptionGroup":
        raise BaseExceptionGroup("planted", [SystemExit(0), ValueError("planted")])
    if how == "SystemExit":
        raise SystemExit(0)
    raise {
        "ValueError": ValueError, "RecursionError": RecursionError, "MemoryError": MemoryError,
        "CancelledError": asyncio.CancelledError, "KeyboardInterrupt": KeyboardInterrupt,
        "GeneratorExit": GeneratorExit, "StopIteration": StopIteration, "EngineError": partial(EngineError, "x"),
    }[how]("planted")  # fmt: skip


async def later(text: str) -> None:
    await asyncio.sleep(0)
    perhaps("engine.task", text)


async def swallowing() -> None:
    """Go on for ever, whoever cancels it."""
    STUCK.touch()
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def perhaps_swallow(place: str) -> None:
    if (os.environ.get("CHAOS_FAILS"), os.environ.get("CHAOS_HOW")) == (place, "swallow"):
        await swallowing()


perhaps("import")


class Loader(DatasetLoader):
    def identity(self) -> dict[str, Any]:
        perhaps("loader.identity")
        return super().identity()

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
    @property
    def endpoint(self) -> str:
        perhaps("engine.endpoint")
        return "here"

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        perhaps("engine.capabilities")
        return Capabilities(local=bool(os.environ.get("CHAOS_LOCAL")))

    def check(self, base_dir: Path) -> None:
        perhaps("engine.check")

    async def start(self) -> None:
        await perhaps_swallow("engine.start")
        perhaps("engine.start")

    async def stop(self) -> None:
        await perhaps_swallow("engine.stop")
        perhaps("engine.stop")

    async def generate(self, request: Request) -> Generation:
        how = os.environ.get("CHAOS_HOW")
        if how == "wait" and VICTIM in request.item_id:
            await asyncio.sleep(3600)
        if how == "swallow" and not os.environ["CHAOS_FAILS"] and VICTIM in request.item_id:
            await swallowing()
        if os.environ.get("CHAOS_FAILS") == "engine.task":
            asyncio.create_task(later(request.item_id))  # noqa: RUF006
        if os.environ.get("CHAOS_FAILS") == "engine.callback":
            asyncio.get_running_loop().call_soon(perhaps, "engine.callback", request.item_id)
        if os.environ.get("CHAOS_FAILS") == "engine.loop" and VICTIM in request.item_id:
            asyncio.get_running_loop().stop()
        perhaps("engine.generate", request.item_id)
        text = str(request.messages[-1]["content"])
        status = UNREAD.get(os.environ.get("CHAOS_FAILS", ""))
        if status and VICTIM in text:
            return Generation(status)  # type: ignore[arg-type]
        return Generation("answered", text=text)


class Last(Extractor):
    runs_in = LANE

    def check(self, base_dir: Path) -> None:
        perhaps("extractor.check")

    def extract(self, text: str) -> Extraction:
        perhaps("extractor.extract", text)
        return Extraction(text.split()[-1])


class Same(Metric):
    runs_in = LANE

    def check(self, base_dir: Path) -> None:
        perhaps("metric.check")

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        perhaps("metric.score", item.id)
        return Score(float(value == item.reference))

    def unscorable(self, item: Item) -> str | None:
        perhaps("metric.unscorable", item.id)
        return None

    def empty(self, item: Item, generation: Generation) -> Score:
        perhaps("metric.empty", item.id)
        return super().empty(item, generation)

    def worst(self, item: Item, generation: Generation) -> Score:
        perhaps("metric.worst", item.id)
        return super().worst(item, generation)

    aggregates_mean = False

    def aggregate(self, scores: Any) -> float | None:
        perhaps("metric.aggregate")
        return super().aggregate(scores)


class Panel(Judge):
    runs_in = LANE

    @property
    def requires(self) -> frozenset[str]:
        perhaps("judge.requires")
        return frozenset()

    @property
    def baseline_model(self) -> str | None:
        perhaps("judge.baseline_model")
        return None

    def again(self, judged: JudgedAnswer, reply: JudgeReply) -> JudgeRequest | None:
        perhaps("judge.again", judged.item.id)
        return None

    def check(self, base_dir: Path) -> None:
        perhaps("judge.check")

    def requests(self, judged: JudgedAnswer) -> Sequence[JudgeRequest]:
        if judged.generation.text:  # without one, it is the call before the run
            perhaps("judge.requests", judged.item.id)
        return [JudgeRequest([{"role": "user", "content": "judge " + judged.item.id.replace("i", "number ")}])]

    def score(self, judged: JudgedAnswer, replies: Sequence[JudgeReply]) -> Score:
        perhaps("judge.score", judged.item.id)
        return Score(1.0)

    def unscorable(self, item: Item) -> str | None:
        perhaps("judge.unscorable", item.id)
        return None

    def empty(self, item: Item, generation: Generation) -> Score:
        perhaps("judge.empty", item.id)
        return super().empty(item, generation)

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
    perhaps("register.loaders")
    register("loader", Loader)


@hookimpl
def themis_register_engines(register: Register) -> None:
    perhaps("register.engines")
    register("engine", Echo)


@hookimpl
def themis_register_extractors(register: Register) -> None:
    perhaps("register.extractors")
    register("extractor", Last)


@hookimpl
def themis_register_metrics(register: Register) -> None:
    perhaps("register.metrics")
    register("metric", Same)


@hookimpl
def themis_register_judges(register: Register) -> None:
    perhaps("register.judges")
    register("judge", Panel)


@hookimpl
def themis_register_storage_backends(register: Register) -> None:
    perhaps("register.storage_backends")


@hookimpl
def themis_run_started(event: Any) -> None:
    perhaps("observer.run_started")


@hookimpl
def themis_trial_finished(event: Any) -> None:
    perhaps("observer.trial_finished", event.item_id)


@hookimpl
def themis_run_finished(event: Any, summary: Mapping[str, Any]) -> None:
    perhaps("observer.run_finished")
