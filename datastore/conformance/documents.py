"""Writes as the store passes them to an adapter, for the tests of the contract itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import count
from typing import Any

from datastore.backend import Backend, Document, Fields, IdRange, Outcome, Put, Write
from datastore.conformance.clock import DAY
from datastore.ids import encode_key, encode_name, namespace_prefix
from datastore.times import format_time
from datastore.values import encode

RANGE = IdRange("user:ns:", "user:ns;")
"""The range in which `put` puts a document, unless another namespace is given."""
USER_RANGE = IdRange("user:", "user;")
"""All namespaces of the user."""

_began = int(time.time()) + DAY  # see `Clock`
_revisions = count(1)


def at(seconds: float) -> str:
    """Return a time, counted from a moment that is the same in all tests."""
    return format_time(_began + seconds)


def id_of(key: str, namespace: str = "ns", user: str = "user") -> str:
    """Return the id of a record."""
    return namespace_prefix(encode_name(user, "user"), encode_name(namespace, "namespace")) + encode_key(key)


def put(key: str, value: Any = None, *, namespace: str = "ns", user: str = "user", **changes: Any) -> Put:
    """Return the write of a new document at moment 0; ``changes`` set other fields of it."""
    return Put(
        id=id_of(key, namespace, user),
        user_id=user,
        namespace=namespace,
        key=key,
        value=value,
        json=encode(value),
        metadata=None,
        agent="agent",
        at=at(0),
        revision=f"revision{next(_revisions):08}",
        expires_at=None,
    )._replace(**changes)


def apply(backend: Backend, writes: Sequence[Write]) -> list[Outcome]:
    """Apply writes, as many at once as the backend accepts."""
    size = backend.capabilities.write_batch
    batches = [backend.write(writes[start : start + size]) for start in range(0, len(writes), size)]
    return [outcome for batch in batches for outcome in batch]


def read(backend: Backend, ids: Sequence[str], fields: Fields = Fields.ALL) -> dict[str, Document]:
    """Return the documents with the given ids, as many at once as the backend accepts."""
    size = backend.capabilities.read_batch
    found: dict[str, Document] = {}
    for start in range(0, len(ids), size):
        found |= backend.read(ids[start : start + size], fields)
    return found


def stored(backend: Backend, key: str) -> Document:
    """Return the whole document of a key."""
    documents = backend.read([id_of(key)], Fields.ALL)
    assert id_of(key) in documents, f"there is no document {key!r}"
    return documents[id_of(key)]


def is_stored(backend: Backend, key: str) -> bool:
    """Return whether a key has a document, live or expired."""
    return bool(backend.read([id_of(key)], Fields.KEY))
