"""Requests to a server over a few connections: which are repeated, and which must not be.

A request of which not one byte has left is repeated freely, and so is one that the server refused before it began. A
read whose answer was lost is repeated, too. A write whose answer was lost is repeated with the same key
(``Idempotency-Key``), and says which server process it was first sent to: that one knows whether it has done it, and
gives the answer that was lost. Another one (the server was restarted, or there are several) cannot know, and does not
do it.
"""

from __future__ import annotations

import errno
import os
import time
import weakref
from collections import deque
from typing import NamedTuple

from datastore import deadlines
from datastore.errors import (
    BackendUnavailableError,
    ClosedError,
    ConfigurationError,
    DataStoreError,
    PermissionDeniedError,
    ValueTooLargeError,
)
from datastore.loops import warn_if_on_loop
from datastore.remote.addresses import Address
from datastore.remote.connections import Answer, Connection, LostError, TooLateError, UnreachedError
from datastore.remote.handover import Secret
from datastore.retry import Backoff
from datastore.tls import refusal
from datastore.wire import JSON_TYPE, KEY, PREFIX, REPEAT, UNKNOWN_INSTANCE

NAME = "server"
"""What errors call the backend."""
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 2.0  # seconds between two attempts
_CONNECTING = 10.0  # seconds: then nobody answers there
_MOST_IDLE = 8
_UNKNOWN = UNKNOWN_INSTANCE
"""The name of no server process: a request on a new connection was sent to whoever was there."""
_KEY, _REPEAT = (f"{name}: %s\r\n".encode() for name in (KEY, REPEAT))
_MADE_AT_ONCE = 64


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes


