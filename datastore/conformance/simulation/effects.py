"""What a call does to each key, or has seen there: an `Effect` for each, by which the history is judged.

It is told from the call's arguments and result alone. What a call may do besides is a limit of the contract, and marked
as such: see `Effect.excuse`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import Any, TypeAlias

from datastore.conformance.simulation.checking import (
    Effect,
    Key,
    Span,
    State,
    Step,
    Stored,
    both,
    parts,
    views,
)
from datastore.conformance.simulation.history import (
    ASKS_BEFORE_IT_COUNTS,
    BEGAN,
    REMEMBERS_EIGHT_WRITES,
    TELLS_WHEN_CREATED,
    Call,
)

ANY = object()
"""Any value."""
GONE: Span = (0, 0)
"""When a record has expired that was deleted under a lease: it stays for a while, to remember the lease's number."""
CLEARS = frozenset({"clear", "clear-prefix"})
"""The calls that remove a range."""
_COUNTS = CLEARS | {"count", "namespace_stats"}
"""The calls that count what a range holds, and may ask for what has expired before."""
_LAST_WRITES = 8  # `REMEMBERS_EIGHT_WRITES`
MOST_REPEATED = 3
"""So often a write may be done again without having been recognised, or a `clear` without a version."""

Effects: TypeAlias = Iterable[Effect]


def renamed(name: str) -> Callable[[Any], Any]:
    """Return what `update` does to a job that gets another name."""
    return lambda value: {**value, "name": name}


def added(text: str) -> Callable[[Any], Any]:
    """Return the function of `modify` that adds to a text."""
    return lambda value: f"{value or ''}+{text}"


def one_more(value: Any) -> Any:
    """Return a job that was changed once more."""
    return {**value, "n": value["n"] + 1}


def at(call: Call, key: str) -> Key:
    """Return the key of a call's user, in its namespace."""
    return (call.user, call.namespace, key)


def birth(call: Call) -> tuple[float, float]:
    """Return when a record is created that a call writes, by the clock that tells it from a later one."""
    if TELLS_WHEN_CREATED in call.limits:
        return (BEGAN + call.began) * 1e6, (BEGAN + call.ended) * 1e6
    return call.low, call.high


def changed_until(call: Call) -> float:
    """Return when a call has made its last change; infinity if nobody knows."""
    return inf if "request late" in call.faults else call.over


def written(state: State, call: Call, **more: Any) -> State:
    """Return a state whose value a call has replaced."""
    return state._replace(written=call.low, changed=changed_until(call), **more)


def overlooks(call: Call, state: Stored) -> bool:
    """Return whether a call may count a record that has expired by its clock: it was changed after it was asked."""
    return (
        state is not None
        and call.name in _COUNTS
        and call.clocks_differ
        and ASKS_BEFORE_IT_COUNTS in call.limits
        and state.changed > call.invoked
    )


def bound(
    view: State, value: Any, revision: str | None = None, expires: Any = ANY, held: Span | None = None
) -> State | None:
    """Return a state with what a call has shown of it; ``None`` if it has shown something else."""
    if value is not ANY:
        text, held = parts(value)
        fits, held = both(view.held, held)
        if text != view.value or not fits:
            return None
        view = view._replace(held=held)
    if revision is not None:
        if view.revision not in (None, revision):
            return None
        view = view._replace(revision=revision)
    if expires is not ANY:
        fits, span = both(view.expires, None if expires is None else (expires, expires))
        if not fits:
            return None
        view = view._replace(expires=span)
    return view


def later(call: Call, ttl: float | None) -> Span | None:
    """Return when something expires that a call has written."""
    return None if ttl is None else (int(call.low) + int(ttl * 1e6), int(call.high) + int(ttl * 1e6))


def refused(call: Call, key: str, current: str | None, expected: str | None = None) -> Effects:
    """A condition did not hold: the record was at another revision, or there was none."""

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if current is None:
                if view is None:
                    yield state
            elif view is not None and current != expected and (shown := bound(view, ANY, current)) is not None:
                yield shown

    yield Effect(at(call, key), call, step, reads=True)


def applied(call: Call, key: str, step: Step, unknown: bool, *, counted: bool = False) -> Effect:
    """Return the effect of a write. It does not find what it has itself written before: that, it would recognise."""

    def once(state: Stored, chosen: int | None) -> Iterable[Stored]:
        if state is None or not is_doomed_by(call, state):
            return step(state, chosen)
        return step(None, chosen) if None in views(state, call) else ()  # it is another record if that has expired

    return Effect(at(call, key), call, once, optional=unknown, counted=counted)


def done_again(call: Call, key: str, step: Step) -> Effects:
    """A write whose answer was lost was done, and the record deleted before the write was sent again.

    What the record knew of its last writes has gone with it, so the write is done again, or refused. That is a limit of
    the contract (`Put`): a database that remembers nothing of deleted records cannot do better. Nor does a record
    remember more than so many of its last writes.
    """
    remembered = _LAST_WRITES if REMEMBERS_EIGHT_WRITES in call.limits else inf

    def fleeting(state: Stored, _: int | None) -> Iterator[Stored]:
        if state is None or not is_doomed_by(call, state):
            before = () if state is None else state.doomed
            for after in step(state, None):
                if after is not None and after != state:
                    yield after._replace(doomed=(*before, (call.invoked, remembered)))
            if before and None in views(state, call):  # it has expired: what is made is another record
                for after in step(None, None):
                    if after is not None:
                        yield after._replace(doomed=((call.invoked, remembered),))

    for _ in call.blurs[:MOST_REPEATED]:
        yield Effect(at(call, key), call, fleeting, optional=True, until=call.over, excuse=True)


def is_doomed_by(call: Call, state: State) -> bool:
    """Return whether a call is one of those that have written a state without knowing."""
    return any(one == call.invoked for one, _ in state.doomed)


def marked(state: State, call: Call) -> State:
    """Return a state that a call has written: the request of it that is late will recognise the record."""
    if not may_arrive(call) or call.invoked in state.marked:
        return state
    return state._replace(marked=(*state.marked, call.invoked))


def may_arrive(call: Call) -> bool:
    """Return whether a request of a call may arrive at any time, and write over whatever is there."""
    return call.blind and "request late" in call.faults


def arrived_later(call: Call, key: str, made: State, *, only_new: bool) -> Effects:
    """A request that made a record was on its way for so long that the record was made by another, and deleted.

    Without a version the request also writes over a record that was made since then, if the clocks do not tell that
    (unless it writes ``only_new``).
    """

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if view is None or view.expires is not None:  # by then it may have expired
                yield marked(made, call)
            if view is None or only_new or not may_arrive(call) or call.invoked in view.marked:
                continue
            if view.created[0] <= call.high:
                yield marked(made._replace(created=view.created), call)

    if "request late" in call.faults:
        yield Effect(at(call, key), call, step, optional=True, excuse=True)
