"""The SQL of the store. Columns have the names of a document's fields, so the shell shows what the docs show."""

from __future__ import annotations

from functools import cache

from datastore.backend import Fields
from datastore.fences import ENTRY_LENGTH, GONE, LEASE_LENGTH, LONGEST_FENCES
from datastore_sqlite.damage import WELL_FORMED
from datastore_sqlite.schema import TABLE

_LIVE = "(expiresAt IS NULL OR expiresAt > ?)"

_VALUE = "_id, createdAt, revision, expiresAt, value"
COLUMNS = (
    "_id, expiresAt",
    _VALUE,
    f"{_VALUE}, metadata, createdByAgent, updatedAt, accessCount, lastAccessedByAgent, lastAccessedAt, updatedByAgent",
)
"""The columns by `datastore.backend.Fields`, as `datastore_sqlite.codec.DOCUMENT` takes them."""
WIDTHS = [columns.count(",") + 1 for columns in COLUMNS]
"""The number of these columns."""

_ENTRY = "_id, createdAt, createdByAgent, expiresAt, value, metadata"
_STORED = "CASE WHEN content IS NULL THEN value ELSE content END"
"""A value as text, or its content as bytes (`datastore_sqlite.codec`)."""
_READ = [columns.replace("value", _STORED) for columns in (*COLUMNS, _VALUE, _ENTRY, _VALUE)]
"""The columns of what is read by id or in order, by `datastore.backend.Fields`. No query finds what has a content."""

READ_ONE = [f"SELECT {columns.removeprefix('_id, ')} FROM {TABLE} WHERE _id = ?" for columns in _READ]
"""These leave out the id, which the caller knows."""
TIME_LENGTH = 27
"""The characters of a time (`datastore.times.format_time`)."""
READ_ONE[Fields.BARE_VALUE] = f"""
    SELECT CASE WHEN expiresAt IS NULL THEN createdAt
            WHEN typeof(expiresAt) = 'text' THEN CAST(expiresAt || ' ' || createdAt AS BLOB) END,
        {_STORED}
    FROM {TABLE} WHERE _id = ?"""
"""Reads two columns: ``createdAt`` as text, or as bytes if the document expires, with the time of that before it.

For each column of a row, Python's ``sqlite3`` releases the interpreter's lock and takes it again. A `get` of many
threads at once takes as long as it waits for that lock.
"""
SCAN = [f"SELECT {columns} FROM {TABLE} WHERE _id >= ? AND _id < ? ORDER BY _id LIMIT ?" for columns in _READ]


@cache  # by the number of ids, which a read batch limits; one statement for any number (json_each) is a fifth slower
def read_many(fields: int, ids: int) -> str:
    """Return the statement that reads several documents."""
    return f"SELECT {_READ[fields]} FROM {TABLE} WHERE _id IN ({', '.join('?' * ids)})"


SCAN_AFTER = [statement.replace("_id >= ?", "_id > CAST(? AS TEXT)") for statement in SCAN]
"""The id to continue after may not be UTF-8, and is then given as bytes."""
SCAN_BACK = [statement.replace("ORDER BY _id", "ORDER BY _id DESC") for statement in SCAN]
SCAN_BEFORE = [statement.replace("_id < ?", "_id < CAST(? AS TEXT)") for statement in SCAN_BACK]

_INSERT = f"""
    INSERT INTO {TABLE} (_id, userId, namespace, key, createdByAgent, createdAt, updatedAt, revision, expiresAt,
        metadata, value, updatedByAgent)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10, ?5)
    ON CONFLICT (_id) DO UPDATE SET
        updatedAt = excluded.updatedAt, revision = excluded.revision, expiresAt = excluded.expiresAt,
        value = excluded.value, updatedByAgent = excluded.updatedByAgent, content = NULL"""
_IF_LIVE = "WHERE (expiresAt IS NULL OR expiresAt > excluded.updatedAt)"

# No statement is a REPLACE: that would delete the old row with its creation fields and counts.
SET = f"{_INSERT} {_IF_LIVE}"
SET_METADATA = f"{_INSERT}, metadata = ?11 {_IF_LIVE} AND metadata IS ?12"
SET_KEEPING_EXPIRY, SET_METADATA_KEEPING_EXPIRY = (
    statement.replace("expiresAt = excluded.expiresAt,", "") for statement in (SET, SET_METADATA)
)
ADD = f"""{_INSERT},
        createdByAgent = excluded.createdByAgent, createdAt = excluded.createdAt, metadata = excluded.metadata,
        accessCount = 0, lastAccessedByAgent = NULL, lastAccessedAt = NULL
    WHERE expiresAt <= excluded.updatedAt"""


