"""Errors on the wire: the same classes with the same attributes, and nothing of the host's.

An error is an object with ``type`` (the name of its class), ``message``, ``retryable``, and where they are known
``operation`` and ``backend``, with the attributes of its class beside them: ``revision``, ``outcomes``, ``unit``,
``limit`` and ``needed``, ``id`` and ``foreign``, ``holder``, ``status``. What an adapter or a database says may have
paths, addresses, statements or other users' data in it. So the message of an error of such a class is one of this
module's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from datastore import errors
from datastore.calls.batches import how_many_failed
from datastore.errors import (
    BackendUnavailableError,
    BackendUnusableError,
    BatchError,
    BlobNotFoundError,
    ClosedError,
    ConfigurationError,
    ConflictError,
    DamagedRecordError,
    DataStoreError,
    DeadlineExceededError,
    EmbedderError,
    InternalError,
    InvalidNameError,
    InvalidTokenError,
    InvalidValueError,
    KeyExistsError,
    LeaseHeldError,
    LeaseLostError,
    NoSuchRunError,
    OutcomeUnknownError,
    PermissionDeniedError,
    QueryError,
    QuotaExceededError,
    ReentrantCallError,
    RunChangedError,
    RunOverError,
    RunWaitingError,
    ThrottledError,
    UnsupportedError,
    ValueTooLargeError,
)

_CLASSES: dict[str, type[DataStoreError]] = {
    name: one
    for name, one in vars(errors).items()
    if isinstance(one, type) and issubclass(one, DataStoreError) and one is not errors.NotPicklableError
}
"""The classes by name. The one about pickling is never the answer to a call."""

_STATUS: dict[type[DataStoreError], int] = {
    InvalidTokenError: 401,
    PermissionDeniedError: 403,
    InvalidNameError: 400,
    InvalidValueError: 400,
    ValueTooLargeError: 413,
    QueryError: 400,
    ConfigurationError: 500,
    EmbedderError: 500,
    KeyExistsError: 409,
    ConflictError: 409,
    BatchError: 409,
    LeaseHeldError: 409,
    LeaseLostError: 409,
    BlobNotFoundError: 409,
    NoSuchRunError: 409,
    RunChangedError: 409,
    RunOverError: 409,
    RunWaitingError: 409,
    UnsupportedError: 501,
    ThrottledError: 429,
    BackendUnavailableError: 503,
    OutcomeUnknownError: 500,
    BackendUnusableError: 500,
    DamagedRecordError: 500,
    DeadlineExceededError: 504,
    QuotaExceededError: 403,
    ReentrantCallError: 500,
    ClosedError: 503,
    InternalError: 500,
}

_INSTEAD: dict[type[DataStoreError], str] = {
    BackendUnavailableError: "the database is down, unreachable or locked for now; the call may or may not have "
    "reached it",
    ThrottledError: "the database refused for load; try again later",
    BackendUnusableError: "the database cannot be used until the host mends it; trying again does not help",
    ConfigurationError: "the host's store is not set up for this",
    DamagedRecordError: "a stored document is not one that the store wrote; delete it by its key, or the host mends it",
    InternalError: "a fault of the server; the host's log says more",
    PermissionDeniedError: "the database refused this to the server; the host's log says more",
    UnsupportedError: "the host's database cannot do what was asked",
    ValueTooLargeError: "a value or its metadata is larger than the database takes",
    InvalidValueError: "the database refused a value",
}
"""What is said instead of what an adapter says."""
_NEVER_QUOTED = (BackendUnavailableError, BackendUnusableError, ConfigurationError, DamagedRecordError, InternalError)
"""The classes whose messages are written by adapters."""


def status_of(error: DataStoreError) -> int:
    """Return the HTTP status for an error."""
    if isinstance(error, QuotaExceededError) and error.unit == CALLS_PER_MINUTE:
        return 429
    return next((_STATUS[one] for one in type(error).__mro__ if one in _STATUS), 500)


CALLS_PER_MINUTE = "calls per minute"
"""The ``unit`` of a `QuotaExceededError` for too many calls."""


def error_to_json(error: DataStoreError, user: str, *, of_the_server: bool = False) -> dict[str, Any]:
    """Return an error as a JSON object, for a user.

    Args:
        error: The error.
        user: The user, as ids have it: an id of anybody else is not told.
        of_the_server: Whether the server itself has written the message, so that it is told as it is.
    """
    kind = next(one for one in type(error).__mro__ if one.__name__ in _CLASSES)
    told: dict[str, Any] = {"type": kind.__name__, "message": "", "retryable": error.retryable}
    told["message"] = error.message if of_the_server else _message_of(error, user)
    if error.operation is not None:
        told["operation"] = error.operation
    if error.backend is not None:
        told["backend"] = error.backend
    if isinstance(error, ConflictError):
        told["revision"] = error.revision
    elif isinstance(error, BatchError):
        told["outcomes"] = [_outcome(key, one, user) for key, one in error.outcomes.items()]
    elif isinstance(error, QuotaExceededError):
        told |= {"unit": error.unit, "limit": error.limit, "needed": error.needed}
    elif isinstance(error, DamagedRecordError):
        told |= {"id": _own(error.id, user), "foreign": error.foreign}
    elif isinstance(error, PermissionDeniedError):
        told["by_the_store"] = error.by_the_store
    elif isinstance(error, LeaseHeldError):
        told["holder"] = error.holder
    elif isinstance(error, RunOverError):
        told["status"] = error.status
    return told


def error_from_json(told: Any) -> DataStoreError:
    """Return the error that a JSON object of `error_to_json` tells.

    An object that is none becomes an `InternalError`, and one of an unknown type the most general error.
    """
    if not isinstance(told, dict) or not isinstance(told.get("message"), str):
        return InternalError("the server's answer is not one of this protocol")
    kind = _CLASSES.get(told.get("type", ""), DataStoreError) if isinstance(told.get("type"), str) else DataStoreError
    make: Callable[..., DataStoreError] = kind
    error = make(told["message"], **_attributes(kind, told))
    error.backend = _text(told.get("backend"))
    error.operation = _text(told.get("operation"))
    if isinstance(told.get("retryable"), bool) and told["retryable"] != error.retryable:
        error.retryable = told["retryable"]
    return error


def _attributes(kind: type[DataStoreError], told: Mapping[str, Any]) -> dict[str, Any]:
    if issubclass(kind, ConflictError):
        return {"revision": _text(told.get("revision"))}
    if issubclass(kind, QuotaExceededError):
        return {
            "unit": _text(told.get("unit")) or "",
            "limit": _number(told.get("limit")),
            "needed": _number(told.get("needed")),
        }
    if issubclass(kind, DamagedRecordError):
        return {"id": _text(told.get("id")), "foreign": told.get("foreign") is True}
    if issubclass(kind, PermissionDeniedError):
        return {"by_the_store": told.get("by_the_store") is True}
    if issubclass(kind, LeaseHeldError):
        return {"holder": _text(told.get("holder"))}
    if issubclass(kind, RunOverError):
        return {"status": _text(told.get("status")) or ""}
    if issubclass(kind, BatchError):
        outcomes = told.get("outcomes")
        return {"outcomes": dict(map(_outcome_from, outcomes if isinstance(outcomes, list) else []))}
    return {}


def _message_of(error: DataStoreError, user: str) -> str:
    if isinstance(error, BatchError):
        return how_many_failed({key: _public(one, user) for key, one in error.outcomes.items()})
    theirs = isinstance(error, _NEVER_QUOTED)
    if isinstance(error, (PermissionDeniedError, ConfigurationError)):
        theirs = not error.by_the_store
    elif isinstance(error, (UnsupportedError, ValueTooLargeError, InvalidValueError)):
        theirs = error.__cause__ is not None and not isinstance(error.__cause__, DataStoreError)
    if not theirs:
        return error.message
    return next(_INSTEAD[one] for one in type(error).__mro__ if one in _INSTEAD)


def _public(error: DataStoreError | None, user: str) -> DataStoreError | None:
    return None if error is None else error_from_json(error_to_json(error, user))


def _outcome(key: Any, error: DataStoreError | None, user: str) -> dict[str, Any]:
    named = {"key": key} if isinstance(key, str) else {"namespace": key[0], "key": key[1]}
    return {**named, "error": None if error is None else error_to_json(error, user)}


def _outcome_from(told: Any) -> tuple[Any, DataStoreError | None]:
    if not isinstance(told, dict):
        told = {}
    key, error = told.get("key"), told.get("error")
    named = (told["namespace"], key) if "namespace" in told else key
    return named, None if error is None else error_from_json(error)


def _own(id: str | None, user: str) -> str | None:
    return id if id is not None and id.startswith(f"{user}:") else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> int:
    return value if type(value) is int else 0
