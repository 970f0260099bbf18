"""What a host holds whose program is an event loop: one open backend, with calls that are awaited."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, cast, overload

from datastore.access import Tracking
from datastore.arguments import as_int, shown
from datastore.asynchronous.agent import AsyncAgentDataStore
from datastore.asynchronous.bound import Hidden, Inside, Records, hide, inside_of, machinery_of, reads_long, twin_of
from datastore.asynchronous.bound import writes_long as writes
from datastore.asynchronous.tokens import AsyncTokens  # here: to import it on a loop blocks
from datastore.asynchronous.workers import Job, outcome
from datastore.backend import Backend, Capabilities, Forgotten
from datastore.connecting import connect
from datastore.errors import ConfigurationError, NotPicklableError
from datastore.grants import Grant
from datastore.quotas import Quota
from datastore.scope import scope_of
from datastore.store import DataStore, Health, check_seconds
from datastore.urls import Mode

if TYPE_CHECKING:
    from datastore.asynchronous.remote import AsyncRemoteAgentDataStore
    from datastore.events import CallEvent, Telemetry
    from datastore.memory import Embedder
    from datastore.record import Record
    from datastore.remote.agent import RemoteAgentDataStore

S = TypeVar("S", bound="AsyncDataStore | AsyncRemoteAgentDataStore")

_MOST_WORKERS = 1_000


@twin_of(DataStore)
class AsyncDataStore(Hidden):
    """One store on one database, with calls that are awaited; `datastore.connect_async` makes it. See `DataStore`.

    Every call means what the call of the same name means there, and takes, returns and raises the same. It works on
    several event loops, in one thread after another or in several at once. After a fork it goes on working in both
    processes. ``async with`` closes it.

    Args:
        store: The open store. Closing either of the two closes both. A store has one set of workers, whatever is made
            from it.
        workers: The most threads in which calls are made; ``None`` for what suits the backend: 4 in this process, 24
            over a network. It is the first object made from a store that decides.

    Raises:
        ConfigurationError: If ``workers`` is not a number of at least 1.
    """

    __slots__ = ()

    def __new__(cls, store: DataStore, *, workers: int | None = None) -> Self:
        """Bind a new object to an open store."""
        if not isinstance(store, DataStore):
            raise ConfigurationError(f"store is {shown(store)}; give a DataStore, or use datastore.connect_async()")
        self = super().__new__(cls)
        core = store._core
        hide(self, Inside(store, core, machinery_of(core, _workers(workers)), None))
        return self

    @property
    def sync(self) -> DataStore:
        """The same store, with calls that block: for code that runs in a thread."""
        return cast(DataStore, inside_of(self).twin)

    @property
    def backend(self) -> Backend:
        return self.sync.backend

    @property
    def capabilities(self) -> Capabilities:
        return self.sync.capabilities

    def agent(
        self,
        user_id: str,
        agent: str,
        namespace: str = "default",
        *,
        grants: Mapping[str, Grant] | None = None,
        quota: Quota | None = None,
    ) -> AsyncAgentDataStore:
        return AsyncAgentDataStore(self.sync.agent(user_id, agent, namespace, grants=grants, quota=quota))

    def host(self, user_id: str, namespace: str = "default") -> AsyncAgentDataStore:
        return AsyncAgentDataStore(self.sync.host(user_id, namespace))

    @property
    def tokens(self) -> AsyncTokens:
        return AsyncTokens(self)

    def users(
        self, *, prefix: str | None = None, after: str | None = None, limit: int | None = None
    ) -> AsyncIterator[str]:
        return Records(self, partial(self.sync.users, prefix=prefix, after=after, limit=limit))

    def records(self) -> AsyncIterator[Record]:
        return Records(self, self.sync.records)

    async def health(self, *, max_seconds: float = 2.0) -> Health:
        name, seconds = self.sync.backend.name, check_seconds(max_seconds)
        try:
            async with asyncio.timeout(seconds):
                return await reads_long(self, DataStore.health, max_seconds=seconds)
        except TimeoutError:  # perhaps no worker was free: they all wait for the database
            return Health(False, name, None, f"{name} has not answered within {seconds:g} s")

    async def flush(self) -> None:
        await writes(self, DataStore.flush)

    async def purge_expired(self, user_id: str | None = None) -> int:
        return await writes(self, DataStore.purge_expired, user_id)

    async def forget(self, user_id: str) -> Forgotten:
        return await writes(self, DataStore.forget, user_id)

    async def ensure_index(self, fields: Sequence[str], namespace: str | None = None) -> str:
        return await writes(self, DataStore.ensure_index, fields, namespace)

    async def tenants(self) -> list[str]:
        return await reads_long(self, DataStore.tenants)

    async def drop_tenant(self, user_id: str, *, confirm: str) -> bool:
        return await writes(self, DataStore.drop_tenant, user_id, confirm=confirm)

    async def aclose(self) -> None:
        """Write the pending access counts, close the backend, and end the threads of the awaited calls.

        Calls under way are waited for. Closing again does nothing; any other call raises `ClosedError`. If it is
        cancelled it closes the store all the same, before `asyncio.CancelledError` is raised.
        """
        await in_a_thread(self.sync.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("AsyncDataStore", "call datastore.connect_async() in the other process")

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"


@overload
def connect_async(
    url: str | None = None,
    *,
    token: str,
    workers: int | None = None,
    retry_seconds: float = 10.0,
    max_seconds: float = 30.0,
    warn_on_loop: bool = True,
    **parameters: Any,
) -> Opening[AsyncRemoteAgentDataStore]: ...


@overload
def connect_async(
    url: str | None = None,
    *,
    token_file: str | os.PathLike[str],
    workers: int | None = None,
    retry_seconds: float = 10.0,
    max_seconds: float = 30.0,
    warn_on_loop: bool = True,
    **parameters: Any,
) -> Opening[AsyncRemoteAgentDataStore]: ...


@overload
def connect_async(
    url: str | None = None,
    *,
    token_fd: int,
    workers: int | None = None,
    retry_seconds: float = 10.0,
    max_seconds: float = 30.0,
    warn_on_loop: bool = True,
    **parameters: Any,
) -> Opening[AsyncRemoteAgentDataStore]: ...


@overload
def connect_async(
    url: str | None = None,
    *,
    workers: int | None = None,
    tracking: Tracking = "deferred",
    flush_interval: float | None = None,
    max_pending: int | None = None,
    retry_seconds: float = 10.0,
    max_seconds: float = 30.0,
    clock: Callable[[], float] = time.time,
    warn_on_loop: bool = True,
    on_call: Callable[[CallEvent], object] | None = None,
    telemetry: bool | Telemetry = False,
    embedder: Embedder | None = None,
    mode: Mode | None = None,
    token: None = None,
    token_file: None = None,
    token_fd: None = None,
    **parameters: Any,
) -> Opening[AsyncDataStore]: ...


def connect_async(
    url: str | None = None,
    *,
    workers: int | None = None,
    tracking: Tracking = "deferred",
    flush_interval: float | None = None,
    max_pending: int | None = None,
    retry_seconds: float = 10.0,
    max_seconds: float = 30.0,
    clock: Callable[[], float] = time.time,
    warn_on_loop: bool = True,
    on_call: Callable[[CallEvent], object] | None = None,
    telemetry: bool | Telemetry = False,
    embedder: Embedder | None = None,
    mode: Mode | None = None,
    token: str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    token_fd: int | None = None,
    **parameters: Any,
) -> Opening[AsyncDataStore] | Opening[AsyncRemoteAgentDataStore]:
    """Open the store that a URL names, for calls that are awaited.

    Use it as ``async with datastore.connect_async(url) as store``, or as ``store = await datastore.connect_async(url)``
    and close the store with `AsyncDataStore.aclose`. It does not block the event loop.

    Args:
        url: As `connect`.
        workers: The most threads in which calls are made; ``None`` for what suits the backend: 4 in this process, 24
            over a network.
        tracking: As `connect`.
        flush_interval: As `connect`.
        max_pending: As `connect`.
        retry_seconds: As `connect`.
        max_seconds: How long one call of an agent may take in all, with its retries and its waiting for a thread.
        clock: As `connect`.
        warn_on_loop: As `connect`, of the synchronous twin.
        on_call: As `connect`.
        telemetry: As `connect`.
        embedder: As `connect`.
        mode: As `connect`.
        token: As `connect`.
        token_file: As `connect`.
        token_fd: As `connect`.
        **parameters: Parameters of the adapter, as if they stood in the URL's query.

    Returns:
        What opens the store when it is awaited or entered: an `AsyncDataStore`; with a token an `AsyncAgentDataStore`,
        which is closed as that is.

    Raises:
        ConfigurationError, PermissionDeniedError, BackendUnavailableError, BackendUnusableError: As `connect`, when it
            is awaited.

    Requests: those of `connect`.
    """
    options = {
        "tracking": tracking,
        "flush_interval": flush_interval,
        "max_pending": max_pending,
        "retry_seconds": retry_seconds,
        "max_seconds": max_seconds,
        "clock": clock,
        "warn_on_loop": warn_on_loop,
        "on_call": on_call,
        "telemetry": telemetry,
        "embedder": embedder,
        "mode": mode,
        "token": token,
        "token_file": token_file,
        "token_fd": token_fd,
    }
    return Opening(partial(connect, url, **options, **parameters), _workers(workers))


class Opening(Generic[S]):
    """A store that is being opened: await it, or enter it with ``async with``. `connect_async` makes it."""

    __slots__ = ("_connect", "_store", "_workers")

    def __init__(self, connect: Callable[[], DataStore | RemoteAgentDataStore], workers: int | None) -> None:
        self._connect = connect
        self._workers = workers
        self._store: S | None = None

    def __await__(self) -> Generator[Any, Any, S]:
        return self._open().__await__()

    async def __aenter__(self) -> S:
        self._store = await self._open()
        return self._store

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._store is not None:
            await self._store.aclose()

    async def _open(self) -> S:
        opened: list[DataStore | RemoteAgentDataStore] = []
        try:
            await in_a_thread(lambda: opened.append(self._connect()))
        except BaseException:
            for store in opened:  # the call was cancelled meanwhile
                await in_a_thread(store.close)
            raise
        (store,) = opened
        if isinstance(store, DataStore):
            return cast(S, AsyncDataStore(store, workers=self._workers))
        machinery_of(scope_of(store).core, self._workers)
        return cast(S, store.asynchronous)


async def in_a_thread(call: Callable[[], object]) -> None:
    """Make a call in a thread of its own: there is no store that has workers, or there will soon be none."""
    job = Job(call, writes=True, seconds=None, certain=True)
    thread = threading.Thread(target=job.run, name="datastore-asynchronous", daemon=True)
    thread.start()
    try:
        await outcome(job)
    finally:
        while thread.is_alive():  # it has nothing more to do than to end; `join` would block the loop
            await asyncio.sleep(0)


def _workers(workers: int | None) -> int | None:
    if workers is None:
        return None
    number = as_int(workers)
    if number is None or not 1 <= number <= _MOST_WORKERS:
        raise ConfigurationError(f"workers is {shown(workers)}; it must be a whole number from 1 to {_MOST_WORKERS:,}")
    return number
