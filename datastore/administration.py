"""What the tools of an administrator ask of an adapter, beside the contract: optional, plain data, no I/O here."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

__all__ = ["Diagnostic", "LegacyPage", "LegacySource"]


class Diagnostic(NamedTuple):
    """Something about a database that its administrator should know."""

    healthy: bool
    text: str
    remedy: str = ""
    """What to do about it, where something is to be done."""


# Beside ``connect`` an adapter's module may have ``open_legacy``, a function from `datastore.urls.Url` to a source. The
# module in which ``connect`` is written may have ``place``, a function from `Url` to something hashable: the same for
# all URLs of one database, and ``None`` for one in memory; a store is not copied to itself.


class LegacyPage(NamedTuple):
    """Some documents that another program has written."""

    documents: Sequence[Mapping[str, Any]]
    """The fields as the client gives them, by their names, the id among them as ``_id``. Numbers may be `Decimal`,
    times `datetime`, arrays sets; `datastore.moving.legacy_format` makes JSON of them. A
    `datastore.values.UnreadableError` stands for what cannot be read as a value."""
    after: str | None
    """Where to go on; ``None`` at the end."""


class LegacySource(Protocol):
    """A database, table or collection in the legacy format, as it was before this store. It is only read."""

    name: str
    """What errors and reports call the database."""
    place: Hashable
    """Which database it is, however its URL spells it; ``None`` if nobody knows."""

    def documents(self, limit: int, after: str | None = None) -> LegacyPage:
        """Return up to ``limit`` documents, those that follow ``after`` where it is given, always in the same order."""

    def names(self, limit: int, after: str | None = None) -> LegacyPage:
        """As `documents`, but of each only what says which record it is: ``_id``, ``userId``, ``namespace``, ``key``.

        More is allowed, where the database cannot leave it out.
        """

    def count(self) -> int | None:
        """Return about how many there are, or ``None`` if finding out means reading them."""

    def close(self) -> None:
        """Release everything. Idempotent."""
