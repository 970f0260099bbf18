"""Leases and locks: one holder at a time, over threads, processes and machines, and a number that only grows.

The record of a lease is a system record of the user (`datastore.ids.system_prefix`), which says in plain words whose it
is::

    {"namespace": "jobs", "name": "nightly", "number": 1795745892, "holder": "worker 1",
     "until": "2026-11-27T02:38:42.000000Z", "ttl": 30.0}

The record of a lease whose holder is served (`datastore.calls.lending`) has a ``handle`` beside these.
Its key is the SHA-256 of namespace and name, as both together may be longer than a key. ``until`` is null once it was
released. The number goes up by one with each holder, and is never lower than the seconds since the epoch. So it grows
even over the end of the record, which expires 30 days after the lease was last held: the next number is lower only if
the lease was taken more often than once a second on average, or if the clock of its first holder was ahead.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from math import inf
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from datastore.arguments import as_bool, as_number, as_seconds, check_name, is_a, shown
from datastore.backend import Document, Fields, Put
from datastore.calls.steps import Steps, follow
from datastore.documents import damaged, is_time, made_of, sound_of
from datastore.errors import InvalidValueError, LeaseHeldError, ReentrantCallError, kind_of
from datastore.fences import LEASE_LENGTH, NUMBER_LENGTH, Fence
from datastore.frozen import NamedTuple
from datastore.ids import encode_key, system_prefix
from datastore.retry import Backoff
from datastore.revisions import new_revision
from datastore.scope import Bound, Moment, OfOneProcess, Scope, bounded, scope_of
from datastore.times import format_time, parse_time
from datastore.values import encode

if TYPE_CHECKING:
    from datastore.holding import Held, Holding

S = TypeVar("S", bound=Bound)
"""The class of the store that a lease was taken through."""

MARGIN = 0.1
"""The part of its time by which others take a lease over later than it ends: so much may clocks differ."""
LONGEST = 86_400.0
"""Seconds for which a lease may be taken. It can be renewed for longer."""
LONGEST_WAIT = 1e9
"""Seconds for which a lock may be waited for: 31 years."""
_KIND = "leases"
_LOOK, _LOOK_SELDOM = 0.02, 0.5  # seconds between two looks whether a lease is free
_ATTEMPTS = 3  # of taking a lease that is free, while others take it too
_MOST_NUMBER = 10**NUMBER_LENGTH


class LeaseRecord(NamedTuple):
    """Where a lease is recorded."""

    id: str
    key: str


@lru_cache(256)  # it is asked for when a lease is taken, and again when it is ended
def record_for(encoded_user: str, what: str) -> LeaseRecord:
    """Return where the lease for something is recorded.

    Args:
        encoded_user: The user, as ids have it.
        what: What it is for, unlike anything else: the id of a record, or the prefix of a namespace and a name.
    """
    from hashlib import sha256  # imported here, because few programs need it

    key = sha256(what.encode()).hexdigest()  # an id is longer than a key may be
    return LeaseRecord(system_prefix(encoded_user, _KIND) + encode_key(key), key)


def put_for(scope: Scope, record: LeaseRecord, value: dict[str, Any], moment: Moment) -> Put:
    """Return the write of a lease's record; the caller adds the precondition."""
    return Put(
        id=record.id,
        user_id=scope.user_id,
        namespace=_KIND,
        key=record.key,
        value=value,
        json=encode(value),
        metadata=None,
        agent=scope.agent,
        at=moment.at,
        revision=new_revision(),
        expires_at=moment.expires_at,
    )


class Lease(OfOneProcess, Generic[S]):
    """A lease that this process has taken. Made by `AgentDataStore.lease`; use it as a context manager.

    What is written through `data_store` carries the lease's number. A record remembers the highest number that has
    written it, and the database refuses a lower one. So a holder that was stopped for longer than the lease lasts, and
    goes on as if nothing had happened, changes nothing that the next holder has written. A lease that is over stays
    over: take it again.
    """

    __slots__ = ("_data_store",)

    def __init__(self, data_store: S) -> None:
        self._data_store = data_store

    @property
    def data_store(self) -> S:
        """The agent's store, whose every write carries the lease's number. Reads are those of any other."""
        return self._data_store

    @property
    def name(self) -> str:
        """The lease's name."""
        return holding_of(self).name

    @property
    def number(self) -> int:
        """The fencing number: higher than that of every holder before."""
        return holding_of(self).fence.number

    @property
    def expires_at(self) -> datetime:
        """When it ends, unless it is renewed."""
        return datetime.fromtimestamp(holding_of(self).ends_at, UTC)

    @property
    def is_held(self) -> bool:
        """Whether it is held, as far as this process knows without asking: once it is not, it stays so."""
        return not holding_of(self).is_over

    def renew(self) -> None:
        """Renew it now, for as long as it was taken for.

        Raises:
            LeaseLostError: If it is over.

        Requests: 1.
        """
        scope_of(self._data_store).telling("lease_renew", self.name, holding_of(self).renew)

    def release(self) -> bool:
        """End it, so that others can take it at once. If the database does not answer, it ends by itself.

        Returns:
            Whether it was held until now.

        Requests: 1; 0 if it was over.
        """
        return scope_of(self._data_store).telling("lease_release", self.name, holding_of(self).release)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"Lease(name={self.name!r}, number={self.number}, is_held={self.is_held})"


