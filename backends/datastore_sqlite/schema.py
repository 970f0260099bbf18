"""The file: its contents, how it is created and brought up to date, and which files are refused untouched."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from datastore.adapters.opening import ClosedOnFailure
from datastore.errors import BackendUnusableError, ConfigurationError, PermissionDeniedError
from datastore.formats import EARLIEST, FORMAT, check
from datastore.retry import Backoff
from datastore.turns import Turns
from datastore_sqlite.client import NAME, Connection, Settings, open_connection
from datastore_sqlite.failures import translate
from datastore_sqlite.headers import make, read_beginning

TABLE = "agent_data_store"
APPLICATION_ID = 0x61676473  # "agds": PRAGMA application_id and file(1) show it for our files
TENANT_ID = 0x61676463  # "agdc": the same for a tenant's database, so that another store is not taken for one
_HEADER = 100  # bytes
_HAS_LOG = b"\2\2"  # the format of a file with a write-ahead log, in the bytes of its header
_OLDEST_SQLITE = (3, 35, 0)  # for RETURNING

_TABLE = """
    CREATE TABLE {name} (
        _id TEXT NOT NULL PRIMARY KEY,
        userId TEXT NOT NULL,
        namespace TEXT NOT NULL,
        key TEXT NOT NULL,
        createdByAgent TEXT NOT NULL,
        lastAccessedByAgent TEXT,
        accessCount INTEGER NOT NULL DEFAULT 0,
        createdAt TEXT NOT NULL,
        updatedAt TEXT NOT NULL,
        lastAccessedAt TEXT,
        revision TEXT NOT NULL,
        expiresAt TEXT,
        metadata TEXT NOT NULL,
        value TEXT NOT NULL
    )"""
"""The value comes last, so that reading the other columns of a row does not go through a megabyte of it."""
MIGRATIONS: Sequence[str] = (
    f"""{_TABLE.format(name=TABLE)};
    CREATE INDEX {TABLE}_expiry ON {TABLE} (expiresAt) WHERE expiresAt IS NOT NULL;
    """,
    "",  # ids sort as keys do: the table is the same, and what is in a file is brought over by `migrating` alone
    f"ALTER TABLE {TABLE} ADD COLUMN updatedByAgent TEXT",
    f"ALTER TABLE {TABLE} ADD COLUMN fences TEXT",
    f"ALTER TABLE {TABLE} ADD COLUMN content BLOB",
)
"""Step n brings a file from version n to n + 1. A released step is never edited; a change is a new step."""
SORTED = 2
"""The first version of `MIGRATIONS` whose files have the current format (`datastore.formats`)."""

_opening = Turns("opening a SQLite file")
"""Files are opened one after another: no other thread may open one between a look at it and its opening (`headers`)."""


def open_file(settings: Settings, migrations: Sequence[str] = MIGRATIONS) -> Connection:
    """Open the store's file, or create it, and return the first connection.

    Raises:
        ConfigurationError: If the path cannot hold a store, or the file is something else; it is left untouched.
        PermissionDeniedError: If the operating system refuses access.
        sqlite3.Error: If SQLite fails.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise ConfigurationError(
            f"SQLite {sqlite3.sqlite_version} is too old; Python must be linked with 3.35 or newer", backend=NAME
        )
    if settings.path is None:
        return _open(settings, migrations)
    with _opening.take():
        _check_path(settings.path, settings)
        _make_private(settings.path)
        return _open(settings, migrations)


def table_named(name: str) -> str:
    """Return the statement that makes the table of the current version, under another name."""
    return _TABLE.format(name=name)


def open_for_migrating(settings: Settings, path: Path) -> Connection:
    """Open a file of the earlier format for writing.

    Raises:
        ConfigurationError: If it is something else, or has the current format.
        PermissionDeniedError: If the operating system refuses access.
        sqlite3.Error: If SQLite fails.
    """
    with _opening.take():
        _check_path(path, settings)
        connection = open_connection(settings)
        with ClosedOnFailure(connection):
            _version(connection, settings, MIGRATIONS)
        return connection


