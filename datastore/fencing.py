"""The core as a holder of a lease sees it: every write carries the lease's number, and none is made without the lease.

The database has the last word (`datastore.fences`). What this process knows already is refused before any request.
"""

from __future__ import annotations

from collections.abc import Sequence

from datastore.backend import Outcome, Write
from datastore.core import Core
from datastore.errors import LeaseLostError
from datastore.fences import is_refused, lease_lost
from datastore.fronts import Front
from datastore.holding import Held
from datastore.ids import home_of, is_system


class FencedCore(Front):
    """What stands in front of an agent's core for the store of a lease.

    Args:
        inner: The agent's core. If that is the store of another lease, both leases must be held, and records remember
            the number of this one alone.
        holding: The lease.
    """

    def __init__(self, inner: Core, holding: Held) -> None:
        super().__init__(inner)
        self.holding = holding
        self.fence = holding.fence
        self.removes_ranges = False  # a record that goes must leave behind what it remembers

    def check_writes(self, prefix: str) -> None:
        """See `Core.check_writes`. It raises, too, if the lease is over."""
        self.holding.check()
        super().check_writes(prefix)

    def check_fences(self, fences: str) -> None:
        """See `Core.check_fences`."""
        if is_refused(fences, self.fence):
            raise self._lost(lease_lost())

    def write_one(self, write: Write) -> Outcome:
        """See `Core.write_one`."""
        (fenced,) = self._fenced((write,))
        try:
            return self._inner.write_one(fenced)
        except LeaseLostError as error:
            raise self._lost(error) from None

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Core.write`.

        Raises:
            LeaseLostError: If one of the writes was refused because of the lease; others may be done.
        """
        outcomes = self._inner.write(self._fenced(writes))
        for outcome in outcomes:
            if isinstance(outcome.error, LeaseLostError):
                raise self._lost(outcome.error)
        return outcomes

    def _fenced(self, writes: Sequence[Write]) -> list[Write]:
        """Return writes with the lease's number. The store's own records (leases, accounts) are under no lease."""
        self.holding.check()
        return [one._replace(fence=self.fence) if one.fence is None and _is_fenced(one.id) else one for one in writes]

    def _lost(self, error: LeaseLostError) -> LeaseLostError:
        """Note that the lease is over: the database says so."""
        self.holding.lose(error.message)
        return error


def _is_fenced(id: str) -> bool:
    return not is_system(id) or home_of(id) is not None
