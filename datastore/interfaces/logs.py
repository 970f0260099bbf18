"""One ordered log, as an object: a thin layer over the calls of an agent's store."""

from __future__ import annotations

from typing import Any, Protocol

from datastore.entries import MOST, Entry, beginning_of
from datastore.ids import decode_name
from datastore.scope import OfOneProcess


class Logs(Protocol):
    """What a `Log` needs of an agent's store: the calls of `datastore.calls.logs`."""

    def log_append(self, name: str, *entries: Any) -> int:
        """See `datastore.AgentDataStore.log_append`."""

    def log_read(
        self, name: str, *, after: int = 0, before: int | None = None, limit: int | None = None, reverse: bool = False
    ) -> list[Entry]:
        """See `datastore.AgentDataStore.log_read`."""

    def log_trim(self, name: str, *, before: int) -> int:
        """See `datastore.AgentDataStore.log_trim`."""


class Log(OfOneProcess):
    """An ordered log of a namespace. From ``data_store.log(name)``; see ``docs/logs.md``.

    Who reads sees entries with consecutive numbers: if one is there, so are all before it that were not trimmed. A log
    needs not be created, and nobody owns it: agents of one user who use the same namespace and name have the same log.

    Calls raise what those of `AgentDataStore` raise.
    """

    __slots__ = ("_logs", "_name")

    def __init__(self, logs: Logs, name: str) -> None:
        self._name = decode_name(beginning_of(name)[:-1])
        self._logs = logs

    @property
    def name(self) -> str:
        """The name of the log."""
        return self._name

    def append(self, *entries: Any) -> int:
        """Append entries, in this order, with consecutive numbers.

        Args:
            entries: As `AgentDataStore.log_append`: up to 100 that take 1 MB together are stored as one.

        Returns:
            The number of the first one.

        Raises:
            InvalidValueError, ValueTooLargeError, ConflictError, LeaseLostError: As `AgentDataStore.log_append`.

        Requests: 1 in steady state; see ``AgentDataStore.log_append``.
        """
        return self._logs.log_append(self._name, *entries)

    def read(
        self, *, after: int = 0, before: int | None = None, limit: int | None = None, reverse: bool = False
    ) -> list[Entry]:
        """Return entries, in order, or from the last to the first.

        Args:
            after: Only entries with a greater number: that of the last entry that is known already.
            before: Only entries with a smaller number.
            limit: The most entries; ``None`` for all. With ``reverse`` these are the last ones.
            reverse: From the last entry to the first.

        Returns:
            The entries, with consecutive numbers.

        Raises:
            QueryError: If ``after`` is below 0, or ``before`` or ``limit`` below 1.

        Requests: 1 per page of the database, or 1 more; 1 if nothing is new. See ``AgentDataStore.log_read``.
        """
        return self._logs.log_read(self._name, after=after, before=before, limit=limit, reverse=reverse)

    def last(self, n: int = 1) -> list[Entry]:
        """Return the last entries, in order.

        Args:
            n: How many.

        Raises:
            QueryError: If ``n`` is below 1.

        Requests: 1.
        """
        return self._logs.log_read(self._name, limit=n, reverse=True)[::-1]

    def trim(self, *, before: int) -> int:
        """Remove entries from the beginning of the log. The others keep their numbers.

        Args:
            before: The entry that becomes the first one; those with a smaller number are removed.

        Returns:
            How many were removed.

        Raises:
            QueryError: If ``before`` is below 1.
            ConflictError: As `AgentDataStore.log_trim`.

        Requests: 1, and those of listing the entries and of deleting them.
        """
        return self._logs.log_trim(self._name, before=before)

    def clear(self) -> int:
        """Remove all entries, as `trim` does, and return how many there were. The numbers go on from where they were.

        Requests: as ``trim``.
        """
        return self._logs.log_trim(self._name, before=MOST)

    def __repr__(self) -> str:
        return f"Log(name={self._name!r})"
