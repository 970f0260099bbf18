"""SQLite itself, on a file in memory: several processes, which are killed between two statements.

Nothing is modelled but the processes. The statements are those of the adapter, carried out by the library. Before each
of them the baton is handed on, and a process can be killed, be interrupted, or find the disk full. Waiting for a lock
of another process takes simulated time. What a killed process has begun is rolled back, as the next one that opens the
file would do; what was committed stays.
"""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from math import inf
from pathlib import Path
from random import Random
from typing import Any

from datastore import core, turns
from datastore.backend import Backend
from datastore.conformance.simulation import seams
from datastore.conformance.simulation.checking import microseconds
from datastore.conformance.simulation.network import Client
from datastore.conformance.simulation.world import Process, World
from datastore.ids import decode_id, is_id
from datastore.values import decode
from datastore_sqlite import client, finder, gate, headers, opened, pools, reading, writing
from datastore_sqlite.backend import SqliteBackend
from datastore_sqlite.client import Settings

_IN_MEMORY = Path("/dev/shm")
_TIMEOUT = 10.0
_REAL = client.Connection
_COLUMNS = "_id, value, revision, expiresAt, createdAt, updatedAt"
_SAFE = 0.5
"""In so many runs each transaction is synced (``synchronous=full``)."""
_NARROW = 0.3
"""In so many runs a process has one connection, for which its threads wait."""
_ONE_BY_ONE = 0.5
"""In so many runs short calls go one after another (`Gate`), which begins with many more threads than a process has."""
_DISK = nullcontext()  # with space left
_WORD = 40  # characters of a statement that the story shows


