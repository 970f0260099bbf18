"""A table of DynamoDB in memory: what the service answers to a request, as far as the adapter asks for it.

What is modelled is where DynamoDB differs from other databases: conditional requests, transactions of 100 and their
tokens, batches of which a part stays unprocessed, pages, the size of an item, reads that are eventually consistent, and
the removal of expired items at any time after their expiry, in any order.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from hashlib import md5
from random import Random
from typing import Any, NamedTuple, TypeAlias

from tests.simulation.dynamodb_expressions import (
    ExpressionError,
    Item,
    Scope,
    check_aliases,
    holds,
    in_partition,
    projected,
    updated,
)

Key: TypeAlias = tuple[str, str]

MOST_READ, MOST_WRITTEN, MOST_TRANSACTED = 100, 25, 100
"""The most entries of BatchGetItem, BatchWriteItem and TransactWriteItems."""
MOST_BYTES, MOST_BYTES_TRANSACTED = 409_600, 4_194_304
"""The most bytes of an item, and of all that a transaction writes."""
REMEMBERED_SECONDS = 600.0
"""How long the token of a transaction is known."""
LAG = 1.0
"""How far behind an eventually consistent read may be, in seconds."""
_EXPRESSIONS = ("ConditionExpression", "FilterExpression", "KeyConditionExpression", "ProjectionExpression")


class RefusalError(Exception):
    """An answer with an error.

    Attributes:
        code: The error's name.
        more: The members of the answer besides the name and the message.
    """

    def __init__(self, code: str, message: str = "", **more: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.more = more


class Moment(NamedTuple):
    """When a request is carried out, and what is drawn for it."""

    time: float
    """The service's clock, in seconds since the epoch."""
    chance: Random
    reaping: float = 0.0
    """How likely each expired item is to be removed now."""
    page: int = 1_000_000
    """The most items of a page. The service ends a page at 1 MB."""
    part: int | None = None
    """How many entries of a batch are processed; ``None`` for all."""