def open_to_read(settings: Settings, path: Path) -> tuple[Settings, Connection]:
    """Open the store's file only for reading. Return the settings for opening it again, and the first connection.

    Raises:
        ConfigurationError: If there is no file, or it is something else, or it must be brought up to date first.
        PermissionDeniedError: If the operating system refuses access.
    """
    with _opening.take():
        _check_place(path)
        if not path.exists():
            raise ConfigurationError(f"{path} does not exist, and mode=ro creates no file", backend=NAME)
        if not os.access(path, os.R_OK):
            raise PermissionDeniedError(f"{path} is not readable for this user", backend=NAME)
        header = _check_header(path, settings)
        settings = replace(settings, log=_log_of(path) if header[18:20] == _HAS_LOG else None)
        try:
            connection = open_connection(settings)
        except sqlite3.Error as error:
            raise translate(error, settings) from error
        with ClosedOnFailure(connection):
            try:
                version = _version(connection, settings, MIGRATIONS) if header else 0
            except sqlite3.Error as error:
                raise translate(error, settings) from error
            if version < (EARLIEST if settings.earlier_format else len(MIGRATIONS)):
                held = "a store of an older version" if version else "nothing yet"
                raise ConfigurationError(f"{path} holds {held}; open it for writing once", backend=NAME)
        return settings, connection


def _open(settings: Settings, migrations: Sequence[str]) -> Connection:
    connection = open_connection(settings)
    with ClosedOnFailure(connection):
        _migrate(connection, settings, migrations)
        if settings.path is not None:
            _use_write_ahead_log(connection, settings)
    return connection


def _check_path(path: Path, settings: Settings) -> None:
    """Refuse files that are not ours by looking at their bytes: SQLite itself might already change them."""
    _check_place(path)
    directory = path.parent
    instead = "; ?mode=ro opens it for reading only" if os.access(path, os.R_OK) else ""
    if not os.access(directory, os.W_OK | os.X_OK):
        working = Path.cwd()
        relative = (
            ", which is the working directory or lies in it," if working in (directory, *directory.parents) else ""
        )
        raise PermissionDeniedError(
            f"{path.name} cannot be created or used in {directory}: this directory{relative} is not writable "
            "for this user, and SQLite keeps its log beside the file. Name a file in another one, as in "
            f"sqlite:////absolute/path/agents.db, in the URL or in $AGENT_DATASTORE_URL{instead}",
            backend=NAME,
        )
    if not path.exists():
        if not settings.create:
            raise ConfigurationError(f"{path} does not exist, and create=false forbids creating it", backend=NAME)
        return
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionDeniedError(f"{path} is not readable and writable for this user{instead}", backend=NAME)
    _check_header(path, settings)


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise ConfigurationError(f"{path} is a directory; name a file in it", backend=NAME)
    if not path.parent.is_dir():
        raise no_directory(path)


def no_directory(path: Path) -> ConfigurationError:
    """Return the error for a file whose directory does not exist."""
    tilde = next((part for part in path.parts if part.startswith("~")), None)
    if tilde is not None and not Path(*path.parts[: path.parts.index(tilde) + 1]).exists():
        meant = Path(*path.parts[path.parts.index(tilde) :])
        home = os.path.expanduser(meant)  # noqa: PTH111 - this leaves the name of an unknown user as it is
        instead = f"sqlite:///{home}" if Path(home).is_absolute() else "the absolute path"
        return ConfigurationError(
            f"the path {path} begins with {tilde}, which only a shell replaces with a home directory; write {instead}",
            backend=NAME,
        )
    return ConfigurationError(f"the directory {path.parent.absolute()} does not exist; create it first", backend=NAME)


