"""Backends in front of the real one, which hide something of it or fail like a network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from datastore import DataStore
from datastore.backend import Ability, Access, Backend, Document, DocumentPage, Outcome, Put, Write
from datastore.errors import BackendUnavailableError, ThrottledError


def backend_of(store: DataStore) -> Backend:
    """Return a store's open adapter, which the store itself hides."""
    return store._core.backend


_MEANT: frozenset[Ability] = frozenset({"nearest", "ensure_vectors", "database", "tenants", "drop_tenant"})
"""The optional methods without which a store would not do the same in more requests, but something else."""


class Wrapped(Backend):
    """Passes on the five methods, the index of vectors and the databases of tenants, and hides all other abilities."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.name = inner.name
        passed_on = {name for name in _MEANT if getattr(type(self), name) is getattr(Wrapped, name)}
        hidden = passed_on - inner.capabilities.abilities
        self.capabilities = replace(inner.capabilities, abilities=self.overridden() - hidden)

    # Arguments are passed on unchanged, so that a new optional argument in the contract changes nothing here.

    def read(self, *args: Any, **kwargs: Any) -> dict[str, Document]:
        """See `Backend.read`."""
        return self.inner.read(*args, **kwargs)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        return self.inner.write(writes)

    def scan(self, *args: Any, **kwargs: Any) -> DocumentPage:
        """See `Backend.scan`."""
        return self.inner.scan(*args, **kwargs)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        self.inner.record_access(accesses)

    def nearest(self, *args: Any, **kwargs: Any) -> list[str] | None:
        """See `Backend.nearest`."""
        return self.inner.nearest(*args, **kwargs)

    def ensure_vectors(self, *args: Any, **kwargs: Any) -> str:
        """See `Backend.ensure_vectors`."""
        return self.inner.ensure_vectors(*args, **kwargs)

    def database(self, user_id: str) -> str:
        """See `Backend.database`."""
        return self.inner.database(user_id)

    def tenants(self) -> list[str]:
        """See `Backend.tenants`."""
        return self.inner.tenants()

    def drop_tenant(self, user_id: str) -> bool:
        """See `Backend.drop_tenant`."""
        return self.inner.drop_tenant(user_id)

    def close(self) -> None:
        """Do nothing: the backend belongs to another store."""


class Untouchable(Wrapped):
    """Fails a test that lets a call through to the database."""

    def read(self, *args: Any, **kwargs: Any) -> dict[str, Document]:
        raise AssertionError("the database was read")

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        raise AssertionError("the database was written to")

    def scan(self, *args: Any, **kwargs: Any) -> DocumentPage:
        raise AssertionError("the database was listed")


class LosesAnswers(Wrapped):
    """Applies the next writes, and then reports that the connection broke: their answers are lost."""

    lost = 0

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        outcomes = self.inner.write(writes)
        if self.lost:
            self.lost -= 1
            raise BackendUnavailableError("the connection was reset before the answer came")
        return outcomes


class Throttles(Wrapped):
    """Refuses the writes of some keys as overload, each the given number of times, and carries out all others."""

    def __init__(self, inner: Backend, keys: Collection[str], times: float) -> None:
        super().__init__(inner)
        self._left = dict.fromkeys(keys, times)

    @classmethod
    def each(cls, keys: Collection[str], times: float = float("inf")) -> Callable[[Backend], Throttles]:
        """Return a function that makes one for a backend."""
        return lambda inner: cls(inner, keys, times)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        refused = [isinstance(write, Put) and self._left.get(write.key, 0) > 0 for write in writes]
        admitted = [write for write, no in zip(writes, refused, strict=True) if not no]
        outcomes = iter(self.inner.write(admitted) if admitted else ())
        return [self._refuse(write) if no else next(outcomes) for write, no in zip(writes, refused, strict=True)]

    def _refuse(self, write: Write) -> Outcome:
        assert isinstance(write, Put)
        self._left[write.key] -= 1
        return Outcome(False, error=ThrottledError("too many requests"))


class Unsteady(Wrapped):
    """Cannot be reached for the next ``failures`` calls. While ``counting_fails``, it cannot count accesses either."""

    failures = 0
    counting_fails = False

    def read(self, *args: Any, **kwargs: Any) -> dict[str, Document]:
        self._check()
        return super().read(*args, **kwargs)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        self._check()
        return super().write(writes)

    def scan(self, *args: Any, **kwargs: Any) -> DocumentPage:
        self._check()
        return super().scan(*args, **kwargs)

    def record_access(self, accesses: Sequence[Access]) -> None:
        if self.counting_fails:
            raise BackendUnavailableError("the connection was refused")
        super().record_access(accesses)

    def _check(self) -> None:
        if self.failures:
            self.failures -= 1
            raise BackendUnavailableError("the connection was refused")
