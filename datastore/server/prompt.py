"""Small reads that are answered while their request is parsed: without a task, and with one write.

Everything that can be done here can be done by the application as well, and is where it has to wait: this only leaves
out what lies between the parser and the store. For what it leaves out, see `uvicorn`'s `RequestResponseCycle`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from datastore.server.app import Application
from datastore.server.protocol import ConnectionLimits, GuardedProtocol
from datastore.wire import PREFIX

_GET = f"{PREFIX}get".encode()
_LARGEST = 4_096  # bytes of a body: a key has 512 at most, and may be escaped


class PromptProtocol(GuardedProtocol):
    """One connection, on which a `get` is answered at once if that is possible. See `protocol_for`."""

    application: ClassVar[Application]
    head: ClassVar[tuple[object, bytes]] = (None, b"")
    """uvicorn's own headers, which are made once a second, and the head of an answer that has them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held: bytes | None = None
        """What has come of the body of a request that may be answered at once."""
        self._answered = False

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        if self._held is not None:
            self._let_go()  # the rest of its body comes later
        elif self._answered and not self._in_head:
            self._stop(late=True)  # no byte of a next request has come
        self._answered = False

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
        if self._held is not None:
            answer = self.application.at_once(self.headers, self._held, self)
            if answer is not None:
                self._held = None
                self._answered = True
                self.transport.write(b"%scontent-length: %d\r\n\r\n%s" % (self._head_of_answers(), len(answer), answer))
                self.on_response_complete()
                return
            self._let_go()
        super().on_message_complete()

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
    Protocol.limits = limits
    Protocol.request_bytes = 2 * body_bytes + 1_000_000
    Protocol.strangers = {}
    return Protocol
