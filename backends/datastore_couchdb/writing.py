"""Writing documents: one request where the document is known, and again where somebody else was faster.

CouchDB takes a write only with the revision of what it replaces. So a write first acts on what is remembered (or, of
an unknown document, on the guess that there is none), and only where the server finds that out of date does it read
and decide anew. What an outcome says is always what the server said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from datastore.adapters.answers import broken, one_each
from datastore.adapters.contention import came_too_late, contention
from datastore.adapters.remembering import MARK_LENGTH, REMEMBERED, new_mark
from datastore.backend import Delete, Outcome, Put, Restore, Write
from datastore.documents import damaged
from datastore.errors import (
    DataStoreError,
    ValueTooLargeError,
)
from datastore.turns import keep_newest
from datastore_couchdb.codec import Memory, Stored, put_of, restored, stored_of
from datastore_couchdb.flags import flag_of, flag_text, written
from datastore_couchdb.reading import fetch
from datastore_couchdb.session import NAME, Session, is_lost, refusal_of

_REQUEST_BYTES = 16_000_000
"""The largest request, about: the server's own limit (max_http_request_size) is 4 GB, but memory is not."""
_MOST_UNANSWERED = 10_000
"""The deletes of which it is remembered that their answers were lost."""
_MOST_UNFLAGGED = 10_000


class _Sent(NamedTuple):
    """A document that goes to the server, and what is known once it has arrived."""

    id: str
    text: str
    stored: Stored | None
    """``None`` for a deletion."""
    outcome: Outcome
    deletion: _Deletion | None = None


class _Deletion(NamedTuple):
    """The deletion of a document, by which it is recognised when its answer was lost."""

    mark: str
    """It stays with what CouchDB keeps of a deleted document."""
    created_at: str
    """Of the document, as is the revision."""
    revision: str


