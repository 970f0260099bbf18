"""What a write means, decided in one place. `decide` turns a write and what is known of its document into a change.

No I/O here. An adapter turns a `Change` into a request whose condition is the token that was seen. So the change is
applied to exactly the state that it was decided for, or not at all.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from datastore.adapters.knowledge import ABSENT, UNSEEN, Absent, Known, State, Unseen
from datastore.adapters.remembering import MARK_LENGTH, REMEMBERED, mark_of, remember, remembers
from datastore.backend import DONE, Access, Delete, Document, Fence, Outcome, Put, Restore, Touch
from datastore.documents import UNDECODABLE, damaged
from datastore.errors import DataStoreError, OutcomeUnknownError, ValueTooLargeError
from datastore.fences import GONE, fences_after, is_refused, lease_lost
from datastore.ids import area_of, decode_id, home_of
from datastore.values import decode, encode, merge_metadata


class Change(NamedTuple):
    """One change of one document, to be applied only if the document is still in the state that it was decided for."""

    write: Put | Restore | Delete | Touch | Access
    """The write that asks for it. For an `Access`, ``number`` is how many this change adds."""
    over: State
    """The state that it was decided for, which is its condition: the document still has ``over.token``; or there is no
    document (`ABSENT`); or, for a document that nobody has read (`UNSEEN`), whatever the write itself demands."""
    after: Known | Absent | None
    """What is stored after it, still with the old token; ``None`` if that cannot be known (over `UNSEEN`)."""
    outcome: Outcome | None
    """The outcome of the write if the change is applied; ``None`` if only the database knows it (`Applied.outcome`)."""
    live: bool = False
    """Whether it changes a live document, which keeps its creation and accesses. Otherwise it writes a whole new
    document, perhaps over an expired one, or removes it."""
    marks: tuple[str, ...] = ()
    """The marks by which the document is to recognise it, the newest last; ``after`` holds them already. For a
    `Delete`, a mark that the database may store with what it keeps of a deleted document."""
    attempt: int = 0
    """How many changes for the same write were sent before in this call."""

    @property
    def id(self) -> str:
        """The document's id."""
        return self.write.id

    @property
    def token(self) -> Any:
        """The token that the document must still have; ``None`` if there must be no document, or nobody has read it."""
        return self.over.token if isinstance(self.over, Known) else None

    @property
    def json(self) -> str | None:
        """The value's new JSON text; ``None`` if the value stays as it is, or is removed."""
        return self.write.json if isinstance(self.write, Put | Restore) else None

    @property
    def metadata(self) -> str | None:
        """The metadata's new JSON text; ``None`` if it stays as it is."""
        after = self.after
        if not isinstance(after, Known) or isinstance(self.write, Access | Touch):
            return None
        if isinstance(self.write, Put) and self.live and not self.write.metadata:
            return None
        return after.metadata

    @property
    def writes(self) -> str:
        """The marks of writes that are to be stored with the document."""
        return self.after.writes if isinstance(self.after, Known) else ""

    @property
    def counts(self) -> str:
        """The marks of counts that are to be stored with the document."""
        return self.after.counts if isinstance(self.after, Known) else ""

    @property
    def fences(self) -> str:
        """What is to be stored with the document of leases (`datastore.fences`); empty for nothing."""
        if isinstance(self.after, Known):
            return self.after.fences
        fence = self.fence
        return "" if fence is None else fence.entry  # over `UNSEEN`, on the condition that it may be written

    @property
    def fence(self) -> Fence | None:
        """The lease under which it writes. Only then ``fences`` differ from what was there."""
        return None if isinstance(self.write, Restore | Access) else self.write.fence

    @property
    def document(self) -> Document | None:
        """The whole document to store, if all of it is known; ``None`` to remove the document.

        If accesses are counted or the expiry is moved, its value is taken from the ``source`` that was loaded.
        """
        after = self.after
        if not isinstance(after, Known):
            return None
        write = self.write
        if isinstance(write, Access | Touch):
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
            after.updated_by_agent,
        )


class Applied(NamedTuple):
    """A change was applied."""

    token: Any = None
    """The document's new token."""
    outcome: Outcome | None = None
    """The outcome of the write, if the change did not know it."""
    after: Known | None = None
    """What is known of the document now, if the change did not know it. It must have its own new token."""


class Late(NamedTuple):
    """A change was not applied, because the document is not in the state that the change was decided for."""

    found: State | None = None
    """What is stored, if the database has just said so, with as much as `load` would have returned; the change's own
    ``over`` if the same change may be tried again; ``None`` if the document must be read."""


Result: TypeAlias = Applied | Late | DataStoreError
"""The result of one change. An error is for this change alone. If it is ``retryable``, the change may be applied."""


class Sent(NamedTuple):
    """A delete or a touch whose answer was lost, with what is known of the document that it was for."""

    mark: str
    revision: str | None
    """The document's revision; ``None`` if it is not known."""
    created_at: str
    """When the document was created; empty if it is not known."""
    certain: bool
    """Whether the document had just been read."""
    known: bool = False
    """Whether the database says that this delete has removed the document (`Primitives.was_removed_by`)."""


