"""Harnesses of databases where each test has a store of its own: the session's server, and one that is named."""

from __future__ import annotations

import uuid
from contextlib import AbstractContextManager
from types import ModuleType
from typing import ClassVar

from datastore import DataStore, connect
from datastore.conformance import Harness
from tests.full import EXAMPLES_ON_SERVERS, MANY_ON_SERVERS
from tests.servers.processes import Server


class ServerHarness(Harness):
    """Borrows an empty store on the session's server.

    Attributes:
        server: The module of ``tests.servers`` that starts it.
    """

    server: ClassVar[ModuleType]
    examples = EXAMPLES_ON_SERVERS
    many = MANY_ON_SERVERS

    def started(self) -> Server:
        """Return the server that it borrows of, started."""
        started: Server = self.server.server()
        return started

    def url(self) -> str:
        url: str = self.server.borrow(self.started())
        return url

    def outage(self, store: DataStore) -> AbstractContextManager[None]:
        return self.started().outage()

    def close(self) -> None:
        self.server.give_back(self.started())


class NamedServerHarness(Harness):
    """Begins a store of its own for each test, and removes it.

    Attributes:
        real: The URL that the environment names.
    """

    real: ClassVar[str]

    def url(self) -> str:
        return f"{self.real.rstrip('/')}/test_{uuid.uuid4().hex}"

    def close(self) -> None:
        if self._url is not None:
            with connect(self._url) as store:
                store.backend.drop()
