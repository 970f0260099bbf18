"""Answers that a server gives in trouble, for `Wire.fail`."""

import json
import zlib

from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
    ConnectionClosedError,
    ReadTimeoutError,
)


class Raw:
    """The stream that a body is read from."""

    def __init__(self, content):
        self._content = content

    def stream(self, *_, **__):
        yield self._content

    def read(self, *_, **__):
        content, self._content = self._content, b""
        return content


def answer(body, status=200):
    """Return a fault that answers with a document."""

    def fault(request, _):
        content = json.dumps(body).encode()
        headers = {"Content-Type": "application/x-amz-json-1.0", "x-amz-crc32": str(zlib.crc32(content))}
        return AWSResponse(request.url, status, headers, Raw(content))

    return fault


def refusal(code, status=400, **more):
    """Return a fault that answers with an error code; what it says besides must not matter."""
    return answer({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "x", **more}, status)


def unprocessed(member):
    """Return a fault that does nothing of a batch: everything is left unprocessed."""

    def fault(request, body):
        return answer({member: body["RequestItems"], "Responses": {}})(request, body)

    return fault


THROTTLING = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TransactionConflictException",
]


LOST = [
    ReadTimeoutError(endpoint_url="http://x"),
    ConnectionClosedError(endpoint_url="http://x"),
    refusal("InternalServerError", 500),
    refusal("ServiceUnavailable", 503),
]
