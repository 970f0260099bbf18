"""From the status of a request to the errors of `datastore.errors`, by its code and never by its message."""

from __future__ import annotations

from typing import Any

import grpc

from datastore import tls
from datastore.errors import (
    BackendUnavailableError,
    BackendUnusableError,
    ConfigurationError,
    DataStoreError,
    InternalError,
    PermissionDeniedError,
    ThrottledError,
    UnsupportedError,
)

NAME = "firestore"

Code = grpc.StatusCode
CODES: dict[int, Any] = {code.value[0]: code for code in Code}
"""The codes by the number in a status of a ``BatchWrite``."""

CAME_TOO_LATE = frozenset({Code.ALREADY_EXISTS, Code.FAILED_PRECONDITION, Code.NOT_FOUND, Code.ABORTED})
"""A write with a precondition was not applied: the document is not as expected, or others are writing to it."""

_TRANSIENT = frozenset(
    {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.ABORTED, Code.INTERNAL, Code.UNKNOWN, Code.CANCELLED}
)
_DENIED = frozenset({Code.PERMISSION_DENIED, Code.UNAUTHENTICATED})


class RefusedError(InternalError):
    """Firestore does not accept a request. It was not carried out, and would be refused again."""


class NotSentError(BackendUnavailableError):
    """An earlier request of the same call was not answered."""

    def __init__(self, failure: DataStoreError) -> None:
        super().__init__(f"not sent, because an earlier request was not answered: {failure.message}", backend=NAME)


class MissingDatabaseError(BackendUnusableError, ConfigurationError):
    """The database does not exist: it was never created, or was deleted while the store was open."""


def error_for(code: Any, details: str | None) -> DataStoreError:
    """Return the error for the code of a failed request."""
    said = f"{code.name}: {(details or 'no details')[:500]}"
    if code is Code.RESOURCE_EXHAUSTED:
        return ThrottledError(f"Firestore is overloaded, or a quota is used up ({said})", backend=NAME)
    if code is Code.UNAVAILABLE and "CERTIFICATE_VERIFY_FAILED" in (
        details or ""
    ):  # gRPC has no code of its own for this
        return tls.untrusted("Firestore", "CERTIFICATE_VERIFY_FAILED", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", NAME)
    if code in _TRANSIENT:
        return BackendUnavailableError(f"Firestore did not answer ({said})", backend=NAME)
    if code in _DENIED:
        return PermissionDeniedError(
            f"Firestore refuses the credentials ({said}); they need the role roles/datastore.user", backend=NAME
        )
    if code is Code.NOT_FOUND:  # for a request as a whole: a missing document is an answer and not a failure
        return MissingDatabaseError(
            f"there is no such Firestore database ({said}); create it with 'gcloud firestore databases create', or "
            "name another one in the URL (?database=...)",
            backend=NAME,
        )
    if code is Code.DATA_LOSS:
        return BackendUnusableError(f"Firestore has lost data ({said}); restore a backup", backend=NAME)
    return RefusedError(f"Firestore refuses the request ({said})", backend=NAME)


def translate(error: grpc.RpcError) -> DataStoreError:
    """Return the error for a request that failed as a whole."""
    return error_for(error.code(), error.details())


def is_lost(error: DataStoreError) -> bool:
    """Return whether a request may have been carried out all the same, because it was neither answered nor refused."""
    if isinstance(error, ThrottledError | NotSentError) or error.waited:
        return False
    return isinstance(error, BackendUnavailableError)


def no_index_of_ids(error: DataStoreError, collection: str) -> DataStoreError:
    """Return the error for a listing from the last to the first without the index that it reads."""
    return UnsupportedError(
        f"a listing from the last to the first needs the descending index of the field _id ({error.message}); let an "
        f"administrator run: gcloud firestore indexes fields update _id --collection-group={collection} "
        "--index=order=descending",
        backend=NAME,
    )


def lacks_index(error: DataStoreError) -> bool:
    """Return whether Firestore refused a query as it does if an index is missing."""
    cause = error.__cause__
    return isinstance(cause, grpc.RpcError) and cause.code() in (Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT)