class Rules(NamedTuple):
    """What deciding depends on, besides the write and the document."""

    replaces_whole: bool = True
    """A change of a live document writes all of it, so all of it must be known."""
    remembered: int = REMEMBERED
    """How many marks of writes a document keeps."""


def decide(
    write: Put | Restore | Delete | Touch,
    state: State,
    rules: Rules,
    *,
    fresh: bool,
    sent: Sent | None = None,
    mark: str = "",
) -> Change | Outcome | None:
    """Return what is to be done for a write.

    Args:
        write: The write.
        state: What is known, remembered or guessed of its document.
        rules: What the adapter needs.
        fresh: Whether the state was just read. If not, the result is only a `Change` or ``None``.
        sent: For a delete or a touch that was sent before and whose answer was lost: what is remembered of it.
        mark: For a delete: the mark by which it is to be recognised.

    Returns:
        The change to make; or the outcome, if there is nothing to change; or ``None`` if the document must be read
        first.
    """
    step: Change | Outcome | None
    if type(write) is Put and type(state) is Known and not state.damaged:  # first, because most writes are
        step = _put(write, state, rules, fresh)
    elif isinstance(write, Delete):
        step = _delete(write, state, rules, sent, mark, fresh)
    elif isinstance(write, Touch):
        step = _touch(write, state, rules, sent, fresh)
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
    """Return the marks of a write, the newest last. The newest is the one that it is recognised by."""
    if isinstance(write, Put):
        return (mark_of(write.revision),)
    # Its revision is not new: the same document may be restored again later, over other writes.
    revision = write.document.revision
    return (mark_of(revision), mark_of(f"{revision} {write.at}"))


def _put(put: Put, state: Known | Absent, rules: Rules, fresh: bool) -> Change | Outcome | None:
    # Each write comes here. To take tuples apart and to make them takes a third of what it takes by their names.
    *_, added, agent, at, own, expires_at, if_absent, if_revision, keep_expiry, fence, _, _ = put
    live: Known | None = None
    revision, fences, mark = None, "", mark_of(own)
    if isinstance(state, Known):
        if state.revision == own or remembers(state.writes, mark):
            return DONE  # it was written before, and the answer was lost
        fences = state.fences
        if state.live(at):
            live, revision = state, state.revision
    if fence is not None and is_refused(fences, fence):
        return Outcome(False, error=lease_lost())
    if (if_absent and live is not None) or if_revision not in (None, revision):
        return Outcome(False, revision)
    fences = fences_after(fences, fence)
    if live is None:
        metadata = "{}" if not added else encode(merge_metadata({}, added))
        after = Known(
            None, own, at, expires_at, metadata, mark,
            created_by_agent=agent, updated_at=at, updated_by_agent=agent, fences=fences,
        )  # fmt: skip
        return Change(put, state, after, DONE, False, (mark,))
    token, _, created_at, before, merged, _, counts, creator, _, number, accessor, accessed_at, *_, since, _ = live
    if merged is None and not fresh and (added or rules.replaces_whole):
        return None
    if added:
        try:
            merged = encode(merge_metadata(decode(merged), added))  # type: ignore[arg-type]  # None is undecodable
        except ValueTooLargeError as error:
            return Outcome(False, error=error)
        except UNDECODABLE:
            return Outcome(False, error=damaged(put.id, "its metadata cannot be merged with new metadata"))
    known = (
        token, own, created_at, before if keep_expiry else expires_at, merged, live.writes_with(mark), counts, creator,
        at, number, accessor, accessed_at, agent, False, False, fences, since, None,
    )  # fmt: skip
    return tuple.__new__(Change, (put, state, tuple.__new__(Known, known), DONE, True, (mark,), 0))


def _restore(restore: Restore, state: Known | Absent) -> Change | Outcome:
    live = state if isinstance(state, Known) and state.live(restore.at) else None
    revision = None if live is None else live.revision
    marks = _marks_of(restore)
    if live is not None and remembers(live.writes, marks[1]):
        return DONE  # it was written before, and the answer was lost
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
        whole.updated_by_agent,
        fences=state.fences if isinstance(state, Known) else "",
    )
    return Change(restore, state, after, DONE, live=live is not None, marks=marks)


def _touch(touch: Touch, state: State, rules: Rules, sent: Sent | None, fresh: bool) -> Change | Outcome | None:
    if sent is not None and not fresh:
        return None  # it may be done, and another document may have been created since
    if isinstance(state, Unseen):
        return Change(touch, UNSEEN, None, None)
    if isinstance(state, Absent):
        return Outcome(False)
    if state.damaged:
        return Outcome(False, error=damaged(touch.id))
    if is_refused(state.fences, touch.fence):
        return Outcome(False, error=lease_lost())
    if not state.live(touch.at):
        return Outcome(False)
    fences = fences_after(state.fences, touch.fence)
    if state.expires_at == touch.expires_at and state.fences == fences:
        return DONE
    if sent is not None and _is_later(state, sent, touch):
        return DONE  # the document that it was for is gone, and the expiry of this one is somebody else's
    if rules.replaces_whole and state.source is None:
        return None  # the value must be written again, and so it must be read
    after = state._replace(expires_at=touch.expires_at, fences=fences, source=None)
    return Change(touch, state, after, DONE, live=True)


