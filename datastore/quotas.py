"""How much an agent may store, and the account that says how much it has stored.

The account of an agent counts the records that it wrote last, and the bytes in them. It is a system record of the user:
no agent's call leads to it. A write under a quota reads the account together with the records that it replaces, in one
request, and writes both together, in one request. What it replaces is thereby known, because each such write is on the
condition that the record is still the one that was read.

Of several processes that write at once, each can have read the account before another has written it. Then all their
writes stand, and who comes second adds its own to the account afterwards. So the quota can be exceeded by the writes
that other processes have under way at that moment, and by nothing else. Within a process one write follows another.

The account may count too much: what has expired, and what somebody else has removed. Before a write is refused, it is
measured by listing what the user has.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from datastore.arguments import as_int, is_a, shown
from datastore.backend import Delete, Document, Fields, Outcome, Put, Write
from datastore.core import Core
from datastore.deadlines import check
from datastore.errors import (
    ConfigurationError,
    ConflictError,
    DamagedRecordError,
    DataStoreError,
    QuotaExceededError,
    ValueTooLargeError,
    kind_of,
)
from datastore.ids import encode_key, home_of, is_system, namespace_range, system_prefix, system_range
from datastore.retry import Backoff
from datastore.revisions import new_revision
from datastore.turns import Turns
from datastore.values import encode, merge_metadata

KIND = "quotas"
"""The kind of system record that an account is."""
MEASURED_EVERY = 10.0
"""Seconds between two times that one process measures the account of one agent, at least."""

_ANY_SIZE = 2**62
_FIRST_DELAY, _LONGEST_DELAY = 0.001, 0.1  # seconds; a competitor is done after one round trip


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much an agent may store for one user: `DataStore.agent` takes it.

    What counts are the records that the agent wrote last, in all namespaces of the user, until they are deleted,
    expire, or are written by somebody else. Whatever is bound to the same user and the same agent shares one account,
    in all processes. Bind it with a quota each time.

    Attributes:
        records: The most records; ``None`` for any number.
        bytes: The most bytes of JSON in their values and metadata, in UTF-8; ``None`` for any number.
        calls_per_minute: The most calls in a minute; ``None`` for any number. Only a server counts calls, each process
            its own, so it is for tokens (`datastore.Tokens.mint`).

    Raises:
        ConfigurationError: If one of them is not a number of at least 0.
    """

    records: int | None = None
    bytes: int | None = None
    calls_per_minute: int | None = None

    def __post_init__(self) -> None:
        for name in ("records", "bytes", "calls_per_minute"):
            given = getattr(self, name)
            if given is None:
                continue
            number = as_int(given)
            if number is None or number < 0:
                raise ConfigurationError(f"{name} is {shown(given)}; it must be a whole number of at least 0")
            object.__setattr__(self, name, number)


def counts(id: str) -> bool:
    """Return whether what has an id counts: records, and what namespaces keep beside them (`datastore.ids.AREAS`)."""
    return not is_system(id) or home_of(id) is not None


def check_quota(quota: object) -> None:
    """Check what is given as a quota.

    Raises:
        ConfigurationError: If it is neither a `Quota` nor ``None``.
    """
    if quota is not None and not is_a(quota, Quota):
        raise ConfigurationError(f"quota is {kind_of(quota)}; it must be a datastore.Quota")


class Usage(NamedTuple):
    """How much is stored, or how much a write adds to that."""

    records: int
    bytes: int

    def plus(self, other: Usage) -> Usage:
        """Return the sum."""
        return Usage(self.records + other.records, self.bytes + other.bytes)

    def minus(self, other: Usage) -> Usage:
        """Return the difference."""
        return Usage(self.records - other.records, self.bytes - other.bytes)

    @property
    def gains(self) -> Usage:
        """What of it is more than nothing."""
        return Usage(max(self.records, 0), max(self.bytes, 0))

    @property
    def losses(self) -> Usage:
        """What of it is less than nothing."""
        return Usage(min(self.records, 0), min(self.bytes, 0))


_NOTHING = Usage(0, 0)


class _Planned(NamedTuple):
    """A write as it is sent, with what it adds if it is done."""

    write: Write
    adds: Usage
    expects: bool
    """It will be done if nobody else writes the record meanwhile."""
    again: bool
    """If somebody does, it is tried again: the caller has named no revision."""


