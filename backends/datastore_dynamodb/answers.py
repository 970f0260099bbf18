"""Whether an answer of DynamoDB is complete: its length, its checksum and its form.

The client does not check this. It never checks the length, and checks the checksum only if it repeats requests itself.
A body that is not JSON, or that lacks a member, is an empty answer to it. But ``{}`` is also what DynamoDB answers
about a record that does not exist, so it is believed only with its checksum. Every server that we know sends one. If a
server has sent none since the store was opened, its answers are believed without, as long as they have only known
members.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any, NoReturn

from botocore import parsers
from botocore.model import OperationModel

from datastore.adapters.answers import member
from datastore.errors import BackendUnavailableError
from datastore_dynamodb.schema import NAME
from datastore_dynamodb.wireformat import parsed

_CHECKSUM = "x-amz-crc32"
_REFUSED = 300
"""The first status that is not an answer to the request."""
_MAY_BE_MISSING = {"GetItem": b'{"Item"', "DeleteItem": b'{"Attributes"'}
"""How an answer begins that has the optional member."""

_TABLE = (("TableDescription", dict),)
_MEMBERS: Mapping[str, tuple[tuple[str, type], ...]] = {
    "query": (("Count", int),),
    "scan": (("Count", int),),
    "batch_get_item": (("Responses", dict), ("UnprocessedKeys", dict)),
    "batch_write_item": (("UnprocessedItems", dict),),
    "describe_table": (("Table", dict),),
    "create_table": _TABLE,
    "delete_table": _TABLE,
    "describe_time_to_live": (("TimeToLiveDescription", dict),),
    "update_time_to_live": (("TimeToLiveSpecification", dict),),
    "describe_continuous_backups": (("ContinuousBackupsDescription", dict),),
    "update_continuous_backups": (("ContinuousBackupsDescription", dict),),
    "list_tables": (("TableNames", list),),
    "search_vectors": (("SearchResults", list),),
    "update_table": _TABLE,
}
"""The members that an answer must have, by operation; the answers to all others may be empty."""
_LISTINGS = ("query", "scan")
_EMPTY = b"{}"


class AnswerLostError(BackendUnavailableError):
    """The request was sent, but the answer does not say what it did: it may have been carried out."""


def lost(what: str) -> NoReturn:
    """Raise the error for an answer that is incomplete or wrong.

    Args:
        what: What is wrong with it, without any part of the answer itself, which may hold values.
    """
    raise AnswerLostError(f"DynamoDB's answer is incomplete or wrong: {what}", backend=NAME)


class Answers:
    """Checks the answers of one server before the client parses them. Shared by threads."""

    def __init__(self) -> None:
        self._has_checksums = False

    def check(
        self,
        operation_model: OperationModel,
        response_dict: dict[str, Any],
        customized_response_dict: dict[str, Any],
        **_: Any,
    ) -> None:
        """Raise if an answer is incomplete or wrong. Botocore calls this before it parses one.

        Args:
            operation_model: The operation that it answers.
            response_dict: The answer. If it is plain JSON, its body is read here, and an empty one left to botocore.
            customized_response_dict: Gets what is read here; botocore adds it to what it parses.

        Raises:
            AnswerLostError: If its length or its checksum is wrong, or it is not JSON of the form that it must have.
        """
        body, headers, status = response_dict["body"], response_dict["headers"], response_dict["status_code"]
        length, checksum = headers.get("content-length"), headers.get(_CHECKSUM)
        if length is not None and length != str(len(body)):
            lost(f"it has {len(body)} of {length} bytes")
        if checksum is not None:
            if checksum != str(zlib.crc32(body)):
                lost("its checksum is wrong")
            self._has_checksums = True
        if status >= _REFUSED:
            if type(_object(body).get("__type")) is not str:
                lost(f"status {status} without an error of DynamoDB")
        elif checksum is None:
            if self._has_checksums:
                lost("it has no checksum, unlike the answers before it")
            _check_members(operation_model, body)
        elif body != b"{}" and not body.startswith(_MAY_BE_MISSING.get(operation_model.name, b"{")):
            _check_members(operation_model, body)
        if status < _REFUSED and body != _EMPTY and (answer := parsed(operation_model.name, body)) is not None:
            customized_response_dict.update(answer)
            response_dict["body"] = _EMPTY


def _check_members(operation_model: OperationModel, body: bytes) -> None:
    """Check that an answer has only known members: one under a wrong name would otherwise seem to be missing."""
    shape: Any = operation_model.output_shape  # every operation has one
    if not shape.members.keys() >= _object(body).keys():
        lost(f"it is not an answer to {operation_model.name}")


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        lost(f"its {len(body)} bytes are not JSON")
    if type(found) is not dict:
        lost(f"it is of the type {type(found).__name__}, not an object")
    return found


def check_form(operation: str, parameters: Mapping[str, Any], answer: Any) -> None:
    """Raise if an answer, as the client understands it, lacks what the adapter needs.

    Raises:
        AnswerLostError: If it does.
    """
    wanted = _MEMBERS.get(operation, ())
    try:
        for name, kind in wanted:
            member(answer, name, kind, NAME)
        if operation in _LISTINGS and parameters.get("Select") != "COUNT":
            items, number = member(answer, "Items", list, NAME), answer["Count"]
            if len(items) != number:
                lost(f"it has {len(items)} of {number} items")
    except AnswerLostError:
        raise
    except BackendUnavailableError as error:
        raise AnswerLostError(error.message, backend=NAME) from error


def is_of_parsing(error: Exception) -> bool:
    """Return whether the client failed to parse an answer, whose form it does not check."""
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_globals.get("__name__") == parsers.__name__:
            return True
        step = step.tb_next
    return False
