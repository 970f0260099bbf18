"""Stores of the earlier format, read as if they were of the current one: for ``datastore migrate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from datastore.backend import Ability, Access, Backend, Document, DocumentPage, Fields, IdRange, Outcome, Write
from datastore.documents import NO_KEY, damaged
from datastore.errors import DamagedRecordError
from datastore.ids import decode_earlier_key, decode_key, encode_earlier_key, encode_key, is_id, split_id

_KEPT: frozenset[Ability] = frozenset({"all_documents", "count"})
"""The optional methods that mean the same for both: none of their ranges ends within a namespace."""


class EarlierFormat(Backend):
    """A backend of the earlier format, whose documents have the ids of the current one. It writes nothing.

    Pages go on after what the database itself has for an id, so an ``after`` is of the earlier format.

    Args:
        backend: What is read.
    """

    def __init__(self, backend: Backend) -> None:
        self.name = backend.name
        self.capabilities = replace(backend.capabilities, abilities=backend.capabilities.abilities & _KEPT)
        self.count = backend.count  # type: ignore[method-assign]  # in the instance, as the database has it or not
        self.document_count = backend.document_count  # type: ignore[method-assign]  # the same
        self._backend = backend

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        earlier = {_to_earlier(id): id for id in ids}
        found = self._backend.read(list(earlier), fields)
        return {earlier[id]: document._replace(id=earlier[id]) for id, document in found.items()}

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """Refuse."""
        self._unsupported("writing to a store of the earlier format")

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`; the range is of whole namespaces."""
        return _current(self._backend.scan(range, fields, limit, after, reverse))

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`."""
        return _current(self._backend.all_documents(fields, limit, after))

    def record_access(self, accesses: Sequence[Access]) -> None:
        """Refuse."""
        self._unsupported("counting in a store of the earlier format")

    def close(self) -> None:
        """See `Backend.close`."""
        self._backend.close()


def from_earlier(id: str) -> str | None:
    """Return the id that a record of the earlier format has in the current one; ``None`` if it is not an id."""
    try:
        beginning, encoded = split_id(id)
        key = decode_earlier_key(encoded)
        current = beginning + encode_key(key)
    except ValueError:
        return None
    return current if encode_earlier_key(key) == encoded and is_id(current) else None


def _to_earlier(id: str) -> str:
    beginning, encoded = split_id(id)
    return beginning + encode_earlier_key(decode_key(encoded))


def _current(page: DocumentPage) -> DocumentPage:
    documents, broken = list[Document](), list[DamagedRecordError](page.damaged)
    for document in page.documents:
        id = from_earlier(document.id)
        if id is None:
            broken.append(damaged(document.id, NO_KEY))
        else:
            documents.append(document._replace(id=id))
    return DocumentPage(documents, page.after, broken)
