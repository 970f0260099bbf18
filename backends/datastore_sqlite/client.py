"""Connections to a file: how it is opened, and how it is recognised."""

from __future__ import annotations

import operator
import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from types import FrameType
from typing import NamedTuple
from urllib.parse import quote

from datastore.adapters.opening import ClosedOnFailure
from datastore.errors import (
    BackendUnusableError,
)
from datastore.turns import Turn

NAME = "sqlite"
_MAPPED = 2**31 - 2**16
"""The bytes of the file that a memory map covers: the most that SQLite maps (https://www.sqlite.org/mmap.html)."""
_CHECKPOINT_PAGES = 4_000
"""How many pages the log holds before it is written back to the file: 16 MB instead of SQLite's 4 MB, so that a page
that is written often is written back less often. Readers find a page at the same cost, since up to 4,062 pages share
one index (https://www.sqlite.org/walformat.html, section 2.3.1)."""
_SYNCED_CHECKPOINT_PAGES = 500
"""The same where each commit waits for the disk (``synchronous=full``). A log that begins anew is written over, and no
longer grows: then its size need not be made durable at each commit, which takes a file system nearly as long again. It
is not fewer, because values near 1 MB would then be written back at almost each commit."""
_STEPS = 10_000
"""How many steps of SQLite's virtual machine lie between two checks of the deadline: about a millisecond's worth."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to open a store.

    Attributes:
        path: The file; ``None`` for a database in memory.
        synchronous: ``"normal"`` survives the end of the process, and ``"full"`` also a loss of power.
        timeout: Seconds to wait for another process's lock.
        create: Whether a missing file is created.
        mmap: Whether documents are read from a memory map of the file.
        pool: The most connections.
        tenant: Whether it is the database of one tenant, which is marked in its file.
        read_only: Whether it is opened only for reading; no file is then created or changed.
        earlier_format: Whether it is a file of the earlier format that is opened (`datastore.formats`).
        log: The path of its write-ahead log if it has one; known only if the file is opened only for reading.
    """

    path: Path | None
    synchronous: str = "normal"
    timeout: float = 10.0
    create: bool = True
    mmap: bool = False
    pool: int = 32
    tenant: bool = False
    read_only: bool = False
    earlier_format: bool = False
    log: Path | None = None


class AtRest(NamedTuple):
    """A file that nobody has open for writing, described by everything that changes as soon as somebody opens it.

    For a file with a write-ahead log, SQLite creates two more files beside it, even to read it. So it needs write
    access to the directory, and reading should not change a directory anyway. As long as nobody has the file open, it
    can be read without the two, as a file that nothing changes (https://www.sqlite.org/wal.html#read_only_databases).
    Before and after each statement it is checked that the file has not changed.
    """

    device: int
    inode: int
    size: int
    written: int

    @classmethod
    def of(cls, path: Path, log: Path) -> AtRest | None:
        """Return the state of a file; ``None`` if somebody has it open, or its log holds the latest writes."""
        try:
            if log.exists() and (index_of(log).exists() or log.stat().st_size):
                return None
            status = path.stat()
        except OSError:  # SQLite is about to meet the same error
            return None
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def index_of(log: Path) -> Path:
    """Return the path of the index of a write-ahead log."""
    return log.with_name(log.name.removesuffix("-wal") + "-shm")


class Connection(sqlite3.Connection):
    """A connection in autocommit mode."""

    deadline: list[float]
    """A single number: the `time.monotonic` at which SQLite gives up a statement."""
    waits_less = False
    """Whether it waits for other processes' locks for less time than the settings say."""
    frame: FrameType | None = None
    """The call that uses it; ``None`` while it is idle."""
    discarded = False
    at_rest: AtRest | None = None
    """The state that the file must keep for reads to be right, if it was opened as a file that nothing changes."""
    idle_since = 0.0
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class File:
    """Identifies a file, whatever its path leads to later.

    Attributes:
        path: Its absolute path when it was opened.
        device: The file system.
        inode: Its inode in the file system.
    """

    path: str
    device: int
    inode: int

    @classmethod
    def at(cls, path: Path) -> File:
        """Return the file that the path leads to now."""
        status = path.stat()
        return cls(str(path), status.st_dev, status.st_ino)

    def check(self) -> None:
        """Check that the path still leads to the file.

        Raises:
            BackendUnusableError: If it does not.
        """
        try:
            status = os.stat(self.path)  # noqa: PTH116 - once for each write: a Path takes twice as long
        except OSError as error:
            raise self._gone(f"is gone ({error.strerror})") from error
        if status.st_ino != self.inode or status.st_dev != self.device:
            raise self._gone("is not the file that was opened")

    def _gone(self, what: str) -> BackendUnusableError:
        return BackendUnusableError(
            f"{self.path} {what}: it was deleted, moved or replaced while the store was open. What is written there "
            "now would be lost. Put it back, or close the store and connect again",
            backend=NAME,
        )


_WITH_LATER_COLUMNS = """
    CREATE TEMP VIEW agent_data_store AS SELECT *, NULL AS updatedByAgent, NULL AS content FROM main.agent_data_store"""
"""For this connection it takes the place of the table of an earlier format, so that every statement reads both."""


def open_connection(settings: Settings) -> Connection:
    """Open one connection to an existing database, with the settings that belong to a connection, not to the file."""
    at_rest = AtRest.of(settings.path, settings.log) if settings.path is not None and settings.log is not None else None
    # This never creates a file: a deleted one must not come back empty.
    mode = "rw" if not settings.read_only else "ro" if at_rest is None else "ro&immutable=1"
    connection = sqlite3.connect(
        ":memory:" if settings.path is None else f"file:{quote(str(settings.path))}?mode={mode}",
        timeout=settings.timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=128,
        factory=Connection,
        uri=settings.path is not None,
    )
    connection.at_rest = at_rest
    with ClosedOnFailure(connection):
        connection.execute(f"PRAGMA synchronous={settings.synchronous}")
        pages = _CHECKPOINT_PAGES if settings.synchronous == "normal" else _SYNCED_CHECKPOINT_PAGES
        connection.execute(f"PRAGMA wal_autocheckpoint={pages}").close()
        if settings.mmap:
            connection.execute(f"PRAGMA mmap_size={_MAPPED}")
        if settings.earlier_format and settings.read_only:
            connection.execute(_WITH_LATER_COLUMNS)
        connection.deadline = [inf]
        connection.set_progress_handler(_out_of_time(connection.deadline), _STEPS)
    return connection


def _out_of_time(deadline: list[float]) -> Callable[[], bool]:
    """Return a function that says whether a deadline has passed.

    It consists only of functions written in C. When Python enters a function written in Python, it runs signal
    handlers, and what they raise would be lost in SQLite, which calls this function.
    """
    now = iter(time.monotonic, None)
    return map(operator.gt, now, iter(partial(deadline.__getitem__, 0), None)).__next__
