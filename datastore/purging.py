"""Removing what nobody can see any more: expired records, and what namespaces keep beside records without need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from datastore.backend import IdRange
from datastore.blobs.sweeping import sweep as sweep_blobs
from datastore.calls.namespaces import purge as purge_records
from datastore.core import Core
from datastore.errors import UnsupportedError
from datastore.memory.reembedding import sweep as sweep_vectors
from datastore.scope import Scope

SWEEPS: dict[str, Callable[[Scope], int]] = {"blobs": sweep_blobs, "vectors": sweep_vectors}
"""What removes parts of blobs, and vectors, that nobody needs, by the area that they lie in."""


def purge(core: Core, ranges: Sequence[IdRange], scopes: Callable[[str], Iterator[Scope]]) -> int:
    """Remove the expired records of some ranges, and what is due in some areas; return how much there was.

    Args:
        core: The core of the store, or what stands before it.
        ranges: Of records, and of system records.
        scopes: Returns the scopes of the areas of a kind that hold something.

    Raises:
        UnsupportedError: If the database reclaims expired records by itself, and there are no areas.
    """
    removed, has_areas = 0, False
    for area, sweep in SWEEPS.items():
        for scope in scopes(area):
            removed, has_areas = removed + sweep(scope), True
    try:
        return removed + sum(purge_records(core, range) for range in ranges)
    except UnsupportedError:
        if not has_areas:
            raise
        return removed
