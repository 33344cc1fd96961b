"""Executing a plan: calls, retries, limits, scores, commits. It composes nothing and reports nothing."""

from themis_core.execution.batch_calls import BatchCalls
from themis_core.execution.endpoint import Endpoint
from themis_core.execution.forecast import Counted, JudgeForecast
from themis_core.execution.leasing import Leasing, how_many_parts
from themis_core.execution.progress import Progress, now
from themis_core.execution.runner import Runner
from themis_core.execution.scoring import here, measuring, reading
from themis_core.execution.told import failure_with_steps, generation_of
from themis_core.execution.writer import Writer

__all__ = [
    "BatchCalls",
    "Counted",
    "Endpoint",
    "JudgeForecast",
    "Leasing",
    "Progress",
    "Runner",
    "Writer",
    "failure_with_steps",
    "generation_of",
    "here",
    "how_many_parts",
    "measuring",
    "now",
    "reading",
]
