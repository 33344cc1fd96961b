"""What calls cost, and how much of it is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Protocol, TypeVar

__all__ = ["RunCost", "UNKNOWN_COST"]

UNKNOWN_COST: Final = "unknown_cost"
"""In an answer's `provider`: the fields of its `RunCost`, if a part of it is unknown."""


class Paid(Protocol):
    """An answer, a dataclass that tells what it cost."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def cost(self) -> float | None: ...

    @property
    def provider(self) -> Mapping[str, Any]:
        """What is known of it besides: plain data by name."""


Answer = TypeVar("Answer", bound=Paid)


@dataclass(frozen=True, slots=True)
class RunCost:
    """What calls cost, in the currency of the prices: from `known` to `most`. Costs can be added."""

    known: float | None = None
    """Of the calls whose token counts are known; None if there are none with a price."""
    unknown_calls: int = 0
    """Calls whose cost is not known: no usable token counts, no reply, or no price."""
    unknown_most: float | None = 0.0
    """The most that those can have cost together; None if one of them has no price."""

    @property
    def most(self) -> float:
        """The most that all can have cost, calls without a price left out."""
        return (self.known or 0.0) + (self.unknown_most or 0.0)

    @property
    def at_most(self) -> float | None:
        """`most`, if that is the most that all can have cost; None if a call has no price, or none has one."""
        return self.most if self and self.unknown_most is not None else None

    def __bool__(self) -> bool:
        return self.known is not None or self.unknown_calls > 0

    def __add__(self, other: RunCost) -> RunCost:
        known, more = self.known, other.known
        most, most_more = self.unknown_most, other.unknown_most
        return RunCost(
            more if known is None else known if more is None else known + more,
            self.unknown_calls + other.unknown_calls,
            None if most is None or most_more is None else most + most_more,
        )

    @classmethod
    def of(cls, generation: Paid) -> RunCost:
        """What an answer that is stored cost, attempts that failed included."""
        unknown = generation.provider.get(UNKNOWN_COST)
        return cls(generation.cost) if unknown is None else cls(**unknown)

    def put_into(self, generation: Answer) -> Answer:
        """The answer with this cost. Where a part is unknown its `cost` is None, and `provider` tells the parts."""
        provider = {name: value for name, value in generation.provider.items() if name != UNKNOWN_COST}
        if not self.unknown_calls:
            return replace(generation, cost=self.known, provider=provider)
        parts = {"known": self.known, "unknown_calls": self.unknown_calls, "unknown_most": self.unknown_most}
        return replace(generation, cost=None, provider={**provider, UNKNOWN_COST: parts})
