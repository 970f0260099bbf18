"""The primitives that CouchDB gives to the toolkit: it accepts a change only with the revision of what is replaced.

All changes of a call are one request, which is split if it would be too large. Each document that expires follows its
flag (`datastore_couchdb.flags`). A deletion leaves a mark in what CouchDB keeps of the document, so that a deletion
whose answer was lost can be told from somebody else's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from datastore.adapters.answers import broken, one_each
from datastore.adapters.batching import batches_by_size
from datastore.adapters.changes import Applied, Change, Late, Result, Sent
from datastore.adapters.knowledge import Known
from datastore.adapters.primitives import Primitives
from datastore.backend import Access, Delete, Outcome, Restore, Touch, Write
from datastore.documents import damaged
from datastore.errors import DataStoreError
from datastore.turns import keep_newest
from datastore.values import UnreadableError
from datastore_couchdb.client import NAME, Session, is_lost, refusal_of
from datastore_couchdb.codec import counted_text, known_of, text_of, touched_text
from datastore_couchdb.fetching import get_documents
from datastore_couchdb.flags import flag_of, flag_text, written

_REQUEST_BYTES = 16_000_000
"""The size of the largest request, about. The server takes 4 GB (max_http_request_size), but memory is scarcer."""
_MOST_UNFLAGGED = 10_000
_MOST_REFUSED = 1_000


class Documents(Primitives):
    """The documents of one database, as the toolkit sees them."""

    name = NAME

    def __init__(self, session: Session) -> None:
        self._session = session
        self.unflagged: dict[str, None] = {}
        """The ids of records that were sent with a flag and whose answer has not arrived."""
        self._refused: dict[str, None] = {}
        """The ids of records that were not at the revision that they were known to have, before they are looked at."""
        self.exact = False
        """Whether the server gives numbers back unchanged (`datastore_couchdb.keeping`)."""

    def load(self, ids: Sequence[str], *, metadata: bool, value: bool) -> Mapping[str, Known]:
        """See `Primitives.load`.

        Requests: 1.
        """
        unheard_of: list[str] = []
        found = get_documents(self._session, ids, unheard_of)
        if self._refused:
            if not self._refused.keys().isdisjoint(unheard_of):
                self._session.is_in_doubt = True
            for id in ids:
                self._refused.pop(id, None)
        return {id: known_of(document) for id, document in found.items()}

    def swap(self, changes: Sequence[Change]) -> Sequence[Result]:
        """See `Primitives.swap`.

        Requests: 1 per 16 MB.
        """
        sent: list[tuple[Change, str]] = []
        results: dict[str, Result] = {}
        for change in changes:
            try:
                sent.append((change, self._text(change)))
            except UnreadableError as error:  # it is to be written again as it was read, and cannot be
                results[change.id] = damaged(change.id, str(error))
        batches = list(batches_by_size(sent, lambda one: len(one[1]), _REQUEST_BYTES))
        if len(batches) == 1 and not results:
            return self._send(batches[0])
        for batch in batches:
            answers: Sequence[Result]
            try:
                answers = self._send(batch)
            except DataStoreError as error:
                answers = [error] * len(batch)
            results |= zip((change.id for change, _ in batch), answers, strict=True)
        return [results[change.id] for change in changes]

    def look_at_once(self, error: DataStoreError) -> bool:
        """See `Primitives.look_at_once`."""
        return is_lost(error)

    def was_removed_by(self, id: str, sent: Sent) -> bool | None:
        """See `Primitives.was_removed_by`.

        Requests: 1.
        """
        last = self._session.last_of_deleted(id)
        if last is None or last.get("createdAt") != sent.created_at:
            return None  # nothing is kept of it, or of a later document alone
        return bool(last.get("recentWrites") == sent.mark)

    def completed(self, writes: Sequence[Write | Restore], outcomes: list[Outcome]) -> list[Outcome]:
        """See `Primitives.completed`: each write that is done has its flag, even if the answer about the flag was lost.

        Not a plain delete: it needs no flag, and an error about one would make somebody delete again, and find nothing.

        Requests: 0; 1 where an answer was lost.
        """
        if not self.unflagged:
            return outcomes
        done = (
            write.id
            for write, outcome in zip(writes, outcomes, strict=True)
            if outcome.done and not (isinstance(write, Delete) and write.fence is None)
        )
        missing = [id for id in done if id in self.unflagged]
        if not missing:
            return outcomes
        try:
            written(bulk_docs(self._session, list(map(flag_of, missing)), list(map(flag_text, missing))))
        except DataStoreError as error:
            failed = Outcome(False, error=error)
            return [failed if write.id in missing else outcome for write, outcome in zip(writes, outcomes, strict=True)]
        for id in missing:
            self.unflagged.pop(id, None)
        return outcomes

    def _text(self, change: Change) -> str:
        if isinstance(change.write, Access):
            return counted_text(change)
        if isinstance(change.write, Delete):
            return _deletion(change)
        if isinstance(change.write, Touch):
            return touched_text(change)
        return text_of(change, self.exact)

    def _send(self, batch: Sequence[tuple[Change, str]]) -> list[Result]:
        """Send changes, each with its document as JSON text. The flags of documents that expire go before them."""
        expiring = [change.id for change, _ in batch if _expires(change)]
        self.unflagged.update(dict.fromkeys(expiring))
        keep_newest(self.unflagged, _MOST_UNFLAGGED)
        ids = [*map(flag_of, expiring), *(change.id for change, _ in batch)]
        answers = bulk_docs(self._session, ids, [*map(flag_text, expiring), *(text for _, text in batch)])
        written(answers[: len(expiring)])
        for id in expiring:
            self.unflagged.pop(id, None)
        results = [_result(answer) for answer in answers[len(expiring) :]]
        for (change, _), result in zip(batch, results, strict=True):
            if change.token and isinstance(result, Late):
                self._refused[change.id] = None
                keep_newest(self._refused, _MOST_REFUSED)
        return results


def bulk_docs(session: Session, ids: Sequence[str], documents: Sequence[str]) -> list[dict[str, Any]]:
    """Send documents as JSON text, and return the server's answer to each, in order.

    Raises:
        BackendUnavailableError: If the answer does not say of each document whether it was written.

    Requests: 1.
    """
    answers = one_each(session.post("_bulk_docs", f'{{"docs":[{",".join(documents)}]}}'), len(documents), NAME)
    for id, answer in zip(ids, answers, strict=True):
        said = type(answer) is dict and (answer.get("error") or answer.get("rev"))
        if type(said) is not str or answer.get("id") != id:
            broken(NAME, "it does not say of each document whether it was written")
    return answers


def _result(answer: dict[str, Any]) -> Result:
    if "error" not in answer:
        return Applied(answer["rev"])
    return refusal_of(answer) or Late()


def _expires(change: Change) -> bool:
    """Return whether a change needs its flag written first. Counting does not: the record's flag exists already."""
    after = change.after
    return isinstance(after, Known) and after.expires_at is not None and not isinstance(change.write, Access)


def _deletion(change: Change) -> str:
    fields: dict[str, Any] = {"_id": change.id, "_rev": change.token, "_deleted": True}
    if isinstance(change.over, Known):
        fields["createdAt"] = change.over.created_at
    return json.dumps(fields | {"recentWrites": change.marks[0]}, ensure_ascii=False)
