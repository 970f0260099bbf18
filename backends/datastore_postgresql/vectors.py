"""The index of vectors, where the extension pgvector is there, in version 0.8 or newer.

The first that is declared adds two columns to the table, and each number of dimensions has an index (HNSW, by cosine)
of its own, for all namespaces. Whether a search reads it, or the namespace, which is exact, the planner decides by how
large each is. Settings of a search hold for its statement alone: PostgreSQL computes what it compares with first, and
they are made there.

https://github.com/pgvector/pgvector
"""

from __future__ import annotations

from datastore.adapters.vectors import check_dimensions, numbers_of
from datastore.backend import IdRange
from datastore.errors import PermissionDeniedError, UnsupportedError
from datastore_postgresql.building import build
from datastore_postgresql.client import Session
from datastore_postgresql.failures import NAME
from datastore_postgresql.reading import WITHIN
from datastore_postgresql.schema import TABLE

OF_VECTORS = ("vector", "vectorRevision")
"""The columns: the second is the revision at which the row had the vector. A write without a vector leaves both as they
are, for it knows nothing of columns that another process may have added: the vector then counts no longer."""
_CURRENT = """CASE WHEN coalesce("vectorRevision", "revision") = "revision" THEN TRUE ELSE FALSE END"""
"""Of a row that has a vector: whether it is that of its value. Of an equation alone the planner would expect that it
holds for one row in two hundred, and would not use the index."""
INDEX_OF = f"{TABLE}_vectors_"
"""What the name of an index begins with; the number of dimensions follows."""
MOST = 1_000
"""The most that one search returns: as many candidates does an index keep (``hnsw.ef_search``)."""
MOST_DIMENSIONS = 2_000
"""The most dimensions of an index on ``vector``."""
_OLDEST = (0, 8)
"""Iterative scans, which go on until they have found enough in the namespace."""


class Vectors:
    """The vectors of one table."""

    def __init__(self, session: Session, table: str, schema: str) -> None:
        self._session = session
        self._table = table
        self._schema = schema
        self._at: str | None = None

    def at(self) -> str | None:
        """Return the schema of the extension as SQL, with the point; ``None`` if the table has no vectors.

        Requests: 1 until there are.
        """
        if self._at is None:
            at, there = self._look()
            self._at = at if there else None
        return self._at

    def nearest(self, range: IdRange, vector: bytes, number: int, metric: str) -> list[str] | None:
        """See `Backend.nearest`. The index is one by cosine; it cannot answer for another metric.

        Requests: 1; 2 if the index finds too few; 1 more the first time.
        """
        at, dimensions = self.at(), len(vector) // 4
        if metric != "cosine" or at is None or dimensions > MOST_DIMENSIONS:
            return None
        parameters = {**range._asdict(), "vector": text_of(vector), "number": number, "kept": str(max(number, 40))}
        settings = (
            "set_config('hnsw.iterative_scan', 'relaxed_order', true) || set_config('hnsw.ef_search', %(kept)s, true)"
        )
        query = f"(SELECT CASE WHEN {settings} <> '' THEN %(vector)s::{at}vector({dimensions}) END)"
        statement = f"""
            SELECT "_id" FROM {self._table} WHERE {WITHIN} AND {at}vector_dims("vector") = {dimensions} AND {_CURRENT}
            ORDER BY ("vector"::{at}vector({dimensions}) OPERATOR({at}<=>) {query}){{exactly}} LIMIT %(number)s"""
        rows = self._session.ask(statement.format(exactly=""), parameters)
        if len(rows) < number:  # an index gives up after many that are not in the range; no index is of a sum
            rows = self._session.ask(statement.format(exactly=" + 0"), parameters)
        return [id for (id,) in rows]

    def ensure(self, dimensions: int) -> str:
        """See `Backend.ensure_vectors`.

        Raises:
            UnsupportedError: If there are too many dimensions, or pgvector is not there or too old.
            PermissionDeniedError: If this role may not create the extension, or does not own the table.

        Requests: 2 if it is there; 4 more to make it, and 2 more for the first of a database.
        """
        check_dimensions(dimensions, MOST_DIMENSIONS, NAME)
        at, there = self._look()
        if at is None:
            self._create_extension()
            at, there = self._look()
        if at is None:
            raise UnsupportedError("pgvector is older than 0.8; searches are exact", backend=NAME)
        if not there:
            types = zip(OF_VECTORS, (f"{at}vector", 'text COLLATE "C"'), strict=True)
            added = ", ".join(f'ADD COLUMN IF NOT EXISTS "{name}" {type}' for name, type in types)
            self._session.ask(f"ALTER TABLE {self._table} {added}", ())
        self._at, name = at, f"{INDEX_OF}{dimensions}"
        body = (
            f'USING hnsw (("vector"::{at}vector({dimensions})) {at}vector_cosine_ops)'
            f' WHERE {at}vector_dims("vector") = {dimensions}'
        )
        build(self._session, self._schema, self._table, name, body, "agent-datastore, vectors")
        return name

    def _look(self) -> tuple[str | None, bool]:
        """Return the schema of the extension, if it is new enough, and whether the table has vectors."""
        rows = self._session.ask(
            """
            SELECT n.nspname, string_to_array(e.extversion, '.')::int[], EXISTS (
                SELECT FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
                JOIN pg_namespace AS s ON s.oid = c.relnamespace
                WHERE s.nspname = %s AND c.relname = %s AND a.attname = %s AND NOT a.attisdropped)
            FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'vector'""",
            (self._schema, TABLE, OF_VECTORS[-1]),
        )
        if not rows or tuple(rows[0][1][:2]) < _OLDEST:
            return None, False
        at = rows[0][0].replace('"', '""').replace("%", "%%")
        return f'"{at}".', rows[0][2]

    def _create_extension(self) -> None:
        if not self._session.ask("SELECT FROM pg_available_extensions WHERE name = 'vector'"):
            raise UnsupportedError("this server has no pgvector; searches are exact", backend=NAME)
        try:
            self._session.ask(
                f"SELECT pg_advisory_xact_lock(hashtext('{TABLE}.vector')); CREATE EXTENSION IF NOT EXISTS vector"
            )
        except PermissionDeniedError as error:
            raise PermissionDeniedError(
                "this role may not create the extension pgvector; the administrator does with CREATE EXTENSION vector",
                backend=NAME,
            ) from error


def text_of(vector: bytes) -> str:
    """Return a vector as pgvector reads it: 9 digits tell every float32 from all others."""
    return f"[{','.join([f'{number:.9g}' for number in numbers_of(vector)])}]"
