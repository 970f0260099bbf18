"""Firestore at the gRPC channel: above it, everything is the adapter's real code, and messages pass it as bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from random import Random
from typing import Any, TypeAlias
from unittest.mock import patch

import grpc
from google.cloud.firestore_v1.types import firestore as messages
from google.protobuf.message import DecodeError

from datastore import formats
from datastore.backend import Backend
from datastore.conformance.simulation.history import BEGAN, DELETES_BLINDLY, TELLS_WHEN_CREATED, Call
from datastore.conformance.simulation.luck import FAULTS
from datastore.conformance.simulation.network import (
    REQUEST_SECONDS,
    Client,
    ConnectionBrokeError,
    NoAnswerError,
    ServerError,
    TooManyRequestsError,
)
from datastore.conformance.simulation.world import Process, World
from datastore_firestore import client as its_client
from datastore_firestore import finding
from datastore_firestore.backend import FirestoreBackend
from datastore_firestore.client import Settings
from datastore_firestore.documents import MARKER
from tests.simulation.firestore_collection import Code, Collections, Moment, RefusalError, names_in
from tests.simulation.tokens import short

Message: TypeAlias = Any
Replacement: TypeAlias = tuple[Any, str, Any]
SETTINGS = Settings("sim", timeout=REQUEST_SECONDS, emulator="firestore.invalid")
_REQUESTS = {
    "Commit": messages.CommitRequest,
    "BatchWrite": messages.BatchWriteRequest,
    "BatchGetDocuments": messages.BatchGetDocumentsRequest,
    "RunQuery": messages.RunQueryRequest,
    "RunAggregationQuery": messages.RunAggregationQueryRequest,
}


class FirestoreDatabase:
    """The database.

    Args:
        adapter: The adapter.
        faults: What is replaced in its modules besides: faults that must be found.
    """

    faults = frozenset(FAULTS) | {"answer cut", "unprocessed", "conflict", "made anew"}
    connects = False  # a collection that is there is opened at once
    limits = frozenset({DELETES_BLINDLY, TELLS_WHEN_CREATED})

    def __init__(self, adapter: type[FirestoreBackend] = FirestoreBackend, faults: Iterable[Replacement] = ()) -> None:
        self._adapter = adapter
        self._faults = list(faults)
        self.collections = new_collections()
        self._channels: dict[Process, Channel] = {}

    def make_anew(self) -> bool:
        """See `MadeAnew.make_anew`: somebody removes all records, of which Firestore still shows what they were.

        A database itself cannot be made anew at once: Firestore gives its name to another one only after five minutes.
        """
        self.collections.empty(keep=SETTINGS.prefix + MARKER)
        return True

    def replaced(self, world: World) -> Iterator[Replacement]:
        """See `Replacing.replaced`."""

        class Time:
            @staticmethod
            def monotonic() -> float:
                world.scheduler.look()
                return world.scheduler.now

        def channel(_: Any) -> Any:  # after a fork
            assert world.scheduler.current is not None
            again = self._channels[world.scheduler.current.owner]
            again.is_open = True
            return again

        yield its_client.Connection, "_make_channel", channel
        yield finding, "time", Time
        yield from self._faults

    def left_open(self, process: Process) -> int:
        """See `Connected.left_open`."""
        return int(self._channels[process].is_open)

    def adapter(self, client: Client) -> Backend:
        """See `Database.adapter`."""
        channel = self._channels[client.process] = Channel(self.collections, client)
        return adapter_over(channel, SETTINGS, self._adapter)


def adapter_over(
    channel: Any, settings: Settings = SETTINGS, adapter: type[FirestoreBackend] = FirestoreBackend
) -> FirestoreBackend:
    """Return an adapter whose requests a channel carries out."""
    with patch.object(its_client.Connection, "_make_channel", lambda _: channel):
        return adapter(settings)


def new_collections() -> Collections:
    """Return a database with a collection that holds no record."""
    collections = Collections()
    request = messages.CommitRequest.pb()()
    write = request.writes.add()
    write.update.name = SETTINGS.prefix + MARKER
    write.update.fields["format"].integer_value = formats.FORMAT
    list(collections.answer("Commit", request, Moment(0, Random(0))))
    return collections


class CallError(grpc.RpcError):
    """What a channel raises."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self._code = code
        self._details = details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


class GrpcClient(Client):
    """A process's way to the database; each request has its own deadline."""

    seconds = 0.0

    def patience(self) -> float:
        """See `Client.patience`."""
        return self.seconds


