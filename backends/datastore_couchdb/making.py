"""Databases and Mango indexes are made through `couchdb3`; what its errors mean, and what it does not look at.

Documents do not go through it: see `datastore_couchdb.client`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import couchdb3
import httpx
from couchdb3.exceptions import (
    ConflictError,
    CouchDBError,
    ForbiddenError,
    PreconditionFailedError,
    UnauthorizedError,
)

from datastore.adapters.answers import broken
from datastore.errors import BackendUnavailableError, PermissionDeniedError
from datastore_couchdb.client import FORBIDDEN, NAME, Session


def make_database(session: Session) -> None:
    """Make the database, unless it is there.

    Requests: 2, for the client looks whether it is there.
    """
    settings = session.settings
    server = couchdb3.Server(
        settings.origin,
        user=settings.user,
        password=settings.password,
        auth_method="basic",
        timeout=settings.timeout,
        session=session.client,
    )
    _make(session, lambda: server.create(settings.database, partitioned=settings.partitioned))


def make_index(session: Session, name: str, fields: Sequence[str], partitioned: bool | None) -> None:
    """Make a Mango index in a design document of the same name, unless it is there.

    Requests: 1.
    """
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
    _make(session, lambda: database.save_index({"fields": list(fields)}, name, name, partitioned=partitioned))


def _make(session: Session, make: Callable[[], object]) -> None:
    """Make something. Whoever calls this looks afterwards whether it is there: the client takes any page for a yes."""
    where = f"{session.settings.origin}/{session.settings.database}"
    try:
        with session.request_under_way():
            make()
    except (ConflictError, PreconditionFailedError):
        return  # another process was faster
    except (UnauthorizedError, ForbiddenError) as error:
        raise PermissionDeniedError(f"{where} refused to be made, or changed", backend=NAME) from error
    except CouchDBError as error:
        if FORBIDDEN.search(str(error)):  # to a member who may make no index CouchDB says 500
            raise PermissionDeniedError(f"{where} refused to be changed", backend=NAME) from error
        raise BackendUnavailableError(f"making {where} failed ({type(error).__name__})", backend=NAME) from error
    except httpx.HTTPStatusError as error:  # one that the client has no class for
        raise session.refusal(error.response) from error
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise session.translate(error) from error
    except (ValueError, LookupError, TypeError, AttributeError):
        broken(NAME, "it does not say that something was made")
