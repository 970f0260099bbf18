"""Memory in requests: what a server does for those that have no way to the database (`datastore.remote.memory`).

Each call of `Memory` is one, with the parameters that it has there: a new parameter is on the wire by itself. Only
`Memory.ensure_index` is none: an index is created in the host's database, and paid for, with the host's credentials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from datastore.memory.calls import Memory, embedder_of
from datastore.memory.items import Match, MemoryItem
from datastore.memory.reembedding import reembedding
from datastore.scope import Scope

if TYPE_CHECKING:
    from datastore.memory.splitting import Span
    from datastore.record import Record


def requested(name: str, told: Callable[[Any], Any] | None = None) -> Callable[..., Any]:
    """Return what makes a call of `Memory` in the namespace of a scope.

    Args:
        name: The call.
        told: What is told of what it returns; ``None`` for all.
    """
    method: Callable[..., Any] = getattr(Memory, name)

    @wraps(method)
    def made(scope: Scope, /, **arguments: Any) -> Any:
        returned = method(Memory(scope), **arguments)
        return returned if told is None else told(returned)

    return made


def of_item(item: MemoryItem | None) -> Record | None:
    """Return the record of an item, which has all of it."""
    return None if item is None else item.record


def of_items(items: Iterator[MemoryItem]) -> Iterator[Record]:
    """Yield the records of items."""
    return (item.record for item in items)


def of_matches(found: list[Match]) -> list[tuple[float, Record, Span | None]]:
    """Return the scores and the records of matches, and where the nearest part of each begins and ends."""
    return [(one.score, one.record, None if one.part is None else one.part[:2]) for one in found]


def reembed(scope: Scope) -> Iterator[tuple[int, int]]:
    """Make the vectors of the namespace anew. To do that twice changes nothing.

    Yields:
        How many vectors have been looked at, and how many there are; and at last how many were made, twice.
    """
    told = list[tuple[int, int]]()
    steps, embed = reembedding(scope, lambda done, total: told.append((done, total))), embedder_of(scope)
    made = None
    while True:
        try:
            step = steps.send(made)
        except StopIteration as end:
            yield from told
            yield end.value, end.value
            return
        yield from told
        told.clear()
        made = embed(*cast(tuple[Any, ...], step))  # it waits for nothing but the embedder
