"""Removing what nobody can see any more: expired records, and what namespaces keep beside records without need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from datastore.backend import IdRange
from datastore.blobs.sweeping import areas
from datastore.blobs.sweeping import sweep as sweep_blobs
from datastore.calls.namespaces import purge as purge_records
from datastore.core import Core
from datastore.documents import skip
from datastore.errors import DamagedRecordError, UnsupportedError
from datastore.ids import EVERYTHING, namespace_range, system_range
from datastore.memory.sweeping import sweep as sweep_vectors
from datastore.reminders import Swept, due, follow
from datastore.scope import Scope

_AGAIN = 3_600.0  # seconds


def _sound(sweep: Callable[[Scope], Swept]) -> Callable[[Scope], Swept]:
    """Return a sweep that leaves an area in which something is damaged, with a warning: it must not stop the others."""

    def swept(area: Scope) -> Swept:
        try:
            return sweep(area)
        except DamagedRecordError as error:
            skip(error)
            return Swept(0, area.core.clock() + _AGAIN)

    return swept


SWEEPS: dict[str, Callable[[Scope], Swept]] = {"blobs": _sound(sweep_blobs), "vectors": _sound(sweep_vectors)}
"""What removes parts of blobs, and vectors, that nobody needs, by the area that they lie in."""


def purge(core: Core, tenants: Iterable[Scope] | None) -> int:
    """Remove the expired records of all users, and what is due in their areas; return how much there was.

    Args:
        core: The core of the store.
        tenants: A scope of each tenant that has a database; ``None`` if they share one.

    Raises:
        UnsupportedError: If the database reclaims expired records by itself, and nobody has used an area.
    """
    if tenants is not None:
        return _purge(core, [EVERYTHING], _sweep(tenants))
    return _purge(core, [EVERYTHING], follow(core, SWEEPS))


def purge_user(scope: Scope) -> int:
    """Remove the expired records of a user, and what is due in each of the user's areas; return how much there was.

    Args:
        scope: One of the user's; its grants count.

    Raises:
        UnsupportedError: If the database reclaims expired records by itself, and there are no areas.
    """
    ranges = [namespace_range(scope.encoded_user, None), system_range(scope.encoded_user)]
    return _purge(scope.core, ranges, _sweep([scope]))


def areas_of_all(core: Core, tenants: Iterable[Scope] | None, area: str, *, later: bool = False) -> Iterable[Scope]:
    """Return the scopes of the areas of a kind in which something is to be removed.

    Args:
        core: The core of the store.
        tenants: A scope of each tenant that has a database; ``None`` if they share one.
        area: Which of the `datastore.ids.AREAS`.
        later: Whether those count as well in which it is only to be removed later.
    """
    if tenants is not None:
        return [one for user in tenants for one in areas(user, area)]
    return {one.scope.prefix: one.scope for some in due(core, later) for one in some if one.area == area}.values()


def _sweep(users: Iterable[Scope]) -> int | None:
    """Remove what is due in all areas of some users; return how much there was, or ``None`` if there are no areas."""
    swept = [sweep(area).removed for user in users for kind, sweep in SWEEPS.items() for area in areas(user, kind)]
    return sum(swept) if swept else None


def _purge(core: Core, ranges: Sequence[IdRange], swept: int | None) -> int:
    """Remove the expired records of some ranges; return how many there were, and how much else was removed.

    Args:
        core: The core of the store, or what stands before it.
        ranges: Of records, and of system records.
        swept: How much was removed in areas; ``None`` if there are none.
    """
    try:
        return sum(purge_records(core, range) for range in ranges) + (swept or 0)
    except UnsupportedError:
        if swept is None:
            raise
        return swept
