"""Databases and Mango indexes are created through `couchdb3`: what its errors mean, and what it does not check.

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
    """Create the database unless it exists.

    Requests: 2, because `couchdb3` first checks whether it exists.
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
    """Create a Mango index in a design document of the same name, unless it exists.

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
    """Create something. Callers check afterwards that it exists, since `couchdb3` takes any page for success."""
    where = f"{session.settings.origin}/{session.settings.database}"
    try:
        with session.request_under_way():
            make()
    except (ConflictError, PreconditionFailedError):
        return  # another process was faster
    except (UnauthorizedError, ForbiddenError) as error:
        raise PermissionDeniedError(f"{where} may not be created or changed by this user", backend=NAME) from error
    except CouchDBError as error:
        if FORBIDDEN.search(str(error)):  # to a member who may not create an index, CouchDB answers 500
            raise PermissionDeniedError(f"{where} may not be changed by this user", backend=NAME) from error
        raise BackendUnavailableError(f"creating {where} failed ({type(error).__name__})", backend=NAME) from error
    except httpx.HTTPStatusError as error:  # a status that `couchdb3` has no class for
        raise session.refusal(error.response) from error
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise session.translate(error) from error
    except (ValueError, LookupError, TypeError, AttributeError):
        broken(NAME, "it does not confirm the creation")
