"""What agents do: the calls, each with how its arguments are drawn, how it is made, and what it does to each key.

A new call is one line in `KINDS`. A test compares them with the table of all calls (`datastore.conformance.calls`).
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from math import inf
from random import Random
from typing import Any, NamedTuple, TypeAlias

from datastore import (
    AgentDataStore,
    BatchError,
    ConflictError,
    DataStoreError,
    KeyExistsError,
    Record,
    UnsupportedError,
)
from datastore.conformance.simulation.checking import (
    Effect,
    Key,
    Span,
    State,
    Step,
    Stored,
    both,
    microseconds,
    parts,
    plain,
    value_of,
    views,
)
from datastore.conformance.simulation.luck import Luck
from datastore.conformance.simulation.world import (
    BEGAN,
    CLEARS_UNTIL_EMPTY,
    COUNTS_WHAT_IT_LISTED,
    DELETES_BLINDLY,
    TELLS_WHEN_CREATED,
    Call,
    CallPlan,
    Plan,
    ProcessPlan,
    Seen,
    Sight,
    ThreadPlan,
)
from datastore.connecting import connect
from datastore.moving import copy, export_records, import_records
from datastore.times import text_of

KEYS = {"text": ("a", "b"), "number": ("n",), "job": ("job1", "job2"), "list": ("list",)}
"""The keys by what their values are. There are few, so that calls meet."""
ALL = tuple(sorted(itertools.chain.from_iterable(KEYS.values())))
SPACE = "ns"
"""The namespace that all of them are in."""
MADE = "made"
"""The namespace of records whose keys nobody can guess."""
USERS = ("ann", "ben")
MISSING = "(nothing)"
JOBS = {"kind": "job"}
"""A filter that every job matches, and nothing else."""
ANY = object()
"""Any value."""
_REMEMBERED = frozenset({"delete", "delete_if", "delete_many"})
"""The calls that remove a record which may only be remembered: they need not have seen it."""
CLEARS = frozenset({"clear", "clear-prefix"})
"""The calls that remove a range."""
_MOST_REMOVED = 2
"""So often more than once a call may remove a key that goes on until nothing is left."""
_MOST_REPEATED = 3
"""So often a write may be done again without having been recognised."""


class Draw:
    """Draws the arguments of calls."""

    def __init__(self, random: Random, user: str) -> None:
        self.random = random
        self._user = user
        self._numbers = itertools.count(1)
        self._place = f"{random.getrandbits(20):05x}"

    def key(self, *kinds: str) -> str:
        return self.random.choice(KEYS[self.random.choice(kinds or tuple(KEYS))])

    def keys(self) -> tuple[str, ...]:
        return tuple(self.random.sample(ALL, self.random.randint(2, len(ALL))))

    def value(self, key: str) -> Any:
        """Return a value that no other call writes."""
        number = next(self._numbers)
        if key in KEYS["number"]:
            return self.random.randint(1, 9) * 1000 + number
        name = f"{self._user} {self._place}.{number}"
        if key in KEYS["list"]:
            return [name]
        return {**JOBS, "name": name, "n": 0} if key in KEYS["job"] else name

    def ttl(self) -> float | None:
        return self.random.choice((None, None, 0.01, 1, 10))

    def pairs(self) -> tuple[tuple[str, Any], ...]:
        return tuple((key, self.value(key)) for key in self.keys())

    def key_and_value(self) -> tuple[str, Any]:
        key = self.key()
        return key, self.value(key)


Effects: TypeAlias = Iterable[Effect]


class Kind(NamedTuple):
    """One call."""

    weight: int
    """How often it is drawn."""
    draw: Callable[[Draw], tuple[Any, ...]]
    make: Callable[..., Any]
    """Makes it: given the store, what the thread has seen, and the arguments."""
    effects: Callable[..., Effects]
    """What it did to each key: given the `Call` and the arguments."""
    hits: Callable[[Call], Iterable[str]] = lambda call: ()
    """The keys of which it counts an access, if it returned."""
    may_hit: Callable[[Call], Iterable[str]] = lambda call: ()
    """Those of which it may have counted one, if it did not."""


# How a call is made, where that is more than to call it.


def _noted(seen: dict[str, str], key: str, revision: str) -> str:
    seen[key] = revision
    return revision


def _record(store: AgentDataStore, seen: dict[str, str], key: str) -> Any:
    record = store.get_record(key)
    if record is None:
        return None
    seen[key] = record.revision
    return (record.value, record.revision, _expiry(record), record.access_count)


def _claimed(store: AgentDataStore, seen: dict[str, str], ttl: float) -> Any:
    record = store.claim(JOBS, ttl=ttl)
    if record is None:
        return None
    seen[record.key] = record.revision
    return (record.key, record.value, record.revision)


def _first_changed(store: AgentDataStore) -> Any:
    record = store.find_one_and_update(JOBS, {"$inc": {"n": 1}})
    return None if record is None else (record.key, record.value, record.revision)


def _shown(records: Iterable[Record]) -> dict[str, Any]:
    """Return what records show: value and revision by key, in their order."""
    return {record.key: (record.value, record.revision) for record in records}


def _of_one(record: Record | None) -> dict[str, Any]:
    return {} if record is None else _shown([record])


def _created(store: AgentDataStore, value: Any) -> Any:
    made = store.use_namespace(MADE)
    key = made.create(value)
    return (key, made.get(key, MISSING))


def _stats(store: AgentDataStore) -> int:
    return sum(one.records for one in store.namespace_stats(SPACE))


def _copied(store: AgentDataStore, seen: Sight) -> dict[str, Any]:
    """Copy the namespace to another store, and return what is there."""
    with connect("memory://", clock=seen.clock, tracking="off") as sink:
        if not (report := copy(seen.host, sink, user_id=store.user_id, namespace=SPACE)).complete:
            raise AssertionError(f"the copy is not complete: {report}")
        return _shown(sink.host(store.user_id, SPACE).iter_records())


def _imported(store: AgentDataStore, seen: Sight) -> dict[str, Any]:
    """Export the namespace to a file, import the file where it came from, and return what was in it."""
    file = io.BytesIO()
    export_records(seen.host, file, user_id=store.user_id, namespace=SPACE)
    with connect("memory://", clock=lambda: float(BEGAN - 1_000), tracking="off") as reader:
        file.seek(0)
        import_records(file, reader)
        records = list(reader.host(store.user_id, SPACE).iter_records())
    found = {record.key: (record.value, record.revision, _expiry(record)) for record in records}
    for record in records:
        seen.notes[record.key] = (*found[record.key], _time(record.created_at), _time(record.updated_at))
    file.seek(0)
    import_records(file, seen.host)
    return found


def _expiry(record: Record) -> int | None:
    return None if record.expires_at is None else _time(record.expires_at)


def _time(time: datetime) -> int:
    return microseconds(text_of(time))


def renamed(name: str) -> Callable[[Any], Any]:
    """Return what `update` does to a job that gets another name."""
    return lambda value: {**value, "name": name}


def _changes(name: str) -> dict[str, Any]:
    return {"$set": {"name": name}, "$setOnInsert": {**JOBS, "n": 0}}


def added(text: str) -> Callable[[Any], Any]:
    """Return the function of `modify` that adds to a text."""
    return lambda value: f"{value or ''}+{text}"


def one_more(value: Any) -> Any:
    """Return a job that was changed once more."""
    return {**value, "n": value["n"] + 1}


# What they do to a key.


def _at(call: Call, key: str) -> Key:
    return (call.user, call.namespace, key)


def _birth(call: Call) -> tuple[float, float]:
    """Return when a record is created that a call writes, by the clock that tells it from a later one."""
    if TELLS_WHEN_CREATED in call.limits:
        return (BEGAN + call.began) * 1e6, (BEGAN + call.ended) * 1e6
    return call.low, call.high


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


def _saw(call: Call, key: str, value: Any, revision: str | None = None, expires: object = ANY) -> Effects:
    """A call has shown a value under a key, or that there is none (``MISSING``)."""

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if value is MISSING:
                if view is None:
                    yield state
            elif view is not None and (shown := _bound(view, value, revision, expires)) is not None:
                yield shown

    if call.error is None:
        yield Effect(_at(call, key), call, step, reads=True)


def _saw_all(call: Call, found: Iterable[tuple[str, Any]], keys: Iterable[str] = ALL) -> Effects:
    shown = dict(found) if call.error is None else {}
    for key in keys:
        yield from _saw(call, key, shown.get(key, MISSING))


def _saw_records(call: Call, keys: Iterable[str] = ALL) -> Effects:
    """A call has shown some of the keys with value and revision, and none of the others."""
    shown = call.result if call.error is None else {}
    for key in keys:
        yield from _saw(call, key, *shown.get(key, (MISSING,)))


def _saw_first(call: Call, *, backward: bool = False) -> Effects:
    """A call has shown the first key that there is, or the last."""
    keys = list(reversed(ALL)) if backward else list(ALL)
    (first,) = call.result or keys[-1:]
    return _saw_records(call, keys[: keys.index(first) + 1])


def _counted(call: Call, keys: Iterable[str] = ALL) -> Effects:
    """A call says how many of the keys there are."""

    def step(state: Stored, chosen: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if chosen is None or chosen == (view is not None):
                yield state

    if call.error is None:
        for key in keys:
            yield Effect(_at(call, key), call, step, counted=True, reads=True)


def _listed(call: Call) -> Effects:
    """A call has listed the namespaces. If it leaves one out, it has found nothing there."""
    if call.error is None and SPACE not in call.result:
        for key in ALL:
            yield from _saw(call, key, MISSING)


def _was_created(call: Call, value: Any) -> Effects:
    """A record was created, and read under its key, which nobody else knows."""
    if call.error is None and call.result[1] != value and not (call.emptied and call.result[1] == MISSING):
        yield Effect((call.user, MADE, call.result[0]), call, lambda state, _: ())


def _purged(call: Call) -> Effects:
    """What has expired by the call's clock was removed, although others may still have seen it."""

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        if state is not None and None in views(state, call):
            yield None

    if not isinstance(call.error, UnsupportedError):
        for key in ALL:
            yield Effect(_at(call, key), call, step, optional=True, until=inf if call.is_blurred else call.returned)


