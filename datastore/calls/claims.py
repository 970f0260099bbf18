"""Calls of which one caller of many is to be the one: who changes what matches, who works on a job, who computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Any

from datastore.arguments import check_name, check_text
from datastore.backend import Delete, Document, Fields, Put
from datastore.calls.changes import RESULT, naming
from datastore.calls.leases import LeaseRecord, put_for, record_for
from datastore.calls.steps import Steps, follow
from datastore.documents import key_of
from datastore.errors import ConflictError, DataStoreError, InvalidValueError, kind_of
from datastore.frozen import NamedTuple
from datastore.ids import IdRange, encode_key, key_range
from datastore.retry import Backoff
from datastore.scope import Bound, Scope, bounded, scope_of
from datastore.times import format_time
from datastore.values import check_metadata, decode

if TYPE_CHECKING:
    from datastore.backend import Query
    from datastore.queries.shaping import FilterArgument, Sort, SortArgument
    from datastore.record import Record

_FIRST_DELAY, _LONGEST_DELAY = 0.001, 0.1  # seconds; a competitor is done after one round trip
_LOOK, _LOOK_SELDOM = 0.02, 0.5  # seconds between two looks whether somebody else has computed the value
_MOST_CANDIDATES = 64


class ClaimCalls(Bound):
    """Lets one caller of many do something: the others find it done, or are given something else to do."""

    __slots__ = ()

    @bounded
    def find_one_and_update(
        self,
        filter: FilterArgument | None,
        changes: Mapping[str, Any],
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        sort: SortArgument = None,
    ) -> Record | None:
        """Change one record that matches, and return it. Of callers that come at once each gets another record.

        Expiry and metadata stay as they are. No access is counted.

        Args:
            filter: What the value must be like, as in `find`; ``None`` or ``{}`` for any.
            changes: Fields to set, or update operators, as in `update`.
            meta: As in `find`.
            prefix: As in `find`.
            start: As in `find`.
            end: As in `find`.
            sort: As in `find`: the first in this order is changed.

        Returns:
            The `Record` after the change; ``None`` if nothing matches.

        Raises:
            QueryError: If an argument is not of the language; the message names the place.
            InvalidValueError: If an operator does not fit the stored value, which then stays as it is.
            ValueTooLargeError: If the value grows too large.
            ConflictError: If other writers came first each time, for ``max_seconds``.

        Requests: those of ``find`` with a limit of 1, and 1; more if others change the same records.
        """
        from datastore.queries.language import parse_query
        from datastore.queries.shaping import parse_window
        from datastore.queries.updates import compile_update

        query, window, update = parse_query(filter, meta), parse_window(sort, 0, None), compile_update(changes)
        scope = scope_of(self)
        range = key_range(scope.prefix, prefix, start, end)
        return _change_one(scope, query, range, window.sort, update)

    @bounded
    def claim(
        self,
        filter: FilterArgument | None = None,
        *,
        ttl: float | timedelta,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        sort: SortArgument = None,
    ) -> Record | None:
        """Take a job: find a record that matches and that nobody holds, and hold it for some time.

        Of many workers each job goes to one. The claim is written into the value, an object, as its field ``claim``:
        ``{"by": <agent>, "until": <time>, "attempts": <number>}``. Whoever does not finish before ``until`` loses it,
        and the next caller gets the job, with one attempt more. Finish by `delete` or `set` with
        ``if_revision=record.revision``: it raises `ConflictError` if somebody else holds the job by now.

        Times are those of the workers' clocks: they may differ by less than ``ttl`` leaves to spare.

        Args:
            filter: Which jobs, as in `find`, such as ``{"kind": "mail", "claim.attempts": {"$not": {"$gte": 3}}}``.
            ttl: Seconds, or a `timedelta`, for which the job is held.
            meta: As in `find`.
            prefix: As in `find`.
            start: As in `find`.
            end: As in `find`.
            sort: As in `find`: which job comes first. Without it, that is the one with the first key; if others claim
                at the same moment, it may be one of the next.

        Returns:
            The `Record` with its claim; ``None`` if there is no job to take.

        Raises:
            QueryError, InvalidValueError, ValueTooLargeError, ConflictError: As `find_one_and_update`.

        Requests: as `find_one_and_update`. Jobs that others hold are looked at too, unless a declared index or
        ``filter`` leaves them out.
        """
        from dataclasses import replace

        from datastore.queries.language import parse_query
        from datastore.queries.shaping import parse_window
        from datastore.queries.tree import clauses, conjunction
        from datastore.queries.updates import compile_update

        scope = scope_of(self)
        moment = scope.moment(ttl)
        if moment.expires_at is None:
            raise InvalidValueError("ttl is None; say for how many seconds the job is to be held")
        free = {"$or": [{"claim.until": {"$exists": False}}, {"claim.until": {"$lte": moment.at}}]}
        query = parse_query(filter, meta)
        query = replace(query, value=conjunction([*clauses(query.value), *clauses(parse_query(free).value)]))
        held = {"claim.by": scope.agent, "claim.until": moment.expires_at}
        update = compile_update({"$set": held, "$inc": {"claim.attempts": 1}})
        range, window = key_range(scope.prefix, prefix, start, end), parse_window(sort, 0, None)
        return _change_one(scope, query, range, window.sort, update)

    def get_or_set(
        self,
        key: str,
        function: Callable[[], Any],
        *,
        metadata: dict[str, Any] | None = None,
        ttl: float | timedelta | None = None,
        refresh: float | timedelta | None = None,
        lease: float | timedelta = 60.0,
    ) -> Any:
        """Return the value under a key; if there is none, compute it, store it and return it.

        Of all callers, in all threads and processes, one computes at a time; the others wait for what it stores. What
        is there already is counted as an access. The call takes as long as the function does, or the others' waiting.

        Args:
            key: The key.
            function: Computes the value. What it raises reaches the caller as it is; then nothing is stored, and one
                of those who wait computes.
            metadata: Merged into the record's, where the value is stored.
            ttl: Seconds, or a `timedelta`, until the value expires; ``None`` for never.
            refresh: In the last seconds of a value's life one caller computes it again, and meanwhile the others get
                the old value at once. ``None`` for not before it has expired.
            lease: For how long at most one caller computes alone. After that another one begins, too, and the value
                that is stored first counts.

        Returns:
            The value.

        Raises:
            InvalidValueError: If the value is not JSON; nothing is stored.
            ValueTooLargeError: If value or metadata is too large.

        Requests: 1 if the value is there. To compute it 5: two reads, the lease, the value, and the end of the lease.
        Each look of those who wait costs 2. They look after 20 milliseconds, and then more and more seldom, up to half
        a second.
        """
        steps = computing(scope_of(self), key, function, metadata=metadata, ttl=ttl, refresh=refresh, lease=lease)
        return follow(steps, function)


def computing(
    scope: Scope,
    key: str,
    function: Callable[[], Any],
    *,
    metadata: dict[str, Any] | None,
    ttl: float | timedelta | None,
    refresh: float | timedelta | None,
    lease: float | timedelta,
) -> Steps:
    """Return the steps of `get_or_set`; whoever follows them calls the function, and does the waiting."""
    if not callable(function):
        raise InvalidValueError(f"function is {kind_of(function)}; it must return the value")
    key, metadata = check_name(key, "key"), check_metadata(metadata)
    for parameter, seconds in (("ttl", ttl), ("refresh", refresh), ("lease", lease)):
        scope.moment(seconds, parameter)  # raises before any request
    _check_lease(lease)
    return _computing(scope, key, metadata, ttl, refresh, lease)


def pausing() -> Backoff:
    """Return the waiting between two looks whether somebody else has computed the value."""
    return Backoff(inf, _LOOK, _LOOK_SELDOM)


def _check_lease(lease: float | timedelta | None) -> None:
    if lease is None:
        raise InvalidValueError("lease is None; say for how many seconds one caller may compute alone")


def _computing(
    scope: Scope,
    key: str,
    metadata: dict[str, Any] | None,
    ttl: float | timedelta | None,
    refresh: float | timedelta | None,
    lease: float | timedelta,
) -> Steps:
    scope.core.check_writes(scope.prefix)
    pauses = pausing()
    while True:
        begun = _begin_computing(scope, key, refresh, lease)
        if begun.lease is not None:
            try:
                value = yield ()
                json = _store_computed(scope, key, value, begun.revision, metadata, ttl)
            finally:
                _end_lease(scope, key, begun.lease)
            if json is not None:
                return decode(json)
        elif begun.found:
            return begun.value
        else:
            yield pauses


class Begun(NamedTuple):
    """What the caller of `get_or_set` is to do: take the value; compute it, with a lease; or wait and begin again."""

    found: bool
    value: Any = None
    lease: str | None = None
    """The caller's to compute alone for some time; ``None`` if there is nothing to compute, or another one does."""
    revision: str | None = None
    """That of the value that is to be replaced; ``None`` if there is none."""


