"""One gRPC channel to one database, and the six requests that the adapter makes on it.

The requests are Firestore's own (``google.firestore.v1``), with the client library's messages, credentials and channel,
but without its ``Client``. That repeats requests by itself, which neither the store's time budget nor the counting of
accesses allows, and it translates each value twice. Here one call is one request with a deadline.

An answer is complete, or raises `BackendUnavailableError`. gRPC itself reports messages that it cannot decode, and
streams without a status. Here and in `datastore_firestore.answers` the other answers are checked for missing parts.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import google.auth.exceptions
import grpc
from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.cloud.firestore_v1.services.firestore.transports.grpc import FirestoreGrpcTransport
from google.cloud.firestore_v1.types import firestore as messages

from datastore import deadlines
from datastore.errors import (
    BackendUnavailableError,
    BackendUnusableError,
    ClosedError,
    ConfigurationError,
    DataStoreError,
)
from datastore.turns import Calls, Turns
from datastore_firestore import answers
from datastore_firestore.failures import NAME, translate

Message: TypeAlias = Any
"""A protobuf message. The client library's classes for them are made at run time and have no types."""

STREAM_SECONDS = 60.0
"""The deadline of a stream: the longest time that Firestore lets a query run."""
_ENDPOINT = "firestore.googleapis.com:443"
_SERVICE = "/google.firestore.v1.Firestore/"
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.enable_retries", 0),  # the store repeats requests, within its time budget
    # By default, a channel that has lost its server waits up to two minutes before it tries again.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # for one attempt; 100 ms would be too few for a distant server
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),  # its own connection, which closing the channel really closes
]

_FORK_SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"
_SURVIVES_FORKS = os.environ.get(_FORK_SUPPORT, "1").lower() not in ("0", "f", "false", "n", "no")
"""Whether gRPC stops and starts its threads around a fork. Without that, a child hangs when it opens a channel."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Which database to use, and how to reach it."""

    project: str
    collection: str = "agent_data_store"
    database: str = "(default)"
    timeout: float = 10.0
    emulator: str | None = None
    credentials: Any = None
    interceptors: tuple[Any, ...] = ()
    read_only: bool = False
    earlier_format: bool = False
    """Whether it is a collection of the earlier format that is opened (`datastore.formats`)."""

    @property
    def root(self) -> str:
        """The database's name in requests."""
        return f"projects/{self.project}/databases/{self.database}"

    @property
    def documents(self) -> str:
        """The parent of the collection in requests."""
        return f"{self.root}/documents"

    @property
    def prefix(self) -> str:
        """The beginning of every document's name, which the id follows."""
        return f"{self.documents}/{self.collection}/"


