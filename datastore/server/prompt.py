"""Small reads that are answered while their request is parsed: without a task, and with one write.

Everything that can be done here can be done by the application as well, and is where it has to wait: this only leaves
out what lies between the parser and the store. For what it leaves out, see `uvicorn`'s `RequestResponseCycle`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, ClassVar

from datastore.server.access import Family, Holder
from datastore.server.app import Application
from datastore.server.protocol import ConnectionLimits, GuardedProtocol
from datastore.wire import PREFIX

_GET = f"{PREFIX}get".encode()
_LARGEST = 4_096  # bytes of a body: a key has 512 at most, and may be escaped


class Rounds:
    """In each round of the event loop one such request of each token is answered; its others wait for the next rounds.

    So a token that reads on many connections without a pause makes no other one wait for all of them. All that descend
    from one count as one.
    """

    def __init__(self) -> None:
        self._served = set[Family]()
        self._waiting = dict[Family, deque[PromptProtocol]]()

    def has_turn(self, family: Family, connection: PromptProtocol) -> bool:
        """Return whether a request is answered now. Otherwise its connection is told when its turn has come."""
        waiting = self._waiting.get(family)
        if waiting is None and family not in self._served:
            if not self._served and not self._waiting:
                asyncio.get_running_loop().call_soon(self._next)
            self._served.add(family)
            return True
        if waiting is None:
            waiting = self._waiting[family] = deque()
        waiting.append(connection)
        return False

    def leave(self, family: Family, connection: PromptProtocol) -> None:
        """Let a connection wait no more."""
        waiting = self._waiting[family]
        waiting.remove(connection)
        if not waiting:
            del self._waiting[family]

    def _next(self) -> None:
        """Begin a round."""
        self._served.clear()
        turns = [(family, waiting.popleft()) for family, waiting in self._waiting.items()]
        self._waiting = {family: waiting for family, waiting in self._waiting.items() if waiting}
        self._served.update(family for family, _ in turns)
        if turns:
            asyncio.get_running_loop().call_soon(self._next)
        for _, connection in turns:
            connection.take_turn()


class PromptProtocol(GuardedProtocol):
    """One connection, on which a `get` is answered at once if that is possible. See `protocol_for`."""

    application: ClassVar[Application]
    rounds: ClassVar[Rounds]
    head: ClassVar[tuple[object, bytes]] = (None, b"")
    """uvicorn's own headers, which are made once a second, and the head of an answer that has them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held: bytes | None = None
        """What has come of the body of a request that may be answered at once."""
        self._waits_for: Holder | None = None
        """Whose turn the request waits for, which has come whole."""
        self._in_a_row = False
        """Its client has sent a request while another one waited: from then on no request is answered at once."""
        self._answered = False

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        if self._held is not None and self._waits_for is None:
            self._let_go()  # the rest of its body comes later
        elif self._answered and not self._in_head:
            self._stop(late=True)  # no byte of a next request has come
        self._answered = False

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._wait_no_more()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """See `HttpToolsProtocol`."""
        if self._waits_for is not None:
            self._in_a_row = True
            holder = self._wait_no_more()
            self._answer(holder)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        if self._may_be_answered():
            self._held = b""
            self._in_head = False
            self._head = 0
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See `HttpToolsProtocol`."""
        if self._held is None:
            super().on_body(body)
            return
        self._held += body
        if len(self._held) > _LARGEST:
            self._let_go()

    def on_message_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        if self._held is None:
            super().on_message_complete()
            return
        holder = self.application.sender_at_once(self.headers, len(self._held))
        if holder is None:
            self._let_go()
            super().on_message_complete()
            return
        self.used_with_a_token(holder.family)
        if self.rounds.has_turn(holder.family, self):
            self._answer(holder)
        else:
            self._waits_for = holder

    def take_turn(self) -> None:
        """Answer the request that has waited: it is its turn."""
        holder, self._waits_for = self._waits_for, None
        if not self.is_gone():
            try:
                self._answer(holder)
            except Exception as error:  # noqa: BLE001 - as in data_received, a fault of any kind ends one connection
                told = {"message": "a request was not answered", "exception": error, "transport": self.transport}
                self.loop.call_exception_handler(told)
                self.transport.abort()
                return
            if self._answered and not self._in_head:
                self._stop(late=True)
            self._answered = False

    def _answer(self, holder: Holder | None) -> None:
        answer = None if holder is None or self._held is None else self.application.answer_at_once(holder, self._held)
        if answer is None:
            self._let_go()
            super().on_message_complete()
            return
        self._held = None
        self._answered = True
        self.transport.write(b"%scontent-length: %d\r\n\r\n%s" % (self._head_of_answers(), len(answer), answer))
        self.on_response_complete()

    def _wait_no_more(self) -> Holder | None:
        holder, self._waits_for = self._waits_for, None
        if holder is not None:
            self.rounds.leave(holder.family, self)
        return holder

    def _may_be_answered(self) -> bool:
        parser = self.parser
        return (
            self.url == _GET
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and not self.flow.write_paused
            and not self.root_path
            and not self._in_a_row
            and (self.cycle is None or self.cycle.response_complete)  # answers come in the order of the requests
        )

    def _let_go(self) -> None:
        """Let the application have the request."""
        held, self._held = self._held, None
        super().on_headers_complete()
        if held:
            super().on_body(held)

    def _head_of_answers(self) -> bytes:
        own = self.server_state.default_headers
        if self.head[0] is not own:
            headers = [*own, *self.application.headers_at_once()]
            lines = b"".join(b"%s: %s\r\n" % header for header in headers)
            type(self).head = own, b"HTTP/1.1 200 OK\r\n" + lines
        return self.head[1]


def protocol_for(application: Application, limits: ConnectionLimits, body_bytes: int) -> type[PromptProtocol]:
    """Return the protocol of a server: for an application, and with certain limits."""

    class Protocol(PromptProtocol):
        pass

    Protocol.application = application
    Protocol.rounds = Rounds()
    Protocol.limits = limits
    Protocol.request_bytes = 2 * body_bytes + 1_000_000
    Protocol.strangers, Protocol.used = {}, {}
    return Protocol
