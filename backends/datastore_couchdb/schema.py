"""The database and what is built on it: two Mango indexes and a view, each under one stable name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import couchdb3
import httpx
from couchdb3.exceptions import CouchDBError, ForbiddenError, UnauthorizedError

from datastore.errors import BackendUnavailableError, ConfigurationError, PermissionDeniedError
from datastore_couchdb.expiring import EXPIRY_INDEX
from datastore_couchdb.formats import FORMAT, Format, establish, format_of
from datastore_couchdb.indexes import DeclaredIndex, declared_in
from datastore_couchdb.session import NAME, MissingDatabaseError, Session

NAMESPACE_INDEX = "agent_data_store_namespace"
"""Mango index on ``[userId, namespace]``: for queries inside a namespace."""
NAMESPACE_VIEW = "agent_data_store_namespaces"
"""A view that counts documents by ``[userId, namespace]``."""

_COMMON = "agent_data_store_"
"""What the names of all design documents of the store begin with."""
_MAP = "function (doc) { if (doc.revision && doc.namespace) { emit([doc.userId, doc.namespace], null); } }"
_DOCUMENTS = (NAMESPACE_INDEX, EXPIRY_INDEX, NAMESPACE_VIEW)


def prepare(session: Session) -> tuple[frozenset[str], dict[str, DeclaredIndex], Format]:
    """Make sure that the database and its indexes are there, and return which are, and which have been declared.

    And how the records are written.

    Safe to run in several processes at once: who comes second finds things made.

    Raises:
        ConfigurationError: If something is missing and may not be made, or the database is of the wrong kind.
        PermissionDeniedError: If this user may not make it.
        BackendUnavailableError: If the server does not answer.

    Requests: 2 when all is there.
    """
    settings = session.settings
    try:
        information = session.get("")
    except MissingDatabaseError:
        if not settings.create:
            raise
        server = session.server()
        _make(session, lambda: server.create(settings.database, partitioned=settings.partitioned))
        information = session.get("")
    if "partitioned" in information.get("props", {}) and not settings.partitioned:
        raise ConfigurationError(
            f"the database {settings.database} is partitioned; say so with ?partitioned=true", backend=NAME
        )
    there = _there(session)
    if settings.create and not there.keys() >= set(_DOCUMENTS):
        _make_indexes(session, frozenset(there))
        there = _there(session)
    if settings.create and not format_of(there.get(FORMAT)).flagged:
        establish(session)
        there = _there(session)
    return frozenset(there) & set(_DOCUMENTS), declared_in(there), format_of(there.get(FORMAT))


def _there(session: Session) -> dict[str, dict[str, Any]]:
    """Return the design documents of the store, by name."""
    design = "_design/"
    of_ours = {"startkey": f"{design}{_COMMON}", "endkey": f"{design}{_COMMON}~", "include_docs": True}
    rows = session.get("_all_docs", of_ours)["rows"]
    return {row["id"][len(design) :]: row["doc"] for row in rows if row.get("doc")}


def _make_indexes(session: Session, there: frozenset[str]) -> None:
    settings = session.settings
    database = couchdb3.Database(
        settings.database,
        url=settings.origin,
        user=settings.user,
        password=settings.password,
        auth_method="basic",
        timeout=settings.timeout,
        session=session.client,
    )
    # In a partitioned database the expiry index spans the partitions: purging looks at all users.
    of_partition, of_all = (True, False) if settings.partitioned else (None, None)
    if NAMESPACE_INDEX not in there:
        fields = {"fields": ["userId", "namespace"]}
        _make(session, lambda: database.save_index(fields, NAMESPACE_INDEX, NAMESPACE_INDEX, partitioned=of_partition))
    if EXPIRY_INDEX not in there:
        expiry = {"fields": ["userId", "namespace", "expiresAt"]}
        _make(session, lambda: database.save_index(expiry, EXPIRY_INDEX, EXPIRY_INDEX, partitioned=of_all))
    if NAMESPACE_VIEW not in there:
        views = {"namespaces": {"map": _MAP, "reduce": "_count"}}
        _make(session, lambda: database.put_design(NAMESPACE_VIEW, views=views))


def _make(session: Session, make: Callable[[], object]) -> None:
    where = f"{session.settings.origin}/{session.settings.database}"
    try:
        make()
    except (couchdb3.exceptions.ConflictError, couchdb3.exceptions.PreconditionFailedError):
        pass  # another process was faster
    except (UnauthorizedError, ForbiddenError) as error:
        raise PermissionDeniedError(
            f"this user may not make {where} or its indexes; let an administrator connect once, who may",
            backend=NAME,
        ) from error
    except (CouchDBError, httpx.HTTPError) as error:
        raise BackendUnavailableError(f"making {where} failed: {error}", backend=NAME) from error