def _is_later(known: Known, sent: Sent, touch: Touch) -> bool:
    """Return whether a document was created after the one that a touch was sent for was gone."""
    if touch.seen is not None:
        return known.created_at != touch.seen
    if known.created_at == sent.created_at:
        return False
    # A document that was only remembered may have been gone before the call, and this one have been there.
    return sent.certain or (known.since or known.created_at) > touch.at


def _delete(
    delete: Delete, state: State, rules: Rules, sent: Sent | None, mark: str, fresh: bool
) -> Change | Outcome | None:
    if sent is not None and not fresh:
        return None  # it may be done, and another document may have been created since
    if isinstance(state, Unseen):
        return Change(delete, UNSEEN, ABSENT, None, marks=(mark,))
    if isinstance(state, Absent):
        if sent is not None and delete.certain and not sent.known:
            return Outcome(False, error=_not_certain())
        return Outcome(sent is not None)
    if state.damaged:
        if delete.only_own and state.foreign:
            return Outcome(False)
        if delete.if_revision is not None:
            return Outcome(False, error=damaged(delete.id))
        return Change(delete, state, ABSENT, DONE, marks=(mark,))
    if delete.fence is not None:
        if remembers(state.writes, mark) or _has_removed(delete, state):
            return DONE  # it was removed before, and the answer was lost
        if is_refused(state.fences, delete.fence):
            return Outcome(False, error=lease_lost())
    if (
        sent is not None
        and delete.certain
        and (not state.knows(delete.if_revision or "") or _was_written_again(state, sent))
    ):
        # It may be a later one, made after this delete had removed the other.
        return Outcome(False, error=_not_certain())
    if sent is not None and _is_another(state, sent, delete, rules):
        return DONE  # the document that it was for is gone, and this one is newer
    live = state.live(delete.at)
    if sent is not None and sent.revision is not None and not live and not state.knows(sent.revision):
        return Outcome(True)  # as if it were gone: the document that it was for was live, and this one is another
    revision = state.revision if live else None
    if delete.if_revision not in (None, revision):
        return Outcome(False, revision)
    if delete.fence is not None:
        return _removal(delete, state, mark) if live else Outcome(False)
    return Change(delete, state, ABSENT, Outcome(live), marks=(mark,))


def _has_removed(delete: Delete, state: Known) -> bool:
    """Return whether a document is what this delete has put there, in an attempt of which nothing is remembered."""
    made_then = state.expires_at == GONE and state.created_at == delete.at
    return made_then and delete.fence is not None and state.fences.startswith(delete.fence.entry)


def _removal(delete: Delete, state: Known, mark: str) -> Change:
    """Return the change that puts a document in the place of one that is deleted under a lease: see `Delete.fence`."""
    home = home_of(delete.id)
    if home is None:
        name = decode_id(delete.id)
    else:  # as `datastore.scope.Scope.area` names it
        name = decode_id(home + delete.id.rpartition(":")[2])
        name = name._replace(namespace=f"{area_of(delete.id)}:{name.namespace}")
    put = Put(delete.id, *name, None, "null", None, "", delete.at, f"deleted-{mark}", GONE)
    after = Known(
        None, put.revision, put.at, GONE, "{}", mark, updated_at=put.at, updated_by_agent="",
        fences=fences_after(state.fences, delete.fence),
    )  # fmt: skip
    return Change(put._replace(fence=delete.fence), state, after, DONE, marks=(mark,))


def _not_certain() -> OutcomeUnknownError:
    return OutcomeUnknownError(
        "the answer to the request that removes the record was lost, and now the record is gone: nobody can tell "
        "whether this call removed it or another one did"
    )


def _was_written_again(known: Known, sent: Sent) -> bool:
    """Return whether a document was created by the write that had also written the one that a delete was sent for.

    The answer to that write was lost, the document was deleted, and so was what it remembered of its writes: the write
    was done once more.
    """
    return known.revision == sent.revision and sent.created_at not in ("", known.created_at)


def _is_another(known: Known, sent: Sent, delete: Delete, rules: Rules) -> bool:
    """Return whether a document was created after the one that a delete was sent for was gone."""
    if delete.seen is not None:
        return known.created_at != delete.seen
    if sent.revision is None:
        return (known.since or known.created_at) > delete.at
    if known.knows(sent.revision):
        return _was_written_again(known, sent)
    if not sent.certain and (known.since or known.created_at) < delete.at:
        return False  # it may have been there before, and so refused the delete
    forgetful = len(known.writes) >= MARK_LENGTH * rules.remembered  # so many other writes may have come since
    return not forgetful or known.created_at != sent.created_at
