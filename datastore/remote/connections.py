"""One connection to a server: a request, and its whole answer or an error."""

from __future__ import annotations

import math
import os
import select
import socket
import time
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from io import BufferedReader, RawIOBase
from typing import Any, cast

from datastore.errors import BackendUnusableError
from datastore.remote.addresses import Address
from datastore.wire import INSTANCE

_LONGEST_HEAD = 65_536
"""Bytes of an answer before its body: with status line, all header lines, and what ``100 Continue`` has of these."""
_AHEAD = 65_536
_PIECE = 1 << 20
"""Bytes of a body read at once: what a header says about its length is not believed before they have arrived."""


class UnreachedError(Exception):
    """Nobody listens there, so not one byte of the request was sent. The cause is an `OSError`."""


class LostError(Exception):
    """The request may have arrived, and there is no whole answer to it. The cause says why, if it is known."""


class TooLateError(Exception):
    """The answer has not arrived in time."""


class Answer:
    """The head of an answer, and what of its body is read.

    Attributes:
        status: The status code.
    """

    __slots__ = ("_connection", "_response", "status")

    def __init__(self, connection: Connection, response: HTTPResponse) -> None:
        self._connection = connection
        self._response = response
        self.status = response.status

    def header(self, name: str) -> str | None:
        """Return the value of a header."""
        return self._response.getheader(name)

    def whole(self) -> bytes:
        """Return the body.

        Raises:
            LostError: If it breaks off, or nothing says where it ends.
            TooLateError: If it does not arrive in time.
        """
        with self._connection.receiving():
            response = self._response
            if response.length is None and not response.chunked:
                raise HTTPException("an answer that does not say where it ends")
            if response.length is not None and response.length <= _PIECE:
                return response.read()
            pieces: list[bytes] = []
            while piece := response.read(_PIECE):
                pieces.append(piece)
            if response.length:
                raise HTTPException("an answer that breaks off")
            return b"".join(pieces)

    def some(self, until: float) -> bytes:
        """Return what has arrived of the body, after waiting for it; nothing at its end.

        Args:
            until: When to stop waiting, in seconds of `time.monotonic`.

        Raises:
            LostError: If it breaks off.
            TooLateError: If nothing arrives in time.
        """
        self._connection.until = until
        with self._connection.receiving():
            return self._response.read1(_AHEAD)

    def keeps(self) -> bool:
        """Return whether the connection can be used again: all of the answer has been read, and nothing follows it."""
        if not self._response.isclosed():
            return False
        # Not before: `http.client` takes a head that is cut for a whole one, and this header might be cut as well.
        self._connection.instance = self._response.getheader(INSTANCE) or self._connection.instance
        return not self._response.will_close and self._connection.is_quiet()


class Connection:
    """A connection that is used by one call at a time, in the process that has opened it.

    Attributes:
        instance: The server process at its other end; ``None`` before the first answer.
        until: When the call in progress must have ended, in seconds of `time.monotonic`.

    Args:
        address: Where the server listens.
        until: When to stop waiting for it.

    Raises:
        UnreachedError: If nobody listens there.
    """

    def __init__(self, address: Address, until: float) -> None:
        self.until = until
        self.instance: str | None = None
        self._process = os.getpid()
        try:
            self._socket = address.open(_timeout(until))
        except OSError as error:
            raise UnreachedError from error
        self._received = _Received(self, self._socket)
        self._reader: Any = BufferedReader(self._received, _AHEAD)
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(self._socket, select.POLLIN)

    def is_quiet(self) -> bool:
        """Return whether all that was received has been read."""
        self._received.is_over = True
        return not self._reader.peek(1)

    def is_usable(self) -> bool:
        """Return whether the server has left the idle connection open, and sent nothing that nobody asked for."""
        if self._process != os.getpid():
            return False
        if self._poll is not None:
            return not self._poll.poll(0)
        return not select.select([self._socket], [], [], 0)[0]

    def ask(self, request: bytes, until: float) -> Answer:
        """Send a request, and return its answer when its head is there.

        Args:
            request: The whole request.
            until: When to stop waiting, in seconds of `time.monotonic`.

        Raises:
            LostError: If the connection breaks, or what arrives is no answer.
            TooLateError: If no answer arrives in time.
        """
        self.until = until
        with self.receiving():
            self._socket.settimeout(_timeout(until))
            with suppress(BrokenPipeError, ConnectionResetError):  # then it may have answered, and read no further
                self._socket.sendall(request)
            self._received.begin(len(request) < _AHEAD)
            response = HTTPResponse(cast(Any, self), method="POST")
            response.begin()
            self._received.left = math.inf
            return Answer(self, response)

    def receiving(self) -> _Receiving:
        """Return a context manager in which whatever breaks the connection is one of the errors of this module."""
        if self._process != os.getpid():
            raise BackendUnusableError("this listing was begun before the process forked; begin it again in the child")
        return _Receiving(self)

    def makefile(self, mode: str) -> _Lent:
        """Return the bytes that are received; `HTTPResponse` calls this."""
        return _Lent(self._reader)

    def close(self) -> None:
        """End the connection. In a forked child this leaves the parent's as it is."""
        if self._process == os.getpid():
            with suppress(OSError):  # a child may have inherited it, and then `close` ends nothing
                self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class _Receiving:
    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if error is None:
            return
        self._connection.close()
        if isinstance(error, TimeoutError):
            raise TooLateError from error
        if isinstance(error, (OSError, HTTPException, ValueError)):  # `http.client` raises the last for a bad number
            raise LostError from error


class _Received(RawIOBase):
    """The bytes that a connection receives, as long as its call has time."""

    def __init__(self, connection: Connection, opened: socket.socket) -> None:
        self._connection = connection
        self._socket = opened
        self._is_timed = False
        self.left: float = math.inf
        """How many more bytes there may be."""
        self.is_over = False
        """Whether nothing more is to be received, so that a look at what was received does not wait."""

    def begin(self, is_timed: bool) -> None:
        """Begin to receive an answer.

        Args:
            is_timed: Whether the socket knows already how long it may wait. Each time that it is told is a system call.
        """
        self.left, self.is_over, self._is_timed = _LONGEST_HEAD, False, is_timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.is_over:
            return None
        if not self._is_timed:
            self._socket.settimeout(_timeout(self._connection.until))
        self._is_timed = False
        received = self._socket.recv_into(buffer)
        self.left -= received
        if self.left < 0:
            raise HTTPException("an answer whose header is too long")
        return received


class _Lent:
    """The reader of a connection, for one answer: closing it does not close the connection."""

    __slots__ = ("close", "flush", "peek", "read", "read1", "readinto", "readline")

    def __init__(self, reader: Any) -> None:
        self.read, self.read1, self.readinto = reader.read, reader.read1, reader.readinto
        self.readline, self.peek = reader.readline, reader.peek
        self.close = self.flush = _nothing


def _nothing() -> None:
    pass


def _timeout(until: float) -> float | None:
    """Return the seconds until then, for a socket.

    Raises:
        TimeoutError: If it is over.
    """
    if until == math.inf:
        return None
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