def _brought_back(call: Call) -> Effects:
    """Records were read, and those that have gone since were written again. Newer ones stay, as far as clocks tell."""

    def restored(key: str) -> Effects:
        value, revision, expires, created, written = call.notes[key]
        text, held = parts(value)
        span = None if expires is None else (expires, expires)
        made = State(text, revision, span, held, created=(created, created), written=written)

        def step(state: Stored, _: int | None) -> Iterator[Stored]:
            for view in views(state, call):
                if view is None or call.clocks_differ or view.revision in (None, revision):
                    # A database that tells when it created a record does not take the file's word for it.
                    own = TELLS_WHEN_CREATED in call.limits
                    yield made._replace(created=_birth(call) if view is None else view.created) if own else made

        until = inf if call.error is not None or call.is_blurred else call.returned
        yield Effect(_at(call, key), call, step, optional=True, until=until)

    for key in ALL:
        if call.error is None:
            yield from _saw(call, key, *call.result.get(key, (MISSING,)))
        if key in call.notes:
            yield from restored(key)


def _recovered(call: Call, *, kept: bool) -> Effects:
    """A database has lost what it had not written, and is what it was at some time (`Call.notes`), or has lost nothing.

    Args:
        call: The event.
        kept: Nothing that was acknowledged may be lost.
    """

    def step(found: Stored, state: Stored, _: int | None) -> Iterator[Stored]:
        if not kept or (state is None and found is None):
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
        yield Effect(_at(call, key), call, partial(step, found))


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

    yield Effect(_at(call, key), call, step, reads=True)


