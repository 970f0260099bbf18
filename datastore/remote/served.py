"""What stands at the place of the database in the client: a core whose backend is a connection to the server.

The calls of `AgentDataStore` are made on the host. So no call of the client reads or writes through this backend. It is
there for what the calls share (the deadline, the fork, the closing, the threads of the awaited twin), and to find out
what is wrong with arguments that cannot be sent: the call itself says so, when it is made here. If nothing is wrong
with them, it gets as far as the backend, which ends it with `AcceptedError`.
"""

from __future__ import annotations

import time
from typing import Any, NoReturn

from datastore.backend import Backend, Capabilities
from datastore.core import Core
from datastore.errors import DataStoreError
from datastore.guarded import Guard
from datastore.remote.transport import Transport


class AcceptedError(DataStoreError):
    """The arguments of a call are good; it would now ask the database."""

    def __init__(self) -> None:
        super().__init__("this call is made on the host")


class ServedBackend(Backend):
    """The database as the client knows it.

    Args:
        name: What the host's backend is called.
        transport: Leads to the server.
    """

    capabilities = Capabilities(persistent=True, shared=True)

    def __init__(self, name: str, transport: Transport) -> None:
        self.name = name
        self.transport = transport

    def read(self, *_: Any) -> NoReturn:
        """Refuse; see the module."""
        raise AcceptedError

    write: Any = read
    scan: Any = read
    record_access: Any = read

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()


class HostsEmbedder:
    """Stands at the place of the embedder, which the host has: whatever asks it has found nothing wrong."""

    dimensions = None
    name = None
    batch = 1

    def __call__(self, texts: list[str]) -> NoReturn:
        """Refuse; see the module."""
        raise AcceptedError


class ServedCore(Core):
    """What all objects of one client share.

    Args:
        backend: The database as the client knows it.
        guard: What the token grants; ``None`` for everything. The host decides: this is only asked where a call that
            makes no request refuses something.
        max_seconds: How long one call may take.
        retry_seconds: How long one request is repeated.
        warn_on_loop: Whether the first call that blocks a running event loop is a `BlockingCallWarning`.
    """

    def __init__(
        self,
        backend: ServedBackend,
        guard: Guard | None,
        *,
        max_seconds: float,
        retry_seconds: float,
        warn_on_loop: bool,
    ) -> None:
        super().__init__(
            backend,
            tracking="off",
            flush_interval=None,
            max_pending=None,
            retry_seconds=retry_seconds,
            max_seconds=max_seconds,
            clock=time.time,
            warn_on_loop=warn_on_loop,
        )
        self._guard = guard
        self.embedder = HostsEmbedder()

    def check_reads(self, prefix: str) -> None:
        """See `Core.check_reads`."""
        if self._guard is not None:
            self._guard.check_read((prefix,))


def transport_of(core: Core) -> Transport:
    """Return what leads to the server of a client.

    Raises:
        ClosedError: If the client was closed.
    """
    backend = core.backend
    if not isinstance(backend, ServedBackend):
        core.check_open()
        raise AssertionError("only a closed store has another backend")
    return backend.transport
