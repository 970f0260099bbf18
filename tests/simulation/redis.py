"""Redis below the sockets of redis-py: above them everything is real, the client's connection and the adapter.

Each connection is one of redis-py's, over a socket that brings what is sent to a model of a server
(`tests.simulation.redis_server`) and holds its answers.
"""

from __future__ import annotations

import errno
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import inf
from random import Random
from types import SimpleNamespace
from typing import Any

from redis import Connection
from redis.exceptions import ConnectionError as BrokenError

from datastore.backend import Backend
from datastore.conformance.simulation.checking import microseconds
from datastore.conformance.simulation.history import BEGAN, CLEARS_BY_TIME, Call
from datastore.conformance.simulation.luck import FAULTS, MORE
from datastore.conformance.simulation.network import (
    REQUEST_SECONDS,
    AnswerCutError,
    Client,
    ClientError,
    NoAnswerError,
    ServerError,
    TooManyRequestsError,
)
from datastore.conformance.simulation.world import Process, World
from datastore.times import parse_time
from datastore.values import decode
from datastore_redis import codec, removing, scripts
from datastore_redis.backend import RedisBackend
from datastore_redis.client import Settings
from datastore_redis.scripts import Names
from tests.simulation.redis_server import (
    BUSY,
    LOADING,
    NO_MEMORY,
    READ_ONLY,
    RedisModel,
    RefusalError,
    State,
    commands_of,
    digest_of,
    encoded,
)
from tests.simulation.tokens import short

_NAME = "sim"
_HOST, _PORT = "redis.invalid", 6379
_EMPTY_AT_FIRST = 0.1
"""In so many runs the first process begins the store; in the others it is there."""
_SAFE = 0.5
"""In so many runs the server has ``appendfsync always``, in the others ``everysec``."""
_FORGETS_SOON, _SOON = 0.3, 2_000
"""In so many runs the server forgets what has expired after so many milliseconds, not after a day."""
_SYNC = 1.0
"""How many seconds of acknowledged writes ``everysec`` may lose."""
_JUMP = 20_000.0
"""By so many seconds the server's clock is wrong at most. A record stays longer than that after its expiry."""


