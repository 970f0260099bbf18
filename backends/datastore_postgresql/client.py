"""Connections to one PostgreSQL server: each statement is a transaction of its own, and one request."""

from __future__ import annotations

import math
import select
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen

from datastore import deadlines
from datastore.adapters.connections import Connections
from datastore_postgresql.failures import NAME, not_connected, translated

Row: TypeAlias = tuple[Any, ...]
T = TypeVar("T")

_BEFORE_PREPARING = 2
"""How often a connection carries out a statement before it is prepared."""
_KEPT_ROWS = 20
"""A cursor keeps what it has read last until its next statement. After more rows than these it is replaced."""
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
    prepare: bool | None = None
    """Whether statements are prepared, so that the server parses and plans each once for a connection; ``None`` to do
    so where no pooler is in between (`Session.prepare_if_direct`)."""
    tenant: str = ""
    """What `datastore.tenants` calls the store; empty for one that is not a tenant's."""


class Connection(psycopg.Connection[Row]):
    """A connection whose answers are waited for no longer than the call may take."""

    timeout = 10.0
    poll: select.poll
    """Tells whether there is something to read."""
    work: psycopg.Cursor[Row]
    """Carries out one statement after another: to make one for each takes a tenth of the time of a short call."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Carry out what the client does, waiting for the server whenever it must.

        Raises:
            psycopg.OperationalError: If the server did not answer in time.
        """
        most = min(self.timeout, deadlines.left(), math.inf if timeout is None else timeout)
        return waiting.wait(gen, self.pgconn.socket, interval=interval, timeout=most)


class Session(Connections[Connection]):
    """The connections of one store."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(NAME, "PostgreSQL", settings.pool)
        self.settings = settings
        self._prepares = bool(settings.prepare)

    def prepare_if_direct(self, process: int) -> None:
        """Prepare statements from now on if no pooler is in between, unless the URL says whether to.

        A server tells each client its process, by which the client may cancel a request. A pooler that lends sessions
        must tell one of its own making, since the next request may be carried out by another process. If the two are
        the same, a session lasts as long as its connection, and only this connection has it.

        https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS

        Args:
            process: Which process of the server has answered the request just now.
        """
        if self.settings.prepare is None and any(one.info.backend_pid == process for one in self._idle):
            self._prepares = True
            for one in self._idle:
                one.prepare_threshold = _BEFORE_PREPARING

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
        with self.under_way.begin():
            connection: Connection | None = None
            try:
                connection = self.take()
                connection.timeout = self.settings.timeout if seconds is None else seconds
                one = parameters is not None  # several statements at once cannot be prepared
                cursor = connection.work
                cursor.execute(statement, parameters, prepare=None if one else False, binary=one)
                while cursor.nextset():
                    pass
                rows = cursor.fetchall() if cursor.rownumber is not None else []  # without one there are none to come
                if len(rows) > _KEPT_ROWS:
                    connection.work = connection.cursor(binary=True)
            except (psycopg.Error, OSError) as error:
                answered = isinstance(error, psycopg.Error) and error.sqlstate
                if connection is not None and answered and not isinstance(error, _NOT_PREPARED):
                    self.give_back(connection)
                else:
                    self.discard(connection)
                raise translated(error, self.settings.address) from error
            except BaseException:  # its answer would be taken for that of the next statement
                self.discard(connection)
                raise
        self.give_back(connection)
        return rows

    def is_open(self, connection: Connection) -> bool:
        """See `Connections.is_open`: a server that ends says so, and nothing else is sent unasked."""
        return not connection.closed and not connection.poll.poll(0)

    def shut(self, connection: Connection) -> None:
        """See `Connections.shut`."""
        connection.close()

    def open(self) -> Connection:
        """See `Connections.open`."""
        seconds = max(1, min(self.settings.timeout, deadlines.left()))
        try:
            connection = Connection.connect(
                **self.settings.options,
                autocommit=True,
                prepare_threshold=_BEFORE_PREPARING if self._prepares else None,
                connect_timeout=int(-(-seconds // 1)),
            )
        except (psycopg.Error, OSError) as error:
            raise not_connected(error, self.settings.address) from error
        connection.work, connection.poll = connection.cursor(binary=True), select.poll()
        connection.poll.register(connection.pgconn.socket, select.POLLIN)
        return connection
