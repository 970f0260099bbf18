"""What a call has removed under each key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from typing import Any

from datastore import BatchError, ConflictError, DataStoreError, UnsupportedError
from datastore.conformance.simulation.checking import (
    Effect,
    Stored,
    views,
)
from datastore.conformance.simulation.effects import (
    ANY,
    CLEARS,
    MOST_REPEATED,
    Effects,
    at,
    bound,
    is_doomed_by,
    may_arrive,
    overlooks,
    refused,
)
from datastore.conformance.simulation.history import (
    CLEARS_BY_TIME,
    CLEARS_UNTIL_EMPTY,
    COUNTS_WHAT_IT_LISTED,
    DELETES_BLINDLY,
    Call,
)
from datastore.conformance.simulation.names import ALL, MISSING
from datastore.conformance.simulation.seeing import saw

_REMEMBERED = frozenset({"delete", "delete_if", "delete_many", "fenced_delete"})
"""The calls that remove a record which may only be remembered: they need not have seen it."""
_MOST_REMOVED = 4
"""So often more than once a call may remove a key that goes on until nothing is left."""


def purged(call: Call, keys: Iterable[str]) -> Effects:
    """What has expired by the call's clock was removed, although others may still have seen it."""

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        if state is not None and None in views(state, call):
            yield None

    if not isinstance(call.error, UnsupportedError):
        for key in keys:
            yield Effect(at(call, key), call, step, optional=True, until=inf if call.is_blurred else call.over)


def removed(
    call: Call,
    key: str,
    *,
    was_there: bool | None,
    error: DataStoreError | None,
    if_revision: str | None = None,
    value: Any = ANY,
    counted: bool = False,
) -> Effects:
    """A record was removed, or was not there (``was_there``), or the call counts only how many there were."""
    if isinstance(error, ConflictError):
        yield from refused(call, key, error.revision, if_revision)
        if call.is_unanswered and call.clocks_differ:  # it is done, and takes what was created since for an older one

            def removed(state: Stored, _: int | None) -> Iterator[Stored]:
                if state is not None and state.revision in (None, if_revision):
                    yield None

            yield Effect(at(call, key), call, removed, optional=True, until=call.over, excuse=True)
        return

    # After a lost answer, only the time when a record was created tells whether it is the one that the delete was for
    # or a later one. Where clocks differ that may be wrong either way.
    guessed = call.is_unanswered and call.name in _REMEMBERED
    # What was listed counts, and may have been removed by another call before the request to remove it arrived.
    listed = counted and call.name in CLEARS and COUNTS_WHAT_IT_LISTED in call.limits

    def step(state: Stored, chosen: int | None) -> Iterator[Stored]:
        there = was_there if chosen is None else bool(chosen)
        if state is not None and state.listed == call.invoked:
            if there is not True:
                yield state._replace(listed=-inf)
            return
        for view in views(state, call):
            if view is not None and there is not False:
                is_later = guessed and view.created[1] >= call.low
                if is_later and (if_revision is None or view.revision != if_revision):
                    yield state
                if if_revision is not None and view.revision not in (None, if_revision):
                    continue
                if bound(view, value) is not None:
                    yield None
                if listed and not is_doomed_by(call, view):
                    yield view._replace(doomed=(*view.doomed, (call.invoked, inf)))
            if view is None and (
                there is not True or (value is ANY and (call.is_unanswered or (counted and overlooks(call, state))))
            ):
                yield None  # what had expired is removed as well; a delete without an answer is taken for done
                if state is not None:
                    yield state

    once = Effect(at(call, key), call, step, optional=error is not None, counted=counted)
    yield once
    if listed:

        def as_expired(state: Stored, _: int | None) -> Iterator[Stored]:
            if state is not None and state.listed == -inf and None in views(state, call):
                yield state._replace(listed=call.invoked)

        # What had expired when it was listed does not count, and may be another record when it is removed.
        lists = Effect(at(call, key), call, as_expired, optional=True, until=call.over, excuse=True)
        yield lists
        yield Effect(
            at(call, key), call, lambda *_: (None,), optional=True, until=call.over, excuse=True, follows=lists
        )
    if call.name == "blob_delete" and call.is_unanswered and call.clocks_differ:
        # It is done, takes what was put since for an older one, and looks once more.
        yield Effect(at(call, key), call, lambda *_: (None,), optional=True, until=call.over, excuse=True)
    if call.name in CLEARS and CLEARS_UNTIL_EMPTY in call.limits:
        for _ in range(_MOST_REMOVED):
            yield Effect(at(call, key), call, step, optional=True, until=call.over, excuse=True)
    # Sent again, a request to remove everything that has no version removes what was made since, and may count it.
    repeated = len(call.unanswered) if call.name in CLEARS and call.blind else 0
    for _ in range(min(repeated, MOST_REPEATED)):
        yield Effect(
            at(call, key), call, lambda *_: (None,), optional=True, until=call.over, excuse=True, counted=counted
        )

    def not_later(state: Stored, _: int | None) -> Iterator[Stored]:
        if state is not None and state.created[0] <= call.high:
            yield None

    # What it has listed it knows by its creation, but not if one and the same write has created it twice.
    listed_once = call.name == "delete_where" and call.is_unanswered
    if (guessed or listed_once) and if_revision is None:
        yield Effect(at(call, key), call, not_later, optional=True, until=call.over, excuse=True, follows=once)
    if may_arrive(call) and (call.name in CLEARS or call.name == "delete"):
        clears = call.name in CLEARS
        blindly = CLEARS_BY_TIME not in call.limits if clears else DELETES_BLINDLY in call.limits
        yield Effect(at(call, key), call, (lambda *_: (None,)) if blindly else not_later, optional=True, excuse=True)


def popped(call: Call, key: str) -> Effects:
    """A value was returned, and its record removed; or there was none."""
    if call.error is None and call.result == MISSING:
        return saw(call, key, MISSING)
    if isinstance(call.error, ConflictError):
        return ()
    return removed(call, key, was_there=True, error=call.error, value=ANY if call.error else call.result)


def all_removed(call: Call, keys: Iterable[str] = ALL) -> Effects:
    """Records were removed, each of them or not."""
    outcomes = call.error.outcomes if isinstance(call.error, BatchError) else {}
    for key in keys:
        error = outcomes.get(key) if outcomes else call.error
        yield from removed(call, key, was_there=None, error=error, counted=call.error is None)
