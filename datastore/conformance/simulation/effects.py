"""What a call does to each key, or has seen there: an `Effect` for each, by which the history is judged.

It is told from the call's arguments and result alone. What a call may do besides is a limit of the contract, and marked
as such: see `Effect.excuse`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import inf
from typing import Any, TypeAlias

from datastore import BatchError, ConflictError, DataStoreError, KeyExistsError, UnsupportedError
from datastore.conformance.simulation.checking import (
    Effect,
    Key,
    Span,
    State,
    Step,
    Stored,
    both,
    parts,
    plain,
    value_of,
    views,
)
from datastore.conformance.simulation.names import ALL, KEYS, MADE, MISSING, SPACE
from datastore.conformance.simulation.world import (
    ASKS_BEFORE_IT_COUNTS,
    BEGAN,
    CLEARS_UNTIL_EMPTY,
    COUNTS_WHAT_IT_LISTED,
    DELETES_BLINDLY,
    TELLS_WHEN_CREATED,
    Call,
)

ANY = object()
"""Any value."""
GONE: Span = (0, 0)
"""When a record has expired that was deleted under a lease: it stays for a while, to remember the lease's number."""
_REMEMBERED = frozenset({"delete", "delete_if", "delete_many"})
"""The calls that remove a record which may only be remembered: they need not have seen it."""
CLEARS = frozenset({"clear", "clear-prefix"})
"""The calls that remove a range."""
_COUNTS = CLEARS | {"count", "namespace_stats"}
"""The calls that count what a range holds, and may ask for what has expired before."""
_MOST_REMOVED = 2
"""So often more than once a call may remove a key that goes on until nothing is left."""
_MOST_REPEATED = 3
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


def _birth(call: Call) -> tuple[float, float]:
    """Return when a record is created that a call writes, by the clock that tells it from a later one."""
    if TELLS_WHEN_CREATED in call.limits:
        return (BEGAN + call.began) * 1e6, (BEGAN + call.ended) * 1e6
    return call.low, call.high


def _changed_until(call: Call) -> float:
    """Return when a call has made its last change; infinity if nobody knows."""
    return inf if "request late" in call.faults else call.returned


def _written(state: State, call: Call, **more: Any) -> State:
    """Return a state whose value a call has replaced."""
    return state._replace(written=call.low, changed=_changed_until(call), **more)


def _overlooks(call: Call, state: Stored) -> bool:
    """Return whether a call may count a record that has expired by its clock: it was changed after it was asked."""
    return (
        state is not None
        and call.name in _COUNTS
        and call.clocks_differ
        and ASKS_BEFORE_IT_COUNTS in call.limits
        and state.changed > call.invoked
    )