def _with_content(statement: str) -> str:
    """Return a statement that stores a content as well, its 11th parameter."""
    return (
        statement.replace("updatedByAgent)", "updatedByAgent, content)", 1)
        .replace("?10, ?5)", "?10, ?5, ?11)", 1)
        .replace("content = NULL", "content = excluded.content", 1)
    )


SET_CONTENT, ADD_CONTENT = map(_with_content, (SET, ADD))

_UPDATE = f"""
    UPDATE {TABLE} SET updatedAt = ?, updatedByAgent = ?, revision = ?, value = ?, content = NULL,
        expiresAt = CASE WHEN ? THEN expiresAt ELSE ? END"""
_AT_REVISION = f"WHERE _id = ? AND revision = ? AND {_LIVE}"
SET_IF_REVISION = f"{_UPDATE} {_AT_REVISION}"
SET_IF_REVISION_METADATA = f"{_UPDATE}, metadata = ? {_AT_REVISION}"

TOUCH = f"UPDATE {TABLE} SET expiresAt = ? WHERE _id = ? AND {_LIVE}"

DELETE = f"DELETE FROM {TABLE} WHERE _id = ? RETURNING coalesce(expiresAt > ?, 1)"
"""Returns whether the document was live. It returns nothing of what is stored, which may be unreadable.

It avoids IS NULL, which SQLite 3.40 turns into NULL in RETURNING.
"""
DELETE_BYTES = DELETE.replace("_id = ?", "_id = CAST(? AS TEXT)")
"""The same for an id that is not UTF-8."""
DELETE_IF_REVISION = f"DELETE FROM {TABLE} WHERE _id = ? AND revision = ? AND {_LIVE}"
METADATA = f"SELECT metadata FROM {TABLE} WHERE _id = ? AND {_LIVE}"
REVISION = f"SELECT revision FROM {TABLE} WHERE _id = ? AND {_LIVE}"

FENCES = f"SELECT fences FROM {TABLE} WHERE _id = ?"

# The same under a lease (`datastore.fences`). They check and set what the record remembers in the statement itself.


def _allowed(entry: str) -> str:
    """Return the condition that a record remembers no higher number of an entry's lease."""
    lease = f"substr({entry}, 1, {LEASE_LENGTH + 1})"
    found = f"instr(fences, {lease})"
    return f"(fences IS NULL OR {found} = 0 OR substr(fences, {found}, {ENTRY_LENGTH}) <= {entry})"


def _remembering(entry: str) -> str:
    """Return what a record remembers after a write with an entry: this first, and then the others that it had."""
    found = f"instr(fences, substr({entry}, 1, {LEASE_LENGTH + 1}))"
    others = f"replace(' ' || fences, ' ' || substr(fences, {found}, {ENTRY_LENGTH}), '')"
    kept = f"CASE {found} WHEN 0 THEN ' ' || fences ELSE {others} END"
    return f"substr({entry} || coalesce({kept}, ''), 1, {LONGEST_FENCES})"


@cache
def fenced(statement: str) -> str:
    """Return one of the statements above as it writes under a lease.

    The entry is one more parameter: of an ``INSERT`` the 13th, and of an ``UPDATE`` the one before the condition.
    """
    changes, _, condition = statement.rpartition("WHERE")
    if "INSERT" in statement:
        changes = changes.replace("updatedByAgent)", "updatedByAgent, fences)", 1).replace(
            "?10, ?5)", "?10, ?5, ?13)", 1
        )
        entry, source = "excluded.fences", ""
    else:
        entry, source = "fence.entry", "FROM (SELECT ? AS entry) AS fence "
    return f"{changes.rstrip()}, fences = {_remembering(entry)} {source}WHERE {_allowed(entry)} AND {condition}"


_GONE = f"""
    UPDATE {TABLE} SET createdByAgent = '', createdAt = ?, updatedAt = ?, updatedByAgent = '', revision = 'deleted',
        accessCount = 0, lastAccessedByAgent = NULL, lastAccessedAt = NULL, expiresAt = '{GONE}', metadata = '{{}}',
        value = 'null', content = NULL"""
