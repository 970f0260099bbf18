"""Requests and answers as plain JSON: what the client would have made of them, without its work."""

import base64
import json

import pytest
from botocore.parsers import create_parser
from botocore.serialize import JSONSerializer

from datastore_dynamodb.wireformat import PlainSerializer, parsed

pytestmark = pytest.mark.server("dynamodb")

REQUESTS = {
    "GetItem": {"TableName": "t", "Key": {"pk": {"S": "é"}, "sk": {"S": '"\ud83c\udf0d'}}, "ConsistentRead": True},
    "UpdateItem": {
        "TableName": "t",
        "Key": {"pk": {"S": "u"}, "sk": {"S": "k"}},
        "UpdateExpression": "SET a = :a",
        "ExpressionAttributeValues": {":a": {"M": {"b": {"L": [{"B": b"\x00\xff"}, {"N": "1"}, {"NULL": True}]}}}},
    },
    "BatchWriteItem": {"RequestItems": {"t": [{"PutRequest": {"Item": {"part": {"B": bytes(range(256))}}}}]}},
    "DescribeTable": {"TableName": "t"},
}


@pytest.mark.parametrize("operation", REQUESTS)
def test_a_request_is_the_one_that_the_client_makes(client, operation):
    model, whole = client.meta.service_model.operation_model(operation), JSONSerializer()
    expected = whole.serialize_to_request(REQUESTS[operation], model)
    request = PlainSerializer(whole).serialize_to_request(REQUESTS[operation], model)
    assert json.loads(request.pop("body")) == json.loads(expected.pop("body"))
    assert request == expected


def test_the_client_uses_it(client):
    """If not, botocore has changed: it works, but slowly."""
    assert type(client._serializer) is PlainSerializer


ANSWERS = [
    ("GetItem", {}),
    ("GetItem", {"Item": {"pk": {"S": "u"}, "value": {"M": {"a": {"L": [{"N": "1"}, {"BOOL": False}]}}}}}),
    ("GetItem", {"Item": {"value": {"S": ' "B" and "BS" and null '}}}),
    ("Query", {"Items": [{"pk": {"S": "u"}}], "Count": 1, "ScannedCount": 1, "LastEvaluatedKey": {"pk": {"S": "u"}}}),
    ("BatchGetItem", {"Responses": {"t": [{"pk": {"S": "u"}}]}, "UnprocessedKeys": {}}),
    ("UpdateItem", {"ConsumedCapacity": {"TableName": "t", "CapacityUnits": 1.0}}),
]


@pytest.mark.parametrize(("operation", "answer"), ANSWERS)
def test_an_answer_is_what_the_client_reads(client, operation, answer):
    body = json.dumps(answer).encode()
    shape = client.meta.service_model.operation_model(operation).output_shape
    expected = create_parser("json").parse({"status_code": 200, "headers": {}, "body": body}, shape)
    del expected["ResponseMetadata"]
    assert parsed(operation, body) == expected == answer


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("GetItem", b'{"Item": {"valueZlib": {"B": "%s"}}}' % base64.b64encode(b"zipped")),
        ("GetItem", b'{"Item": {"some": {"BS": ["AAAA"]}}}'),
        ("GetItem", b'{"Item": {"pk": {"S": null}}}'),
        ("GetItem", b'{"Item":{"pk":null}}'),
        ("GetItem", b'{"Item": {"pk": "u"}}'),
        ("GetItem", b'{"Item": []}'),
        ("Query", b'{"Items": ["text"], "Count": 1}'),
        ("BatchGetItem", b'{"Responses": []}'),
        ("BatchGetItem", b'{"Responses": {"t": 1}}'),
        ("UpdateItem", b'{"Attributes": {"pk": 1}}'),
        ("UpdateItem", b"[]"),
        ("UpdateItem", b'{"Attr'),
        ("UpdateItem", b"\xff"),
        ("UpdateItem", b"[" * 200_000),
        ("DescribeTable", b"{}"),
    ],
    ids=lambda value: value if type(value) is str else "",
)
def test_what_has_to_be_converted_or_is_wrong_is_left_to_the_client(operation, answer):
    assert parsed(operation, answer) is None