def _bound(
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


def saw(call: Call, key: str, value: Any, revision: str | None = None, expires: object = ANY) -> Effects:
    """A call has shown a value under a key, or that there is none (``MISSING``)."""

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if value is MISSING:
                if view is None:
                    yield state
            elif view is not None and (shown := _bound(view, value, revision, expires)) is not None:
                yield shown

    if call.error is None:
        yield Effect(at(call, key), call, step, reads=True)


def saw_all(call: Call, found: Iterable[tuple[str, Any]], keys: Iterable[str] = ALL) -> Effects:
    """A call has shown the values of some of the keys, and that there are none under the others."""
    shown = dict(found) if call.error is None else {}
    for key in keys:
        yield from saw(call, key, shown.get(key, MISSING))


def saw_records(call: Call, keys: Iterable[str] = ALL) -> Effects:
    """A call has shown some of the keys with value and revision, and none of the others."""
    shown = call.result if call.error is None else {}
    for key in keys:
        yield from saw(call, key, *shown.get(key, (MISSING,)))


def saw_first(call: Call, *, backward: bool = False) -> Effects:
    """A call has shown the first key that there is, or the last."""
    keys = list(reversed(ALL)) if backward else list(ALL)
    (first,) = call.result or keys[-1:]
    return saw_records(call, keys[: keys.index(first) + 1])


def counted(call: Call, keys: Iterable[str] = ALL) -> Effects:
    """A call says how many of the keys there are."""

    def step(state: Stored, chosen: int | None) -> Iterator[Stored]:
        if (
            chosen is None
            or any(chosen == (view is not None) for view in views(state, call))
            or (chosen and _overlooks(call, state))
        ):
            yield state

    if call.error is None:
        for key in keys:
            yield Effect(at(call, key), call, step, counted=True, reads=True)


def listed(call: Call) -> Effects:
    """A call has listed the namespaces. If it leaves one out, it has found nothing there."""
    if call.error is None and SPACE not in call.result:
        for key in ALL:
            yield from saw(call, key, MISSING)


def was_created(call: Call, value: Any) -> Effects:
    """A record was created, and read under its key, which nobody else knows."""
    if call.error is None and call.result[1] != value and not (call.emptied and call.result[1] == MISSING):
        yield Effect((call.user, MADE, call.result[0]), call, lambda state, _: ())


def purged(call: Call) -> Effects:
    """What has expired by the call's clock was removed, although others may still have seen it."""

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        if state is not None and None in views(state, call):
            yield None

    if not isinstance(call.error, UnsupportedError):
        for key in ALL:
            yield Effect(at(call, key), call, step, optional=True, until=inf if call.is_blurred else call.returned)


def brought_back(call: Call) -> Effects:
    """Records were read, and those that have gone since were written again. Newer ones stay, as far as clocks tell."""

    def restored(key: str) -> Effects:
        value, revision, expires, created, written = call.notes[key]
        text, held = parts(value)
        span = None if expires is None else (expires, expires)
        made = State(
            text, revision, span, held, created=(created, created), written=written, changed=_changed_until(call)
        )

        def step(state: Stored, _: int | None) -> Iterator[Stored]:
            for view in views(state, call):
                if view is None or call.clocks_differ or view.revision in (None, revision):
                    # A database that tells when it created a record does not take the file's word for it.
                    own = TELLS_WHEN_CREATED in call.limits
                    yield made._replace(created=_birth(call) if view is None else view.created) if own else made

        until = inf if call.error is not None or call.is_blurred else call.returned
        yield Effect(at(call, key), call, step, optional=True, until=until)

    for key in ALL:
        if call.error is None:
            yield from saw(call, key, *call.result.get(key, (MISSING,)))
        if key in call.notes:
            yield from restored(key)


def recovered(call: Call, *, kept: bool) -> Effects:
    """A database has lost what it had not written, and is what it was at some time (`Call.notes`), or has lost nothing.

    Args:
        call: The event.
        kept: Nothing that was acknowledged may be lost.
    """

    def step(found: Stored, state: Stored, _: int | None) -> Iterator[Stored]:
        if not kept or (_is_gone(state) and _is_gone(found)):
            yield found
        elif state is not None and found is not None and state.value == found.value:
            fits, held = both(state.held, found.held)
            if fits and state.revision in (None, found.revision) and both(state.expires, found.expires)[0]:
                yield state._replace(revision=found.revision, expires=found.expires, held=held)

    for key in ALL:
        found: Stored = None
        if key in call.notes:
            value, revision, expires, created, written = call.notes[key]
            text, held = parts(value)
            span = None if expires is None else (expires, expires)
            found = State(text, revision, span, held, created=(created, created), written=written)
        yield Effect(at(call, key), call, partial(step, found))


def _is_gone(state: Stored) -> bool:
    return state is None or state.expires == GONE


def _later(call: Call, ttl: float | None) -> Span | None:
    """Return when something expires that a call has written."""
    return None if ttl is None else (int(call.low) + int(ttl * 1e6), int(call.high) + int(ttl * 1e6))


def _refused(call: Call, key: str, current: str | None, expected: str | None = None) -> Effects:
    """A condition did not hold: the record was at another revision, or there was none."""

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if current is None:
                if view is None:
                    yield state
            elif view is not None and current != expected and (shown := _bound(view, ANY, current)) is not None:
                yield shown

    yield Effect(at(call, key), call, step, reads=True)


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
        text, revision, _later(call, ttl), held, created=_birth(call), written=call.low, changed=_changed_until(call)
    )

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if if_absent and view is not None:
                continue
            if if_revision is not None and (view is None or view.revision not in (None, if_revision)):
                continue
            if view is None:
                yield _marked(made, call)
            else:
                kept = made._replace(doomed=view.doomed, marked=view.marked, created=view.created, fence=view.fence)
                yield _marked(kept, call)

    yield from _repeated(call, key, step)
    if if_revision is None:
        yield from _arrived_later(call, key, made, only_new=if_absent)
    if isinstance(error, KeyExistsError):
        yield from _exists(call, key)
        return
    if isinstance(error, ConflictError) and if_revision is not None:
        yield from _refused(call, key, error.revision, if_revision)
        return
    yield _applied(call, key, step, error is not None)


