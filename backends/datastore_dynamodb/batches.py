"""Batch requests, repeated until everything in them is processed, and a few threads to send several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from datastore.adapters.answers import member
from datastore.deadlines import shared
from datastore.errors import ThrottledError
from datastore.retry import Backoff
from datastore.turns import Turns
from datastore_dynamodb.answers import lost
from datastore_dynamodb.client import Connection
from datastore_dynamodb.codec import Attributes
from datastore_dynamodb.items import id_of
from datastore_dynamodb.schema import NAME

T = TypeVar("T")
R = TypeVar("R")

READ_BATCH = 100
"""The most keys of one BatchGetItem, and the most writes of one TransactWriteItems (AWS API reference)."""
WRITE_BATCH = 25
"""The most writes of one BatchWriteItem (AWS API reference)."""
THREADS = 8
"""The most requests that one call has under way at once."""

_WITHOUT_PROGRESS = 3.0  # seconds; after that the store decides, since it knows the call's time budget
_TOGETHER = 10.0
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 1.0


class Threads:
    """A pool that is created when it is first needed. A function that runs in it must not use it again."""

    def __init__(self) -> None:
        self._closed = False
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the threads, which exist only in the parent."""
        self._turns = Turns("sending requests to DynamoDB")
        self._pool: ThreadPoolExecutor | None = None

    def map(self, function: Callable[[T], R], arguments: Iterable[T]) -> list[R]:
        """Return the results of a function in order. After all calls have ended, the first error is raised.

        After `close` the calls run one after another in the caller's thread.
        """
        arguments = list(arguments)
        running = self._submit(function, arguments) if len(arguments) > 1 else None
        if running is None:
            return [function(argument) for argument in arguments]
        errors = [error for future in running if (error := future.exception()) is not None]
        if errors:
            raise errors[0]
        return [future.result() for future in running]

    def close(self) -> None:
        """End the threads. Idempotent."""
        with self._turns.take():
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def _submit(self, function: Callable[[T], R], arguments: Sequence[T]) -> list[Future[R]] | None:
        with self._turns.take():
            if self._closed:  # during this call, whose further requests fail by themselves
                return None
            if self._pool is None:
                self._pool = ThreadPoolExecutor(THREADS, "datastore-dynamodb")
            within = shared()

            def call(argument: T) -> R:  # the call's deadline applies in its threads too
                with within():
                    return function(argument)

            return [self._pool.submit(call, argument) for argument in arguments]


def get_items(
    connection: Connection, keys: Sequence[Attributes], projection: Mapping[str, Any], strong: bool = True
) -> list[Attributes]:
    """Return the items under up to 100 keys.

    Requests: 1, and more if DynamoDB leaves some keys unprocessed.
    """
    table = connection.settings.table
    request: dict[str, Any] = {table: {"Keys": keys, "ConsistentRead": strong, **projection}}
    items: list[Attributes] = []
    patience = _Patience()
    while True:
        asked = request[table]["Keys"]
        answer = connection.call("batch_get_item", RequestItems=request)
        # An answer ends at 16 MB, or where the table's capacity is used up; the rest is unprocessed.
        request = answer["UnprocessedKeys"]
        rest = _number(member(member(request, table, dict, NAME), "Keys", list, NAME), asked) if request else 0
        if rest < len(asked):
            found = member(answer["Responses"], table, list, NAME)
            if not {id_of(key) for key in asked} >= {id_of(item) for item in found}:
                lost("it has items that were not asked for")
            items += found
        if not rest:
            return items
        patience.wait(rest)


def write_items(connection: Connection, requests: Sequence[dict[str, Any]]) -> None:
    """Carry out up to 25 unconditional ``PutRequest`` and ``DeleteRequest``.

    Requests: 1, and more if DynamoDB leaves some writes unprocessed.
    """
    table = connection.settings.table
    unprocessed: dict[str, Any] = {table: requests}
    patience = _Patience()
    while True:
        asked = unprocessed[table]
        unprocessed = connection.call("batch_write_item", RequestItems=unprocessed)["UnprocessedItems"]
        rest = _number(member(unprocessed, table, list, NAME), asked) if unprocessed else 0
        if not rest:
            return
        patience.wait(rest)


def _number(rest: Sequence[Any], asked: Sequence[Any]) -> int:
    """Return how many entries of a batch were left unprocessed.

    Raises:
        BackendUnavailableError: If that is not at least 1, or is more than there were.
    """
    if not 0 < len(rest) <= len(asked):
        lost(f"it leaves {len(rest)} of {len(asked)} entries unprocessed")
    return len(rest)


def patiently(call: Callable[[], T]) -> T:
    """Repeat a harmless call here, because the store cannot repeat one of several that belong together."""
    return Backoff(_TOGETHER, _FIRST_DELAY, _LONGEST_DELAY).repeat(call)


class _Patience:
    """Waits between the rounds of a batch, as long as it makes progress."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._backoff = self._anew()

    def wait(self, left: int) -> None:
        """Wait before asking again for what was left unprocessed.

        Raises:
            ThrottledError: If nothing was processed for too long.
        """
        if self._left is None or left < self._left:
            self._backoff = self._anew()
        self._left = left
        if not self._backoff.wait():
            raise ThrottledError(f"DynamoDB repeatedly left {left} items of a batch unprocessed", backend=NAME)

    def _anew(self) -> Backoff:
        return Backoff(_WITHOUT_PROGRESS, _FIRST_DELAY, _LONGEST_DELAY)
