"""Writing documents: one request where the document is known, and again where somebody else was faster.

CouchDB takes a write only with the revision of what it replaces. So a write first acts on what is remembered (or, of
an unknown document, on the guess that there is none), and only where the server finds that out of date does it read
and decide anew. What an outcome says is always what the server said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from datastore.backend import Delete, Outcome, Put, Restore, Write
from datastore.documents import damaged
from datastore.errors import (
    BackendUnavailableError,
    DataStoreError,
    InternalError,
    PermissionDeniedError,
    ValueTooLargeError,
)
from datastore.retry import Backoff
from datastore.turns import keep_newest
from datastore_couchdb.codec import Memory, Stored, put_of, restored, stored_of
from datastore_couchdb.flags import flag_text, written
from datastore_couchdb.reading import fetch
from datastore_couchdb.session import NAME, Session

_REQUEST_BYTES = 16_000_000
"""The largest request, about: the server's own limit (max_http_request_size) is 4 GB, but memory is not."""
_CONFLICT_SECONDS = 30.0
_FIRST_DELAY, _LONGEST_DELAY = 0.002, 0.2
_MOST_UNFLAGGED = 10_000


class _Sent(NamedTuple):
    """A document that goes to the server, and what is known once it has arrived."""

    id: str
    text: str
    stored: Stored | None
    """``None`` for a deletion."""
    outcome: Outcome


