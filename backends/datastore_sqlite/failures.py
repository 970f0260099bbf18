"""What SQLite's errors mean."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from datastore import deadlines
from datastore.errors import (
    BackendUnavailableError,
    BackendUnusableError,
    ClosedError,
    DamagedRecordError,
    DataStoreError,
    InternalError,
    PermissionDeniedError,
    ValueTooLargeError,
)
from datastore_sqlite.client import NAME, Settings, index_of

_DENIED = frozenset({sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY})
_TRANSIENT = {
    sqlite3.SQLITE_ABORT: "a transaction was rolled back during the statement",
    sqlite3.SQLITE_NOMEM: "SQLite ran out of memory",
    sqlite3.SQLITE_PROTOCOL: "other processes kept changing the file's log",
    sqlite3.SQLITE_SCHEMA: "another process kept changing the schema",
}
_REPLACED = frozenset({sqlite3.SQLITE_READONLY_DBMOVED, sqlite3.SQLITE_IOERR_VNODE})
_PASSING_IO = frozenset(
    {
        sqlite3.SQLITE_IOERR_BLOCKED,
        sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
        sqlite3.SQLITE_IOERR_LOCK,
        sqlite3.SQLITE_IOERR_NOMEM,
        sqlite3.SQLITE_IOERR_RDLOCK,
        sqlite3.SQLITE_IOERR_SHMLOCK,
        sqlite3.SQLITE_IOERR_UNLOCK,
    }
)
"""Errors of locks and of memory. All others are the operating system's errors about the disk, which no retry mends."""
_OF_THE_SCHEMA = ("no such table", "no such column", "no such index", "has no column named", "already exists")

_OF_A_DOCUMENT = ("malformed JSON",)


def translate(error: sqlite3.Error, settings: Settings) -> DataStoreError:
    """Return the store's error for an error of SQLite (https://www.sqlite.org/rescode.html).

    It goes by the code, and by the message only if one code has several causes. SQLite's message may quote a value, so
    it is chained and not repeated.
    """
    where = "the database in memory" if settings.path is None else str(settings.path)
    extended = getattr(error, "sqlite_errorcode", 0)
    code, name = extended & 0xFF, getattr(error, "sqlite_errorname", type(error).__name__)
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return ClosedError("the store was closed", backend=NAME)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        locked = BackendUnavailableError(
            f"another process held {where} locked for {settings.timeout:g} s; nothing was written. "
            "End its transaction, or wait longer with ?timeout=",
            backend=NAME,
        )
        locked.waited = True
        return locked
    if code == sqlite3.SQLITE_INTERRUPT:
        if deadlines.left() == 0:
            return deadlines.exceeded()
        return BackendUnavailableError("the statement was interrupted; nothing was written", backend=NAME)
    if code in _TRANSIENT or extended in _PASSING_IO:
        return BackendUnavailableError(
            f"{where} cannot be used for now: {_TRANSIENT.get(code, 'the operating system refused a lock')} ({name})",
            backend=NAME,
        )
    if extended in _REPLACED:
        return _lasting(f"{where} was moved, removed or replaced while the store was open; connect again ({name})")
    if settings.read_only and settings.path is not None and (code in _DENIED or code == sqlite3.SQLITE_CANTOPEN):
        return _cannot_read(settings.path, settings.log, name)
    if code in _DENIED:
        return _denied(where, name)
    if code == sqlite3.SQLITE_CANTOPEN:
        return _cannot_open(where, settings, name)
    if code == sqlite3.SQLITE_FULL:
        return _lasting(f"the disk that holds {where} is full; nothing was written. Free some space")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT):
        return _lasting(f"{where} is damaged ({name}); restore it from a backup, or rescue it with sqlite3's .recover")
    if code == sqlite3.SQLITE_IOERR:
        return _lasting(
            f"the operating system failed to read or write {where} ({name}); check the disk, its quota and the "
            "limits of this process"
        )
    if code == sqlite3.SQLITE_NOLFS:
        return _lasting(f"{where} has outgrown its file system ({name})")
    if code == sqlite3.SQLITE_TOOBIG:
        return ValueTooLargeError(f"this build of SQLite does not accept a value of this size ({name})", backend=NAME)
    if code == sqlite3.SQLITE_ERROR and any(said in str(error) for said in _OF_THE_SCHEMA):
        return _lasting(
            f"{where} does not have the tables of this version: another program changed or removed them. Restore it "
            "from a backup, or name another file"
        )
    if code == sqlite3.SQLITE_ERROR and any(said in str(error) for said in _OF_A_DOCUMENT):
        return DamagedRecordError(
            f"a document in {where} holds text that is not JSON: another program changed it. Find it by reading the "
            "records one by one",
            backend=NAME,
        )
    return InternalError(
        f"SQLite refused a statement of this package ({name}); the cause is chained. Please report it", backend=NAME
    )


def _cannot_open(where: str, settings: Settings, name: str) -> DataStoreError:
    """Return the error for a file that cannot be opened. SQLite does not say why, so this finds out."""
    path = settings.path
    if path is None or (path.exists() and os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK)):
        return BackendUnavailableError(
            f"{where} cannot be opened for now ({name}); perhaps this process has too many files open", backend=NAME
        )
    if not path.exists():
        return _lasting(f"{where} no longer exists: it or its directory was removed or moved ({name})")
    return _denied(where, name)


def _cannot_read(path: Path, log: Path | None, name: str) -> DataStoreError:
    """Return the error for a file that cannot be opened for reading only, although it may be read itself."""
    if not path.exists():
        return _lasting(f"{path} no longer exists: it or its directory was removed or moved ({name})")
    if log is not None and not all(os.access(beside, os.R_OK) for beside in (log, index_of(log))):
        return PermissionDeniedError(
            f"{path} cannot be read without {log.name} and {index_of(log).name}: the first holds the latest writes, "
            f"and this user may not read both of them, or may not create the second ({name}). Let somebody who may "
            "write to the file open and close it, or copy it together with its log to a place that it may write to",
            backend=NAME,
        )
    return BackendUnavailableError(
        f"{path} cannot be opened for now ({name}); perhaps this process has too many files open", backend=NAME
    )


def _denied(where: str, name: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"{where} cannot be written ({name}); the file and its directory must be readable and writable for this user",
        backend=NAME,
    )


def _lasting(message: str) -> BackendUnusableError:
    return BackendUnusableError(message, backend=NAME)
