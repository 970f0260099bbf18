"""One server in this process for all stores of a test run, each below a path of its own, on a Unix socket."""

from __future__ import annotations

import functools
import itertools
import os
import socket
import tempfile
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Any

import uvicorn

from datastore import AgentDataStore, DataStore, Tokens, connect
from datastore.asynchronous.remote import AsyncRemoteAgentDataStore
from datastore.core import Core
from datastore.remote.agent import RemoteAgentDataStore
from datastore.scope import scope_of
from datastore.server import ServerLimits, create_app
from datastore.server.access import Access, Holder
from datastore.server.app import Application
from datastore.tokens import Kept, Token
from tests.asynchronous.looped import (
    LoopedBlobs,
    LoopedKeyValue,
    LoopedLease,
    LoopedLock,
    LoopedLog,
    LoopedMemory,
    LoopedRuns,
    LoopedVault,
    LoopedVectorVault,
    looped,
    on_the_loop,
)

PATIENT = ServerLimits(body_bytes=10**9, bodies_bytes=4 * 10**9, waiting_calls=10**6, waiting_seconds=600)
"""What the kit asks may be large, and takes as long as a slow machine needs."""


class Serving:
    """A server in a thread of this process."""

    def __init__(self) -> None:
        self._apps: dict[str, Any] = {}
        self._numbers = itertools.count(1)
        self._directory = tempfile.TemporaryDirectory(prefix="served-")
        self.socket = str(Path(self._directory.name) / "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.socket)
        config = uvicorn.Config(self, lifespan="off", access_log=False, log_level="critical")
        self._server = uvicorn.Server(config)
        thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not self._server.started:
            time.sleep(0.001)

    async def __call__(self, scope, receive, send) -> None:
        _, name, rest = scope["path"].split("/", 2)
        await self._apps[name]({**scope, "path": f"/{rest}"}, receive, send)

    def add(self, app: Any) -> str:
        """Serve another application, and return its URL."""
        name = str(next(self._numbers))
        self._apps[name] = app
        return f"http+unix://{self.socket}?root=/{name}"

    def remove(self, url: str) -> None:
        """Stop an application."""
        self.forget(url).stop()

    def forget(self, url: str) -> Any:
        """Serve an application no longer, and return it."""
        return self._apps.pop(url.rpartition("/")[2])


@functools.cache
def serving(process: int) -> Serving:
    return Serving()


class _Same:
    """Equal to every number of revocations: a token that is not stored is not looked up again."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None


class ServedStore(DataStore):
    """Hands out agents that make their calls through a client and a server; all else is the store's own.

    The token of an agent is known to the server without being stored. So, as in process, to bind an agent makes no
    request to the database, and leaves nothing there. Those of `DataStore.tokens` are stored, and looked up.
    """

    limits = PATIENT

    def __init__(self, store: DataStore) -> None:
        self.__dict__.update(vars(store))
        self._plain = store
        self._app: Application | None = None
        self._making = threading.Lock()
        self._url = ""
        self._clients: list[RemoteAgentDataStore] = []

    def _bound(self, user_id, agent, namespace, grants=None, quota=None) -> AgentDataStore:
        bound = super()._bound(user_id, agent, namespace, grants, quota)  # raises what is wrong
        if agent is None:
            return bound
        secret = f"dst_{os.urandom(16).hex()}"
        token = Token(
            id=secret,
            label="",
            user_id=bound.user_id,
            agent=agent,
            namespace=bound.namespace,
            grants=grants,
            quota=quota,
            calls=None,
            created_at=datetime.now(UTC),
            expires_at=None,
            parent=None,
        )
        holder: Any = Holder(Kept(token, secret, (), None, ()), self._plain, PATIENT)
        holder.checked, holder.revocations = inf, _Same()
        self._serve()._holders[sha256(secret.encode()).digest()] = holder
        return self.client(secret)

    def _serve(self) -> Access:
        with self._making:  # threads may bind their agents at once
            if self._app is None:
                app = create_app(self._plain, limits=self.limits)
                self._url = serving(os.getpid()).add(app)
                self._app = app
            return self._app.access

    def client(self, secret: str) -> RemoteAgentDataStore:
        """Return the store of whoever holds a token."""
        self._serve()
        core = self._core
        client = connect(
            self._url,
            token=secret,
            max_seconds=core.max_seconds,
            retry_seconds=core._retry_seconds,
            warn_on_loop=False,
        )
        scope_of(client).core.clock = core.clock
        self._clients.append(client)
        return client

    @property
    def tokens(self) -> Tokens:
        return ServedTokens(self._core, self)

    def close(self) -> None:
        """Release the leases of its agents, as any store does, before it is closed. The clients stay open."""
        for client in self._clients:
            core = scope_of(client).core
            if core.keeper is not None and not core.is_closed:
                core.keeper.close(core.backend)
        super().close()

    def end(self) -> None:
        """Close the clients, and end the server. Closing the store does not: then its agents say that it is closed."""
        for client in self._clients:
            client.close()
        if self._app is not None:
            serving(os.getpid()).remove(self._url)
            self._app = None


class ServedTokens(Tokens):
    __slots__ = ("_served",)

    def __init__(self, core: Core, served: ServedStore) -> None:
        super().__init__(core)
        self._served = served

    def agent(self, token: str) -> AgentDataStore:
        return self._served.client(token)


@looped
class LoopedClient(RemoteAgentDataStore):
    """A client whose calls are made by its awaited twin, on an event loop in another thread."""

    __slots__ = ()

    def _twin(self) -> AsyncRemoteAgentDataStore:
        return AsyncRemoteAgentDataStore(RemoteAgentDataStore(scope_of(self)))

    def __contains__(self, key: str) -> bool:
        return self.exists(key)

    def close(self) -> None:
        on_the_loop(self._twin().aclose())

    def lease(self, *args, **kwargs) -> LoopedLease:
        return LoopedLease(on_the_loop(self._twin().lease(*args, **kwargs)), type(self))

    def lock(self, *args, **kwargs) -> LoopedLock:
        return LoopedLock(self._twin().lock(*args, **kwargs), type(self))

    def log(self, name: str) -> LoopedLog:
        return LoopedLog(RemoteAgentDataStore(scope_of(self)), name)

    @property
    def blobs(self) -> LoopedBlobs:
        return LoopedBlobs(RemoteAgentDataStore(scope_of(self)))

    @property
    def memory(self) -> LoopedMemory:
        return LoopedMemory(RemoteAgentDataStore(scope_of(self)))

    def vector_vault(self, name: str) -> LoopedVectorVault:
        return LoopedVectorVault(RemoteAgentDataStore(scope_of(self)), name)

    @property
    def runs(self) -> LoopedServedRuns:
        return LoopedServedRuns(scope_of(self), RemoteAgentDataStore)

    @property
    def vault(self) -> LoopedVault:
        return LoopedVault(RemoteAgentDataStore(scope_of(self)), "")

    @property
    def key_value(self) -> LoopedKeyValue:
        return LoopedKeyValue(RemoteAgentDataStore(scope_of(self)))


class LoopedServedRuns(LoopedRuns):
    """The runs of such a client."""

    __slots__ = ()

    agents = LoopedClient


class LoopedServedStore(ServedStore):
    """Hands out agents whose calls are awaited by the client, too. Neither of the two reads a file on its loop."""

    limits = replace(PATIENT, at_once_bytes=0)

    def client(self, secret: str) -> RemoteAgentDataStore:
        return LoopedClient(scope_of(super().client(secret)))
