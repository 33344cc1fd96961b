"""Specs of the settings that models are asked with: parameters, and grids of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from json import JSONDecoder
from typing import Any

from pydantic import (
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from themis_core.specs.base import Spec
from themis_core.specs.secrets import refuse_keys
from themis_documents.mistakes import in_words
from themis_plain import canonical_json, digest

__all__ = [
    "ANSWERS_AT_TOP",
    "MOST_SAMPLES",
    "GenerationSpec",
    "InferenceGridSpec",
    "InferenceParamsSpec",
    "settings_of",
]

MOST_SAMPLES = 1_000_000
"""More can only be a mistake, and to plan them would take without end."""

_FURTHER = ("extra_body", "extras")
"""Fields whose keys are settings in their own right."""
_ANSWERS = frozenset((
    "best_of", "bestOf", "candidate_count", "candidateCount", "n_completions", "num_candidates", "num_choices",
    "num_completions", "num_generations", "num_return_sequences", "num_samples",
))  # fmt: skip
"""Keys by which servers are asked for more than one answer."""
ANSWERS_AT_TOP = _ANSWERS | {"n", "num_outputs", "num_responses", "num_results", "numResults"}
"""The same, with those that may mean anything deeper within a body."""


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

    @field_validator("tools")
    @classmethod
    def _have_names(cls, value: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
        names = [tool_name(each) for each in value or ()]
        for index, (each, name) in enumerate(zip(value or (), names, strict=True)):
            if "function" in each and name is None:
                raise ValueError(f"tool {index} has no name: write {{type: function, function: {{name: ...}}}}")
        if twice := next((name for name in names if name is not None and names.count(name) > 1), None):
            raise ValueError(f"two tools have the name {twice!r}, and a call of it could mean either")
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

    def problem_of_choice(self) -> str | None:
        """Why `tool_choice` can't be followed; None if it can. Tools may stand in `extra_body` or `extras` as well."""
        if self.tool_choice is None or any("tool" in name.lower() for each in _FURTHER for name in getattr(self, each)):
            return None
        if not self.tools:
            return "tool_choice chooses among `tools`, and there are none"
        named = tool_name(self.tool_choice) if isinstance(self.tool_choice, dict) else None
        known = [each for each in map(tool_name, self.tools) if each is not None]
        if named is None or named in known or len(known) < len(self.tools):  # one in a form of its own may be it
            return None
        return f"tool_choice names {named!r}, which is none of `tools`: {', '.join(known)}"

    def given(self) -> dict[str, Any]:
        """The settings that are set, as plain data."""
        return {name: value for name, value in self.canonical().items() if value is not None and value != {}}

    def label(self) -> str:
        """A short text that tells settings apart, such as `temperature=0.7, extra_body.top_k=20`; `default` if none."""
        named = (each for name, value in self.given().items() for each in _named(name, value))
        return ", ".join(f"{name}={_short(value)}" for name, value in named) or "default"


def tool_name(tool: Mapping[str, Any]) -> str | None:
    """The name of the function that a tool, or the choice of one, is of; None if it names none."""
    function = tool.get("function", tool)
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) and name else None


def settings_of(label: str) -> dict[str, str]:
    """The settings of a label, each by its dotted name, as the label writes it."""
    found: dict[str, str] = {}
    while "=" in label:  # `default` and `recorded` are of no setting
        name, _, rest = label.partition("=")
        try:
            end = JSONDecoder().raw_decode(rest)[1]
        except ValueError:  # a word, or a value that was cut
            end = -1
        if end < 0 or rest[end : end + 2] not in ("", ", "):
            end = cut.start() if (cut := _NEXT_SETTING.search(rest)) else len(rest)
        found[name], label = rest[:end], rest[end + 2 :]
    return found


def _several_answers(settings: Mapping[str, Any], within: str = "") -> str | None:
    """The dotted name of a key that asks for another number of answers than one; None if there is none."""
    for name, value in settings.items():
        asks = name in (_ANSWERS if within else ANSWERS_AT_TOP)
        if asks and value is not None and (type(value) is not int or value != 1):
            return within + name
        if isinstance(value, dict) and (found := _several_answers(value, f"{within}{name}.")) is not None:
            return found
    return None


_WITH_PARTS = (*_FURTHER, "response_format")
"""Fields in which a dotted name of `overrides` can set a part."""
_PLAIN = re.compile(r"[A-Za-z_][\w./:+-]*", re.ASCII)
_NEXT_SETTING = re.compile(r", [a-z_][^=\s]*=")
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


class InferenceGridSpec(Spec):
    """A set of inference parameters: each of `params`, crossed with every combination of `overrides`."""

    params: list[InferenceParamsSpec] = Field(
        default_factory=lambda: [InferenceParamsSpec()], min_length=1, description="Base settings."
    )
    overrides: dict[str, list[Any]] = Field(
        default_factory=dict,
        description="Setting: the values to try; several settings are combined. A dotted name is a part of one: "
        "`extra_body.top_k`.",
        json_schema_extra={
            "propertyNames": {
                "anyOf": [
                    {"enum": [*InferenceParamsSpec.model_fields]},
                    {"pattern": rf"^({'|'.join(_WITH_PARTS)})(\.[^.]+)+$"},
                ]
            }
        },
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
    num_samples: int | None = Field(None, ge=1, le=MOST_SAMPLES, description="Samples instead of the benchmark's.")
