"""Counting accesses: by ``ADD``, only on the very records that were read, and never twice.

Each attempt has a mark, which the record keeps (`datastore_dynamodb.marks`), so that it can be sent again as it is:
one whose answer was lost is, for a while, and where that does not help with the next counting.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from datastore.adapters.remembering import new_mark
from datastore.backend import Access
from datastore.errors import DataStoreError
from datastore.retry import Backoff
from datastore.turns import keep_newest
from datastore_dynamodb.answers import AnswerLostError
from datastore_dynamodb.batches import READ_BATCH, Threads, chunks
from datastore_dynamodb.client import CanceledError, ConditionFailedError, Connection, RefusedError
from datastore_dynamodb.items import key_of
from datastore_dynamodb.marks import COUNTS, knows, operands, remembering, unknown

logger = logging.getLogger("datastore")

_ROUNDS = 3
"""The transactions that are tried for a group of records; what is then left goes one by one."""
_SECONDS, _FIRST_DELAY, _LONGEST_DELAY = 3.0, 0.02, 0.5
"""How long a request is sent again whose answer is lost."""
_MOST_KEPT = 5_000
"""The attempts that are kept until the next counting."""
_SHOW_FOUND = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


class _Attempt(NamedTuple):
    """An addition to one record, which is made at most once however often it is sent."""

    access: Access
    mark: str
    late: bool = False
    """The record names a later access, which stays."""
    owed: bool = False
    """Nobody else counts it if this is not made; otherwise it is a part of what will be handed over again."""


class _Failure(NamedTuple):
    """An attempt of which it is not known that it was made."""

    attempt: _Attempt
    error: DataStoreError
    in_doubt: bool
    """It may have been."""


class Counter:
    """Adds accesses to records. Shared by threads."""

    def __init__(self, connection: Connection, threads: Threads) -> None:
        self._connection = connection
        self._threads = threads
        self.after_fork()

    def after_fork(self) -> None:
        """Forget what was not settled, which is the parent's to settle."""
        self._kept: dict[str, _Attempt] = {}

    def count(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        kept = self._kept_of(accesses)
        fresh = [_Attempt(access, new_mark()) for access in _without(accesses, kept)]
        self._kept |= {attempt.mark: attempt for attempt in fresh}  # before they are made: an interrupt may come
        again = [failure._replace(in_doubt=True) for failure in self._send(kept)]
        failures = self._send(fresh)
        unsettled = {failure.attempt.mark for failure in again}
        counted = len(failures) < len(fresh) or any(not one.owed and one.mark not in unsettled for one in kept)
        for attempt in (*kept, *fresh):
            self._kept.pop(attempt.mark, None)
        self._keep([*again, *failures], owed=counted)
        if not counted and (errors := [failure.error for failure in (*failures, *again)]):
            raise errors[0]

    def settle(self) -> None:
        """Send once more what is still in doubt or was not counted, before the end."""
        kept, self._kept = list(self._kept.values()), {}
        if kept and (failures := self._send(kept)):
            _log(failures)

    def _kept_of(self, accesses: Iterable[Access]) -> list[_Attempt]:
        """Return the attempts to make again: of what was handed over again, and of what never will be."""
        records = {(access.id, access.created_at) for access in accesses}
        return [
            attempt
            for attempt in list(self._kept.values())
            if attempt.owed or (attempt.access.id, attempt.access.created_at) in records
        ]

    def _keep(self, failures: Sequence[_Failure], *, owed: bool) -> None:
        """Keep for the next counting what is in doubt, and what nobody will hand over again.

        Args:
            failures: What is not settled.
            owed: Whether the store takes all that it has just handed over for counted.
        """
        lasting = []
        for failure in failures:
            attempt = failure.attempt._replace(owed=owed or failure.attempt.owed)
            if attempt.owed and not failure.error.retryable:
                lasting.append(failure)
            elif attempt.owed or failure.in_doubt:
                self._kept[attempt.mark] = attempt
        keep_newest(self._kept, _MOST_KEPT)
        if lasting:
            _log(lasting)

    def _send(self, attempts: Sequence[_Attempt]) -> list[_Failure]:
        """Make attempts, and return those that failed."""
        alone = list(attempts)
        failures: list[_Failure] = []
        if len(attempts) > 1 and self._connection.settings.transactions:
            by_id = {attempt.access.id: attempt for attempt in attempts}  # a transaction takes a record once
            alone = [attempt for attempt in attempts if by_id[attempt.access.id] is not attempt]
            for left, failed in self._threads.map(self._together, chunks(by_id.values(), READ_BATCH)):
                alone += left
                failures += failed
        return failures + [failure for failure in self._threads.map(self._one, alone) if failure is not None]

    def _one(self, attempt: _Attempt) -> _Failure | None:
        """Count on one record, and return why it is not known that this was done."""
        try:
            failed = _insist(lambda: self._update_one(attempt))
        except RefusedError as error:
            return _Failure(attempt, error, in_doubt=False)
        return None if failed is None else _Failure(attempt, *failed)

    def _update_one(self, attempt: _Attempt) -> None:
        # Gone, another record, counted before, or accessed later by somebody else: only then there is more to do.
        for one in (attempt,) if attempt.late else (attempt, attempt._replace(late=True)):
            try:
                self._connection.call("update_item", **self._update(one))
                return
            except ConditionFailedError:
                continue

    def _together(self, attempts: list[_Attempt]) -> tuple[list[_Attempt], list[_Failure]]:
        """Count on up to 100 records, and return what is left to be counted one by one, and what failed."""
        for _ in range(_ROUNDS):
            if len(attempts) < 2:
                break
            try:
                failed = _insist(self._transaction(attempts))
            except CanceledError as canceled:
                remaining = _remaining(attempts, canceled)
                if remaining == attempts:
                    break  # a conflict with another writer
                attempts = remaining
                continue
            except RefusedError as error:
                if not error.may_be_too_large:
                    break
                half = len(attempts) // 2
                (left, failures), (right, others) = map(self._together, (attempts[:half], attempts[half:]))
                return left + right, failures + others
            return [], [] if failed is None else [_Failure(attempt, *failed) for attempt in attempts]
        return attempts, []

    def _transaction(self, attempts: Sequence[_Attempt]) -> Callable[[], None]:
        items = [{"Update": {**self._update(attempt), **_SHOW_FOUND}} for attempt in attempts]
        token = uuid.uuid4().hex

        def send() -> None:
            self._connection.call("transact_write_items", TransactItems=items, ClientRequestToken=token)

        return send

    def _update(self, attempt: _Attempt) -> dict[str, Any]:
        """Return an update that counts."""
        access = attempt.access
        change = f"ADD accessCount :number SET {remembering(COUNTS)}"
        # To add to what is no number, in a record that somebody has edited, would be refused together with all others.
        condition = f"createdAt = :created AND attribute_type(accessCount, :numeric) AND {unknown(COUNTS)}"
        values: dict[str, Any] = {":number": {"N": str(access.number)}, ":created": {"S": access.created_at}}
        values |= {":numeric": {"S": "N"}, **operands(attempt.mark)}
        if not attempt.late:
            change += ", lastAccessedByAgent = :agent, lastAccessedAt = :at"
            condition += " AND (attribute_not_exists(lastAccessedAt) OR lastAccessedAt <= :at)"
            values |= {":agent": {"S": access.agent}, ":at": {"S": access.at}}
        return {
            "TableName": self._connection.settings.table,
            "Key": key_of(access.id),
            "UpdateExpression": change,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }


def _insist(send: Callable[[], None]) -> tuple[DataStoreError, bool] | None:
    """Send a request again while its answers are lost; return why it failed, and whether it may have been done.

    Raises:
        RefusedError: If it is not taken as it is.
    """
    backoff = Backoff(_SECONDS, _FIRST_DELAY, _LONGEST_DELAY)
    in_doubt = False
    while True:
        try:
            send()
            return None
        except AnswerLostError as error:
            in_doubt = True
            if not backoff.wait():
                return error, True
        except RefusedError:
            raise
        except DataStoreError as error:
            return error, in_doubt


def _without(accesses: Iterable[Access], kept: Sequence[_Attempt]) -> list[Access]:
    """Return what of accesses is in no attempt that was made, or will be."""
    tried: dict[tuple[str, str], int] = {}
    for attempt in kept:
        if not attempt.owed:
            record = attempt.access.id, attempt.access.created_at
            tried[record] = tried.get(record, 0) + attempt.access.number
    left = []
    for access in accesses:
        number = access.number - tried.get((access.id, access.created_at), 0)
        if number > 0:
            left.append(access._replace(number=number))
    return left


def _remaining(attempts: list[_Attempt], canceled: CanceledError) -> list[_Attempt]:
    """Return what is still to be counted after a transaction was canceled."""
    if len(canceled.reasons) != len(attempts):
        return attempts
    remaining = []
    for attempt, reason in zip(attempts, canceled.reasons, strict=True):
        if reason.get("Code") != "ConditionalCheckFailed":
            remaining.append(attempt)
        elif (item := reason.get("Item")) and _is_late(attempt, item):
            remaining.append(attempt._replace(late=True))
    return remaining


def _is_late(attempt: _Attempt, item: dict[str, Any]) -> bool:
    """Return whether all that speaks against an attempt is a later access of somebody else."""
    if attempt.late or knows(item, COUNTS, attempt.mark):
        return False
    return item.get("createdAt") == {"S": attempt.access.created_at} and "N" in item.get("accessCount", {})


def _log(failures: Sequence[_Failure]) -> None:
    number = sum(failure.attempt.access.number for failure in failures)
    logger.warning("the counting of %d accesses is lost: %s", number, failures[0].error)
