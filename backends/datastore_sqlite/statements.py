"""The SQL of the store. Columns have the names of the document's fields, so the shell shows what the docs show."""

from __future__ import annotations

from functools import cache

from datastore_sqlite.schema import TABLE

_LIVE = "(expiresAt IS NULL OR expiresAt > ?)"

_KEY = "_id, createdAt, revision, expiresAt"
_COLUMNS = (
    _KEY,
    f"{_KEY}, value",
    f"{_KEY}, value, metadata, createdByAgent, updatedAt, accessCount, lastAccessedByAgent, lastAccessedAt",
)
"""By `datastore.backend.Fields`, in the order of the fields of `datastore.backend.Document`."""

READ_ONE = [f"SELECT {columns} FROM {TABLE} WHERE _id = ?" for columns in _COLUMNS]
SCAN = [f"SELECT {columns} FROM {TABLE} WHERE _id >= ? AND _id < ? ORDER BY _id LIMIT ?" for columns in _COLUMNS]


@cache  # by the number of ids, which a read batch bounds; one statement for any number (json_each) is a fifth slower
def read_many(fields: int, ids: int) -> str:
    """Return the statement that reads several documents."""
    return f"SELECT {_COLUMNS[fields]} FROM {TABLE} WHERE _id IN ({', '.join('?' * ids)})"


SCAN_AFTER = [statement.replace("_id >= ?", "_id > ?") for statement in SCAN]

_INSERT = f"""
    INSERT INTO {TABLE} (_id, userId, namespace, key, createdByAgent, createdAt, updatedAt, revision, expiresAt,
        metadata, value)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10)
    ON CONFLICT (_id) DO UPDATE SET
        updatedAt = excluded.updatedAt, revision = excluded.revision, expiresAt = excluded.expiresAt,
        value = excluded.value"""

# None of these is REPLACE, which deletes the old row, creation fields and counts with it.
SET = f"{_INSERT} WHERE expiresAt IS NULL OR expiresAt > ?6"
SET_METADATA = f"{_INSERT}, metadata = merge_metadata(metadata, ?11) WHERE expiresAt IS NULL OR expiresAt > ?6"
ADD = f"""{_INSERT},
        createdByAgent = excluded.createdByAgent, createdAt = excluded.createdAt, metadata = excluded.metadata,
        accessCount = 0, lastAccessedByAgent = NULL, lastAccessedAt = NULL
    WHERE expiresAt <= ?6"""

_UPDATE = f"UPDATE {TABLE} SET updatedAt = ?2, revision = ?3, expiresAt = ?4, value = ?5"
_AT_REVISION = " WHERE _id = ?1 AND revision = ?6 AND (expiresAt IS NULL OR expiresAt > ?2)"
SET_IF_REVISION = _UPDATE + _AT_REVISION
SET_IF_REVISION_METADATA = f"{_UPDATE}, metadata = merge_metadata(metadata, ?7)" + _AT_REVISION

DELETE = f"DELETE FROM {TABLE} WHERE _id = ? RETURNING expiresAt"
DELETE_IF_REVISION = f"DELETE FROM {TABLE} WHERE _id = ? AND revision = ? AND {_LIVE}"
REVISION = f"SELECT revision FROM {TABLE} WHERE _id = ? AND {_LIVE}"

COUNT = f"SELECT count(*) FROM {TABLE} WHERE _id >= ? AND _id < ? AND {_LIVE}"
CLEAR = f"DELETE FROM {TABLE} WHERE _id >= ? AND _id < ?"
PURGE = f"DELETE FROM {TABLE} WHERE expiresAt <= ?"

# One statement for all of them: SQLite then works through the batch without the interpreter's lock, beside the threads
# that go on reading. Statement by statement it would take the lock back for each row.
RECORD_ACCESS = f"""
    UPDATE {TABLE} SET
        accessCount = accessCount + accesses.number,
        lastAccessedByAgent = CASE WHEN lastAccessedAt > accesses.at THEN lastAccessedByAgent ELSE accesses.agent END,
        lastAccessedAt = CASE WHEN lastAccessedAt > accesses.at THEN lastAccessedAt ELSE accesses.at END
    FROM (
        SELECT value ->> 0 AS id, value ->> 1 AS createdAt, value ->> 2 AS number, value ->> 3 AS agent,
            value ->> 4 AS at
        FROM json_each(?)
    ) AS accesses
    WHERE {TABLE}._id = accesses.id AND {TABLE}.createdAt = accesses.createdAt"""
"""Takes a JSON array of `datastore.backend.Access`, each an array of its fields."""

# Skips from namespace to namespace: each step is one look at the primary key for the first live id behind the last
# namespace found. ?1, ?2 bound the range, ?3 is the length of "<user>:", ?4 is now.
_FIRST_LIVE = f"""
    SELECT substr(_id, 1, ?3 + instr(substr(_id, ?3 + 1), ':')) FROM {TABLE}
    WHERE _id >= {{start}} AND _id < ?2 AND (expiresAt IS NULL OR expiresAt > ?4) ORDER BY _id LIMIT 1"""
NAMESPACES = f"""
    WITH RECURSIVE found (prefix) AS (
        SELECT ({_FIRST_LIVE.format(start="?1")})
        UNION ALL
        SELECT ({_FIRST_LIVE.format(start="substr(found.prefix, 1, length(found.prefix) - 1) || ';'")})
        FROM found WHERE found.prefix IS NOT NULL
    )
    SELECT prefix FROM found WHERE prefix IS NOT NULL"""
