"""Firestore in memory: what the service answers to a request, as far as the adapter asks for it.

What is modelled is where Firestore differs from other databases: commits that are atomic and batches that are not, a
precondition on each write, transformations that return what they leave, queries with cursors at a time in the past, and
the removal of expired documents at any time after their expiry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any, NamedTuple, TypeAlias

import grpc
from google.cloud.firestore_v1.field_path import FieldPath
from google.cloud.firestore_v1.types import document as document_messages
from google.cloud.firestore_v1.types import firestore as messages
from google.cloud.firestore_v1.types import write as write_messages

Message: TypeAlias = Any
Code = grpc.StatusCode

MOST_WRITES = 500
"""The most writes of a request."""
_TTL = "expiresAt"
_NAME = "__name__"
_Document: Any = document_messages.Document.pb()
_Result: Any = write_messages.WriteResult.pb()


class RefusalError(Exception):
    """An answer with an error.

    Attributes:
        code: Its status.
    """

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details


class Moment(NamedTuple):
    """When a request is carried out, and what is drawn for it."""

    micros: int
    """The service's clock, in microseconds since the epoch."""
    chance: Random
    reaping: float = 0.0
    """How likely each expired document is to be removed now."""
    part: int | None = None
    """How many writes of a batch are carried out; ``None`` for all."""


