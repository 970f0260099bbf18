"""What this process happens to know of documents, so that a write need not read first.

Nothing here is relied on: every write that goes by a hint carries the document's update time as its precondition, and
one that comes too late reads. A hint saves requests, and its absence costs some; it never decides what a call answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

from datastore.adapters.remembering import mark_of, remember, remembers
from datastore.documents import UNDECODABLE
from datastore.errors import InvalidValueError
from datastore.turns import keep_newest
from datastore_firestore.codec import get_integer, get_text, get_time
from datastore_firestore.connection import Message
from datastore_firestore.documents import COUNTS, WRITES, metadata_json

_MOST_HINTS = 20_000
_MOST_GUESSES = 2_000
_MOST_METADATA = 1_000  # characters of metadata that a hint keeps


class Known(NamedTuple):
    """A document as it was read or written here."""

    update_time: tuple[int, int]
    """Firestore's own stamp: a precondition on it holds as long as nothing at all has changed."""
    created_at: str
    revision: str
    expires_at: str | None
    last_accessed_at: str | None
    access_count: int
    metadata: str | None
    """JSON text; ``None`` when it is not known."""
    writes: str = ""
    """The marks of its last writes (`datastore.adapters.remembering`)."""
    counts: str = ""
    """The marks of the last countings of its accesses."""
    damaged: bool = False
    """Nobody can read it; of all else here only ``update_time`` is known."""

    def live(self, at: str) -> bool:
        """Return whether the document has not expired at a time."""
        return self.expires_at is None or self.expires_at > at

    def knows(self, revision: str) -> bool:
        """Return whether the document has seen the write that chose a revision."""
        return revision == self.revision or remembers(self.writes, mark_of(revision))

    def writes_with(self, *revisions: str) -> str:
        """Return the marks of its writes after more of them."""
        marks, own = self.writes, mark_of(self.revision)
        if not remembers(marks, own):  # of a document that was written when there were no marks
            marks = remember(marks, own)
        for revision in revisions:
            marks = remember(marks, mark_of(revision))
        return marks


class Absent:
    """There was no document."""


ABSENT: Final = Absent()
State: TypeAlias = Known | Absent


def stamp(time: Message) -> tuple[int, int]:
    """Return a timestamp of Firestore's."""
    return time.seconds, time.nanos


def known(stored: Message, with_metadata: bool) -> Known:
    """Return what a stored document tells."""
    found = stored.fields
    if "revision" not in found:  # another program's; looking it up would put it there
        return Known(stamp(stored.update_time), "", "", None, None, 0, None, damaged=True)
    try:
        return Known(
            stamp(stored.update_time),
            get_time(found["createdAt"]),
            get_text(found["revision"]),
            get_time(found["expiresAt"]) if "expiresAt" in found else None,
            get_time(found["lastAccessedAt"]) if "lastAccessedAt" in found else None,
            get_integer(found["accessCount"]),
            metadata_json(stored) if with_metadata else None,
            _marks(stored, WRITES),
            _marks(stored, COUNTS),
        )
    except (InvalidValueError, *UNDECODABLE):
        return Known(stamp(stored.update_time), "", "", None, None, 0, None, damaged=True)


class Hints:
    """States by id, the oldest forgotten first; and for each namespace, whether an unknown id is likely to exist.

    Each step is a single operation of a dict, which needs no lock that an interrupt could leave taken; of two threads
    that note at once the older state may stand, which costs a request and no more.
    """

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._guesses: dict[str, bool] = {}

    def get(self, id: str) -> State | None:
        """Return what is known of a document, ``None`` for nothing."""
        return self._states.get(id)

    def note(self, id: str, state: State) -> None:
        """Note one state."""
        self.note_all([(id, state)])

    def note_all(self, states: Iterable[tuple[str, State]]) -> None:
        """Note states, but none that is older than what is known already."""
        for id, state in states:
            old = self._states.pop(id, None)
            self._states[id] = _newer(old, state)
        keep_newest(self._states, _MOST_HINTS)

    def forget(self, id: str) -> None:
        """Drop what turned out not to be so."""
        self._states.pop(id, None)

    def likely(self, id: str) -> bool:
        """Return whether to expect a document under an id of which nothing is known.

        It goes by the namespace's last surprise: where keys are new, new ones take one request (a create); where they
        exist, they take two (a read, and an update); where the guess is wrong it takes one more, once.
        """
        return self._guesses.get(_namespace(id), False)

    def learn(self, id: str, existed: bool) -> None:
        """Note what an id turned out to be."""
        prefix = _namespace(id)
        if self._guesses.get(prefix, False) != existed:
            self._guesses.pop(prefix, None)
            if existed:  # not to exist is what is expected anyway
                self._guesses[prefix] = True
                keep_newest(self._guesses, _MOST_GUESSES)


def _newer(old: State | None, new: State) -> State:
    if not isinstance(new, Known):
        return new
    if isinstance(old, Known):
        if old.update_time > new.update_time:
            return old
        if new.metadata is None and old.revision == new.revision:
            return new._replace(metadata=old.metadata)
    if new.metadata is not None and len(new.metadata) > _MOST_METADATA:
        return new._replace(metadata=None)
    return new


def _marks(stored: Message, field: str) -> str:
    marks: str = stored.fields[field].string_value if field in stored.fields else ""
    return marks


def _namespace(id: str) -> str:
    return id[: id.rindex(":") + 1]