class RedisDatabase:
    """A server.

    Args:
        adapter: The adapter.
        faults: What is replaced in its modules besides: faults that must be found.
        loses: Whether the server breaks what ``appendfsync always`` promises.
    """

    faults = frozenset((*FAULTS, *MORE, "no memory", "read-only", "power lost", "server clock jump"))
    connects = True
    limits = frozenset({CLEARS_BY_TIME})

    def __init__(
        self,
        adapter: type[RedisBackend] = RedisBackend,
        faults: Iterable[tuple[Any, str, Any]] = (),
        *,
        loses: bool = False,
    ) -> None:
        self._adapter = adapter
        self._faults = list(faults)
        self._loses = loses
        self.model = RedisModel(self._clock)
        self._world: World
        self._offset = 0.0
        self._restarts = 0
        self._is_safe = True
        self._is_watched = False
        self._forgets_soon = False
        self._ahead = 0.0
        """By how much a process's clock was ahead at most, in seconds."""
        self._kept: deque[tuple[float, State]] = deque()
        """What the server had after its last commands that have written anything, and when: what a crash may leave."""
        self._chance: Random
        self._tokens: Random
        self._sockets: dict[Process, list[Socket]] = {}

    def _clock(self) -> float:
        return (BEGAN + self._world.scheduler.now + self._offset) * 1_000

    def adapter(self, client: Client) -> Backend:
        """See `Database.adapter`."""
        sockets = self._sockets.setdefault(client.process, [])

        def connected(timeout: float) -> Socket:
            if client.world.scheduler.now < client.world.down_until:
                raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
            sockets.append(UnluckySocket(self, client.process, timeout))
            return sockets[-1]

        return adapter_over(partial(SimulatedConnection, connected), self._adapter)

    def replaced(self, world: World) -> Iterator[tuple[Any, str, Any]]:
        """See `Replacing.replaced`."""
        if not self._sockets:
            self._begin(world)
        for module in (codec, removing):
            yield module, "os", SimpleNamespace(urandom=self._tokens.randbytes)
        if self._forgets_soon:
            yield codec, "_forgotten_after", _soon
        yield from self._faults

    def _begin(self, world: World) -> None:
        seed, faults = world.plan.seed, (world.plan.faults or {}).values()
        self._world = world
        self._chance, self._tokens = Random(f"{seed} made anew"), Random(f"{seed} tokens")
        self._is_safe = Random(f"{seed} durability").random() < _SAFE
        self._forgets_soon = Random(f"{seed} grace").random() < _FORGETS_SOON
        self._is_watched = (not self._is_safe or self._loses) and (
            "power lost" in faults or "power lost" in world.luck.rates
        )
        if Random(f"{seed} database").random() >= _EMPTY_AT_FIRST:
            self._prepare()
        self._note()

    def _prepare(self) -> None:
        self.model.carry_out([b"SET", Names(_NAME).format.encode(), b"2"])

    def make_anew(self) -> bool:
        """See `MadeAnew.make_anew`: FLUSHALL."""
        self.model.state = State({}, {})
        # Another process, or one that starts over, has begun the store; or nobody has.
        if self._chance.random() < 0.5:
            self._prepare()
        self._note()
        return True

    def left_open(self, process: Process) -> int:
        """See `Connected.left_open`. What an interrupt leaves ends when nothing refers to it; here something does."""
        return 0 if self._world.may_be_interrupted else sum(one.is_open for one in self._sockets[process])

    def answered(
        self, request: bytes, part: int | None = None, refuses: RefusalError | None = None, first: int = 0
    ) -> bytes:
        """Return the server's answers to a request.

        Args:
            request: The request.
            part: How many of its commands to carry out before the connection breaks; ``None`` for all.
            refuses: What keeps the server from writing.
            first: From which command on that is so.
        """
        model = self.model
        if self._restarts != self._world.restarts:
            self._restarts = self._world.restarts
            model.scripts.clear()
        answers = []
        for number, words in enumerate(commands_of(request)[:part]):
            model.refuses = refuses if number >= first else None
            answers.append(encoded(model.carry_out(words)))
            if model.has_written:
                self._note()
        model.refuses = None
        return b"".join(answers)

    def _note(self) -> None:
        """Note what the server has, as long as a crash may bring it back."""
        if self._is_watched:
            self._kept.append((self._world.scheduler.now, self.model.state.copy()))
            self._forget_what_was_synced()

    def _forget_what_was_synced(self) -> None:
        while len(self._kept) > 1 and self._kept[1][0] <= self._world.scheduler.now - _SYNC:
            self._kept.popleft()

    def lose_power(self, random: Random) -> None:
        """Stop the server at once. With ``everysec`` it comes back as it was at some time of the last second."""
        world = self._world
        if self._is_watched:
            self._forget_what_was_synced()
            self.model.state = self._kept[random.randrange(len(self._kept))][1].copy()
            self._kept.clear()
            self._note()
            world.killed += 1  # so are accesses that were counted
        world.tell("database", "power is lost")
        rows = list(self._rows())
        for user in world.users:
            notes = {key: row for owner, key, row in rows if owner == user}
            world.happens("(power lost)", (self._is_safe,), user, notes)
            world.history[-1].reaped = self._forgotten_until
        world.restart(-20.0 + 40.0 * random.random())

    def _rows(self) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
        """Return user, key, value, revision, expiry, creation and last change of all records that users see."""
        for row in self.model.state.keys.values():
            if isinstance(row, dict) and row.get(b"namespace") == b"ns":
                found = {name.decode(): value.decode() for name, value in row.items()}
                at = found.get("expiresAt")
                times = microseconds(found["createdAt"]), microseconds(found["updatedAt"])
                kept = decode(found["value"]), found["revision"], at and microseconds(at), *times
                yield found["userId"], found["key"], kept

    def jump(self, random: Random) -> None:
        """Set the server's clock to another time."""
        if not self._forgets_soon:
            self._offset = _JUMP * (2 * random.random() - 1)

    def note_what_may_be_gone(self, process: Process, call: Call | None) -> None:
        """Note, as a request is carried out, what the server may have removed because it had expired."""
        self._ahead = max(self._ahead, process.offset)
        if call is not None:
            call.reaped = max(call.reaped, self._forgotten_until)

    @property
    def _forgotten_until(self) -> float:
        """What has expired by then, in microseconds since the epoch, the server may have removed."""
        soon = (BEGAN + self._world.scheduler.now + self._ahead) * 1e6 - _SOON * 1e3
        return soon if self._forgets_soon else -inf


