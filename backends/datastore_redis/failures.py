"""From what Redis answers to the errors of `datastore.errors`: by its codes, never by its words."""

from __future__ import annotations

import re

from redis import exceptions as client

from datastore import tls
from datastore.adapters.primitives import RefusedForNowError
from datastore.errors import (
    BackendUnavailableError,
    BackendUnusableError,
    ConfigurationError,
    DataStoreError,
    InternalError,
    PermissionDeniedError,
)

NAME = "redis"
_CODE = re.compile(r"(?:^|[ :]-|\bERR |@user_script:\d+: )([A-Z]{2,})\b")
"""The code of an answer. Redis 6 puts that of a command within a script behind words of its own: after a hyphen if the
command was not allowed, and after the place in the script if it failed."""
_DENIED = frozenset(("NOAUTH", "WRONGPASS", "NOPERM"))
_LATER = {
    "READONLY": "it is a read-only replica",
    "LOADING": "it is still loading its data",
    "BUSY": "a script keeps it busy",
    "CLUSTERDOWN": "its cluster is down",
    "TRYAGAIN": "its cluster is moving these keys",
    "MASTERDOWN": "it is a replica without its master",
    "NOREPLICAS": "too few replicas follow it",
}
_LASTING = {
    "OOM": "it has no memory left (maxmemory); give it more, or remove something",
    "MISCONF": "it cannot save to its disk, and takes no writes until it can",
}


class WrongTypeError(InternalError):
    """Something of another program lies where a record belongs."""


def code_of(error: client.ResponseError) -> str:
    """Return the code of an error; empty if it has none."""
    code = getattr(error, "status_code", None)
    found = _CODE.findall(str(error))
    return next((one for one in (code, *found) if one and one != "ERR"), "")


def refused(error: client.ResponseError) -> DataStoreError:
    """Return the error for a command that Redis refuses; it was not carried out."""
    code = code_of(error)
    if code in _LATER:
        return RefusedForNowError(f"Redis refuses for now: {_LATER[code]} ({code})", backend=NAME)
    if code in _LASTING:
        return BackendUnusableError(f"Redis takes no writes: {_LASTING[code]} ({code})", backend=NAME)
    if code in _DENIED or isinstance(error, client.NoPermissionError):
        return PermissionDeniedError(f"Redis refuses the credentials, or what they ask for ({code})", backend=NAME)
    if code in ("MOVED", "ASK", "CROSSSLOT"):
        return ConfigurationError(
            f"the server holds only a part of a cluster ({code}); name a proxy for the whole, or a single server",
            backend=NAME,
        )
    kind = WrongTypeError if code == "WRONGTYPE" else InternalError
    return kind(f"Redis does not accept a command ({code or type(error).__name__})", backend=NAME)


def failed(error: Exception, place: str) -> DataStoreError:
    """Return the error for a connection that was not made, was lost, or brought no answer in time."""
    if isinstance(error, client.AuthenticationError):
        return PermissionDeniedError("Redis refuses the credentials", backend=NAME)
    refusal = tls.refusal(error, place, "SSL_CERT_FILE", NAME)
    if refusal is not None:
        return refusal
    if isinstance(error, client.BusyLoadingError):
        return RefusedForNowError("Redis refuses for now: it is still loading its data (LOADING)", backend=NAME)
    if isinstance(error, client.ResponseError):
        return refused(error)
    return BackendUnavailableError(f"{place} did not answer ({type(error).__name__})", backend=NAME)
