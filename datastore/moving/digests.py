"""Digests of documents: equal if and only if the documents are equal in every field, type for type."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import orjson

from datastore.backend import Document
from datastore.documents import skip
from datastore.moving.pages import pages
from datastore.moving.reports import OnProgress
from datastore.store import DataStore
from datastore.values import encode

_MODULUS = 2**256
_ANY_SIZE = 2**62


def digest(document: Document) -> bytes:
    """Return the digest of a whole document. The order of an object's fields does not matter: databases change it."""
    try:
        # In one call: orjson takes a buffer for each. It refuses named tuples.
        canonical = orjson.dumps(tuple(document), None, orjson.OPT_SORT_KEYS)
    except TypeError:  # integers beyond 64 bits
        canonical = b"[%b]" % b",".join(map(_canonical, document))
    return sha256(canonical).digest()


def add(total: str, some: Iterable[bytes]) -> str:
    """Return the digest of some documents and further ones; the order in which they are added does not matter."""
    return f"{(int(total, 16) + sum(map(int.from_bytes, some))) % _MODULUS:064x}"


def digest_of(
    store: DataStore,
    *,
    user_id: str | None = None,
    namespace: str | None = None,
    on_progress: OnProgress | None = None,
) -> str:
    """Return one digest of all records of a store, to compare with another's, as 64 hexadecimal digits.

    Args:
        store: The store; its access counts are written first.
        user_id: Only this user's records.
        namespace: Only the records of this namespace.
        on_progress: Called with the progress.

    Raises:
        UnsupportedError: If the backend can only list one user's records, and no user is named.

    Requests: the pages of one listing.
    """
    total, done = "0" * 64, 0
    for page in pages(store, user_id, namespace):
        for error in page.damaged:
            skip(error)
        total = add(total, map(digest, page.documents))
        done += page.scanned
        if on_progress is not None:
            on_progress(done, None)
    return total


def _canonical(value: Any) -> bytes:
    try:
        return orjson.dumps(value, None, orjson.OPT_SORT_KEYS)
    except TypeError:  # integers beyond 64 bits
        return encode(_sorted(value), limit=_ANY_SIZE).encode()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value
