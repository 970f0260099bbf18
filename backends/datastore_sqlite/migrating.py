"""Bringing a file of the earlier format to the current one, in place: one transaction, so it happens whole or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from datastore.documents import damaged
from datastore.earlier import from_earlier
from datastore.errors import BackendUnusableError, ConfigurationError
from datastore.formats import EARLIEST, FORMAT, check
from datastore.ids import encode_key, encode_name, namespace_prefix
from datastore_sqlite.client import NAME, Connection, Settings, open_connection
from datastore_sqlite.failures import translate
from datastore_sqlite.schema import SORTED, TABLE, bring_up_to_date, open_for_migrating, table_named

OnProgress: TypeAlias = Callable[[int, int | None], object]

_AT_ONCE = 1_000
_IDS = "new_ids"
_NEW = f"{TABLE}_in_format_{FORMAT}"
_COLUMNS = (
    "userId, namespace, key, createdByAgent, lastAccessedByAgent, accessCount, createdAt, updatedAt, lastAccessedAt, "
    "revision, expiresAt, metadata, value"
)


def migrate_file(settings: Settings, path: Path, on_progress: OnProgress | None = None) -> int:
    """Bring a file to the current format, and return how many records it holds.

    The records are written to a new table in the order of their new ids, compared with what they say of themselves,
    and take the place of the old ones, all in one transaction: an interrupted migration leaves the file as it was.
    Needs as much free space again as the file takes. Other processes wait or see an unavailable store meanwhile; one
    that has the file open in the earlier version refuses it afterwards.

    Args:
        settings: How to open it.
        path: The file.
        on_progress: Is told how many records are done, and of how many.

    Raises:
        ConfigurationError: If the file does not exist, is not a store, or has the current format already.
        DamagedRecordError: If a record has an id that another one is to have. Nothing was changed.
        BackendUnavailableError: If another process keeps it locked.
    """
    if not path.exists():
        raise ConfigurationError(f"{path} does not exist", backend=NAME)
    settings = replace(settings, path=path, create=False, read_only=False, earlier_format=True)
    try:
        connection = open_for_migrating(settings, path)
        try:
            return _migrate(connection, path, on_progress)
        except BaseException:
            connection.rollback()
            raise
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise translate(error, settings) from error


def is_earlier(settings: Settings, path: Path) -> bool:
    """Return whether a file has the earlier format."""
    try:
        with closing(open_connection(replace(settings, path=path))) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            return bool(version == EARLIEST)
    except sqlite3.Error as error:
        raise translate(error, settings) from error


def _migrate(connection: Connection, path: Path, on_progress: OnProgress | None) -> int:
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    check(version, str(path), NAME, earlier=True)  # again: another process may have been quicker
    (records,) = connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()
    # Ids are made out here, and not by a function within a statement: an interrupt would be lost there.
    connection.execute(f"CREATE TEMP TABLE {_IDS} (old INTEGER PRIMARY KEY, id TEXT)")
    rows = connection.execute(f"SELECT rowid, CAST(_id AS BLOB), userId, namespace, key FROM {TABLE}")
    done, strange = 0, 0
    while some := rows.fetchmany(_AT_ONCE):
        ids = [(row, _current(id)) for row, id, *_ in some]
        strange += sum(id != _id_of(*names) for (_, id), (_, _, *names) in zip(ids, some, strict=True))
        connection.executemany(f"INSERT INTO {_IDS} VALUES (?, ?)", ids)
        done += len(some)
        if on_progress is not None:
            on_progress(done, records)
    indexes = connection.execute(
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", (TABLE,)
    ).fetchall()
    connection.execute(table_named(_NEW))
    try:
        connection.execute(
            f"INSERT INTO {_NEW} (_id, {_COLUMNS}) SELECT coalesce(id, _id), {_COLUMNS} "
            f"FROM {_IDS} JOIN {TABLE} ON {TABLE}.rowid = old ORDER BY 1"
        )
    except sqlite3.IntegrityError:
        raise damaged("unknown", "it has the id that another record is to have") from None
    _verify(connection, records, strange)
    connection.execute(f"DROP TABLE {_IDS}")
    connection.execute(f"DROP TABLE {TABLE}")
    connection.execute(f"ALTER TABLE {_NEW} RENAME TO {TABLE}")
    for (index,) in indexes:
        connection.execute(index)
    bring_up_to_date(connection, SORTED)
    connection.execute("COMMIT")
    return int(records)


def _verify(connection: Connection, records: int, strange: int) -> None:
    """See that every record is there, under the id that its own fields say, save those of which that was never true."""
    there, wrong = 0, 0
    rows = connection.execute(f"SELECT CAST(_id AS BLOB), userId, namespace, key FROM {_NEW}")
    while some := rows.fetchmany(_AT_ONCE):
        there += len(some)
        wrong += sum(id.decode(errors="replace") != _id_of(*names) for id, *names in some)
    if there != records or wrong != strange:
        raise BackendUnusableError(
            f"after the migration {there:,} of {records:,} records were there, and {wrong:,} had another id than that "
            f"of their fields ({strange:,} before); nothing was changed",
            backend=NAME,
        )


def _current(id: bytes) -> str | None:
    """Return the id that a record is to have, ``None`` for what is no id and stays as it is."""
    try:
        return from_earlier(id.decode())
    except UnicodeDecodeError:
        return None


def _id_of(user_id: str, namespace: str, key: str) -> str | None:
    """Return the id that a record's own fields say; ``None`` if they say none."""
    try:
        beginning = namespace_prefix(encode_name(user_id, "user_id"), encode_name(namespace, "namespace"))
        return beginning + encode_key(key)
    except (TypeError, ValueError):
        return None