class _Seen(NamedTuple):
    """What one request has shown: the records to be replaced, and the account."""

    records: dict[str, Document]
    damaged: frozenset[str]
    revision: str | None
    """Of the account; ``None`` if there is none."""
    used: Usage | None
    """``None`` if there is no account, or nothing that is one."""
    measured: str
    """When it was last measured."""


class Account:
    """What one agent of one user has stored, for all its bindings in this process.

    Args:
        encoded_user: The user, as ids have it.
        user_id: The user.
        agent: The agent.
    """

    def __init__(self, encoded_user: str, user_id: str, agent: str) -> None:
        self.id = system_prefix(encoded_user, KIND) + encode_key(agent)
        self._user = encoded_user
        self._user_id = user_id
        self._agent = agent
        self._turns = Turns("writing under the quota of an agent")
        self._added = self._removed = _NOTHING
        """What is not in the stored account yet. Apart, because what was removed is in one that another process has
        measured since, and what was added may not be."""
        self._owed_since = ""
        """Which measuring of the account it comes after."""
        self._doubtful = False
        """An answer was lost: nobody knows what was done, so the account must be measured."""
        self._looked_at = float("-inf")
        """When this process has measured it last, by the clock of the store."""

    def write(self, core: Core, writes: Sequence[Write], quota: Quota) -> list[Outcome]:
        """Apply writes to distinct ids, as far as the quota allows, and return an outcome for each, in order."""
        outcomes: list[Outcome] = []
        size = max(1, core.backend.capabilities.write_batch - 1)  # with the account it is one more
        for start in range(0, len(writes), size):
            try:
                check()
                with self._turns.take():
                    outcomes += self._write(core, writes[start : start + size], quota)
            except DataStoreError as error:
                if start == 0:
                    raise
                return outcomes + [Outcome(False, error=error)] * (len(writes) - start)
        return outcomes

    def _write(self, core: Core, writes: Sequence[Write], quota: Quota) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        open_ones = list(range(len(writes)))
        for number in open_ones[:]:
            if (error := _never_fits(writes[number], quota)) is not None:
                outcomes[number] = Outcome(False, error=error)
                open_ones.remove(number)
        backoff = Backoff(core.max_seconds, _FIRST_DELAY, _LONGEST_DELAY)
        sent: list[Write] = list(writes)
        while open_ones:
            seen = self._look(core, [writes[number].id for number in open_ones])
            stores = any(isinstance(sent[number], Put) for number in open_ones)
            used, seen = self._used(core, seen, stores=stores)
            planned, refused = self._plan(seen, used, {number: sent[number] for number in open_ones}, quota)
            if refused and self._may_measure(core):
                used, seen = self._measured(core, seen)
                planned, refused = self._plan(seen, used, {number: sent[number] for number in open_ones}, quota)
            outcomes |= {number: Outcome(False, error=error) for number, error in refused.items()}
            results = self._send(core, planned, seen, used, stores=stores)
            open_ones = []
            for (number, plan), result in zip(planned.items(), results, strict=True):
                if not result.done and result.error is None and plan.again:
                    open_ones.append(number)
                    # As one of now: what has expired meanwhile is no longer there for it.
                    sent[number] = writes[number]._replace(at=core.now())
                else:
                    outcomes[number] = result
            if open_ones and not backoff.wait():
                late = ConflictError(
                    f"other writers changed the record at each attempt for {core.max_seconds:g} s; try again"
                )
                outcomes |= {number: Outcome(False, error=late) for number in open_ones}
                break
        self._settle(core)
        return [outcomes[number] for number in range(len(writes))]

    def _look(self, core: Core, ids: Sequence[str]) -> _Seen:
        """Read records and the account, in one request."""
        damaged: set[str] = set()
        while True:
            try:
                found = core.read([self.id, *(id for id in ids if id not in damaged)], Fields.ALL)
                break
            except DamagedRecordError as error:
                if error.id is None or error.id in damaged:
                    raise
                damaged.add(error.id)  # what cannot be read can be overwritten all the same
                if error.id == self.id:
                    raise
        account = found.pop(self.id, None)
        if account is None:
            return _Seen(found, frozenset(damaged), None, None, "")
        value = account.value if isinstance(account.value, dict) else {}
        records, size, measured = (value.get(name) for name in ("records", "bytes", "measured"))
        if not isinstance(records, int) or not isinstance(size, int) or not isinstance(measured, str):
            return _Seen(found, frozenset(damaged), account.revision, None, "")
        return _Seen(found, frozenset(damaged), account.revision, Usage(records, size), measured)

    def _used(self, core: Core, seen: _Seen, *, stores: bool) -> tuple[Usage, _Seen]:
        """Return how much is stored, and what was seen, with the account measured if that is needed.

        Only what is to be stored needs an account: what is removed where there is none is not in it later.
        """
        if stores and (seen.used is None or self._doubtful):
            return self._measured(core, seen)
        if self._owed_since != seen.measured:
            # Another process has measured since: what was removed here is in that, and so may be what was written here.
            self._owe(self._added, _NOTHING, seen.measured)
        return (seen.used or _NOTHING).plus(self._added).plus(self._removed), seen

    def _may_measure(self, core: Core) -> bool:
        # A clock that was put back says nothing about how long ago it was, and must not refuse until it has caught up.
        return not 0 <= core.clock() - self._looked_at < MEASURED_EVERY

    def _measured(self, core: Core, seen: _Seen) -> tuple[Usage, _Seen]:
        """List what the user has, and return how much of that the agent wrote last."""
        began = core.clock()
        used = _NOTHING
        for range in namespace_range(self._user, None), system_range(self._user):
            for documents in core.pages(range, Fields.ALL):
                for document in documents:
                    if _is_of(document, self._agent) and counts(document.id):
                        used = used.plus(Usage(1, _size_of(document)))
        self._looked_at, self._doubtful = began, False
        measured = new_revision()
        self._owe(self._added, _NOTHING, measured)  # what was added is in it, but it is not stored yet
        return used, seen._replace(used=None, measured=measured)

    def _plan(
        self, seen: _Seen, used: Usage, writes: dict[int, Write], quota: Quota
    ) -> tuple[dict[int, _Planned], dict[int, QuotaExceededError]]:
        """Return how each write is sent, and an error for each that is too much."""
        planned: dict[int, _Planned] = {}
        refused: dict[int, QuotaExceededError] = {}
        for number, write in writes.items():
            plan = self._planned(write, seen.records.get(write.id), write.id in seen.damaged)
            adds = plan.adds if plan.expects else _NOTHING
            error = _too_much(used, adds, quota)
            if error is not None:
                refused[number] = error
            else:
                planned[number] = plan
                used = used.plus(adds)
        return planned, refused

    def _planned(self, write: Write, there: Document | None, is_damaged: bool) -> _Planned:
        """Return a write on the condition of what was seen, with what it adds."""
        held = Usage(1, _size_of(there)) if there is not None and _is_of(there, self._agent) else _NOTHING
        if isinstance(write, Delete):
            removes = _NOTHING.minus(held)
            if write.if_revision is not None:
                return _Planned(write, removes, there is not None and there.revision == write.if_revision, False)
            if there is None:
                return _Planned(write, _NOTHING, False, False)
            return _Planned(write._replace(if_revision=there.revision), removes, True, True)
        if not isinstance(write, Put):
            return _Planned(write, _NOTHING, False, False)
        size = write.size
        try:
            size += _bytes_of(merge_metadata({} if there is None else there.metadata or {}, write.metadata or {}))
        except ValueTooLargeError:
            return _Planned(write, _NOTHING, False, False)  # it will not be done
        adds = Usage(1, size).minus(held)
        if is_damaged:
            return _Planned(write, adds, True, False)
        if write.if_absent:
            return _Planned(write, Usage(1, size), there is None, False)
        if write.if_revision is not None:
            return _Planned(write, adds, there is not None and there.revision == write.if_revision, False)
        if there is None:
            return _Planned(write._replace(if_absent=True), adds, True, True)
        return _Planned(write._replace(if_revision=there.revision), adds, True, True)

    def _send(
        self, core: Core, planned: dict[int, _Planned], seen: _Seen, used: Usage, *, stores: bool
    ) -> list[Outcome]:
        """Send the writes, and the account with them if it grows; note what it does not say yet."""
        if not planned:
            return []
        writes = [plan.write for plan in planned.values()]
        more = gains = _NOTHING
        for plan in planned.values():
            if plan.expects:
                more, gains = more.plus(plan.adds), gains.plus(plan.adds.gains)
        # Whatever adds something writes the account, although what was removed before may make up for it: another
        # process can be measuring just now, and must find that the account has changed.
        account = (
            [self._put(core, used.plus(more), seen)] if stores and (seen.used is None or gains != _NOTHING) else []
        )
        try:
            results = core.write([*writes, *account])
        except BaseException:
            self._doubtful = True  # as far as anybody knows, any of them may be done
            raise
        added = removed = _NOTHING
        for plan, result in zip(planned.values(), results, strict=False):
            if result.done:
                added, removed = added.plus(plan.adds.gains), removed.plus(plan.adds.losses)
            elif result.error is not None and result.error.retryable:
                self._doubtful = True
        written = bool(account) and results[-1].done
        if written:
            rest = added.plus(removed).minus(more)
            self._owe(rest.gains, rest.losses, seen.measured)
        else:
            self._owe(self._added.plus(added), self._removed.plus(removed), seen.measured)
        return results[: len(planned)]

    def _settle(self, core: Core) -> None:
        """Write what the account lacks because another process has written it meanwhile; what it has too much can wait.

        The writes themselves are done, so an error is not one of theirs: what is owed is written with the next ones.
        """
        if self._added == _NOTHING:
            return
        backoff = Backoff(core.max_seconds, _FIRST_DELAY, _LONGEST_DELAY)
        with suppress(DataStoreError):
            while True:
                used, seen = self._used(core, self._look(core, []), stores=True)
                (result,) = core.write([self._put(core, used, seen)])
                if result.done:
                    self._owe(_NOTHING, _NOTHING, seen.measured)
                if result.done or result.error is not None or not backoff.wait():
                    return

    def _owe(self, added: Usage, removed: Usage, since: str) -> None:
        self._added, self._removed, self._owed_since = added, removed, since

    def _put(self, core: Core, used: Usage, seen: _Seen) -> Put:
        value = {"records": max(used.records, 0), "bytes": max(used.bytes, 0), "measured": seen.measured}
        return Put(
            id=self.id,
            user_id=self._user_id,
            namespace=KIND,
            key=self._agent,
            value=value,
            json=encode(value),
            metadata=None,
            agent=self._agent,
            at=core.now(),
            revision=new_revision(),
            expires_at=None,
            if_absent=seen.revision is None,
            if_revision=seen.revision,
        )


