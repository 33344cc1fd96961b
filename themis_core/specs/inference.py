"""Specs of who answers and with which settings: models, parameters, grids, judges' inference."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from themis_core.specs.base import Spec, canonical_json, digest
from themis_core.specs.guessing import did_you_mean
from themis_core.specs.secrets import refuse_keys
from themis_core.specs.wording import in_words

__all__ = [
    "GenerationSpec",
    "InferenceGridSpec",
    "InferenceParamsSpec",
    "JudgeInferenceSpec",
    "ModelParamsSpec",
    "ModelSpec",
    "PriceSpec",
]


_FURTHER = ("extra_body", "extras")
"""Fields whose keys are settings in their own right."""
_ANSWERS = frozenset((
    "best_of", "bestOf", "candidate_count", "candidateCount", "n_completions", "num_candidates", "num_choices",
    "num_completions", "num_generations", "num_return_sequences", "num_samples",
))  # fmt: skip
"""Keys by which servers are asked for more than one answer."""
_ANSWERS_AT_TOP = _ANSWERS | {"n", "num_outputs", "num_responses", "num_results", "numResults"}
"""The same, with those that may mean anything deeper within a body."""


class PriceSpec(Spec):
    """What a model's tokens cost, for plans, budgets and cost accounts. One currency per benchmark."""

    input_per_million: float = Field(ge=0, description="Price of a million input tokens.")
    output_per_million: float = Field(ge=0, description="Price of a million output tokens, reasoning included.")
    cached_input_per_million: float | None = Field(
        None, ge=0, description="Price of a million input tokens read from the provider's cache."
    )
    cache_write_per_million: float | None = Field(
        None, ge=0, description="Price of a million input tokens written to it; by default that of input tokens."
    )


class ModelSpec(Spec):
    """A model under test, and the engine that reaches it."""

    model_id: str = Field(
        description="The model's label, unique among the models: shown in results, and what the spec calls it.",
        min_length=1,
    )
    model: str | None = Field(
        None,
        min_length=1,
        description="Name that the server is sent, where it is not the label; else `model_id`.",
    )
    provider: str = Field(description="Engine, `namespace/name`, such as `openai/chat`.", min_length=1)
    extras: dict[str, Any] = Field(default_factory=dict, description="Config of the engine (base URL, key variable).")
    price: PriceSpec | None = Field(None, description="Token prices, if cost is to be counted.")
    params: ModelParamsSpec = Field(
        default_factory=lambda: ModelParamsSpec(), description="How its settings differ from those of the others."
    )

    @property
    def sent(self) -> str:
        """The name that the server is sent."""
        return self.model or self.model_id


