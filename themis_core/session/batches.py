"""Cancels a batch that a run left at its provider."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from themis_core.errors import EngineError, PluginError, SpecError
from themis_core.execution import BatchCalls
from themis_core.execution.deadline import within
from themis_core.plugins import ComposedModel, Composition, blaming, compose, in_force
from themis_core.reading import ProjectLike, SpecLike, load_specs
from themis_core.records import BatchRecord

__all__ = ["cancel_batch"]

log = logging.getLogger("themis")


def cancel_batch(
    record: BatchRecord, spec: SpecLike, *, project: ProjectLike = None, base_dir: Path | None = None
) -> None:
    """Ask the provider to cancel an open batch, by the engine of the spec that reaches it.

    What was answered until then is collected by the next run. Raises SpecError if no model of the spec reaches it, or
    if it is not cancelled.
    """
    if record.ticket is None:
        raise SpecError(f"nobody knows yet whether the provider has the batch {record.nonce}: run the spec again first")
    loaded = load_specs(spec, project, (), None, (), base_dir)
    with in_force(loaded.project.execution_policy):
        try:
            asyncio.run(_cancel(compose(loaded), record))
        except EngineError as error:
            raise SpecError(f"batch {record.ticket.id} was not cancelled: {error}") from error


async def _cancel(composition: Composition, record: BatchRecord) -> None:
    assert record.ticket is not None
    model = _reaching(composition, record)
    policy, engine = composition.project.execution_policy, model.engine
    with blaming(model.component, "start"):
        await within(policy.start_timeout_s, engine.start)
    try:
        await BatchCalls(policy.attempt_timeout_s).cancel(engine, record.ticket)
    finally:
        try:
            with blaming(model.component, "stop"):
                await within(policy.stop_timeout_s, engine.stop)
        except PluginError as error:  # which changes nothing about the batch
            log.error("%s", error)


def _reaching(composition: Composition, record: BatchRecord) -> ComposedModel:
    """The model that reaches a batch: where it was submitted, or one of its name that has another address since."""
    named = [
        each for each in composition.models() if each.spec.sent == record.model_id and each.engine.capabilities.batches
    ]
    for model in (*(each for each in named if each.engine.endpoint == record.endpoint), *named):
        return model
    raise SpecError(
        f"no model of this spec is {record.model_id!r} at {record.endpoint}: name the spec that asked for it"
    )
