"""Summing up what namespaces hold, one document at a time."""

from __future__ import annotations

from collections.abc import Iterable

from datastore.backend import NamespaceStats
from datastore.documents import is_time, name_of
from datastore.times import parse_time


class Stats:
    """What is summed up so far, by namespace."""

    def __init__(self) -> None:
        self._by_namespace: dict[str, _Sum] = {}
        self._beginning = ""
        self._current = _Sum()

    def add(self, id: str, size: int, agents: Iterable[str | None], updated_at: str) -> None:
        """Add a document. What is damaged of it is left out.

        Args:
            id: Its id.
            size: The bytes of its value's JSON text.
            agents: Who created it and who changed it last.
            updated_at: When it was changed last.
        """
        beginning = id[: id.rindex(":") + 1]
        if beginning != self._beginning:  # documents come in the order of ids: this is once for each namespace
            name = name_of(id)
            if name is None:
                return
            self._beginning, self._current = beginning, self._by_namespace.setdefault(name.namespace, _Sum())
        self._current.add(size, agents, updated_at)

    def by_namespace(self) -> list[NamespaceStats]:
        """Return the sums, sorted by namespace."""
        return [
            NamespaceStats(name, one.records, one.bytes, tuple(sorted(one.agents)), parse_time(one.updated_at))
            for name, one in sorted(self._by_namespace.items())
            if one.records
        ]


class _Sum:
    __slots__ = ("agents", "bytes", "records", "updated_at")

    def __init__(self) -> None:
        self.records = 0
        self.bytes = 0
        self.agents = set[str]()
        self.updated_at = "0001-01-01T00:00:00.000000Z"

    def add(self, size: int, agents: Iterable[str | None], updated_at: str) -> None:
        self.records += 1
        self.bytes += size
        self.agents.update(agent for agent in agents if type(agent) is str and agent)
        if is_time(updated_at) and updated_at > self.updated_at:
            self.updated_at = updated_at