class InferenceParamsSpec(Spec):
    """Sampling and response-shape settings of a request. What is not set is not sent."""

    model_config = ConfigDict(hide_input_in_errors=True)

    temperature: float | None = Field(None, ge=0, description="Sampling temperature.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus sampling: probability mass considered.")
    top_k: int | None = Field(None, ge=1, description="Sample from the k most likely tokens.")
    min_p: float | None = Field(None, ge=0, le=1, description="Least probability relative to the likeliest token.")
    max_tokens: int | None = Field(None, ge=1, description="Most tokens that an answer may have.")
    stop: list[str] | None = Field(None, description="Texts at which generation stops.")
    seed: int | None = Field(None, description="Seed sent with sample 0; further samples derive theirs from it.")
    n: int | None = Field(None, ge=1, description="Choices asked for in one call; the first is scored, all are kept.")
    presence_penalty: float | None = Field(None, ge=-2, le=2, description="Penalty on tokens already present.")
    frequency_penalty: float | None = Field(None, ge=-2, le=2, description="Penalty growing with a token's count.")
    repetition_penalty: float | None = Field(None, gt=0, description="Multiplicative repetition penalty.")
    logprobs: bool | None = Field(None, description="Ask for the log-probabilities of the answer's tokens.")
    top_logprobs: int | None = Field(None, ge=0, le=20, description="Alternatives listed per token.")
    reasoning_effort: str | None = Field(None, description="How much a reasoning model should think.")
    response_format: dict[str, Any] | None = Field(
        None, description="Shape of the answer, such as a JSON schema, as the provider takes it."
    )
    tools: list[dict[str, Any]] | None = Field(None, description="Tools offered to the model, passed through.")
    tool_choice: str | dict[str, Any] | None = Field(None, description="Which tool to call, passed through.")
    extra_body: dict[str, Any] = Field(
        default_factory=dict,
        description="Further keys of the request body, for servers with settings of their own.",
    )
    extras: dict[str, Any] = Field(
        default_factory=dict,
        description="Further settings by the engine's own names, where Themis has none for them.",
    )

    @field_validator("extra_body", "extras", "response_format", "tools", "tool_choice", "stop", "reasoning_effort")
    @classmethod
    def _hold_no_key(cls, value: Any, info: ValidationInfo) -> Any:
        # Schemas of tools and answers may well describe a field named `password`.
        refuse_keys(value, by_name=info.field_name in ("extra_body", "extras"))
        return value

    @field_validator(*_FURTHER)
    @classmethod
    def _ask_for_one_answer(cls, value: dict[str, Any]) -> dict[str, Any]:
        if (name := _several_answers(value)) is not None:
            raise ValueError(
                f"{name} asks for several answers in one call, which no budget would count: set `num_samples` for "
                "several samples of each item, or the setting `n`, whose further choices are kept and counted"
            )
        return value

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _each_is_set_once(self) -> InferenceParamsSpec:
        places = {name: name for name in self.given() if name not in _FURTHER}
        for field in _FURTHER:
            for name in getattr(self, field):
                if (other := places.setdefault(name, f"{field}.{name}")) != f"{field}.{name}":
                    raise ValueError(f"{field}.{name}: {other} sets the same, and one of them would win: keep one")
        return self

    def given(self) -> dict[str, Any]:
        """The settings that are set, as plain data."""
        return {name: value for name, value in self.canonical().items() if value is not None and value != {}}

    def label(self) -> str:
        """A short text that tells settings apart, such as `temperature=0.7, extra_body.top_k=20`; `default` if none."""
        named = (each for name, value in self.given().items() for each in _named(name, value))
        return ", ".join(f"{name}={_short(value)}" for name, value in named) or "default"


def _several_answers(settings: Mapping[str, Any], within: str = "") -> str | None:
    """The dotted name of a key that asks for another number of answers than one; None if there is none."""
    for name, value in settings.items():
        asks = name in (_ANSWERS if within else _ANSWERS_AT_TOP)
        if asks and value is not None and (type(value) is not int or value != 1):
            return within + name
        if isinstance(value, dict) and (found := _several_answers(value, f"{within}{name}.")) is not None:
            return found
    return None


_WITH_PARTS = (*_FURTHER, "response_format")
"""Fields in which a dotted name of `overrides` can set a part."""
_PLAIN = re.compile(r"[A-Za-z_][\w./:+-]*", re.ASCII)
_SHORT = 40


