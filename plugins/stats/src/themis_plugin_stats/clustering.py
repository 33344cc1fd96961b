"""To which cluster each item belongs: what its metadata, or one of its fields, says in the store."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from themis_core import SpecError
from themis_plugin_stats.collecting import Collected
from themis_plugin_stats.columns import Digests
from themis_plugin_stats.naming import cluster_of, in_no_cluster
from themis_plugin_stats.pairing import Chunk

__all__ = ["clusters_of"]

_BATCH = 500


def clusters_of(chunk: Chunk, one: Collected, other: Collected, field_name: str) -> NDArray[Any]:
    """What each item's metadata (or else its field) of this name says.

    The items' digests must be known whole. Raises SpecError if an item has none, or both sides are files, which don't
    hold the items.
    """
    of_a = other.results is None
    results = one.results if of_a else other.results
    if results is None:
        raise SpecError("a baseline file holds no metadata to cluster by: compare it with a stored run")
    found: list[str] = []
    whole = _whole_digests(chunk, of_a)
    for start in range(0, len(whole), _BATCH):
        batch = [each.ljust(32, b"\0").hex() for each in whole[start : start + _BATCH].tolist()]
        items = results.items(batch)
        for digest in batch:
            item = items[digest]
            value = cluster_of(item, field_name)
            if value is None:
                raise SpecError(f"item {item.id!r} {in_no_cluster(item, field_name)}")
            found.append(str(value))
    return np.array(found)


def _whole_digests(chunk: Chunk, of_a: bool) -> Digests:
    """The digests of a chunk as the side knows them that is no file, which has their beginnings alone."""
    found = np.empty(len(chunk.digests), dtype="S32")
    for a, b, at_a, at_b in chunk.matches:
        known = a.digests[at_a] if of_a else b.digests[at_b]
        found[np.searchsorted(chunk.digests, known.astype(chunk.digests.dtype))] = known
    return found
