"""Leases of an agent in a sandbox: the host records them, and this process holds and renews them.

A lease is held until a moment by this process's own clocks, which is before the moment by the host's: it counts from
when the request began. From then on nothing is asked of the host under it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

from datastore.backend import Backend
from datastore.calls.leases import Asked, fence_of, record_of
from datastore.calls.lending import MOST_AT_ONCE
from datastore.core import Core
from datastore.errors import DataStoreError, LeaseHeldError, LeaseLostError, logger
from datastore.fencing import FencedCore
from datastore.holding import AGAIN_AFTER, Held, Term
from datastore.remote.answers import ask, ask_over
from datastore.remote.requests import accepted, body_of
from datastore.remote.served import ServedBackend
from datastore.scope import Scope
from datastore.values import encode
from datastore.wire.calls import CALLS, Call

_LOST = "it was not renewed in time, or another holder has taken it"


class ServedHolding(Held):
    """A lease that the host has recorded for this process.

    Args:
        scope: Whose it is, and in which namespace.
        asked: What was asked for.
        number: Its number.
        handle: What it is renewed and ended with.
        term: Until when it is held.
        area: In which area of the namespace it lies, as `Claim` has it.
    """

    def __init__(
        self, scope: Scope, asked: Asked, number: int, handle: str, term: Term, area: str | None = None
    ) -> None:
        fence = fence_of(record_of(scope if area is None else scope.area(area), asked.name), number)
        super().__init__(scope.core.root, asked.name, fence, asked.ttl, term, renews=asked.renews)
        self._scope = scope.through(scope.core.root)
        self.claim = {"namespace": scope.namespace, "name": asked.name, "number": number, "handle": handle}
        if area is not None:
            self.claim["area"] = area

    def renew(self) -> None:
        """See `Held.renew`."""
        self.check()
        self.settle(self._asked("lease_renew")[0], self.term())
        self.check()

    def term(self) -> Term:
        """Return until when it is held if it is renewed by a request that begins now."""
        return Term("", time.monotonic() + self.ttl, self._core.clock() + self.ttl)

    def settle(self, is_held: bool | None, term: Term) -> None:
        """Note what came of a renewal."""
        if is_held is None:
            self.put_off(AGAIN_AFTER)
        elif is_held:
            self.prolong(term)
            self.put_off()
        else:
            self.lose(_LOST)

    def release(self) -> bool:
        """See `Held.release`."""
        if self.is_over:
            return False
        self.lose("it was released")
        with suppress(DataStoreError):
            return bool(self._asked("lease_release")[0])
        return False

    def _asked(self, call: str) -> list[bool | None]:
        body = body_of(self._scope, {"leases": [self.claim]}, accepted)
        result: list[bool | None] = ask(self._core, CALLS[call], body)
        return result

    @staticmethod
    def renew_all(core: Core, due: Sequence[ServedHolding]) -> None:
        """See `Held.renew_all`."""
        for start in range(0, len(due), MOST_AT_ONCE):
            some = due[start : start + MOST_AT_ONCE]
            terms = [one.term() for one in some]
            body = body_of(some[0]._scope, {"leases": [one.claim for one in some]}, accepted)
            try:
                held: list[bool | None] = ask(core, CALLS["lease_renew"], body)
            except DataStoreError as error:
                logger().warning("%d leases could not be renewed: %s", len(some), error)
                held = [None] * len(some)
            for one, is_held, term in zip(some, held, terms, strict=True):
                one.settle(is_held, term)

    @staticmethod
    def end_all(backend: Backend, held: Sequence[ServedHolding]) -> None:
        """See `Held.end_all`."""
        transport, seconds = cast(ServedBackend, backend).transport, held[0]._core.max_seconds
        for start in range(0, len(held), MOST_AT_ONCE):
            some = held[start : start + MOST_AT_ONCE]
            for one in some:
                one.lose("the store was closed")
            body = body_of(some[0]._scope, {"leases": [one.claim for one in some]}, accepted)
            ask_over(transport, CALLS["lease_release"], body, seconds)


def take_there(scope: Scope, asked: Asked) -> ServedHolding | LeaseHeldError:
    """Take a lease if it is free, as `datastore.calls.leases.take_here` does."""
    began, at = time.monotonic(), scope.core.clock()
    body = body_of(scope, {"name": asked.name, "ttl": asked.ttl}, accepted, leases=leases_of(scope))
    try:
        taken = asked_under(scope, CALLS["lease_take"], body)
    except LeaseHeldError as error:
        return error
    return ServedHolding(scope, asked, taken.number, taken.handle, Term("", began + asked.ttl, at + asked.ttl))


def asked_under(scope: Scope, call: Call, body: bytes, *, limited: bool = True) -> Any:
    """Make a request under the leases of a store, as `ask` does, and note it if they are over."""
    with noting_lost(scope.core):
        return ask(scope.core, call, body, limited=limited)


@contextmanager
def noting_lost(core: Core) -> Iterator[None]:
    """Note it if the leases of a store are over, as what is asked within the context says."""
    try:
        yield
    except LeaseLostError as error:
        for holding in holdings_of(core):
            holding.lose(error.message)
        raise


def leases_of(scope: Scope) -> str:
    """Return the leases that a write is made under, as JSON; empty for none.

    Raises:
        LeaseLostError: If one of them is over.
    """
    claims = list[Any]()
    for holding in holdings_of(scope.core):
        holding.check()
        claims.append(holding.claim)
    return encode(claims[::-1]) if claims else ""


def holdings_of(core: Core) -> Iterator[ServedHolding]:
    """Yield the leases that a store is of, the one that was taken last first."""
    while isinstance(core, FencedCore):
        yield cast(ServedHolding, core.holding)  # `take_there` made it
        core = core.inner
