"""What a plan says of batches: which calls go into some, at what price, and what is at a provider already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from themis_core.components import Store
from themis_core.planning import Plan
from themis_core.plugins import ComposedModel
from themis_core.specs import PriceSpec

__all__ = ["Batched"]


class Batched:
    """The batches of one plan; `store` tells which are open."""

    def __init__(self, made: Plan, store: Store | None) -> None:
        self._spec = made.composition.project.execution_policy.batches
        self._models = {model.spec.model_id: model for each in made.slices for model in each.composed.models}
        self._prices: dict[str, PriceSpec | None] = {}
        self._submitted = {key for each in store.open_batches() for key in each.keys} if store is not None else set()

    def has(self, key: str) -> bool:
        """Whether a request is in a batch that is open."""
        return key in self._submitted

    def price_of(self, model: ComposedModel) -> PriceSpec | None:
        """What a model's calls are counted by."""
        label, price = model.spec.model_id, model.spec.price
        if price is None or self._spec is None or not self._spec.covers(label):
            return price
        if label not in self._prices:
            self._prices[label] = price.in_batch()
        return self._prices[label]

    def count(self, rows: Iterable[dict[str, Any]]) -> None:
        """Tell of each model how many batches its calls go into, as far as their number says that."""
        for row in rows:
            label = row["model_id"]
            if row["calls"] and self._spec is not None and label in self._models and self._spec.covers(label):
                most = self._models[label].engine.batch_limits.max_requests
                row["batches"] = -(-row["calls"] // min(most, self._spec.max_requests or most))
