"""What an adapter knows of stored documents without their values: just read, or remembered from earlier calls.

What is remembered may shape a request, whose condition is the token that was seen. It never settles an outcome. So if
it is out of date, that costs a request and nothing else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeAlias

from datastore.adapters.remembering import MARK_LENGTH, REMEMBERED, mark_of, remember, remembers
from datastore.backend import Document
from datastore.values import encode


class Known(NamedTuple):
    """A stored document without its value.

    An adapter that changes fields of a stored document, and does not replace the whole, may leave out the fields with a
    default that it does not need.
    """

    token: Any
    """It changes whenever anything in the document does, and is the condition of a change. The toolkit does not look
    into it."""
    revision: str
    created_at: str
    expires_at: str | None
    metadata: str | None = None
    """As JSON text, which nobody can change; ``None`` if it is not known."""
    writes: str = ""
    """The marks of its last writes (`datastore.adapters.remembering`), the newest first."""
    counts: str = ""
    """The marks of the last counts of its accesses."""
    created_by_agent: str = ""
    updated_at: str = ""
    access_count: int = 0
    last_accessed_by_agent: str | None = None
    last_accessed_at: str | None = None
    updated_by_agent: str | None = None
    damaged: bool = False
    """It cannot be read. Then only ``token`` and ``foreign`` are known."""
    foreign: bool = False
    """It is damaged because another program has written it: it has no revision."""
    fences: str = ""
    """What it remembers of leases (`datastore.fences`)."""
    since: str = ""
    """When it was created by the database's own clock, if the database tells. ``created_at`` is when the call that
    created it began, and a delete may have come in between."""
    source: Any = None
    """What was read, for adapters that need it to make a change. It is never remembered."""

    def live(self, at: str) -> bool:
        """Return whether the document has not expired at the given time."""
        return self.expires_at is None or self.expires_at > at

    def knows(self, revision: str) -> bool:
        """Return whether a write, given by the revision that it chose, is among the document's last ones."""
        return revision == self.revision or remembers(self.writes, mark_of(revision))

    def with_token(self, token: Any) -> Known:
        """Return the same with another token, in a fraction of the time that `_replace` takes."""
        return tuple.__new__(Known, (token, *self[1:]))

    def writes_with(self, *marks: str) -> str:
        """Return the marks that the document has after more writes.

        The mark of its own revision may be missing: somebody may have changed the document by hand, or a version
        without marks may have written it. It is then added.

        Args:
            marks: The marks of the new writes, the newest last (`datastore.adapters.remembering.mark_of`).
        """
        writes, own = self.writes, mark_of(self.revision)
        if not (type(writes) is str and writes.startswith(own)) and not remembers(writes, own):  # usually the newest
            writes = remember(writes, own)
        return ("".join(marks[::-1]) + writes)[: MARK_LENGTH * REMEMBERED]


def known_of(
    document: Document, token: Any, writes: str = "", counts: str = "", source: Any = None, *, fences: str = ""
) -> Known:
    """Return what the toolkit must know of a whole document.

    Args:
        document: With `datastore.backend.Fields.ALL`, or as much as was asked for.
        token: The document's token; see `Known.token`.
        writes: The marks of writes that are stored with it.
        counts: The marks of counts that are stored with it.
        source: What to keep as `Known.source`; by default the document.
        fences: What is stored with it of leases.

    Raises:
        InvalidValueError: If the metadata is not valid JSON.
    """
    _, created_at, revision, expires_at, _, stored, creator, updated_at, count, accessor, accessed_at, writer = document
    # Most records have no metadata.
    metadata = None if stored is None else "{}" if stored == {} else encode(stored, "metadata")
    return Known(
        token,
        revision,
        created_at,
        expires_at,
        metadata,
        writes,
        counts,
        creator,
        updated_at,
        count,
        accessor,
        accessed_at,
        writer,
        fences=fences,
        source=document if source is None else source,
    )


def damaged_one(token: Any, *, foreign: bool = False) -> Known:
    """Return what is known of a document that cannot be read: it can only be removed."""
    return Known(token, "", "", None, damaged=True, foreign=foreign)


