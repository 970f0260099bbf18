"""What a write means, decided in one place: from the write and what is known of its document to a change or an outcome.

No I/O here. `decide` makes a `Change`, which an adapter turns into a request on the condition of the token that was
seen: so it is applied to exactly the state that it was decided for, or not at all.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from datastore.adapters.knowledge import ABSENT, UNSEEN, Absent, Known, State, Unseen
from datastore.adapters.remembering import MARK_LENGTH, REMEMBERED, mark_of, remember, remembers
from datastore.backend import DONE, Access, Delete, Document, Outcome, Put, Restore
from datastore.documents import UNDECODABLE, damaged
from datastore.errors import DataStoreError, ValueTooLargeError
from datastore.values import decode, encode, merge_metadata


class Change(NamedTuple):
    """One change of one document, to be applied if what is stored is still what it was decided for."""

    write: Put | Restore | Delete | Access
    """What asks for it; for an `Access`, ``number`` is what this change adds."""
    over: State
    """What it is decided for, and so its condition: that the document still has ``over.token``; that there is none
    (`ABSENT`); or whatever the write itself demands of a document that nobody has read (`UNSEEN`)."""
    after: Known | Absent | None
    """What is stored once it is applied, still with the old token; ``None`` where nobody can tell (over `UNSEEN`)."""
    outcome: Outcome | None
    """What the write comes to if it is applied; ``None``: the database tells (`Applied.outcome`)."""
    live: bool = False
    """It changes a live document, which keeps what it has been through. Otherwise it writes a whole new one (also over
    an expired one), or removes it."""
    marks: tuple[str, ...] = ()
    """The marks by which the document is to know it, the newest last; ``after`` holds them already. For a `Delete`, one
    that databases which keep something of a deleted document may keep with it."""
    attempt: int = 0
    """How often a change for the same write has been sent before in this call."""

    @property
    def id(self) -> str:
        """The document's id."""
        return self.write.id

    @property
    def token(self) -> Any:
        """The token that the document must still have; ``None`` where there must be none, or nobody has read it."""
        return self.over.token if isinstance(self.over, Known) else None

    @property
    def json(self) -> str | None:
        """The value's new JSON text; ``None`` if the value stays as it is, or goes."""
        return self.write.json if isinstance(self.write, Put | Restore) else None

    @property
    def metadata(self) -> str | None:
        """The metadata's new JSON text; ``None`` if it stays as it is."""
        after = self.after
        if not isinstance(after, Known) or isinstance(self.write, Access):
            return None
        if isinstance(self.write, Put) and self.live and not self.write.metadata:
            return None
        return after.metadata

    @property
    def writes(self) -> str:
        """The marks of writes to store with the document."""
        return self.after.writes if isinstance(self.after, Known) else ""

    @property
    def counts(self) -> str:
        """The marks of counts to store with the document."""
        return self.after.counts if isinstance(self.after, Known) else ""

    @property
    def document(self) -> Document | None:
        """The whole document to store, where all of it is known; ``None`` to remove it.

        Where accesses are counted, its value is that of the ``source`` that was loaded.
        """
        after = self.after
        if not isinstance(after, Known):
            return None
        write = self.write
        if isinstance(write, Access):
            source = self.over.source if isinstance(self.over, Known) else None
            value = source.value if isinstance(source, Document) else None
        else:
            value = write.document.value if isinstance(write, Restore) else write.value  # type: ignore[union-attr]  # a Delete has no Known after it
        return Document(
            write.id,
            after.created_at,
            after.revision,
            after.expires_at,
            value,
            decode(after.metadata or "{}"),
            after.created_by_agent,
            after.updated_at,
            after.access_count,
            after.last_accessed_by_agent,
            after.last_accessed_at,
        )


class Applied(NamedTuple):
    """A change was applied."""

    token: Any = None
    """The document's new token."""
    outcome: Outcome | None = None
    """What the write came to, where the change did not know."""
    after: Known | None = None
    """What is known of the document now, where the change did not know. Its own token counts."""


class Late(NamedTuple):
    """A change was not applied: the document is not, or no longer, what the change was decided for."""

    found: State | None = None
    """What is stored, if the database has just said so, with as much as `load` would have returned. The change's own
    ``over`` if nothing speaks against trying the same again. ``None``: it must be read."""


Result: TypeAlias = Applied | Late | DataStoreError
"""What became of one change. An error is for this change alone; if it is ``retryable``, it may have been applied."""


class Sent(NamedTuple):
    """A delete whose answer was lost, and what it was for."""

    mark: str
    revision: str | None
    """Of the document that it was to remove, as far as that is known."""
    created_at: str
    """Of the same document; empty if it is not known."""
    certain: bool
    """The document had just been read."""


class Rules(NamedTuple):
    """What deciding goes by beside the write and the document."""

    replaces_whole: bool = True
    """A change of a live document writes all of it, so that all of it must be known."""
    remembered: int = REMEMBERED
    """How many marks of writes a document keeps."""


