"""Steps of an application as a judge reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from themis_core import Step
from themis_plugin_judge.markers import as_text

__all__ = ["STEPS"]

NOTHING: Final = "(none)"


def _steps(steps: Sequence[Step]) -> str:
    """Each step with what went in and what came out."""
    return "\n\n".join(_step(number, each) for number, each in enumerate(steps, 1)) or NOTHING


def _step(number: int, step: Step) -> str:
    lines = [f"{number}. {step.kind} {step.name}".rstrip()]
    values = [(name, getattr(step, name)) for name in ("input", "output", "error")]
    lines += [f"{name}: {as_text(value)}" for name, value in values if value is not None]
    return "\n".join([*lines, *(["(too long to be shown)"] if step.left_out else [])])


def _retrieved(steps: Sequence[Step]) -> str:
    """What retrievals gave, document by document where they gave a list."""
    found = [each.output for each in steps if each.kind == "retrieval" and each.output is not None]
    documents = [document for output in found for document in (output if isinstance(output, list) else [output])]
    return "\n\n".join(as_text(each) for each in documents) or NOTHING


STEPS: Final[Mapping[str, Callable[[Sequence[Step]], str]]] = {"steps": _steps, "retrieved": _retrieved}
"""By the names under which prompts show them."""