class Connection:
    """A channel that any number of threads may share. It connects with the first request."""

    def __init__(self, settings: Settings) -> None:
        """Find the credentials.

        Raises:
            ConfigurationError: If there are no credentials.
        """
        self._settings = settings
        self._closed = False
        self._opening = Turns("opening a channel to Firestore")
        self._under_way = Calls("a request to Firestore")
        self._habits = Habits()
        self._calls: _Calls | None = None
        self._channel: Any = self._make_channel()

    def commit(self, writes: Sequence[Message]) -> Message:
        """Apply writes in order and atomically. A `grpc.RpcError` is raised as it is: it may be an outcome."""
        with self._under_way.begin():
            answer = self._call().commit(messages.CommitRequest.pb()(database=self._settings.root, writes=writes))
        answers.check_commit(writes, answer)
        return answer

    def batch_write(self, writes: Sequence[Message]) -> Message:
        """Apply writes to different documents, each one separately. The answer has a status for each."""
        request = messages.BatchWriteRequest.pb()(database=self._settings.root, writes=writes)
        try:
            with self._under_way.begin():
                answer = self._call().batch_write(request)
        except grpc.RpcError as error:
            raise self.failure(error) from error
        answers.check_batch(writes, answer)
        return answer

    def batch_get(self, names: Sequence[str], mask: Sequence[str] | None) -> dict[str, Message | None]:
        """Read documents, and return them by name, with ``None`` for a missing one.

        Large documents may take longer than one request may, and a stream may break. What arrived is complete, so only
        the rest is asked for again, as long as every request brings something and the call under way has time.

        Requests: 1, and more if not all documents arrive.
        """
        found: dict[str, Message | None] = {}
        left: Sequence[str] = names
        while left:
            failure: grpc.RpcError | None = None
            try:
                with self._under_way.begin():
                    for answer in self._call().batch_get(self._batch_get_request(left, mask)):
                        name, document = answers.document_of(answer)
                        found[name] = document
            except grpc.RpcError as error:
                failure = error
            asked, left = len(left), [name for name in left if name not in found]
            if found and left:
                deadlines.check()
            if len(left) == asked:
                if failure is not None:
                    raise self.failure(failure) from failure
                answers.broken(NAME, "it says nothing about some of the documents")
        return found

    def time_of(self, name: str) -> float:
        """Read a document, and return the server's time of that read, in seconds since the epoch."""
        try:
            with self._under_way.begin():
                found = list(self._call().batch_get(self._batch_get_request([name], ["revision"])))
        except grpc.RpcError as error:
            raise self.failure(error) from error
        if not found:
            answers.broken(NAME, "it says nothing about the document")
        answers.document_of(found[0])
        seconds: float = found[0].read_time.seconds + found[0].read_time.nanos / 1e9
        return seconds

    def run_query(self, query: Message, read_time: Message | None = None) -> Stream:
        """Stream the answers to a query. The stream raises `grpc.RpcError` or `BackendUnavailableError`."""
        request = messages.RunQueryRequest.pb()(parent=self._settings.documents, structured_query=query)
        if read_time is not None:
            request.read_time.CopyFrom(read_time)
        with self._under_way.begin():
            return Stream(self._call().run_query(request), self._under_way, self._habits)

    def glance(self, query: Message) -> list[Message]:
        """Return the answers to a query for a few documents, within the deadline of one request."""
        request = messages.RunQueryRequest.pb()(parent=self._settings.documents, structured_query=query)
        try:
            with self._under_way.begin():
                stream = Stream(self._call().glance(request), self._under_way, self._habits)
            found = list(stream)
        except grpc.RpcError as error:
            raise self.failure(error) from error
        if not stream.complete and not any(answer.HasField("document") for answer in found):
            answers.broken(NAME, "the stream ended early")
        return found

    def count(self, query: Message) -> tuple[int, Message]:
        """Return how many documents a query finds, and the time at which they were counted."""
        request = messages.RunAggregationQueryRequest.pb()(parent=self._settings.documents)
        aggregation = request.structured_aggregation_query
        aggregation.structured_query.CopyFrom(query)
        counting = aggregation.aggregations.add()
        counting.alias = "count"
        counting.count.SetInParent()
        try:
            with self._under_way.begin():
                number, moment = answers.counted(list(self._call().count(request)), counting.alias)
        except grpc.RpcError as error:
            raise self.failure(error) from error
        moment.nanos -= moment.nanos % 1_000  # a query accepts a time only in whole microseconds (RunQueryRequest)
        return number, moment

    def collections(self) -> Iterator[str]:
        """Yield the names of the collections that hold a document.

        Requests: 1 per page.
        """
        request = messages.ListCollectionIdsRequest.pb()(parent=self._settings.documents)
        while True:
            try:
                with self._under_way.begin():
                    answer = self._call().list_collections(request)
            except grpc.RpcError as error:
                raise self.failure(error) from error
            yield from answer.collection_ids
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    def failure(self, error: grpc.RpcError) -> DataStoreError:
        """Return the error for a request that failed as a whole."""
        return _closed_error() if self._closed else translate(error)

    def close(self) -> None:
        """Close the channel. Requests that are under way fail."""
        self._closed = True
        if self._channel is not None:
            self._channel.close()

    def before_fork(self) -> None:
        """Close the channel. The parent opens another one for its next request."""
        channel, self._calls, self._channel = self._channel, None, None
        if channel is not None:
            channel.close()

    def after_fork(self) -> None:
        """Forget the channel in a forked child, which opens its own for its first request; few children need one."""
        self._opening.reset()
        self._inherited = self._calls, self._channel  # kept: garbage collection would close it, and can hang
        self._calls = self._channel = None

    def _batch_get_request(self, names: Sequence[str], mask: Sequence[str] | None) -> Message:
        request = messages.BatchGetDocumentsRequest.pb()(database=self._settings.root, documents=names)
        if mask is not None:
            request.mask.field_paths.extend(mask)
        return request

    def _call(self) -> _Calls:
        calls = self._calls
        if calls is None:
            with self._opening.take():
                self._channel = self._channel or self._make_channel()
                calls = self._calls = self._calls or _Calls(self._channel, self._settings)
        if self._closed:
            raise _closed_error()
        return calls

    def _make_channel(self) -> Any:
        settings = self._settings
        process, _ = _start_grpc()
        if process != os.getpid() and not _SURVIVES_FORKS:
            raise BackendUnusableError(
                f"gRPC cannot be used in this process: it was forked from one that used gRPC, with {_FORK_SUPPORT} set "
                f"to {os.environ.get(_FORK_SUPPORT)!r}. Remove the variable, or start processes with 'spawn'",
                backend=NAME,
            )
        if settings.emulator:
            channel = grpc.insecure_channel(settings.emulator, options=_OPTIONS)
        else:
            try:
                channel = FirestoreGrpcTransport.create_channel(  # type: ignore[no-untyped-call, unused-ignore]  # no types in some versions of the client
                    _ENDPOINT, credentials=settings.credentials, options=_OPTIONS
                )
            except google.auth.exceptions.GoogleAuthError as error:
                raise ConfigurationError(
                    f"no Google credentials were found ({error}); set GOOGLE_APPLICATION_CREDENTIALS, run 'gcloud auth "
                    "application-default login', or set FIRESTORE_EMULATOR_HOST for the emulator",
                    backend=NAME,
                ) from error
        return grpc.intercept_channel(channel, *settings.interceptors) if settings.interceptors else channel