def _soon(at: str, expires_at: str) -> str:
    """Stands in for `codec._forgotten_after`. What a delete leaves is to stay as long as always."""
    left = (parse_time(expires_at) - parse_time(at)).total_seconds() * 1_000
    return str(int(left) + _SOON) if left > 0 else _REALLY_AFTER(at, expires_at)


_REALLY_AFTER = codec._forgotten_after


def adapter_over(
    kind: Callable[..., Any], adapter: type[RedisBackend] = RedisBackend, name: str = _NAME
) -> RedisBackend:
    """Return an adapter whose connections are of a kind."""
    options = {"db": 0, "host": _HOST, "port": _PORT}
    return adapter(
        Settings(f"{_HOST}:{_PORT}", kind, options, name, REQUEST_SECONDS, 32, create=True, earlier_format=False)
    )


class SimulatedConnection(Connection):
    """A connection of redis-py over a simulated socket.

    Args:
        connect: Returns the socket, given its timeout in seconds.
        options: What a connection takes.
    """

    _sock: Socket

    def __init__(self, connect: Callable[[float], Socket], **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]  # the client's
        self._made = connect

    def _connect(self) -> Socket:
        assert self.socket_timeout is not None
        return self._made(self.socket_timeout)

    def can_read(self, timeout: float = 0) -> bool:
        """Return whether there is something to read. The client's parser would ask the operating system."""
        if self._sock.was_closed_by_the_server:
            raise BrokenError("Connection closed by server.")
        return bool(self._sock.left)


class Socket:
    """A socket over which nothing goes wrong.

    Args:
        model: The server.
        timeout: How long to wait for an answer, in seconds.
    """

    def __init__(self, model: RedisModel, timeout: float) -> None:
        self.model = model
        self.timeout = timeout
        self.left = b""
        """What has arrived and was not read."""
        self.is_open = True

    @property
    def was_closed_by_the_server(self) -> bool:
        """Whether the server was stopped since the connection began."""
        return False

    def gettimeout(self) -> float:
        """Return how long to wait for an answer, in seconds."""
        return self.timeout

    def settimeout(self, timeout: float) -> None:
        """Set how long to wait for an answer."""
        self.timeout = timeout

    def shutdown(self, _: int) -> None:
        """Do nothing: it is closed next."""

    def close(self) -> None:
        """Close it."""
        self.is_open = False

    def recv_into(self, buffer: bytearray) -> int:
        """Return how much was read; 0 if there is nothing more, and there will not be."""
        read, self.left = self.left[: len(buffer)], self.left[len(buffer) :]
        buffer[: len(read)] = read
        return len(read)

    def sendall(self, sent: bytes) -> None:
        """Send a request, and keep its answers for whoever reads."""
        self.left += b"".join(encoded(self.model.carry_out(words)) for words in commands_of(sent))


