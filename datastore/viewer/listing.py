"""Pages of what has an order: forward and backward, and each at the cost of what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R", covariant=True)


class Ordered(Protocol[R]):
    """Lists what lies in a range of names, as the calls of an agent's store do."""

    def __call__(self, *, start: str | None, end: str | None, reverse: bool, limit: int) -> Iterable[R]:
        """Return the first ones from ``start`` on and before ``end``, or the last ones."""


class Slice(NamedTuple, Generic[T]):
    """What one page shows."""

    items: list[T]
    before: str | None
    """The page before ends before this name; ``None`` if there is none."""
    after: str | None
    """The next page begins after this name; ``None`` if there is none."""
    end: str | None = None
    """Whatever the direction: a name that is greater than those of the page, with none between; ``None`` if none is."""


def slice_of(
    ordered: Ordered[T],
    name: Callable[[T], str],
    size: int,
    *,
    after: str | None = None,
    before: str | None = None,
    reverse: bool = False,
) -> Slice[T]:
    """Return a page.

    Args:
        ordered: Lists.
        name: Returns the name of one of them.
        size: How many the page shows. One or two more are read, to know whether others follow.
        after: The page begins with what follows this name.
        before: The page ends with what comes before this name.
        reverse: From the last name to the first.
    """
    edge, backward = (after, False) if before is None else (before, True)
    if reverse != backward:
        found = list(ordered(start=None, end=edge, reverse=True, limit=size + 1))
    else:
        found = list(ordered(start=edge, end=None, reverse=False, limit=size + 1 + (edge is not None)))
        if found and name(found[0]) == edge:
            del found[0]
    follows, shown = len(found) > size, found[:size]
    end = edge if reverse != backward else name(found[size]) if follows else None
    if backward:
        shown.reverse()
    if not shown:
        return Slice([], None if backward else edge, edge if backward else None, end)
    first, last = name(shown[0]), name(shown[-1])
    has_before, has_after = (follows, True) if backward else (edge is not None, follows)
    return Slice(shown, first if has_before else None, last if has_after else None, end)