def decide(
    write: Put | Restore | Delete,
    state: State,
    rules: Rules,
    *,
    fresh: bool,
    sent: Sent | None = None,
    mark: str = "",
) -> Change | Outcome | None:
    """Return what a write comes to.

    Args:
        write: The write.
        state: What its document is taken for.
        rules: What the adapter needs.
        fresh: Whether the state was just read. If it was not, only a `Change` is returned, or ``None``.
        sent: Of a delete: what is remembered of it if it was sent before, and its answer lost.
        mark: Of a delete: by which it is to be known.

    Returns:
        The change that brings it about; its outcome, if there is nothing to change; or ``None`` if the document must be
        read first.
    """
    if isinstance(write, Delete):
        step = _delete(write, state, rules, sent, mark, fresh)
    elif isinstance(state, Unseen):
        return Change(write, UNSEEN, None, DONE, marks=_marks_of(write))
    elif isinstance(state, Known) and state.damaged:
        step = Outcome(False, error=damaged(write.id))
    elif isinstance(write, Restore):
        step = _restore(write, state)
    else:
        step = _put(write, state, rules, fresh)
    return None if isinstance(step, Outcome) and not fresh else step


def _marks_of(write: Put | Restore) -> tuple[str, ...]:
    """Return the marks of a write, the newest last: the one that it is known by."""
    if isinstance(write, Put):
        return (mark_of(write.revision),)
    # Its revision is not new. The same document may be restored again later, over what came in between.
    revision = write.document.revision
    return (mark_of(revision), mark_of(f"{revision} {write.at}"))


def _put(put: Put, state: Known | Absent, rules: Rules, fresh: bool) -> Change | Outcome | None:
    live = state if isinstance(state, Known) and state.live(put.at) else None
    revision = None if live is None else live.revision
    marks = _marks_of(put)
    if isinstance(state, Known) and (state.revision == put.revision or remembers(state.writes, marks[0])):
        return DONE  # written before, and the answer was lost
    if (put.if_absent and live is not None) or put.if_revision not in (None, revision):
        return Outcome(False, revision)
    if live is None:
        metadata = "{}" if not put.metadata else encode(merge_metadata({}, put.metadata))
        after = Known(
            None,
            put.revision,
            put.at,
            put.expires_at,
            metadata,
            marks[0],
            created_by_agent=put.agent,
            updated_at=put.at,
        )
        return Change(put, state, after, DONE, marks=marks)
    merged = live.metadata
    if merged is None and not fresh and (put.metadata or rules.replaces_whole):
        return None
    if put.metadata:
        try:
            merged = encode(merge_metadata(decode(merged), put.metadata))  # type: ignore[arg-type]  # None is undecodable
        except ValueTooLargeError as error:
            return Outcome(False, error=error)
        except UNDECODABLE:
            return Outcome(False, error=damaged(put.id, "its metadata cannot be merged with"))
    after = live._replace(
        revision=put.revision,
        expires_at=put.expires_at,
        metadata=merged,
        writes=live.writes_with(*marks),
        updated_at=put.at,
        source=None,
    )
    return Change(put, state, after, DONE, live=True, marks=marks)


def _restore(restore: Restore, state: Known | Absent) -> Change | Outcome:
    live = state if isinstance(state, Known) and state.live(restore.at) else None
    revision = None if live is None else live.revision
    marks = _marks_of(restore)
    if live is not None and remembers(live.writes, marks[1]):
        return DONE  # written before, and the answer was lost
    if revision != restore.if_revision:
        return Outcome(False, revision)
    whole = restore.document
    after = Known(
        None,
        whole.revision,
        whole.created_at,
        whole.expires_at,
        encode(whole.metadata or {}, "metadata"),
        remember(marks[0], marks[1]) if live is None else live.writes_with(*marks),
        "",
        whole.created_by_agent,
        whole.updated_at,
        whole.access_count,
        whole.last_accessed_by_agent,
        whole.last_accessed_at,
    )
    return Change(restore, state, after, DONE, live=live is not None, marks=marks)


def _delete(
    delete: Delete, state: State, rules: Rules, sent: Sent | None, mark: str, fresh: bool
) -> Change | Outcome | None:
    if sent is not None and not fresh:
        return None  # it may have been done, and another document have been made since
    if isinstance(state, Unseen):
        return Change(delete, UNSEEN, ABSENT, None, marks=(mark,))
    if isinstance(state, Absent):
        return Outcome(sent is not None)
    if state.damaged:
        if delete.only_own and state.foreign:
            return Outcome(False)
        if delete.if_revision is not None:
            return Outcome(False, error=damaged(delete.id))
        return Change(delete, state, ABSENT, DONE, marks=(mark,))
    if sent is not None and _is_another(state, sent, delete, rules):
        return DONE  # the document that it was for is gone; this one was made later
    live = state.live(delete.at)
    revision = state.revision if live else None
    if delete.if_revision not in (None, revision):
        return Outcome(False, revision)
    return Change(delete, state, ABSENT, Outcome(live), marks=(mark,))


def _is_another(known: Known, sent: Sent, delete: Delete, rules: Rules) -> bool:
    """Return whether a document was made after the one that a delete was sent for had gone."""
    if sent.revision is None:
        return (known.since or known.created_at) > delete.at
    if known.knows(sent.revision):
        return False
    if not sent.certain and (known.since or known.created_at) < delete.at:
        return False  # it was perhaps there before, and has refused the delete
    forgetful = len(known.writes) >= MARK_LENGTH * rules.remembered  # others may have written it so often
    return not forgetful or known.created_at != sent.created_at