def _applied(call: Call, key: str, step: Step, unknown: bool, *, counted: bool = False) -> Effect:
    """Return the effect of a write. It does not find what it has itself written before: that, it would recognise."""

    def once(state: Stored, chosen: int | None) -> Iterable[Stored]:
        if state is None or call.invoked not in state.doomed:
            return step(state, chosen)
        return step(None, chosen) if None in views(state, call) else ()  # it is another record if that has expired

    return Effect(at(call, key), call, once, optional=unknown, counted=counted)


def _repeated(call: Call, key: str, step: Step) -> Effects:
    """A write whose answer was lost was done, and the record deleted before the write was sent again.

    What the record knew of its last writes has gone with it, so the write is done again, or refused. That is a limit of
    the contract (`Put`): a database that remembers nothing of deleted records cannot do better.
    """

    def fleeting(state: Stored, _: int | None) -> Iterator[Stored]:
        before = () if state is None else state.doomed
        if call.invoked not in before:
            for after in step(state, None):
                if after is not None and after != state:
                    yield after._replace(doomed=(*before, call.invoked))

    for _ in call.blurs[:_MOST_REPEATED]:
        yield Effect(at(call, key), call, fleeting, optional=True, until=call.returned, excuse=True)


def _marked(state: State, call: Call) -> State:
    """Return a state that a call has written: the request of it that is late will recognise the record."""
    if not _may_arrive(call) or call.invoked in state.marked:
        return state
    return state._replace(marked=(*state.marked, call.invoked))


def _may_arrive(call: Call) -> bool:
    """Return whether a request of a call may arrive at any time, and write over whatever is there."""
    return call.blind and "request late" in call.faults


def _arrived_later(call: Call, key: str, made: State, *, only_new: bool) -> Effects:
    """A request that made a record was on its way for so long that the record was made by another, and deleted.

    Without a version the request also writes over a record that was made since then, if the clocks do not tell that
    (unless it writes ``only_new``).
    """

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if view is None or view.expires is not None:  # by then it may have expired
                yield _marked(made, call)
            if view is None or only_new or not _may_arrive(call) or call.invoked in view.marked:
                continue
            if view.created[0] <= call.high:
                yield _marked(made._replace(created=view.created), call)

    if "request late" in call.faults:
        yield Effect(at(call, key), call, step, optional=True, excuse=True)


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
        yield from _refused(call, key, error.revision, if_revision)
        if call.is_unanswered and call.clocks_differ:  # it is done, and takes what was created since for an older one

            def removed(state: Stored, _: int | None) -> Iterator[Stored]:
                if state is not None and state.revision in (None, if_revision):
                    yield None

            yield Effect(at(call, key), call, removed, optional=True, until=call.returned, excuse=True)
        return

    # After a lost answer, only the time when a record was created tells whether it is the one that the delete was for
    # or a later one. Where clocks differ that may be wrong either way.
    guessed = call.is_unanswered and call.name in _REMEMBERED
    # What was listed counts, and may have been removed by another call before the request to remove it arrived.
    listed = counted and call.name in CLEARS and COUNTS_WHAT_IT_LISTED in call.limits

    def step(state: Stored, chosen: int | None) -> Iterator[Stored]:
        there = was_there if chosen is None else bool(chosen)
        for view in views(state, call):
            if view is not None and there is not False:
                is_later = guessed and view.created[1] >= call.low
                if is_later and (if_revision is None or view.revision != if_revision):
                    yield state
                if if_revision is not None and view.revision not in (None, if_revision):
                    continue
                if _bound(view, value) is not None:
                    yield None
                if listed and call.invoked not in view.doomed:
                    yield view._replace(doomed=(*view.doomed, call.invoked))
            if view is None and (
                there is not True or (value is ANY and (call.is_unanswered or (counted and _overlooks(call, state))))
            ):
                yield None  # what had expired is removed as well; a delete without an answer is taken for done
                if state is not None:
                    yield state

    once = Effect(at(call, key), call, step, optional=error is not None, counted=counted)
    yield once
    if call.name in CLEARS and CLEARS_UNTIL_EMPTY in call.limits:
        for _ in range(_MOST_REMOVED):
            yield Effect(at(call, key), call, step, optional=True, until=call.returned, excuse=True)
    # Sent again, a request to remove everything that has no version removes what was made since, and may count it.
    repeated = len(call.unanswered) if call.name in CLEARS and call.blind else 0
    for _ in range(min(repeated, _MOST_REPEATED)):
        yield Effect(
            at(call, key), call, lambda *_: (None,), optional=True, until=call.returned, excuse=True, counted=counted
        )

    def not_later(state: Stored, _: int | None) -> Iterator[Stored]:
        if state is not None and state.created[0] <= call.high:
            yield None

    if guessed and if_revision is None:
        yield Effect(at(call, key), call, not_later, optional=True, until=call.returned, excuse=True, follows=once)
    if _may_arrive(call) and (call.name in CLEARS or call.name == "delete"):
        blindly = call.name in CLEARS or DELETES_BLINDLY in call.limits
        yield Effect(at(call, key), call, (lambda *_: (None,)) if blindly else not_later, optional=True, excuse=True)


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
            before = view or State("", None, None, created=_birth(call))
            after = _marked(
                _written(before, call, value=plain(new), revision=revision),
                call,
            )
            if shown is not ANY:
                yield from (one for one in (_bound(after, shown),) if one is not None)
            else:
                yield after._replace(revision=None)

    yield from _repeated(call, key, partial(step, shown=ANY))
    if not only:
        new = _written(State(plain(function(default)), None, None, created=_birth(call)), call)
        yield from _arrived_later(call, key, new, only_new=True)
    yield _applied(call, key, step, optional, counted=counted)


