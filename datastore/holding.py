"""Leases that this process holds, and the thread that renews them.

A lease is one system record of the user. Whoever writes it on the condition of its revision holds it until the time
in it. So taking, renewing and releasing are one conditional write each. What a lease means to an agent, and how it is
taken, is in `datastore.calls.leases`.
"""

from __future__ import annotations

import threading
import time
import weakref
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from typing import Any, NamedTuple

from datastore.backend import Backend, Outcome, Put
from datastore.core import Core
from datastore.deadlines import within
from datastore.errors import DataStoreError, logger
from datastore.fences import Fence, lease_over
from datastore.revisions import new_revision
from datastore.times import format_time
from datastore.values import encode

KEPT = 30 * 86_400.0
"""Seconds for which the record of a lease is kept after the lease is over. Then it expires, and its number is
forgotten; what the next one is begun with is said in `datastore.calls.leases`."""
_RENEWED_AFTER, AGAIN_AFTER = 1 / 3, 1 / 10
"""The parts of its time after which a lease is renewed, and renewed once more if that has failed."""
_SOONEST = 0.01  # seconds between two looks of the thread
_ATTEMPTS = 3  # of releasing, while a renewal is under way
INHERITED = "it is held by the process that this one was forked from"


class Term(NamedTuple):
    """What a write of the record has promised."""

    revision: str
    """Empty if another process has written it."""
    ends: float
    """When it ends, in seconds of `time.monotonic`."""
    ends_at: float
    """The same by the clock of the store."""


