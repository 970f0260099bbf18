"""Connections to a server that are kept for the next request. A list of them needs no lock.

An interrupt, such as Ctrl-C, may end a call anywhere: it could leave a lock taken for ever.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from datastore import deadlines
from datastore.errors import ClosedError
from datastore.turns import Calls

C = TypeVar("C")
T = TypeVar("T")


class Connections(ABC, Generic[C]):
    """The connections of one store. A thread has one for the time of a request; more are opened as they are needed.

    `request` makes a request over one that is kept only if the answer was read whole.

    Args:
        name: The adapter's name, for errors.
        server: What the server is called in errors.
        most: The most connections that are kept.
    """

    def __init__(self, name: str, server: str, most: int) -> None:
        self._name = name
        self._doing = f"a request to {server}"
        self._most = most
        self._closed = False
        self._inherited: list[C] = []
        self._idle: deque[C] = deque()
        self.under_way = Calls(self._doing)

    @abstractmethod
    def open(self) -> C:
        """Open a connection."""

    @abstractmethod
    def is_open(self, connection: C) -> bool:
        """Return whether a connection can be used: the server has not closed it."""

    @abstractmethod
    def shut(self, connection: C) -> None:
        """Close a connection. Idempotent, and it never raises."""

    def is_answered(self, error: BaseException) -> bool:
        """Return whether a request that raised was answered, and all of the answer was read: the server refused it."""
        return False

    def after_fork(self) -> None:
        """Forget the connections, which belong to the parent. They are kept, for without them they would be closed."""
        self._inherited += self._idle
        self._idle = deque()
        self.under_way = Calls(self._doing)

    def close(self) -> None:
        """Close the connections that nobody uses; the others follow."""
        self._closed = True
        while self._idle:
            self.shut(self._idle.pop())

    def request(self, carry_out: Callable[[C], T]) -> T:
        """Return what a request brings.

        Args:
            carry_out: Makes the request over a connection. If it raises, perhaps not every answer was read
                (`is_answered`).

        Raises:
            ClosedError: If the store was closed.
            DataStoreError: If no connection can be opened, or what ``carry_out`` raises.
        """
        deadlines.check()
        with self.under_way.begin():
            connection: C | None = None
            try:
                connection = self.take()
                result = carry_out(connection)
            except BaseException as error:
                if connection is not None and self.is_answered(error):
                    self.give_back(connection)
                else:  # the answer would be taken for that of the next request
                    self.discard(connection)
                raise
        self.give_back(connection)
        return result

    def take(self) -> C:
        """Return a connection that the server has not closed.

        Raises:
            ClosedError: If the store was closed.
            DataStoreError: If none can be opened.
        """
        if self._closed:
            raise ClosedError("the store was closed", backend=self._name)
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self.open()
            if self.is_open(connection):
                return connection
            self.shut(connection)

    def give_back(self, connection: C) -> None:
        """Keep a connection of which every answer was read."""
        if self._closed or len(self._idle) >= self._most:
            self.shut(connection)
        else:
            self._idle.append(connection)

    def discard(self, connection: C | None) -> None:
        """Close a connection of which perhaps not every answer was read."""
        if connection is not None:
            self.shut(connection)
