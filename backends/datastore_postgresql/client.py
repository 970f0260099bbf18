"""Connections to one PostgreSQL server: each statement is a transaction of its own, and one request."""

from __future__ import annotations

import itertools
import math
import select
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.generators import execute
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult

from datastore import deadlines
from datastore.adapters.connections import Connections
from datastore.turns import keep_newest
from datastore_postgresql.failures import NAME, code_of, not_connected, translated
from datastore_postgresql.parameters import Parameters, encoded, parsed

Row: TypeAlias = tuple[Any, ...]
T = TypeVar("T")

_BEFORE_PREPARING = 2
"""How often a connection carries out a statement before it is prepared."""
_MOST_PREPARED = 100
"""How many statements a connection keeps prepared: what each takes of the server is some ten thousand bytes."""
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
    """A connection that carries out one statement after another, each for no longer than the call may take.

    It speaks to libpq as the client's cursors do, in half their time.
    """

    timeout = 10.0
    prepares = False
    """Whether it prepares what it carries out again and again."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._poll = select.poll()
        self._poll.register(self.pgconn.socket, select.POLLIN)
        self._reader = Transformer(self)
        self._times: dict[bytes, int] = {}
        self._names: OrderedDict[bytes, bytes] = OrderedDict()
        self._number = itertools.count()

    @property
    def is_quiet(self) -> bool:
        """Whether it is open, and the server has said nothing unasked: one that ends does."""
        return not self.closed and not self._poll.poll(0)

    def carry_out(self, statement: str, parameters: Parameters | None) -> list[Row]:
        """Carry out a statement, and return its rows, as `Session.ask` does.

        Raises:
            psycopg.Error: If the server has refused it, or did not answer in time.
        """
        results = self.wait(self._asking(statement, parameters))
        _check(results)
        result = results[-1]
        if result.status != ExecStatus.TUPLES_OK:
            return [()] * (result.command_tuples or 0)
        self._reader.set_pgresult(result)
        rows = self._reader.load_rows(0, result.ntuples, tuple)
        self._reader.set_pgresult(None)  # what was read may be large
        return rows

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Carry out what the client does, waiting for the server whenever it must.

        Raises:
            psycopg.OperationalError: If the server did not answer in time.
        """
        most = min(self.timeout, deadlines.left(), math.inf if timeout is None else timeout)
        return waiting.wait(gen, self.pgconn.socket, interval=interval, timeout=most)

    def _asking(self, statement: str, parameters: Parameters | None) -> PQGen[list[PGresult]]:
        if parameters is None:
            self.pgconn.send_query(statement.encode())
            answer: list[PGresult] = yield from execute(self.pgconn)
            return answer
        text, names = parsed(statement)
        values, formats = encoded(
            parameters if isinstance(parameters, Sequence) else [parameters[name] for name in names]
        )
        name = self._names.get(text)
        if name is None and self.prepares and self._is_often(text):
            name = yield from self._preparing(text)
        if name is None:
            self.pgconn.send_query_params(text, values, param_formats=formats, result_format=Format.BINARY)
        else:
            self._names.move_to_end(text)
            self.pgconn.send_query_prepared(name, values, param_formats=formats, result_format=Format.BINARY)
        answer = yield from execute(self.pgconn)
        return answer

    def _is_often(self, text: bytes) -> bool:
        times = self._times[text] = self._times.pop(text, 0) + 1
        keep_newest(self._times, _MOST_PREPARED)
        return times > _BEFORE_PREPARING

    def _preparing(self, text: bytes) -> PQGen[bytes]:
        if len(self._names) == _MOST_PREPARED:
            _, oldest = self._names.popitem(last=False)
            self.pgconn.send_query(b"DEALLOCATE " + oldest)
            _check((yield from execute(self.pgconn)))
        name = b"agent_data_store_%d" % next(self._number)
        self.pgconn.send_prepare(name, text)
        _check((yield from execute(self.pgconn)))
        self._names[text] = name
        return name


def _check(results: Sequence[PGresult]) -> None:
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result)


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
                one.prepares = True

    def ask(self, statement: str, parameters: Parameters | None = None, seconds: float | None = None) -> list[Row]:
        """Carry out one statement, and return its rows; without parameters there may be several statements.

        Of one that returns none these are empty rows: as many as it has changed.

        Args:
            statement: The SQL.
            parameters: Its parameters.
            seconds: How long it may take, if not as long as the URL says.

        Raises:
            DataStoreError: If it was refused, and is rolled back; or if it was not answered, and may be carried out.

        Requests: 1.
        """

        def carry_out(connection: Connection) -> list[Row]:
            connection.timeout = self.settings.timeout if seconds is None else seconds
            return connection.carry_out(statement, parameters)

        try:
            return self.request(carry_out)
        except (psycopg.Error, OSError) as error:
            raise translated(error, self.settings.address) from error

    def is_answered(self, error: BaseException) -> bool:
        """See `Connections.is_answered`: an error with a code is an answer."""
        return bool(code_of(error)) and not isinstance(error, _NOT_PREPARED)

    def is_open(self, connection: Connection) -> bool:
        """See `Connections.is_open`: a server that ends says so, and nothing else is sent unasked."""
        return connection.is_quiet

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
                connect_timeout=int(-(-seconds // 1)),
            )
        except (psycopg.Error, OSError) as error:
            raise not_connected(error, self.settings.address) from error
        connection.prepares = self._prepares
        return connection
