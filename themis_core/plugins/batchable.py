"""Which models can be asked by batches: the others are refused before anything is paid for."""

from __future__ import annotations

from collections.abc import Mapping

from themis_core.plugins.composed import ComposedModel
from themis_core.reading import Place
from themis_core.specs import BatchesSpec, BenchmarkSpec
from themis_wording.guessing import did_you_mean

__all__ = ["check_batches"]


def check_batches(
    spec: BatchesSpec,
    benchmark: BenchmarkSpec,
    models: Mapping[str, ComposedModel],
    place: Place,
    max_cost: float | None,
) -> None:
    """Raise SpecError for a model that is named and not there, whose engine takes no batches, or with which a slice
    talks in several turns. `models` are those under test, by label."""
    for index, label in enumerate(() if spec.models == "all" else spec.models):
        if label not in models:
            raise place.at("models", index).error(
                f"no model {label!r}; there are {', '.join(models)}.{did_you_mean(label, list(models))}"
            )
    for label in models if spec.models == "all" else spec.models:
        engine = models[label].engine
        if not engine.capabilities.batches:
            raise (place / "models").error(
                f"model {label!r}: engine {models[label].component!r} takes no batches: list the models that are to be "
                "asked by batches, without this one"
            )
        price = models[label].spec.price
        if max_cost is not None and price is not None and price.batch is None:
            raise (place / "models").error(
                f"model {label!r} has no price for batches, so max_cost can't bound what it spends: give its price a "
                "`batch`, such as 0.5 for half of it"
            )
    chosen = set(models if spec.models == "all" else spec.models)
    for each in benchmark.slices:
        asked = {model.model_id for model in benchmark.models_for(each)} & chosen if each.generation else set()
        for variant in benchmark.variants_for(each) if asked else ():
            if variant.follow_ups or variant.conversation is not None:
                raise (place / "models").error(
                    f"slice {each.slice_id!r} talks with {', '.join(sorted(asked))} in several turns (prompt variant "
                    f"{variant.id!r}), and each turn would wait hours for the one before: list the models that are to "
                    "be asked by batches, without these"
                )
