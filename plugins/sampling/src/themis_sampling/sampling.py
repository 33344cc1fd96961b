"""Takes items by the SHA-256 over seed and item id, those of smallest hash.

That needs no random generator, so it is equal on every platform and Python version, does not depend on the order of the
rows, and appending rows to a dataset displaces at most as many sampled items as were added.
"""

from __future__ import annotations

import hashlib
import heapq

__all__ = ["Strata", "allot", "rank"]


def rank(seed: int, item_id: str) -> int:
    """The item's place in the random order of a seed, in [0, 2**64)."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{item_id}".encode("utf-8", "surrogatepass")).digest()[:8], "big")


def allot(count: int, sizes: dict[str, int]) -> dict[str, int]:
    """Share `count` among strata in proportion to their sizes, by largest remainder; ties go by stratum name.

    Needs count <= the sum of sizes; then no stratum gets more than it has.
    """
    total = sum(sizes.values())
    shares = {name: divmod(count * size, total) for name, size in sizes.items()}
    allotted = {name: whole for name, (whole, _) in shares.items()}
    by_remainder = sorted(shares, key=lambda name: (-shares[name][1], name))
    for name in by_remainder[: count - sum(allotted.values())]:
        allotted[name] += 1
    return allotted


class Strata:
    """The items of smallest rank per stratum, as many as could be needed."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._sizes: dict[str, int] = {}
        self._heaps: dict[str, list[tuple[int, int]]] = {}

    def add(self, ordinal: int, item_id: str, stratum: str) -> None:
        heap = self._heaps.setdefault(stratum, [])
        self._sizes[stratum] = self._sizes.get(stratum, 0) + 1
        entry = (-rank(self._seed, item_id), ordinal)  # negative: the heap gives up its largest rank first
        if len(heap) < self._count:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)

    def chosen(self) -> frozenset[int]:
        allotted = allot(self._count, self._sizes)
        return frozenset(
            ordinal for name, heap in self._heaps.items() for _, ordinal in heapq.nlargest(allotted[name], heap)
        )
