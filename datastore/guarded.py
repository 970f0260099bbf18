"""The core as an agent with grants or a quota sees it: what it may not do is refused, or not listed.

Every call of an agent goes through its core, and the core of such an agent stands in front of the store's own. So there
is one place that decides, below all calls and interfaces, and any other agent does not pass it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, NoReturn

from datastore import deadlines
from datastore.arguments import check_name
from datastore.backend import (
    Ability,
    Access,
    Backend,
    Document,
    DocumentPage,
    Fields,
    IdRange,
    NamespaceStats,
    Outcome,
    Plan,
    Query,
    Touch,
    Write,
)
from datastore.core import Core, described, is_closed_backend
from datastore.errors import PermissionDeniedError
from datastore.fronts import Front
from datastore.grants import Grant, Grants, Ranges
from datastore.ids import area_ranges, decode_prefix, encode_name, home_of, is_system, scope_of, system_prefix
from datastore.quotas import Account, Quota, account_of, check_quota, counts

if TYPE_CHECKING:
    from datastore.queries.shaping import Sort

_ABILITIES: frozenset[Ability] = frozenset(
    {"namespaces", "namespace_stats", "count", "clear", "find", "purge", "read_at_once"}
)
"""The optional methods that calls of agents use."""
_numbers = count(1)


class Guard:
    """Checks ids and ranges against the grants of one agent.

    Args:
        encoded_user: The user, as ids have it.
        grants: What the agent may do.
    """

    __slots__ = ("_leases", "readable", "writable")

    def __init__(self, encoded_user: str, grants: Grants) -> None:
        self.readable = grants.readable
        self.writable = grants.writable
        self._leases = system_prefix(encoded_user, "leases")  # `get_or_set` holds one while it computes

    def check_read(self, ids: Iterable[str]) -> None:
        """Raise if one of the ids must not be read."""
        readable = self.readable
        for id in ids:
            if id not in readable and not self._is_beside(id, readable):
                raise _denied(id, "read")

    def check_write(self, ids: Iterable[str]) -> None:
        """Raise if one of the ids must not be written."""
        writable = self.writable
        for id in ids:
            if id not in writable and not self._is_beside(id, writable):
                raise _denied(id, "write")

    def _is_beside(self, id: str, granted: Ranges) -> bool:
        """Return whether an id is of what lies beside the records: a lease, or in an area of a granted namespace."""
        return id.startswith(self._leases) or ((home := home_of(id)) is not None and home in granted)

    def parts(self, range: IdRange) -> list[IdRange]:
        """Return the parts of a range that may be read.

        Raises:
            PermissionDeniedError: If it is within one namespace, which must not be read. In a wider range, what must
                not be read is left out.
        """
        if (home := home_of(range.start)) is not None:
            self.check_read((home,))
            return [range]
        parts = self.readable.within(range)
        if not parts and range.start < range.end and scope_of(range) is not None:
            raise _denied(range.start, "read")
        return parts

    def purged(self, range: IdRange) -> list[IdRange]:
        """Return the parts of a range of one user's ids, or of the system records, in which the agent may write."""
        if not is_system(range.start):
            return self.writable.within(range)
        areas = [area for part in self.writable.all for area in area_ranges(part)]
        return [area for area in areas if range.start <= area.start and area.end <= range.end]


def _denied(id: str, do: str) -> PermissionDeniedError:
    id = home_of(id) or id
    if is_system(id):
        return PermissionDeniedError(f"an agent may not {do} the store's own records", by_the_store=True)
    user, _, rest = id.partition(":")
    _, namespace = decode_prefix(f"{user}:{rest.partition(':')[0]}")
    return PermissionDeniedError(
        f"this agent has no grant to {do} namespace {namespace!r}; nothing was {'written' if do == 'write' else do}. "
        "The host gives one with DataStore.agent(grants=...)",
        by_the_store=True,
    )