_WAIT = Begun(False)


def begin_computing(
    scope: Scope, key: str, *, refresh: float | timedelta | None = None, lease: float | timedelta = 60.0
) -> Begun:
    """Look whether there is a value, and otherwise take the lease for computing it, if nobody holds it.

    A value that is there is counted as an access, unless the caller is to compute it again. Whoever gets a lease must
    end it with `end_computing`, after storing what was computed with `store_computed`.

    Args:
        scope: Whose it is.
        key: As `ClaimCalls.get_or_set`.
        refresh: As `ClaimCalls.get_or_set`.
        lease: As `ClaimCalls.get_or_set`.

    Requests: 1 if the value is there; with a lease 3.
    """
    key = check_name(key, "key")
    for parameter, seconds in (("refresh", refresh), ("lease", lease)):
        scope.moment(seconds, parameter)  # raises before any request
    _check_lease(lease)
    scope.core.check_writes(scope.prefix)
    return _begin_computing(scope, key, refresh, lease)


def _begin_computing(scope: Scope, key: str, refresh: float | timedelta | None, lease: float | timedelta) -> Begun:
    while True:
        document = scope.fetch(key, Fields.VALUE)
        if document is None or _is_due(scope, document, refresh):
            held = _take_lease(scope, key, lease)
            if held is not None:
                with _ended_if_raised(scope, key, held):
                    last = scope.fetch(key, Fields.VALUE)  # somebody may have stored it since the first look
                if last is None or _is_due(scope, last, refresh):
                    return Begun(False, None, held, None if last is None else last.revision)
                _end_lease(scope, key, held)
                continue  # whatever is there now
            if document is None:
                return _WAIT
            # Somebody else computes: for now, the old value will do.
        scope.tracker.note(document, scope.agent)
        return Begun(True, document.value)