@functools.cache
def _start_grpc() -> tuple[int, Any]:
    """Keep gRPC running in this process; return the process, and a channel that never connects.

    gRPC shuts itself down with the last channel, in threads of its own, and takes no part in a fork meanwhile: the
    child inherits locks that nobody will release, and hangs when it opens its first channel. As long as a channel is
    there, gRPC stops its threads before a fork, and starts them again afterwards in both processes.
    """
    return os.getpid(), grpc.insecure_channel("localhost")


_PROOF = 2
"""After so many empty results without a mark the server is one that marks nothing."""


class Habits:
    """What the protocol leaves open, and a server does one way or the other."""

    says_done: bool | None = None
    """Whether the server marks the last answer of a query; ``None`` until it is known.

    If it does, a stream that ends without the mark may have been cut short, and the reader continues after what it got.
    As long as it is not known, finding out costs a request.
    """
    without_a_mark = 0
    """How many queries had an empty result that was not marked. One is no proof: an answer that is cut off may lack the
    mark alone, which comes last in it."""


class Stream:
    """The answers to a query."""

    complete = False
    """Whether the stream has ended and nothing is missing from it."""

    def __init__(self, stream: Any, under_way: Calls, habits: Habits) -> None:
        self._stream = stream
        self._under_way = under_way
        self._habits = habits
        self._begun = self._found = self._done = False
        self.cancel = stream.cancel

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        try:
            with self._under_way.begin():
                answer = next(self._stream)
        except StopIteration:
            if not self._begun:
                answers.broken(NAME, "the stream has no answer")
            if not (self._found or self._done) and self._habits.says_done is None:
                self._habits.without_a_mark += 1
                if self._habits.without_a_mark >= _PROOF:
                    self._habits.says_done = False
            self.complete = self._done or self._habits.says_done is False
            raise
        self._begun = True
        self._found = self._found or answer.HasField("document")
        try:
            last = answers.is_last(answer)
        except BackendUnavailableError:
            self.cancel()
            raise
        if last:
            self._done = self._habits.says_done = True
        return answer


class _Calls:
    """The requests of a channel, each with its deadline and the headers that route it to its database."""

    def __init__(self, channel: Any, settings: Settings) -> None:
        metadata = [("google-cloud-resource-prefix", settings.root)]
        if settings.emulator:
            metadata.append(("authorization", "Bearer owner"))  # with this, the emulator applies no security rules
        # The headers by which Google's front end finds the database, as the client library sends them.
        of_database = [*metadata, to_grpc_metadata({"database": settings.root})]
        of_parent = [*metadata, to_grpc_metadata({"parent": settings.documents})]
        stream_seconds = max(settings.timeout, STREAM_SECONDS)

        def call(kind: Any, name: str, request: Any, answer: Any, timeout: float, metadata: Any) -> Any:
            method = kind(
                _SERVICE + name,
                request_serializer=request.pb().SerializeToString,
                response_deserializer=answer.pb().FromString,
            )

            def invoke(message: Message) -> Any:
                deadlines.check()  # gRPC would send nothing, and say that it had no answer
                try:
                    return method(message, timeout=min(timeout, deadlines.left()), metadata=metadata)
                except ValueError as error:  # gRPC raises this if another thread has just closed the channel
                    raise _closed_error() from error

            return invoke

        unary, stream, timeout = channel.unary_unary, channel.unary_stream, settings.timeout
        self.commit = call(unary, "Commit", messages.CommitRequest, messages.CommitResponse, timeout, of_database)
        self.batch_write = call(
            unary, "BatchWrite", messages.BatchWriteRequest, messages.BatchWriteResponse, timeout, of_database
        )
        self.batch_get = call(
            stream,
            "BatchGetDocuments",
            messages.BatchGetDocumentsRequest,
            messages.BatchGetDocumentsResponse,
            timeout,
            of_database,
        )
        self.list_collections = call(
            unary,
            "ListCollectionIds",
            messages.ListCollectionIdsRequest,
            messages.ListCollectionIdsResponse,
            timeout,
            of_parent,
        )
        self.run_query = call(
            stream, "RunQuery", messages.RunQueryRequest, messages.RunQueryResponse, stream_seconds, of_parent
        )
        self.glance = call(stream, "RunQuery", messages.RunQueryRequest, messages.RunQueryResponse, timeout, of_parent)
        self.count = call(
            stream,
            "RunAggregationQuery",
            messages.RunAggregationQueryRequest,
            messages.RunAggregationQueryResponse,
            stream_seconds,
            of_parent,
        )


def _closed_error() -> ClosedError:
    return ClosedError("the store was closed", backend=NAME)
