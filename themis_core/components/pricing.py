"""Tables of prices that plugins bring."""

from __future__ import annotations

from abc import ABC, abstractmethod

from themis_core.specs import PriceSpec

__all__ = ["PriceTable"]


class PriceTable(ABC):
    """A table of what models cost, which a plugin registers. It is made without arguments, only if a spec names it.

    Raise SpecError from `__init__` for what it lacks.
    """

    currency: str = "USD"

    @property
    @abstractmethod
    def version(self) -> str:
        """Which table it is, for the manifest: the package and its version, or a date."""

    @abstractmethod
    def price(self, model: str, provider: str, endpoint: str) -> PriceSpec | None:
        """The prices of a model, by the name that its server is sent; None if they are not known.

        `provider` is the engine, such as `openai/chat`, and `endpoint` what limits apply to, such as a URL's origin.
        A guess is worse than None: what is unknown is said to be. No network.
        """
