"""A relay that speaks gRPC on both sides, and damages one answer on its way back, byte by byte.

What it sends is valid HTTP/2 and gRPC. So it is like a fault of a proxy or a server, which no transport notices.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
from google.protobuf.internal.decoder import _DecodeVarint

from tests.servers.processes import HOST

_STREAMS = frozenset({"BatchGetDocuments", "RunQuery", "RunAggregationQuery"})
_HEADERS = ("google-cloud-resource-prefix", "x-goog-request-params", "authorization")


class BrokenError(Exception):
    """An answer that ends with a status other than OK, after some messages."""

    def __init__(self, messages, code=grpc.StatusCode.UNAVAILABLE):
        super().__init__(code.name)
        self.messages = messages
        self.code = code


class Relay(grpc.GenericRpcHandler):
    """Passes requests on to a server; `spoil` says what becomes of the next ones' answers."""

    def __init__(self, target: int):
        self.answers = []
        """What was answered since the last `spoil`: the request's name, and the messages of its answer."""
        self._spoil = {}
        self._lock = threading.Lock()
        self._channel = grpc.insecure_channel(f"{HOST}:{target}", [("grpc.use_local_subchannel_pool", 1)])
        self._server = grpc.server(ThreadPoolExecutor(8), handlers=[self])
        self.address = f"{HOST}:{self._server.add_insecure_port(f'{HOST}:0')}"
        self._server.start()

    def spoil(self, ways):
        """Spoil answers by their number: a function from the messages of an answer to those that are sent instead."""
        self.answers = []
        self._spoil = ways

    def stop(self):
        self._server.stop(None)
        self._channel.close()

    def service(self, details):
        if details.method.rpartition("/")[2] in _STREAMS:
            return grpc.unary_stream_rpc_method_handler(partial(self._stream, details.method))
        return grpc.unary_unary_rpc_method_handler(partial(self._unary, details.method))

    def _unary(self, method, request, context):
        try:
            messages = [self._channel.unary_unary(method)(request, metadata=_metadata(context), timeout=30)]
        except grpc.RpcError as error:
            return self._refused(method, error, context)
        (message,) = self._spoiled(method, messages, context)
        return message

    def _stream(self, method, request, context):
        try:
            messages = list(self._channel.unary_stream(method)(request, metadata=_metadata(context), timeout=30))
        except grpc.RpcError as error:
            self._refused(method, error, context)
        yield from self._spoiled(method, messages, context)

    def _refused(self, method, error, context):
        """Pass on the status of a request that the server refuses, unless that is spoilt."""
        list(self._spoiled(method, [], context))
        context.abort(error.code(), error.details())

    def _spoiled(self, method, messages, context):
        with self._lock:
            number = len(self.answers)
            self.answers.append((method.rpartition("/")[2], messages))
        way = self._spoil.get(number)
        if way is None:
            return messages
        try:
            return way(messages)
        except BrokenError as broken:
            return _until_it_breaks(broken, context)


def _until_it_breaks(broken, context):
    if not broken.messages:
        context.abort(broken.code, "spoilt")
    return _breaking(broken, context)


def _breaking(broken, context):
    yield from broken.messages
    context.abort(broken.code, "spoilt")


def _metadata(context):
    return [(key, value) for key, value in context.invocation_metadata() if key in _HEADERS]


def boundaries(message):
    """Return where a message of protobuf can be cut so that what is left is one, with fewer fields."""
    found, position = [0], 0
    while position < len(message):
        tag, position = _DecodeVarint(message, position)
        if tag & 7 == 0:
            _, position = _DecodeVarint(message, position)
        elif tag & 7 == 2:
            size, position = _DecodeVarint(message, position)
            position += size
        else:
            position += 8 if tag & 7 == 1 else 4
        found.append(position)
    return found[:-1]


def ways_to_spoil(name, messages):
    """Return the ways in which an answer is spoilt, by what they are called."""
    ways = {
        "lost": _raising(BrokenError([])),
        "lost for lack of time": _raising(BrokenError([], grpc.StatusCode.DEADLINE_EXCEEDED)),
    }
    if not messages:
        return ways
    ways["garbled"] = garbled
    ways["a page of HTML"] = lambda messages: [b"<html><body>503</body></html>"]
    places = sorted({0, len(messages) // 2, len(messages) - 1})
    for place in places:
        message = messages[place]
        cuts = boundaries(message)
        chosen = sorted(
            {cuts[0], cuts[len(cuts) // 3], cuts[len(cuts) // 2], cuts[-1], len(message) // 2, len(message) - 1}
        )
        for cut in chosen:
            if cut < len(message):
                ways[f"message {place} cut at {cut} of {len(message)} bytes"] = _cutting(place, cut)
    if name in _STREAMS:
        ways["no message at all"] = lambda messages: []
        for place in places:
            if place:
                ways[f"ended after {place} messages"] = _ending(place)
                ways[f"broken after {place} messages"] = _breaking_after(place)
    return ways


def garbled(messages):
    """Put what is no message of protobuf in the place of the first one."""
    return [b"\xff" * 9, *messages[1:]]


def _raising(broken):
    def way(messages):
        raise broken

    return way


def _cutting(place, cut):
    return lambda messages: [m[:cut] if n == place else m for n, m in enumerate(messages)]


def _ending(place):
    return lambda messages: messages[:place]


def _breaking_after(place):
    def way(messages):
        raise BrokenError(messages[:place], grpc.StatusCode.INTERNAL)

    return way
