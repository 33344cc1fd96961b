"""Runs for the suites of exporters and conclusions: made by running specs, with what real ones have and hostile ones.

    KINDS = every_kind   two models, prompts and settings, two samples; each end of a trial; hostile names and texts
            one_model    a single model, without metadata
            all_failed   as every_kind, but no trial has an answer, so nothing is scored

They are in `MemoryStorage`, and their components are here: no plugin is needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import pytest

from themis_core.components import Capabilities, DatasetLoader, Engine, Metric, Store
from themis_core.errors import EngineError
from themis_core.hookspecs import hookimpl
from themis_core.records import Generation, Item, Request, Row, Score, Step, Usage
from themis_core.session import run
from themis_core.specs import DatasetQuerySpec, DatasetSpec
from themis_core.testing.hostile import HOSTILE_TEXTS
from themis_core.testing.memory import MemoryStorage

__all__ = ["KINDS", "MadeRun", "OfMadeRuns", "made_run"]

KINDS: Final = ("every_kind", "one_model", "all_failed")
_PLUGIN: Final = "from themis_core.testing.made_runs import " + ", ".join(
    f"themis_register_{kind}" for kind in ("dataset_loaders", "engines", "metrics", "storage_backends")
)
_TEXTS: Final = {name: text for name, text in HOSTILE_TEXTS.items() if len(text) < 1_000}
_ODD_IDS: Final = ("../../x", "a/b", "CON", "é\u202e", "=1+1", "<b>", "a" * 300)
_CALL: Final = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}


@dataclass(frozen=True, slots=True)
class MadeRun:
    """A stored run."""

    spec: Path
    run_id: str
    folder: Path

    def open(self) -> Store:
        """The store, for reading."""
        return MemoryStorage().open(self.folder, mode="read")

    def events(self) -> str:
        """All that is stored, as one text."""
        with closing(self.open()) as store:
            return json.dumps(list(store.events()), sort_keys=True, default=str)

    def items(self) -> dict[str, list[Item]]:
        """The items of each slice."""
        with closing(self.open()) as store:
            digests: dict[str, dict[str, None]] = {}
            for row in store.trial_rows(self.run_id):
                digests.setdefault(row.slice_id, {})[row.item_digest] = None
            return {name: list(store.items(list(found)).values()) for name, found in digests.items()}


_MADE: Final[dict[str, MadeRun]] = {}
"""Made once for all tests, which read them."""


class OfMadeRuns:
    """What the suites share that need runs."""

    @pytest.fixture
    def made_runs(self, tmp_path_factory: pytest.TempPathFactory) -> dict[str, MadeRun]:
        """Stored runs: one with all that there may be in it, one of one model, one without any answer."""
        for kind in KINDS:
            if kind not in _MADE:
                _MADE[kind] = made_run(tmp_path_factory.mktemp(kind), kind)
        return _MADE


class Rows(DatasetLoader):
    """Items whose ids, fields and metadata are hostile, with a reference or without."""

    def rows(self, dataset: DatasetSpec, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
        for number, (name, text) in enumerate(sorted(_TEXTS.items())):
            item_id = _ODD_IDS[number] if number < len(_ODD_IDS) else f"i{number}"
            reference = None if number % 7 == 0 else text if number % 3 else "yes"
            row: dict[str, Any] = {
                "id": item_id,
                "text": text,
                "gold": reference,
                "ends": number,
                "name": name,
                "deep": {"level": [number, None]},
            }
            yield Row(row, f"rows:{number + 1}")


class Saying(Engine):
    """Ends as the item's text says: with an answer of each kind, or an error."""

    capabilities = Capabilities(local=True)
    fails: bool = False

    @property
    def item_fields(self) -> tuple[str, ...]:
        return "text", "ends"

    async def generate(self, request: Request) -> Generation:
        text, ends = request.item["text"], (request.item["ends"] + request.sample_index) % 7
        if ends == 0 or self.fails:
            raise EngineError("unsupported", f"no answer to {text!r}")
        if ends == 1:
            return Generation("refused", refusal="I won't.", finish_reason="content_filter")
        if ends == 2:
            return Generation("empty", "")
        if ends == 3:
            return Generation("truncated", f"{text} and then", finish_reason="length", usage=Usage(3, 4))
        if ends == 4:
            return Generation("answered", "", tool_calls=(_CALL,), finish_reason="tool_calls")
        steps = (Step("tool_call", "look", {"at": text}, {"seen": [text]}, 0.5), Step("retrieval", "index", text))
        if ends == 5:
            return Generation("answered", text, reasoning=text, usage=Usage(10, 5, 2, 1), cost=0.25, steps=steps)
        return Generation("answered", "yes" if "a" in request.model_id else text, usage=Usage(1, 1), logprobs=({},))


class Same(Metric):
    """1 if the answer is the reference; without a number for the items that have none."""

    runs_in: ClassVar[Literal["inline"]] = "inline"

    def unscorable(self, item: Item) -> str | None:
        return "no_reference" if item.reference is None else None

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        if item.reference is None:
            return Score(reason="no_reference")
        return Score(float(value == item.reference), details={"was": value, "should": item.reference})


@hookimpl
def themis_register_dataset_loaders(register: Callable[[str, type[DatasetLoader]], None]) -> None:
    register("rows", Rows)


@hookimpl
def themis_register_engines(register: Callable[[str, type[Engine]], None]) -> None:
    register("saying", Saying)


@hookimpl
def themis_register_metrics(register: Callable[[str, type[Metric]], None]) -> None:
    register("same", Same)


@hookimpl
def themis_register_storage_backends(register: Callable[[str, type[MemoryStorage]], None]) -> None:
    register("memory", MemoryStorage)


def made_run(folder: Path, kind: str) -> MadeRun:
    """Run the spec of one of `KINDS` in a folder of its own, which must be there."""
    (folder / "made.py").write_text(_PLUGIN, "utf-8")
    project = {"storage": {"backend": "made/memory"}, "plugins": {"made": "made.py"}}
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"project": project, "benchmark": _benchmark(kind)}), "utf-8")
    return MadeRun(spec, run(spec).run_id, folder)


def _benchmark(kind: str) -> dict[str, Any]:
    fails, whole = kind == "all_failed", kind != "one_model"
    models = ["org/small", "../a: <b>"] if whole else ["small"]
    message = {"role": "user", "content": "{{ item.text }}?"}
    slices = [
        {
            "slice_id": name,
            "dataset": {
                "source": "made/rows",
                "dataset_id": "rows",
                "fields": {"id": "id", "reference": "gold", "metadata": metadata},
            },
            "dimensions": {"kind": name.upper()},
            "generation": {},
            "scores": [{"name": "said", "metrics": ["made/same"]}],
        }
        for name, metadata in ((("first/../x", ["name", "deep"]), ("second", [])) if whole else (("only", []),))
    ]
    return {
        "benchmark_id": kind,
        "models": [
            {"model_id": each, "provider": "made/saying", "extras": {"fails": True} if fails else {}} for each in models
        ],
        "inference_grid": {"params": [{"temperature": 0.0}, {"temperature": 0.5, "stop": ["\n"]}] if whole else [{}]},
        "prompt_variants": [
            {"id": each, "messages": [{"role": "system", "content": each}, message]}
            for each in (["plain", "a/b, c"] if whole else ["plain"])
        ],
        "num_samples": 2 if whole else 1,
        "slices": slices,
    }
