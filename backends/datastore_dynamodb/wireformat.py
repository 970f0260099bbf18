"""What passes between the client and DynamoDB, made and read as plain JSON.

Between this adapter and the server there is only JSON: attributes are the client's plain dicts, and DynamoDB's protocol
writes them as they are. The client nevertheless visits every part of a request and of an answer, to convert what is of
another type. That takes as long as everything else in `get_many` and `set_many` together, so it is left out here. Only
binary attributes have to be converted: in requests here, in answers by the client itself.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.serialize import JSONSerializer

if TYPE_CHECKING:
    from botocore.model import OperationModel
    from mypy_boto3_dynamodb.client import DynamoDBClient

_PLAIN = frozenset(
    {"GetItem", "BatchGetItem", "Query", "Scan", "PutItem", "UpdateItem", "DeleteItem"}
    | {"BatchWriteItem", "TransactWriteItems"}
)
"""The operations whose requests and answers hold nothing to convert but binary attributes."""
_TO_CONVERT = (b'"B"', b'"BS"', b":null", b": null")
"""What an answer contains that has binary attributes, or members that the client drops. A text contains the first two
only with backslashes."""
_ATTRIBUTES = {dict}
_NO_PARAMETERS: Mapping[str, Any] = {}
_encode = json.JSONEncoder(separators=(",", ":"), default=lambda binary: b64encode(binary).decode()).encode


class PlainSerializer:
    """Takes the place of a client's serializer, which it asks for everything but the body of plain operations."""

    def __init__(self, whole: JSONSerializer) -> None:
        self._whole = whole

    def serialize_to_request(self, parameters: Mapping[str, Any], operation_model: OperationModel) -> dict[str, Any]:
        """Return the request for an operation. Botocore calls this."""
        if operation_model.name not in _PLAIN:
            request: dict[str, Any] = self._whole.serialize_to_request(parameters, operation_model)
            return request
        request = self._whole.serialize_to_request(_NO_PARAMETERS, operation_model)
        request["body"] = _encode(parameters).encode()
        return request


def serialize_plainly(client: DynamoDBClient) -> None:
    """Give a client a `PlainSerializer`. If botocore keeps its serializer elsewhere one day, only speed is lost."""
    whole = getattr(client, "_serializer", None)
    if type(whole) is JSONSerializer:
        client._serializer = PlainSerializer(whole)  # type: ignore[attr-defined]  # the client has no other place for it


def parsed(operation: str, body: bytes) -> dict[str, Any] | None:
    """Return an answer in which nothing has to be converted, or ``None`` if the client must parse it.

    What does not have the form of an answer is left to the client, which fails with it.
    """
    if operation not in _PLAIN or any(bytes in body for bytes in _TO_CONVERT):
        return None
    try:
        answer = json.loads(body)
        return answer if type(answer) is dict and all(map(_is_item, _items_of(answer))) else None
    except (ValueError, RecursionError, TypeError, AttributeError):
        return None


def _items_of(answer: Mapping[str, Any]) -> Iterator[Any]:
    """Return all items in an answer."""
    for name in ("Item", "Attributes"):
        if name in answer:
            yield answer[name]
    yield from answer.get("Items", ())
    for items in answer.get("Responses", {}).values():
        yield from items


def _is_item(item: Any) -> bool:
    return type(item) is dict and set(map(type, item.values())) <= _ATTRIBUTES
