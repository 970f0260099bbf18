"""Connections between agents and a server: bytes in both directions, and what may happen to them on their way.

The client's own code speaks HTTP over them, with `http.client` above a socket. Here is the other end: it reads the
request, lets the application answer it, and writes down what that sends as an HTTP server does.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from datastore.conformance.simulation.network import Client, Strike
from datastore.conformance.simulation.scheduling import Task

if TYPE_CHECKING:
    from datastore.conformance.simulation.history import Call
    from tests.simulation.served import Server

_ALIVE = 90.0
"""Seconds after which the operating system gives up a connection at whose other end nobody is any more."""
_VERY_LATE = 60.0
"""Seconds after which a request or an answer arrives at the latest: twice as long as a call may take."""
_SOMETHING_BETWEEN = b"<html>something in between</html>"


class Request:
    """A request that is on its way, or that the server is at work at."""

    def __init__(self, wire: Wire, sent: bytes, call: Call | None, strike: Strike, where: float) -> None:
        head, _, self.body = sent.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        self.path = first.split(b" ")[1].decode()
        pairs = (line.split(b": ", 1) for line in lines)
        self.headers = [(name.lower(), value) for name, value in pairs]
        self.call = call
        self.strike = strike
        self.where = where
        """From 0 to less than 1: how much arrives of an answer that is cut, or how late one is that is late."""
        self.is_spared = wire.is_spared
        """Whether nothing is to go wrong with it."""
        self._wire = wire
        self._is_read = False
        self._head = b""
        self._pieces: list[bytes] = []
        self._is_chunked = False

    @property
    def scope(self) -> dict[str, Any]:
        """What the application is told of it."""
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": self.headers,
        }

    def dropped(self) -> None:
        """Note that it has arrived where nobody listens any more."""
        self._wire.hang_up()

    async def receive(self) -> dict[str, Any]:
        """Return the body, or a part of it if the connection breaks before it is all there."""
        if self._is_read:
            return {"type": "http.disconnect"}
        self._is_read = True
        if self.strike.fault == "partly done":
            return {"type": "http.request", "body": self.body[: len(self.body) // 2], "more_body": True}
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, message: Any) -> None:
        """Take what the application answers."""
        if message["type"] == "http.response.start":
            lines = [b"%s: %s\r\n" % pair for pair in message["headers"]]
            self._is_chunked = not any(name == b"content-length" for name, _ in message["headers"])
            if self._is_chunked:
                lines.append(b"transfer-encoding: chunked\r\n")
            self._head = b"HTTP/1.1 %d Something\r\n%s\r\n" % (message["status"], b"".join(lines))
            return
        body = message.get("body", b"")
        if self._is_chunked and body:
            self._pieces.append(b"%x\r\n%s\r\n" % (len(body), body))
        elif body:
            self._pieces.append(body)
        if not message.get("more_body", False):
            if self._is_chunked:
                self._pieces.append(b"0\r\n\r\n")
            self._wire.answer(self, b"".join((self._head, *self._pieces)))


class Wire:
    """A connection. The client takes it for its socket."""

    def __init__(self, client: Client, server: Server) -> None:
        self._client = client
        self._scheduler = client.world.scheduler
        self._server = server
        self._timeout: float | None = None
        self._arrived = bytearray()
        self._is_over = False
        """Whether the server's end was closed."""
        self._error: int | None = None
        """Why the connection broke."""
        self._reader: Task | None = None
        self._asked: Call | None = None
        """The call that waits for an answer here."""
        self.is_closed = False
        server.wires[self] = None

    # ------------------------------------------------------------------------------ what the client takes for a socket

    def settimeout(self, seconds: float | None) -> None:
        """See `socket.socket`."""
        self._timeout = seconds

    def shutdown(self, _: int) -> None:
        """See `socket.socket`."""

    def close(self) -> None:
        """See `socket.socket`."""
        self.is_closed = True
        self._server.wires.pop(self, None)
        self._client.process.wires.pop(self, None)  # type: ignore[attr-defined]  # it is one that is served

    @property
    def is_spared(self) -> bool:
        """Whether nothing happens to what the client sends for the time being."""
        return self._client.process.is_spared

    def is_readable(self) -> bool:
        """Return whether a look at it would show something: bytes, or that it is over."""
        return bool(self._arrived) or self._is_over or self._error is not None

    def recv_into(self, buffer: Any) -> int:
        """See `socket.socket`."""
        scheduler = self._scheduler
        until = scheduler.now + (_ALIVE if self._timeout is None else self._timeout)
        while not self.is_readable():
            if scheduler.now >= until:
                raise (
                    TimeoutError(errno.ETIMEDOUT, "nothing came")
                    if self._timeout is not None
                    else OSError(errno.ETIMEDOUT, "nobody is there any more")
                )
            self._reader = scheduler._me()
            try:
                scheduler.block(until - scheduler.now)
            finally:
                self._reader = None
        if self._arrived:
            size = min(len(buffer), len(self._arrived))
            buffer[:size] = self._arrived[:size]
            del self._arrived[:size]
            return size
        if self._error is not None:
            raise OSError(self._error, "the connection broke")
        return 0

    def sendall(self, sent: bytes) -> None:
        """See `socket.socket`. Here bad luck strikes."""
        world, scheduler = self._client.world, self._scheduler
        task = scheduler._me()
        if self._error is not None or self._is_over:
            raise BrokenPipeError
        name = sent[: sent.index(b" HTTP")].rpartition(b"/")[2].decode()
        again = " again" if b"Datastore-Repeat: " in sent else ""
        strike = self._client.struck(task, f"ask the server to {name}{again}", 1, {}, world.strike)
        where = task.random.random()
        fault, there, seconds = strike.fault, strike.there, strike.there + strike.back
        if fault == "killed before":
            self._client.process.kill()
        if fault == "reset before":
            self._break(errno.ECONNRESET)
            raise ConnectionResetError
        if fault == "request lost":
            return
        if fault == "restart":
            scheduler.later(there, self._server.crash)
            return
        if fault == "throttled":
            told = b"HTTP/1.1 429 Slow\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"
            scheduler.later(seconds, lambda: self._arrive(told))
            return
        if fault == "error before":
            scheduler.later(seconds, lambda: self._arrive(_told(503), over=True))
            return
        self._asked = world.calls.get(task)
        request = Request(self, sent, self._asked, strike, where)
        if fault == "request late":
            there = _VERY_LATE * where
        self._server.expect(request, there)
        if fault == "killed after":
            self._client.process.kill()
        if fault in ("reset after", "partly done"):
            scheduler.later(there, lambda: self._break(errno.ECONNRESET))

    # --------------------------------------------------------------------------------------------- the server's end

    def answer(self, request: Request, answer: bytes) -> None:
        """Send an answer."""
        strike, over = request.strike, False
        seconds = strike.back
        if strike.fault == "error after":
            answer, over = _told(502), True
        elif strike.fault == "answer lost":
            answer, over = b"", True
        elif strike.fault == "answer cut":
            answer, over = answer[: int(len(answer) * request.where)], True
        elif strike.fault == "answer late":
            seconds = _VERY_LATE * request.where
        self._scheduler.later(seconds, lambda: self._arrive(answer, over=over))

    def hang_up(self) -> None:
        """End the connection, as when the server's process dies."""
        if self._asked is not None:
            self._asked.strikes.append("hung up")
        self._arrive(b"", over=True)

    def _arrive(self, answer: bytes, *, over: bool = False) -> None:
        if self._error is None and not self._is_over:
            self._asked = None
            self._arrived += answer
            self._is_over = over
            self._wake()

    def _break(self, why: int) -> None:
        self._error = self._error or why
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None:
            self._scheduler.wake(self._reader)


def _told(status: int) -> bytes:
    """Return an answer of something between the client and the server."""
    return b"HTTP/1.1 %d Wrong\r\ncontent-length: %d\r\n\r\n%s" % (status, len(_SOMETHING_BETWEEN), _SOMETHING_BETWEEN)


class Poll:
    """As `select.poll`, for one connection."""

    def __init__(self) -> None:
        self._wire: Wire

    def register(self, wire: Wire, _: int) -> None:
        """See `select.poll`."""
        self._wire = wire

    def poll(self, _: int) -> list[Any]:
        """See `select.poll`."""
        return [self._wire] if self._wire.is_readable() else []