class Lock(OfOneProcess, Generic[S]):
    """A lease to be waited for, as a context manager. Made by `AgentDataStore.lock`."""

    __slots__ = ("_asked", "_data_store", "_lease")

    def __init__(self, data_store: S, asked: Asked) -> None:
        self._data_store = data_store
        self._asked = asked
        self._lease: Lease[S] | None = None

    def __enter__(self) -> Lease[S]:
        if self._lease is not None:
            raise ReentrantCallError("this lock is held already; call lock() once for each block")
        self._lease = take(self._data_store, self._asked)
        return self._lease

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    def __repr__(self) -> str:
        return f"Lock(name={self._asked.name!r}, is_held={self._lease is not None and self._lease.is_held})"


class Asked(NamedTuple):
    """What a caller asks for, checked."""

    name: str
    ttl: float
    timeout: float
    renews: bool


class LeaseCalls(Bound):
    """Lets one holder at a time do something."""

    __slots__ = ()

    @bounded
    def lease(self, name: str, ttl: float | timedelta = 30.0, *, renew: bool = True) -> Lease[Self]:
        """Take a lease, if nobody holds it: ``with data_store.lease("nightly") as lease: ...``.

        One holder at a time has the lease of a name in this namespace, over all threads, processes and machines. It is
        renewed in the background until it is released, at the end of the ``with`` block or when the store is closed.
        If its holder dies, another one can take it over when its time is over.

        Write through ``lease.data_store``: the database refuses what a holder writes whose lease was taken over
        (`Lease`). Times are those of the holders' clocks, which may differ by a tenth of ``ttl``. If they differ by
        more, two may hold the lease at once, and the writes of the first of them are refused.

        Args:
            name: The lease's name: 1 to 512 bytes of UTF-8.
            ttl: Seconds, or a `timedelta`, for which it is held unless it is renewed: at most a day.
            renew: Whether it is renewed in the background, each time after a third of ``ttl``.

        Returns:
            The `Lease`.

        Raises:
            LeaseHeldError: If another holder has it.
            InvalidNameError: If ``name`` is not a valid one.
            InvalidValueError: If another argument is not.

        Requests: 2; 1 if another holder has it. Each renewal of all leases of a store together makes 1, and the release
        1. A write through ``lease.data_store`` makes those of the same write elsewhere; but a delete makes 2, except on
        SQLite, and so does ``touch``.
        """
        return take(self, asked(name, ttl, 0.0, renew))

    def lock(self, name: str, *, ttl: float | timedelta = 30.0, timeout: float | timedelta = 30.0) -> Lock[Self]:
        """Wait for a lease, and release it at the end of the block: ``with data_store.lock("plan") as lease: ...``.

        The lease is one of `lease`: under the same name, the same. There is no order among those who wait.

        Args:
            name: The lease's name, as for `lease`.
            ttl: As for `lease`.
            timeout: For how many seconds to wait at most, or a `timedelta`.

        Returns:
            A context manager that takes the lease when its block begins. It gives the block the `Lease`.

        Raises:
            LeaseHeldError: When the block begins, if another holder has the lease for all of that time.
            InvalidNameError: If ``name`` is not a valid one.
            InvalidValueError: If another argument is not.

        Requests: those of `lease`, and 1 for each look of those who wait: after 20 milliseconds, and then more and more
        seldom, up to half a second.
        """
        return Lock(self, asked(name, ttl, timeout, True))


def asked(name: str, ttl: float | timedelta, timeout: float | timedelta, renew: bool) -> Asked:
    """Check what a caller asks for.

    Raises:
        InvalidNameError, InvalidValueError: As `LeaseCalls.lease` and `LeaseCalls.lock`.
    """
    name = check_name(name, "name")
    encode_key(name, "name")
    seconds = _seconds(ttl, "ttl", LONGEST)
    if seconds == 0:
        raise InvalidValueError("ttl is 0; it must be greater than zero")
    return Asked(name, seconds, _seconds(timeout, "timeout", LONGEST_WAIT), as_bool(renew, "renew"))


def _seconds(value: float | timedelta, parameter: str, most: float) -> float:
    seconds = as_seconds(value) if is_a(value, timedelta) else as_number(value)
    if seconds is None:
        raise InvalidValueError(f"{parameter} is {kind_of(value)}; give seconds as a number, or a timedelta")
    if not 0 <= seconds <= most:
        raise InvalidValueError(
            f"{parameter} is {shown(seconds)}; it must be a number of seconds from 0 to {most:,.0f}"
        )
    return float(seconds)


def take(data_store: S, asked: Asked) -> Lease[S]:
    """Take a lease in this thread, and wait for it if the caller says so."""
    return follow(taking(data_store, asked), _nothing)  # type: ignore[no-any-return]  # what steps return is not typed


