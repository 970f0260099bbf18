"""Making the calls: which of them wait for each other, and where they are made.

Reads of given keys gather on the event loop, as the awaited calls of `AsyncAgentDataStore` do. What takes little time
is made by the store's workers. What may look at any number of records is made by other workers, few of them: a filter
that burns processor time, or a long listing, leaves those of the short calls alone. What asks the host's embedder is
made by others again.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import inf
from typing import Any, NoReturn

from datastore import deadlines
from datastore.agent import AgentDataStore
from datastore.arguments import as_bool
from datastore.asynchronous.bound import machinery_of
from datastore.asynchronous.workers import AT_ONCE, OVER_A_NETWORK, Job, Workers, outcome
from datastore.backend import WouldWaitError
from datastore.calls.lending import MOST_AT_ONCE, Claim, claims_of, under
from datastore.calls.records import get_at_once
from datastore.calls.streams import STREAMS
from datastore.core import Core
from datastore.errors import DataStoreError, QuotaExceededError
from datastore.scope import scope_of
from datastore.server.access import Holder
from datastore.server.bounds import check_bounds
from datastore.server.fairness import BusyError, Lane, Share
from datastore.server.settings import ServerLimits
from datastore.store import DataStore
from datastore.watching import FIRST, WatchedScope, first_parameter, followed, told, watched_scope_of
from datastore.wire.arguments import arguments_from_json
from datastore.wire.calls import CALLS, IN_STEPS, MISSING, Call, Result
from datastore.wire.messages import lines, result_to_bytes

LONG = frozenset(
    {
        *("list_keys", "scan", "iter_records", "first", "last", "get_all", "clear"),
        *("find", "find_records", "count", "explain", "delete_where", "update_where", "find_one_and_update", "claim"),
        *("list_namespaces", "find_in", "namespace_stats", "purge_expired"),
        *("log_read", "log_trim", "list_logs"),
        *("blob_put", "blob_finish", "blob_abandon", "blob_list", "blob_delete"),
        *IN_STEPS["memory"],
    }
) - {"memory_get", "memory_delete"}
"""The calls that may look at any number of records."""
_UNLIMITED = frozenset(
    {
        *("namespace_stats", "purge_expired", "iter_records"),
        *("blob_put", "blob_finish", "blob_abandon", "blob_delete"),
        *IN_STEPS["memory"],
    }
)
"""Those that may take longer than ``max_seconds``: it limits each of their pages, and not the host's embedder."""
EMBEDDING = frozenset(IN_STEPS["memory"]) - {"memory_get", "memory_delete", "memory_items"}
"""Those that may ask the host's embedder."""
_STREAMED = frozenset({"iter_records", "memory_items", "memory_reembed", "run_list", "run_history", *STREAMS})
"""Those whose answers are sent while they are made: the server never has all of one in memory."""
_AT_ONCE_BYTES = 262_144
"""So much of a stream is read at once: a shorter one is one job for a worker, as other calls are."""
_BEGINNING = frozenset({"compute_begin", "lease_take", "run_start"})
_LEASING = _BEGINNING | {"compute_end", "compute_abandon", "lease_renew", "lease_release"}
_MOST_LEASES = 10_000
_MANY = 100
"""A batch of more keys or items is a long call."""
FIRST.update({name: first_parameter(one.step) for name, one in CALLS.items() if one.step and name not in FIRST})


