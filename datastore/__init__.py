"""One persistent store for AI agents, on whichever database the host already runs.

A host opens a store with `connect` and binds it to a user and an agent with `DataStore.agent`; an agent works with the
`AgentDataStore` that it is given. The errors are those of `datastore.errors`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    from datastore.agent import AgentDataStore
    from datastore.backend import Backend, Capabilities, NamespaceStats
    from datastore.calls.batches import Item
    from datastore.calls.leases import Lease, Lock
    from datastore.calls.listings import Page
    from datastore.connecting import connect
    from datastore.errors import (
        AnswerTimeoutError,
        BackendUnavailableError,
        BackendUnusableError,
        BatchError,
        BlobNotFoundError,
        BlobReplacedError,
        ClosedError,
        ConfigurationError,
        ConflictError,
        DamagedRecordError,
        DataStoreError,
        DeadlineExceededError,
        EffectUnknownError,
        EmbedderError,
        InternalError,
        InvalidNameError,
        InvalidNameTypeError,
        InvalidTokenError,
        InvalidValueError,
        KeyExistsError,
        LeaseHeldError,
        LeaseLostError,
        NoSuchRunError,
        NotPicklableError,
        OutcomeUnknownError,
        PermissionDeniedError,
        QueryError,
        QuotaExceededError,
        ReentrantCallError,
        RunChangedError,
        RunOverError,
        RunWaitingError,
        StepFailedError,
        ThrottledError,
        UnsupportedError,
        ValueTooLargeError,
    )
    from datastore.loops import BlockingCallWarning
    from datastore.store import DataStore, Health
except Exception as error:
    # Another distribution with this import name may have replaced a file. Whatever error that causes, name it.
    from agent_datastore import explained

    if (known := explained(error)) is None:
        raise
    raise known from error

if TYPE_CHECKING:
    from datastore import limits
    from datastore.asynchronous.agent import AsyncAgentDataStore
    from datastore.asynchronous.blobs import AsyncBlobReader, AsyncBlobs
    from datastore.asynchronous.interfaces import AsyncKeyValueStore, AsyncLog, AsyncVault
    from datastore.asynchronous.leases import AsyncLease, AsyncLock
    from datastore.asynchronous.memory import AsyncMemory
    from datastore.asynchronous.runs import AsyncRun, AsyncRuns
    from datastore.asynchronous.store import AsyncDataStore, connect_async
    from datastore.asynchronous.tokens import AsyncTokens
    from datastore.blobs import Blob, Blobs
    from datastore.entries import Entry
    from datastore.events import CallEvent, Telemetry, audit
    from datastore.interfaces.key_value import KeyValueStore, key_value_grants
    from datastore.interfaces.logs import Log
    from datastore.interfaces.vault import Vault
    from datastore.memory import Embedder, Match, Memory, MemoryItem, Part, Splitter
    from datastore.memory.vector_vault import VectorVault
    from datastore.quotas import Quota
    from datastore.record import Record
    from datastore.runs import Run, Runs
    from datastore.tokens import Token, Tokens

    __version__: str

__all__ = [
    "AgentDataStore",
    "AnswerTimeoutError",
    "AsyncAgentDataStore",
    "AsyncBlobReader",
    "AsyncBlobs",
    "AsyncDataStore",
    "AsyncKeyValueStore",
    "AsyncLease",
    "AsyncLock",
    "AsyncLog",
    "AsyncMemory",
    "AsyncRun",
    "AsyncRuns",
    "AsyncTokens",
    "AsyncVault",
    "AsyncVectorVault",
    "Backend",
    "BackendUnavailableError",
    "BackendUnusableError",
    "BatchError",
    "Blob",
    "BlobNotFoundError",
    "BlobReplacedError",
    "Blobs",
    "BlockingCallWarning",
    "CallEvent",
    "Capabilities",
    "ClosedError",
    "ConfigurationError",
    "ConflictError",
    "DamagedRecordError",
    "DataStore",
    "DataStoreError",
    "DeadlineExceededError",
    "EffectUnknownError",
    "Embedder",
    "EmbedderError",
    "Entry",
    "Health",
    "InternalError",
    "InvalidNameError",
    "InvalidNameTypeError",
    "InvalidTokenError",
    "InvalidValueError",
    "Item",
    "KeyExistsError",
    "KeyValueStore",
    "Lease",
    "LeaseHeldError",
    "LeaseLostError",
    "Lock",
    "Log",
    "Match",
    "Memory",
    "MemoryItem",
    "NamespaceStats",
    "NoSuchRunError",
    "NotPicklableError",
    "OutcomeUnknownError",
    "Page",
    "Part",
    "PermissionDeniedError",
    "QueryError",
    "Quota",
    "QuotaExceededError",
    "Record",
    "ReentrantCallError",
    "Run",
    "RunChangedError",
    "RunOverError",
    "RunWaitingError",
    "Runs",
    "Splitter",
    "StepFailedError",
    "Telemetry",
    "ThrottledError",
    "Token",
    "Tokens",
    "UnsupportedError",
    "ValueTooLargeError",
    "Vault",
    "VectorVault",
    "__version__",
    "audit",
    "connect",
    "connect_async",
    "key_value_grants",
    "limits",
]


# Importing Pydantic or asyncio takes longer than importing everything else, and few programs need the other interfaces.
_LATE = {
    "AsyncAgentDataStore": "datastore.asynchronous.agent",
    "AsyncBlobReader": "datastore.asynchronous.blobs",
    "AsyncBlobs": "datastore.asynchronous.blobs",
    "AsyncDataStore": "datastore.asynchronous.store",
    "AsyncKeyValueStore": "datastore.asynchronous.interfaces",
    "AsyncLease": "datastore.asynchronous.leases",
    "AsyncLock": "datastore.asynchronous.leases",
    "AsyncMemory": "datastore.asynchronous.memory",
    "AsyncRun": "datastore.asynchronous.runs",
    "AsyncRuns": "datastore.asynchronous.runs",
    "AsyncLog": "datastore.asynchronous.interfaces",
    "AsyncTokens": "datastore.asynchronous.tokens",
    "AsyncVault": "datastore.asynchronous.interfaces",
    "AsyncVectorVault": "datastore.asynchronous.vector_vault",
    "Blob": "datastore.blobs",
    "Blobs": "datastore.blobs",
    "CallEvent": "datastore.events",
    "Embedder": "datastore.memory",
    "Entry": "datastore.entries",
    "KeyValueStore": "datastore.interfaces.key_value",
    "Log": "datastore.interfaces.logs",
    "Match": "datastore.memory",
    "Memory": "datastore.memory",
    "MemoryItem": "datastore.memory",
    "Part": "datastore.memory",
    "Quota": "datastore.quotas",
    "Record": "datastore.record",
    "Run": "datastore.runs",
    "Runs": "datastore.runs",
    "Splitter": "datastore.memory",
    "Telemetry": "datastore.events",
    "Token": "datastore.tokens",
    "Tokens": "datastore.tokens",
    "Vault": "datastore.interfaces.vault",
    "VectorVault": "datastore.memory.vector_vault",
    "audit": "datastore.events",
    "connect_async": "datastore.asynchronous.store",
    "key_value_grants": "datastore.interfaces.key_value",
}


if not TYPE_CHECKING:  # a type checker that saw it would accept every name, even a misspelt one

    def __getattr__(name: str) -> Any:
        if name in _LATE:
            return getattr(import_module(_LATE[name]), name)
        if name == "limits":
            return import_module("datastore.limits")
        if name == "__version__":
            from importlib.metadata import version  # imported here, because it is slow and seldom needed

            return version("agent-datastore")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