def _nothing() -> None:
    """Be the function of a call that needs none."""


def taking(data_store: Bound, asked: Asked) -> Steps:
    """Return the steps of taking a lease, whose result is the `Lease`."""
    scope = scope_of(data_store)
    scope.core.check_writes(scope.prefix)
    take = scope.core.root.takes_leases or take_here
    pauses = Backoff(asked.timeout, _LOOK, _LOOK_SELDOM)
    while True:
        taken = take(scope, asked)
        if not isinstance(taken, LeaseHeldError):
            from datastore.fencing import FencedCore  # imported here, because few programs need it
            from datastore.holding import keeper_of

            keeper_of(scope.core).keep(taken)
            return Lease(cast(Any, type(data_store))(scope.through(FencedCore(scope.core, taken))))
        if not pauses.has(0.0):
            raise taken.during(f"taking a lease in namespace {scope.namespace!r}", scope.core.backend.name)
        yield pauses


def take_here(scope: Scope, asked: Asked, more: Mapping[str, str] = MappingProxyType({})) -> Holding | LeaseHeldError:
    """Take a lease if it is free; otherwise return the error that says who has it.

    Args:
        scope: Whose it is, and in which namespace.
        asked: What is asked for.
        more: What its record says besides.

    Requests: 2; 1 if another holder has it.
    """
    from datastore.holding import KEPT, Holding  # imported here, because few programs need it

    core, record = scope.core, record_of(scope, asked.name)
    for _ in range(_ATTEMPTS):
        began, at = time.monotonic(), core.clock()
        found = core.read_one(record.id, Fields.VALUE)
        last = None if found is None else last_of(found)
        if last is not None and last.ends_at > at:
            return LeaseHeldError(
                f"the lease {asked.name!r} is held by {last.holder!r}, until {format_time(last.until)} unless it is "
                "renewed; data_store.lock() waits for it",
                holder=last.holder,
            )
        number = min(max(0 if last is None else last.number + 1, int(at)), _MOST_NUMBER - 1)
        value = {
            "namespace": scope.namespace,
            "name": asked.name,
            "number": number,
            "holder": scope.agent,
            "until": format_time(at + asked.ttl),
            "ttl": asked.ttl,
            **more,
        }
        put = put_for(scope, record, value, Moment(format_time(at), format_time(at + asked.ttl + KEPT)))
        put = put._replace(if_absent=found is None, if_revision=None if found is None else found.revision)
        if core.write_one(put).done:
            return Holding(
                core.root, put, asked.name, fence_of(record, number), asked.ttl, began, at, renews=asked.renews
            )
    return LeaseHeldError(f"others are taking the lease {asked.name!r} at this moment; data_store.lock() waits for it")


def are_held(scope: Scope, names: Iterable[str]) -> set[str]:
    """Return which leases nobody can take: those that somebody holds, and those whose record is damaged.

    Requests: 1 for each batch; 1 more for each that cannot be read.
    """
    ids = {record_of(scope, name).id: name for name in names}
    at = scope.core.clock()
    found, left = sound_of(ids, partial(scope.core.read, fields=Fields.VALUE))
    ends = dict(made_of(found.values(), lambda document: (document.id, last_of(document).ends_at)))
    free = {id for id in left if id not in found or ends.get(id, inf) <= at}
    return {name for id, name in ids.items() if id not in free}


def record_of(scope: Scope, name: str) -> LeaseRecord:
    """Return where the lease of a name in a namespace is recorded."""
    return record_for(scope.encoded_user, f"{scope.prefix}lease:{encode_key(name)}")


def fence_of(record: LeaseRecord, number: int) -> Fence:
    """Return what a write under a lease carries."""
    return Fence(record.key[:LEASE_LENGTH], number)


class Last(NamedTuple):
    """What the record of a lease says."""

    number: int
    holder: str
    until: float
    """When it ends for its holder, in seconds since the epoch; 0 if it was released."""
    ends_at: float
    """When others may take it over, in seconds since the epoch by their clocks."""


def last_of(document: Document) -> Last:
    """Return what the record of a lease says.

    Raises:
        DamagedRecordError: If somebody has written something else into it.
    """
    value: Any = document.value
    try:
        number, holder, until, ttl = value["number"], value["holder"], value["until"], value["ttl"]
    except (TypeError, LookupError):
        raise damaged(document.id, "it is no lease") from None
    if type(number) is not int or not 0 <= number < _MOST_NUMBER or type(holder) is not str:
        raise damaged(document.id, "it is no lease")
    if until is None:
        return Last(number, holder, 0.0, 0.0)
    if not is_time(until) or type(ttl) not in (int, float):
        raise damaged(document.id, "it is no lease")
    end = parse_time(until).timestamp()
    return Last(number, holder, end, end + MARGIN * ttl)


def holding_of(lease: Lease[Any]) -> Held:
    """Return what this process knows of a lease."""
    return scope_of(lease.data_store).core.holding  # type: ignore[attr-defined,no-any-return]  # it is a `FencedCore`