def _make_private(path: Path) -> None:
    """Create the file, readable and writable only for this user. SQLite gives its other files the same mode."""
    try:
        make(path, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise PermissionDeniedError(f"{path} cannot be created: {error.strerror}", backend=NAME) from error


def application_of(path: Path) -> int | None:
    """Return the application id in a file, or ``None`` if it is not an SQLite database."""
    try:
        header, _ = read_beginning(path, _HEADER)
    except OSError:
        return None
    return _application(header) if _is_sqlite(header) else None


def _is_sqlite(header: bytes) -> bool:
    return len(header) == _HEADER and header.startswith(b"SQLite format 3\0")


def _application(header: bytes) -> int:
    return int.from_bytes(header[68:72])


def _check_header(path: Path, settings: Settings) -> bytes:
    """Check the database header (https://www.sqlite.org/fileformat2.html, section 1.3), and return it."""
    header, size = read_beginning(path, _HEADER)
    if size == 0:
        return b""  # a new file; SQLite also takes an empty file for an empty database
    if not _is_sqlite(header):
        raise ConfigurationError(f"{path} is not a SQLite database; it was left untouched", backend=NAME)
    page_size, pages = struct.unpack_from(">H10xI", header, 16)
    application = _application(header)
    if settings.tenant and application == APPLICATION_ID:
        raise ConfigurationError(
            f"{path} is an independent store and not the database of a tenant, as its name suggests; it was left "
            "untouched. Rename it, or give one of the two stores another name",
            backend=NAME,
        )
    if application not in (APPLICATION_ID, TENANT_ID):
        raise ConfigurationError(
            f"{path} is a SQLite database of something other than agent-datastore; it was left untouched", backend=NAME
        )
    log = _log_of(path)
    if size < pages * (65536 if page_size == 1 else page_size) and not (log.exists() and log.stat().st_size):
        raise ConfigurationError(
            f"{path} is damaged: it was cut off at {size:,} bytes; restore it from a backup. It was left untouched",
            backend=NAME,
        )
    return header


def _log_of(path: Path) -> Path:
    """Return the path of a file's write-ahead log: it is beside the file itself, and not beside a link to it."""
    file = path.resolve()
    return file.with_name(file.name + "-wal")


def _migrate(connection: Connection, settings: Settings, migrations: Sequence[str]) -> None:
    if _version(connection, settings, migrations) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")  # if two processes create the file at once, one waits and finds it created
    try:
        version = _version(connection, settings, migrations)
        bring_up_to_date(connection, version, migrations)
        if version == 0:
            connection.execute(f"PRAGMA application_id={TENANT_ID if settings.tenant else APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def bring_up_to_date(connection: Connection, version: int, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Take the steps from a version of the schema to the newest one, in the caller's transaction."""
    for step in migrations[version:]:
        for statement in filter(str.strip, step.split(";")):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version={len(migrations)}")


def _version(connection: Connection, settings: Settings, migrations: Sequence[str]) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise ConfigurationError(
            f"{settings.path} was written by a newer agent-datastore (its schema is version {version}, and this one "
            f"knows {len(migrations)}); upgrade the package. It was left untouched",
            backend=NAME,
        )
    if version:
        found = EARLIEST if version < SORTED else FORMAT
        check(found, str(settings.path), NAME, earlier=settings.earlier_format)
        connection.execute(f"SELECT * FROM {TABLE} LIMIT 0")  # shows a damaged schema here, and not at the first call
    return int(version)


def check_version(connection: Connection, settings: Settings) -> None:
    """Check that no newer program has changed the format of the file while it is open.

    Raises:
        BackendUnusableError: If a newer program has.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != (EARLIEST if settings.earlier_format else len(MIGRATIONS)):
        raise BackendUnusableError(
            f"the format of {settings.path} is now {version}, and this program knows {len(MIGRATIONS)}: another "
            "version of agent-datastore has changed it. Restart this program with that version",
            backend=NAME,
        )


def _use_write_ahead_log(connection: Connection, settings: Settings) -> None:
    """Switch the file to a write-ahead log, once. Readers then never wait for writers.

    SQLite does not wait for the lock that the switch needs, so this waits for a concurrent opener.
    """
    backoff = Backoff(settings.timeout, 0.005, 0.1)
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY or not backoff.wait():
                raise
