"""Reads samples of lm-evaluation-harness: `samples_TASK_DATE.jsonl`, a row at a time.

A row is one item and one filter; all filters have the same answers. The model is said by `results_*.json` beside them,
or by the folder. Also read are files of earlier 0.4 versions, whose `arguments` are lists, and whose metrics are not
named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path
from typing import Any, Final

from themis_core import SpecError, digest, shown_path
from themis_plugin_interop.checks import (
    MOST_SAMPLES,
    Wrong,
    finite,
    json_object,
    list_of,
    object_of,
    optional_text,
    plain_object,
    text,
    told,
)
from themis_plugin_interop.recordings import Log, Sample
from themis_rows import NAN_IS_NULL, json_rows, jsonl_rows, opened

__all__ = ["lm_eval_logs"]

_NO_METRIC: Final = frozenset(
    {
        *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
        *("doc_hash", "prompt_hash", "target_hash"),
    }
)

_MOST: Final = 64 * 2**20
"""Bytes that a file of results may have."""


def lm_eval_logs(paths: list[Path]) -> Iterator[Log]:
    """One log for each file; a folder stands for the sample files in it. Raises SpecError that names file and line."""
    for path in paths:
        found = sorted(path.rglob("samples_*.json*")) if path.is_dir() else [path]
        if not found:
            raise SpecError(
                "no samples_*.jsonl is in this folder: run lm_eval with --log_samples", path=shown_path(path)
            )
        for file in found:
            name = file.name.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".json")
            task, _, stamp = name.removeprefix("samples_").rpartition("_")
            yield Log(shown_path(file), task or name, _model(file, task, stamp), _samples(file))


def _model(file: Path, task: str, stamp: str) -> str:
    """What the results of the same time say, else the newest that have the task, else the folder's name."""
    found = sorted(file.parent.glob("results_*.json"), reverse=True)
    same = [each for each in found if each.name == f"results_{stamp}.json"]
    for path in same or found:
        with opened(path) as stream:
            data = stream.read(_MOST + 1)
        with told(path, "the results"):
            results = json_object(data, _MOST)
            name = optional_text(results.get("model_name"), "model_name")
            if name and (same or task in object_of(results.get("results"), "results")):
                return name
    return file.absolute().parent.name.replace("__", "/")


def _samples(file: Path) -> Iterator[Sample]:
    rows, known = json_rows if file.suffix == ".json" else jsonl_rows, _Known()
    for line, row in rows(file, decoder=NAN_IS_NULL):
        with told(file, "the row", line=line):
            samples = list(_of_row(plain_object(row), known))
        yield from samples


class _Known:
    """What the rows of a file have said so far."""

    def __init__(self) -> None:
        self._answers: dict[str, str] = {}
        self._rows: set[tuple[str, str | None]] = set()
        self._scores: dict[str, tuple[str, str | None]] = {}

    def is_new(self, item_id: str, chosen: str | None, answers: list[str]) -> bool:
        """Whether the item is new. Raises Wrong for a second row of item and filter, or one with other answers."""
        if (item_id, chosen) in self._rows:
            raise Wrong(f"it is a second row of doc_id {item_id} and filter {chosen}")
        self._rows.add((item_id, chosen))
        is_new, said = item_id not in self._answers, digest(answers)[:16]
        if self._answers.setdefault(item_id, said) != said:
            raise Wrong(f"an earlier row of doc_id {item_id} has other answers, as if of another run")
        return is_new

    def score(self, metric: str, chosen: str | None) -> str:
        """The name of a score: its metric's, with the filter if there is one."""
        name = metric if chosen in (None, "none") else f"{metric}.{chosen}"
        if self._scores.setdefault(name, (metric, chosen)) != (metric, chosen):
            raise Wrong(f"two metrics and filters would be the score {name!r}")
        return name


def _of_row(row: Mapping[str, Any], known: _Known) -> Iterator[Sample]:
    if not isinstance(row.get("doc_id"), str | int) or isinstance(row["doc_id"], bool):
        raise Wrong("its doc_id is no text and no whole number")
    item_id, chosen = str(row["doc_id"]), optional_text(row.get("filter"), "filter")
    requests = list(_requests(row.get("arguments")))
    if not requests or not requests[0]:
        raise Wrong("it has no arguments")
    prompt = _prompt(text(requests[0][0], "the prompt in arguments"))
    item = {"input": prompt, "reference": row.get("target"), "doc": row.get("doc")}
    scores = {known.score(metric, chosen): value for metric, value in _values(row)}
    answers = _answers(row.get("resps"), requests)
    is_new = known.is_new(item_id, chosen, answers)
    for number, answer in enumerate(answers):
        yield Sample(item_id, number, item, {}, {"output": answer} if is_new else None, scores)


def _requests(arguments: Any) -> Iterator[list[Any]]:
    """The arguments of each request: the prompt, and settings or the text whose likelihood was asked for."""
    if isinstance(arguments, dict):
        yield from (list(object_of(each, "a request in arguments").values()) for each in arguments.values())
    else:
        yield from (list_of(each, "a request in arguments") for each in list_of(arguments, "arguments"))


def _prompt(asked: str) -> str:
    """The prompt; messages of a chat, which are written as JSON, as paragraphs."""
    if not asked.startswith('[{"role"'):
        return asked
    try:
        return "\n\n".join(f"{each['role']}: {each['content']}" for each in json.loads(asked))
    except (ValueError, KeyError, TypeError, RecursionError):
        return asked


def _answers(resps: Any, requests: list[list[Any]]) -> list[str]:
    """Each answer to the item; where likelihoods were asked for, the likeliest text."""
    replies = [list_of(each, "an entry of resps") for each in list_of(resps, "resps")]
    if not replies or not all(replies) or len(replies[0]) > MOST_SAMPLES:
        raise Wrong(f"resps has not 1 to {MOST_SAMPLES} answers")
    if isinstance(replies[0][0], str):
        if len(replies) > 1:
            raise Wrong("resps has answers to several requests")
        return [text(each, "an answer in resps") for each in replies[0]]
    likelihoods = [_likelihood(each[0]) for each in replies]
    if len(likelihoods) > len(requests):
        raise Wrong("resps has more likelihoods than there are arguments")
    if max(likelihoods) == -inf:
        return [""]
    best = requests[likelihoods.index(max(likelihoods))]
    return [best[1].strip() if len(best) > 1 and isinstance(best[1], str) else ""]


def _likelihood(reply: Any) -> float:
    """The logarithm; the least of all if it is no finite number."""
    value = next(iter(reply), None) if isinstance(reply, list) else reply
    number = finite(float(value) if isinstance(value, str) else value)
    return -inf if number is None else number


def _values(row: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    named = [text(each, "a name in metrics") for each in list_of(row.get("metrics"), "metrics")]
    for name in dict.fromkeys(named or [each for each in row if each not in _NO_METRIC]):
        value = row.get(name)
        if value is None or isinstance(value, int | float):
            yield name, finite(value)
