"""Which items are taken of many, equally on every machine, and which worked examples an item may be shown."""

from themis_sampling.examples import Example, Examples, OwnExamples
from themis_sampling.sampling import Strata, allot, rank

__all__ = ["Example", "Examples", "OwnExamples", "Strata", "allot", "rank"]