def _never_fits(write: Write, quota: Quota) -> QuotaExceededError | None:
    """Return the error for a write that is too much whatever is stored: it takes no request to know."""
    if not isinstance(write, Put):
        return None
    if quota.bytes is not None and (size := write.size) > quota.bytes:
        return _exceeded("bytes", quota.bytes, size)
    return _exceeded("records", 0, 1) if quota.records == 0 else None


def _too_much(used: Usage, adds: Usage, quota: Quota) -> QuotaExceededError | None:
    """Return the error for a write that adds too much to what is stored. One that adds nothing never is."""
    if quota.records is not None and adds.records > 0 and used.records + adds.records > quota.records:
        return _exceeded("records", quota.records, used.records + adds.records)
    if quota.bytes is not None and adds.bytes > 0 and used.bytes + adds.bytes > quota.bytes:
        return _exceeded("bytes", quota.bytes, used.bytes + adds.bytes)
    return None


def _exceeded(unit: str, limit: int, needed: int) -> QuotaExceededError:
    return QuotaExceededError(
        f"this agent may store {limit:,} {unit}, and with this write it would be {needed:,}; delete what is not "
        "needed, or the host gives it more with DataStore.agent(quota=...)",
        unit=unit,
        limit=limit,
        needed=needed,
    )


def _is_of(document: Document, agent: str) -> bool:
    """Return whether an agent wrote a document last."""
    last = document.updated_by_agent
    return (document.created_by_agent if last is None else last) == agent


def _size_of(document: Document) -> int:
    return len(encode(document.value, "value", _ANY_SIZE).encode()) + _bytes_of(document.metadata or {})


def _bytes_of(metadata: dict[str, Any]) -> int:
    return len(encode(metadata, "metadata", _ANY_SIZE).encode()) if metadata else 0


_accounts: weakref.WeakKeyDictionary[Core, weakref.WeakValueDictionary[str, Account]] = weakref.WeakKeyDictionary()


def account_of(core: Core, encoded_user: str, user_id: str, agent: str) -> Account:
    """Return the account of an agent: one for all of its bindings to a store."""
    accounts = _accounts.setdefault(core, weakref.WeakValueDictionary())
    account = Account(encoded_user, user_id, agent)
    return accounts.setdefault(account.id, account)
