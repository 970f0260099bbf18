"""ADK's own services beside ours: what is asked of all of them shows that it is asked rightly."""

import asyncio
import functools
import inspect

import pytest
from google.adk.sessions import InMemorySessionService
from google.adk.sessions.database_session_service import DatabaseSessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService

from datastore import connect
from datastore.bridges.google_adk_sessions import DataStoreSessionService
from tests.bridges.places import PLACES, SERVERS

OURS = ["memory", "sqlite", *SERVERS]


def in_a_loop(test):
    """Run a test that is a coroutine in an event loop; of a class, too."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        return asyncio.run(test(*args, **kwargs))

    return run


def all_in_a_loop(cls):
    """Run each test of a class in an event loop."""
    for name, test in vars(cls).copy().items():
        if name.startswith("test_") and inspect.iscoroutinefunction(test):
            setattr(cls, name, in_a_loop(test))
    return cls


class SessionServices:
    """Services over one database. Another one is another process, as far as the services can tell."""

    def __init__(self, name: str, make) -> None:
        self.name = name
        self._make = make

    @property
    def is_ours(self) -> bool:
        return not self.name.startswith("ADK's")

    async def __aenter__(self):
        self._made = []
        return self.new()

    def new(self):
        self._made.append(self._make())
        return self._made[-1]

    async def __aexit__(self, *error) -> None:
        for one in self._made:
            if hasattr(one, "close"):
                await one.close()


THEIRS = {
    "ADK's in memory": lambda directory: functools.cache(InMemorySessionService),
    "ADK's database": lambda directory: lambda: DatabaseSessionService(f"sqlite+aiosqlite:///{directory}/adk.db"),
    "ADK's SQLite": lambda directory: lambda: SqliteSessionService(f"{directory}/adk.db"),
}


@pytest.fixture(params=[*THEIRS, *OURS])
def services(request, tmp_path):
    """`SessionServices` of ADK's own, and of ours on each database."""
    if request.param in THEIRS:
        yield SessionServices(request.param, THEIRS[request.param](tmp_path))
        return
    with PLACES[request.param](tmp_path) as url, connect(url) as store:
        yield SessionServices(request.param, lambda: DataStoreSessionService(store.agent("ann", "assistant")))