class Transport:
    """Sends requests for one token to one server. Safe to share between threads, and to use in a forked child.

    Args:
        address: Where the server listens.
        secret: The token.
        retry_seconds: How long one request is repeated.
        warn_on_loop: Whether the first call that blocks a running event loop is a `BlockingCallWarning`.
    """

    def __init__(self, address: Address, secret: Secret, *, retry_seconds: float, warn_on_loop: bool) -> None:
        self.address = address
        self._start = f"POST {address.root}{PREFIX}".encode()
        head = f" HTTP/1.1\r\nHost: {address.host}\r\nContent-Type: {JSON_TYPE}\r\n".encode() + secret.header()
        self._head = head.replace(b"%", b"%%") + b"Content-Length: %d\r\n"
        self.most_bytes: int | None = None
        """The largest body that the server takes; ``None`` if that is not known."""
        self._retry_seconds = retry_seconds
        self._warns = warn_on_loop
        self._is_closed = False
        self._idle: deque[Connection] = deque()
        _all.add(self)

    def after_fork(self) -> None:
        """Begin without connections in a forked child: those that there are belong to its parent."""
        self._drop_idle()

    def ask(self, name: str, body: bytes, *, writes: bool, in_lines: bool = False) -> Reply:
        """Send a request, repeat it where that is safe, and return the whole answer.

        Args:
            name: The last part of the path.
            body: JSON.
            writes: Whether it changes something.
            in_lines: Whether the answer is in lines. Then the last one says that it is whole.

        Raises:
            BackendUnavailableError: If the server cannot be reached, or the answer was lost.
            DeadlineExceededError: If the current call has no time left.
            ConfigurationError: If the address is not that of a server of this kind, or its certificate is not trusted.
            PermissionDeniedError: If the operating system refuses access to the socket.
            ClosedError: If it was closed.
        """
        return self._exchange(name, body, writes, is_whole=True, in_lines=in_lines)  # type: ignore[return-value]  # whole

    def stream(self, name: str, body: bytes) -> Reply | Stream:
        """Send a request that reads, and return a stream of its answer, or the whole one if it is an error."""
        return self._exchange(name, body, False, is_whole=False)

    def close(self) -> None:
        """Close all connections, those in use when their call has ended. Idempotent."""
        self._is_closed = True
        self._drop_idle()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._is_closed

    def check_open(self) -> None:
        """Raise if it was closed."""
        if self._is_closed:
            raise ClosedError("the store was closed; open another one with datastore.connect()", backend=NAME)

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next request, if it is still of use."""
        if self._is_closed or len(self._idle) >= _MOST_IDLE:
            connection.close()
        else:
            self._idle.append(connection)
            if self._is_closed:  # meanwhile, in another thread
                self._drop_idle()

    def _exchange(
        self, name: str, body: bytes, writes: bool, *, is_whole: bool, in_lines: bool = False
    ) -> Reply | Stream:
        self.check_open()
        if self.most_bytes is not None and len(body) > self.most_bytes:
            raise ValueTooLargeError(
                f"the call takes {len(body):,} bytes of JSON, and the server takes {self.most_bytes:,} at once; "
                "do it in parts",
                backend=NAME,
            )
        if self._warns:
            warn_if_on_loop()
        first, backoff = self._start + name.encode() + self._head % len(body), None
        if writes:
            first += _KEY % _new_key()
        sent_to: str | None = None
        """Who may have got it, and whose answer was lost."""
        while True:
            until = deadlines.until()
            connection: Connection | None = None
            error: Exception
            least, was_idle = 0.0, False
            try:
                connection = self._idle_one() or self._new_one(until)
                head = first if sent_to is None or not writes else first + _REPEAT % sent_to.encode()
                was_idle = connection.instance is not None
                try:
                    answer = connection.ask(head + b"\r\n" + body, until)
                    if answer.status == 200 and not is_whole:
                        return Stream(self, connection, answer)
                    reply = Reply(answer.status, answer.whole())
                    if in_lines and answer.status == 200 and not _has_last_line(reply.body):
                        connection.close()
                        raise LostError
                except BaseException:
                    sent_to = sent_to or connection.instance or _UNKNOWN
                    raise
                wait = _refused_before_it_began(answer)
                if answer.keeps():
                    self.give_back(connection)
                else:
                    connection.close()
                if wait is None:
                    return reply
                least, error = wait, _RefusedError(reply)
            except UnreachedError as unreached:
                self._raise_if_lasting(unreached)
                error = unreached
            except LostError as lost:
                if writes and sent_to == _UNKNOWN:
                    raise self.failed(lost) from lost.__cause__
                error = lost
                if was_idle and backoff is None:  # the server had closed it: at once, once, on a new one
                    self._drop_idle()
                    backoff = self._backoff()
                    continue
            except TooLateError:
                raise deadlines.exceeded() from None
            except BaseException:
                if connection is not None:
                    connection.close()
                raise
            backoff = backoff or self._backoff()
            if not _wait(backoff, least):
                if isinstance(error, _RefusedError):
                    return error.reply
                deadlines.check()
                raise self.failed(error, writes and sent_to is not None) from error.__cause__

    def _backoff(self) -> Backoff:
        return Backoff(self._retry_seconds, _FIRST_DELAY, _LONGEST_DELAY)

    def _idle_one(self) -> Connection | None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.is_usable():
                return connection
            connection.close()

    def _new_one(self, until: float) -> Connection:
        return Connection(self.address, min(until, time.monotonic() + _CONNECTING))

    def _drop_idle(self) -> None:
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _raise_if_lasting(self, error: UnreachedError) -> None:
        cause, place = error.__cause__, self.address.place
        if isinstance(cause, TimeoutError) and deadlines.left() == 0:
            raise deadlines.exceeded() from None
        if cause is not None and (lasting := refusal(cause, place, "SSL_CERT_FILE", NAME)) is not None:
            raise lasting from cause
        if isinstance(cause, PermissionError):
            raise PermissionDeniedError(f"the operating system refuses access to {place}", backend=NAME) from cause
        if (isinstance(cause, OSError) and cause.errno == errno.ENAMETOOLONG) or str(cause) == "AF_UNIX path too long":
            raise ConfigurationError(f"{place} has a path that is too long for a socket", backend=NAME) from cause

    def failed(self, error: Exception, may_be_done: bool = False) -> DataStoreError:
        """Return the error for a request without a whole answer.

        Args:
            error: What became of the last attempt.
            may_be_done: Whether an earlier attempt may have arrived.
        """
        if isinstance(error, UnreachedError) and not may_be_done:
            why = getattr(error.__cause__, "strerror", None) or "no answer"
            return BackendUnavailableError(
                f"nobody answers at {self.address.place} ({why}); nothing was sent", backend=NAME
            )
        return BackendUnavailableError(
            f"the connection to {self.address.place} broke, and the answer was lost: the call may or may not have been "
            "made",
            backend=NAME,
        )


class Stream:
    """The body of an answer, piece by piece. Whoever does not read it to its end closes it."""

    def __init__(self, transport: Transport, connection: Connection, answer: Answer) -> None:
        self._transport = transport
        self._connection = connection
        self._answer = answer

    def read(self, until: float) -> bytes:
        """Return the next piece; nothing at the end.

        Args:
            until: When to stop waiting for it, in seconds of `time.monotonic`.

        Raises:
            BackendUnavailableError: If it breaks off.
            DeadlineExceededError: If nothing comes in time.
            ClosedError: If the store was closed.
        """
        self._transport.check_open()
        try:
            return self._answer.some(until)
        except TooLateError:
            raise deadlines.exceeded() from None
        except LostError as lost:
            raise self._transport.failed(lost) from lost.__cause__

    def close(self) -> None:
        """Give the connection back if all was read, and otherwise close it. Idempotent."""
        connection, self._connection = self._connection, None  # type: ignore[assignment]  # it is used once
        if connection is None:
            return
        if self._answer.keeps():
            self._transport.give_back(connection)
        else:
            connection.close()

    def __del__(self) -> None:
        self.close()


class _RefusedError(Exception):
    def __init__(self, reply: Reply) -> None:
        self.reply = reply


def _refused_before_it_began(answer: Answer) -> float | None:
    """Return how many seconds to wait at least before the request is sent again; ``None`` if this is its answer."""
    if answer.status not in (429, 503) or (after := answer.header("Retry-After")) is None:
        return None
    return float(after) if after.isdecimal() and len(after) < 9 else 0.0


def _has_last_line(body: bytes) -> bool:
    """Return whether a listing has its last line.

    `http.client` takes a body in chunks for a whole one if it is cut in the length of a chunk, after a zero.
    """
    start = body.rfind(b"\n", 0, -1) + 1
    return body.endswith(b"\n") and body.startswith((b'{"end"', b'{"error"'), start)


def _wait(backoff: Backoff, least: float) -> bool:
    """Wait before the next attempt, and return whether there is time for one."""
    delay = backoff.delay()
    if delay is None:
        return False
    if least > delay and not backoff.has(least):
        return False
    time.sleep(max(delay, least))
    return True


_all: weakref.WeakSet[Transport] = weakref.WeakSet()
_keys: deque[bytes] = deque()
"""Random bytes made in advance, as in `datastore.scope`."""


def _new_key() -> bytes:
    """Return 128 random bits as 32 hex digits."""
    try:
        return _keys.pop()
    except IndexError:
        digits = os.urandom(16 * _MADE_AT_ONCE).hex().encode()
        _keys.extend(digits[start : start + 32] for start in range(32, len(digits), 32))
        return digits[:32]


def _after_fork() -> None:
    _keys.clear()  # the parent will use these
    for transport in list(_all):
        transport.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