class Held:
    """A lease of this process, wherever it is recorded: until when it is held, and why it is not any more.

    Args:
        core: The store's own core.
        name: The lease's name.
        fence: Its number.
        ttl: For how many seconds each write of it holds.
        renews: Whether it is renewed in the background.
        term: Until when it is held.
    """

    def __init__(self, core: Core, name: str, fence: Fence, ttl: float, term: Term, *, renews: bool) -> None:
        self._core = core
        self.name = name
        self.fence = fence
        self.ttl = ttl
        self.renews = renews
        self.is_inherited = False
        """Whether it is the lease of the process that this one was forked from."""
        self._over: str | None = None
        self._term = term
        self.due = term.ends - ttl * (1 - _RENEWED_AFTER)
        """When it is to be renewed, in seconds of `time.monotonic`."""

    @property
    def ends_at(self) -> float:
        """When it ends unless it is renewed, in seconds since the epoch."""
        return self._term.ends_at

    @property
    def ends_in(self) -> float:
        """In how many seconds it ends unless it is renewed."""
        return self._term.ends - time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, as far as this process knows: once it has, it stays so."""
        if self._over is None and (time.monotonic() >= self._term.ends or self._core.clock() >= self._term.ends_at):
            self.lose("it was not renewed in time, so another holder may have it by now")
        return self._over is not None

    def lose(self, why: str) -> None:
        """Note that it is over: why, or the message of an error that says so."""
        if self._over is None:
            self._over = why

    def check(self) -> None:
        """Raise if it is over.

        Raises:
            LeaseLostError: If it is.
        """
        if self.is_over:
            raise lease_over(self.name, self._over or "")

    def prolong(self, term: Term) -> None:
        """Note until when it is held now. If the answer came after the end, the lease is over all the same."""
        if not self.is_over and term.ends > self._term.ends:
            self._term = term

    def put_off(self, part: float = _RENEWED_AFTER) -> None:
        """Renew it next after a part of its time from now."""
        self.due = time.monotonic() + self.ttl * part

    @abstractmethod
    def renew(self) -> None:
        """Renew it now.

        Raises:
            LeaseLostError: If it is over.

        Requests: 1.
        """

    @abstractmethod
    def release(self) -> bool:
        """End it, and return whether it was held until now. If the database does not answer, it ends by itself.

        Requests: 1; 0 if it was over.
        """

    @staticmethod
    @abstractmethod
    def renew_all(core: Core, due: Sequence[Any]) -> None:
        """Renew leases of one class, and note of each what came of it. Those that could not be renewed are due again.

        Requests: 1.
        """

    @staticmethod
    @abstractmethod
    def end_all(backend: Backend, held: Sequence[Any]) -> None:
        """Release leases of one class at the end of their store.

        Requests: 1 for each batch.
        """


class Holding(Held):
    """A lease whose record this process writes.

    Args:
        core: The store's own core.
        put: The write that took it.
        name: The lease's name.
        fence: Its number.
        ttl: For how many seconds each write of it holds.
        began: When the write began, in seconds of `time.monotonic`.
        at: The same by the clock of the store.
        renews: Whether it is renewed in the background.
    """

    def __init__(
        self, core: Core, put: Put, name: str, fence: Fence, ttl: float, began: float, at: float, *, renews: bool
    ) -> None:
        term = Term(put.revision, began + ttl, at + ttl)
        super().__init__(core, name, fence, ttl, term, renews=renews)
        self._put = put
        self._sent = {put.revision: term}

    def renew(self) -> None:
        """See `Held.renew`."""
        self.check()
        put = self.renewal()
        outcome = self._core.write_one(put)
        self.settle(outcome, put)
        self.check()

    def renewal(self) -> Put:
        """Return the write that renews it."""
        began, at = time.monotonic(), self._core.clock()
        put = self._written(at, until=format_time(at + self.ttl))
        self._sent[put.revision] = Term(put.revision, began + self.ttl, at + self.ttl)
        return put

    def settle(self, outcome: Outcome, put: Put) -> None:
        """Note the outcome of a renewal. If its answer came after the end, the lease is over all the same."""
        found = put.revision if outcome.done else outcome.revision
        if outcome.error is not None:
            self.put_off(AGAIN_AFTER)
        elif (term := self._sent.get(found or "")) is not None:  # it is a write of this holding
            self.prolong(term)
            self._sent = {revision: one for revision, one in self._sent.items() if one.ends >= self._term.ends}
            self.put_off(_RENEWED_AFTER if outcome.done else AGAIN_AFTER)
        else:
            self.lose("another holder has taken it")

    def release(self) -> bool:
        """See `Held.release`."""
        if self.is_over:
            return False
        self.lose("it was released")
        revision = self._term.revision
        with suppress(DataStoreError):
            for _ in range(_ATTEMPTS):
                outcome = self._core.write_one(self.ending(revision))
                if outcome.done or outcome.revision not in self._sent:
                    return outcome.done
                revision = outcome.revision
        return False

    def ending(self, revision: str | None = None) -> Put:
        """Return the write that releases it."""
        put = self._written(self._core.clock(), until=None)
        return put._replace(if_revision=revision or self._term.revision)

    @staticmethod
    def renew_all(core: Core, due: Sequence[Holding]) -> None:
        """See `Held.renew_all`."""
        puts = [one.renewal() for one in due]
        try:
            outcomes: Sequence[Outcome] = core.write(puts)
        except DataStoreError as error:
            logger().warning("%d leases could not be renewed: %s", len(due), error)
            outcomes = [Outcome(False, error=error)] * len(due)
        for one, put, outcome in zip(due, puts, outcomes, strict=True):
            one.settle(outcome, put)

    @staticmethod
    def end_all(backend: Backend, held: Sequence[Holding]) -> None:
        """See `Held.end_all`."""
        size = backend.capabilities.write_batch
        for start in range(0, len(held), size):
            some = held[start : start + size]
            puts = [one.ending() for one in some]
            for one in some:
                one.lose("the store was closed")
            backend.write(puts)

    def _written(self, at: float, until: str | None) -> Put:
        put = self._put
        value: dict[str, Any] = {**put.value, "until": until}
        return put._replace(
            value=value,
            json=encode(value),
            at=format_time(at),
            revision=new_revision(),
            expires_at=format_time(at + (self.ttl if until else 0.0) + KEPT),
            if_absent=False,
            if_revision=self._term.revision,
        )


class Keeper:
    """Renews the leases that a process holds on one store, in one thread that starts with the first of them.

    It refers to a lease only as long as somebody else does: one that nobody has any more is not renewed, and ends.

    Args:
        core: The store's own core.
    """

    def __init__(self, core: Core) -> None:
        self._core = weakref.ref(core)
        self._reset()

    def _reset(self) -> None:
        self._holdings: dict[int, weakref.ref[Held]] = {}
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def keep(self, holding: Held) -> None:
        """Renew a lease from now on, if it is to be renewed, and release it when the store is closed."""
        number, holdings = id(holding), self._holdings
        holdings[number] = weakref.ref(holding, lambda _: holdings.pop(number, None))
        if holding.renews:
            if self._thread is None or not self._thread.is_alive():
                self._start()
            self._wake.set()

    def _start(self) -> None:
        if self._closing.is_set():
            return
        reference = weakref.ref(self, lambda _, wake=self._wake: wake.set())  # type: ignore[misc]  # mypy: lambdas with defaults
        thread = threading.Thread(
            target=_renew_regularly, args=(reference, self._wake), name="datastore-leases", daemon=True
        )
        with suppress(RuntimeError):  # the interpreter is shutting down
            self._thread = thread
            thread.start()

    def renew_due(self) -> float:
        """Renew the leases whose time it is, all in one batch, and return the seconds until the next one's."""
        core = self._core()
        held = [one for one in self._held() if one.renews]
        due = [one for one in held if one.due <= time.monotonic()]
        if due and core is not None:
            with within(max(min(one.ends_in for one in due), _SOONEST)):
                type(due[0]).renew_all(core, due)  # all leases of one store are of one class
        return max(min((one.due for one in held if not one.is_over), default=inf) - time.monotonic(), _SOONEST)

    def _held(self) -> list[Held]:
        return [one for one in self._known() if not one.is_over]

    def _known(self) -> list[Held]:
        found = [reference() for reference in list(self._holdings.values())]
        return [one for one in found if one is not None]

    def close(self, backend: Backend) -> None:
        """Stop the thread, and release what is held. What cannot be released ends by itself."""
        self._closing.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            with suppress(RuntimeError):  # an interrupt came before it was started
                thread.join()
        held = self._held()
        if held:
            with suppress(DataStoreError):
                type(held[0]).end_all(backend, held)

    def after_fork(self) -> None:
        """Forget the leases in a forked child: they are the parent's, which goes on renewing them."""
        for one in self._known():
            one.is_inherited = True
            one.lose(INHERITED)
        self._reset()

    @property
    def is_closing(self) -> bool:
        """Whether the thread is to end."""
        return self._closing.is_set()


def keeper_of(core: Core) -> Keeper:
    """Return what renews the leases of a store."""
    root = core.root
    keeper: Keeper | None = root.keeper
    if keeper is None:
        keeper = root.keep_with(Keeper(root))
    return keeper


def _renew_regularly(reference: weakref.ref[Keeper], wake: threading.Event) -> None:
    pause = 0.0
    while True:
        wake.wait(None if pause == inf else pause)
        wake.clear()
        keeper = reference()
        if keeper is None or keeper.is_closing:
            return
        try:
            pause = keeper.renew_due()
        except Exception:  # noqa: BLE001 - logged; the next look may succeed
            logger().exception("a lease could not be renewed")
            pause = 1.0
        del keeper