class Writer:
    """Applies writes through a session."""

    def __init__(self, session: Session, memory: Memory) -> None:
        self._session = session
        self._memory = memory
        self._unanswered: dict[Delete, _Deletion] = {}
        self._unflagged: dict[str, None] = {}  # what was sent with a flag, whose answer has not been seen
        self.exact = False
        """Whether the server keeps numbers (`datastore_couchdb.keeping`)."""

    def write(self, writes: Sequence[Write | Restore]) -> list[Outcome]:
        """Apply writes to distinct ids; see `Backend.write` and `datastore.backend.MovesDocuments`."""
        pending = {write.id: write for write in writes}
        outcomes: dict[str, Outcome] = {}
        believed = self._beliefs(writes)
        verified: set[str] = set()
        pauses = contention()
        while pending:
            unknown = [id for id in pending if id not in believed]
            if unknown:
                believed.update(self._read(unknown))
                verified.update(unknown)
            documents = []
            for id, write in pending.items():
                decided = self._decide(write, believed[id])
                if isinstance(decided, _Sent):
                    documents.append(decided)
                elif id in verified:  # if not, it is read first: only the server settles an outcome
                    outcomes[id] = decided
            results = self._send(documents, pending)
            outcomes.update({id: outcome for id, outcome in results.items() if outcome is not None})
            pending = {id: write for id, write in pending.items() if id not in outcomes}
            for id in pending:
                believed.pop(id)
            if pending and not pauses.wait():
                outcomes.update(dict.fromkeys(pending, Outcome(False, error=came_too_late(NAME))))
                break
        self._flag(outcomes)
        for write in writes:
            if isinstance(write, Delete) and outcomes[write.id].error is None:
                self._unanswered.pop(write, None)
        return _unless_all_failed([outcomes[write.id] for write in writes])

    def _read(self, ids: Sequence[str]) -> dict[str, Stored | None]:
        found = fetch(self._session, self._memory, ids)
        return {id: stored_of(found[id]) if id in found else None for id in ids}

    def _beliefs(self, writes: Iterable[Write | Restore]) -> dict[str, Stored | None]:
        """Return what to act on without reading; ids that are missing here must be read first."""
        believed: dict[str, Stored | None] = {}
        for write in writes:
            known = self._memory.get(write.id)
            if write.if_revision is not None:
                if known is not None and known.revision == write.if_revision and known.live(write.at):
                    believed[write.id] = known
            elif isinstance(write, Delete):
                if known is not None:
                    believed[write.id] = known
            elif (isinstance(write, Restore) or write.if_absent) and known is not None and known.live(write.at):
                believed[write.id] = None  # it may be gone: the server decides
            else:
                believed[write.id] = known
        return believed

    def _decide(self, write: Write | Restore, stored: Stored | None) -> Outcome | _Sent:
        """Return the outcome of a write, or what to send for it."""
        if stored is not None and stored.damaged:
            if isinstance(write, Delete) and write.only_own and stored.foreign:
                return Outcome(False)
            if isinstance(write, Delete) and write.if_revision is None:
                return self._deletion(write, stored, Outcome(True))
            return Outcome(False, error=damaged(write.id))
        live = stored is not None and stored.live(write.at)
        revision = stored.revision if stored is not None and live else None
        if isinstance(write, Delete):
            return self._decide_delete(write, stored, revision)
        if isinstance(write, Put) and stored is not None and live and stored.knows(write.revision):
            return Outcome(True)  # written before, and the answer was lost
        if write.if_revision is not None and revision != write.if_revision:
            return Outcome(False, revision)
        if isinstance(write, Restore):
            if revision != write.if_revision:
                return Outcome(False, revision)
            new, text = restored(write, stored, self.exact)
            return _Sent(write.id, text, new, Outcome(True))
        if write.if_absent and live:
            return Outcome(False, revision)
        try:
            new, text = put_of(write, stored, self.exact)
        except ValueTooLargeError as error:
            return Outcome(False, error=error)
        return _Sent(write.id, text, new, Outcome(True))

    def _decide_delete(self, write: Delete, stored: Stored | None, revision: str | None) -> Outcome | _Sent:
        deletion = self._unanswered.get(write)
        if stored is None:
            return Outcome(deletion is not None and self._was_deleted_by(deletion, write.id))
        if deletion is not None and _is_another(stored, deletion):
            return Outcome(True)  # the document that it was for is gone; this one was made later
        if write.if_revision is not None and revision != write.if_revision:
            return Outcome(False, revision)
        return self._deletion(write, stored, Outcome(revision is not None))

    def _deletion(self, write: Delete, stored: Stored, outcome: Outcome) -> _Sent:
        before = self._unanswered.get(write)
        mark = new_mark() if before is None else before.mark
        deletion = _Deletion(mark, stored.created_at, stored.revision)
        fields = {"_id": write.id, "_rev": stored.rev, "_deleted": True}
        text = json.dumps(fields | {"createdAt": stored.created_at, "recentWrites": mark}, ensure_ascii=False)
        return _Sent(write.id, text, None, outcome, deletion)

    def _was_deleted_by(self, deletion: _Deletion, id: str) -> bool:
        """Return whether a document is missing because of a deletion whose answer was lost, and not of another one.

        Requests: 1.
        """
        last = self._session.last_of_deleted(id)
        return last is None or last.get("createdAt") != deletion.created_at or last.get("recentWrites") == deletion.mark

    def _send(self, documents: Sequence[_Sent], pending: Mapping[str, Write | Restore]) -> dict[str, Outcome | None]:
        """Send documents and return an outcome for each; ``None`` where the server found the revision out of date."""
        results: dict[str, Outcome | None] = {}
        for batch in _cut(documents):
            try:
                answers = self._bulk_docs(batch)
            except DataStoreError as error:
                results.update(self._after_failing(batch, pending, error))
                continue
            for sent, answer in zip(batch, answers, strict=True):
                results[sent.id] = self._outcome(sent, answer)
        return results

    def _bulk_docs(self, batch: Sequence[_Sent]) -> list[dict[str, Any]]:
        """Send documents, with the flags of those that expire before them, and return the answer to each document."""
        expiring = [sent.id for sent in batch if sent.stored is not None and sent.stored.expires_at is not None]
        self._unflagged.update(dict.fromkeys(expiring))
        keep_newest(self._unflagged, _MOST_UNFLAGGED)
        ids = [*map(flag_of, expiring), *(sent.id for sent in batch)]
        answers = bulk_docs(self._session, ids, [*map(flag_text, expiring), *(sent.text for sent in batch)])
        written(answers[: len(expiring)])
        for id in expiring:
            self._unflagged.pop(id, None)
        return answers[len(expiring) :]

    def _flag(self, outcomes: dict[str, Outcome]) -> None:
        """See that the flag of each write that is done is there, also of one whose answer was lost.

        Requests: 0; 1 where an answer was lost.
        """
        missing = [id for id, outcome in outcomes.items() if outcome.done and id in self._unflagged]
        if not missing:
            return
        try:
            written(bulk_docs(self._session, list(map(flag_of, missing)), list(map(flag_text, missing))))
        except DataStoreError as error:
            outcomes.update(dict.fromkeys(missing, Outcome(False, error=error)))
            return
        for id in missing:
            self._unflagged.pop(id, None)

    def _after_failing(
        self, batch: Sequence[_Sent], pending: Mapping[str, Write | Restore], error: DataStoreError
    ) -> dict[str, Outcome]:
        """Return the outcomes of a batch whose answer is an error, or was lost.

        Who has lost an answer looks at once what became of it, since a document remembers its last few writes only.
        What was not applied by then is sent again by the store.
        """
        outcomes = {sent.id: Outcome(False, error=error) for sent in batch}
        for sent in batch:
            write = pending[sent.id]
            self._memory.forget(sent.id)
            if isinstance(write, Delete) and sent.deletion is not None and sent.outcome.done and error.retryable:
                self._unanswered[write] = sent.deletion
        keep_newest(self._unanswered, _MOST_UNANSWERED)
        if not is_lost(error):
            return outcomes
        try:
            found = self._read([sent.id for sent in batch])
            for id, stored in found.items():
                decided = self._decide(pending[id], stored)
                if isinstance(decided, Outcome):
                    outcomes[id] = decided
        except DataStoreError:
            pass  # then the store looks, when it repeats the call
        return outcomes

    def _outcome(self, sent: _Sent, answer: dict[str, Any]) -> Outcome | None:
        if "rev" in answer and "error" not in answer:
            if sent.stored is None:
                self._memory.forget(sent.id)
            else:
                self._memory.put(sent.id, sent.stored._replace(rev=answer["rev"]))
            return sent.outcome
        self._memory.forget(sent.id)
        refusal = refusal_of(answer)
        return None if refusal is None else Outcome(False, error=refusal)

    def after_fork(self) -> None:
        """Forget what the parent still waits for."""
        self._unanswered = {}
        self._unflagged = {}


