"""The memory adapter, and a search by meaning with one fault at a time: the simulator must find each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from datastore.backend import Fields
from datastore.conformance.simulation.world import World
from datastore.ids import encode_key
from datastore.memory.changes import Changes
from datastore.memory.searching import Search
from datastore.memory.spaces import Space
from tests.simulation.memory import MemoryDatabase


class FaultySearch(MemoryDatabase):
    """The database.

    Args:
        fault: What is replaced in the modules of memory: an object, a name in it, and the replacement.
    """

    def __init__(self, fault: tuple[Any, str, Any]) -> None:
        super().__init__()
        self._fault = fault

    def replaced(self, world: World) -> Iterable[tuple[Any, str, Any]]:
        """See `Replacing.replaced`."""
        return [self._fault]


def _as_found(search: Search, ranked: Sequence[Any]) -> list[Any]:
    """Return the document of each row that was found by a vector, also if it has another one by now."""
    found = _DOCUMENTS(search, ranked)
    core, prefix = search._scope.core, search._scope.prefix
    there = core.read([prefix + encode_key(one.key) for one in ranked], Fields.ALL)
    return [one or there.get(prefix + encode_key(row.key)) for one, row in zip(found, ranked, strict=True)]


def _always(known: Any, watched: Any, found: Any) -> bool:
    return True


def _follow_anything(space: Space, change: Any) -> None:
    space.known = change


_DOCUMENTS: Callable[[Search, Sequence[Any]], Any] = Search._documents

FAULTY: dict[str, Callable[[], MemoryDatabase]] = {
    "found by what it was": partial(FaultySearch, (Search, "_documents", _as_found)),
    "nothing is new": partial(FaultySearch, (Changes, "is_last", staticmethod(_always))),
    "it follows anything": partial(FaultySearch, (Space, "follow", _follow_anything)),
}
"""The databases with such a search, by what is wrong with it."""
