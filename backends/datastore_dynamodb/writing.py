"""The primitives that DynamoDB gives to the toolkit: conditional requests for changes, and transactions for batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from datastore.adapters.batching import batches, batches_by_size
from datastore.adapters.changes import Applied, Change, Late, Result, Rules
from datastore.adapters.knowledge import ABSENT, UNSEEN, Known, State
from datastore.adapters.primitives import Counting, Primitives
from datastore.adapters.remembering import new_mark
from datastore.adapters.writing import Writer
from datastore.backend import DONE, Access, Delete, Outcome, Put, Restore, Touch, Write
from datastore.documents import UNDECODABLE
from datastore.errors import DataStoreError
from datastore_dynamodb.answers import AnswerLostError, lost
from datastore_dynamodb.batches import READ_BATCH, Threads, get_items
from datastore_dynamodb.client import CanceledError, ConditionFailedError, Connection, RefusedError, throttled
from datastore_dynamodb.codec import PARTS, Attributes, Encoded, encoded_of, size_of
from datastore_dynamodb.items import (
    LOADED,
    Split,
    Token,
    id_of,
    is_live,
    key_of,
    known_of,
    revision_after,
    split_of,
    token_of,
)
from datastore_dynamodb.marks import REMEMBERED
from datastore_dynamodb.parts import Parts
from datastore_dynamodb.requests import Request, identity_of, request_of
from datastore_dynamodb.schema import NAME

_ROUNDS = 2
"""How many transactions are tried for a group of writes; what is left after that goes one by one."""
_WORTH_HALVING = 4
"""The fewest changes of a refused transaction for which two smaller ones are tried."""
_TRANSACTION_BYTES = 3_500_000
"""A transaction takes 4 MB ("Amazon DynamoDB Transactions: how it works")."""
_SMALL = 4_000
"""Characters of JSON, which take four bytes each at most, and natively twice that. A hundred fit into a transaction."""
_FLOAT = 24  # bytes that a number of a vector takes, and more than that
_BESIDE_VALUE = 3_000  # bytes that ids and names may take besides the value
_TRANSACT = {"put_item": "Put", "update_item": "Update", "delete_item": "Delete"}
_SHOW_FOUND = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
_COUNTED = Applied()


class Items(Primitives):
    """The items of one table, as the toolkit sees them. Each call that writes has its own object, and counting has one.

    It keeps the encoded values of its call, since every attempt sends the same ones, and notes which of them have their
    parts stored already. Another call for the same write, after an answer was lost, stores parts of its own.
    """

    name = NAME
    rules = Rules(replaces_whole=False, remembered=REMEMBERED)
    counting = Counting.UNSEEN

    def __init__(self, connection: Connection, parts: Parts, threads: Threads) -> None:
        self._connection = connection
        self._parts = parts
        self._threads = threads
        self._values: dict[str, Encoded] = {}
        # By id: when parts expire that are stored already, or may be, and that no record refers to or ever will.
        self._withdrawable: dict[str, str | None] = {}
        self._remembered: dict[str, Known] = {}  # what is known of records that are touched without reading them
        self._prolonged: dict[str, str] = {}  # by id: the mark that the parts of a touched value have

    def write(self, writer: Writer, writes: Sequence[Write | Restore]) -> list[Outcome]:
        """Apply the writes of one call, and remove the parts of values that were stored in vain."""
        try:
            outcomes = writer.write(writes, through=self)
        except DataStoreError:
            for write in writes:
                self._keep_parts(write)
            raise
        if not self._withdrawable:
            return outcomes
        for write, outcome in zip(writes, outcomes, strict=True):
            if outcome.error is not None and outcome.error.retryable:
                self._keep_parts(write)
            elif write.id in self._withdrawable and isinstance(write, Put | Restore):
                self._parts.withdraw(write, self._values[write.id])
        return outcomes

    def _keep_parts(self, write: Write | Restore) -> None:
        """Keep parts that were stored in vain for the next attempt."""
        if write.id in self._withdrawable and isinstance(write, Put | Restore):
            self._parts.keep(write, self._values[write.id])

    def load(self, ids: Sequence[str], *, metadata: bool, value: bool) -> Mapping[str, Known]:
        """See `Primitives.load`.

        Requests: 1 per 100 documents.
        """
        projection = LOADED[metadata]
        if len(ids) == 1:
            item = self._get(ids[0], projection)
            return {} if item is None else {ids[0]: known_of(item, metadata=metadata)}
        pages = self._threads.map(
            lambda keys: get_items(self._connection, keys, projection), batches(map(key_of, ids), READ_BATCH)
        )
        return {id_of(item): known_of(item, metadata=metadata) for items in pages for item in items}

    def swap(self, changes: Sequence[Change]) -> Sequence[Result]:
        """See `Primitives.swap`.

        Requests: 1 per change, and in transactions 1 per 100. A value with parts takes more.
        """
        if len(changes) == 1:
            return _raised(changes, [self._one_of_many(changes[0])])
        results: dict[str, Result] = {}
        if self._connection.settings.transactions:
            together = (change for change in changes if change.attempt < _ROUNDS and not self._has_parts(change))
            for settled in self._threads.map(self._transact, self._groups(list(together))):
                results.update(settled)
        alone = [change for change in changes if change.id not in results]
        for change, result in zip(alone, self._threads.map(self._one_of_many, alone), strict=True):
            results[change.id] = result
        return _raised(changes, [results[change.id] for change in changes])

    def guess(self, write: Put | Restore | Delete | Touch, remembered: State | None, alone: bool) -> State | None:
        """See `Primitives.guess`: every write except a merge of metadata is one request, whatever the record holds."""
        if isinstance(write, Delete):
            # A transaction does not tell what it removed, so deletes have to read first.
            return UNSEEN if alone or not self._connection.settings.transactions else None
        if isinstance(write, Touch):
            if isinstance(remembered, Known):
                self._remembered[write.id] = remembered
            return UNSEEN
        encoded = self._values[write.id] = encoded_of(write)
        if encoded.form == PARTS:
            self._values[write.id] = encoded.named(self._parts.name(write))
            return None  # a read may settle it before a megabyte is sent in vain
        if isinstance(write, Restore):
            return ABSENT if write.if_revision is None else UNSEEN
        if write.if_absent:
            return ABSENT
        if not write.metadata:
            return UNSEEN
        if (
            isinstance(remembered, Known)
            and remembered.metadata is not None
            and remembered.live(write.at)
            and write.if_revision in (None, remembered.revision)
        ):
            return remembered
        return ABSENT if write.if_revision is None else None

    def in_doubt(self, error: DataStoreError) -> bool:
        """See `Primitives.in_doubt`."""
        return isinstance(error, AnswerLostError)

    def look_at_once(self, error: DataStoreError) -> bool:
        """See `Primitives.look_at_once`: after a timeout, the server would not answer at once either."""
        return not isinstance(error.__cause__, ReadTimeoutError | ConnectTimeoutError)

    def _get(self, id: str, projection: Mapping[str, Any]) -> Attributes | None:
        answer = self._connection.call(
            "get_item", TableName=self._connection.settings.table, Key=key_of(id), ConsistentRead=True, **projection
        )
        item: Attributes | None = answer.get("Item")
        if item is not None and id_of(item) != id:
            lost("it is for another record")
        return item

    # One by one

    def _one_of_many(self, change: Change) -> Result:
        try:
            return self._one(change)
        except DataStoreError as error:
            return error

    def _one(self, change: Change) -> Result:
        try:
            return self._sent(change)
        except DataStoreError as error:
            if self.in_doubt(error):
                self._withdrawable.pop(change.id, None)  # the record may refer to them, now or later
            raise

    def _sent(self, change: Change) -> Result:
        if self._has_parts(change):
            self._prepare_parts(change)
        operation, parameters = request_of(change, self._value_of(change))
        parameters["TableName"] = self._connection.settings.table
        if operation == "delete_item":
            parameters["ReturnValues"] = "ALL_OLD"
        if "ConditionExpression" in parameters:
            parameters |= _SHOW_FOUND
        try:
            answer = self._connection.call(operation, **parameters)
        except ConditionFailedError as refused:
            return Late(None if refused.item is None else _found(change, refused.item))
        removed = answer.get("Attributes")
        write = change.write
        if removed is None and isinstance(write, Delete) and (write.if_revision or isinstance(change.over, Known)):
            lost("it lacks the item that was removed")
        return self._applied(change, removed)

    def _prepare_parts(self, change: Change) -> None:
        """Make sure that the parts of a value are there for as long as its record will refer to them."""
        write, over, after = change.write, change.over, change.after
        assert isinstance(after, Known)  # noqa: S101  # nothing with parts is changed over `UNSEEN`, or removed here
        if isinstance(write, Put | Restore):
            if self._withdrawable.get(write.id, "") != after.expires_at:
                self._withdrawable[write.id] = after.expires_at
                self._parts.write(write, self._values[write.id], after.expires_at)
        elif isinstance(over, Known):
            mark = self._prolonged[write.id] = new_mark()
            self._parts.prolong(write.id, over.token.split, over.expires_at, after.expires_at, mark)

    def _applied(self, change: Change, removed: Attributes | None = None) -> Applied:
        """Do what must follow a change, and return its result."""
        write = change.write
        if isinstance(write, Access):
            return _COUNTED
        if isinstance(write, Touch):
            return self._touched(write, change.over)
        over: Token | None = change.over.token if isinstance(change.over, Known) else None
        if isinstance(write, Delete):
            if removed is not None:
                over = token_of(removed)
            self._reclaim(write, over)
            return Applied(outcome=_outcome_of(write, removed))
        value = self._values[write.id]
        split = split_of({value.form: value.attribute})
        self._withdrawable.pop(write.id, None)
        self._reclaim(write, over, split)
        return Applied(Token({"S": revision_after(write)}, split))

    def _touched(self, touch: Touch, over: State) -> Applied:
        if not isinstance(over, Known):
            known = self._remembered.get(touch.id)
            return Applied(outcome=DONE, after=known and known._replace(expires_at=touch.expires_at))
        mark, split = self._prolonged.get(touch.id), over.token.split
        # An attempt that was refused may have prolonged the parts of a value that was replaced by one without parts.
        if mark is not None and split is not None and touch.expires_at is not None and over.live(touch.expires_at):
            self._parts.shorten(touch.id, split, touch.expires_at, mark)
        return Applied(over.token)

    def _reclaim(self, write: Write | Restore, over: Token | None, new: Split | None = None) -> None:
        """Remove the parts of the replaced or removed value, and what others have left there."""
        gone = None if over is None else over.split
        if new is not None or gone is not None:
            self._parts.reclaim(write.id, write.at, keep=new and new.name, gone=gone and gone.name)

    def _value_of(self, change: Change) -> Encoded | None:
        """Return the value that a change writes, encoded; ``None`` if it writes none."""
        write = change.write
        if isinstance(write, Put) and write.id not in self._values:  # in the place of a record that is deleted
            self._values[write.id] = encoded_of(write)
        return self._values.get(write.id)

    def _has_parts(self, change: Change) -> bool:
        """Return whether the value that is written, or whose expiry is moved, is split across other items."""
        if isinstance(change.write, Touch):
            return isinstance(change.over, Known) and change.over.token.split is not None
        value = self._values.get(change.id)
        return value is not None and value.form == PARTS

    # In transactions

    def _groups(self, changes: list[Change]) -> Iterable[list[Change]]:
        """Return changes in groups that a transaction takes. The sizes of small values are not worth knowing."""
        if all(map(self._is_small, changes)):
            return batches(changes, READ_BATCH)
        return batches_by_size(changes, self._size, _TRANSACTION_BYTES, READ_BATCH)

    def _is_small(self, change: Change) -> bool:
        """Return whether a hundred such changes fit into one transaction, whatever their values are."""
        write = change.write
        if not isinstance(write, Put | Restore):
            return True
        metadata = write.metadata if isinstance(write, Put) else write.document.metadata
        if isinstance(write, Put) and (write.content or write.vector) is not None:
            return False
        return len(write.json) <= _SMALL and not metadata and not change.metadata

    def _size(self, change: Change) -> int:
        """Return an upper estimate of the bytes that a change takes in a transaction."""
        value, write = self._values.get(change.id), change.write
        if value is None:
            return _BESIDE_VALUE
        vector = len(write.vector or b"") * _FLOAT // 4 if isinstance(write, Put) else 0
        return size_of(value.attribute) + vector + len(change.metadata or "") * 2 + _BESIDE_VALUE

    def _transact(self, changes: Sequence[Change]) -> dict[str, Result]:
        """Make changes in one transaction, and return the results of those that need not be tried one by one."""
        if len(changes) < 2:
            return {}  # a transaction of one change costs twice as much as the change alone
        parameters: dict[str, Any] = {"TransactItems": [self._item(change) for change in changes]}
        if (token := self._token(changes, parameters["TransactItems"])) is not None:
            parameters["ClientRequestToken"] = token
        try:
            self._connection.call("transact_write_items", **parameters)
        except CanceledError as canceled:
            return _results_of(canceled, changes)
        except RefusedError as error:
            if not error.may_be_too_large or len(changes) < _WORTH_HALVING:
                return {}
            half = len(changes) // 2  # with what is stored, it exceeds 4 MB
            return {**self._transact(changes[:half]), **self._transact(changes[half:])}
        except DataStoreError as error:
            return {change.id: error for change in changes}
        return {change.id: self._applied(change) for change in changes}

    def _token(self, changes: Sequence[Change], items: Sequence[dict[str, Any]]) -> str | None:
        """Return by what DynamoDB recognises a transaction that is sent again, for ten minutes (API reference).

        Then it is done once, whatever others have written, or deleted, in between; and the marks of accesses that it
        has counted do not cancel it. Only what is like no other has a token: a `Put` has a revision of its own, and
        counts have marks. A record that is restored twice, or deleted twice, must not count as done the second time.
        """
        if isinstance(changes[0].write, Access):
            said = identity_of(changes)
        elif all(isinstance(change.write, Put) for change in changes):
            said = f"{self._connection.origin}{items!r}"
        else:
            return None
        return blake2b(said.encode(), digest_size=16).hexdigest()

    def _item(self, change: Change) -> dict[str, Any]:
        step: Request = request_of(change, self._value_of(change))
        return {
            _TRANSACT[step.operation]: {"TableName": self._connection.settings.table, **step.parameters, **_SHOW_FOUND}
        }


def _found(change: Change, item: Attributes) -> Known:
    """Return what a change has found instead of what it expected."""
    return known_of(item, metadata=isinstance(change.write, Put) and bool(change.write.metadata))


def _outcome_of(delete: Delete, removed: Attributes | None) -> Outcome:
    """Return the outcome of an unconditional delete."""
    if removed is None:
        return Outcome(False)
    try:
        return Outcome(is_live(removed, delete.at))
    except UNDECODABLE:
        return Outcome(True)  # something was there


def _results_of(canceled: CanceledError, changes: Sequence[Change]) -> dict[str, Result]:
    """Return why the changes of a transaction were not made, leaving out those that are to be tried one by one."""
    if len(canceled.reasons) != len(changes):
        return {}
    late: dict[str, Result] = {}
    again: dict[str, Result] = {}
    one_by_one = False
    for change, reason in zip(changes, canceled.reasons, strict=True):
        code = reason.get("Code")
        if code == "ConditionalCheckFailed":
            item = reason.get("Item")
            if item:
                late[change.id] = Late(_found(change, item))
            else:  # an access is counted again only if its record exists
                late[change.id] = Late(ABSENT if isinstance(change.write, Access) else None)
        elif code in (None, "None"):
            again[change.id] = Late(change.over)
        elif code != "TransactionConflict" and (error := throttled(code)):
            return {change.id: error for change in changes}
        else:
            # Others are writing the same records: one by one, a change waits for nobody. Or one change is refused: one
            # by one, it shows which.
            one_by_one = True
    return late if one_by_one else {**again, **late}


def _raised(changes: Sequence[Change], results: list[Result]) -> list[Result]:
    """Return the results, or raise if nothing is known of any of them.

    If every access is refused on its own, the results are returned: counting those accesses is given up. So they are if
    some changes may have been made and others surely were not: one error cannot say both.
    """
    errors = [result for result in results if isinstance(result, DataStoreError)]
    if len(errors) < len(results) or len({isinstance(error, AnswerLostError) for error in errors}) > 1:
        return results
    if isinstance(changes[0].write, Access) and all(isinstance(error, RefusedError) for error in errors):
        return results
    raise errors[0]
