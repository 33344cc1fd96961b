"""Where the error of a number comes from: items, prompt variants, samples, a judge's repeats. Numbers in, numbers out.

The model is that of generalizability theory (Cronbach et al. 1972; Brennan 2001): items and prompt variants crossed,
both drawn from more of their kind, samples within both, repeats of a judge within samples. The components are estimated
from mean squares (Searle 1971, chapter 9); one that comes out below 0 is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Components", "components"]

CALLS = 100


@dataclass(frozen=True, slots=True)
class Components:
    """Variances of single scores, and how many there are of what they come from."""

    item: float
    prompt: float | None
    """Of the prompt variants' means; None if there is one."""
    item_by_prompt: float | None
    """Of how differently the variants do on the same item; with one sample, that of samples is in it."""
    sample: float | None
    """Of answers to the same prompt, without what a judge's repeats add; None if there is one of each."""
    repeat: float | None
    """Of a judge's verdicts on the same answer; None if there is one of each, or no judge."""
    items: int
    prompts: int
    samples: float
    repeats: float

    def error(self, items: float = 0, prompts: float = 0, samples: float = 0, repeats: float = 0) -> float:
        """The standard error of the mean, with so many more of each."""
        i, v = self.items + items, self.prompts + prompts
        s, r = self.samples + samples, self.repeats + repeats
        parts = (
            self.item / i, (self.prompt or 0) / v, (self.item_by_prompt or 0) / (i * v),
            (self.sample or 0) / (i * v * s), (self.repeat or 0) / (i * v * s * r),
        )  # fmt: skip
        return float(np.sqrt(sum(parts)))

    def after(self, calls: int = CALLS) -> dict[str, float]:
        """The standard error after so many more calls, by what they are spent on; only what the data can tell of."""
        cells = self.items * self.prompts
        found = {"items": self.error(items=calls / (self.prompts * self.samples))}
        if self.prompt is not None:
            found["prompt variants"] = self.error(prompts=calls / (self.items * self.samples))
        if self.sample is not None:
            found["samples"] = self.error(samples=calls / cells)
        if self.repeat is not None:
            found["judge repeats"] = self.error(repeats=calls / (cells * self.samples))
        return found

    def shares(self) -> dict[str, float]:
        """Of the variance of the mean, the share that comes from each."""
        i, v = self.items, self.prompts
        parts = {
            "items": self.item / i, "prompt variants": (self.prompt or 0) / v,
            "items by prompt variants": (self.item_by_prompt or 0) / (i * v),
            "samples": (self.sample or 0) / (i * v * self.samples),
            "judge repeats": (self.repeat or 0) / (i * v * self.samples * self.repeats),
        }  # fmt: skip
        known = {
            "items": True, "prompt variants": self.prompt is not None,
            "items by prompt variants": self.item_by_prompt is not None, "samples": self.sample is not None,
            "judge repeats": self.repeat is not None,
        }  # fmt: skip
        total = sum(parts.values())
        return {name: part / total if total else 0.0 for name, part in parts.items() if known[name]}


def components(
    means: NDArray[np.float64],
    within: float | None = None,
    samples: float = 1.0,
    repeat: float | None = None,
    repeats: float = 1.0,
) -> Components:
    """Split the variance of a table of item by prompt variant.

    `means` are of the samples; `within` is the variance of samples of one cell, `repeat` that of a judge's verdicts on
    one answer, None if it is not known.
    """
    items, prompts = means.shape
    total = means.mean()
    of_items = means.mean(axis=1)
    sample = None if within is None else max(0.0, within - (repeat or 0.0) / repeats)
    inside = ((sample or 0.0) + (repeat or 0.0) / repeats) / samples
    square_items = prompts * float(np.sum((of_items - total) ** 2)) / max(items - 1, 1)
    if prompts == 1:
        return Components(
            max(0.0, square_items - inside), None, None, sample, repeat, items, prompts, samples, repeats
        )  # fmt: skip
    of_prompts = means.mean(axis=0)
    left = means - of_items[:, None] - of_prompts[None, :] + total
    square_left = float(np.sum(left**2)) / max((items - 1) * (prompts - 1), 1)
    square_prompts = items * float(np.sum((of_prompts - total) ** 2)) / (prompts - 1)
    return Components(
        max(0.0, (square_items - square_left) / prompts), max(0.0, (square_prompts - square_left) / items),
        max(0.0, square_left - inside), sample, repeat, items, prompts, samples, repeats,
    )  # fmt: skip
