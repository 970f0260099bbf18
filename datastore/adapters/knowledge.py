"""What an adapter knows of stored documents without their values: as just read, or as remembered from earlier calls.

What is remembered may shape a request, which carries the token that was seen as its condition. It never settles an
outcome. So being out of date costs a request, and nothing else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeAlias

from datastore.adapters.remembering import mark_of, remember, remembers
from datastore.backend import Document
from datastore.values import encode


class Known(NamedTuple):
    """A stored document, but for its value.

    An adapter that changes fields of a stored document, rather than the whole of it, may leave out what it does not
    need: all that has a default.
    """

    token: Any
    """What changes whenever anything of the document does, and is the condition of a change; to the toolkit it is
    opaque."""
    revision: str
    created_at: str
    expires_at: str | None
    metadata: str | None = None
    """As JSON text, so that nobody can change it; ``None`` when it is not known."""
    writes: str = ""
    """The marks of its last writes (`datastore.adapters.remembering`), the newest first."""
    counts: str = ""
    """The marks of the last times that accesses of it were counted."""
    created_by_agent: str = ""
    updated_at: str = ""
    access_count: int = 0
    last_accessed_by_agent: str | None = None
    last_accessed_at: str | None = None
    damaged: bool = False
    """Nobody can read it; of all else here only ``token`` is known."""
    foreign: bool = False
    """It is damaged, and another program has written it: it has no revision."""
    since: str = ""
    """Since when it is there by the database's own clock, if that tells. ``created_at`` is when the call began that
    made it, which may be before a delete that it came after."""
    source: Any = None
    """What was read, for adapters that need it to make a change. It is never remembered."""

    def live(self, at: str) -> bool:
        """Return whether the document has not expired at a time."""
        return self.expires_at is None or self.expires_at > at

    def knows(self, revision: str) -> bool:
        """Return whether a write, by the revision that it chose, is among the last ones of the document."""
        return revision == self.revision or remembers(self.writes, mark_of(revision))

    def with_token(self, token: Any) -> Known:
        """Return the same with another token, faster than `_replace` would."""
        return Known(token, *self[1:])

    def writes_with(self, *marks: str) -> str:
        """Return the marks that the document has after more writes.

        Its own may be missing among them: who changes a document by hand, or wrote it when there were no marks, leaves
        none.

        Args:
            marks: Those of the new writes, the newest last (`datastore.adapters.remembering.mark_of`).
        """
        writes, own = self.writes, mark_of(self.revision)
        if not remembers(writes, own):
            writes = remember(writes, own)
        for mark in marks:
            writes = remember(writes, mark)
        return writes


def known_of(document: Document, token: Any, writes: str = "", counts: str = "") -> Known:
    """Return what is to be known of a whole document, which is kept as the ``source``.

    Args:
        document: With `datastore.backend.Fields.ALL`, or as much as was asked for.
        token: What changes whenever anything of it does.
        writes: The marks that are stored with it.
        counts: The same, of counts.

    Raises:
        InvalidValueError: If the metadata is not what JSON can hold.
    """
    return Known(
        token,
        document.revision,
        document.created_at,
        document.expires_at,
        None if document.metadata is None else encode(document.metadata, "metadata"),
        writes,
        counts,
        document.created_by_agent,
        document.updated_at,
        document.access_count,
        document.last_accessed_by_agent,
        document.last_accessed_at,
        source=document,
    )


def damaged_one(token: Any, *, foreign: bool = False) -> Known:
    """Return what is known of a document that nobody can read: it can be removed, and nothing else."""
    return Known(token, "", "", None, damaged=True, foreign=foreign)


class Absent:
    """There is no document."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


class Unseen:
    """Whatever there is: a change of it decides in the database."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSEEN"


ABSENT: Final = Absent()
UNSEEN: Final = Unseen()
State: TypeAlias = Known | Absent | Unseen


class Memory:
    """What is known of documents that were seen here, bounded: those not noted for longest are forgotten first.

    Correctness never depends on it, only the number of requests. Each step is a single operation of a dict, which needs
    no lock that an interrupt could leave taken; of two threads that note at once the older state may stand.

    Args:
        documents: The most that are remembered.
        metadata: The most characters of metadata that are remembered of one; longer ones are not.
        absences: Whether it is also remembered that there is no document. That is worth it where an adapter would
            otherwise read before it writes.
        newer: Whether one token is newer than another, for databases whose tokens can be compared: what is newer then
            stays.
    """

    def __init__(
        self,
        documents: int = 10_000,
        metadata: int = 1_000,
        *,
        absences: bool = False,
        newer: Callable[[Any, Any], bool] | None = None,
    ) -> None:
        self._most = documents
        self._longest_metadata = metadata
        self._absences = absences
        self._newer = newer
        self.clear()

    def __len__(self) -> int:
        return len(self._states)

    def get(self, id: str) -> Known | Absent | None:
        """Return what is known of a document; ``None`` for nothing."""
        return self._states.get(id)

    def note(self, id: str, state: State) -> None:
        """Remember a document, or that there is none."""
        kept: Known | Absent | None = None
        if isinstance(state, Known):
            kept = self._kept(state, self._states.get(id))
        elif state is ABSENT and self._absences:
            kept = ABSENT
        states = self._states
        states.pop(id, None)  # so that it comes last
        if kept is None:
            return
        states[id] = kept
        if len(states) > self._most:
            with suppress(KeyError):  # others have forgotten them all just now
                states.popitem(last=False)

    def forget(self, id: str) -> None:
        """Know nothing of a document any more."""
        self._states.pop(id, None)

    def clear(self) -> None:
        """Know nothing at all."""
        self._states: OrderedDict[str, Known | Absent] = OrderedDict()

    def _kept(self, new: Known, old: Known | Absent | None) -> Known:
        """Return what to remember of a document, given what is remembered of it already."""
        if isinstance(old, Known):
            if self._newer is not None and self._newer(old.token, new.token):
                return old
            if new.metadata is None and old.revision == new.revision:
                new = new._replace(metadata=old.metadata)
        if new.metadata is not None and len(new.metadata) > self._longest_metadata:
            new = new._replace(metadata=None)
        return new if new.source is None else new._replace(source=None)
