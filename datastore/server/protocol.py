"""HTTP on one connection, for clients that mean no good: what is slow, too long or idle is closed.

uvicorn parses and answers. It has no limit for the head of a request, nor for how long one takes to arrive; this adds
both, and a limit for connections that nobody with a token has used yet.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from dataclasses import dataclass
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEADERS = 64  # of one request, with the trailers of a body in chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What one connection may do, and how many there may be.

    Attributes:
        connections: How many connections there may be. Beyond that, the oldest one that no token was used on is closed
            for a new one; if there is none, one of the token with the most, and if each has one, the new one.
        head_bytes: The largest head of a request, about.
        head_seconds: How long the head of a request may take to arrive.
        idle_seconds: After how long without a request a connection is closed.
        write_seconds: How long the client may read nothing of an answer.
    """

    connections: int = 1_000
    head_bytes: int = 32_768
    head_seconds: float = 10.0
    idle_seconds: float = 75.0
    write_seconds: float = 60.0


class GuardedProtocol(HttpToolsProtocol):
    """One connection. A subclass for each server has its limits (`datastore.server.prompt.protocol_for`)."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()
    request_bytes: ClassVar[int] = 33_000_000
    """What a request may have in all, its chunks' headers included."""
    strangers: ClassVar[dict[GuardedProtocol, None]] = {}
    """The connections that no token was used on, the oldest first."""
    used: ClassVar[dict[object, dict[GuardedProtocol, None]]] = {}
    """The others, by whose token it was, the oldest first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_late: TimerHandle | None = None
        self._is_stuck: TimerHandle | None = None
        self._in_head = False
        self._head = self._request = self._fields = 0
        self._owner: object = None

    def used_with_a_token(self, owner: object) -> None:
        """Note that a request with a valid token came on this connection.

        Args:
            owner: Whose token it is: something that is there as long as the token is in use.
        """
        if self._owner is not owner and not self.is_gone():
            self._forget()
            self._owner = owner
            self.used.setdefault(owner, {})[self] = None

    def is_idle(self) -> bool:
        """Return whether it waits for a request."""
        return not self._in_head and (self.cycle is None or self.cycle.response_complete)

    def is_gone(self) -> bool:
        """Return whether nobody hears what is sent any more."""
        return self.transport is None or self.transport.is_closing()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """See `asyncio.Protocol`."""
        if len(self.connections) >= self.limits.connections:
            oldest = next(iter(self.strangers), None) or self._one_of_the_most()
            if oldest is None:
                self.transport = transport
                self.transport.abort()
                return
            oldest.give_up()
        super().connection_made(transport)
        self.strangers[self] = None
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._forget()
        self._stop(late=True, stuck=True)
        if self.flow is None:  # it was refused when it was made
            return
        super().connection_lost(exc)

    def give_up(self) -> None:
        """Close the connection now, whatever was not sent."""
        self.connections.discard(self)
        self._forget()
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self.parser is None or self.transport.is_closing():
            return  # it was given up
        waiting = self._in_head or self.cycle is None or self.cycle.response_complete
        self._head += len(data)
        self._request += len(data)
        if (waiting and self._head > self.limits.head_bytes + len(data)) or self._request > self.request_bytes:
            self.give_up()
            return
        super().data_received(data)
        if self._in_head or self.cycle is None or self.cycle.response_complete:
            if self.limits.head_bytes < self._head and self._in_head:
                self.give_up()
            elif not self.transport.is_closing():
                self._wait_for_head()
        else:
            self._head = 0

    def on_message_begin(self) -> None:
        """See `HttpToolsProtocol`."""
        super().on_message_begin()
        self._in_head = True
        self._request = self._fields = 0
        self.scope["datastore.connection"] = self  # type: ignore[typeddict-unknown-key]  # for `Application`

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `HttpToolsProtocol`."""
        self._fields += 1
        if self._fields > _HEADERS:
            raise ValueError("too many headers")  # the parser makes a refusal of it
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        self._in_head = False
        self._head = 0
        self._stop(late=True)
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().pause_writing()
        if self._is_stuck is None:
            self._is_stuck = self.loop.call_later(self.limits.write_seconds, self.give_up)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._stop(stuck=True)
        super().resume_writing()

    def _forget(self) -> None:
        self.strangers.pop(self, None)
        owner, self._owner = self._owner, None
        theirs = self.used.get(owner)
        if theirs is not None:
            theirs.pop(self, None)
            if not theirs:
                del self.used[owner]

    def _one_of_the_most(self) -> GuardedProtocol | None:
        """Return a connection of the token with the most of them, one that is idle if there is one.

        ``None`` if each has but one.
        """
        most = max(self.used.values(), key=len, default={})
        return None if len(most) < 2 else next((one for one in most if one.is_idle()), next(iter(most)))

    def _wait_for_head(self) -> None:
        """Give the head of the next request its time, from its first byte on, or from the beginning."""
        if self._is_late is None:
            self._is_late = self.loop.call_later(self.limits.head_seconds, self.give_up)

    def _stop(self, *, late: bool = False, stuck: bool = False) -> None:
        if late and self._is_late is not None:
            self._is_late.cancel()
            self._is_late = None
        if stuck and self._is_stuck is not None:
            self._is_stuck.cancel()
            self._is_stuck = None