def _named(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A setting by its dotted name, or each of its parts; a part whose own name has a dot stays within its whole."""
    further = name.partition(".")[0] in _FURTHER
    if further and isinstance(value, dict) and value and not any("." in key for key in value):
        for key, part in sorted(value.items()):
            yield from _named(f"{name}.{key}", part)
    else:
        yield name, value


def _short(value: Any) -> str:
    """A value for a label: words as they are, all else as JSON; what is cut has a digest, so that labels differ."""
    bare = isinstance(value, str) and _PLAIN.fullmatch(value) and value not in ("true", "false", "null")
    text: str = value if bare else canonical_json(value)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 10]}...#{digest(value)[:6]}"


_IN_BODY = "extra_body."
_NOT_RENAMED = {
    "extra_body": "its keys can be renamed, as extra_body.KEY",
    "extras": "its keys are the engine's own names already",
    "n": "budgets have to know how many answers are paid for",
    "seed": "each sample has one of its own, which the engine sends; leave_out: [seed] sends none",
}


class ModelParamsSpec(Spec):
    """How one model's settings differ from those of a grid: some are left out, then some are set, then some renamed.

    A setting is named as in `InferenceParamsSpec`, a key of `extra_body` as `extra_body.KEY`. What is renamed is sent
    as a key of the request body, as those of `extra_body` are.
    """

    set: InferenceParamsSpec = Field(
        default_factory=InferenceParamsSpec, description="Settings of this model, instead of the grid's."
    )
    rename: dict[str, str] = Field(
        default_factory=dict,
        description="Setting: the name under which this model's server takes it, such as `max_completion_tokens`.",
    )
    leave_out: list[str] = Field(
        default_factory=list, description="Settings of the grid that this model is not sent, such as `temperature`."
    )

    @model_validator(mode="before")
    @classmethod
    def _has_settings_in_set(cls, value: Any) -> Any:
        for name in value if isinstance(value, dict) else ():
            if name in InferenceParamsSpec.model_fields:
                raise ValueError(f"{name} is a setting: write it as `set: {{{name}: ...}}`")
        return value

    @field_validator("set", mode="before")
    @classmethod
    def _sets_something(cls, value: Any) -> Any:
        for name, each in value.items() if isinstance(value, dict) else ():
            if each is None and name in InferenceParamsSpec.model_fields:
                raise ValueError(f"{name}: null sets nothing; to send none, write `leave_out: [{name}]`")
        return value

    @field_serializer("set")
    def _set_alone(self, value: InferenceParamsSpec) -> dict[str, Any]:
        return value.given()

    @model_validator(mode="after")
    def _names_fit(self) -> ModelParamsSpec:
        own = _names(self.set.given())
        for name in (*self.leave_out, *self.rename):
            if not _is_name(name):
                known = [*InferenceParamsSpec.model_fields, f"{_IN_BODY}KEY"]
                raise ValueError(f"no such setting {name!r}; known: {', '.join(known)}.{did_you_mean(name, known)}")
        for name in self.leave_out:
            if name in own or name in self.rename:
                raise ValueError(
                    f"leave_out has {name!r}, and {'set' if name in own else 'rename'} has it too: keep one"
                )
        for name, sent in self.rename.items():
            if name in _NOT_RENAMED:
                raise ValueError(f"rename: {name!r} can't be renamed: {_NOT_RENAMED[name]}")
            if sent in _ANSWERS_AT_TOP - {"n"}:
                raise ValueError(f"rename: {name!r} can't become {sent!r}: {_NOT_RENAMED['n']}")
            if sent in InferenceParamsSpec.model_fields or not sent or "." in sent:
                raise ValueError(
                    f"rename: {name!r} can't become {sent!r}: name a key of the request body that is no setting itself"
                )
        if len({*self.rename.values()}) < len(self.rename):
            raise ValueError("rename gives two settings one name, and only one of them would be sent")
        return self

    def applied(self, given: dict[str, Any]) -> dict[str, Any]:
        """A model's own settings, made of given ones, as plain data as from `InferenceParamsSpec.given`.

        Raises ValueError where something else is sent under a new name.
        """
        kept = {name: value for name, value in given.items() if name not in self.leave_out}
        flat = {name: value for name, value in _flat(kept).items() if name not in self.leave_out}
        flat |= _flat(self.set.given())
        renamed = {name: flat.pop(name) for name in self.rename if name in flat}
        for name, value in renamed.items():
            sent = self.rename[name]
            if _IN_BODY + sent in flat:
                raise ValueError(f"{name!r} can't be sent as {sent!r}: extra_body has a {sent!r} already")
            flat[_IN_BODY + sent] = value
        body = {name.removeprefix(_IN_BODY): flat.pop(name) for name in [*flat] if name.startswith(_IN_BODY)}
        return {**flat, **({"extra_body": body} if body else {})}

    def unset(self, given: Iterable[dict[str, Any]]) -> list[tuple[str, str | int]]:
        """Where it leaves out or renames what no given settings have, nor its own `set`. Seeds can be derived."""
        known = {name for each in (*given, self.set.given()) for name in _names(each)} | {"seed"}
        named: list[tuple[str, str | int, str]] = [("leave_out", at, name) for at, name in enumerate(self.leave_out)]
        named += [("rename", name, name) for name in self.rename]
        return [(kind, step) for kind, step, name in named if name not in known]


ModelSpec.model_rebuild()


def _is_name(name: str) -> bool:
    return name in InferenceParamsSpec.model_fields or (name.startswith(_IN_BODY) and name != _IN_BODY)


def _names(given: dict[str, Any]) -> set[str]:
    return {*given, *_flat(given)}


def _flat(given: dict[str, Any]) -> dict[str, Any]:
    """Settings with each key of `extra_body` as a setting of its own."""
    body = given.get("extra_body", {})
    flat = {name: value for name, value in given.items() if name != "extra_body"}
    return flat | {f"{_IN_BODY}{name}": value for name, value in body.items()}


class InferenceGridSpec(Spec):
    """A set of inference parameters: each of `params`, crossed with every combination of `overrides`."""

    params: list[InferenceParamsSpec] = Field(
        default_factory=lambda: [InferenceParamsSpec()], min_length=1, description="Base settings."
    )
    overrides: dict[str, list[Any]] = Field(
        default_factory=dict,
        description="Setting: the values to try; several settings are combined. A dotted name is a part of one: "
        "`extra_body.top_k`.",
    )

    @field_validator("params", mode="before")
    @classmethod
    def _one_base(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _overrides_are_settings(self) -> InferenceGridSpec:
        for name, values in self.overrides.items():
            if problem := _problem_of(name, self.overrides):
                raise ValueError(f"overrides.{name}: {problem}")
            if not values:
                raise ValueError(f"overrides.{name}: an empty list leaves nothing to run")
        try:
            self.expand()
        except ValidationError as error:
            first = error.errors()[0]
            place = "".join(f".{step}" for step in first["loc"])
            raise ValueError(f"overrides{place}: {in_words(first)}") from None
        return self

    def expand(self) -> list[InferenceParamsSpec]:
        """All settings, in the order written: for each base, the overrides' values with the last name fastest.

        Equal settings appear once. Raises ValueError if the base leaves no room for a part that an override sets.
        """
        expanded: dict[str, InferenceParamsSpec] = {}
        for base in self.params:
            for values in product(*self.overrides.values()):
                merged = base.model_dump(exclude_unset=True)
                for name, value in zip(self.overrides, values, strict=True):
                    _put(merged, name, value)
                params = InferenceParamsSpec.model_validate(merged)
                expanded.setdefault(canonical_json(params.given()), params)
        return list(expanded.values())


def _problem_of(name: str, overrides: Mapping[str, Any]) -> str:
    """Why a name can't be swept beside the others; empty if it can."""
    setting, *parts = name.split(".")
    if setting not in InferenceParamsSpec.model_fields:
        return f"no such inference setting; known: {', '.join(InferenceParamsSpec.model_fields)}"
    if parts and setting not in _WITH_PARTS:
        return f"{setting} has no parts, so there is nothing to set in it; {', '.join(_WITH_PARTS)} have"
    if "" in parts:
        return "a name is missing beside a dot"
    whole = next((other for other in overrides if name.startswith(f"{other}.")), None)
    return f"overrides.{whole} sets it as well: keep one of the two" if whole else ""


def _put(settings: dict[str, Any], name: str, value: Any) -> None:
    """Set a setting, or a part of one, in a copy of what holds it."""
    *way, last = name.split(".")
    inside = settings
    for step in way:
        held = inside.get(step)
        if held is not None and not isinstance(held, dict):
            raise ValueError(f"overrides.{name}: {step} is set in `params`, and is no mapping that could have a part")
        inside[step] = dict(held or {})
        inside = inside[step]
    inside[last] = value


class GenerationSpec(Spec):
    """That a slice generates answers, and what it does differently from the benchmark."""

    models: list[str] | None = Field(None, description="Ids of the models to run on this slice; all by default.")
    inference_grid: InferenceGridSpec | None = Field(None, description="Settings instead of the benchmark's.")
    num_samples: int | None = Field(None, ge=1, description="Samples instead of the benchmark's.")


class JudgeInferenceSpec(Spec):
    """The model that a judge asks, and how."""

    model: ModelSpec = Field(description="The judging model.")
    params: InferenceParamsSpec = Field(default_factory=InferenceParamsSpec, description="Its settings.")
    extras: dict[str, Any] = Field(default_factory=dict, description="Added to the model's engine config.")
    repeats: int = Field(1, ge=1, description="How often each request is asked, as samples of their own.")


Direction = Literal["higher", "lower"]
