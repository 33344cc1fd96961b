"""What each model is sent of the settings that a grid or a judge asks for: its own differences are applied here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from themis_core.plugins import Composition, Scorer, SimulatedUser
from themis_core.reading import Place
from themis_core.specs import InferenceParamsSpec, ModelParamsSpec, ModelSpec
from themis_documents.mistakes import in_words

__all__ = ["check_judging_params", "check_model_params", "check_user_params", "own_settings"]


def own_settings(model: ModelSpec, params: InferenceParamsSpec) -> InferenceParamsSpec:
    """One setting of a grid as a model gets it. Raises ValueError if it can't be made."""
    return InferenceParamsSpec.model_validate(model.params.applied(params.given()))


def check_model_params(composition: Composition, place: Place) -> None:
    """Try every model's own settings on the grids of its slices. `place` is the benchmark's. Raises SpecError."""
    for index, model in enumerate(composition.benchmark.models):
        slices = [each for each in composition.slices if any(m.spec.model_id == model.model_id for m in each.models)]
        grid = [params.given() for each in slices for params in each.params]
        if grid:
            at = place.at("models", index, "params")
            _check(model.params, grid, at, "no setting of its slices has it")
            for params in grid:
                _check_once(model.params.applied(params), at)


def check_judging_params(scorer: Scorer, asked: Sequence[dict[str, Any]], place: Place) -> None:
    """The same for judging models; `asked` are the settings that the judge's own questions have. Raises SpecError."""
    for index, judging in enumerate(scorer.judges or ()):
        given = [{**judging.params.given(), **each} for each in asked]
        at = place.at("judge", index, "model", "params")
        own = judging.model.spec.params
        _check(own, given, at, "neither its `params` nor the judge sets it")
        for each in given:
            judging.model.check_params(own.applied(each), place.at("judge", index))


def check_user_params(users: Iterable[SimulatedUser]) -> None:
    """The same for models that play users, and what their engines can't do. Raises SpecError."""
    for user in users:
        model, given = user.model, user.params.given()
        at = user.place.at("model", "params")
        _check(model.spec.params, [given], at, "`params` of the user don't set it")
        sent = model.spec.params.applied(given)
        _check_once(sent, at)
        if (sent.get("logprobs") or sent.get("top_logprobs")) and not model.engine.capabilities.logprobs:
            raise user.place.error(f"engine {model.component!r} of the simulated user can't do logprobs")
        model.check_params(sent, user.place / "params")


def _check(own: ModelParamsSpec, given: Sequence[dict[str, Any]], place: Place, otherwise: str) -> None:
    for kind, step in own.unset(given):
        name = own.leave_out[step] if isinstance(step, int) else step
        told = "left out" if kind == "leave_out" else "renamed"
        raise place.at(kind, step).error(f"{name!r} can't be {told}: {otherwise}")
    for each in given:
        try:
            own.applied(each)
        except ValueError as error:
            raise (place / "rename").error(str(error)) from None


def _check_once(sent: dict[str, Any], place: Place) -> None:
    """What a model sets may be what a setting of the grid sends by another name."""
    try:
        InferenceParamsSpec.model_validate(sent)
    except ValidationError as error:
        raise place.error(in_words(error.errors()[0])) from None