class Runner:
    """Makes the calls of one store.

    Args:
        store: The store.
        limits: The server's limits.
    """

    def __init__(self, store: DataStore, limits: ServerLimits) -> None:
        self._core = store._core
        self._limits = limits
        self._most_at_once = _most_at_once(store._core, limits)
        places = AT_ONCE if store.capabilities.at_once else OVER_A_NETWORK
        each, most, seconds = limits.calls_at_once, limits.waiting_calls, limits.waiting_seconds
        self._workers = machinery_of(self._core).workers
        # More calls are let in than there are workers, so that none of these waits for the event loop.
        self._short = Lane(4 * places, each, most, seconds)
        self._long_workers = Workers(max(places // 2, 2))
        weakref.finalize(self, self._long_workers.stop, wait=False).atexit = False
        self._long = Lane(max(places // 2, 2), max(places // 4, 1), most, seconds)
        # What waits for the host's embedder, which may be a service elsewhere, holds up nothing but its like.
        self._embedding_workers = Workers(max(places // 2, 2))
        weakref.finalize(self, self._embedding_workers.stop, wait=False).atexit = False
        self._embedding = Lane(max(places // 2, 2), max(places // 4, 1), most, seconds)

    def stop(self) -> None:
        """End the threads of the long calls, and of those that wait for the embedder."""
        self._long_workers.stop()
        self._embedding_workers.stop()

    def checked(self, call: Call, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call, once it is known that they may be made.

        Raises:
            InvalidValueError, QueryError: If one is missing, unknown, or asks for too much.
        """
        given = call.bound(arguments)
        check_bounds(call, given, self._limits)
        return given

    async def run(
        self,
        holder: Holder,
        call: Call,
        namespace: str | None,
        arguments: dict[str, Any],
        leases: Sequence[Claim] = (),
    ) -> bytes:
        """Make a call, and return the body of its answer; for one that is answered in lines see `listing`.

        The arguments are those that `checked` has returned. What is written is written under the ``leases``.

        Raises:
            DataStoreError: As the call does, or if the server is busy.
        """
        sync, twin = holder.store(namespace)
        lane, workers, share = self._places(holder, call, arguments)
        if lane is not self._short:
            work = partial(_bytes_of, call, sync, arguments, leases)
            return await self._in_lane(lane, workers, share, call, work)  # type: ignore[no-any-return]  # bytes
        if not lane.enter_at_once(share):
            await lane.enter(share)
        began = time.perf_counter()
        try:
            if call.name == "get" and len(arguments) == 1:
                if (answer := self._got_at_once(sync, arguments["key"])) is not None:
                    return answer
                return result_to_bytes(Result.FOUND, await twin.get(arguments["key"], MISSING))
            if call.name == "exists":
                return result_to_bytes(Result.BOOLEAN, await twin.exists(arguments["key"]))
            if call.name in _LEASING:
                return await self._leasing(holder, call, sync, arguments, leases)
            return await self._outcome(self._workers, call, partial(_bytes_of, call, sync, arguments, leases))  # type: ignore[no-any-return]  # bytes
        finally:
            lane.leave(share, time.perf_counter() - began)

    def at_once(self, holder: Holder, namespace: str | None, arguments: dict[str, Any]) -> bytes | None:
        """Make a `get` here and now, and return the body of its answer; ``None`` if that has to wait, or to fail."""
        if not self._most_at_once or arguments.keys() != {"key"}:
            return None
        data_store = holder.store_at_hand(namespace)  # whoever is refused is told so once, by `run`
        if data_store is None or not self._short.enter_at_once(holder.family.short):
            return None
        began = time.perf_counter()
        try:
            return self._got_at_once(data_store, arguments["key"])
        finally:
            self._short.leave(holder.family.short, time.perf_counter() - began)

    def _got_at_once(self, data_store: AgentDataStore, key: Any) -> bytes | None:
        watcher, scope = self._core.watcher, scope_of(data_store)
        if not self._most_at_once or (watcher is not None and watcher.telemetry is not None):
            return None  # there is a span for each call, and none for an attempt
        told_of = scope.begin("get", (key,), {}) if isinstance(scope, WatchedScope) else None
        try:
            document = get_at_once(scope, key, self._most_at_once)
        except (WouldWaitError, DataStoreError):
            if told_of is not None:
                watched_scope_of(data_store).leave(told_of)  # it is told of by whoever makes it
            return None
        if told_of is not None:
            told_of.measure(document)
            watched_scope_of(data_store).end(told_of)
        return result_to_bytes(Result.FOUND, MISSING if document is None else document.value)

    async def _leasing(
        self,
        holder: Holder,
        call: Call,
        data_store: AgentDataStore,
        arguments: dict[str, Any],
        leases: Sequence[Claim],
    ) -> bytes:
        """Make a step of `get_or_set`, or take or end leases, and note those that a token has taken and not ended.

        Each is a record that no quota counts. A process ends those that it takes; a client may not.
        """
        noted, uncounted, begins = holder.family.leases, holder.family.uncounted, call.name in _BEGINNING
        place = data_store.namespace, call.name, str(arguments.get("key", arguments.get("name", arguments.get("id"))))
        if begins and not noted.may_add(place, _MOST_LEASES):
            raise BusyError(f"this token has taken {len(noted):,} leases, or begun as many values, and not ended them")
        is_new = False
        if begins:
            try:
                is_new = uncounted.spend(None if call.name == "run_start" and arguments.get("id") is None else place)
            except QuotaExceededError as error:
                _tell_of(call, data_store, arguments, error)
                raise
        try:
            result = await self._outcome(self._workers, call, partial(_made, call, data_store, arguments, leases))
        except DataStoreError:
            if is_new:
                uncounted.give_back(place)
            raise
        if call.name == "compute_begin":
            if result.lease is not None:
                noted.add(place, result.lease, float(arguments.get("lease", call.parameters["lease"])))
            elif is_new:
                uncounted.give_back(place)
        elif call.name == "lease_take":
            noted.add(place, result.handle, float(arguments["ttl"]))
        elif call.name in ("lease_renew", "lease_release"):
            for one, is_held in zip(claims_of(arguments["leases"], MOST_AT_ONCE), result, strict=True):
                its = one.namespace, "lease_take", one.name
                if call.name == "lease_release" or is_held is False:
                    noted.end(its, one.handle)
                elif is_held:
                    noted.renew(its, one.handle)
        elif call.name in ("compute_end", "compute_abandon"):
            begun = place[0], "compute_begin", place[2]
            if noted.end(begun, arguments["lease"]):
                uncounted.give_back(begun)
        return result_to_bytes(call.result, result)

    async def listing(
        self,
        holder: Holder,
        call: Call,
        namespace: str | None,
        arguments: dict[str, Any],
        leases: Sequence[Claim] = (),
    ) -> AsyncGenerator[list[bytes], None]:
        """Make a call that is answered in lines, and yield these, some at once; the first ones when it has succeeded.

        Raises:
            DataStoreError: As the call does, or if the server is busy.
        """
        sync, _ = holder.store(namespace)
        lane, workers, share = self._places(holder, call, arguments)
        if call.name not in _STREAMED:
            yield await self._in_lane(lane, workers, share, call, partial(_lines_of, call, sync, arguments))
            return
        # A place is held while records are read, and not while the client takes its time.
        seconds = inf if call.name in _UNLIMITED else self._core.max_seconds
        stream = _Stream(call, sync, arguments, leases, seconds)
        while not stream.is_over:
            yield await self._in_lane(lane, workers, share, call, stream.more)

    def _places(self, holder: Holder, call: Call, arguments: Mapping[str, Any]) -> tuple[Lane, Workers, Share]:
        """Return where a call is made: in which lane, by which workers, and as part of which share."""
        if call.name in EMBEDDING and _needs_embedder(arguments):
            return self._embedding, self._embedding_workers, holder.family.embedding
        if call.name in LONG or _is_large(arguments):
            return self._long, self._long_workers, holder.family.long
        return self._short, self._workers, holder.family.short

    async def do(self, holder: Holder, work: Callable[[], Any]) -> Any:
        """Do something else than a call of the agent, as a short call of a token."""
        return await self._in_lane(self._short, self._workers, holder.family.short, None, work)

    @asynccontextmanager
    async def place(self, holder: Holder, name: str) -> AsyncIterator[None]:
        """Hold a place for a call of a token that is made with the awaited twin, while the context lasts.

        Raises:
            ThrottledError: If there is no place in time.
        """
        lane, share = (self._long, holder.family.long) if name in LONG else (self._short, holder.family.short)
        await lane.enter(share)
        began = time.perf_counter()
        try:
            yield
        finally:
            lane.leave(share, time.perf_counter() - began)

    async def _in_lane(
        self, lane: Lane, workers: Workers, share: Share, call: Call | None, work: Callable[[], Any]
    ) -> Any:
        await lane.enter(share)
        began = time.perf_counter()
        try:
            return await self._outcome(workers, call, work)
        finally:
            lane.leave(share, time.perf_counter() - began)

    async def _outcome(self, workers: Workers, call: Call | None, work: Callable[[], Any]) -> Any:
        seconds = None if call is not None and call.name in _UNLIMITED else self._core.max_seconds
        job = Job(work, writes=call is None or call.writes, seconds=seconds)
        workers.submit(job)
        return await outcome(job)


def _most_at_once(core: Core, limits: ServerLimits) -> int:
    """Return the largest value that is read on the event loop itself; 0 if that cannot be done without waiting."""
    able = core.backend.capabilities.supports("read_at_once") and not core.tracker.is_immediate
    return int(limits.at_once_bytes) if able else 0


def _needs_embedder(arguments: Mapping[str, Any]) -> bool:
    """Return whether a call may ask the embedder: it does not if it is given the vectors."""
    given = arguments.get("vector", arguments.get("vectors", arguments.get("text_or_vector")))
    return given is None or type(given) is str


def _is_large(arguments: Mapping[str, Any]) -> bool:
    many = arguments.get("keys", arguments.get("items"))
    return (type(many) is list or type(many) is dict) and len(many) > _MANY


def _made(call: Call, data_store: AgentDataStore, arguments: Mapping[str, Any], leases: Sequence[Claim] = ()) -> Any:
    data_store, arguments = _prepared(call, data_store, arguments, leases)
    if call.step is None:  # whoever watches is told of it by the store
        return call.on(data_store, arguments)
    make = partial(call.step, scope_of(data_store), **arguments)
    return told(scope_of(data_store), call.name, lambda **_: make(), (), _about(arguments))


def _prepared(
    call: Call, data_store: AgentDataStore, arguments: Mapping[str, Any], leases: Sequence[Claim]
) -> tuple[AgentDataStore, Mapping[str, Any]]:
    """Return the store that a call is made on, and its arguments as it takes them. If that cannot be, it is told."""
    try:
        return under(data_store, leases) if leases else data_store, arguments_from_json(call, arguments)
    except DataStoreError as error:
        _tell_of(call, data_store, arguments, error)
        raise


def _tell_of(call: Call, data_store: AgentDataStore, arguments: Mapping[str, Any], error: DataStoreError) -> None:
    """Tell whoever watches of a call that is not made."""

    def refused(**_: Any) -> NoReturn:
        raise error

    with suppress(type(error)):
        told(scope_of(data_store), call.name, refused, (), _about(arguments))


def _about(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a host is told from: the arguments, and of leases the name, if it is one."""
    leases = arguments.get("leases")
    if type(leases) is list and len(leases) == 1 and type(leases[0]) is dict:
        return {"name": leases[0].get("name")}
    return arguments


def _bytes_of(call: Call, data_store: AgentDataStore, arguments: dict[str, Any], leases: Sequence[Claim]) -> bytes:
    return result_to_bytes(call.result, _made(call, data_store, arguments, leases))


def _lines_of(call: Call, data_store: AgentDataStore, arguments: dict[str, Any]) -> list[bytes]:
    return list(lines(call.result, _made(call, data_store, arguments)))


def _streamed(
    call: Call, data_store: AgentDataStore, arguments: Mapping[str, Any], leases: Sequence[Claim]
) -> Iterator[Any]:
    """Return an iterator over what a call lists."""
    stream = STREAMS.get(call.name, call.step)
    if stream is None:  # whoever watches is told of it by the store
        return iter(_made(call, data_store, arguments, leases))
    data_store, arguments = _prepared(call, data_store, arguments, leases)
    given, scope = dict(arguments), scope_of(data_store)
    if call.counts and not as_bool(given.pop("count", True), "count"):
        scope = scope.uncounted()
    return followed(scope, call.name, partial(stream, scope, **given), (), given)


class _Stream:
    """The lines of a stream, some at a time.

    Args:
        call: What is asked.
        data_store: Whose it is.
        arguments: With which arguments.
        leases: What it is made under.
        seconds: How long it may take in all. The time that the client takes does not count.
    """

    def __init__(
        self,
        call: Call,
        data_store: AgentDataStore,
        arguments: Mapping[str, Any],
        leases: Sequence[Claim],
        seconds: float,
    ) -> None:
        self._begin = partial(_streamed, call, data_store, arguments, leases)
        self._result = call.result
        self._lines: Iterator[bytes] | None = None
        self._seconds = seconds
        self.is_over = False

    def more(self) -> list[bytes]:
        """Return the next lines, the first ones when it has begun; after the last one nothing. In a worker."""
        began, some, size = time.monotonic(), list[bytes](), 0
        with deadlines.within(self._seconds):
            if self._lines is None:
                self._lines = lines(self._result, self._begin())
            for line in self._lines:
                some.append(line)
                size += len(line)
                if size >= _AT_ONCE_BYTES or self._result is Result.PROGRESS:
                    break
            else:
                self.is_over = True
        self._seconds -= time.monotonic() - began
        return some
