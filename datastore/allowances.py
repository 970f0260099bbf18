"""How much one call may hold in memory, where a host has said so: a server that answers many at once does.

A call that returns many records as a whole has all of them in memory. In process that is the caller's own memory. In a
server it is that of all: there the worker of a call sets a limit (`at_most`), and whatever gathers documents counts
them (`Gathered`) while they come, so that a call ends before it has taken much more.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf

from datastore.backend import Document, Fields
from datastore.core import Core
from datastore.errors import ValueTooLargeError
from datastore.values import size_of

SOME = 100
"""Documents that are read at once where there is a limit: so many of the largest ones may come beyond it."""


class _Current(threading.local):
    most: float = inf


_current = _Current()


@contextmanager
def at_most(bytes: float) -> Iterator[None]:
    """Let the calls that this thread makes within the context hold so many bytes of values, as JSON."""
    before, _current.most = _current.most, bytes
    try:
        yield
    finally:
        _current.most = before


class Gathered:
    """Counts the documents that a call holds.

    Args:
        number: How many it holds at most, if more pass; those are counted as if they were the largest ones.
    """

    __slots__ = ("_largest", "_most", "_number", "_size", "is_limited")

    def __init__(self, number: float = inf) -> None:
        self._most = _current.most
        self.is_limited = self._most != inf
        self._number = number
        self._size = self._largest = 0

    def add(self, values: Iterable[object]) -> None:
        """Count some values.

        Raises:
            ValueTooLargeError: If they are too much together.
        """
        if not self.is_limited:
            return
        for value in values:
            size = size_of(value)
            self._size += size
            self._largest = max(self._largest, size)
        if min(self._size, self._number * self._largest) > self._most:
            raise ValueTooLargeError(
                f"what this call returns takes more than {self._most:,.0f} bytes, which is what this server holds for "
                "one call; ask for less at a time: name fewer keys, give a limit, or iterate"
            )

    def each(self, documents: Iterable[Document]) -> Iterable[Document]:
        """Return an iterable over documents that counts them, if there is a limit."""
        return self._each(documents) if self.is_limited else documents

    def _each(self, documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            self.add((document.value,))
            yield document


def read(core: Core, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
    """Read documents as `Core.read` does; where there is a limit, some at a time.

    Raises:
        ValueTooLargeError: If they are too much together.
    """
    if _current.most == inf:
        return core.read(ids, fields)
    found, gathered = dict[str, Document](), Gathered()
    for start in range(0, len(ids), SOME):
        some = core.read(ids[start : start + SOME], fields)
        gathered.add(one.value for one in some.values())
        found |= some
    return found