class UnluckySocket(Client, Socket):
    """A socket over the network of a run."""

    def __init__(self, database: RedisDatabase, process: Process, timeout: float) -> None:
        Client.__init__(self, process.world, process)
        Socket.__init__(self, database.model, timeout)
        self._database = database
        self._began = self.world.restarts
        self._problem: OSError | None = None
        self._late = b""
        """What arrives for the request before, of which nobody has read the answer."""

    @property
    def was_closed_by_the_server(self) -> bool:
        """See `Socket.was_closed_by_the_server`."""
        return self._began != self.world.restarts

    def patience(self) -> float:
        """See `Client.patience`."""
        return self.timeout

    def recv_into(self, buffer: bytearray) -> int:
        """See `Socket.recv_into`."""
        if not self.left and self._problem is not None:
            raise self._problem
        return super().recv_into(buffer)

    def sendall(self, sent: bytes) -> None:
        """See `Socket.sendall`."""
        size = len(commands_of(sent))
        call = self.world.calls.get(self.world.scheduler._me())
        if call is not None and any(script in sent for script in _REMOVE):
            call.blind = True  # sent again, this script alone does not know what it has removed before
        carry_out = partial(self._carried_out, sent, call)
        own: dict[str, Callable[[Random], bytes | None]] = {
            "no memory": lambda random: carry_out(None, NO_MEMORY, random.randrange(size)),
            "read-only": lambda random: carry_out(None, READ_ONLY, random.randrange(size)),
            "server clock jump": lambda random: self._as_the_clock_jumps(carry_out, random),
            "power lost": lambda random: self._as_power_fails(carry_out, random),
        }
        self._problem = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        self.left, self._late = self.left + self._late, b""
        try:
            answer = self.request(partial(_told, sent), carry_out, size, own)
        except AnswerCutError as error:
            self.left += (error.answer or b"")[: int(error.where * len(error.answer or b""))]
        except NoAnswerError:
            self._problem = TimeoutError("timed out")
        except TooManyRequestsError:
            self.left += encoded(BUSY) * size
        except ServerError as error:
            self.left += encoded(LOADING) * size if str(error).startswith("503") else b""
        except ClientError:
            pass
        else:
            self.left, self._late = self.left + (answer or b""), b""

    def _carried_out(
        self, sent: bytes, call: Call | None, part: int | None, refuses: RefusalError | None = None, first: int = 0
    ) -> bytes | None:
        """Return the answers to a request; ``None`` if the server was stopped meanwhile."""
        if self.was_closed_by_the_server:
            return None
        # Also when it arrives after its process was killed.
        self._database.note_what_may_be_gone(self.process, call)
        self._late = self._database.answered(sent, part, refuses, first)
        return self._late

    def _as_the_clock_jumps(self, carry_out: Callable[[None], bytes | None], random: Random) -> bytes | None:
        self._database.jump(random)
        return carry_out(None)

    def _as_power_fails(self, carry_out: Callable[[None], bytes | None], random: Random) -> None:
        if random.random() < 0.5:
            carry_out(None)
        self._database.lose_power(random)


_REMOVE = scripts.REMOVE.digest.encode(), scripts.REMOVE.text.encode()
_NAMES = {script.digest: name for name, script in vars(scripts).items() if isinstance(script, scripts.Script)}
_PLACE = re.compile(rf"{_NAME}:\{{(?P<user>[^}}]*)\}}(?::(?P<rest>.*))?")


def _told(sent: bytes) -> str:
    """Return what the story says of a request."""
    told = []
    for words in commands_of(sent):
        name, key = words[0].decode(), words[1]
        if name.startswith("EVAL"):
            digest, key = words[1].decode() if name == "EVALSHA" else digest_of(words[1]), words[3]
            name = f"{name} {_NAMES.get(digest, 'a script')}"
        found = _PLACE.fullmatch(key.decode())
        told.append(f"{name} {key.decode() if found is None else short(':'.join(filter(None, found.groups())))}")
    return ", ".join(told)
