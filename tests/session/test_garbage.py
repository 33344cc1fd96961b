"""What a run does to the process that it runs in: nothing that is left when it ends."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core.session.garbage import collecting_less
from themis_core.testing.server import ScriptedServer


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize(
    ("before", "within"),
    [((700, 10, 10), (20_000, 10, 10)), ((0, 10, 10), (0, 10, 10)), ((50_000, 5, 5), (50_000, 5, 5))],
)
def test_collections_are_rarer_within_and_as_before_after(
    before: tuple[int, int, int], within: tuple[int, int, int]
) -> None:
    gc.set_threshold(*before)
    with suppress(ZeroDivisionError), collecting_less():
        assert (gc.get_threshold(), gc.get_freeze_count() > 0) == (within, True)
        raise ZeroDivisionError
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_of_several_that_overlap_the_last_one_to_end_restores_what_was() -> None:
    gc.set_threshold(700, 10, 10)
    first, second = collecting_less(), collecting_less()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold() == (20_000, 10, 10)
    second.__exit__(None, None, None)
    assert gc.get_threshold() == (700, 10, 10)


def test_circles_that_are_made_within_are_found() -> None:
    class Node:
        pass

    with collecting_less():
        node = Node()
        node.self = node  # type: ignore[attr-defined]
        del node
        assert gc.collect() >= 1


def test_what_the_process_has_left_out_itself_stays_left_out() -> None:
    gc.freeze()
    try:
        with collecting_less():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def circles(folder: Path, trials: int, model: dict[str, Any], scored: dict[str, Any]) -> Counter[str]:
    """How many objects of each type a run of so many trials leaves to the collector."""
    folder.mkdir()
    with (folder / "questions.jsonl").open("w", encoding="utf-8") as file:
        for number in range(trials):
            file.write(json.dumps({"id": number, "question": f"{number}?", "gold": number, "output": "A: 7"}) + "\n")
    spec = {
        "project": {"storage": {"backend": "sqlite", "root_dir": "store"}},
        "benchmark": {
            "benchmark_id": "b",
            "models": [model],
            "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "{{ item.question }}"}]}],
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {
                        "source": "files/jsonl", "dataset_id": "questions.jsonl", "fields": {"reference": "gold"},
                    },
                    "generation": {},
                    "parses": [{"name": "number", "extractors": ["extract/last_number"]}],
                    "scores": [scored],
                }
            ],
        },
    }  # fmt: skip
    (folder / "spec.yaml").write_text(json.dumps(spec), encoding="utf-8")
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        result = themis.run(folder / "spec.yaml")
        gc.collect()
        assert result.trials == trials
        return Counter(type(each).__name__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


RECORDED = {"model_id": "m", "provider": "replay/file", "extras": {"path": "questions.jsonl"}}
MATCH = {"name": "accuracy", "parse": "number", "metrics": ["text/numeric_match"]}


@pytest.fixture(scope="module")
def asked() -> Iterator[dict[str, Any]]:
    """A model over HTTP, which finds everything right."""
    with ScriptedServer({"answers": {"rule": "constant", "output": "It is right.\nVERDICT: CORRECT"}}) as server:
        yield {"model_id": "m", "provider": "openai/chat", "extras": {"base_url": server.base_url, "api_key_env": None}}


@pytest.mark.parametrize("of", ["recorded", "http", "httpx", "judged"])
def test_trials_leave_no_circles(of: str, asked: dict[str, Any], tmp_path: Path) -> None:
    """Such as a reply that a timer knows: memory grows by them, and the loop stands still while they are looked for."""
    model, scored = RECORDED, MATCH
    if of == "http":
        model = asked
    elif of == "httpx":
        model = {**asked, "extras": {**asked["extras"], "http_client": "httpx"}}
    elif of == "judged":
        judge = {"id": "judge/correctness", "judge": {"model": asked}}
        scored = {"name": "quality", "metrics": [judge]}
    circles(tmp_path / "first", 3, model, scored)  # what is made once, at the first use
    few, many = (circles(tmp_path / str(trials), trials, model, scored) for trials in (10, 610))
    # The block of items that the survey writes last has a tuple for each; a plan, and what is closed, some hundreds.
    assert (many - few).total() < 4 * 600, (many - few).most_common(10)
