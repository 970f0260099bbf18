"""SQLite itself, on a file in memory: several processes, which are killed between two statements.

Nothing is modelled but the processes. The statements are those of the adapter, carried out by the library. Before each
of them the baton is handed on, and a process can be killed, be interrupted, or find the disk full. Waiting for a lock
of another process takes simulated time. What a killed process has begun is rolled back, as the next one that opens the
file would do; what was committed stays.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any

from datastore import core, turns
from datastore.backend import Backend
from datastore_sqlite import client, finder, headers, opened, pools, reading, writing
from datastore_sqlite.backend import SqliteBackend
from datastore_sqlite.client import Settings
from tests.simulation import seams
from tests.simulation.world import Client, Process, World

_IN_MEMORY = Path("/dev/shm")
_TIMEOUT = 10.0
_REAL = client.Connection
_WORD = 40  # characters of a statement that the story shows


class SqliteDatabase:
    """A file, and the clients of the processes that have it open."""

    faults = frozenset({"killed before", "killed then", "clock jump", "interrupted", "disk full"})
    connects = True
    limits = frozenset[str]()

    def __init__(self, adapter: type[SqliteBackend] = SqliteBackend) -> None:
        self._adapter = adapter
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._open: list[sqlite3.Connection] = []
        self._clients: dict[Process, Client] = {}

    def adapter(self, client: Client) -> Backend:
        """See `Database.adapter`."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None)
        client.patience = lambda: inf  # there is no network
        self._clients[client.process] = client
        return self._adapter(Settings(Path(self._folder.name) / "agents.db", timeout=_TIMEOUT))

    def replaced(self, world: World) -> Iterable[tuple[Any, str, Any]]:
        """See `Replacing.replaced`."""
        usual = {(module, name): new for module, name, new in seams._replaced(world.scheduler, "")}
        times, threads = usual[core, "time"], usual[turns, "threading"]
        for module in (finder, opened, reading, writing):
            yield module, "monotonic", times.monotonic
        yield pools, "time", times
        yield pools, "threading", threads

        def connection(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            if not world.scheduler.is_here:
                return _REAL(*args, **kwargs)
            made = SimulatedConnection(self._clients[world.scheduler._me().owner], *args, **kwargs)
            self._open.append(made)
            return made

        yield client, "Connection", connection

    def close(self) -> None:
        """Close what killed processes have left open, and remove the file."""
        for connection in self._open:
            sqlite3.Connection.close(connection)
        if self._folder is None:
            return
        for status in map(Path.stat, Path(self._folder.name).iterdir()):
            if (kept := headers._kept.pop((status.st_dev, status.st_ino), None)) is not None:
                os.close(kept)  # kept while the file was open elsewhere in this process
        self._folder.cleanup()


class SimulatedConnection(_REAL):
    """Hands on the baton before each statement, and waits for locks in simulated time."""

    def __init__(self, client: Client, *args: Any, timeout: float, **kwargs: Any) -> None:
        super().__init__(*args, timeout=0, **kwargs)
        self._client = client
        self._patience = timeout

    def set_progress_handler(self, handler: object, number: int) -> None:
        """Do nothing: a handler would look at a clock in the middle of a statement."""

    def execute(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Execute a statement."""
        if statement.startswith("PRAGMA busy_timeout="):
            self._patience = int(statement.rpartition("=")[2]) / 1000
            return super().execute("SELECT 1")
        return self._sent(statement, lambda: super(SimulatedConnection, self).execute(statement, parameters))

    def executemany(self, statement: str, parameters: Any) -> sqlite3.Cursor:
        """Execute a statement for each of several rows."""
        rows = list(parameters)
        return self._sent(statement, lambda: super(SimulatedConnection, self).executemany(statement, rows))

    def _sent(self, statement: str, execute: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        scheduler = self._client.world.scheduler
        until = scheduler.now + self._patience
        waits = not statement.startswith("PRAGMA journal_mode")  # for this lock SQLite does not wait

        def carry_out(_: int | None) -> sqlite3.Cursor | None:
            try:
                return execute()
            except sqlite3.OperationalError as error:
                if not waits or error.sqlite_errorcode != sqlite3.SQLITE_BUSY or scheduler.now >= until:
                    raise
                return None

        def on_a_full_disk(_: object) -> sqlite3.Cursor | None:
            with _full_disk():
                return carry_out(None)

        def and_then_killed(_: object) -> sqlite3.Cursor | None:
            carry_out(None)
            self._client.process.kill()
            return None

        what = " ".join(statement.split())[:_WORD]
        while True:
            done = self._client.request(
                what, carry_out, own={"disk full": on_a_full_disk, "killed then": and_then_killed}
            )
            if done is not None:
                return done


@contextmanager
def _full_disk() -> Iterator[None]:
    """Let no file grow. Nobody else writes one meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