class Collections:
    """The documents of a database, with all that they ever were."""

    def __init__(self) -> None:
        self._versions: dict[str, list[tuple[int, Message | None]]] = {}
        """By name: the documents, each with the time since when it is so."""
        self._last = 0

    def documents(self, micros: int | None = None) -> dict[str, Message]:
        """Return the documents that there are, or were at a time, by name and in the order of names."""
        found = ((name, self._at(name, micros)) for name in sorted(self._versions, key=_bytes))
        return {name: document for name, document in found if document is not None}

    def empty(self, keep: str) -> None:
        """Remove all documents but one; what they were before can still be read."""
        self._last += 1
        for name in self.documents():
            if name != keep:
                self._versions[name].append((self._last, None))

    def _at(self, name: str, micros: int | None = None) -> Message | None:
        for since, document in reversed(self._versions.get(name, ())):
            if micros is None or since <= micros:
                return document
        return None

    def answer(self, operation: str, request: Message, moment: Moment) -> Iterator[Message]:
        """Carry out a request, and yield its answers.

        Raises:
            RefusalError: If the answer is an error.
        """
        now = self._last = max(moment.micros, self._last + 1)  # no two requests have the same time
        for name, document in self.documents().items() if moment.reaping else ():
            expires = document.fields[_TTL].timestamp_value if _TTL in document.fields else None
            if expires is not None and _micros(expires) <= now and moment.chance.random() < moment.reaping:
                self._versions[name].append((now, None))
        carry_out: dict[str, Callable[[Message, Moment, int], Iterable[Message]]] = {
            "Commit": self._commit,
            "BatchWrite": self._batch_write,
            "BatchGetDocuments": self._batch_get,
            "RunQuery": self._run_query,
            "RunAggregationQuery": self._count,
        }
        yield from carry_out[operation](request, moment, now)

    # Writing

    def _commit(self, request: Message, moment: Moment, now: int) -> Iterator[Message]:
        _check_number(request.writes)
        if moment.part is not None:
            raise RefusalError(Code.ABORTED, "nothing of it")
        answer = messages.CommitResponse.pb()()
        after: dict[str, Message | None] = {}
        for write in request.writes:
            name = _name_of(write)
            before = after[name] if name in after else self._at(name)
            after[name] = self._written(write, before, now, answer.write_results.add())
        for name, document in after.items():
            self._versions.setdefault(name, []).append((now, document))
        _set_micros(answer.commit_time, now)
        yield answer

    def _batch_write(self, request: Message, moment: Moment, now: int) -> Iterator[Message]:
        _check_number(request.writes)
        names = [_name_of(write) for write in request.writes]
        if len(set(names)) < len(names):
            raise RefusalError(Code.INVALID_ARGUMENT, "a document is named twice")
        answer = messages.BatchWriteResponse.pb()()
        for number, (name, write) in enumerate(zip(names, request.writes, strict=True)):
            status, result = answer.status.add(), answer.write_results.add()
            try:
                if moment.part is not None and number >= moment.part:
                    raise RefusalError(Code.ABORTED, "too much contention on these documents")
                document = self._written(write, self._at(name), now, result)
            except RefusalError as refusal:
                result.Clear()
                status.code, status.message = refusal.code.value[0], refusal.details
            else:
                self._versions.setdefault(name, []).append((now, document))
        yield answer

    def _written(self, write: Message, before: Message | None, now: int, result: Message) -> Message | None:
        """Return a document as it is after a write, and fill the result of it."""
        _check_precondition(write.current_document, before)
        if write.delete:
            return None
        after = _Document()
        if before is not None:
            after.CopyFrom(before)
        else:
            after.name = write.update.name
            _set_micros(after.create_time, now)
        if not write.HasField("update_mask"):
            after.ClearField("fields")
            after.MergeFrom(_Document(fields=write.update.fields))
        for path in write.update_mask.field_paths:
            after.fields.pop(path, None)
            if path in write.update.fields:
                after.fields[path].CopyFrom(write.update.fields[path])
        for transform in write.update_transforms:
            field = transform.field_path
            kind = transform.WhichOneof("transform_type")
            given = getattr(transform, kind).integer_value
            stored = after.fields[field].integer_value if field in after.fields else None
            number = (stored or 0) + given if kind == "increment" else given if stored is None else max(stored, given)
            after.fields[field].integer_value = number
            result.transform_results.add().integer_value = number
        if before is None or after.fields != before.fields:
            _set_micros(after.update_time, now)  # a write that changes nothing leaves the time as it was
        result.update_time.CopyFrom(after.update_time)
        return after

    # Reading

    def _batch_get(self, request: Message, moment: Moment, now: int) -> Iterator[Message]:
        names = list(request.documents)
        moment.chance.shuffle(names)  # "documents will not be returned in any particular order"
        for name in names:
            answer = messages.BatchGetDocumentsResponse.pb()()
            _set_micros(answer.read_time, now)
            document = self._at(name)
            if document is None:
                answer.missing = name
            else:
                answer.found.CopyFrom(_masked(document, request.mask.field_paths if request.HasField("mask") else None))
            yield answer

    def _run_query(self, request: Message, moment: Moment, now: int) -> Iterator[Message]:
        query = request.structured_query
        read_at = _micros(request.read_time) if request.HasField("read_time") else now
        fields = [field.field_path for field in query.select.fields] if query.HasField("select") else None
        answer = messages.RunQueryResponse.pb()()
        _set_micros(answer.read_time, read_at)
        for document in self._found(request.parent, query, read_at):
            if answer.HasField("document"):
                yield answer
                answer = messages.RunQueryResponse.pb()()
                _set_micros(answer.read_time, read_at)
            answer.document.CopyFrom(_masked(document, fields))
        answer.done = True
        yield answer

    def _count(self, request: Message, moment: Moment, now: int) -> Iterator[Message]:
        aggregation = request.structured_aggregation_query
        answer = messages.RunAggregationQueryResponse.pb()()
        number = len(self._found(request.parent, aggregation.structured_query, now))
        answer.result.aggregate_fields[aggregation.aggregations[0].alias].integer_value = number
        _set_micros(answer.read_time, now)
        yield answer

    def _found(self, parent: str, query: Message, micros: int) -> list[Message]:
        """Return the documents that a query finds, in its order."""
        (source,) = query.from_
        prefix = f"{parent}/{source.collection_id}/"
        orders = [
            (order.field.field_path, order.direction == query.Direction.Value("DESCENDING")) for order in query.order_by
        ]
        documents = [
            document
            for name, document in self.documents(micros).items()
            if name.startswith(prefix)
            and (not query.HasField("where") or _passes(document, query.where))
            and all(_value_of(document, path) is not None for path, _ in orders)
        ]
        for path, descends in reversed(orders):
            documents.sort(key=lambda document, path=path: _order_of(_value_of(document, path)), reverse=descends)
        if query.HasField("start_at"):
            wanted = (0, 1) if query.start_at.before else (1,)
            documents = [one for one in documents if _against(one, query.start_at, orders) in wanted]
        if query.HasField("end_at"):
            wanted = (-1,) if query.end_at.before else (-1, 0)
            documents = [one for one in documents if _against(one, query.end_at, orders) in wanted]
        return documents[: query.limit.value] if query.HasField("limit") else documents


def names_in(operation: str, request: Message) -> list[str]:
    """Return the names of the documents that a request is about."""
    if operation in ("Commit", "BatchWrite"):
        return [_name_of(write) for write in request.writes]
    return list(request.documents) if operation == "BatchGetDocuments" else []


def _name_of(write: Message) -> str:
    name: str = write.delete or write.update.name
    return name


