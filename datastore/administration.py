"""What administration tools can ask of an adapter besides the contract: optional, plain data, no I/O here."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

__all__ = ["REPLICA", "Diagnostic", "LegacyPage", "LegacySource", "clocks", "either"]

MOST_SKEW = 5.0
"""How many seconds two clocks may be apart: expiry and the order of changes depend on the writers' clocks."""


class Diagnostic(NamedTuple):
    """Something about a database that an administrator should know."""

    healthy: bool
    text: str
    remedy: str = ""
    """What to do about it; empty if there is nothing to do."""


REPLICA = Diagnostic(False, "it is a replica, and takes no writes", "name the primary in the URL")


def either(healthy: bool, good: str, bad: str, remedy: str) -> Diagnostic:
    """Return one of two findings.

    Args:
        healthy: Which.
        good: What there is to say if it is so.
        bad: What there is to say if it is not.
        remedy: What to do then.
    """
    return Diagnostic(True, good) if healthy else Diagnostic(False, bad, remedy)


def clocks(
    now: float, theirs: float, whose: str = "the server's", remedy: str = "synchronise both (NTP)"
) -> Diagnostic:
    """Return what there is to say of two clocks.

    Args:
        now: The time here, in seconds since 1970.
        theirs: The time there.
        whose: Whose that is.
        remedy: What to do if they do not agree.
    """
    if abs(skew := now - theirs) < MOST_SKEW:
        return Diagnostic(True, "the clocks agree")
    return Diagnostic(False, f"this clock is {skew:+,.0f} s from {whose}", remedy)


# Besides ``connect`` an adapter's module may have ``open_legacy``, a function from `datastore.urls.Url` to a source.
# The module that defines ``connect`` may have ``place``, a function from `Url` to something hashable. It is the same
# for all URLs of one database, and ``None`` for a database in memory; it prevents copying a store to itself.


class LegacyPage(NamedTuple):
    """Some documents that another program wrote."""

    documents: Sequence[Mapping[str, Any]]
    """The fields by name, as the client returns them; the id is ``_id``. Numbers may be `Decimal`, times `datetime` and
    arrays sets; `datastore.moving.legacy_format` turns them into JSON. A `datastore.values.UnreadableError` stands for
    a value that cannot be read."""
    after: str | None
    """Where the next page begins; ``None`` at the end."""


class LegacySource(Protocol):
    """A database, table or collection in the legacy format. It is only read."""

    name: str
    """The name of the database in errors and reports."""
    place: Hashable
    """Identifies the database, however its URL is written; ``None`` if that is unknown."""

    def documents(self, limit: int, after: str | None = None) -> LegacyPage:
        """Return up to ``limit`` documents, beginning after ``after`` if it is given, always in the same order."""

    def names(self, limit: int, after: str | None = None) -> LegacyPage:
        """As `documents`, but only the fields that identify the record: ``_id``, ``userId``, ``namespace``, ``key``.

        More fields are allowed if the database cannot leave them out.
        """

    def count(self) -> int | None:
        """Return the approximate number of documents, or ``None`` if only reading them all would tell."""

    def close(self) -> None:
        """Release everything. Idempotent."""
