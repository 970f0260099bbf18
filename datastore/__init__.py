"""One persistent store for AI agents, on whichever database the host already runs.

A host opens a store with `connect` and binds it to a user and an agent with `DataStore.agent`; an agent works with the
`AgentDataStore` that it is given. The errors are those of `datastore.errors`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    from datastore.agent import AgentDataStore
    from datastore.backend import Backend, Capabilities
    from datastore.connecting import connect
    from datastore.errors import (
        BackendUnavailableError,
        BackendUnusableError,
        BatchError,
        ClosedError,
        ConfigurationError,
        ConflictError,
        DamagedRecordError,
        DataStoreError,
        DeadlineExceededError,
        InternalError,
        InvalidNameError,
        InvalidValueError,
        KeyExistsError,
        PermissionDeniedError,
        QueryError,
        ReentrantCallError,
        ThrottledError,
        UnsupportedError,
        ValueTooLargeError,
    )
    from datastore.listing import Page
    from datastore.store import DataStore
except Exception as error:
    # Another distribution with this import name may have replaced a file: whatever that does, say who it is.
    from agent_datastore import explained

    if (known := explained(error)) is None:
        raise
    raise known from error

if TYPE_CHECKING:
    from datastore.interfaces.key_value import KeyValueStore
    from datastore.interfaces.vault import Vault
    from datastore.record import Record

__all__ = [
    "AgentDataStore",
    "Backend",
    "BackendUnavailableError",
    "BackendUnusableError",
    "BatchError",
    "Capabilities",
    "ClosedError",
    "ConfigurationError",
    "ConflictError",
    "DamagedRecordError",
    "DataStore",
    "DataStoreError",
    "DeadlineExceededError",
    "InternalError",
    "InvalidNameError",
    "InvalidValueError",
    "KeyExistsError",
    "KeyValueStore",
    "Page",
    "PermissionDeniedError",
    "QueryError",
    "Record",
    "ReentrantCallError",
    "ThrottledError",
    "UnsupportedError",
    "ValueTooLargeError",
    "Vault",
    "connect",
]


# Importing Pydantic takes longer than importing all the rest, and few need the other interfaces.
_LATE = {
    "KeyValueStore": "datastore.interfaces.key_value",
    "Record": "datastore.record",
    "Vault": "datastore.interfaces.vault",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