class GuardedBackend(Backend):
    """The store's backend with what an agent may read, and nothing else.

    Args:
        inner: The store's backend.
        guard: What the agent may read.
    """

    def __init__(self, inner: Backend, guard: Guard) -> None:
        self.name = inner.name
        self.inner = inner
        self._guard = guard
        capabilities = inner.capabilities
        self.capabilities = replace(capabilities, abilities=capabilities.abilities & _ABILITIES)

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        self._guard.check_read(ids)
        return self.inner.read(ids, fields)

    def read_at_once(self, id: str, most: int) -> Document | None:
        """See `Backend.read_at_once`."""
        self._guard.check_read((id,))
        return self.inner.read_at_once(id, most)

    def write(self, writes: Sequence[Write]) -> NoReturn:
        """Refuse: `GuardedCore.write` writes."""
        self._refuse()

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`."""

        def page(part: IdRange, after: str | None) -> DocumentPage:
            return self.inner.scan(part, fields, limit, after, reverse)

        return self._page(range, after, reverse, page)

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """See `Backend.plan`. A plan is for one range: where there are several, what is found is checked here."""
        parts = self._guard.parts(range)
        return self.inner.plan(parts[0], query) if len(parts) == 1 else None

    def find_first(
        self, range: IdRange, query: Query, sort: Sort, fields: Fields, number: int, at: str
    ) -> DocumentPage | None:
        """See `Backend.find_first`; as for a plan, it is for one range."""
        parts = self._guard.parts(range)
        return self.inner.find_first(parts[0], query, sort, fields, number, at) if len(parts) == 1 else None

    def find(
        self,
        range: IdRange,
        plan: Plan,
        fields: Fields,
        limit: int,
        after: str | None = None,
        reverse: bool = False,
    ) -> DocumentPage:
        """See `Backend.find`."""

        def page(part: IdRange, after: str | None) -> DocumentPage:
            return self.inner.find(part, plan, fields, limit, after, reverse)

        return self._page(range, after, reverse, page)

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `Backend.namespaces`."""
        return [one for part in self._guard.parts(range) for one in self.inner.namespaces(part, at)]

    def namespace_stats(self, range: IdRange, at: str) -> list[NamespaceStats]:
        """See `Backend.namespace_stats`."""
        return [one for part in self._guard.parts(range) for one in self.inner.namespace_stats(part, at)]

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`."""
        return sum(self.inner.count(part, at) for part in self._guard.parts(range))

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`. It is always about one namespace."""
        self._guard.check_write([range.start])
        return self.inner.clear(range, at)

    def purge(self, at: str, range: IdRange | None = None) -> int:
        """See `Backend.purge`. It removes what has expired where the agent may write."""
        if range is None:
            self._refuse()
        return sum(self.inner.purge(at, part) for part in self._guard.purged(range))

    def record_access(self, accesses: Sequence[Access]) -> NoReturn:
        """Refuse: the store's tracker counts."""
        self._refuse()

    def close(self) -> None:
        """Do nothing: the backend is the store's."""

    def _page(
        self, range: IdRange, after: str | None, reverse: bool, read: Callable[[IdRange, str | None], DocumentPage]
    ) -> DocumentPage:
        """Read a page of the part of a range whose turn it is."""
        parts = self._guard.parts(range)
        if not parts:
            return DocumentPage((), None)
        if len(parts) == 1:
            return read(parts[0], after)
        if reverse:
            parts.reverse()
        number, _, inner = ("0", "", "") if after is None else after.partition(" ")
        turn = int(number)
        page = read(parts[turn], inner or None)
        if page.after is not None:
            return page._replace(after=f"{turn} {page.after}")
        return page._replace(after=f"{turn + 1} " if turn + 1 < len(parts) else None)

    def _refuse(self) -> NoReturn:
        raise PermissionDeniedError("an agent's calls do not lead here", backend=self.name)


class GuardedCore(Front):
    """What stands in front of the store's core for an agent with grants. It owns nothing.

    Args:
        core: The store's core.
        guard: What the agent may do.
        quota: How much it may store, and its account; ``None`` for any amount.
    """

    def __init__(self, core: Core, guard: Guard, quota: tuple[Quota, Account] | None = None) -> None:
        super().__init__(core)
        self.line = f"{next(_numbers)}:"
        self.removes_ranges = quota is None  # with a quota each record that is removed is accounted for
        self._guard = guard
        self._quota = quota
        self._guarded: GuardedBackend | None = None

    if not TYPE_CHECKING:  # in `Core` it is an attribute

        @property
        def backend(self) -> Backend:
            """The store's backend with what the agent may read."""
            inner = self._inner.backend
            guarded = self._guarded
            if guarded is None or guarded.inner is not inner:
                if is_closed_backend(inner):
                    return inner
                guarded = self._guarded = GuardedBackend(inner, self._guard)
            return guarded

    def check_reads(self, prefix: str) -> None:
        """Raise if the agent must not read the namespace whose ids begin with a prefix."""
        self._guard.check_read((prefix,))

    def check_writes(self, prefix: str) -> None:
        """Raise if the agent must not write to the namespace whose ids begin with a prefix."""
        self._guard.check_write((prefix,))

    def write_one(self, write: Write) -> Outcome:
        """See `Core.write_one`."""
        try:
            self._guard.check_write((write.id,))
        except PermissionDeniedError as error:
            raise self._named(error, (write,)) from None
        if self._quota is None or isinstance(write, Touch) or not counts(write.id):
            return self._inner.write_one(write)
        before = deadlines.begin(self.max_seconds, sys._getframe())
        try:
            (outcome,) = self._write_within(self._quota, (write,))
            if outcome.error is not None:
                raise outcome.error.during(described([write.id], "writing"), self._inner.backend.name)
            return outcome
        finally:
            deadlines.end(before)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Core.write`. If one of the writes must not be made, no write is."""
        try:
            self._guard.check_write(write.id for write in writes)
        except PermissionDeniedError as error:
            raise self._named(error, writes) from None
        return self._inner.write(writes) if self._quota is None else self._write_within(self._quota, writes)

    def _write_within(self, quota: tuple[Quota, Account], writes: Sequence[Write]) -> list[Outcome]:
        limits, account = quota
        return account.write(self._inner, writes, limits)

    def _named(self, error: PermissionDeniedError, writes: Sequence[Write]) -> PermissionDeniedError:
        return error.during(described([one.id for one in writes], "writing"), self._inner.backend.name)


def guarded(core: Core, user_id: str, agent: str, grants: Mapping[str, Grant] | None, quota: Quota | None) -> Core:
    """Return the core for an agent with grants, or with a quota, or with both.

    Raises:
        InvalidNameError, ConfigurationError: As `datastore.DataStore.agent`.
    """
    check_quota(quota)
    user_id = check_name(user_id, "user_id")
    encoded = encode_name(user_id, "user_id")
    guard = Guard(encoded, Grants(encoded, grants))
    if quota is None or (quota.records is None and quota.bytes is None):
        return GuardedCore(core, guard)
    return GuardedCore(core, guard, (quota, account_of(core, encoded, user_id, agent)))