class Writer:
    """Applies writes through a session."""

    def __init__(self, session: Session, memory: Memory) -> None:
        self._session = session
        self._memory = memory
        self._unanswered: set[Delete] = set()
        self._unflagged: dict[str, None] = {}  # what was sent with a flag, whose answer has not been seen
        self.exact = False
        """Whether the server keeps numbers (`datastore_couchdb.keeping`)."""

    def write(self, writes: Sequence[Write | Restore]) -> list[Outcome]:
        """Apply writes to distinct ids; see `Backend.write` and `datastore.backend.MovesDocuments`."""
        pending = {write.id: write for write in writes}
        outcomes: dict[str, Outcome] = {}
        believed = self._beliefs(writes)
        verified: set[str] = set()
        backoff = Backoff(_CONFLICT_SECONDS, _FIRST_DELAY, _LONGEST_DELAY)
        while pending:
            unknown = [id for id in pending if id not in believed]
            if unknown:
                found = fetch(self._session, self._memory, unknown)
                believed.update({id: stored_of(found[id]) if id in found else None for id in unknown})
                verified.update(unknown)
            documents = []
            for id, write in pending.items():
                decided = self._decide(write, believed[id], verified=id in verified)
                if isinstance(decided, Outcome):
                    outcomes[id] = decided
                else:
                    documents.append(decided)
            results = self._send(documents, pending)
            outcomes.update({id: outcome for id, outcome in results.items() if outcome is not None})
            pending = {id: write for id, write in pending.items() if id not in outcomes}
            for id in pending:
                believed.pop(id)
            if pending and not backoff.wait():
                message = f"other writers came first for {_CONFLICT_SECONDS:.0f} s"
                error = BackendUnavailableError(message, backend=NAME)
                outcomes.update(dict.fromkeys(pending, Outcome(False, error=error)))
                break
        self._flag(outcomes)
        return _unless_all_failed([outcomes[write.id] for write in writes])

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

    def _decide(self, write: Write | Restore, stored: Stored | None, *, verified: bool) -> Outcome | _Sent:
        """Return the outcome of a write, or what to send for it."""
        if stored is not None and stored.damaged:
            if isinstance(write, Delete) and write.if_revision is None:
                return _Sent(write.id, _deletion(write.id, stored), None, Outcome(True))
            return Outcome(False, error=damaged(write.id))
        live = stored is not None and stored.live(write.at)
        revision = stored.revision if stored is not None and live else None
        if isinstance(write, Restore):
            if verified and revision != write.if_revision:
                return Outcome(False, revision)
            new, text = restored(write, "" if stored is None else stored.rev, self.exact)
            return _Sent(write.id, text, new, Outcome(True))
        if isinstance(write, Put) and revision == write.revision:
            return Outcome(True)  # written before, and the answer was lost
        if write.if_revision is not None and revision != write.if_revision:
            return Outcome(False, revision)
        if isinstance(write, Delete):
            if stored is None:
                return Outcome(self._was_ours(write))
            return _Sent(write.id, _deletion(write.id, stored), None, Outcome(live))
        if write.if_absent and live and verified:
            return Outcome(False, revision)
        try:
            new, text = put_of(write, stored, self.exact)
        except ValueTooLargeError as error:
            return Outcome(False, error=error)
        return _Sent(write.id, text, new, Outcome(True))

    def _was_ours(self, delete: Delete) -> bool:
        """Return whether a document is missing because this same call deleted it, and the answer was lost."""
        if delete in self._unanswered:
            self._unanswered.discard(delete)
            return True
        return False

    def _send(self, documents: Sequence[_Sent], pending: Mapping[str, Write | Restore]) -> dict[str, Outcome | None]:
        """Send documents and return an outcome for each; ``None`` where the server found the revision out of date."""
        results: dict[str, Outcome | None] = {}
        for batch in _cut(documents):
            try:
                answers = self._bulk_docs(batch)
            except DataStoreError as error:
                for sent in batch:
                    write = pending[sent.id]
                    if isinstance(write, Delete) and error.retryable and sent.outcome.done:
                        self._unanswered.add(write)
                    self._memory.forget(sent.id)
                    results[sent.id] = Outcome(False, error=error)
                continue
            for sent, answer in zip(batch, answers, strict=True):
                results[sent.id] = self._outcome(sent, answer)
        return results

    def _bulk_docs(self, batch: Sequence[_Sent]) -> list[dict[str, Any]]:
        """Send documents, with the flags of those that expire before them, and return the answer to each document."""
        expiring = [sent.id for sent in batch if sent.stored is not None and sent.stored.expires_at is not None]
        self._unflagged.update(dict.fromkeys(expiring))
        keep_newest(self._unflagged, _MOST_UNFLAGGED)
        answers = bulk_docs(self._session, [*map(flag_text, expiring), *(sent.text for sent in batch)])
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
            written(bulk_docs(self._session, list(map(flag_text, missing))))
        except DataStoreError as error:
            outcomes.update(dict.fromkeys(missing, Outcome(False, error=error)))
            return
        for id in missing:
            self._unflagged.pop(id, None)

    def _outcome(self, sent: _Sent, answer: dict[str, Any]) -> Outcome | None:
        if "rev" in answer and "error" not in answer:
            if sent.stored is None:
                self._memory.forget(sent.id)
            else:
                self._memory.put(sent.id, sent.stored._replace(rev=answer["rev"]))
            return sent.outcome
        self._memory.forget(sent.id)
        kind, reason = answer.get("error"), str(answer.get("reason"))[:200]
        if kind in ("conflict", "not_found"):
            return None
        if kind in ("forbidden", "unauthorized"):
            return Outcome(
                False, error=PermissionDeniedError(f"the server refused the document: {reason}", backend=NAME)
            )
        if kind in ("bad_request", "doc_validation", "illegal_docid"):
            return Outcome(
                False, error=InternalError(f"the server takes no such document: {kind}: {reason}", backend=NAME)
            )
        return Outcome(False, error=BackendUnavailableError(f"the server failed: {kind}: {reason}", backend=NAME))

    def after_fork(self) -> None:
        """Forget what the parent still waits for."""
        self._unanswered = set()
        self._unflagged = {}


def _deletion(id: str, stored: Stored) -> str:
    return json.dumps({"_id": id, "_rev": stored.rev, "_deleted": True}, ensure_ascii=False)


def bulk_docs(session: Session, documents: Sequence[str]) -> list[dict[str, Any]]:
    """Send documents, as JSON text, and return the server's answer to each, in order.

    Requests: 1.
    """
    answers: list[dict[str, Any]] = session.post("_bulk_docs", f'{{"docs":[{",".join(documents)}]}}')
    if not isinstance(answers, list) or len(answers) != len(documents):
        raise BackendUnavailableError("CouchDB did not answer for each document of a batch", backend=NAME)
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
