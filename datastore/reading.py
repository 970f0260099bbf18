"""Stores that are opened for reading only: ``mode="ro"``, the same for every adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from datastore import administration
from datastore import backend as contract
from datastore.backend import Access, Backend, Document, DocumentPage, Fields, IdRange, Outcome, Write
from datastore.errors import PermissionDeniedError

_CHANGING = frozenset({"clear", "forget", "ensure_index", "purge", "restore", "drop_customer", "drop"})
"""The methods of optional abilities that write."""


def _methods(ability: type) -> list[str]:
    return [name for name in vars(ability) if not name.startswith("_")]


_ABILITIES: dict[type, list[str]] = {
    ability: _methods(ability)
    for module in (contract, administration)
    for ability in vars(module).values()
    if getattr(ability, "_is_runtime_protocol", False) and ability.__module__ == module.__name__
}


class ReadOnlyBackend(Backend):
    """Another backend, with all of its abilities, of which those that write raise `PermissionDeniedError`.

    An adapter that can opens its database for reading only as well (`datastore.urls.Url.read_only`), so that the
    database itself stands in for this.

    Args:
        backend: What is read.
    """

    def __init__(self, backend: Backend) -> None:
        self.name = backend.name
        self.capabilities = backend.capabilities
        self._backend = backend
        # In the instance, where isinstance() finds an ability, and a read costs no call more than without this class.
        for ability, methods in _ABILITIES.items():
            if isinstance(backend, ability):
                for name in methods:
                    setattr(self, name, self._refuse if name in _CHANGING else getattr(backend, name))
        for name in ("read", "scan"):
            setattr(self, name, getattr(backend, name))

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        return self._backend.read(ids, fields)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """Refuse."""
        self._refuse()

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.scan`."""
        return self._backend.scan(range, fields, limit, after)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """Refuse; a store that only reads counts nothing."""
        self._refuse()

    def close(self) -> None:
        """See `Backend.close`."""
        self._backend.close()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise PermissionDeniedError(
            "the store was opened for reading only (mode=ro), and nothing was written; open it without that to write",
            backend=self.name,
        )
