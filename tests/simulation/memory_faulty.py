"""The memory adapter, and texts with vectors with one fault at a time: the simulator must find each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

from datastore.backend import Fields
from datastore.conformance.simulation.world import World
from datastore.ids import encode_key
from datastore.memory import vector_vault
from datastore.memory.changes import Changes
from datastore.memory.searching import Search
from datastore.memory.spaces import Space
from tests.simulation.memory import MemoryDatabase
from tests.third_party import forgetful

Replacement = tuple[Any, str, Any]


class FaultyMemory(MemoryDatabase):
    """The database.

    Args:
        fault: What is replaced in the modules of memory: an object, a name in it, and the replacement.
    """

    def __init__(self, fault: Replacement) -> None:
        super().__init__()
        self._fault = fault

    def replaced(self, world: World) -> Iterable[Replacement]:
        """See `Replacing.replaced`."""
        return [self._fault]


def _as_found(search: Search, ranked: Sequence[Any]) -> list[Any]:
    """Return the document of each row that was found by a vector, also if it has another one by now."""
    found = _DOCUMENTS(search, ranked)
    core, prefix = search._scope.core, search._scope.prefix
    there = core.read([prefix + encode_key(one.key) for one in ranked], Fields.ALL)
    return [one or there.get(prefix + encode_key(row.key)) for one, row in zip(found, ranked, strict=True)]


def _always(changes: Changes, known: Any, watched: Any, found: Any) -> bool:
    return True


def _follow_anything(space: Space, change: Any) -> None:
    space.known = change


def _all_is_made(vault: Any) -> Any:
    """Trim the log of items that have no vectors yet."""
    entries = yield vector_vault._reading(vault, 0)
    if entries:
        yield vector_vault._trimming(vault, entries[-1].number + 1)
    return 0


def _of_the_kit(fault: Callable[[Any], None]) -> Replacement:
    """Return what a fault replaces that the kit must find as well."""
    replaced: list[Replacement] = []
    fault(SimpleNamespace(setattr=lambda *one: replaced.append(one)))
    (one,) = replaced
    return one


_DOCUMENTS: Callable[[Search, Sequence[Any]], Any] = Search._documents

FAULTY: dict[str, Callable[[], MemoryDatabase]] = {
    "found by what it was": partial(FaultyMemory, (Search, "_documents", _as_found)),
    "nothing is new": partial(FaultyMemory, (Changes, "is_last", _always)),
    "it follows anything": partial(FaultyMemory, (Space, "follow", _follow_anything)),
    "each part is found": partial(FaultyMemory, _of_the_kit(forgetful.finds_each_part)),
    "the first part is shown": partial(FaultyMemory, _of_the_kit(forgetful.names_the_first_part)),
    "numbers by counting": partial(FaultyMemory, _of_the_kit(forgetful.numbers_by_counting)),
    "all is made": partial(FaultyMemory, (vector_vault, "getting_vectors", _all_is_made)),
}
"""The databases with such a fault, by what is wrong."""
