"""Connections to a file: how it is opened, and which file it is."""

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

from datastore.errors import (
    BackendUnusableError,
)
from datastore.turns import Turn

NAME = "sqlite"
_MAPPED = 2**31 - 2**16
"""The bytes of the file that a memory map covers: as much as SQLite maps (https://www.sqlite.org/mmap.html)."""
_CHECKPOINT_PAGES = 4_000
"""How long the log grows before it is written back to the file: 16 MB instead of SQLite's 4, so that a page that is
written often is written back less often. Readers find a page at the same cost: up to 4,062 pages share one index
(https://www.sqlite.org/walformat.html, section 2.3.1)."""
_STEPS = 10_000
"""How many steps of SQLite's virtual machine lie between two looks at the deadline: about a millisecond."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to open a store.

    Attributes:
        path: The file; ``None`` for a database in memory.
        synchronous: ``"normal"`` survives the end of the process, ``"full"`` the loss of power as well.
        timeout: Seconds to wait for another process's lock.
        create: Whether a missing file is made.
        mmap: Whether documents are read from a memory map of the file.
        pool: The most connections.
        tenant: Whether it is the database of one tenant, which its file remembers.
        read_only: Whether it is opened for reading only, and no file is made or changed.
        earlier_format: Whether it is a file of the earlier format that is opened (`datastore.formats`).
        log: Where its write-ahead log is when there is one; known only where the file is opened for reading only.
    """

    path: Path | None
    synchronous: str = "normal"
    timeout: float = 10.0
    create: bool = True
    mmap: bool = False
    pool: int = 16
    tenant: bool = False
    read_only: bool = False
    earlier_format: bool = False
    log: Path | None = None


class AtRest(NamedTuple):
    """A file that nobody has open for writing, by all that changes as soon as somebody does.

    SQLite makes two files beside one that has a write-ahead log, even to read it, and so needs a directory that it may
    write to; what one only reads should not be changed in any case. While nobody has it open it can be read without
    them, as a file that nothing changes (https://www.sqlite.org/wal.html#read_only_databases). That it has not changed
    is looked at before and after each statement.
    """

    device: int
    inode: int
    size: int
    written: int

    @classmethod
    def of(cls, path: Path, log: Path) -> AtRest | None:
        """Return the state of a file; ``None`` if somebody has it open, or what was written last is in its log."""
        try:
            if log.exists() and (index_of(log).exists() or log.stat().st_size):
                return None
            status = path.stat()
        except OSError:  # which SQLite is about to meet, too
            return None
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def index_of(log: Path) -> Path:
    """Return where the index of a write-ahead log is."""
    return log.with_name(log.name.removesuffix("-wal") + "-shm")


class Connection(sqlite3.Connection):
    """A connection in autocommit mode."""

    deadline: list[float]
    """One number: the `time.monotonic` at which SQLite gives up a statement."""
    waits_less = False
    """Whether it waits for other processes' locks for less than the settings say."""
    frame: FrameType | None = None
    """The call that uses it; ``None`` while it is idle."""
    discarded = False
    at_rest: AtRest | None = None
    """The file as it must be for what is read to be right, where it was opened as one that nothing changes."""
    idle_since = 0.0
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class File:
    """Which file it is, whatever its path says later.

    Attributes:
        path: Where it was, absolute.
        device: The file system.
        inode: The file in it.
    """

    path: str
    device: int
    inode: int

    @classmethod
    def at(cls, path: Path) -> File:
        """Return the file that is there now."""
        status = path.stat()
        return cls(str(path), status.st_dev, status.st_ino)

    def check(self) -> None:
        """See that the path still leads to the file.

        Raises:
            BackendUnusableError: If it does not.
        """
        try:
            status = os.stat(self.path)  # noqa: PTH116 - once for each write: a Path takes twice as long
        except OSError as error:
            raise self._gone(f"is gone ({error.strerror})") from error
        if status.st_ino != self.inode or status.st_dev != self.device:
            raise self._gone("is another file than the one that was opened")

    def _gone(self, what: str) -> BackendUnusableError:
        return BackendUnusableError(
            f"{self.path} {what}: it was deleted, moved or replaced meanwhile, and nothing is written to where nobody "
            "looks. Put it back, or close the store and connect again",
            backend=NAME,
        )


def open_connection(settings: Settings) -> Connection:
    """Open one connection to what is there, with the settings that hold for a connection and not for the file."""
    at_rest = AtRest.of(settings.path, settings.log) if settings.path is not None and settings.log is not None else None
    # Never creating: a file that has gone must not come back empty.
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
    try:
        connection.execute(f"PRAGMA synchronous={settings.synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}").close()
        if settings.mmap:
            connection.execute(f"PRAGMA mmap_size={_MAPPED}")
        connection.deadline = [inf]
        connection.set_progress_handler(_out_of_time(connection.deadline), _STEPS)
    except BaseException:
        connection.close()
        raise
    return connection


def _out_of_time(deadline: list[float]) -> Callable[[], bool]:
    """Return the function that says whether a deadline is over.

    It is made of functions in C alone: Python runs signal handlers when it enters a function of its own, and what they
    raise would be lost in SQLite, which calls this one.
    """
    now = iter(time.monotonic, None)
    return map(operator.gt, now, iter(partial(deadline.__getitem__, 0), None)).__next__
