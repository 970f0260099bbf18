"""Whose documents a collection holds, and in which format: checked when a store is opened, before it is used.

A collection exists as soon as somebody writes a document into it, so nothing in Firestore says whose it is. The store's
own has a document that says so, `MARKER`, whose field `_FIELD` is the version of `datastore.formats`. Without that
document, the first ones of the collection tell: each one that a store has written has a revision, and since format 2
its id as a field; those of other programs have no revision.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import grpc
from google.cloud.firestore_v1.types import query as messages
from google.cloud.firestore_v1.types import write as write_messages

from datastore import formats
from datastore.errors import ConfigurationError, PermissionDeniedError
from datastore.retry import Backoff
from datastore_firestore.client import Connection, Message, Settings
from datastore_firestore.documents import ID, MARKER
from datastore_firestore.failures import CAME_TOO_LATE, NAME

_FIELD = "format"
_LOOKED_AT = 3
"""How many documents are read, the first by name. One of ours is enough: a damaged one must not lock the others in."""
_SECONDS, _FIRST_DELAY, _LONGEST_DELAY = 3.0, 0.05, 0.5
"""How long a request is repeated after a transient error: a connection that was just lost is usually back soon."""
_SEED = ("userId", "namespace", "key")

_Query: Any = messages.StructuredQuery.pb()
_Write: Any = write_messages.Write.pb()
_T = TypeVar("_T")


def settle_format(connection: Connection, settings: Settings) -> None:
    """Check that the collection is the store's own and has the current format; mark it if it holds nothing yet.

    Raises:
        ConfigurationError: If it has an earlier format, if another program has written all that can be seen of it, or
            if the database does not exist.
        BackendUnusableError: If a newer version has written it.
        PermissionDeniedError: If the credentials are refused.
        BackendUnavailableError: If Firestore does not answer.

    Requests: 1, a read of one document. Where the marker is missing 1 more, billed as at most 3 reads, and 1 to write
    it.
    """
    opening = _Opening(connection, settings)
    where = f"the collection {settings.collection!r}"
    # Only an empty collection has no version.
    formats.settle(opening.version, lambda: True, opening.mark, where, NAME, earlier=settings.earlier_format)


class _Opening:
    """Looks at one collection."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._marker = settings.prefix + MARKER

    def version(self) -> int | None:
        """Return the version of the collection, ``None`` if it is empty."""
        found = _patiently(lambda: self._connection.batch_get([self._marker], None))[self._marker]
        if found is None:
            return self._version_of_documents()
        version = found.fields.get(_FIELD)
        if version is None or version.WhichOneof("value_type") != "integer_value":
            raise self._foreign(f"its document {MARKER!r} does not say which format it has")
        return int(version.integer_value)

    def mark(self) -> None:
        """Write the version, unless another process just did, or these credentials may only read."""
        if self._settings.read_only:
            return
        message = _Write()
        message.update.name = self._marker
        message.update.fields[_FIELD].integer_value = formats.FORMAT
        message.current_document.exists = False
        with suppress(PermissionDeniedError):  # they write no records either
            _patiently(lambda: self._create(message))

    def _create(self, message: Message) -> None:
        try:
            self._connection.commit([message])
        except grpc.RpcError as error:
            if error.code() not in CAME_TOO_LATE:
                raise self._connection.failure(error) from error
            found = self.version()
            if found is not None:
                formats.check(found, f"the collection {self._settings.collection!r}", NAME)

    def _version_of_documents(self) -> int | None:
        query = _Query()
        query.from_.add(collection_id=self._settings.collection)
        query.order_by.add(direction=_Query.Direction.Value("ASCENDING")).field.field_path = "__name__"
        for field in (ID, "revision", *_SEED):
            query.select.fields.add().field_path = field
        query.limit.value = _LOOKED_AT
        answers = _patiently(lambda: self._connection.glance(query))
        found = [answer.document for answer in answers if answer.HasField("document")]
        ours = [document for document in found if "revision" in document.fields]
        if ours:
            if not all(ID in document.fields for document in ours):
                return formats.EARLIEST
            self.mark()  # it was removed by hand
            return formats.FORMAT
        if not found:
            return None
        records = any(all(field in document.fields for field in _SEED) for document in found)
        raise self._foreign("its documents were written by another program", records=records)

    def _foreign(self, why: str, *, records: bool = False) -> ConfigurationError:
        settings = self._settings
        source = f"firestore://{settings.project}/{settings.collection}"
        moving_in = f", and bring its records over with 'datastore import-legacy {source} SINK_URL'" if records else ""
        return ConfigurationError(
            f"the collection {settings.collection!r} belongs to something else: {why}. It was left untouched; name "
            f"another one in the URL{moving_in}",
            backend=NAME,
        )


def _patiently(ask: Callable[[], _T]) -> _T:
    return Backoff(_SECONDS, _FIRST_DELAY, _LONGEST_DELAY).repeat(ask)