class Absent:
    """There is no document."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


class Unseen:
    """Nobody has read the document: the database itself decides about a change of it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSEEN"


ABSENT: Final = Absent()
UNSEEN: Final = Unseen()
State: TypeAlias = Known | Absent | Unseen


class Memory:
    """What is known of documents that this process has seen; the least recently noted are forgotten first.

    Correctness never depends on it, only the number of requests. Each step is a single operation of a dict, which needs
    no lock that an interrupt could leave taken. If two threads note the same document at once, the older state may
    remain.

    Args:
        documents: The most that are remembered.
        metadata: The longest metadata of one document that are remembered, in characters.
        absences: Whether it is also remembered that a document does not exist. This helps an adapter that would
            otherwise read before it writes.
        newer: Returns whether its first token is newer than its second, for databases whose tokens can be compared. The
            newer state is then kept.
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
        """Return what is known of a document, or ``None`` if nothing is."""
        return self._states.get(id)

    def note(self, id: str, state: State) -> None:
        """Remember a document, or that it does not exist."""
        states = self._states
        old = states.pop(id, None)  # so that it becomes the newest
        if isinstance(state, Known):
            states[id] = self._kept(state, old)
        elif state is ABSENT and self._absences:
            states[id] = ABSENT
        else:
            return
        if len(states) > self._most:
            self._forget_oldest()

    def note_changed(self, ids: Iterable[str], changed: Iterable[Known], token: Any) -> None:
        """Remember documents that were changed together, in half the time that noting one after another takes.

        Args:
            ids: Their ids.
            changed: What is known of each but the token.
            token: The token that all of them have now.
        """
        states, kept = self._states, self._kept
        for id, known in zip(ids, changed, strict=True):
            old = states.pop(id, None)  # so that it becomes the newest
            states[id] = kept(tuple.__new__(Known, (token, *known[1:])), old)
        self._forget_oldest()

    def note_read(self, documents: Iterable[Document], conditions: Iterable[tuple[Any, str, str]]) -> None:
        """Remember documents that were read.

        Most that are read without metadata are still as they are remembered. To see that takes a quarter of the time
        that noting them again takes.

        Args:
            documents: With `datastore.backend.Fields.VALUE` or more.
            conditions: For each the token (see `Known.token`), the marks of writes, and what it remembers of leases.
        """
        states = self._states
        for document, (token, writes, fences) in zip(documents, conditions, strict=True):
            old = states.get(document.id)
            if (
                type(old) is Known
                and document.metadata is None
                and old.token == token
                and old.revision == document.revision
                and old.created_at == document.created_at
                and old.expires_at == document.expires_at
                and old.writes == writes
                and old.fences == fences
            ):
                try:  # noqa: SIM105 - `suppress` takes as long as all the rest
                    states.move_to_end(document.id)
                except KeyError:  # another thread has just forgotten it
                    pass
            else:
                self.note(document.id, known_of(document, token, writes, fences=fences))

    def forget(self, id: str) -> None:
        """Forget what is known of a document."""
        self._states.pop(id, None)

    def clear(self) -> None:
        """Forget everything."""
        self._states: OrderedDict[str, Known | Absent] = OrderedDict()

    def _forget_oldest(self) -> None:
        while len(self._states) > self._most:
            with suppress(KeyError):  # other threads have just removed all of them
                self._states.popitem(last=False)

    def _kept(self, new: Known, old: Known | Absent | None) -> Known:
        """Return what to remember of a document, given what was remembered of it before."""
        if isinstance(old, Known):
            if self._newer is not None and self._newer(old.token, new.token):
                return old
            if new.metadata is None and old.revision == new.revision:
                # Faster than `_replace`, and each read comes here.
                new = Known(new.token, new.revision, new.created_at, new.expires_at, old.metadata, *new[5:])
        if new.metadata is not None and len(new.metadata) > self._longest_metadata:
            new = new._replace(metadata=None)
        return new if new.source is None else Known(*new[:-1])  # without its last field, and faster than `_replace`
