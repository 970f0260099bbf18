"""What a call has written under each key: stored, changed, taken, or given another expiry."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from datastore import BatchError, ConflictError, DataStoreError, KeyExistsError
from datastore.conformance.simulation.checking import (
    Effect,
    State,
    Stored,
    parts,
    plain,
    value_of,
    views,
)
from datastore.conformance.simulation.effects import (
    ANY,
    Effects,
    applied,
    arrived_later,
    at,
    birth,
    bound,
    changed_until,
    done_again,
    later,
    marked,
    may_arrive,
    one_more,
    refused,
    written,
)
from datastore.conformance.simulation.history import (
    BEGAN,
    TELLS_WHEN_CREATED,
    Call,
)
from datastore.conformance.simulation.names import KEYS, MISSING
from datastore.conformance.simulation.seeing import saw


def put(
    call: Call,
    key: str,
    value: Any,
    *,
    error: DataStoreError | None,
    revision: str | None = None,
    ttl: float | None = None,
    if_revision: str | None = None,
    if_absent: bool = False,
) -> Effects:
    """A call has stored a value, was refused, or nobody knows."""
    text, held = parts(value)
    made = State(
        text, revision, later(call, ttl), held, created=birth(call), written=call.low, changed=changed_until(call)
    )

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if if_absent and view is not None:
                continue
            if if_revision is not None and (view is None or view.revision not in (None, if_revision)):
                continue
            if view is None:
                yield marked(made, call)
            else:
                kept = made._replace(doomed=view.doomed, marked=view.marked, created=view.created, fence=view.fence)
                yield marked(kept, call)

    yield from done_again(call, key, step)
    if if_revision is None:
        yield from arrived_later(call, key, made, only_new=if_absent)
    if isinstance(error, KeyExistsError):
        yield from _exists(call, key)
        return
    if isinstance(error, ConflictError) and if_revision is not None:
        yield from refused(call, key, error.revision, if_revision)
        return
    yield applied(call, key, step, error is not None)


def _exists(call: Call, key: str) -> Effects:
    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        yield from (view for view in views(state, call) if view is not None)

    yield Effect(at(call, key), call, step, reads=True)


def batch(call: Call, pairs: Iterable[tuple[str, Any]], *, if_absent: bool = False) -> Effects:
    """Each item of a batch was stored or not."""
    outcomes = call.error.outcomes if isinstance(call.error, BatchError) else {}
    for key, value in pairs:
        error = outcomes.get(key) if outcomes else call.error
        yield from put(call, key, value, error=error, if_absent=if_absent)


def changed(
    call: Call,
    key: str,
    function: Callable[[Any], Any],
    default: Any = None,
    *,
    only: bool = False,
    result: Any = ANY,
    revision: str | None = None,
    optional: bool = False,
    counted: bool = False,
) -> Effects:
    """A value was replaced by what a function makes of it.

    Args:
        call: The call.
        key: The key.
        function: The function.
        default: What it is given if there is no record.
        only: Only a record that is there is changed.
        result: The new value, if it is known.
        revision: The new revision, if it is known.
        optional: It may not have taken place.
        counted: The call counts only how many it changed.
    """

    def step(state: Stored, chosen: int | None, shown: Any = result) -> Iterator[Stored]:
        for view in views(state, call):
            if view is None and only:
                if counted and chosen != 1:
                    yield state
                continue
            if chosen == 0:
                continue
            new = function(default if view is None else value_of(view))
            before = view or State("", None, None, created=birth(call))
            after = marked(
                written(before, call, value=plain(new), revision=revision),
                call,
            )
            if shown is not ANY:
                yield from (one for one in (bound(after, shown),) if one is not None)
            else:
                yield after._replace(revision=None)

    yield from done_again(call, key, partial(step, shown=ANY))
    if not only:
        new = written(State(plain(function(default)), None, None, created=birth(call)), call)
        yield from arrived_later(call, key, new, only_new=True)
    yield applied(call, key, step, optional, counted=counted)


def modified(call: Call, key: str, function: Callable[[Any], Any], default: Any = None) -> Effects:
    """A value was replaced by what a function makes of it, which the call has returned."""
    unknown = call.error is not None
    return changed(call, key, function, default, result=ANY if unknown else call.result, optional=unknown)


def claim(call: Call, ttl: float) -> Effects:
    """A job was taken; or there was none to take."""
    until = later(call, ttl)

    def free(view: State) -> bool:
        return view.held is None or view.held[0] <= call.high

    def taken(view: State) -> State:
        value = value_of(view)
        attempts = value.get("claim", {}).get("attempts", 0) + 1
        value["claim"] = {"by": call.agent, "until": "", "attempts": attempts}
        return written(view, call, value=plain(value), revision=None, held=until)

    def may_take(state: Stored, _: int | None) -> Iterator[Stored]:
        yield from (taken(view) for view in views(state, call) if view is not None and free(view))

    def took(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            after = bound(taken(view), *call.result[1:]) if view is not None and free(view) else None
            if after is not None:
                yield after

    def none(state: Stored, _: int | None) -> Iterator[Stored]:
        if any(view is None or (view.held is not None and view.held[1] > call.low) for view in views(state, call)):
            yield state

    for key in KEYS["job"]:
        yield from done_again(call, key, may_take)
        if call.error is None and call.result is not None:
            if key == call.result[0]:
                yield applied(call, key, took, unknown=False)
        elif call.error is None:
            yield Effect(at(call, key), call, none, reads=True)
        elif not isinstance(call.error, ConflictError):
            yield applied(call, key, may_take, unknown=True)


def first_of(call: Call) -> Effects:
    """The first job was changed, if there was one."""

    def once_more(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if view is not None:
                yield written(view, call, value=plain(one_more(value_of(view))), revision=None)

    key, value, revision = call.result or (None, ANY, None)
    for job in KEYS["job"]:
        if call.error is None and key is None:
            yield from saw(call, job, MISSING)
            yield from done_again(call, job, once_more)
        elif job == key:
            yield from changed(call, job, one_more, only=True, result=value, revision=revision)
        elif call.is_blurred or call.error is not None:
            yield from changed(call, job, one_more, only=True, optional=True)


def touched(call: Call, key: str, ttl: float | None) -> Effects:
    """An expiry was moved; or there was no record."""
    # As for a delete, only the time when a record was created tells whether it is a later one, which is left alone.
    guessed = call.is_unanswered
    in_vain = call.error is None and not call.result
    # The database's own clock tells that a record was there when the call began, which its process has then read.
    not_later = max(call.high, (BEGAN + call.began) * 1e6) if TELLS_WHEN_CREATED in call.limits else call.high

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if view is None:
                if call.error is None and not call.result:
                    yield state
            elif call.error is not None or call.result:
                yield view._replace(expires=later(call, ttl), changed=changed_until(call))
                if guessed and view.created[1] >= call.low:
                    yield state

    done = Effect(at(call, key), call, step, optional=call.error is not None)

    def again(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if view is not None and (in_vain or view.created[0] <= not_later):
                yield view._replace(expires=later(call, ttl), changed=changed_until(call))

    def late(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if view is not None and view.written <= call.high:
                yield view._replace(expires=later(call, ttl), changed=changed_until(call))

    if call.is_blurred:
        # It was done, and before it was sent again, the record was gone, or somebody else has written. What was created
        # later is left alone.
        first = None if in_vain else done
        yield Effect(at(call, key), call, again, optional=True, until=call.over, excuse=True, follows=first)
    if may_arrive(call):
        yield Effect(at(call, key), call, late, optional=True, excuse=True)
    yield done


def computed(call: Call, key: str, value: Any) -> Effects:
    """The value that was there was returned, or one was stored."""
    if call.error is None and call.result != value:
        yield from saw(call, key, call.result)
        yield from put(call, key, value, error=KeyExistsError("its own came too late"), if_absent=True)
    else:
        yield from put(call, key, value, error=call.error, if_absent=True)


def where(call: Call, made: Callable[[str], Effects]) -> Effects:
    """Return what was done to each job."""
    return itertools.chain.from_iterable(map(made, KEYS["job"]))
