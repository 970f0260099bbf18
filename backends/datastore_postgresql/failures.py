"""From what PostgreSQL answers to the errors of `datastore.errors`: by its codes; by words only while connecting.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import psycopg

from datastore.adapters.primitives import RefusedForNowError
from datastore.errors import (
    BackendUnavailableError,
    BackendUnusableError,
    ConfigurationError,
    DataStoreError,
    InternalError,
    PermissionDeniedError,
)

NAME = "postgresql"
_LATER = {
    "26000": "its session has no longer what was prepared there",
    "42P05": "its session has something else prepared under that name",
    "25006": "it takes no writes: it is a replica, or default_transaction_read_only is on",
    "40001": "other transactions were in the way",
    "40P01": "it was in a deadlock with another transaction",
    "53300": "too many clients are connected",
    "55P03": "another transaction held a lock on the record",
    "57014": "it took longer than the server allows, or was cancelled",
    "57P03": "it is starting or stopping",
}
"""What PostgreSQL says when it has rolled a statement back, and may carry it out later."""
_LASTING = {
    "53100": "its disk is full",
    "53200": "it has no memory left",
    "58030": "its disk fails",
    "XX001": "its files are damaged",
    "XX002": "one of its indexes is damaged; REINDEX the table",
}
_GONE = frozenset(("42P01", "42703", "3F000", "42704"))
"""A table, a column, a schema or an object that is not there."""
_FOR_NOW = ("too many", "connection slots", "the database system is", "not yet accepting")
"""What libpq says of a server that is full, starting or stopping."""
_DENIED = ("authentication failed", "no password supplied", "pg_hba.conf", "permission denied", "role ")
_MISTAKEN = ("database ", "certificate", "does not support SSL", "invalid ")
"""What libpq says of a connection that it could not make: it hands on no code
(https://www.postgresql.org/docs/current/libpq-status.html). What is in none of these counts as an outage."""


class MissingError(ConfigurationError):
    """The table, or its schema, is not there."""


def code_of(error: BaseException) -> str:
    """Return the SQLSTATE of an error; empty if it has none: it is about the connection, and not from the server."""
    return (isinstance(error, psycopg.Error) and error.sqlstate) or ""


def translated(error: Exception, place: str) -> DataStoreError:
    """Return the store's error for one of a statement. PostgreSQL's message may quote a value: it is only chained.

    Args:
        error: What the client raised.
        place: The server, for messages.
    """
    code = code_of(error)
    if code in _LATER:
        return RefusedForNowError(f"PostgreSQL refuses for now: {_LATER[code]} ({code})", backend=NAME)
    if code in _LASTING:
        return BackendUnusableError(f"PostgreSQL cannot be used: {_LASTING[code]} ({code})", backend=NAME)
    if code == "42501":
        return PermissionDeniedError(
            f"this role may not do that in PostgreSQL ({code}); it needs USAGE on the schema, and SELECT, INSERT, "
            "UPDATE and DELETE on the table",
            backend=NAME,
        )
    if code in _GONE:
        return MissingError(
            f"the store's table is not there, or another program has changed it ({code}); "
            "connect anew, which makes a missing one",
            backend=NAME,
        )
    if not code or code.startswith(("08", "57P", "25P", "28", "3D")):
        return BackendUnavailableError(f"{place} did not answer ({code or type(error).__name__})", backend=NAME)
    return InternalError(f"PostgreSQL does not accept a statement ({code})", backend=NAME)


def not_connected(error: Exception, place: str) -> DataStoreError:
    """Return the store's error for a connection that was not made; the words of libpq are only looked at."""
    code, words = code_of(error), str(error)

    def says(parts: tuple[str, ...]) -> bool:
        return any(part in words for part in parts)

    is_lasting = not code and says(("FATAL", "SSL", "certificate")) and not says(_FOR_NOW)
    if code.startswith("28") or (is_lasting and says(_DENIED)):
        return PermissionDeniedError(f"{place} refuses the credentials", backend=NAME)
    if is_lasting and says(_MISTAKEN):
        return ConfigurationError(
            f"{place} has no such database, or does not speak TLS as the URL asks for; check the URL", backend=NAME
        )
    return BackendUnavailableError(f"{place} did not answer ({type(error).__name__})", backend=NAME)
