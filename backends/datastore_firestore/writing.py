"""The primitives that Firestore gives to the toolkit: each write with a precondition, and a status for each write.

A write of a new document is a create. A write of an existing one is an update of the fields that change, or of all if
the document has expired, on the condition that its update time has not changed since it was read. Counting accesses is
an increment on the same condition. A delete of an unknown document is sent together with a write that tells what there
was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import grpc

from datastore.adapters.batching import batches_by_size
from datastore.adapters.changes import Applied, Change, Late, Result, Rules
from datastore.adapters.knowledge import ABSENT, UNSEEN, Known, State
from datastore.adapters.primitives import Counting, Primitives
from datastore.backend import Access, Delete, Outcome, Put, Restore, Touch
from datastore.errors import DataStoreError
from datastore_firestore import documents
from datastore_firestore.client import Connection, Message, Settings
from datastore_firestore.failures import CAME_TOO_LATE, CODES, NAME, NotSentError, RefusedError, error_for, is_lost
from datastore_firestore.guesses import Guesses
from datastore_firestore.reading import Reader

MOST_WRITES = 500  # in one BatchWrite
_REQUEST_BYTES = 9_000_000  # of the 10 MiB of "Maximum API request size" (Firestore, Quotas and limits)
_EMULATOR_REQUEST_BYTES = 3_500_000  # the emulator accepts 4 MiB

_Sent: TypeAlias = tuple[Change, Message]


class Documents(Primitives):
    """The documents of one collection, as the toolkit sees them."""

    name = NAME
    rules = Rules(replaces_whole=False)
    counting = Counting.REMEMBERED

    def __init__(self, connection: Connection, reader: Reader, settings: Settings) -> None:
        self._connection = connection
        self._reader = reader
        self._prefix = settings.prefix
        self._most_bytes = _EMULATOR_REQUEST_BYTES if settings.emulator else _REQUEST_BYTES
        self._guesses = Guesses()

    def load(self, ids: Sequence[str], *, metadata: bool, value: bool) -> Mapping[str, Known]:
        """See `Primitives.load`.

        Requests: 1.
        """
        return self._reader.load(ids, metadata)

    def swap(self, changes: Sequence[Change]) -> Sequence[Result]:
        """See `Primitives.swap`.

        Requests: 1 per 500 changes, or per fewer if they are large; 1 for each change of a request that is refused.
        """
        sent = ((change, self._message(change)) for change in changes)
        chunks = list(batches_by_size(sent, lambda one: int(one[1].ByteSize()), self._most_bytes, MOST_WRITES))
        return self._send(chunks[0]) if len(chunks) == 1 else self._send_in_turn(chunks)

    def guess(self, write: Put | Restore | Delete | Touch, remembered: State | None, alone: bool) -> State | None:
        """See `Primitives.guess`."""
        if remembered is not None:
            return remembered
        if isinstance(write, Delete):  # a BatchWrite takes one write for each document, and so no probe
            return UNSEEN if alone and write.if_revision is None and not write.only_own else None
        return None if self._guesses.likely(write.id) else super().guess(write, remembered, alone)

    def in_doubt(self, error: DataStoreError) -> bool:
        """See `Primitives.in_doubt`."""
        return is_lost(error)

    def learned(self, id: str, existed: bool) -> None:
        """See `Primitives.learned`."""
        self._guesses.learn(id, existed)

    def _send_in_turn(self, chunks: Sequence[list[_Sent]]) -> list[Result]:
        """Send several requests. After one is refused, the next are still sent; after another error they are not."""
        results: list[Result] = []
        failure: DataStoreError | None = None
        for chunk in chunks:
            if failure is not None:
                results += [failure] * len(chunk)
                continue
            try:
                results += self._send(chunk)
            except RefusedError as error:
                results += [error] * len(chunk)
            except DataStoreError as error:
                results += [error] * len(chunk)
                failure = NotSentError(error) if is_lost(error) else error
        return results

    def _send(self, chunk: Sequence[_Sent]) -> list[Result]:
        """Send changes in one request; one by one if Firestore refuses it."""
        counts = isinstance(chunk[0][0].write, Access)
        if len(chunk) == 1 and not counts:
            return [self._commit(*chunk[0])]
        try:
            answer = self._connection.batch_write([message for _, message in chunk])
        except RefusedError:
            # One write that Firestore does not accept (because of an administrator's own index, say) makes it refuse
            # the request. Sent alone, each of the others is accepted.
            if counts:
                raise
            return self._send_in_turn([[sent] for sent in chunk])
        return [
            self._result(change, status, result)
            for (change, _), status, result in zip(chunk, answer.status, answer.write_results, strict=True)
        ]

    def _commit(self, change: Change, message: Message) -> Result:
        probes = [documents.probe(self._prefix + change.id)] if change.over is UNSEEN else []
        try:
            results = self._connection.commit([*probes, message]).write_results
        except grpc.RpcError as error:
            if error.code() in CAME_TOO_LATE:
                return self._late(change, error.code())
            raise self._connection.failure(error) from error
        if probes:
            return Applied(outcome=Outcome(documents.probed(results[0], change.write.at)))
        return Applied(documents.token_of(results[0].update_time))

    def _result(self, change: Change, status: Message, result: Message) -> Result:
        code = CODES.get(status.code, grpc.StatusCode.UNKNOWN)
        if code is grpc.StatusCode.OK:
            return Applied(documents.token_of(result.update_time))
        return self._late(change, code) if code in CAME_TOO_LATE else error_for(code, status.message)

    def _late(self, change: Change, code: Any) -> Late:
        if code is grpc.StatusCode.ALREADY_EXISTS:
            self._guesses.learn(change.id, True)
        return Late()

    def _message(self, change: Change) -> Message:
        write, over, after = change.write, change.over, change.after
        name = self._prefix + write.id
        if isinstance(write, Delete) or not isinstance(after, Known):
            message = documents.remove(name)
        elif isinstance(write, Put):
            if change.live:
                message = documents.update(name, write, after, change.metadata)
            else:
                message = documents.create(name, write, after)
        elif isinstance(write, Restore):
            message = documents.restore(name, write, after)
        elif isinstance(write, Touch):
            message = documents.touch(name, write, after)
        else:
            message = documents.count(name, write, after)
        if isinstance(over, Known):
            time = message.current_document.update_time
            time.seconds, time.nanos = over.token
        elif over is ABSENT:
            message.current_document.exists = False
        return message