def _check_number(writes: Any) -> None:
    if not 0 < len(writes) <= MOST_WRITES:
        raise RefusalError(Code.INVALID_ARGUMENT, f"{len(writes)} writes; 1 to {MOST_WRITES} are allowed")


def _check_precondition(precondition: Message, before: Message | None) -> None:
    kind = precondition.WhichOneof("condition_type")
    if kind == "exists" and precondition.exists and before is None:
        raise RefusalError(Code.NOT_FOUND, "no document to update")
    if kind == "exists" and not precondition.exists and before is not None:
        raise RefusalError(Code.ALREADY_EXISTS, "the document already exists")
    if kind == "update_time" and (before is None or before.update_time != precondition.update_time):
        raise RefusalError(Code.FAILED_PRECONDITION, "the stored version does not match the required base version")


def _masked(document: Message, paths: Iterable[str] | None) -> Message:
    if paths is None:
        return document
    shown = _Document(name=document.name, create_time=document.create_time, update_time=document.update_time)
    for path in paths:
        if path in document.fields:
            shown.fields[path].CopyFrom(document.fields[path])
    return shown


def _value_of(document: Message, path: str) -> Message | None:
    if path == _NAME:
        return document_messages.Value.pb()(reference_value=document.name)
    fields, value = document.fields, None
    for step in FieldPath.from_api_repr(path).parts:
        if step not in fields:
            return None
        value = fields[step]
        fields = value.map_value.fields
    return value


_RANKS = {
    kind: rank
    for rank, kinds in enumerate(
        (
            ("null_value",),
            ("boolean_value",),
            ("integer_value", "double_value"),
            ("timestamp_value",),
            ("string_value",),
            ("bytes_value",),
            ("reference_value",),
            ("geo_point_value",),
            ("array_value",),
            ("map_value",),
        )
    )
    for kind in kinds
}


def _order_of(value: Message) -> tuple[int, Any]:
    kind = value.WhichOneof("value_type")
    held = getattr(value, kind)
    if kind in ("string_value", "reference_value"):
        held = _bytes(held)
    elif kind == "timestamp_value":
        held = _micros(held)
    elif kind in ("array_value", "map_value"):
        held = held.SerializeToString(deterministic=True)
    return _RANKS[kind], held


def _against(document: Message, cursor: Message, orders: list[tuple[str, bool]]) -> int:
    """Return -1, 0 or 1: whether a document comes before a cursor, is at it, or comes after it."""
    for wanted, (path, descends) in zip(cursor.values, orders, strict=False):
        value = _value_of(document, path)
        assert value is not None, "documents without the field are left out before"
        one, other = _order_of(value), _order_of(wanted)
        if one != other:
            return 1 if (one > other) is not descends else -1
    return 0


def _passes(document: Message, where: Message) -> bool:
    if where.WhichOneof("filter_type") == "composite_filter":
        composite = where.composite_filter
        passes = (_passes(document, part) for part in composite.filters)
        return all(passes) if composite.op == composite.Operator.Value("AND") else any(passes)
    filter = where.field_filter
    value = _value_of(document, filter.field.field_path)
    return value is not None and _TESTS[filter.Operator.Name(filter.op)](value, filter.value)


def _same(value: Message, operand: Message) -> bool:
    return _order_of(value) == _order_of(operand)


def _holds(value: Message, operand: Message) -> bool:
    return any(_same(one, operand) for one in value.array_value.values)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Message, Message], bool]:
    def test(value: Message, operand: Message) -> bool:
        one, other = _order_of(value), _order_of(operand)
        return one[0] == other[0] and compare(one, other)

    return test


_TESTS: dict[str, Callable[[Message, Message], bool]] = {
    "EQUAL": _same,
    "IN": lambda value, operand: any(_same(value, one) for one in operand.array_value.values),
    "ARRAY_CONTAINS": _holds,
    "ARRAY_CONTAINS_ANY": lambda value, operand: any(_holds(value, one) for one in operand.array_value.values),
    "LESS_THAN": _ordered(lambda one, other: one < other),
    "LESS_THAN_OR_EQUAL": _ordered(lambda one, other: one <= other),
    "GREATER_THAN": _ordered(lambda one, other: one > other),
    "GREATER_THAN_OR_EQUAL": _ordered(lambda one, other: one >= other),
}


def _bytes(name: str) -> bytes:
    return name.encode()


def _micros(time: Message) -> int:
    micros: int = time.seconds * 1_000_000 + time.nanos // 1_000
    return micros


def _set_micros(time: Message, micros: int) -> None:
    time.seconds, time.nanos = micros // 1_000_000, micros % 1_000_000 * 1_000
