"""Connections to one PostgreSQL server: each statement is a transaction of its own, and one request."""

from __future__ import annotations

import math
import select
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen

from datastore import deadlines
from datastore.errors import ClosedError
from datastore.turns import Calls
from datastore_postgresql.failures import NAME, not_connected, translated

Row: TypeAlias = tuple[Any, ...]
T = TypeVar("T")

_BEFORE_PREPARING = 2
"""How often a connection carries out a statement before it is prepared."""
_NOT_PREPARED = (psycopg.errors.InvalidSqlStatementName, psycopg.errors.DuplicatePreparedStatement)
"""The session is not the one that this connection knows. The statement was not carried out, and is sent again."""


class Settings(NamedTuple):
    """What a URL says."""

    address: str
    """``host:port``, or the folder of a socket; for errors."""
    options: Mapping[str, Any]
    """What the client takes."""
    schema: str
    timeout: float
    pool: int
    create: bool
    earlier_format: bool
    prepare: bool = False
    """Whether statements are prepared, so that the server parses and plans each once for a connection."""
    tenant: str = ""
    """What `datastore.tenants` calls the store; empty for one that is not a tenant's."""


class Connection(psycopg.Connection[Row]):
    """A connection whose answers are waited for no longer than the call may take."""

    timeout = 10.0

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Carry out what the client does, waiting for the server whenever it must.

        Raises:
            psycopg.OperationalError: If the server did not answer in time.
        """
        most = min(self.timeout, deadlines.left(), math.inf if timeout is None else timeout)
        return waiting.wait(gen, self.pgconn.socket, interval=interval, timeout=most)


class Session:
    """Connections that are kept for the next request. A list of them needs no lock that an interrupt could leave."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._inherited: list[Any] = []
        self._idle: deque[Connection] = deque()
        self._under_way = Calls("a request to PostgreSQL")
        self._closed = False

    def after_fork(self) -> None:
        """Forget the connections, which belong to the parent. They are kept, for without them they would be closed."""
        self._inherited += self._idle
        self._idle = deque()
        self._under_way = Calls("a request to PostgreSQL")

    def close(self) -> None:
        """Close the connections that nobody uses; the others follow."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def ask(
        self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None, seconds: float | None = None
    ) -> list[Row]:
        """Carry out one statement, and return its rows; without parameters there may be several statements.

        Args:
            statement: The SQL.
            parameters: Its parameters.
            seconds: How long it may take, if not as long as the URL says.

        Raises:
            DataStoreError: If it was refused, and is rolled back; or if it was not answered, and may be carried out.

        Requests: 1.
        """
        deadlines.check()
        with self._under_way.begin():
            connection: Connection | None = None
            try:
                connection = self._connection()
                connection.timeout = self.settings.timeout if seconds is None else seconds
                one = parameters is not None  # several statements at once cannot be prepared
                cursor = connection.execute(statement, parameters, prepare=None if one else False, binary=one)
                while cursor.nextset():
                    pass
                rows = cursor.fetchall() if cursor.description is not None else []
            except (psycopg.Error, OSError) as error:
                answered = isinstance(error, psycopg.Error) and error.sqlstate
                if connection is not None and answered and not isinstance(error, _NOT_PREPARED):
                    self._give_back(connection)
                else:
                    self._discard(connection)
                raise translated(error, self.settings.address) from error
            except BaseException:  # its answer would be taken for that of the next statement
                self._discard(connection)
                raise
        self._give_back(connection)
        return rows

    def _connection(self) -> Connection:
        """Return a connection that the server has not closed."""
        if self._closed:
            raise ClosedError("the store was closed", backend=NAME)
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._new_connection()
            poll = select.poll()
            poll.register(connection.pgconn.socket, select.POLLIN)
            if not connection.closed and not poll.poll(0):  # a server that ends says so: nothing else is sent unasked
                return connection
            connection.close()

    def _new_connection(self) -> Connection:
        seconds = max(1, min(self.settings.timeout, deadlines.left()))
        try:
            connection = Connection.connect(
                **self.settings.options,
                autocommit=True,
                prepare_threshold=_BEFORE_PREPARING if self.settings.prepare else None,
                connect_timeout=int(-(-seconds // 1)),
            )
        except (psycopg.Error, OSError) as error:
            raise not_connected(error, self.settings.address) from error
        return connection

    def _give_back(self, connection: Connection) -> None:
        if self._closed or connection.closed or len(self._idle) >= self.settings.pool:
            connection.close()
        else:
            self._idle.append(connection)

    def _discard(self, connection: Connection | None) -> None:
        if connection is not None:
            connection.close()