def modified(call: Call, key: str, function: Callable[[Any], Any], default: Any = None) -> Effects:
    """A value was replaced by what a function makes of it, which the call has returned."""
    unknown = call.error is not None
    return changed(call, key, function, default, result=ANY if unknown else call.result, optional=unknown)


def claim(call: Call, ttl: float) -> Effects:
    """A job was taken; or there was none to take."""
    until = _later(call, ttl)

    def free(view: State) -> bool:
        return view.held is None or view.held[0] <= call.high

    def taken(view: State) -> State:
        value = value_of(view)
        attempts = value.get("claim", {}).get("attempts", 0) + 1
        value["claim"] = {"by": call.thread, "until": "", "attempts": attempts}
        return _written(view, call, value=plain(value), revision=None, held=until)

    def may_take(state: Stored, _: int | None) -> Iterator[Stored]:
        yield from (taken(view) for view in views(state, call) if view is not None and free(view))

    def took(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            after = _bound(taken(view), *call.result[1:]) if view is not None and free(view) else None
            if after is not None:
                yield after

    def none(state: Stored, _: int | None) -> Iterator[Stored]:
        if any(view is None or (view.held is not None and view.held[1] > call.low) for view in views(state, call)):
            yield state

    for key in KEYS["job"]:
        yield from _repeated(call, key, may_take)
        if call.error is None and call.result is not None:
            if key == call.result[0]:
                yield _applied(call, key, took, unknown=False)
        elif call.error is None:
            yield Effect(at(call, key), call, none, reads=True)
        elif not isinstance(call.error, ConflictError):
            yield _applied(call, key, may_take, unknown=True)


def first_of(call: Call) -> Effects:
    """The first job was changed, if there was one."""

    def once_more(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if view is not None:
                yield _written(view, call, value=plain(one_more(value_of(view))), revision=None)

    key, value, revision = call.result or (None, ANY, None)
    for job in KEYS["job"]:
        if call.error is None and key is None:
            yield from saw(call, job, MISSING)
            yield from _repeated(call, job, once_more)
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
                yield view._replace(expires=_later(call, ttl), changed=_changed_until(call))
                if guessed and view.created[1] >= call.low:
                    yield state

    done = Effect(at(call, key), call, step, optional=call.error is not None)

    def again(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if view is not None and (in_vain or view.created[0] <= not_later):
                yield view._replace(expires=_later(call, ttl), changed=_changed_until(call))

    def late(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if view is not None and view.written <= call.high:
                yield view._replace(expires=_later(call, ttl), changed=_changed_until(call))

    if call.is_blurred:
        # It was done, and before it was sent again, the record was gone, or somebody else has written. What was created
        # later is left alone.
        first = None if in_vain else done
        yield Effect(at(call, key), call, again, optional=True, until=call.returned, excuse=True, follows=first)
    if _may_arrive(call):
        yield Effect(at(call, key), call, late, optional=True, excuse=True)
    yield done


def computed(call: Call, key: str, value: Any) -> Effects:
    """The value that was there was returned, or one was stored."""
    if call.error is None and call.result != value:
        yield from saw(call, key, call.result)
        yield from put(call, key, value, error=KeyExistsError("its own came too late"), if_absent=True)
    else:
        yield from put(call, key, value, error=call.error, if_absent=True)


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


def where(call: Call, made: Callable[[str], Effects]) -> Effects:
    """Return what was done to each job."""
    return itertools.chain.from_iterable(map(made, KEYS["job"]))
