"""Building an index while others read and write, and mending one that was not finished."""

from __future__ import annotations

import time

from datastore import deadlines
from datastore.errors import BackendUnavailableError
from datastore_postgresql.client import Session
from datastore_postgresql.failures import NAME
from datastore_postgresql.queries import literal

_BUILD_SECONDS = 3_600.0
"""How long building an index may take, unless the call may take less."""
_LOOK_SECONDS = 0.5
"""How often is looked whether an index is there that somebody else builds."""


def build(session: Session, schema: str, table: str, name: str, body: str, comment: str) -> None:
    """See that an index is there and finished, and make it if it is not.

    Args:
        session: The connections.
        schema: The schema of the table, and of the index.
        table: The table, as SQL.
        name: The name of the index.
        body: What follows the table in the statement that creates it, with each ``%`` doubled.
        comment: Its comment, which is written last.

    Requests: 4; 1 if it is there; more while somebody else builds it.
    """
    while True:
        state, said = _look(session, schema, name)
        if state == "finished":
            break
        if state == "being built":
            _wait(name)
            continue
        if state == "unfinished":
            session.ask(f'DROP INDEX CONCURRENTLY IF EXISTS "{schema}"."{name}"', (), _BUILD_SECONDS)
        session.ask(f'CREATE INDEX CONCURRENTLY IF NOT EXISTS "{name}" ON {table} {body}', (), _BUILD_SECONDS)
    if said != comment:  # the planner knows nothing of new expressions until they are analysed
        session.ask(f'COMMENT ON INDEX "{schema}"."{name}" IS {literal(comment)}; ANALYZE {table}')


def _look(session: Session, schema: str, name: str) -> tuple[str, str | None]:
    """Return how far an index is, and its comment; ``missing`` if there is none."""
    rows = session.ask(
        """
        SELECT CASE WHEN x.indisvalid THEN 'finished'
            WHEN EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.index_relid = i.oid)
            THEN 'being built' ELSE 'unfinished' END, obj_description(i.oid, 'pg_class')
        FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
        JOIN pg_namespace AS n ON n.oid = i.relnamespace WHERE n.nspname = %s AND i.relname = %s""",
        (schema, name),
    )
    return (rows[0][0], rows[0][1]) if rows else ("missing", None)


def _wait(name: str) -> None:
    if deadlines.left() < _LOOK_SECONDS:
        raise BackendUnavailableError(f"the index {name} is still being built; ask again later", backend=NAME)
    time.sleep(_LOOK_SECONDS)