def _put(
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
    made = State(text, revision, _later(call, ttl), held, created=_birth(call), written=call.low)

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if if_absent and view is not None:
                continue
            if if_revision is not None and (view is None or view.revision not in (None, if_revision)):
                continue
            if view is None:
                yield _marked(made, call)
            else:
                kept = made._replace(doomed=view.doomed, marked=view.marked, created=view.created)
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

    return Effect(_at(call, key), call, once, optional=unknown, counted=counted)


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
        yield Effect(_at(call, key), call, fleeting, optional=True, until=call.returned, excuse=True)


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
        yield Effect(_at(call, key), call, step, optional=True, excuse=True)


def _exists(call: Call, key: str) -> Effects:
    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        yield from (view for view in views(state, call) if view is not None)

    yield Effect(_at(call, key), call, step, reads=True)


def _batch(call: Call, pairs: Iterable[tuple[str, Any]], *, if_absent: bool = False) -> Effects:
    """Each item of a batch was stored or not."""
    outcomes = call.error.outcomes if isinstance(call.error, BatchError) else {}
    for key, value in pairs:
        error = outcomes.get(key) if outcomes else call.error
        yield from _put(call, key, value, error=error, if_absent=if_absent)


def _removed(
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

            yield Effect(_at(call, key), call, removed, optional=True, until=call.returned, excuse=True)
        return

    # After a lost answer, only the time when a record was created tells whether it is the one that the delete was for
    # or a later one. Where clocks differ that may be wrong either way.
    guessed = call.is_unanswered and call.name in _REMEMBERED
    # What has expired may be asked for before the range is listed. A record that was written in between by a process
    # whose clock is behind has then expired, and counts all the same.
    overlooked = counted and call.name in CLEARS and call.clocks_differ and CLEARS_UNTIL_EMPTY in call.limits
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
            if view is None and (there is not True or (value is ANY and (call.is_unanswered or overlooked))):
                yield None  # what had expired is removed as well; a delete without an answer is taken for done
                if state is not None:
                    yield state

    once = Effect(_at(call, key), call, step, optional=error is not None, counted=counted)
    yield once
    if call.name in CLEARS and CLEARS_UNTIL_EMPTY in call.limits:
        for _ in range(_MOST_REMOVED):
            yield Effect(_at(call, key), call, step, optional=True, until=call.returned, excuse=True)
    # Sent again, a request to remove everything that has no version removes what was made since, and may count it.
    repeated = call.name in CLEARS and call.blind and call.is_unanswered
    if repeated:
        yield Effect(
            _at(call, key), call, lambda *_: (None,), optional=True, until=call.returned, excuse=True, counted=counted
        )

    def not_later(state: Stored, _: int | None) -> Iterator[Stored]:
        if state is not None and state.created[0] <= call.high:
            yield None

    if guessed and if_revision is None:
        yield Effect(_at(call, key), call, not_later, optional=True, until=call.returned, excuse=True, follows=once)
    if _may_arrive(call) and (call.name in CLEARS or call.name == "delete"):
        blindly = call.name in CLEARS or DELETES_BLINDLY in call.limits
        yield Effect(_at(call, key), call, (lambda *_: (None,)) if blindly else not_later, optional=True, excuse=True)


def _changed(
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
            after = _marked(before._replace(value=plain(new), revision=revision, written=call.low), call)
            if shown is not ANY:
                yield from (one for one in (_bound(after, shown),) if one is not None)
            else:
                yield after._replace(revision=None)

    yield from _repeated(call, key, partial(step, shown=ANY))
    if not only:
        new = State(plain(function(default)), None, None, created=_birth(call), written=call.low)
        yield from _arrived_later(call, key, new, only_new=True)
    yield _applied(call, key, step, optional, counted=counted)


def _modified(call: Call, key: str, function: Callable[[Any], Any], default: Any = None) -> Effects:
    unknown = call.error is not None
    return _changed(call, key, function, default, result=ANY if unknown else call.result, optional=unknown)


def _claim(call: Call, ttl: float) -> Effects:
    """A job was taken; or there was none to take."""
    until = _later(call, ttl)

    def free(view: State) -> bool:
        return view.held is None or view.held[0] <= call.high

    def taken(view: State) -> State:
        value = value_of(view)
        attempts = value.get("claim", {}).get("attempts", 0) + 1
        value["claim"] = {"by": call.thread, "until": "", "attempts": attempts}
        return view._replace(value=plain(value), revision=None, held=until, written=call.low)

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
            yield Effect(_at(call, key), call, none, reads=True)
        elif not isinstance(call.error, ConflictError):
            yield _applied(call, key, may_take, unknown=True)


def _first_of(call: Call) -> Effects:
    def once_more(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if view is not None:
                yield view._replace(value=plain(one_more(value_of(view))), revision=None, written=call.low)

    key, value, revision = call.result or (None, ANY, None)
    for job in KEYS["job"]:
        if call.error is None and key is None:
            yield from _saw(call, job, MISSING)
            yield from _repeated(call, job, once_more)
        elif job == key:
            yield from _changed(call, job, one_more, only=True, result=value, revision=revision)
        elif call.is_blurred or call.error is not None:
            yield from _changed(call, job, one_more, only=True, optional=True)


def _touched(call: Call, key: str, ttl: float | None) -> Effects:
    # As for a delete, only the time when a record was created tells whether it is a later one, which is left alone.
    guessed = call.is_unanswered and call.clocks_differ
    in_vain = call.error is None and not call.result
    # The database's own clock tells that a record was there when the call began, which its process has then read.
    not_later = max(call.high, (BEGAN + call.began) * 1e6) if TELLS_WHEN_CREATED in call.limits else call.high

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if view is None:
                if call.error is None and not call.result:
                    yield state
            elif call.error is not None or call.result:
                yield view._replace(expires=_later(call, ttl))
                if guessed and view.created[1] >= call.low:
                    yield state

    done = Effect(_at(call, key), call, step, optional=call.error is not None)

    def again(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if view is not None and (in_vain or view.created[0] <= not_later):
                yield view._replace(expires=_later(call, ttl))

    def late(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if view is not None and view.written <= call.high:
                yield view._replace(expires=_later(call, ttl))

    if call.is_blurred:
        # It was done, and before it was sent again, the record was gone, or somebody else has written. What was created
        # later is left alone.
        first = None if in_vain else done
        yield Effect(_at(call, key), call, again, optional=True, until=call.returned, excuse=True, follows=first)
    if _may_arrive(call):
        yield Effect(_at(call, key), call, late, optional=True, excuse=True)
    yield done


def _computed(call: Call, key: str, value: Any) -> Effects:
    """The value that was there was returned, or one was stored."""
    if call.error is None and call.result != value:
        yield from _saw(call, key, call.result)
        yield from _put(call, key, value, error=KeyExistsError("its own came too late"), if_absent=True)
    else:
        yield from _put(call, key, value, error=call.error, if_absent=True)


def _popped(call: Call, key: str) -> Effects:
    if call.error is None and call.result == MISSING:
        return _saw(call, key, MISSING)
    if isinstance(call.error, ConflictError):
        return ()
    return _removed(call, key, was_there=True, error=call.error, value=ANY if call.error else call.result)


def _all_removed(call: Call, keys: Iterable[str] = ALL) -> Effects:
    outcomes = call.error.outcomes if isinstance(call.error, BatchError) else {}
    for key in keys:
        error = outcomes.get(key) if outcomes else call.error
        yield from _removed(call, key, was_there=None, error=error, counted=call.error is None)


def _where(call: Call, made: Callable[[str], Effects]) -> Effects:
    return itertools.chain.from_iterable(map(made, KEYS["job"]))


def _found(call: Call) -> Iterable[str]:
    keys: Iterable[str] = call.result
    return keys


def _one(call: Call) -> Iterable[str]:
    return (call.arguments[0],)


def _hit(call: Call) -> Iterable[str]:
    return () if call.result == MISSING else _one(call)


def _others(call: Call) -> Iterable[str]:
    return () if call.result == call.arguments[1] else _one(call)


def _everything(call: Call) -> Iterable[str]:
    return ALL


# The calls. In these lines `s` is the agent's store, `m` what its thread has seen, `k` a key and `v` a value.

KINDS: dict[str, Kind] = {
    "get": Kind(
        6, lambda d: (d.key(),), lambda s, m, k: s.get(k, MISSING), lambda c, k: _saw(c, k, c.result), _hit, _one
    ),
    "get_record": Kind(
        4, lambda d: (d.key(),), _record, lambda c, k: _saw(c, k, *((MISSING,) if c.result is None else c.result[:3]))
    ),
    "exists": Kind(
        1, lambda d: (d.key(),), lambda s, m, k: s.exists(k), lambda c, k: _saw(c, k, ANY if c.result else MISSING)
    ),
    "set": Kind(
        6,
        lambda d: (*d.key_and_value(), d.ttl()),
        lambda s, m, k, v, t: _noted(m, k, s.set(k, v, ttl=t)),
        lambda c, k, v, t: _put(c, k, v, error=c.error, revision=c.result, ttl=t),
    ),
    "set_if": Kind(
        4,
        lambda d: (k := d.key(), d.value(k), Seen(k)),
        lambda s, m, k, v, r: _noted(m, k, s.set(k, v, if_revision=r)),
        lambda c, k, v, r: _put(c, k, v, error=c.error, revision=c.result, if_revision=r),
    ),
    "add": Kind(
        5,
        lambda d: (*d.key_and_value(), d.ttl()),
        lambda s, m, k, v, t: _noted(m, k, s.add(k, v, ttl=t)),
        lambda c, k, v, t: _put(c, k, v, error=c.error, revision=c.result, ttl=t, if_absent=True),
    ),
    "delete": Kind(
        4,
        lambda d: (d.key(),),
        lambda s, m, k: s.delete(k),
        lambda c, k: _removed(c, k, was_there=c.result, error=c.error),
    ),
    "delete_if": Kind(
        2,
        lambda d: (k := d.key(), Seen(k)),
        lambda s, m, k, r: s.delete(k, if_revision=r),
        lambda c, k, r: _removed(c, k, was_there=c.result, error=c.error, if_revision=r),
    ),
    "pop": Kind(3, lambda d: (d.key("text", "number"),), lambda s, m, k: s.pop(k, MISSING), _popped),
    "touch": Kind(2, lambda d: (d.key(), d.ttl()), lambda s, m, k, t: s.touch(k, ttl=t), _touched),
    "increment": Kind(
        6,
        lambda d: (d.key("number"), d.random.randint(1, 3)),
        lambda s, m, k, n: s.increment(k, n),
        lambda c, k, n: _modified(c, k, lambda value: value + n, 0),
    ),
    "modify": Kind(
        3,
        lambda d: (k := d.key("text"), d.value(k)),
        lambda s, m, k, v: s.modify(k, added(v)),
        lambda c, k, v: _modified(c, k, added(v)),
    ),
    "get_or_set": Kind(
        2,
        lambda d: (k := d.key("text"), d.value(k)),
        lambda s, m, k, v: s.get_or_set(k, lambda: v, lease=2),
        _computed,
        _others,
        _one,
    ),
    "claim": Kind(4, lambda d: (d.random.choice((0.01, 5, 60)),), _claimed, _claim),
    "find_one_and_update": Kind(1, lambda d: (), lambda s, m: _first_changed(s), _first_of),
    "get_many": Kind(
        2,
        lambda d: d.keys(),
        lambda s, m, *k: s.get_many(k),
        lambda c, *k: _saw_all(c, (c.result or {}).items(), k),
        _found,
        lambda c: c.arguments,
    ),
    "get_all": Kind(
        1, lambda d: (), lambda s, m: s.get_all(), lambda c: _saw_all(c, (c.result or {}).items()), _found, _everything
    ),
    "list_keys": Kind(
        2, lambda d: (), lambda s, m: s.list_keys(), lambda c: _saw_all(c, dict.fromkeys(c.result or (), ANY).items())
    ),
    "find": Kind(
        2,
        lambda d: (),
        lambda s, m: s.find(JOBS),
        lambda c: _saw_all(c, (c.result or {}).items(), KEYS["job"]),
        _found,
        _everything,
    ),
    "set_many": Kind(3, lambda d: d.pairs(), lambda s, m, *p: s.set_many(p), lambda c, *p: _batch(c, p)),
    "add_many": Kind(
        2, lambda d: d.pairs(), lambda s, m, *p: s.add_many(p), lambda c, *p: _batch(c, p, if_absent=True)
    ),
    "delete_many": Kind(2, lambda d: d.keys(), lambda s, m, *k: s.delete_many(k), lambda c, *k: _all_removed(c, k)),
    "clear": Kind(1, lambda d: (), lambda s, m: s.clear(), lambda c: _all_removed(c)),
    "update_where": Kind(
        2,
        lambda d: (),
        lambda s, m: s.update_where(JOBS, {"$inc": {"n": 1}}),
        lambda c: _where(
            c, lambda k: _changed(c, k, one_more, only=True, optional=c.error is not None, counted=c.error is None)
        ),
    ),
    "delete_where": Kind(1, lambda d: (), lambda s, m: s.delete_where(JOBS), lambda c: _all_removed(c, KEYS["job"])),
    "in": Kind(1, lambda d: (d.key(),), lambda s, m, k: k in s, lambda c, k: _saw(c, k, ANY if c.result else MISSING)),
    "create": Kind(1, lambda d: (d.value("a"),), lambda s, m, v: _created(s, v), _was_created),
    "append": Kind(
        3,
        lambda d: ("list", d.value("a")),
        lambda s, m, k, v: s.append(k, v),
        lambda c, k, v: _modified(c, k, lambda value: [*value, v], []),
    ),
    "update": Kind(
        2,
        lambda d: (d.key("job"), d.value("a")),
        lambda s, m, k, v: s.update(k, _changes(v)),
        lambda c, k, v: _modified(c, k, renamed(v), {**JOBS, "n": 0}),
    ),
    "get_records": Kind(
        1, lambda d: d.keys(), lambda s, m, *k: _shown(s.get_records(k).values()), lambda c, *k: _saw_records(c, k)
    ),
    "first": Kind(1, lambda d: (), lambda s, m: _of_one(s.first()), lambda c: _saw_first(c)),
    "last": Kind(1, lambda d: (), lambda s, m: _of_one(s.last()), lambda c: _saw_first(c, backward=True)),
    "scan": Kind(1, lambda d: (), lambda s, m: _shown(s.scan().records), lambda c: _saw_records(c)),
    "iter_records": Kind(1, lambda d: (), lambda s, m: _shown(s.iter_records()), lambda c: _saw_records(c)),
    "find_records": Kind(
        1, lambda d: (), lambda s, m: _shown(s.find_records(JOBS).records), lambda c: _saw_records(c, KEYS["job"])
    ),
    "find_in": Kind(
        1, lambda d: (), lambda s, m: _shown(s.find_in(SPACE, JOBS)), lambda c: _saw_records(c, KEYS["job"])
    ),
    "list_namespaces": Kind(1, lambda d: (), lambda s, m: s.list_namespaces(), _listed),
    "namespace_stats": Kind(1, lambda d: (), lambda s, m: _stats(s), lambda c: _counted(c)),
    "count": Kind(1, lambda d: (), lambda s, m: s.count(), lambda c: _counted(c)),
    "count-filter": Kind(1, lambda d: (), lambda s, m: s.count(JOBS), lambda c: _counted(c, KEYS["job"])),
    "explain": Kind(
        1, lambda d: (), lambda s, m: s.explain(JOBS)["documents_returned"], lambda c: _counted(c, KEYS["job"])
    ),
    "clear-prefix": Kind(1, lambda d: (), lambda s, m: s.clear("job"), lambda c: _all_removed(c, KEYS["job"])),
    "purge_expired": Kind(1, lambda d: (), lambda s, m: s.purge_expired(), _purged),
    "fork": Kind(1, lambda d: (d.random.choice(("parent", "child")),), lambda s, m, g: m.fork(g), lambda c, g: ()),
    "copy": Kind(1, lambda d: (), _copied, lambda c: _saw_records(c)),
    "import": Kind(1, lambda d: (), _imported, _brought_back),
}
"""The calls by name."""

EVENTS: dict[str, Callable[..., Effects]] = {
    "(made anew)": lambda c: (Effect(_at(c, key), c, lambda state, _: (None,)) for key in ALL),
    "(power lost)": lambda c, kept: _recovered(c, kept=kept),
}
"""What happens to a database, by the name that it has in the history."""


def effects(call: Call) -> Effects:
    """Return what a call, or an event, did to each key."""
    made = KINDS[call.name].effects if call.name in KINDS else EVENTS[call.name]
    return made(call, *call.arguments)


LOSSES = frozenset({"delete", "delete_if", "pop", "touch", "delete_many", "clear", "clear-prefix", "delete_where"})
LOSSES |= {"purge_expired", "import"}
"""The calls after which a key may belong to another record."""


def plan(seed: str, possible: frozenset[str]) -> Plan:
    """Draw a run."""
    random = Random(seed)
    luck = Luck.drawn(random, possible)
    users = USERS if random.random() < 0.2 else USERS[:1]
    names = [name for name in KINDS if random.random() < 0.5] or list(KINDS)
    weights = [KINDS[name].weight for name in names]
    skewed = random.random() < 0.5
    processes = []
    for number in range(random.choice((1, 2, 2, 2, 3))):
        threads = []
        for place in range(random.choice((1, 1, 2))):
            user = random.choice(users)
            draw = Draw(random, user)
            calls = []
            for position in range(random.randint(2, 7)):
                (name,) = random.choices(names, weights)
                pause = random.expovariate(random.choice((1000.0, 200.0, 1.0)))
                calls.append(CallPlan(position, name, KINDS[name].draw(draw), pause))
            threads.append(ThreadPlan(place, user, SPACE, tuple(calls)))
        options = {
            "tracking": random.choice(("deferred", "deferred", "immediate", "off")),
            "flush_interval": random.choice((0.01, 0.1, 1.0)),
        }
        skew = random.uniform(-5.0, 5.0) if skewed else 0.0
        processes.append(ProcessPlan(number, skew, options, tuple(threads)))
    return Plan(seed, luck, tuple(processes))


def audit() -> list[CallPlan]:
    """Return the calls that look at what is there when everybody has ended."""
    keys = list(ALL)
    return [
        *(CallPlan(place, "get_record", (key,), 0.0) for place, key in enumerate(keys)),
        CallPlan(len(keys), "list_keys", (), 0.0),
        CallPlan(len(keys) + 1, "get_all", (), 0.0),
    ]
