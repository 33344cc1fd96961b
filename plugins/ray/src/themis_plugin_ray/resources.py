"""What a worker is to be given of a node: what was asked for, or what its engines need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from themis_core import Needs, SpecError

__all__ = ["Wanted", "fitting", "in_words"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for each worker; None: what its engines need."""

    gpus: float | None = None
    cpus: float | None = None
    memory_bytes: int | None = None

    def given(self, needs: Needs) -> Needs:
        """What each worker gets. Raises SpecError if that is less than its engines need."""
        pairs = {
            "gpus": (self.gpus, needs.gpus, "--gpus-per-worker"),
            "cpus": (self.cpus, needs.cpus, "--cpus-per-worker"),
            "memory_bytes": (self.memory_bytes, needs.memory_bytes, "--memory-per-worker"),
        }
        for asked, needed, option in pairs.values():
            if asked is not None and asked < needed:
                raise SpecError(
                    f"{option} is {asked:g}, and the engines of a worker need {needed:g}, as `themis plan` shows: "
                    "leave it out, or choose another config of the engines"
                )
        found = {name: needed if asked is None else asked for name, (asked, needed, _) in pairs.items()}
        if self.cpus is None:
            found["cpus"] = max(1, needs.cpus)
        try:
            return Needs(**found)  # type: ignore[arg-type]
        except ValueError as error:
            raise SpecError(f"resources of a worker: {error}") from None


def fitting(nodes: Sequence[Mapping[str, Any]], each: Needs) -> int:
    """How many workers the living nodes of `ray.nodes()` would have room for, if nothing else ran on them."""
    return sum(_on(node["Resources"], each) for node in nodes if node["Alive"])


def _on(resources: Mapping[str, float], each: Needs) -> int:
    wanted = {"GPU": each.gpus, "CPU": each.cpus, "memory": each.memory_bytes}
    counts = [int(resources.get(name, 0) / amount + 1e-9) for name, amount in wanted.items() if amount]
    return min(counts, default=1_000_000)


def in_words(each: Needs) -> str:
    """`1 GPU, 2 CPU and 24 GB of memory`."""
    named = [f"{amount:g} {name}" for amount, name in ((each.gpus, "GPU"), (each.cpus, "CPU")) if amount]
    if each.memory_bytes:
        named.append(f"{each.memory_bytes / 1e9:g} GB of memory")
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]])) if named else "nothing"
