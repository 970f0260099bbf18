"""Connections to one Redis server: all commands of a request go out together, and their answers come back in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from hiredis import pack_command
from redis import exceptions as client
from redis.backoff import NoBackoff
from redis.retry import Retry

from datastore import deadlines
from datastore.adapters.connections import Connections
from datastore.errors import DataStoreError
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


class Session(Connections[Any]):
    """The connections of one store."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(NAME, "Redis", settings.pool)
        self.settings = settings
        self.names = Names(settings.name)

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
        def carry_out(connection: Any) -> list[Any]:
            connection.send_packed_command([packed(commands)], check_health=False)
            answers: list[Any] = []
            for _ in commands:
                try:
                    answers.append(connection.read_response())
                except client.ResponseError as error:
                    answers.append(error)
            return answers

        try:
            return self.request(carry_out)
        except (client.RedisError, OSError) as error:
            raise failed(error, self.settings.address) from error

    def open(self) -> Any:
        """See `Connections.open`."""
        settings = self.settings
        connection = settings.kind(
            **settings.options,
            socket_timeout=self._timeout(),
            protocol=2,
            driver_info=None,
            retry=Retry(NoBackoff(), 0),
        )
        connection.connect()
        return connection

    def is_open(self, connection: Any) -> bool:
        """See `Connections.is_open`. It then waits no longer than the call may take."""
        try:
            if connection.can_read(0):
                return False
            connection.update_current_socket_timeout(self._timeout())
        except (client.RedisError, OSError):
            return False
        return True

    def shut(self, connection: Any) -> None:
        """See `Connections.shut`."""
        connection.disconnect()

    def _timeout(self) -> float:
        return min(self.settings.timeout, deadlines.left())
