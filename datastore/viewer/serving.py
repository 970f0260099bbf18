"""Running the viewer for one person: on this machine's loopback alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import ClassVar

from datastore.server.protocol import ConnectionLimits, GuardedProtocol
from datastore.server.serving import listening, run
from datastore.store import DataStore
from datastore.viewer.app import create_app

_HOST = "127.0.0.1"


def serve(
    store: DataStore,
    *,
    port: int = 0,
    writable: bool = True,
    person: str = "",
    session_seconds: float = 3_600.0,
    ready: Callable[[str], object],
    until: threading.Event | None = None,
) -> None:
    """Show a store to a person at this machine, until the process is told to end (SIGTERM, SIGINT).

    It listens on loopback, and on nothing else: to look from another machine, mount `create_app` in an application
    that knows its users, or lead the port there with SSH.

    Args:
        store: The store. It stays open.
        port: Where to listen; 0 for any port that is free.
        writable: As `create_app`.
        person: As `create_app`.
        session_seconds: As `create_app`.
        ready: Called with an address that logs in once: when it listens, and whenever somebody asks for another one.
        until: Ends it when it is set, as a signal does.

    Raises:
        ConfigurationError: If it cannot listen there.
    """

    class Protocol(GuardedProtocol):
        limits: ClassVar[ConnectionLimits] = ConnectionLimits(connections=200)
        request_bytes: ClassVar[int] = 8_000_000
        strangers: ClassVar[dict[GuardedProtocol, None]] = {}

    with listening(None, _HOST, port) as listener:
        url = f"http://{_HOST}:{listener.getsockname()[1]}"

        def tell(_: str = "") -> None:
            ready(url + app.login_path())

        app = create_app(store, writable=writable, person=person, session_seconds=session_seconds, new_login=tell)
        run(app, Protocol, listener, url, max_seconds=store._core.max_seconds, ready=tell, until=until)