class Table:
    """The table."""

    def __init__(self, name: str, time_to_live: str) -> None:
        self.name = name
        self._time_to_live = time_to_live
        self._items: dict[Key, Item] = {}
        self._before: dict[Key, tuple[float, Item | None]] = {}
        """What an item was before its last change, and when that was."""
        self._tokens: dict[str, tuple[float, str]] = {}

    def answer(self, operation: str, request: Mapping[str, Any], moment: Moment) -> dict[str, Any]:
        """Carry out a request and return its answer.

        Raises:
            RefusalError: If the answer is an error.
        """
        self._reap(moment)
        carry_out = getattr(self, f"_{operation}", None)
        if carry_out is None:
            raise RefusalError("UnknownOperationException", operation)
        try:
            answer: dict[str, Any] = carry_out(request, moment)
        except ExpressionError as error:
            raise RefusalError("ValidationException", str(error)) from error
        return answer

    def put(self, item: Item) -> None:
        """Store an item from outside."""
        self._items[_key(item)] = item

    def empty(self) -> None:
        """Remove all items, as if the table had been deleted and made again."""
        self._items.clear()
        self._before.clear()
        self._tokens.clear()

    def items(self) -> list[Item]:
        """Return all items, in the order of their keys."""
        return [self._items[key] for key in sorted(self._items)]

    def _reap(self, moment: Moment) -> None:
        if not moment.reaping:
            return
        expired = [
            key for key, item in self._items.items() if int(item.get(self._time_to_live, _NEVER)["N"]) <= moment.time
        ]
        for key in sorted(expired):
            if moment.chance.random() < moment.reaping:
                self._store(key, None, moment)

    def _store(self, key: Key, item: Item | None, moment: Moment) -> None:
        self._before[key] = (moment.time, self._items.get(key))
        if item is None:
            self._items.pop(key, None)
        else:
            self._items[key] = item

    # Reading

    def _DescribeTable(self, request: Mapping[str, Any], _: Moment) -> dict[str, Any]:  # noqa: N802 - its name
        self._check_table(request)
        return {
            "Table": {
                "TableStatus": "ACTIVE",
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
                "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            }
        }

    def _seen(self, key: Key, request: Mapping[str, Any], moment: Moment, lag: float) -> Item | None:
        changed, before = self._before.get(key, (0.0, None))
        if not request.get("ConsistentRead") and moment.time - changed < lag:
            return before
        return self._items.get(key)

    def _lag(self, request: Mapping[str, Any], moment: Moment) -> float:
        return 0.0 if request.get("ConsistentRead") else moment.chance.choice((0.0, LAG)) * moment.chance.random()

    def _GetItem(self, request: Mapping[str, Any], moment: Moment) -> dict[str, Any]:  # noqa: N802 - its name
        self._check_table(request)
        _check(request)
        item = self._seen(_exact_key(request["Key"]), request, moment, self._lag(request, moment))
        return {} if item is None else {"Item": _shown(item, request)}

    def _BatchGetItem(self, request: Mapping[str, Any], moment: Moment) -> dict[str, Any]:  # noqa: N802 - its name
        wanted = self._of_this_table(request["RequestItems"])
        _check(wanted)
        keys = [_exact_key(key) for key in wanted["Keys"]]
        _check_number(keys, MOST_READ)
        lag = self._lag(wanted, moment)
        found = [self._seen(key, wanted, moment, lag) for key in keys[: moment.part]]
        items = [_shown(item, wanted) for item in found if item is not None]
        moment.chance.shuffle(items)  # "in no particular order"
        left = [] if moment.part is None else wanted["Keys"][moment.part :]
        return {
            "Responses": {self.name: items},
            "UnprocessedKeys": {self.name: {**wanted, "Keys": left}} if left else {},
        }

    def _Query(self, request: Mapping[str, Any], moment: Moment) -> dict[str, Any]:  # noqa: N802 - its name
        self._check_table(request)
        _check(request)
        partition, is_meant = in_partition(request["KeyConditionExpression"], request["ExpressionAttributeValues"])
        lag = self._lag(request, moment)
        keys = {key for key in (*self._items, *self._before) if key[0] == partition and is_meant(key[1])}
        backward = not request.get("ScanIndexForward", True)
        in_range = sorted(keys, reverse=backward)
        start = request.get("ExclusiveStartKey")
        if start is not None:
            _, first = _exact_key(start)
            in_range = [key for key in in_range if (key[1] < first if backward else key[1] > first)]
        return self._page(in_range, request, moment, lag)

    def _Scan(self, request: Mapping[str, Any], moment: Moment) -> dict[str, Any]:  # noqa: N802 - its name
        self._check_table(request)
        _check(request)
        keys = sorted({*self._items, *self._before}, key=_in_table)
        start = request.get("ExclusiveStartKey")
        if start is not None:
            after = _in_table(_exact_key(start))
            place = bisect_left(keys, after, key=_in_table)
            keys = keys[place + (keys[place : place + 1] == [_exact_key(start)]) :]
        return self._page(keys, request, moment, self._lag(request, moment))

    def _page(self, keys: Sequence[Key], request: Mapping[str, Any], moment: Moment, lag: float) -> dict[str, Any]:
        there = [(key, item) for key in keys if (item := self._seen(key, request, moment, lag)) is not None]
        most = min(request.get("Limit", moment.page), moment.page)
        looked_at = there[:most]
        condition = request.get("FilterExpression")
        found = [item for _, item in looked_at if condition is None or holds(condition, _scope(item, request))]
        answer: dict[str, Any] = {"Count": len(found), "ScannedCount": len(looked_at)}
        if request.get("Select") != "COUNT":
            answer["Items"] = [_shown(item, request) for item in found]
        if len(looked_at) == most:  # perhaps nothing follows: the service does not look
            answer["LastEvaluatedKey"] = _as_item(looked_at[-1][0])
        return answer

    # Writing

    def _PutItem(self, request: Mapping[str, Any], moment: Moment) -> dict[str, Any]:  # noqa: N802 - its name
        self._write("Put", request, moment)
        return {}

    def _UpdateItem(self, request: Mapping[str, Any], moment: Moment) -> dict[str, Any]:  # noqa: N802 - its name
        self._write("Update", request, moment)
        return {}

    def _DeleteItem(self, request: Mapping[str, Any], moment: Moment) -> dict[str, Any]:  # noqa: N802 - its name
        before = self._write("Delete", request, moment)
        return {"Attributes": before} if before is not None and request.get("ReturnValues") == "ALL_OLD" else {}

    def _write(self, kind: str, request: Mapping[str, Any], moment: Moment) -> Item | None:
        """Write one item, and return it as it was before."""
        key, before, after = self._after(kind, request)
        if before is not None or after is not None:
            self._store(key, after, moment)
        return before

    def _after(self, kind: str, request: Mapping[str, Any]) -> tuple[Key, Item | None, Item | None]:
        """Return the key of a write, and its item before and after it.

        Raises:
            RefusalError: If its condition does not hold.
        """
        self._check_table(request)
        _check(request)
        key = _key(request["Item"]) if kind == "Put" else _exact_key(request["Key"])
        before = self._items.get(key)
        condition = request.get("ConditionExpression")
        if condition is not None and not holds(condition, _scope(before or {}, request)):
            shown = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and before is not None
            more = {"Item": before} if shown else {}
            raise RefusalError("ConditionalCheckFailedException", "The conditional request failed", **more)
        if kind == "Delete":
            return key, before, None
        after = (
            request["Item"] if kind == "Put" else updated(request["UpdateExpression"], _scope(before or {}, request))
        )
        after = {**after, **_as_item(key)}
        _check_size(after)
        return key, before, after

    def _BatchWriteItem(self, request: Mapping[str, Any], moment: Moment) -> dict[str, Any]:  # noqa: N802 - its name
        requests = self._of_this_table(request["RequestItems"])
        _check_number(
            [_key(one["PutRequest"]["Item"]) if "PutRequest" in one else _exact_key(_deleted(one)) for one in requests],
            MOST_WRITTEN,
        )
        for one in requests:
            if "PutRequest" in one:
                _check_size(one["PutRequest"]["Item"])
        for one in requests[: moment.part]:
            if "PutRequest" in one:
                self._store(_key(one["PutRequest"]["Item"]), one["PutRequest"]["Item"], moment)
            elif (key := _exact_key(_deleted(one))) in self._items:
                self._store(key, None, moment)
        left = [] if moment.part is None else requests[moment.part :]
        return {"UnprocessedItems": {self.name: left} if left else {}}

    def _TransactWriteItems(self, request: Mapping[str, Any], moment: Moment) -> dict[str, Any]:  # noqa: N802 - its name
        token = request.get("ClientRequestToken")
        text = "" if token is None else json.dumps(request["TransactItems"], sort_keys=True)
        known = self._tokens.get(token or "")
        if known is not None and moment.time - known[0] < REMEMBERED_SECONDS:
            if known[1] != text:
                raise RefusalError("IdempotentParameterMismatchException", "the token was used for another transaction")
            return {}
        writes = [next(iter(one.items())) for one in request["TransactItems"]]
        _check_number(
            [_key(one["Item"]) if kind == "Put" else _exact_key(one["Key"]) for kind, one in writes], MOST_TRANSACTED
        )
        reasons: list[dict[str, Any]] = []
        done: list[tuple[Key, Item | None, Item | None]] = []
        for kind, one in writes:
            try:
                done.append(self._after(kind, one))
                reasons.append({"Code": "None"})
            except RefusalError as refused:
                if refused.code != "ConditionalCheckFailedException":
                    raise
                reasons.append({"Code": "ConditionalCheckFailed", "Message": refused.message, **refused.more})
        if len(done) < len(writes):
            raise canceled(reasons)
        if sum(_size(after) for _, _, after in done if after is not None) > MOST_BYTES_TRANSACTED:
            raise RefusalError("ValidationException", "Transaction request size exceeds the maximum")
        for key, before, after in done:
            if before is not None or after is not None:
                self._store(key, after, moment)
        if token is not None:
            self._tokens[token] = (moment.time, text)
        return {}

    # What is refused

    def _check_table(self, request: Mapping[str, Any]) -> None:
        if request["TableName"] != self.name:
            raise RefusalError("ResourceNotFoundException", "Requested resource not found")

    def _of_this_table(self, tables: Mapping[str, Any]) -> Any:
        self._check_table({"TableName": next(iter(tables))})
        return tables[self.name]


_NEVER = {"N": str(2**53)}


def canceled(reasons: list[dict[str, Any]]) -> RefusalError:
    """Return the error of a transaction, given the reason for each of its writes."""
    codes = ", ".join(reason["Code"] for reason in reasons)
    return RefusalError("TransactionCanceledException", f"specific reasons [{codes}]", CancellationReasons=reasons)


def keys_in(operation: str, request: Mapping[str, Any]) -> Iterator[Key]:
    """Yield the keys of the items that a request names."""
    if operation == "TransactWriteItems":
        for one in request["TransactItems"]:
            yield from keys_in("", next(iter(one.values())))
    elif operation.startswith("Batch"):
        for wanted in request["RequestItems"].values():
            for one in wanted["Keys"] if operation == "BatchGetItem" else wanted:
                yield _key(one["PutRequest"]["Item"] if "PutRequest" in one else _deleted(one))
    elif found := request.get("Key") or request.get("Item"):
        yield _key(found)


def _deleted(one: Mapping[str, Any]) -> Any:
    return one["DeleteRequest"]["Key"] if "DeleteRequest" in one else one


def _key(item: Item) -> Key:
    return item["pk"]["S"], item["sk"]["S"]


def _exact_key(item: Item) -> Key:
    if set(item) != {"pk", "sk"}:
        raise RefusalError("ValidationException", "The provided key element does not match the schema")
    return _key(item)


def _as_item(key: Key) -> Item:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def _in_table(key: Key) -> tuple[bytes, str, bytes]:
    """Return what the keys are ordered by in a scan: partitions lie in an order that says nothing."""
    return md5(key[0].encode(), usedforsecurity=False).digest(), key[0], key[1].encode()


def _scope(item: Item, request: Mapping[str, Any]) -> Scope:
    return Scope(item, request.get("ExpressionAttributeNames") or {}, request.get("ExpressionAttributeValues") or {})


def _check(request: Mapping[str, Any]) -> None:
    expressions = [request[name] for name in (*_EXPRESSIONS, "UpdateExpression") if name in request]
    scope = _scope({}, request)
    check_aliases(expressions, scope.names, scope.values)


def _check_number(keys: Sequence[Key], most: int) -> None:
    if not 0 < len(keys) <= most:
        raise RefusalError("ValidationException", f"{len(keys)} entries; 1 to {most} are allowed")
    if len(set(keys)) < len(keys):
        raise RefusalError("ValidationException", "one item is named twice")


def _check_size(item: Item) -> None:
    if _size(item) > MOST_BYTES:
        raise RefusalError("ValidationException", "Item size has exceeded the maximum allowed size")


def _shown(item: Item, request: Mapping[str, Any]) -> Item:
    return projected(request.get("ProjectionExpression"), _scope(item, request))


def _size(item: Item) -> int:
    return sum(len(name.encode()) + _size_of(attribute) for name, attribute in item.items())


def _size_of(attribute: Mapping[str, Any]) -> int:
    ((kind, value),) = attribute.items()
    if kind == "S":
        return len(value.encode())
    if kind == "N":
        return len(value) // 2 + 2
    if kind == "B":
        return len(value) * 3 // 4
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + _size_of(child) for name, child in value.items())
    if kind == "L":
        return 3 + sum(1 + _size_of(child) for child in value)
    return 1
