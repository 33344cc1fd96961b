"""Checks a slice before anything is called: settings, prompts and judges, item by item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from themis_core.components import Capabilities, Judge, JudgedAnswer, JudgeRequest
from themis_core.errors import SpecError
from themis_core.planning.handing import handing_of
from themis_core.planning.identities import condition_of, conditions_of
from themis_core.planning.settings import check_judging_params, check_user_params, own_settings
from themis_core.planning.slices import PlannedSlice
from themis_core.planning.templates import Prompt
from themis_core.plugins import ComposedModel, ComposedSlice, Scorer, from_outside, in_its_time
from themis_core.reading import Place
from themis_core.records import Generation, Item
from themis_core.specs import InferenceParamsSpec
from themis_plain import own

__all__ = ["check_items", "check_judges", "check_settings", "questions"]

WANTED_BY = {
    "logprobs": "`logprobs` or `top_logprobs` asks for it",
    "n": "`n` asks for several choices",
    "tools": "`tools`, or a message with calls of tools, asks for it",
    "structured": "`response_format` asks for it",
    "images": "a part of a prompt is an image",
    "audio": "a part of a prompt is sound",
    "files": "a part of a prompt is a file",
}
"""Capability of an engine to what in a spec needs it."""


def check_settings(planned: PlannedSlice) -> None:
    """Refuse what models, judges and users can't be set to. Raises SpecError."""
    composed = planned.composed
    check_user_params(composed.users.values())
    for model in composed.models:
        for _, params in conditions_of(model, composed.params):
            sent = own_settings(model.spec, params)
            _check_capabilities(model, sent, planned.prompts, composed.place / "generation")
    _check_labels(composed)
    _check_baselines(planned)


def _check_baselines(planned: PlannedSlice) -> None:
    """Refuse to compare what is asked without a prompt with the answers to several."""
    if len(planned.prompts) < 2 or all(model.reads_prompt for model in planned.composed.models):
        return
    for scorer in planned.scorers:
        if scorer.baseline is not None and scorer.baseline.reads_prompt:
            lone = next(model.spec.model_id for model in planned.composed.models if not model.reads_prompt)
            raise (planned.composed.place / "scores").error(
                f"{scorer.metric} compares with model {scorer.baseline.spec.model_id!r}, which is put "
                f"{len(planned.prompts)} prompt variants, and model {lone!r} reads none: take one variant for the slice"
            )


def check_items(planned: PlannedSlice) -> None:
    """Render every prompt for every item of its share, and hand engines what they name. Raises SpecError."""
    composed = planned.composed
    if composed.spec.generation is None:
        for item in planned.items:
            if item.output is None:
                raise (composed.place / "generation").error(
                    f"item {item.id!r} carries no output, and none is generated"
                )
        return
    handings = [each for model in composed.models if (each := handing_of(model, composed)) is not None]
    for item in planned.items:
        for prompt in planned.prompts:
            prompt.asks(item)
        for conversation in planned.conversations.values():
            conversation.check(item)
        for handing in handings:
            try:
                handing.of(item)
            except SpecError as error:
                where = planned.items.places({item.id}).get(item.id)
                at = f" ({where})" if where else ""
                raise (composed.place / "generation").error(f"{error.message}{at}") from error
    for conversation in planned.conversations.values():
        conversation.check_fields(planned.items.every())


def _check_labels(composed: ComposedSlice) -> None:
    """Refuse two labels for one thing: each call would be made once, and both rows would show the same answers."""
    labels: dict[str, str] = {}
    for model in composed.models:
        for params in composed.params:
            other = labels.setdefault(condition_of(model, params).head, model.spec.model_id)
            if other != model.spec.model_id:
                raise (composed.place / "generation").error(
                    f"the models {other!r} and {model.spec.model_id!r} are one: the same {model.spec.sent!r} of "
                    f"one engine ({model.component}), with settings that ask the same "
                    f"({params.label()}). Remove one; to draw several answers of a model, use num_samples"
                )


def check_judges(planned: PlannedSlice) -> None:
    """Let each judge write its questions about every item, so that a mistake in its prompt is found now."""
    composed = planned.composed
    places = [
        composed.place.at("scores", index, "metrics", number)
        for index, score in enumerate(composed.spec.scores)
        for number, _ in enumerate(score.metrics)
    ]
    judges = [(scorer, place) for scorer, place in zip(planned.scorers, places, strict=True) if scorer.judges]
    asked: dict[str, list[dict[str, Any]]] = {}
    unprompted = any(not model.reads_prompt for model in composed.models)
    for item in planned.items if judges else ():
        sent: list[Sequence[dict[str, Any]]] = [planned.prompts[0].asks(item).messages] if planned.prompts else []
        for messages in sent if sent and not unprompted else [*sent, ()]:
            for scorer, place in judges:
                try:
                    written = questions(scorer, item, messages)
                except SpecError as error:
                    raise (place / "config").error(error.message) from error
                # What is no request costs the judge its score in the run, and is told there.
                if params := [each.params for each in written or () if _is_request(each)]:
                    asked.setdefault(scorer.digest, params)
    for scorer, place in judges:
        if scorer.digest in asked:  # else no question can be written before there is an answer
            check_judging_params(scorer, asked[scorer.digest], place)


def _is_request(written: Any) -> bool:
    return isinstance(written, JudgeRequest) and isinstance(written.params, dict)


def questions(scorer: Scorer, item: Item, messages: Sequence[dict[str, Any]]) -> Sequence[JudgeRequest]:
    """What a judge will ask about an answer to an item, before there is one. Raises SpecError for a bad prompt.

    `messages` are what the model will be sent.
    """
    judge = scorer.scoring
    assert isinstance(judge, Judge)
    nothing = Generation("answered")
    baseline = nothing if scorer.baseline else None
    try:
        judged = own(JudgedAnswer(item, nothing, "", messages=messages, baseline=baseline))
        asked = in_its_time(scorer.component, judge, "requests", judged)
        return asked if isinstance(asked, list | tuple) else []  # the run says what is wrong with all else
    except SpecError:
        raise
    except BaseException as error:  # a judge of parsed values may not take an empty text, which is no mistake yet
        if from_outside(error):
            raise
        return []


def _check_capabilities(
    model: ComposedModel, params: InferenceParamsSpec, prompts: Sequence[Prompt], place: Place
) -> None:
    able: Capabilities = model.engine.capabilities
    wants = {
        "logprobs": bool(params.logprobs or params.top_logprobs),
        "n": (params.n or 1) > 1,
        "tools": bool(params.tools or params.tool_choice),
        "structured": params.response_format is not None,
    }
    needed = [name for name, wanted in wants.items() if wanted]
    if model.reads_prompt:
        needed += sorted(each for prompt in prompts for each in prompt.spec.needs if each not in needed)
    for capability in needed:
        if not getattr(able, capability):
            raise place.error(
                f"model {model.spec.model_id!r}: engine {model.component!r} can't do {capability} "
                f"({WANTED_BY[capability]}): use another engine for it, or leave that out"
            )
    if problem := params.problem_of_choice():
        raise place.error(f"model {model.spec.model_id!r}: {problem}")
    model.check_params(params.given(), place)
