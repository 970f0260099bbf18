"""Counting accesses: by ``ADD``, only on the very records that were read, and never twice.

A count is sent again only where it is certain that it was not added: the transaction says that it was canceled, the
request was refused, or there was no connection. A transaction whose answer is lost is repeated with the same token,
by which DynamoDB knows it; a single update whose answer is lost is left at that, since one access too few is better
than one too many.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import Any

from datastore.backend import Access
from datastore.errors import DataStoreError
from datastore_dynamodb.batches import READ_BATCH, Threads, chunks
from datastore_dynamodb.client import AnswerLostError, CanceledError, ConditionFailedError, Connection
from datastore_dynamodb.items import key_of

logger = logging.getLogger("datastore")

_ROUNDS = 3
"""The transactions that are tried for a group of records; what is then left goes one by one."""
_SENDINGS = 2
"""How often a transaction is sent whose answer is lost."""
_SHOW_FOUND = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


class Counter:
    """Adds accesses to records. Shared by threads."""

    def __init__(self, connection: Connection, threads: Threads) -> None:
        self._connection = connection
        self._threads = threads

    def count(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        left: list[tuple[Access, bool]] = [(access, False) for access in accesses]
        errors: list[DataStoreError] = []
        counted = False
        if len(left) > 1 and self._connection.settings.transactions:
            results = self._threads.map(self._transact, chunks(left, READ_BATCH))
            left = [pair for result in results if not isinstance(result, DataStoreError) for pair in result]
            errors += [result for result in results if isinstance(result, DataStoreError)]
            counted = len(errors) < len(results)
        singles = self._threads.map(self._one, left)
        errors += [error for error in singles if error is not None]
        counted = counted or len(singles) > sum(error is not None for error in singles)
        if not errors:
            return
        if not counted:
            raise errors[0]
        logger.warning("some access counts were lost: %s", errors[0])

    def _one(self, pair: tuple[Access, bool]) -> DataStoreError | None:
        """Count on one record, and return why that was not possible."""
        access, late = pair
        try:
            try:
                self._connection.call("update_item", **self._update(access, late))
            except ConditionFailedError:
                if not late:  # gone, another record, or accessed later by somebody else: only then there is more to do
                    self._connection.call("update_item", **self._update(access, True))
        except ConditionFailedError:
            return None
        except AnswerLostError as error:
            logger.warning("the counting of %d accesses may be lost: %s", access.number, error)
            return None
        except DataStoreError as error:
            return error
        return None

    def _transact(self, pairs: list[tuple[Access, bool]]) -> list[tuple[Access, bool]] | DataStoreError:
        """Count on up to 100 records, and return those that are left to be counted one by one."""
        try:
            for _ in range(_ROUNDS):
                if len(pairs) < 2:
                    return pairs
                try:
                    self._send([{"Update": {**self._update(*pair), **_SHOW_FOUND}} for pair in pairs])
                except CanceledError as canceled:
                    remaining = _remaining(pairs, canceled)
                    if len(remaining) == len(pairs) and remaining == pairs:
                        return pairs  # a conflict with another writer
                    pairs = remaining
                    continue
                return []
        except AnswerLostError as error:
            logger.warning("the counting of accesses to %d records may be lost: %s", len(pairs), error)
            return []
        except DataStoreError as error:
            return error
        return pairs

    def _send(self, items: list[dict[str, Any]]) -> None:
        token = uuid.uuid4().hex
        for sending in range(_SENDINGS):
            try:
                self._connection.call("transact_write_items", TransactItems=items, ClientRequestToken=token)
                return
            except AnswerLostError:
                if sending + 1 == _SENDINGS:
                    raise

    def _update(self, access: Access, late: bool) -> dict[str, Any]:
        """Return an update that counts; ``late``: the record names a later access, which stays."""
        change = "ADD accessCount :number"
        # To add to what is no number, in a record that somebody has edited, would be refused together with all others.
        condition = "createdAt = :created AND attribute_type(accessCount, :numeric)"
        values: dict[str, Any] = {":number": {"N": str(access.number)}, ":created": {"S": access.created_at}}
        values[":numeric"] = {"S": "N"}
        if not late:
            change += " SET lastAccessedByAgent = :agent, lastAccessedAt = :at"
            condition += " AND (attribute_not_exists(lastAccessedAt) OR lastAccessedAt <= :at)"
            values |= {":agent": {"S": access.agent}, ":at": {"S": access.at}}
        return {
            "TableName": self._connection.settings.table,
            "Key": key_of(access.id),
            "UpdateExpression": change,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }


def _remaining(pairs: list[tuple[Access, bool]], canceled: CanceledError) -> list[tuple[Access, bool]]:
    """Return what is still to be counted after a transaction was canceled."""
    if len(canceled.reasons) != len(pairs):
        return pairs
    remaining = []
    for (access, late), reason in zip(pairs, canceled.reasons, strict=True):
        if reason.get("Code") == "ConditionalCheckFailed":
            item = reason.get("Item")
            if item and item.get("createdAt") == {"S": access.created_at} and "N" in item["accessCount"] and not late:
                remaining.append((access, True))
        else:
            remaining.append((access, late))
    return remaining
