"""Leases: one holder at a time, numbers that only grow, and no write that a later holder has made void.

A thread has at most one lease, over several of its calls; so another one may take it over in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise, permutations
from typing import Any

from datastore import AgentDataStore, LeaseHeldError, LeaseLostError
from datastore.calls.leases import Lease
from datastore.conformance.simulation.checking import State, Step, Stored, views
from datastore.conformance.simulation.effects import GONE, Effects
from datastore.conformance.simulation.history import Call
from datastore.conformance.simulation.kinds import Kind
from datastore.conformance.simulation.removing import removed
from datastore.conformance.simulation.world import Sight
from datastore.conformance.simulation.writing import modified, put

_NAME = "work"
_TAKES = frozenset({"lease", "lock", "fenced_set", "fenced_increment", "fenced_delete"})
"""The calls that take a lease, or may."""


def _take(store: AgentDataStore, seen: Sight, ttl: float, *, renews: bool) -> int:
    seen.lease = store.lease(_NAME, ttl, renew=renews)
    seen.notes["taken"] = _hold(seen, seen.lease).number
    return seen.lease.number


def _hold(seen: Sight, lease: Lease[AgentDataStore]) -> Lease[AgentDataStore]:
    """Note the number of a lease, and when it was held if it is: as its holder sees it."""
    seen.notes["fence"] = lease.number
    if lease.is_held:
        seen.notes.setdefault("held", []).append(seen.now())
    return lease


def _through(store: AgentDataStore, seen: Sight, ttl: float) -> AgentDataStore:
    """Return the store of the thread's lease. If it has none that is held as far as it knows, it takes one."""
    if seen.lease is None or not seen.lease.is_held:
        seen.lease = None  # what it did under the last one is over
        _take(store, seen, ttl, renews=False)
    assert seen.lease is not None
    return _hold(seen, seen.lease).data_store


def _set(store: AgentDataStore, seen: Sight, ttl: float, key: str, value: Any) -> str:
    seen[key] = _through(store, seen, ttl).set(key, value)
    return seen[key]


def _locked(store: AgentDataStore, seen: Sight, key: str, value: Any, ttl: float, timeout: float) -> str:
    with store.lock(_NAME, ttl=ttl, timeout=timeout) as lease:
        seen.notes["taken"] = lease.number
        seen[key] = _hold(seen, lease).data_store.set(key, value)
        _hold(seen, lease)
    return seen[key]


def _renew(store: AgentDataStore, seen: Sight) -> None:
    if seen.lease is not None:
        seen.lease.renew()
        _hold(seen, seen.lease)


def _release(store: AgentDataStore, seen: Sight) -> bool | None:
    lease, seen.lease = seen.lease, None
    return None if lease is None else _hold(seen, lease).release()


def _fenced(step: Step, call: Call, state: Stored, chosen: int | None) -> Iterator[Stored]:
    """Do what a write does, unless the record remembers a higher number. What is deleted remembers its number, too."""
    number = call.notes["fence"]
    if state is not None and state.fence > number:
        # A database that removes expired records by itself may have removed it, with what it remembered.
        state = None if call.reaped > float("-inf") and None in views(state, call) else state
        if state is not None:
            return
    for after in step(state, chosen):
        if after is not None:
            yield after if after is state else after._replace(fence=number)
        else:
            yield None if state is None else State("", None, GONE, fence=number)


def _under_lease(call: Call, effects: Effects) -> Effects:
    """Return the effects of a write under a lease: none if no lease was taken, or if it was refused for certain."""
    if "fence" not in call.notes or (isinstance(call.error, LeaseLostError) and not call.is_blurred):
        return
    for effect in effects:
        yield effect if effect.reads else effect._replace(step=partial(_fenced, effect.step, call))


_TTLS = (0.05, 2.0, 2.0, 10.0)

KINDS: dict[str, Kind] = {
    "lease": Kind(
        3,
        lambda d: (d.random.choice(_TTLS), d.random.random() < 0.5),
        lambda s, m, t, renews: _take(s, m, t, renews=renews),
        lambda c, *_: (),
    ),
    "lock": Kind(
        2,
        lambda d: (*d.key_and_value(), d.random.choice(_TTLS), d.random.choice((0.0, 0.5, 3.0))),
        _locked,
        lambda c, k, v, *_: _under_lease(c, put(c, k, v, error=c.error, revision=c.result)),
    ),
    "fenced_set": Kind(
        6,
        lambda d: (d.random.choice(_TTLS), *d.key_and_value()),
        _set,
        lambda c, t, k, v: _under_lease(c, put(c, k, v, error=c.error, revision=c.result)),
    ),
    "fenced_increment": Kind(
        2,
        lambda d: (d.random.choice(_TTLS), d.key("number"), d.random.randint(1, 3)),
        lambda s, m, t, k, n: _through(s, m, t).increment(k, n),
        lambda c, t, k, n: _under_lease(c, modified(c, k, lambda value: value + n, 0)),
    ),
    "fenced_delete": Kind(
        2,
        lambda d: (d.random.choice(_TTLS), d.key()),
        lambda s, m, t, k: _through(s, m, t).delete(k),
        lambda c, t, k: _under_lease(c, removed(c, k, was_there=c.result, error=c.error)),
    ),
    "renew": Kind(1, lambda d: (), _renew, lambda c: ()),
    "release": Kind(2, lambda d: (), _release, lambda c: ()),
}


def wrong(history: Sequence[Call]) -> Iterator[str]:
    """Yield what is wrong with the leases of a namespace, whose calls these are."""
    if any(call.is_unsettled for call in history):
        return  # with the record of a lease, everybody's knowledge of it is gone
    taken = [(call, call.notes["taken"]) for call in history if "taken" in call.notes]
    for (one, before), (other, number) in permutations(taken, 2):
        if one.returned < other.invoked and before > number:
            yield f"numbers do not grow: {other} of {other.thread} has {number}, and {one} has {before}"
    numbers = sorted(number for _, number in taken)
    if len(set(numbers)) < len(numbers):
        yield f"two leases with one number: {numbers}"
    yield from _two_holders(history)
    for call in history:
        is_refused = call.name in _TAKES and isinstance(call.error, LeaseHeldError)
        if is_refused and not any(_may_hold(other, call) for other in history):
            yield f"nobody's lease: {call} of {call.thread} says that it is held"


def _two_holders(history: Sequence[Call]) -> Iterator[str]:
    """Yield who held the lease although another one did. Where clocks differ, nobody can prevent that."""
    spans: dict[int, tuple[float, float]] = {}
    for call in history:
        for held in () if call.clocks_differ else call.notes.get("held", ()):
            low, high = spans.get(call.notes["fence"], (held, held))
            spans[call.notes["fence"]] = (min(low, held), max(high, held))
    ordered = sorted(spans.items(), key=lambda one: one[1])
    for (one, (_, end)), (other, (begin, _)) in pairwise(ordered):
        if begin < end:
            yield f"two holders at once: number {one} until {end:.4f}, and number {other} from {begin:.4f}"


def _may_hold(other: Call, call: Call) -> bool:
    """Return whether a call may have taken the lease that another call has found taken."""
    return (
        other is not call
        and other.name in _TAKES
        and other.invoked < call.returned
        and not (isinstance(other.error, LeaseHeldError) and not other.is_blurred)
    )
