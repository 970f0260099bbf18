"""Serves ministack's DynamoDB, and saves more than half of the time that ministack takes for a request.

It is run by ministack's own Python (`tests.servers.dynamodb`). What DynamoDB answers is ministack's. Four things are
different, and no answer shows them:

- A request goes straight to ministack's DynamoDB. Finding out which of a hundred services it is for, and carrying it
  through a server for all of HTTP, takes three times as long as a `GetItem` itself.
- An expression is read once, and not again for each item that it is compared with.
- Documents of JSON are copied as such, without asking each text in them how it wants to be copied.
- An index of vectors is built in 0.1 s and not in 12.
"""

import asyncio
import copy
import functools
import json
import os
import signal
import traceback
import types
import uuid
from email.utils import formatdate

from ministack.core import responses, router
from ministack.services import dynamodb


class Connection(asyncio.Protocol):
    """A connection of a client, which sends one request after another (HTTP/1.1, with the length of each body)."""

    def __init__(self):
        self._received = bytearray()
        self._head = None

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._received += data
        while (request := self._next()) is not None:
            headers, body = request
            self._transport.write(answer(headers, body))
            if headers.get("connection", "").lower() == "close":
                self._transport.close()

    def _next(self):
        """Return the headers and the body of the next request, if all of it is there."""
        if self._head is None:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return None
            _, *lines = self._received[:end].decode("latin-1").split("\r\n")
            del self._received[: end + 4]
            self._head = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(self._head.get("content-length", 0))
        if len(self._received) < length:
            return None
        request = self._head, bytes(self._received[:length])
        del self._received[:length]
        self._head = None
        return request


def answer(headers, body):
    """Return the answer to a request, as it goes over the wire: what ministack does for one that is for DynamoDB."""
    responses.set_request_account_id(router.extract_access_key_id(headers))
    responses.set_request_region(router.extract_region(headers))
    try:
        status, fields, content = finished(dynamodb.handle_request("POST", "/", headers, body, {}))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer, as it is with ministack's own server
        traceback.print_exc()
        status, fields, content = 500, {}, json.dumps({"__type": "InternalError", "message": str(error)})
    content = content.encode() if isinstance(content, str) else content
    fields |= {"Content-Type": "application/x-amz-json-1.0", "Content-Length": len(content)}
    fields |= {"Date": formatdate(usegmt=True), "x-amzn-RequestId": uuid.uuid4()}
    lines = [f"HTTP/1.1 {status} ", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + content


def finished(coroutine):
    """Return the result of a coroutine that waits for nothing: so no other request comes between."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("ministack's DynamoDB waits for something")


def once(function):
    """Return a function of texts with its latest results remembered; lists are handed out as copies."""
    remembered = functools.lru_cache(maxsize=1_024)(function)

    @functools.wraps(function)
    def read(*texts):
        found = remembered(*texts)
        return list(found) if isinstance(found, list) else found

    return read


def once_for_tokens(function):
    """Return a function of the tokens of an expression with its latest results remembered; lists of lists as copies."""
    remembered = functools.lru_cache(maxsize=4_096)(lambda tokens, *texts: function(list(tokens), *texts))

    @functools.wraps(function)
    def read(tokens, *texts):
        found = remembered(tuple(tokens), *texts)
        return [list(part) for part in found] if isinstance(found, list) else found

    return read


def deepcopy(value):
    """Do what `copy.deepcopy` does, quickly for objects, arrays and texts."""
    kind = type(value)
    if kind is str:
        return value
    if kind is dict:
        return {name: deepcopy(member) for name, member in value.items()}
    if kind is list:
        return [deepcopy(element) for element in value]
    return copy.deepcopy(value)


def patch():
    """Let ministack do quickly what it does again and again; another version may do it in another way."""
    for name in ("_tokenize", "_condition_syntax_error"):
        if hasattr(dynamodb, name):
            setattr(dynamodb, name, once(getattr(dynamodb, name)))
    for name in ("_check_reserved_keyword_usage", "_check_redundant_parens", "_split_by_comma"):
        if hasattr(dynamodb, name):
            setattr(dynamodb, name, once_for_tokens(getattr(dynamodb, name)))
    for name in ("_VECTOR_ALLOCATION_SECONDS", "_VECTOR_BACKFILL_SECONDS"):  # 12 s for each index of vectors
        if hasattr(dynamodb, name):
            setattr(dynamodb, name, 0.05)
    dynamodb.copy = types.SimpleNamespace(**{**vars(copy), "deepcopy": deepcopy})


async def serve(host, port):
    """Serve until this process is told to end."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await asyncio.get_running_loop().create_server(Connection, host, port, backlog=1_024)
    await told.wait()


if __name__ == "__main__":
    patch()
    asyncio.run(serve(os.environ["BIND_HOST"], int(os.environ["GATEWAY_PORT"])))