def store_computed(
    scope: Scope,
    key: str,
    value: Any,
    lease: str,
    revision: str | None,
    *,
    metadata: dict[str, Any] | None = None,
    ttl: float | timedelta | None = None,
) -> bool:
    """Store what was computed, end the lease, and return whether it was stored: somebody may have been first.

    Args:
        scope: Whose it is.
        key: As `ClaimCalls.get_or_set`.
        value: What was computed.
        lease: That of `Begun`.
        revision: That of `Begun`.
        metadata: As `ClaimCalls.get_or_set`.
        ttl: As `ClaimCalls.get_or_set`.

    Requests: 2.
    """
    key = check_name(key, "key")
    if revision is not None:
        revision = check_text(revision, "revision", "give the one that get_or_set began with, or None")
    lease = check_text(lease, "lease", "give the one that get_or_set began with")
    scope.core.check_writes(scope.prefix)
    try:
        return _store_computed(scope, key, value, revision, check_metadata(metadata), ttl) is not None
    finally:
        _end_lease(scope, key, lease)


def end_computing(scope: Scope, key: str, lease: str) -> None:
    """End the lease for computing a value. One that others hold by now stays.

    Args:
        scope: Whose it is.
        key: As `ClaimCalls.get_or_set`.
        lease: That of `Begun`.

    Requests: 1.
    """
    scope.core.check_writes(scope.prefix)
    _end_lease(scope, check_name(key, "key"), check_text(lease, "lease", "give the one that get_or_set began with"))


