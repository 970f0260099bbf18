"""The SQL of the store. Columns have the names of the document's fields, so the shell shows what the docs show."""

from __future__ import annotations

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
READ_MANY = [f"SELECT {columns} FROM {TABLE} WHERE _id IN (SELECT value FROM json_each(?))" for columns in _COLUMNS]
SCAN = [f"SELECT {columns} FROM {TABLE} WHERE _id >= ? AND _id < ? ORDER BY _id LIMIT ?" for columns in _COLUMNS]
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

DELETE = f"DELETE FROM {TABLE} WHERE _id = ? RETURNING {_LIVE}"
DELETE_IF_REVISION = f"DELETE FROM {TABLE} WHERE _id = ? AND revision = ? AND {_LIVE} RETURNING 1"
REVISION = f"SELECT revision FROM {TABLE} WHERE _id = ? AND {_LIVE}"

COUNT = f"SELECT count(*) FROM {TABLE} WHERE _id >= ? AND _id < ? AND {_LIVE}"
CLEAR = f"DELETE FROM {TABLE} WHERE _id >= ? AND _id < ?"
PURGE = f"DELETE FROM {TABLE} WHERE expiresAt <= ?"

RECORD_ACCESS = f"""
    UPDATE {TABLE} SET
        accessCount = accessCount + ?3,
        lastAccessedByAgent = CASE WHEN lastAccessedAt > ?5 THEN lastAccessedByAgent ELSE ?4 END,
        lastAccessedAt = CASE WHEN lastAccessedAt > ?5 THEN lastAccessedAt ELSE ?5 END
    WHERE _id = ?1 AND createdAt = ?2"""
"""Takes the fields of `datastore.backend.Access` in their order."""

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