class Channel:
    """Stands in for a gRPC channel."""

    def __init__(self, collections: Collections, client: Client) -> None:
        self.collections = collections
        self._world = client.world
        self._client = GrpcClient(client.world, client.process)
        self.is_open = True

    def close(self) -> None:
        """Close it."""
        self.is_open = False

    def unary_unary(self, method: str, request_serializer: Any, response_deserializer: Any) -> Callable[..., Message]:
        """Return what makes a request with one answer."""

        def call(message: Message, timeout: float, metadata: Any) -> Message:
            answers, error = self._send(method, request_serializer(message), timeout)
            if error is not None:
                raise error
            return _read(answers[0], response_deserializer)

        return call

    def unary_stream(self, method: str, request_serializer: Any, response_deserializer: Any) -> Callable[..., Stream]:
        """Return what makes a request with a stream of answers."""

        def call(message: Message, timeout: float, metadata: Any) -> Stream:
            return Stream(partial(self._send, method, request_serializer(message), timeout), response_deserializer)

        return call

    def _send(self, method: str, request: bytes, seconds: float) -> Sent:
        """Send a request, and return the answers that come, and the error after them if there is one."""
        operation = method.rpartition("/")[2]
        message = _REQUESTS[operation].pb().FromString(request)
        task = self._world.scheduler.current
        if task is None:  # the adapter is opened, between two tasks
            return self._answers(operation, message, Random(0), None, None)
        if seconds <= 0:
            return [], CallError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
        call = self._world.calls.get(task)
        answers = partial(self._answers, operation, message, Random(task.random.getrandbits(64)), call)
        own: dict[str, Callable[[Random], Any]] = {
            "answer cut": lambda random: _cut(operation, answers(None), random),
        }
        size = 1
        if operation == "BatchWrite":
            size = len(message.writes)
            own["unprocessed"] = lambda random: answers(random.randrange(size))
        if operation == "Commit":
            own["conflict"] = lambda _: ([], CallError(Code.ABORTED, "too much contention on these documents"))
        self._client.seconds = seconds
        try:
            sent = self._client.request(partial(_told, operation, message), answers, size, own)
        except NoAnswerError:
            return [], CallError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
        except ConnectionBrokeError:
            return [], CallError(Code.UNAVAILABLE, "recvmsg: Connection reset by peer")
        except TooManyRequestsError:
            return [], CallError(Code.RESOURCE_EXHAUSTED, "Quota exceeded")
        except ServerError as error:
            return [], CallError(Code.INTERNAL if str(error).startswith("500") else Code.UNAVAILABLE, str(error))
        finally:
            if call is not None and operation in ("Commit", "BatchWrite"):
                call.blind = call.blind or any(
                    write.delete and not write.HasField("current_document") for write in message.writes
                )
        answer: Sent = sent
        return answer

    def _answers(self, operation: str, message: Message, chance: Random, call: Call | None, part: int | None) -> Sent:
        world = self._world
        if call is not None:  # also if the request arrives late, after its process was killed
            call.reaped = max(call.reaped, (BEGAN + world.scheduler.now) * 1e6)
        reaping = 0.0 if world.calm else chance.choice((0.0, 0.0, 0.3))
        moment = Moment(int((BEGAN + world.scheduler.now) * 1e6), chance, reaping, part)
        return _carried_out(self.collections, operation, message, moment)


Sent: TypeAlias = tuple[list[bytes], CallError | None]


def answered(collections: Collections, method: str, request: bytes, moment: Moment) -> Sent:
    """Carry out a request, and return its answers, or the error instead."""
    operation = method.rpartition("/")[2]
    return _carried_out(collections, operation, _REQUESTS[operation].pb().FromString(request), moment)


def _carried_out(collections: Collections, operation: str, message: Message, moment: Moment) -> Sent:
    try:
        found = list(collections.answer(operation, message, moment))
    except RefusalError as refusal:
        return [], CallError(refusal.code, refusal.details)
    return [one.SerializeToString(deterministic=True) for one in found], None


class Stream:
    """A stream of answers. The request is sent when the first is asked for."""

    def __init__(self, send: Callable[[], Sent], read: Callable[[bytes], Message]) -> None:
        self._send = send
        self._read = read
        self._sent: Sent | None = None

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Message:
        if self._sent is None:
            self._sent = self._send()
        answers, error = self._sent
        if answers:
            return _read(answers.pop(0), self._read)
        if error is not None:
            raise error
        raise StopIteration

    def cancel(self) -> None:
        """Stop: nothing more is asked for."""


def _read(answer: bytes, read: Callable[[bytes], Message]) -> Message:
    try:
        return read(answer)
    except DecodeError:
        raise CallError(Code.INTERNAL, "Exception deserializing response!") from None


def _cut(operation: str, sent: Sent, random: Random) -> Sent:
    """Return what is left of an answer: some of a stream, with or without an error after it, or some of its bytes."""
    answers, refused = sent
    if refused is not None:
        return sent
    if operation in ("RunQuery", "BatchGetDocuments") and random.random() < 0.7:
        left = answers[: random.randrange(len(answers))]
        return left, random.choice((None, CallError(Code.UNAVAILABLE, "Stream removed")))
    *whole, last = answers
    return [*whole, last[: random.randrange(len(last))]], None


def _told(operation: str, message: Message) -> str:
    names = names_in(operation, message)
    if operation == "RunQuery":
        query = message.structured_query
        names = [value.reference_value for value in query.start_at.values]
    return f"{operation} {', '.join(short(name.removeprefix(SETTINGS.prefix)) for name in names)}"
