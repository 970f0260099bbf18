"""What a host sees of what lies beside an agent's records: blobs, memory and runs; see `datastore.watching`.

A call is told of as a server tells of it: ``blob_put``, ``memory_search``, ``run_start``. What a worker does to a run
that it holds is told of by what is written of it, which is what a server sees: a step is a ``run_append``. A step whose
result the journal has already makes no request, and is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from datastore.blobs.calls import Blobs
from datastore.blobs.heads import Found
from datastore.blobs.reading import Parts
from datastore.memory.calls import Memory
from datastore.runs import keys
from datastore.runs.entries import Entry, HistoryEntry
from datastore.runs.run import Run
from datastore.runs.runs import Runs
from datastore.runs.state import Changes
from datastore.runs.writer import Writing
from datastore.scope import scope_of
from datastore.watching import (
    FIRST,
    WatchedScope,
    as_if,
    calls_of,
    current_call,
    first_parameter,
    telling,
    telling_stream,
    told,
    watched_scope_of,
)

if TYPE_CHECKING:
    from datastore.calls.leases import Lease


class WatchedBlobs(Blobs):
    """`Blobs` whose calls are told to the host."""

    __slots__ = ()

    def _parts(self, name: str, found: Found) -> Parts:
        return _WatchedParts(scope_of(self), name, found)


class _WatchedParts(Parts):
    """The parts of a blob that is open: each request for some of them is told of, unless it is one of `Blobs.get`."""

    __slots__ = ()

    def read(self, numbers: Sequence[int]) -> list[bytes]:
        """See `Parts.read`."""
        if current_call() == "blob_get":
            return super().read(numbers)
        return told(
            watched_scope_of(self), "blob_read", lambda name: super(_WatchedParts, self).read(numbers), (self.name,)
        )


class WatchedMemory(Memory):
    """A `Memory` whose calls are told to the host."""

    __slots__ = ()


class WatchedRuns(Runs):
    """`Runs` whose calls are told to the host, and what is done to the runs that are held."""

    __slots__ = ()

    def _worked_on(self, held: Lease[Any], begin: Callable[[], Writing]) -> Run:
        scope = watched_scope_of(self)
        return super()._worked_on(held, lambda: _WatchedWriting(begin(), scope))


class _WatchedWriting(Writing):
    """A run in the hands of a worker, whose acts are told to the host."""

    def __init__(self, writing: Writing, scope: WatchedScope) -> None:
        self._writing = writing
        self._scope = scope
        self.run = writing.run

    if not TYPE_CHECKING:  # in `Writing` they are attributes

        @property
        def number(self) -> int:
            """See `Writing`."""
            return self._writing.number

        @property
        def checkpoint(self) -> int:
            """See `Writing`."""
            return self._writing.checkpoint

        @checkpoint.setter
        def checkpoint(self, number: int) -> None:
            self._writing.checkpoint = number

    def entries(self, after: int) -> Iterator[Entry]:
        """See `Writing`. That a run is resumed is told of already."""
        return self._writing.entries(after)

    def append(self, entry: dict[str, Any], what: str = "value") -> None:
        """See `Writing`."""
        self._told("append", entry, what)

    def wait(self, name: str, timeout: Any, waits: Entry | None, changes: Changes) -> Entry:
        """See `Writing`."""
        return cast(Entry, self._told("wait", name, timeout, waits, changes))

    def join(self, children: Sequence[str], is_new: bool, changes: Changes) -> dict[str, Entry] | None:
        """See `Writing`."""
        return cast("dict[str, Entry] | None", self._told("join", children, is_new, changes))

    def begin_children(self, entry: Entry, first: int = 0) -> None:
        """See `Writing`."""
        self._told("begin_children", entry, first)

    def history(self, limit: int | None, reverse: bool, before: int | None) -> list[HistoryEntry]:
        """See `Writing`."""
        return cast(list[HistoryEntry], self._told("history", limit, reverse, before))

    def _told(self, name: str, *args: Any) -> Any:
        act = getattr(self._writing, name)
        return told(self._scope, f"run_{name}", lambda run: act(*args), (keys.run_of(self.run.run),))


for _kind, _original, _prefix in (
    (WatchedBlobs, Blobs, "blob_"),
    (WatchedMemory, Memory, "memory_"),
    (WatchedRuns, Runs, "run_"),
):
    for _name, _function in calls_of(_original).items():
        _call = _prefix + _name
        FIRST[_call] = first_parameter(_function)
        setattr(_kind, _name, (telling_stream if _call == "memory_items" else telling)(_call, _function))
    as_if(_kind, _original)
FIRST.update(blob_read="name", **{f"run_{name}": "id" for name in ("append", "wait", "join", "begin_children")})
