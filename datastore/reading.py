"""Stores that are opened for reading only (``mode="ro"``), in the same way for every adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from datastore.backend import Ability, Access, Backend, Document, DocumentPage, Fields, IdRange, Outcome, Write
from datastore.errors import PermissionDeniedError

_CHANGING: frozenset[Ability] = frozenset(
    {"clear", "forget", "ensure_index", "ensure_vectors", "purge", "restore", "drop_tenant", "drop"}
)
"""The optional methods that write."""
_PASSED_ON = (
    "read",
    "scan",
    "plan",
    "find_few",
    "find_first",
    "document_count",
    "examine",
    "before_fork",
    "after_fork",
)


class ReadOnlyBackend(Backend):
    """Another backend with all of its abilities; the methods that write raise `PermissionDeniedError`.

    If the database can be opened for reading only, the adapter does so too (`datastore.urls.Url.read_only`): the
    database itself then enforces it.

    Args:
        backend: The backend to read from.
    """

    def __init__(self, backend: Backend) -> None:
        self.name = backend.name
        self.capabilities = backend.capabilities
        self._backend = backend
        # Set on the instance, so that a read does not cost an additional call.
        for ability in backend.capabilities.abilities:
            setattr(self, ability, self._refuse if ability in _CHANGING else getattr(backend, ability))
        for name in _PASSED_ON:
            setattr(self, name, getattr(backend, name))

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        return self._backend.read(ids, fields)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """Refuse."""
        self._refuse()

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`."""
        return self._backend.scan(range, fields, limit, after, reverse)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """Refuse: a store that only reads counts no accesses."""
        self._refuse()

    def close(self) -> None:
        """See `Backend.close`."""
        self._backend.close()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise PermissionDeniedError(
            "the store was opened for reading only (mode=ro), and nothing was written; open it without that to write",
            by_the_store=True,
            backend=self.name,
        )
