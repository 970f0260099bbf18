"""Whether an answer of Firestore is complete.

A protobuf message that was cut off may still be a valid one with fewer fields. So the parts that Firestore always sends
are checked in each answer, including the last one of a message. An answer that lacks one says nothing about what is
stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from datastore.adapters.answers import broken
from datastore_firestore.failures import NAME

__all__ = ["broken", "check_batch", "check_commit", "counted", "document_of", "is_last"]

Message: TypeAlias = Any


def document_of(answer: Message) -> tuple[str, Message | None]:
    """Return the name in an answer to ``BatchGetDocuments``, and the document, or ``None`` if it is missing."""
    if not answer.HasField("read_time"):
        broken(NAME, "a read has no time")
    if answer.WhichOneof("result") == "found":
        _check_document(answer.found)
        return answer.found.name, answer.found
    if not answer.missing:
        broken(NAME, "a read has no name")
    return answer.missing, None


def is_last(answer: Message) -> bool:
    """Check an answer to ``RunQuery``, and return whether Firestore marks it as the last."""
    last = bool(answer.done)
    if not (last or answer.HasField("read_time")):
        broken(NAME, "a part of the stream has no time")
    if answer.HasField("document"):
        _check_document(answer.document)
    return last


def counted(answers: Sequence[Message], alias: str) -> tuple[int, Message]:
    """Return the count in the answers to ``RunAggregationQuery``, and the time at which it was true."""
    results = [answer for answer in answers if answer.HasField("result")]
    if len(results) != 1:
        broken(NAME, "the aggregation has no result")
    fields = results[0].result.aggregate_fields
    if alias not in fields or fields[alias].WhichOneof("value_type") != "integer_value":
        broken(NAME, "the aggregation has no number")
    if not results[0].HasField("read_time"):
        broken(NAME, "the aggregation has no time")
    return fields[alias].integer_value, results[0].read_time


def check_commit(writes: Sequence[Message], answer: Message) -> None:
    """Check the answer to a ``Commit``."""
    if not answer.HasField("commit_time"):
        broken(NAME, "the commit has no time")
    if len(answer.write_results) != len(writes):
        broken(NAME, f"it does not have one result for each of {len(writes)} writes")
    for write, result in zip(writes, answer.write_results, strict=True):
        results = [one for one in result.transform_results if one.WhichOneof("value_type") is not None]
        if len(results) != len(write.update_transforms):
            broken(NAME, "a write lacks results of its transformations")
    # A document that the same commit removes has no update time.
    if answer.write_results and not writes[-1].delete:
        _check_result(writes[-1], answer.write_results[-1])


def check_batch(writes: Sequence[Message], answer: Message) -> None:
    """Check the answer to a ``BatchWrite``."""
    if len(answer.status) != len(writes) or len(answer.write_results) != len(writes):
        broken(NAME, f"it does not have one result for each of {len(writes)} writes")
    for write, status, result in zip(writes, answer.status, answer.write_results, strict=True):
        if not status.code:
            _check_result(write, result)


def _check_document(document: Message) -> None:
    if not document.name or not document.HasField("update_time"):
        broken(NAME, "a document has no name or no time")


def _check_result(write: Message, result: Message) -> None:
    if not write.delete and not result.HasField("update_time"):
        broken(NAME, "a write has no time")
