"""Specs of who answers: models, what they cost, and how their settings differ from those of a grid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field, field_serializer, field_validator, model_validator

from themis_core.specs.base import Spec
from themis_core.specs.inference import ANSWERS_AT_TOP, InferenceParamsSpec
from themis_core.specs.prices import PriceSpec
from themis_wording import did_you_mean

__all__ = ["JudgeInferenceSpec", "ModelParamsSpec", "ModelSpec"]

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
            if sent in ANSWERS_AT_TOP - {"n"}:
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
    price: PriceSpec | None = Field(None, description="Token prices, if cost is to be counted; before `prices`.")
    params: ModelParamsSpec = Field(
        default_factory=lambda: ModelParamsSpec(), description="How its settings differ from those of the others."
    )

    @property
    def sent(self) -> str:
        """The name that the server is sent."""
        return self.model or self.model_id


class JudgeInferenceSpec(Spec):
    """The model that a judge asks, and how."""

    model: ModelSpec = Field(description="The judging model.")
    params: InferenceParamsSpec = Field(default_factory=InferenceParamsSpec, description="Its settings.")
    extras: dict[str, Any] = Field(default_factory=dict, description="Added to the model's engine config.")
    repeats: int = Field(1, ge=1, description="How often each request is asked, as samples of their own.")


def _is_name(name: str) -> bool:
    return name in InferenceParamsSpec.model_fields or (name.startswith(_IN_BODY) and name != _IN_BODY)


def _names(given: dict[str, Any]) -> set[str]:
    return {*given, *_flat(given)}


def _flat(given: dict[str, Any]) -> dict[str, Any]:
    """Settings with each key of `extra_body` as a setting of its own."""
    body = given.get("extra_body", {})
    flat = {name: value for name, value in given.items() if name != "extra_body"}
    return flat | {f"{_IN_BODY}{name}": value for name, value in body.items()}
