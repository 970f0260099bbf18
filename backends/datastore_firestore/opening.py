"""Whose documents a collection holds: checked once, when a store is opened, before anything can be written.

A collection exists as soon as somebody writes a document into it, so nothing in Firestore says whose it is. But its
documents do: each one that this store has written has a revision, and those of other programs have none.
"""

from __future__ import annotations

from typing import Any

from google.cloud.firestore_v1.types import query as messages

from datastore.errors import ConfigurationError, DataStoreError
from datastore.retry import Backoff
from datastore_firestore.client import Connection, Message, Settings
from datastore_firestore.failures import NAME

_LOOKED_AT = 3
"""How many documents are read, the first by name. One of ours is enough: a damaged one must not lock the others in."""
_SECONDS, _FIRST_DELAY, _LONGEST_DELAY = 3.0, 0.05, 0.5
"""How long the check is repeated after a transient error: a connection that was just lost is usually back soon."""
_SEED = ("userId", "namespace", "key")

_Query: Any = messages.StructuredQuery.pb()


def refuse_foreign(connection: Connection, settings: Settings) -> None:
    """Read the first documents of the collection, and refuse it if another program has written all of them.

    Raises:
        ConfigurationError: If another program has, or if the database does not exist.
        PermissionDeniedError: If the credentials are refused.
        BackendUnavailableError: If Firestore does not answer.

    Requests: 1, billed as at most 3 reads of documents.
    """
    query = _Query()
    query.from_.add(collection_id=settings.collection)
    query.order_by.add(direction=_Query.Direction.Value("ASCENDING")).field.field_path = "__name__"
    for field in ("revision", *_SEED):
        query.select.fields.add().field_path = field
    query.limit.value = _LOOKED_AT
    found = [answer.document for answer in _patiently(connection, query) if answer.HasField("document")]
    if not found or any("revision" in document.fields for document in found):
        return
    records = any(all(field in document.fields for field in _SEED) for document in found)
    source = f"firestore://{settings.project}/{settings.collection}"
    moving_in = f", and bring its records over with 'datastore import-legacy {source} SINK_URL'" if records else ""
    raise ConfigurationError(
        f"the collection {settings.collection!r} belongs to something else: its documents were written by another "
        f"program. It was left untouched; name another one in the URL{moving_in}",
        backend=NAME,
    )


def _patiently(connection: Connection, query: Message) -> list[Message]:
    backoff = Backoff(_SECONDS, _FIRST_DELAY, _LONGEST_DELAY)
    while True:
        try:
            return connection.glance(query)
        except DataStoreError as error:
            if not error.retryable or not backoff.wait():
                raise
