"""The table: what it holds, how it is made, and which databases are refused untouched."""

from __future__ import annotations

import re

from datastore import formats
from datastore.errors import ConfigurationError
from datastore_postgresql.client import Session, Settings
from datastore_postgresql.failures import NAME

TABLE = "agent_data_store"
OLDEST = 130_000
"""The oldest version, as ``server_version_num`` says it: 13."""
_FORMAT = re.compile(r"agent-datastore, format (\d{1,9})(?:, tenant ([a-z0-9_-]+))?")
_COLUMNS = """
    "_id" text COLLATE "C" NOT NULL,
    "userId" text COLLATE "C",
    "namespace" text COLLATE "C",
    "key" text COLLATE "C",
    "value" jsonb,
    "valueText" text,
    "content" bytea,
    "bytes" bigint,
    "metadata" jsonb,
    "metadataText" text,
    "createdByAgent" text COLLATE "C",
    "createdAt" text COLLATE "C",
    "updatedByAgent" text COLLATE "C",
    "updatedAt" text COLLATE "C",
    "revision" text COLLATE "C",
    "expiresAt" text COLLATE "C",
    "accessCount" bigint NOT NULL DEFAULT 0,
    "lastAccessedByAgent" text COLLATE "C",
    "lastAccessedAt" text COLLATE "C",
    "fences" text COLLATE "C",
    "recentWrites" text COLLATE "C",
    "recentCounts" text COLLATE "C",
    "token" text COLLATE "C",
    PRIMARY KEY ("_id") INCLUDE ("expiresAt")
"""
"""Ids are compared by their bytes. The expiry is in the index, too: listing and counting need not look at the rows."""
_FILL = 80
"""How much of a page new rows fill, in percent. A new version of a row that finds room on its page needs no new entry
in any index, unless an indexed column changes: https://www.postgresql.org/docs/current/storage-hot.html"""


def table_of(schema: str) -> str:
    """Return the name of a schema's table, as SQL. A schema's name has no quotation mark (`urls.settings_of`)."""
    return f'"{schema}"."{TABLE}"'


def settle(session: Session, settings: Settings) -> dict[str, str]:
    """See that the store has the format of this version, and make its table if there is none.

    Returns:
        The comments of the table's indexes by their names, of those that are finished.

    Raises:
        ConfigurationError: If there is no table and none may be made, or it is another program's, or the server is too
            old, or the database is not in UTF-8.
        BackendUnusableError: If a newer version has written it.

    Requests: 1; 2 more the first time.
    """
    where = f"the table {TABLE!r} in schema {settings.schema!r}"
    there, indexes = False, dict[str, str]()

    def read() -> int | None:
        nonlocal there, indexes
        ((process, version, encoding, name, comment, declared),) = session.ask(
            """
            SELECT pg_backend_pid(), current_setting('server_version_num')::int, current_setting('server_encoding'),
                c.oid IS NOT NULL, obj_description(c.oid, 'pg_class'),
                (SELECT jsonb_object_agg(i.relname, obj_description(i.oid, 'pg_class'))
                    FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
                    WHERE x.indrelid = c.oid AND x.indisvalid AND obj_description(i.oid, 'pg_class') IS NOT NULL)
            FROM (SELECT 1) AS one LEFT JOIN
                (pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = %s)
                ON c.relname = %s""",
            (settings.schema, TABLE),
        )
        if version < OLDEST or encoding != "UTF8":
            raise ConfigurationError(
                f"this needs PostgreSQL 13 or newer and a database in UTF8; it is version {version // 10_000}, "
                f"and the encoding is {encoding}",
                backend=NAME,
            )
        session.prepare_if_direct(process)
        there, indexes = name, declared or {}
        found = _FORMAT.search(comment or "")
        return None if found is None else int(found[1])

    def write() -> None:
        if not settings.create:
            raise ConfigurationError(f"there is no {where[4:]}, and it may not be made (create=false)", backend=NAME)
        session.ask(statement_to_make(settings.schema, settings.tenant))

    formats.settle(read, lambda: not there, write, where, NAME, earlier=settings.earlier_format)
    return indexes


def tenant_in(comment: str) -> str | None:
    """Return the name of the tenant in the comment of a table; ``None`` if it is not a tenant's."""
    found = _FORMAT.search(comment)
    return None if found is None else found[2]


def statement_to_make(schema: str, tenant: str = "") -> str:
    """Return the statements, one transaction, that make what is missing; others may be making it at the same time."""
    table = table_of(schema)
    of = f", tenant {tenant}" if tenant else ""
    new = "" if schema == "public" else f'CREATE SCHEMA IF NOT EXISTS "{schema}";'
    return f"""
        SELECT pg_advisory_xact_lock(hashtext('{TABLE}.{schema}'));
        {new}
        CREATE TABLE IF NOT EXISTS {table} ({_COLUMNS}) WITH (fillfactor = {_FILL});
        CREATE INDEX IF NOT EXISTS "{TABLE}_expiry" ON {table} ("expiresAt") WHERE "expiresAt" IS NOT NULL;
        COMMENT ON TABLE {table} IS 'agent-datastore, format {formats.FORMAT}{of}'
    """


def statement_to_drop(schema: str) -> str:
    """Return the statements, one transaction, that remove the table, and its schema if nothing else is in it."""
    if schema == "public":
        return f"DROP TABLE IF EXISTS {table_of(schema)}"
    empty = f"SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = '{schema}'"
    return f"""
        DROP TABLE IF EXISTS {table_of(schema)};
        DO $$ BEGIN IF NOT EXISTS ({empty}) THEN DROP SCHEMA IF EXISTS "{schema}"; END IF; END $$"""