class SqliteDatabase:
    """A file, and the clients of the processes that have it open."""

    faults = frozenset({"killed before", "killed then", "clock jump", "interrupted", "disk full", "power lost"})
    connects = True
    limits = frozenset[str]()

    def __init__(self, adapter: type[SqliteBackend] = SqliteBackend) -> None:
        self._adapter = adapter
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._open: list[SimulatedConnection] = []
        self._clients: dict[Process, Client] = {}
        self._disk = Disk()
        self._disks = 1

    def adapter(self, client: Client) -> Backend:
        """See `Database.adapter`."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None)
        client.patience = lambda: inf  # there is no network
        self._clients[client.process] = client
        world = client.world
        if self._disk.file is None:
            self._disk.file = Path(self._folder.name) / "agents.db"
            self._disk.is_safe = Random(f"{world.plan.seed} durability").random() < _SAFE
            self._disk.is_watched = (
                "power lost" in (world.plan.faults or {}).values() or "power lost" in world.luck.rates
            )
        synchronous = "full" if self._disk.is_safe else "normal"
        settings = Settings(self._disk.file, timeout=_TIMEOUT, synchronous=synchronous)
        if Random(f"{world.plan.seed} pool").random() < _NARROW:
            settings = replace(settings, pool=1)
        return self._adapter(settings)

    def committed(self, synced: bool) -> None:
        """Note what the file holds, after a statement that may have ended a transaction."""
        self._disk.look(synced)

    def lose_power(self, world: World, random: Random, synced: bool) -> None:
        """End all processes at once, and what was not synced: a part of the log, from any place on to its end."""
        before = self._disk
        before.look(synced)  # a statement that returns rows ends its transaction when they have been read
        world.tell("database", "power is lost")
        left = random.randint(before.synced, before.size)
        if left == before.size:
            left += before.tail(random)  # what nobody has acknowledged may also be there, in part
        self._disk = before.recovered(self._disks, left)
        self._disks += 1
        rows = self._disk.rows()
        if {id: row[1] for id, row in rows.items()} != before.held(left):
            world.faults.append("after a loss of power the file is none of those that were committed")
        for user in world.users:
            notes = {}
            for id, row in rows.items():
                if not is_id(id):
                    continue
                name = decode_id(id)
                if (name.user_id, name.namespace) == (user, "ns"):
                    notes[name.key] = row
            world.happens("(power lost)", (before.is_safe,), user, notes)
        for process in list(world.processes):
            if not process.has_ended:
                process.die()

    def replaced(self, world: World) -> Iterable[tuple[Any, str, Any]]:
        """See `Replacing.replaced`."""
        usual = {(module, name): new for module, name, new in seams._replaced(world.scheduler, "")}
        times, threads = usual[core, "time"], usual[turns, "threading"]
        for module in (finder, opened, reading, writing):
            yield module, "monotonic", times.monotonic
        for module in (pools, gate):
            yield module, "time", times
            yield module, "threading", threads
        if Random(f"{world.plan.seed} gate").random() < _ONE_BY_ONE:
            yield pools, "_MANY", 2

        def connection(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            if not world.scheduler.is_here:
                return _REAL(*args, **kwargs)
            made = SimulatedConnection(self, self._clients[world.scheduler._me().owner], *args, **kwargs)
            self._open.append(made)
            return made

        yield client, "Connection", connection

    def left_open(self, process: Process) -> int:
        """See `Connected.left_open`. What an interrupt leaves ends when nothing refers to it; here something does."""
        if process.world.may_be_interrupted:
            return 0
        return sum(one.client.process is process for one in self._open)

    def closed(self, connection: SimulatedConnection) -> None:
        """Note that a connection was closed."""
        if connection in self._open:
            self._open.remove(connection)

    def close(self) -> None:
        """Close what killed processes have left open, and remove the file."""
        for connection in tuple(self._open):
            connection.close()
        if self._folder is None:
            return
        for status in map(Path.stat, Path(self._folder.name).iterdir()):
            if (kept := headers._kept.pop((status.st_dev, status.st_ino), None)) is not None:
                os.close(kept)  # kept while the file was open elsewhere in this process
        self._folder.cleanup()


class Disk:
    """What a disk holds of the file and its log, and what that is after each transaction.

    The file itself is always synced: it changes before there is a log, and in a checkpoint. The log is synced after
    each transaction if the store is set to ``full``, and otherwise in a checkpoint alone.
    """

    def __init__(self) -> None:
        self.file: Path | None = None
        self.is_safe = False
        """Whether the stores are told to sync each transaction."""
        self.synced = 0
        """How much of the log is synced."""
        self.is_watched = False
        self._held: list[tuple[int, dict[str, str]]] = [(0, {})]
        """For each transaction how long the log was after it, and the revision of each record."""
        self._seen: tuple[int, int, int] | None = None

    @property
    def _log(self) -> Path:
        return Path(f"{self.file}-wal")

    def _sizes(self) -> tuple[int, int, int]:
        """Return how long the log is, when the file was last changed, and how long it is. This is asked often."""
        name = str(self.file)
        try:
            size = os.stat(f"{name}-wal").st_size  # noqa: PTH116 - a Path takes twice as long
        except FileNotFoundError:
            size = 0
        there = os.stat(name)  # noqa: PTH116 - as above
        return size, there.st_mtime_ns, there.st_size

    @property
    def size(self) -> int:
        """How long the log was after the last transaction."""
        return self._held[-1][0]

    def look(self, synced: bool) -> None:
        """Note the state after a transaction, and whether it was synced."""
        if not self.is_watched:
            return
        seen = self._sizes()
        if seen == self._seen:
            return
        size, held = seen[0], dict(self._all("_id, revision"))
        self._seen = seen
        if size < self.size or not size:  # everything is in the file
            self._held, self.synced = [(0, held)], 0
        if size > self.size:
            self._held.append((size, held))
        if synced:
            self.synced = size

    def held(self, size: int) -> dict[str, str]:
        """Return the revisions after the last transaction of a log that is so long."""
        return next(held for length, held in reversed(self._held) if length <= size)

    def tail(self, random: Random) -> int:
        """Draw how much is there of what was written after the last transaction."""
        written = self._log.stat().st_size if self._log.exists() else 0
        return random.randint(0, max(written - self.size, 0))

    def rows(self) -> dict[str, tuple[Any, ...]]:
        """Return value, revision, expiry, creation and last change of all records."""
        return {
            id: (decode(value), revision, at and microseconds(at), *map(microseconds, times))
            for id, value, revision, at, *times in self._all(_COLUMNS)
        }

    def _all(self, columns: str) -> list[Any]:
        connection = sqlite3.connect(str(self.file), timeout=0, isolation_level=None)
        try:
            return connection.execute(f"SELECT {columns} FROM agent_data_store").fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return []
        finally:
            connection.close()

    def recovered(self, number: int, size: int) -> Disk:
        """Return the disk after a loss of power, with so much of the log."""
        assert self.file is not None
        new = Disk()
        new.file, new.is_safe, new.is_watched = self.file.with_name(f"agents{number}.db"), self.is_safe, True
        shutil.copyfile(self.file, new.file)
        if self._log.exists():
            new._log.write_bytes(self._log.read_bytes()[:size])
        new._held = [(0, self.held(size))]
        new.rows()  # SQLite reads the log, and the last to close the file brings what is whole of it into the file
        return new


class SimulatedConnection(_REAL):
    """Hands on the baton before each statement, and waits for locks in simulated time."""

    def __init__(self, database: SqliteDatabase, client: Client, *args: Any, timeout: float, **kwargs: Any) -> None:
        super().__init__(*args, timeout=0, **kwargs)
        self._database = database
        self.client = client
        self._patience = timeout
        self._is_synced = False
        """Whether SQLite was told to sync each transaction."""

    def close(self) -> None:
        """Close it."""
        super().close()
        self._database.closed(self)

    def set_progress_handler(self, handler: object, number: int) -> None:
        """Do nothing: a handler would look at a clock in the middle of a statement."""

    def execute(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Execute a statement."""
        if statement.startswith("PRAGMA busy_timeout="):
            self._patience = int(statement.rpartition("=")[2]) / 1000
            return super().execute("SELECT 1")
        if statement.startswith("PRAGMA synchronous="):
            self._is_synced = statement.endswith("=full")
        return self._sent(statement, lambda: super(SimulatedConnection, self).execute(statement, parameters))

    def executemany(self, statement: str, parameters: Any) -> sqlite3.Cursor:
        """Execute a statement for each of several rows."""
        rows = list(parameters)
        return self._sent(statement, lambda: super(SimulatedConnection, self).executemany(statement, rows))

    def _sent(self, statement: str, execute: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        scheduler = self.client.world.scheduler
        until = scheduler.now + self._patience
        waits = not statement.startswith("PRAGMA journal_mode")  # for this lock SQLite does not wait

        def carry_out(_: int | None, disk: AbstractContextManager[None] = _DISK) -> sqlite3.Cursor | None:
            self._database.committed(self._is_synced)  # the statement before may have returned rows: see `lose_power`
            try:
                with disk:
                    done = execute()
                if not self.in_transaction:
                    self._database.committed(self._is_synced)
                return done
            except sqlite3.OperationalError as error:
                if not waits or error.sqlite_errorcode != sqlite3.SQLITE_BUSY or scheduler.now >= until:
                    raise
                return None

        def on_a_full_disk(_: object) -> sqlite3.Cursor | None:
            return carry_out(None, _full_disk())

        def and_then_killed(_: object) -> sqlite3.Cursor | None:
            carry_out(None)
            self.client.process.kill()
            return None

        def as_power_fails(random: Random) -> sqlite3.Cursor | None:
            if random.random() < 0.5:
                carry_out(None)
            self._database.lose_power(self.client.world, random, self._is_synced)
            self.client.process.kill()
            return None

        what = " ".join(statement.split())[:_WORD]
        own = {"disk full": on_a_full_disk, "killed then": and_then_killed, "power lost": as_power_fails}
        while True:
            done = self.client.request(what, carry_out, own=own)
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