DELETE_FENCED = fenced(f"{_GONE} WHERE _id = ? AND {_LIVE}")
DELETE_FENCED_IF_REVISION = fenced(f"{_GONE} {_AT_REVISION}")
"""These leave a document that nobody sees, with what the deleted one remembered of leases."""

_WHOLE = (
    "userId, namespace, key, createdByAgent, createdAt, updatedAt, revision, expiresAt, metadata, value, accessCount, "
    "lastAccessedByAgent, lastAccessedAt, updatedByAgent, content"
)
_WHOLE_CHANGES = ", ".join(f"{column} = excluded.{column}" for column in _WHOLE.split(", "))
RESTORE = f"""
    INSERT INTO {TABLE} (_id, {_WHOLE}) VALUES (?{", ?" * 15})
    ON CONFLICT (_id) DO UPDATE SET {_WHOLE_CHANGES} WHERE expiresAt <= ?"""
"""Its parameters are a whole row, and the time now."""
RESTORE_OVER = f"UPDATE {TABLE} SET ({_WHOLE}) = ({', '.join('?' * 15)}) {_AT_REVISION}"

MALFORMED = f"SELECT _id FROM {TABLE} WHERE NOT ({WELL_FORMED}) LIMIT 1"
"""Finds a row that SQLite's JSON functions cannot read."""
COUNT_ALL = f"SELECT count(*) FROM {TABLE}"
COUNT = f"SELECT count(*) FROM {TABLE} WHERE _id >= ? AND _id < ? AND {_LIVE}"
STATS = f"""
    SELECT _id, length(CAST(value AS BLOB)), createdByAgent, updatedByAgent, updatedAt FROM {TABLE}
    WHERE _id >= ? AND _id < ? AND {_LIVE}"""
"""One row for each document, without its value."""
CLEAR = f"DELETE FROM {TABLE} WHERE _id >= ? AND _id < ?"
PURGE = f"DELETE FROM {TABLE} WHERE expiresAt <= ?"
PURGE_RANGE = f"{PURGE} AND _id >= ? AND _id < ?"

ACCESS_BATCHES = (1, 10, 100, 1_000)
"""The sizes of batches that `record_access` is called with."""


@cache
def record_access(accesses: int) -> str:
    """Return the statement that counts up to the given number of accesses. Its parameters are their fields in a row.

    All accesses are in one statement, so that SQLite works through them without holding the interpreter's lock, while
    other threads go on reading. With one statement for each access, it would have to take the lock again for each row.
    """
    return f"""
        UPDATE {TABLE} SET
            accessCount = accessCount + number,
            lastAccessedByAgent = CASE WHEN lastAccessedAt > at THEN lastAccessedByAgent ELSE agent END,
            lastAccessedAt = CASE WHEN lastAccessedAt > at THEN lastAccessedAt ELSE at END
        FROM (
            SELECT column1 AS id, column2 AS created, column3 AS number, column4 AS agent, column5 AS at
            FROM (VALUES {", ".join(["(?, ?, ?, ?, ?)"] * accesses)})
        ) AS accesses
        WHERE _id = id AND createdAt = created"""


# Skips from namespace to namespace. Each step finds in the primary key the first live id after the last namespace
# found. The parameters are the bounds of the range, the length of "<user>:", and the time now.
_FIRST_LIVE = f"""
    SELECT substr(_id, 1, user + instr(substr(_id, user + 1), ':')) FROM {TABLE}
    WHERE _id >= {{behind}} AND _id < stop AND (expiresAt IS NULL OR expiresAt > now)
        AND instr(substr(_id, user + 1), ':') > 0 ORDER BY _id LIMIT 1"""
NAMESPACES = f"""
    WITH RECURSIVE
        asked (start, stop, user, now) AS (VALUES (?, ?, ?, ?)),
        found (prefix) AS (
            SELECT ({_FIRST_LIVE.format(behind="start")}) FROM asked
            UNION ALL
            SELECT ({_FIRST_LIVE.format(behind="substr(prefix, 1, length(prefix) - 1) || ';'")})
            FROM found, asked WHERE prefix IS NOT NULL
        )
    SELECT prefix FROM found WHERE prefix IS NOT NULL"""
