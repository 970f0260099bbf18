"""Connections to one Redis server: all commands of a request go out together, and their answers come back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from hiredis import pack_command
from redis import exceptions as client
from redis.backoff import NoBackoff
from redis.retry import Retry

from datastore import deadlines
from datastore.errors import ClosedError, DataStoreError
from datastore.turns import Calls
from datastore_redis.failures import NAME, failed, refused
from datastore_redis.scripts import SCRIPTS, Names, Script

Command: TypeAlias = tuple[Any, ...]
_TEXTS = {script.digest: script.text for script in SCRIPTS}


class Settings(NamedTuple):
    """What a URL says."""

    address: str
    """``host:port``, or the path of a socket; for errors."""
    kind: Any
    """The client's class of connections."""
    options: dict[str, Any]
    """What that takes."""
    name: str
    timeout: float
    pool: int
    create: bool
    earlier_format: bool


def run(script: Script, keys: Sequence[str], *arguments: Any) -> Command:
    """Return the command that runs a script."""
    return ("EVALSHA", script.digest, len(keys), *keys, *arguments)


def packed(commands: Sequence[Command]) -> bytes:
    """Return what is sent for commands. The client looks at each argument, which takes three times as long."""
    return b"".join(map(pack_command, commands))


class Session:
    """Connections that are kept for the next request. A list of them needs no lock that an interrupt could leave."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.names = Names(settings.name)
        self.after_fork()
        self._closed = False

    def after_fork(self) -> None:
        """Forget the connections, which belong to the parent."""
        self._idle: deque[Any] = deque()
        self._under_way = Calls("a request to Redis")

    def close(self) -> None:
        """Close the connections that nobody uses; the others follow."""
        self._closed = True
        while self._idle:
            self._idle.pop().disconnect()

    def ask(self, *commands: Command) -> list[Any]:
        """Send commands in one request, and return their answers.

        Raises:
            DataStoreError: If the request was not answered, or one of the commands was refused.
        """
        answers = self.try_all(commands)
        for answer in answers:
            if isinstance(answer, DataStoreError):
                raise answer
        return answers

    def try_all(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one request, and return for each the answer, or the error if Redis has refused it.

        A server that was started anew knows no scripts: what it does not know is sent to it again, as text.

        Raises:
            DataStoreError: If the request was not answered.
        """
        answers = self._send(commands)
        unknown = [place for place, answer in enumerate(answers) if isinstance(answer, client.NoScriptError)]
        if unknown:
            again = [("EVAL", _TEXTS[commands[place][1]], *commands[place][2:]) for place in unknown]
            for place, answer in zip(unknown, self._send(again), strict=True):
                answers[place] = answer
        return [refused(answer) if isinstance(answer, client.ResponseError) else answer for answer in answers]

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        deadlines.check()
        with self._under_way.begin():
            connection: Any = None
            try:
                connection = self._connection()
                connection.send_packed_command([packed(commands)], check_health=False)
                answers: list[Any] = []
                for _ in commands:
                    try:
                        answers.append(connection.read_response())
                    except client.ResponseError as error:
                        answers.append(error)
            except (client.RedisError, OSError) as error:
                self._discard(connection)
                raise failed(error, self.settings.address) from error
            except BaseException:  # its answers would be taken for those of the next request
                self._discard(connection)
                raise
        if self._closed or len(self._idle) >= self.settings.pool:
            connection.disconnect()
        else:
            self._idle.append(connection)
        return answers

    def _connection(self) -> Any:
        """Return a connection that the server has not closed, and that waits no longer than the call may take."""
        if self._closed:
            raise ClosedError("the store was closed", backend=NAME)
        timeout = min(self.settings.timeout, deadlines.left())
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            try:
                if not connection.can_read(0):
                    connection.update_current_socket_timeout(timeout)
                    return connection
            except (client.RedisError, OSError):
                pass
            connection.disconnect()
        connection = self.settings.kind(
            **self.settings.options, socket_timeout=timeout, protocol=2, driver_info=None, retry=Retry(NoBackoff(), 0)
        )
        connection.connect()
        return connection

    def _discard(self, connection: Any) -> None:
        if connection is not None:
            connection.disconnect()
