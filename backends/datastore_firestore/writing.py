"""Writing: each document with a precondition, by what is known of it, and after a look at it where that was wrong.

A new document is a create; an existing one an update of the fields that change, or, if it has expired, of all of them,
on the condition that its update time is the one that was seen. So whatever a write was decided by still holds when it
is applied, and of two that race one is late. That one reads, decides anew, and is sent again.

A write whose answer is lost may have been applied. What is stored tells: a document knows its last writes
(`datastore.adapters.remembering`), so it is looked at, at once, before others can have written much. Only what was not
applied is reported as failed, and if it is sent again, another look decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import grpc

from datastore.adapters.contention import came_too_late, contention
from datastore.adapters.remembering import mark_of
from datastore.backend import Delete, Outcome, Put, Restore, Write
from datastore.documents import UNDECODABLE, damaged
from datastore.errors import DataStoreError, ValueTooLargeError
from datastore.retry import Backoff
from datastore.turns import keep_newest
from datastore.values import decode, encode, merge_metadata
from datastore_firestore import documents
from datastore_firestore.connection import Connection, Message, Settings
from datastore_firestore.failures import CAME_TOO_LATE, CODES, NAME, RefusedError, error_for, is_lost
from datastore_firestore.hints import ABSENT, Hints, Known, State, stamp
from datastore_firestore.reading import Reader

MOST_WRITES = 500  # in one BatchWrite
_REQUEST_BYTES = 9_000_000  # of 10 MiB ("Maximum API request size"; Firestore, Quotas and limits)
_EMULATOR_REQUEST_BYTES = 3_500_000  # the emulator takes 4 MiB
_MOST_UNANSWERED = 5_000


class _Step(NamedTuple):
    """One write as it is sent."""

    place: int
    id: str
    messages: list[Message]
    after: State
    """What is known once it is applied; the update time comes with the answer."""
    done: bool | None
    """The outcome; ``None`` when the answer tells it."""
    at: str
    revision: str | None = None
    """Of a delete: that of the document that it is to remove, as far as it is known."""


class _Job(NamedTuple):
    """One write of a batch, and what it goes by."""

    place: int
    write: Write | Restore
    state: State | None
    fresh: bool = False
    """The state was read in this round, so that an outcome may be decided by it."""


class Writer:
    """Applies writes through one connection."""

    def __init__(self, connection: Connection, hints: Hints, settings: Settings, reader: Reader) -> None:
        self._connection = connection
        self._hints = hints
        self._reader = reader
        self._prefix = settings.prefix
        self._unanswered: dict[tuple[str, str], _Step] = {}  # deletes that may have been applied, by id and time
        self._most_bytes = _EMULATOR_REQUEST_BYTES if settings.emulator else _REQUEST_BYTES

    def write(self, writes: Sequence[Write | Restore]) -> list[Outcome]:
        """See `Backend.write` and `datastore.backend.MovesDocuments`."""
        outcomes = dict[int, Outcome]()
        jobs = [_Job(index, write, self._hints.get(write.id)) for index, write in enumerate(writes)]
        alone = len(jobs) == 1
        backoff: Backoff | None = None
        try:
            while True:
                late = self._round(jobs, alone, outcomes)
                if not late:
                    break
                backoff = backoff or contention()
                if not backoff.wait():
                    raise came_too_late(NAME)
                jobs = self._look(late)
        except DataStoreError as error:
            if not outcomes:
                raise
            failed = Outcome(False, error=error)
            return [outcomes.get(index, failed) for index in range(len(writes))]
        finally:
            self._forget_answered(writes, outcomes)
        return [outcomes[index] for index in range(len(writes))]

    def _round(self, jobs: Sequence[_Job], alone: bool, outcomes: dict[int, Outcome]) -> list[_Job]:
        """Send each write once, note outcomes, and return those that came too late."""
        steps, unknown = list[_Step](), list[_Job]()
        for job in jobs:
            if self._decide(job, alone, steps, outcomes):
                unknown.append(job)
        for job in self._look(unknown):
            self._decide(job, alone, steps, outcomes)
        late: set[int] = set()
        for chunk in self._chunks(steps):
            try:
                late.update(self._send(chunk, outcomes))
            except DataStoreError as error:
                if is_lost(error):
                    unanswered = {step.place for step in chunk if step.place not in outcomes}
                    self._settle([job for job in jobs if job.place in unanswered], alone, outcomes)
                raise
        return [job for job in jobs if job.place in late]

    def _settle(self, jobs: Sequence[_Job], alone: bool, outcomes: dict[int, Outcome]) -> None:
        """Look what has become of writes that were not answered, and note the outcomes of those that are done with."""
        try:
            looked_at = self._look(jobs, sent=True)
        except DataStoreError:
            return  # that they were not answered is what there is to say
        for job in looked_at:
            self._decide(job, alone, [], outcomes)

    def _look(self, jobs: Sequence[_Job], *, sent: bool = False) -> list[_Job]:
        """Return the jobs with what is stored now; ``sent`` says that they may have been applied."""
        if not jobs:
            return []
        with_metadata = any(isinstance(job.write, Put) and job.write.metadata for job in jobs)
        mask = documents.KEY_AND_METADATA if with_metadata else documents.KEY
        for job in jobs:
            if isinstance(job.state, Known):
                self._hints.forget(job.write.id)
        states = self._reader.states([job.write.id for job in jobs], mask, with_metadata)
        for job in jobs:
            if job.state is None and not sent:  # otherwise it may be there because of that
                self._hints.learn(job.write.id, states[job.write.id] is not ABSENT)
        return [job._replace(state=states[job.write.id], fresh=True) for job in jobs]

    def _decide(self, job: _Job, alone: bool, steps: list[_Step], outcomes: dict[int, Outcome]) -> bool:
        """Add the step that a write takes, or its outcome if it takes none; return whether it must be read first."""
        write = job.write
        decided: _Step | Outcome | None
        try:
            if isinstance(write, Delete):
                decided = _delete(self._prefix, write, job, alone, self._unanswered.get((write.id, write.at)))
            elif isinstance(write, Restore):
                decided = _restore(self._prefix, write, job, self._hints.likely)
            else:
                decided = _put(self._prefix, write, job, self._hints.likely)
        except ValueTooLargeError as error:
            decided = Outcome(False, error=error) if job.fresh or not isinstance(job.state, Known) else None
        except UNDECODABLE:
            problem = damaged(write.id, "its metadata cannot be merged with")
            decided = Outcome(False, error=problem) if job.fresh else None
        if isinstance(decided, _Step):
            steps.append(decided)
        elif decided is not None:
            outcomes[job.place] = decided
        return decided is None

    def _send(self, chunk: list[_Step], outcomes: dict[int, Outcome]) -> list[int]:
        """Send steps in one request, note the outcomes, and return the indexes of those that came too late."""
        if len(chunk) == 1:
            return self._send_alone(chunk[0], outcomes)
        try:
            answer = self._connection.batch_write([message for step in chunk for message in step.messages])
        except RefusedError:
            # One write that Firestore does not take (such as for an index of the administrator's own) makes it refuse
            # the request. Alone, each of the others is taken.
            return [index for step in chunk for index in self._send_alone(step, outcomes, refused_alone=True)]
        except DataStoreError as error:
            self._note_unanswered(chunk, error)
            raise
        late = list[int]()
        for step, status, result in zip(chunk, answer.status, answer.write_results, strict=True):
            code = CODES.get(status.code, grpc.StatusCode.UNKNOWN)
            if code is grpc.StatusCode.OK:
                outcomes[step.place] = self._applied(step, [result])
            elif code in CAME_TOO_LATE:
                late.append(step.place)
                self._learn(step, code)
            else:
                failure = error_for(code, status.message)
                self._note_unanswered([step], failure)
                outcomes[step.place] = Outcome(False, error=failure)
        return late

    def _send_alone(self, step: _Step, outcomes: dict[int, Outcome], refused_alone: bool = False) -> list[int]:
        try:
            answer = self._commit(step)
        except DataStoreError as failure:
            self._note_unanswered([step], failure)
            if refused_alone and not is_lost(failure):
                outcomes[step.place] = Outcome(False, error=failure)
                return []
            raise
        if answer is None:
            return [step.place]
        outcomes[step.place] = self._applied(step, answer.write_results)
        return []

    def _commit(self, step: _Step) -> Message | None:
        """Return the answer to a step, ``None`` if it came too late."""
        try:
            return self._connection.commit(step.messages)
        except grpc.RpcError as error:
            if error.code() in CAME_TOO_LATE:
                self._learn(step, error.code())
                return None
            raise self._connection.failure(error) from error

    def _note_unanswered(self, steps: Sequence[_Step], error: DataStoreError) -> None:
        """Remember deletes that may have been applied: sent again they find nothing, and were done all the same."""
        if is_lost(error):
            for step in steps:
                if step.after is ABSENT and step.done is not False:
                    self._unanswered[step.id, step.at] = step
            keep_newest(self._unanswered, _MOST_UNANSWERED)

    def _forget_answered(self, writes: Sequence[Write | Restore], outcomes: dict[int, Outcome]) -> None:
        """Forget the deletes of which it is known by now what became of them."""
        if self._unanswered:
            for index, outcome in outcomes.items():
                write = writes[index]
                if isinstance(write, Delete) and outcome.error is None:
                    self._unanswered.pop((write.id, write.at), None)

    def _applied(self, step: _Step, results: Sequence[Message]) -> Outcome:
        after = step.after
        if isinstance(after, Known):
            after = after._replace(update_time=stamp(results[-1].update_time))
        self._hints.note(step.id, after)
        return Outcome(documents.probed(results[0], step.at) if step.done is None else step.done)

    def _learn(self, step: _Step, code: object) -> None:
        if code is grpc.StatusCode.ALREADY_EXISTS:
            self._hints.learn(step.id, True)

    def _chunks(self, steps: Sequence[_Step]) -> Iterator[list[_Step]]:
        """Cut steps into what one request takes."""
        chunk, size = list[_Step](), 0
        for step in steps:
            bytes = sum(message.ByteSize() for message in step.messages)
            if chunk and (len(chunk) == MOST_WRITES or size + bytes > self._most_bytes):
                yield chunk
                chunk, size = [], 0
            chunk.append(step)
            size += bytes
        if chunk:
            yield chunk


def _put(prefix: str, put: Put, job: _Job, likely: Callable[[str], bool]) -> _Step | Outcome | None:
    """Return the step that a `Put` takes, its outcome, or ``None`` if the document must be read first."""
    state = job.state
    if isinstance(state, Known) and state.damaged:
        return Outcome(False, error=damaged(put.id)) if job.fresh else None
    live = state if isinstance(state, Known) and state.live(put.at) else None
    revision = None if live is None else live.revision
    refused = (put.if_absent and live is not None) or put.if_revision not in (None, revision)
    sent = live is not None and live.knows(put.revision)
    if job.fresh:
        if sent:
            return Outcome(True)  # and its answer was lost
        if refused:
            return Outcome(False, revision)
    elif sent or refused or (state is None and likely(put.id)):
        return None
    name = prefix + put.id
    if live is not None:
        if put.metadata and live.metadata is None and not job.fresh:
            return None
        merged = _merged(live.metadata or "{}", put) if put.metadata else None
        writes = live.writes_with(put.revision)
        message = documents.update(name, put, writes, merged)
        after = live._replace(
            revision=put.revision,
            expires_at=put.expires_at,
            metadata=live.metadata if merged is None else merged,
            writes=writes,
        )
    else:
        metadata = _merged("{}", put)
        message = documents.create(name, put, metadata)
        after = Known((0, 0), put.at, put.revision, put.expires_at, None, 0, metadata, mark_of(put.revision))
    _set_condition(message, state)
    return _Step(job.place, put.id, [message], after, True, put.at)


def _restore(prefix: str, restore: Restore, job: _Job, likely: Callable[[str], bool]) -> _Step | Outcome | None:
    """Return the step that a `Restore` takes, its outcome, or ``None`` if the document must be read first."""
    state = job.state
    if isinstance(state, Known) and state.damaged:
        return Outcome(False, error=damaged(restore.id)) if job.fresh else None
    live = state if isinstance(state, Known) and state.live(restore.at) else None
    revision = None if live is None else live.revision
    whole = restore.document
    own = f"{whole.revision} {restore.at}"  # the same document may be restored again later, over what came between
    if live is not None and live.knows(own):
        return Outcome(True) if job.fresh else None
    if revision != restore.if_revision:
        return Outcome(False, revision) if job.fresh else None
    if state is None and likely(restore.id):
        return None
    after = Known(
        (0, 0),
        whole.created_at,
        whole.revision,
        whole.expires_at,
        whole.last_accessed_at,
        whole.access_count,
        encode(whole.metadata or {}),
    )
    writes = after.writes_with(own) if live is None else live.writes_with(whole.revision, own)
    after = after._replace(writes=writes)
    message = documents.restore(prefix + restore.id, restore, writes)
    _set_condition(message, state)
    return _Step(job.place, restore.id, [message], after, True, restore.at)


def _delete(prefix: str, delete: Delete, job: _Job, alone: bool, sent: _Step | None) -> _Step | Outcome | None:
    """Return the step that a `Delete` takes, its outcome, or ``None`` if the document must be read first.

    ``sent`` is the step that was sent before, and not answered.
    """
    state = job.state
    if sent is not None and not job.fresh:
        return None
    if sent is not None and _is_another(state, sent):
        return Outcome(True)
    if isinstance(state, Known) and state.damaged and delete.if_revision is not None:
        return Outcome(False, error=damaged(delete.id)) if job.fresh else None
    live = state if isinstance(state, Known) and state.live(delete.at) else None
    revision = None if live is None else live.revision
    if delete.if_revision not in (None, revision):
        return Outcome(False, revision) if job.fresh else None
    name = prefix + delete.id
    if isinstance(state, Known):
        message = documents.remove(name)
        _set_condition(message, state)
        return _Step(job.place, delete.id, [message], ABSENT, live is not None, delete.at, state.revision)
    if job.fresh:
        return Outcome(False)
    if alone and state is None:
        messages = [documents.probe(name), documents.remove(name)]
        return _Step(job.place, delete.id, messages, ABSENT, None, delete.at)
    return None  # it was not there, so a look will do; and a BatchWrite takes one write for each document, so no probe


def _is_another(state: State | None, sent: _Step) -> bool:
    """Return whether the document that a delete was sent to is gone, whatever has come after it."""
    if not isinstance(state, Known):
        return True
    return sent.revision is not None and not state.damaged and not state.knows(sent.revision)


def _merged(current: str, put: Put) -> str:
    if not put.metadata:
        return current
    return encode(merge_metadata(decode(current), put.metadata), "metadata")


def _set_condition(message: Message, state: State | None) -> None:
    if isinstance(state, Known):
        time = message.current_document.update_time
        time.seconds, time.nanos = state.update_time
    else:
        message.current_document.exists = False