def _end_lease(scope: Scope, key: str, lease: str) -> None:
    with suppress(DataStoreError):  # it expires by itself
        scope.core.write_one(Delete(_lease_of(scope, key).id, format_time(scope.core.clock()), lease))


def _store_computed(
    scope: Scope,
    key: str,
    value: Any,
    revision: str | None,
    metadata: dict[str, Any] | None,
    ttl: float | timedelta | None,
) -> str | None:
    """Store a value if what it replaces is still at a revision, and return its JSON; ``None`` if it is not."""
    put = scope.put(key, value, scope.moment(ttl), metadata, name=RESULT)
    put = put._replace(if_absent=revision is None, if_revision=revision)
    return put.json if scope.core.write_one(put).done else None


def _change_one(scope: Scope, query: Query, range: IdRange, sort: Sort, update: Callable[[Any], Any]) -> Record | None:
    """Change the first record that matches and that nobody else changes just now."""
    from datastore.calls.planning import PlannedQuery
    from datastore.queries.shaping import Window
    from datastore.record import to_record

    core, candidates = scope.core, 1
    core.check_writes(scope.prefix)
    backoff = Backoff(core.max_seconds, _FIRST_DELAY, _LONGEST_DELAY)
    while True:
        planned = PlannedQuery(scope, query, Fields.ALL, range, sort)
        found = planned.choose(Window(sort, 0, candidates))
        if not found:
            return None
        if not sort:
            from random import shuffle  # here, because it is slow to import, and needed only by those who claim

            shuffle(found)  # many callers look at the same ones
        for document in found:
            key = key_of(document.id)
            with naming(scope, key):
                value = update(document.value)
            put = scope.put(key, value, scope.moment(), name=f"the new value of {key!r}")
            put = put._replace(if_revision=document.revision, keep_expiry=True)
            if core.write_one(put).done:
                return to_record(_changed(document, put))
        candidates = min(candidates * 4, _MOST_CANDIDATES)
        if not backoff.wait():
            raise ConflictError(
                f"other writers changed each record that matches first, for {core.max_seconds:g} s; try again"
            ).during(f"changing what matches in namespace {scope.namespace!r}", core.backend.name)


def _changed(document: Document, put: Put) -> Document:
    return document._replace(
        value=decode(put.json), revision=put.revision, updated_at=put.at, updated_by_agent=put.agent
    )


def _is_due(scope: Scope, document: Document, refresh: float | timedelta | None) -> bool:
    """Return whether a value is in the last part of its life, in which it is computed again."""
    if refresh is None or document.expires_at is None:
        return False
    soon = scope.moment(refresh).expires_at
    return soon is not None and document.expires_at <= soon


def _lease_of(scope: Scope, key: str) -> LeaseRecord:
    """Return where the lease for computing the value of a key is recorded."""
    return record_for(scope.encoded_user, scope.prefix + encode_key(key))


def _take_lease(scope: Scope, key: str, ttl: float | timedelta) -> str | None:
    """Take the lease for computing the value of a key, and return its revision; ``None`` if somebody holds it.

    It needs no number, because what is computed is stored on the condition of what it replaces. So its record expires
    with it, and taking it is one write.
    """
    value = {"namespace": scope.namespace, "key": key}
    put = put_for(scope, _lease_of(scope, key), value, scope.moment(ttl))._replace(if_absent=True)
    return put.revision if scope.core.write_one(put).done else None


@contextmanager
def _ended_if_raised(scope: Scope, key: str, lease: str) -> Iterator[None]:
    """End a lease if the code inside raises."""
    try:
        yield
    except BaseException:
        _end_lease(scope, key, lease)
        raise
