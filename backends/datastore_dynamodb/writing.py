"""Writing: each write in one conditional request, and batches in transactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datastore.adapters.contention import came_too_late, contention
from datastore.backend import Delete, Document, Outcome, Put, Restore, Write
from datastore.documents import UNDECODABLE, damaged
from datastore.errors import DataStoreError, ValueTooLargeError
from datastore.retry import Backoff
from datastore.turns import keep_newest
from datastore.values import encode
from datastore_dynamodb.answers import AnswerLostError, lost
from datastore_dynamodb.batches import READ_BATCH, Threads, chunks, get_items
from datastore_dynamodb.client import (
    CanceledError,
    ConditionFailedError,
    Connection,
    RefusedError,
    throttled,
)
from datastore_dynamodb.codec import PARTS, Attributes, Encoded, encode_value, size_of
from datastore_dynamodb.items import id_of, is_live, key_of, parts_of, revision_of
from datastore_dynamodb.marks import WRITES
from datastore_dynamodb.parts import Parts
from datastore_dynamodb.plans import Item, Look, Request, plan_delete, plan_put, plan_restore
from datastore_dynamodb.schema import NAME
from datastore_dynamodb.seen import Seen

_ROUNDS = 2
"""The transactions that are tried for a group of writes; what is then left goes one by one."""
_WORTH_HALVING = 4
"""The fewest writes of a refused transaction that two smaller ones are tried for."""
_MOST_UNANSWERED = 5_000
_TRANSACTION_BYTES = 3_500_000
"""A transaction takes 4 MB ("Amazon DynamoDB Transactions: how it works")."""
_BESIDE_VALUE = 3_000  # bytes that ids and names may take
_TRANSACT = {"put_item": "Put", "update_item": "Update", "delete_item": "Delete"}
_FOR_DELETE = {"ProjectionExpression": "pk, sk, createdAt, revision, expiresAt, valueParts, " + ", ".join(WRITES)}
_SHOW_FOUND = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


class Job:
    """One write, and what is known about its record so far."""

    def __init__(
        self, write: Write, hint: Item | None = None, *, unanswered: bool = False, whole: Document | None = None
    ) -> None:
        self.write = write
        self.whole = whole
        self.unanswered = unanswered
        self.value: Encoded | None = encode_value(write.value, write.json) if isinstance(write, Put) else None
        self.hint = hint
        self.known: Item | None = None
        self.absent = False
        self.stored_parts = False

    def plan(self) -> Request | Outcome | Look:
        """Return what to do next."""
        if isinstance(self.write, Delete):
            return plan_delete(self.write, self.known, self.absent, self.unanswered)
        assert self.value is not None  # noqa: S101  # a Put has a value
        if self.whole is not None:
            return plan_restore(self.write, self.whole, self.value, self.known, self.absent)
        return plan_put(self.write, self.value, self.known, self.absent, self.hint)

    def past_damage(self) -> Request | Outcome:
        """Return what to do about an item that nobody can read: it can be removed, and nothing else."""
        if isinstance(self.write, Delete) and self.write.if_revision is None:
            self.known = None
            return plan_delete(self.write, None)
        return Outcome(False, error=damaged(self.write.id))

    def found(self, item: Item | None) -> None:
        """Take note of the item as the database has just said that it is."""
        self.known, self.absent, self.hint = item, item is None, None

    @property
    def is_there(self) -> bool:
        """Whether another writer has stored this very revision: a document may be restored by two at once."""
        return isinstance(self.write, Put) and self.known is not None and revision_of(self.known) == self.write.revision

    @property
    def split(self) -> bool:
        """Whether the value takes items of its own."""
        return self.value is not None and self.value.form == PARTS

    @property
    def size(self) -> int:
        """About the bytes that it takes in a transaction; rather more."""
        if self.value is None or not isinstance(self.write, Put):
            return _BESIDE_VALUE
        metadata = len(encode(self.write.metadata)) * 2 if self.write.metadata else 0
        return size_of(self.value.attribute) + metadata + _BESIDE_VALUE


class Writer:
    """Applies writes. Shared by threads."""

    def __init__(self, connection: Connection, parts: Parts, threads: Threads, seen: Seen) -> None:
        self._connection = connection
        self._parts = parts
        self._threads = threads
        self._seen = seen
        self._unanswered: dict[tuple[str, str], None] = {}  # deletes that may have been carried out, by id and time

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        return self._settle([self._job(write) for write in writes])

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `datastore.backend.MovesDocuments`."""
        return self._settle([Job(_as_put(one), whole=one.document) for one in restores])

    def _settle(self, jobs: Sequence[Job]) -> list[Outcome]:
        if len(jobs) == 1:
            return [self._one(jobs[0])]
        outcomes: dict[str, Outcome] = {}
        alone = list(jobs)
        if self._connection.settings.transactions:
            together = [job for job in jobs if not job.split]
            for settled in self._threads.map(self._transact, _groups(together)):
                outcomes.update(settled)
            alone = [job for job in jobs if job.write.id not in outcomes]
        results = self._threads.map(self._one_of_many, alone)
        outcomes.update((job.write.id, outcome) for job, outcome in zip(alone, results, strict=True))
        ordered = [outcomes[job.write.id] for job in jobs]
        errors = [outcome.error for outcome in ordered if outcome.error is not None]
        if len(errors) == len(ordered) and not any(isinstance(error, ValueTooLargeError) for error in errors):
            raise errors[0]  # nothing is known of any of them
        return ordered

    def _job(self, write: Write) -> Job:
        seen = self._seen.take(write.id)
        if isinstance(write, Delete):
            return Job(write, unanswered=(write.id, write.at) in self._unanswered)
        # Only a merge of metadata gains from what was seen: all else is one request whatever the record holds.
        return Job(write, seen if write.metadata else None)

    def _one_of_many(self, job: Job) -> Outcome:
        try:
            return self._one(job)
        except DataStoreError as error:
            return Outcome(False, error=error)

    def _one(self, job: Job) -> Outcome:
        write = job.write
        backoff: Backoff | None = None
        if job.split:
            job.found(self._look(write.id))  # may settle it before a megabyte is sent in vain
        while True:
            try:
                step = job.plan()
            except UNDECODABLE:
                step = job.past_damage()
            if isinstance(step, Look):
                job.found(self._look(write.id))
                continue
            if isinstance(step, Outcome):
                if job.stored_parts and not step.done and not job.is_there:
                    self._withdraw(job)
                return step
            if job.split and not job.stored_parts and isinstance(write, Put) and job.value is not None:
                self._parts.write(write, job.value)
                job.stored_parts = True
            try:
                return self._done(job, step, self._send(step))
            except ConditionFailedError as refused:
                job.found(refused.item or self._look(write.id))
            except AnswerLostError:
                self._note_unanswered([job])
                raise
            # Somebody else got on with the record. Most often the next attempt does.
            if backoff is None:
                backoff = contention()
            elif not backoff.wait():
                raise came_too_late(NAME)

    def _send(self, step: Request) -> Attributes | None:
        """Send a request and return the item that it removed."""
        parameters = {"TableName": self._connection.settings.table, **step.parameters}
        if step.operation == "delete_item":
            parameters["ReturnValues"] = "ALL_OLD"
        if "ConditionExpression" in parameters:
            parameters |= _SHOW_FOUND
        removed: Attributes | None = self._connection.call(step.operation, **parameters).get("Attributes")
        return removed

    def _done(self, job: Job, step: Request, removed: Item | None) -> Outcome:
        """Do what follows a write, and return its outcome."""
        write, before = job.write, job.known
        if isinstance(write, Delete):
            before = removed if removed is not None else before
            if before is None:
                return Outcome(job.unanswered)
            try:
                if parts_of(before):
                    self._parts.reclaim(write.id, write.at, keep=None, gone=revision_of(before))
                return Outcome(is_live(before, write.at))
            except UNDECODABLE:
                return Outcome(True)  # it was there, whatever it was
        replaced = revision_of(before) if before is not None and parts_of(before) else None
        if job.split or replaced is not None:
            keep = write.revision if job.split else None
            self._parts.reclaim(write.id, write.at, keep=keep, gone=replaced)
        elif step.metadata is not None:
            self._seen.note(write.id, write.revision, write.expires_at, step.metadata)
        return Outcome(True)

    def _note_unanswered(self, jobs: Sequence[Job]) -> None:
        """Remember deletes that may have been carried out: sent again, they find nothing, and yet have removed it.

        Whether there was a record is not always known. What is gone after a delete whose answer was lost is taken for
        removed by it, since an outage must not look like a missing record.
        """
        for job in jobs:
            if isinstance(job.write, Delete) and (job.known is None or is_live(job.known, job.write.at)):
                self._unanswered[job.write.id, job.write.at] = None
        keep_newest(self._unanswered, _MOST_UNANSWERED)

    def _withdraw(self, job: Job) -> None:
        if isinstance(job.write, Put) and job.value is not None:
            self._parts.withdraw(job.write, job.value)

    def _look(self, id: str) -> Attributes | None:
        answer = self._connection.call(
            "get_item", TableName=self._connection.settings.table, Key=key_of(id), ConsistentRead=True
        )
        item: Attributes | None = answer.get("Item")
        if item is not None and id_of(item) != id:
            lost("it is about another record")
        return item

    # Batches

    def _transact(self, jobs: Sequence[Job]) -> dict[str, Outcome]:
        """Apply writes in one transaction, and return the outcomes of those that are settled."""
        try:
            return self._transact_or_raise(jobs)
        except RefusedError as error:
            if not error.may_be_too_large or len(jobs) < _WORTH_HALVING:
                return {}
            half = len(jobs) // 2  # it grew beyond 4 MB by what is stored
            return {**self._transact(jobs[:half]), **self._transact(jobs[half:])}
        except DataStoreError as error:
            return {job.write.id: Outcome(False, error=error) for job in jobs}

    def _transact_or_raise(self, jobs: Sequence[Job]) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        # A transaction tells nothing of what it removed: deletes have to look before.
        self._look_all([job for job in jobs if isinstance(job.write, Delete)], _FOR_DELETE)
        for _ in range(_ROUNDS):
            steps: list[tuple[Job, Request]] = []
            for job in jobs:
                try:
                    step = job.plan()
                except UNDECODABLE:
                    continue  # alone it is settled without what cannot be read
                if isinstance(step, Outcome):
                    outcomes[job.write.id] = step
                elif isinstance(step, Request):
                    steps.append((job, step))
            if len(steps) < 2:
                return outcomes  # a transaction of one costs twice as much as the write alone
            try:
                self._connection.call("transact_write_items", TransactItems=[self._item(step) for _, step in steps])
            except CanceledError as canceled:
                if not self._learn(canceled, [job for job, _ in steps]):
                    return outcomes
                jobs = [job for job, _ in steps]
                continue
            except AnswerLostError:
                self._note_unanswered([job for job, _ in steps])
                raise
            outcomes.update((job.write.id, self._done(job, step, None)) for job, step in steps)
            return outcomes
        return outcomes

    def _item(self, step: Request) -> dict[str, Any]:
        return {
            _TRANSACT[step.operation]: {"TableName": self._connection.settings.table, **step.parameters, **_SHOW_FOUND}
        }

    def _learn(self, canceled: CanceledError, jobs: Sequence[Job]) -> bool:
        """Take note of why a transaction was canceled, and return whether another one may help."""
        unknown = []
        again = len(canceled.reasons) == len(jobs)
        for job, reason in zip(jobs, canceled.reasons, strict=False):
            code = reason.get("Code")
            if code == "ConditionalCheckFailed":
                if reason.get("Item"):
                    job.found(reason["Item"])
                else:
                    unknown.append(job)
            elif code == "TransactionConflict":
                again = False  # others are writing the same records: one by one nobody waits for anybody else's
            elif code and (error := throttled(code)):
                raise error from canceled
            elif code not in (None, "None"):
                again = False  # one by one it shows which write is refused
        self._look_all(unknown, {})
        return again

    def _look_all(self, jobs: Sequence[Job], projection: dict[str, Any]) -> None:
        for batch in chunks(jobs, READ_BATCH):
            items = get_items(self._connection, [key_of(job.write.id) for job in batch], projection)
            found = {id_of(item): item for item in items}
            for job in batch:
                job.found(found.get(job.write.id))


def _as_put(restore: Restore) -> Put:
    """Return the write of the value of a whole document."""
    document = restore.document
    return Put(
        id=restore.id,
        user_id=restore.user_id,
        namespace=restore.namespace,
        key=restore.key,
        value=document.value,
        json=restore.json,
        metadata=document.metadata,
        agent=document.created_by_agent,
        at=restore.at,
        revision=document.revision,
        expires_at=document.expires_at,
        if_absent=restore.if_revision is None,
        if_revision=restore.if_revision,
    )


def _groups(jobs: Sequence[Job]) -> list[list[Job]]:
    """Return jobs in groups that fit a transaction each."""
    groups: list[list[Job]] = []
    size = _TRANSACTION_BYTES
    for job in jobs:
        size += job.size
        if size > _TRANSACTION_BYTES or len(groups[-1]) == READ_BATCH:
            groups.append([])
            size = job.size
        groups[-1].append(job)
    return groups
