"""Events as the log keeps them: plain data in which long texts are ids of payloads. To that form and back.

The projections are made from facts alone, so the log can make them again. No SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any, TypeAlias

from themis_core import (
    BatchEnded,
    BatchIntended,
    BatchSubmitted,
    Event,
    Generation,
    GenerationRecorded,
    Item,
    ItemRecorded,
    Request,
    RunFinished,
    RunStarted,
    ScoreEntry,
    Step,
    TrialFinished,
    Usage,
)
from themis_sql.codec import from_json, json_text
from themis_sql.payloads import NewPayloads

__all__ = [
    "COUNTS",
    "Fact",
    "fact_of",
    "generation_from",
    "item_from",
    "item_of",
    "item_texts",
    "keys_from",
    "payload_ids",
    "plain_event",
]

Fact: TypeAlias = dict[str, Any]

_DETAILS = ("reasoning", "refusal", "error", "logprobs")
_DETAIL_LISTS = ("alternatives", "tool_calls", "provider")
_TUPLES = ("alternatives", "tool_calls", "logprobs")
COUNTS = tuple(each.name for each in fields(Usage))
_OPTIONAL = ("error_code", "finish_reason", "cost", "latency_s")
_NO_USAGE = Usage()
_SHORT = 200
"""What was extracted stays in the log if its JSON is up to this length; longer texts become payloads."""
_ITEM = 2_000
"""So does an item: hardly anybody reads it, and beside others like it, it is compressed well."""
_ASKED = 64
"""Bytes of an item's longest text from which on it is looked for in what was asked."""
_LIMIT = 2**63


def fact_of(event: Event, messages: str, payloads: NewPayloads) -> Fact:
    """Return the fact that says what the event says; its texts join `payloads`.

    `messages` are a request's rendered messages, as the text that requests share. For an item, they are those of a
    request about it that is saved beside it, or empty; so for other events.
    """
    if isinstance(event, GenerationRecorded):
        return _generation_fact(event, messages, payloads)
    if isinstance(event, TrialFinished):
        return _trial_fact(event, payloads)
    if isinstance(event, ItemRecorded):
        return _item_fact(event.item, messages, payloads)
    fact: Fact = {"kind": event.kind, "run_id": event.run_id, "at": event.at}
    if isinstance(event, RunStarted | RunFinished) and event.part is not None:
        fact["part"] = event.part
    if isinstance(event, RunStarted):
        dimensions = _dimensions(event.manifest)
        manifest = {"manifest": payloads.own(json_text(event.manifest))}
        return {**fact, **manifest, **({"dimensions": dimensions} if dimensions else {})}
    if isinstance(event, RunFinished):
        return {**fact, "status": event.status, "counts": event.counts}
    if isinstance(event, BatchIntended | BatchSubmitted | BatchEnded):
        return {**fact, "nonce": event.nonce, **_batch_fact(event, payloads)}
    raise TypeError(f"not an event: {type(event).__name__}")


def _batch_fact(event: BatchIntended | BatchSubmitted | BatchEnded, payloads: NewPayloads) -> Fact:
    if isinstance(event, BatchIntended):
        keys = payloads.own("\n".join(event.keys))
        return {"endpoint": event.endpoint, "model_id": event.model_id, "requests": len(event.keys), "keys": keys}
    if isinstance(event, BatchSubmitted):
        return {"ticket": {"id": event.ticket.id, "details": event.ticket.details}}
    return {"outcome": event.outcome}


def keys_from(text: str) -> tuple[str, ...]:
    """The generation keys of a batch, from the text that holds them."""
    return tuple(text.split("\n")) if text else ()