def _is_another(stored: Stored, deletion: _Deletion) -> bool:
    """Return whether a document was made after the one that a deletion was for had gone."""
    if stored.knows(deletion.revision):
        return False
    forgetful = len(stored.writes) >= MARK_LENGTH * REMEMBERED  # others may have written it so often
    return not forgetful or stored.created_at != deletion.created_at


def bulk_docs(session: Session, ids: Sequence[str], documents: Sequence[str]) -> list[dict[str, Any]]:
    """Send documents, as JSON text, and return the server's answer to each, in order.

    Raises:
        BackendUnavailableError: If it does not say of each what became of it.

    Requests: 1.
    """
    answers = one_each(session.post("_bulk_docs", f'{{"docs":[{",".join(documents)}]}}'), len(documents), NAME)
    for id, answer in zip(ids, answers, strict=True):
        said = type(answer) is dict and (answer.get("error") or answer.get("rev"))
        if type(said) is not str or answer.get("id") != id:
            broken(NAME, "it does not say what became of each document")
    return answers


def _cut(documents: Sequence[_Sent]) -> Iterable[list[_Sent]]:
    batch: list[_Sent] = []
    size = 0
    for sent in documents:
        if batch and size + len(sent.text) > _REQUEST_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(sent)
        size += len(sent.text)
    if batch:
        yield batch


def _unless_all_failed(outcomes: list[Outcome]) -> list[Outcome]:
    """Return the outcomes, or raise if the server answered for none of them."""
    first = outcomes[0].error if outcomes else None
    if first is not None and all(outcome.error is first for outcome in outcomes) and len(outcomes) > 1:
        raise first
    return outcomes