def _dimensions(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The dimensions of each slice that has some: projections are made of facts alone, and manifests are texts."""
    of_slices = manifest.get("dimensions")
    return {name: each for name, each in of_slices.items() if each} if isinstance(of_slices, dict) else {}


def _item_fact(item: Item, messages: str, payloads: NewPayloads) -> Fact:
    content = {"fields": item.fields, "reference": item.reference, "metadata": item.metadata}
    for name in ("output", "model"):
        if (value := getattr(item, name)) is not None:
            content[name] = value
    return {
        "kind": "item",
        "digest": item.digest,
        "item_id": item.id,
        "content": _item_content(json_text(content), _longest_text(item), messages, payloads),
        "metadata": json_text(item.metadata),
    }


def _longest_text(item: Item) -> str:
    """Return the longest text among an item's fields, as it stands in JSON, without its quotes."""
    texts = [value for value in item.fields.values() if isinstance(value, str)]
    return json_text(max(texts, key=len))[1:-1] if texts else ""


def _item_content(text: str, longest: str, messages: str, payloads: NewPayloads) -> str | int | list[Any]:
    """Return how the log keeps an item's JSON: itself, or the number of a payload; or, without what was asked anyway,
    as a list of what stands before that, the number of the payload with it, its start and length there, and the rest.
    """
    if messages and len(longest) >= _ASKED and (start := messages.find(longest)) >= 0:
        before, found, after = text.partition(longest)
        if found and len(before) + len(after) <= _ITEM:
            return [before, payloads.shared(messages), start, len(longest), after]
    return text if len(text) <= _ITEM else payloads.own(text)


def item_texts(fact: Fact) -> list[int]:
    """Return the numbers of the payloads that hold an item's content, or a part of it."""
    content = fact["content"]
    if isinstance(content, list):
        return [content[1]]
    return [] if isinstance(content, str) else [content]


def item_of(fact: Fact, texts: Mapping[int, str]) -> Item:
    """Build an item from its fact; `texts` has those of its `item_texts`, by their numbers."""
    content = fact["content"]
    if isinstance(content, list):
        before, number, start, length, after = content
        content = before + texts[number][start : start + length] + after
    return item_from(fact["digest"], fact["item_id"], content if isinstance(content, str) else texts[content])


def item_from(digest: str, item_id: str, content: str) -> Item:
    return Item(id=item_id, digest=digest, **from_json(content))


def _generation_fact(event: GenerationRecorded, messages: str, payloads: NewPayloads) -> Fact:
    request, generation = event.request, event.generation
    fact: Fact = {
        "kind": "generation",
        "key": event.key,
        "run_id": event.run_id,
        "at": event.at,
        "model_id": request.model_id,
        "params": request.params,
        "item_id": request.item_id,
        "sample_index": request.sample_index,
        "messages": payloads.shared(messages),
        "status": generation.status,
        "attempts": generation.attempts,
    }
    detail: dict[str, Any] = {}
    if request.seed is not None:
        (fact if -_LIMIT <= request.seed < _LIMIT else detail)["seed"] = request.seed
    if generation.usage != _NO_USAGE:
        usage = [getattr(generation.usage, name) for name in COUNTS]
        while usage[-1] is None:  # so that a further count changes nothing that was written without it
            usage.pop()
        fits = all(each is None or -_LIMIT <= each < _LIMIT for each in usage)
        (fact if fits else detail)["usage"] = usage
    if request.key != event.key:
        detail["request_key"] = request.key
    if request.item:
        detail["request_item"] = request.item
    for name in _OPTIONAL:
        if (value := getattr(generation, name)) is not None:
            fact[name] = value
    _add_texts(generation, fact, detail, payloads)
    return fact


def _add_texts(generation: Generation, fact: Fact, detail: Fact, payloads: NewPayloads) -> None:
    """Add the answer, and as `detail` all that has no column: more texts, what else the provider said."""
    if generation.text:
        fact["answer"] = payloads.own(generation.text)
    for name in _DETAILS:
        if (value := getattr(generation, name)) is not None:
            detail[name] = value
    for name in _DETAIL_LISTS:
        if value := getattr(generation, name):
            detail[name] = value
    if generation.steps:
        detail["steps"] = [each.to_dict() for each in generation.steps]
    if generation.steps_left_out:
        detail["steps_left_out"] = generation.steps_left_out
    if detail:
        fact["detail"] = payloads.own(json_text(detail))


def generation_from(values: Mapping[str, Any], answer: str, detail: str | None) -> tuple[Generation, dict[str, Any]]:
    """Build a generation from its columns (or its fact) and texts; also return the detail that is the request's."""
    more = from_json(detail) if detail else {}
    usage = more.pop("usage", values.get("usage")) or ()
    of_request = {name: more.pop(name) for name in ("request_key", "request_item", "seed") if name in more}
    for name in _TUPLES:
        if name in more:
            more[name] = tuple(more[name])
    if "steps" in more:
        more["steps"] = tuple(map(Step.from_dict, more["steps"]))
    generation = Generation(
        values["status"],
        answer,
        attempts=values["attempts"],
        usage=Usage(*usage),
        finish_reason=values.get("finish_reason"),
        error_code=values.get("error_code"),
        cost=values.get("cost"),
        latency_s=values.get("latency_s"),
        **more,
    )
    return generation, of_request


def _trial_fact(event: TrialFinished, payloads: NewPayloads) -> Fact:
    fact = {
        "kind": "trial",
        "run_id": event.run_id,
        "at": event.at,
        "slice_id": event.slice_id,
        "trial_id": event.trial_id,
        "item_id": event.item_id,
        "item_digest": event.item_digest,
        "prompt_variant_id": event.prompt_variant_id,
        "model_id": event.model_id,
        "params": event.params,
        "sample_index": event.sample_index,
        "generation_keys": event.generation_keys,
        "outcome": event.outcome,
        "reused": event.reused,
        "scores": [_score_fact(each, payloads) for each in event.scores],
    }
    if event.error_code is not None:
        fact["error_code"] = event.error_code
    return fact


def _score_fact(entry: ScoreEntry, payloads: NewPayloads) -> Fact:
    result, extraction = entry.result, entry.extraction
    fact: Fact = {"score": entry.score, "metric": entry.metric, "key": entry.key}
    if entry.parse is not None:
        fact["parse"] = entry.parse
    if result.value is not None:
        fact["value"] = result.value
    if result.reason is not None:
        fact["reason"] = result.reason
    if result.parts:
        fact["parts"] = result.parts
    if result.details:
        fact["details"] = payloads.own(json_text(result.details))
    if extraction is not None:
        fact["parsed"] = extraction.reason is None
        if extraction.reason is not None:
            fact["parse_reason"] = extraction.reason
        if extraction.value is not None:
            text = json_text(extraction.value)
            long = len(text) > _SHORT
            fact["extracted_payload" if long else "extracted"] = payloads.own(text) if long else text
    if not entry.new:
        fact["new"] = False
    if entry.judged_by:
        fact["judged_by"] = entry.judged_by
    return fact


def payload_ids(facts: Iterable[Fact]) -> Iterator[int]:
    """Yield the ids of all payloads that the facts refer to."""
    for fact in facts:
        for name in ("manifest", "messages", "answer", "detail", "details", "extracted_payload", "keys"):
            if isinstance(number := fact.get(name), int):
                yield number
        if "content" in fact:
            yield from item_texts(fact)
        yield from payload_ids(fact.get("scores", ()))


def plain_event(fact: Fact, texts: Mapping[int, str], at: str) -> dict[str, Any]:
    """Return the event of a fact as plain data; `at` is when its group was appended."""
    kind = fact["kind"]
    if kind == "generation":
        return _plain_generation(fact, texts)
    if kind == "trial":
        scores = [_plain_score(each, texts) for each in fact["scores"]]
        return {"error_code": None, **fact, "scores": scores}
    if kind == "item":
        item = item_of(fact, texts)
        return {"kind": kind, "at": at, "item": {name: getattr(item, name) for name in Item.__slots__}}
    if kind == "run_started":
        told = {name: value for name, value in fact.items() if name != "dimensions"}
        return {**told, "manifest": from_json(texts[fact["manifest"]])}
    if kind == "batch_intended":
        told = {name: value for name, value in fact.items() if name != "requests"}
        return {**told, "keys": list(keys_from(texts[fact["keys"]]))}
    return dict(fact)


def _plain_generation(fact: Fact, texts: Mapping[int, str]) -> dict[str, Any]:
    answer = texts[fact["answer"]] if "answer" in fact else ""
    detail = texts[fact["detail"]] if "detail" in fact else None
    generation, of_request = generation_from(fact, answer, detail)
    request = Request(
        model_id=fact["model_id"],
        messages=from_json(texts[fact["messages"]]),
        params=fact["params"],
        item_id=fact["item_id"],
        sample_index=fact["sample_index"],
        seed=of_request.get("seed", fact.get("seed")),
        key=str(of_request.get("request_key", fact["key"])),
        item=of_request.get("request_item", {}),
    )
    data = {name: _as_list(value) for name, value in generation.to_dict().items()}
    asked = {name: getattr(request, name) for name in Request.__slots__}
    event = {name: fact[name] for name in ("kind", "key", "run_id", "at")}
    return {**event, "request": asked, "generation": data}


def _plain_score(fact: Fact, texts: Mapping[int, str]) -> dict[str, Any]:
    extraction = None
    if "parsed" in fact:
        text = texts[fact["extracted_payload"]] if "extracted_payload" in fact else fact.get("extracted")
        value = None if text is None else from_json(text)
        extraction = {"value": value, "reason": fact.get("parse_reason")}
    details = from_json(texts[fact["details"]]) if "details" in fact else {}
    return {
        **{name: fact.get(name) for name in ("score", "metric", "key", "parse")},
        "extraction": extraction,
        "result": {
            "value": fact.get("value"),
            "reason": fact.get("reason"),
            "parts": list(fact.get("parts", ())),
            "details": details,
        },
        "new": fact.get("new", True),
        "judged_by": list(fact.get("judged_by", ())),
    }


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
