"""What a host sees of the calls of its agents: one event for each, which tells what was done and never quotes a value.

Agents of a store that nobody watches are not touched by this: only `bound` knows of it, and what it returns then is an
ordinary `AgentDataStore`. Otherwise it is one of a subclass, whose calls are those of `AgentDataStore` with something
before and something after. What is read and stored is counted where it passes, by the call's `WatchedScope`, in the
thread that does the work; a context variable says which call that is.

A server gets its audit lines so: the store is opened with ``connect(url, on_call=datastore.audit)``, or, if it is open
already, ``watch(store._core, datastore.audit)`` is called once, before agents are bound. What
``store.tokens.agent(token)`` binds is then watched, synchronous and awaited, and its events have the token's label. For
what is refused before an agent is bound (an invalid token, too many calls) the server makes a `CallEvent` itself, and
hands it to ``tell(store._core, event)``.
"""

from __future__ import annotations

import inspect
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from datastore.agent import AgentDataStore
from datastore.arguments import as_text, is_a
from datastore.backend import Document, Fields, Put
from datastore.calls.leases import Lease, Lock
from datastore.core import Core
from datastore.errors import ConfigurationError, kind_of, logger, name_of
from datastore.events import CallEvent, Telemetry
from datastore.measuring import Call
from datastore.scope import NO_NOTES, Bound, Moment, Notes, Scope, Stream, scope_of

if TYPE_CHECKING:
    from datastore.blobs import Blobs
    from datastore.memory import Memory
    from datastore.runs import Runs

S = TypeVar("S", bound=Bound)
T = TypeVar("T")
K = TypeVar("K", bound=type)

_LONGEST = 512
"""Characters of a key in an event. A valid key has no more; one that was refused may be of any length."""


class Instruments(Protocol):
    """Spans and metrics of calls; see `datastore.telemetry`."""

    def start(self, call: str, namespace: str | None, user: str, agent: str, token: str | None) -> Any:
        """Start the span of a call, and return it; the arguments are those of `CallEvent`."""

    def enter(self, span: Any) -> Any:
        """Make a span the current one of this context, and return what `leave` needs."""

    def leave(self, entered: Any) -> None:
        """Make what was current before `enter` the current one again."""

    def end(self, span: Any, event: CallEvent) -> None:
        """End the span of a call, and count its duration."""


class Watcher:
    """Who is told of the calls of one store.

    Args:
        backend: The name of the store's backend.
    """

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.callbacks: tuple[Callable[[CallEvent], object], ...] = ()
        self.telemetry: Instruments | None = None
        self._failed: set[str] = set()

    def started(self, call: Call, scope: WatchedScope) -> Any:
        """Start the span of a call, and return it; ``None`` if nobody wants spans."""
        if self.telemetry is None:
            return None
        try:
            return self.telemetry.start(call.name, call.namespace, scope.user_id, scope.agent, scope.token)
        except Exception:  # noqa: BLE001 - logged; the call is not affected
            self._log("OpenTelemetry")
            return None

    def ended(self, span: Any, event: CallEvent) -> None:
        """End the span of a call."""
        try:
            cast(Instruments, self.telemetry).end(span, event)
        except Exception:  # noqa: BLE001 - logged; the call is not affected
            self._log("OpenTelemetry")

    def _log(self, who: str) -> None:
        if who not in self._failed:
            self._failed.add(who)
            logger().warning(
                "%s raised an error. The call of the agent is not affected; further errors of %s in this store are not "
                "logged",
                who,
                who,
                exc_info=True,
            )

    def tell(self, event: CallEvent) -> None:
        """Call the host's functions with an event, in this thread. What they raise is logged once, and not raised."""
        _telling.now, token = True, _current.set(None)
        try:
            for callback in self.callbacks:
                try:
                    callback(event)
                except Exception:  # noqa: BLE001 - logged; the call is not affected
                    self._log("on_call")
        finally:
            _telling.now = False
            _current.reset(token)


class _Telling(threading.local):
    now = False
    """Whether this thread is telling the host of a call. What the host's function calls meanwhile is told to nobody."""


_telling = _Telling()


OF_SEVERAL_NAMESPACES = frozenset(
    {"list_namespaces", "find_in", "namespace_stats", "purge_expired", "memory_search_across"}
)

_current: ContextVar[Call | None] = ContextVar("datastore_call", default=None)
"""The call that goes on in this context."""


def current_call() -> str | None:
    """Return the name of the call that goes on in this context."""
    call = _current.get()
    return None if call is None else call.name


def measured(call: Callable[[], T]) -> T:
    """Make an awaited call, in a worker, and count what it returns; the call goes on in this context."""
    result = call()
    current = _current.get()
    if current is not None and result is not None:  # a part of a call, such as of `AsyncBlobs.put`, returns nothing
        current.measure(result)
    return result


class _Noting:
    """Hands accesses on to the tracker, and counts them for the call that goes on."""

    __slots__ = ("_notes",)

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def note(self, document: Document, agent: str) -> None:
        """See `Notes`."""
        call = _current.get()
        if call is not None:
            call.note(document)
        self._notes.note(document, agent)

    def note_all(self, documents: Iterable[Document], agent: str) -> None:
        """See `Notes`."""
        call = _current.get()
        if call is not None:
            for document in documents:
                call.note(document)
        self._notes.note_all(documents, agent)


class WatchedScope(Scope):
    """The scope of an agent whose calls somebody watches."""

    __slots__ = ("_watcher", "home", "token")

    def __init__(
        self, core: Core, user_id: str, agent: str | None, namespace: str, watcher: Watcher, token: str | None
    ) -> None:
        super().__init__(core, user_id, agent, namespace)
        self.tracker = _Noting(self.tracker)
        self.token = token
        self.home = self.namespace
        """The namespace that the agent's store is bound to, also for what lies beside its records."""
        self._watcher = watcher

    def within(self, namespace: str) -> WatchedScope:
        """See `Scope.within`."""
        return WatchedScope(self.core, self.user_id, self.agent or None, namespace, self._watcher, self.token)

    def uncounted(self) -> WatchedScope:
        """See `Scope.uncounted`. What is read is told of all the same."""
        scope = self.within(self.namespace)
        scope.tracker = _Noting(NO_NOTES)
        return scope

    def area(self, area: str) -> Scope:
        """See `Scope.area`."""
        scope = cast(WatchedScope, super().area(area))
        scope.home = self.home
        return scope

    def _copy(self) -> Self:
        """See `Scope._copy`."""
        copy = super()._copy()
        copy.token, copy.home, copy._watcher = self.token, self.home, self._watcher
        return copy

    def fetch(self, key: str, fields: Fields) -> Document | None:
        """See `Scope.fetch`."""
        document = super().fetch(key, fields)
        call = _current.get()
        if call is not None and call.name == "pop":
            call.popping(document)
        return document

    def put(
        self,
        key: str,
        value: Any,
        moment: Moment,
        metadata: dict[str, Any] | None = None,
        *,
        if_absent: bool = False,
        name: str = "value",
    ) -> Put:
        """See `Scope.put`."""
        put = super().put(key, value, moment, metadata, if_absent=if_absent, name=name)
        call = _current.get()
        if call is not None:
            call.put(put)
        return put

    def stores(self, size: int) -> None:
        """See `Scope.stores`."""
        call = _current.get()
        if call is not None:
            call.store(size)

    def telling(self, call: str, name: str, make: Callable[[], T]) -> T:
        """See `Scope.telling`."""
        return told(self, call, lambda name: make(), (name,))

    def begin(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """Begin a call; ``None`` if nobody is to be told of it."""
        if _telling.now:
            return None
        about = FIRST[name]
        first: Any = args[0] if args else None if about is None else kwargs.get(about)
        key = kwargs.get("key") if about == "text" else first if about in ("key", "name", "id") else None
        across = name in OF_SEVERAL_NAMESPACES or kwargs.get("namespace_prefix") is not None
        call = Call(
            name,
            None if across else self.home,
            shown_key(key),
            len(first) if about == "keys" and type(first) in _SIZED else None,
            self.core.clock(),
        )
        call.span = self._watcher.started(call, self)
        self.enter(call)
        return call

    def enter(self, call: Call) -> None:
        """Let a call be the one that goes on in this context, until `leave`."""
        telemetry = self._watcher.telemetry
        call.entered = _current.set(call), None if call.span is None else cast(Instruments, telemetry).enter(call.span)

    def leave(self, call: Call) -> None:
        """Let the call that went on before go on."""
        if call.entered is None:
            return
        (token, entered), call.entered = call.entered, None
        try:
            _current.reset(token)
        except ValueError:  # a coroutine that was given up is closed in another context
            return
        if call.span is not None:
            cast(Instruments, self._watcher.telemetry).leave(entered)

    def end(self, call: Call, error: BaseException | None = None) -> None:
        """Tell of a call that has ended."""
        self.leave(call)
        if _is_no_change(error):
            error, call.found = None, 0
        if error is not None:
            call.failed()
        event = CallEvent(
            time=datetime.fromtimestamp(call.time, UTC),
            token=self.token,
            user=self.user_id,
            agent=self.agent,
            call=call.name,
            namespace=call.namespace,
            key=call.key,
            keys=call.keys,
            found=call.found,
            bytes=call.bytes,
            duration=time.perf_counter() - call.began,
            error=None if error is None else name_of(type(error)),
        )
        if call.span is not None:
            self._watcher.ended(call.span, event)
        self._watcher.tell(event)


def _is_no_change(error: BaseException | None) -> bool:
    """Return whether a vault or a key-value store has given up a change, since there was nothing to change."""
    records = sys.modules.get("datastore.interfaces.records")  # whoever has not imported it does not raise it
    return records is not None and type(error) is records.UnchangedError


def shown_key(key: Any) -> str | None:
    """Return a key as events show it: it may be one that will be refused."""
    if not is_a(key, str):
        return None
    text = as_text(key)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}…"
    return text.encode("utf-8", "backslashreplace").decode()


_SIZED = frozenset({list, tuple, set, frozenset, dict, type({}.keys())})


class _Counting:
    """Hands on the keys that a caller gives one by one, and counts them."""

    __slots__ = ("_call", "_keys")

    def __init__(self, keys: Iterable[Any], call: Call) -> None:
        self._keys = keys
        self._call = call

    def __iter__(self) -> Iterator[Any]:
        self._call.keys = 0
        for key in self._keys:
            self._call.keys += 1
            yield key


def counting(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call, with keys that count themselves if their number is not known."""
    if FIRST[call.name] != "keys" or call.keys is not None:
        return args, kwargs
    keys: Any = args[0] if args else kwargs.get("keys")
    if is_a(keys, str) or not hasattr(type(keys), "__iter__"):
        return args, kwargs  # they are refused
    counted = _Counting(keys, call)
    return ((counted, *args[1:]), kwargs) if args else ((), {**kwargs, "keys": counted})


def watched_scope_of(bound: Bound) -> WatchedScope:
    """Return the scope of an object that somebody watches."""
    return cast(WatchedScope, scope_of(bound))


def told(scope: Scope, name: str, make: Callable[..., T], args: tuple[Any, ...] = (), kwargs: Any = None) -> T:
    """Make a call, and tell of it if somebody watches.

    Args:
        scope: Whose call it is.
        name: Its name.
        make: Makes it.
        args: The arguments of the call.
        kwargs: Those that are given by name.
    """
    kwargs = kwargs or {}
    if not isinstance(scope, WatchedScope) or (call := scope.begin(name, args, kwargs)) is None:
        return make(*args, **kwargs)
    try:
        args, kwargs = counting(call, args, kwargs)
        result = make(*args, **kwargs)
        call.measure(result)
    except BaseException as error:
        scope.end(call, error)
        raise
    scope.end(call)
    return result


def telling(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method like another, whose calls are told of under a name."""

    @wraps(original)
    def watched(self: Bound, /, *args: Any, **kwargs: Any) -> Any:
        return told(watched_scope_of(self), name, partial(original, self), args, kwargs)

    return watched


def telling_stream(name: str, original: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Return a method like another, whose streams are told of under a name."""

    @wraps(original)
    def watched(self: Bound, /, *args: Any, **kwargs: Any) -> Iterator[Any]:
        stream = partial(original, self, *args, **kwargs)
        return Stream(followed(scope_of(self), name, stream, args, kwargs))

    return watched


def followed(
    scope: Scope, name: str, make: Callable[[], Iterator[T]], args: tuple[Any, ...] = (), kwargs: Any = None
) -> Iterator[T]:
    """Return a stream; if somebody watches, it is told of at its end.

    Args:
        scope: Whose call it is.
        name: The name of the call that it stands for.
        make: Makes it.
        args: The arguments of the call.
        kwargs: Those that are given by name.
    """
    if not isinstance(scope, WatchedScope):
        return make()
    kwargs = kwargs or {}
    try:
        items = make()
    except BaseException as error:  # an argument is wrong
        call = scope.begin(name, args, kwargs)
        if call is not None:
            scope.end(call, error)
        raise
    return _followed(scope, name, args, kwargs, items)


def _followed(
    scope: WatchedScope, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], records: Iterator[T]
) -> Generator[T, None, Any]:
    """Yield what a stream yields, and tell of it when it has ended or was given up."""
    call = scope.begin(name, args, kwargs)
    if call is None:
        return (yield from records)
    scope.leave(call)  # between two records the program goes on
    error: BaseException | None = None
    call.found = 0
    try:
        while True:
            scope.enter(call)
            try:
                record = next(records)
            except StopIteration as end:
                return end.value
            finally:
                scope.leave(call)
            call.yielded(record)
            yield record
    except GeneratorExit:
        raise
    except BaseException as raised:
        error = raised
        raise
    finally:
        scope.end(call, error)


def as_if(kind: K, original: type) -> K:
    """Give a class the name of the one that it stands for: nobody else needs to know that there are two."""
    kind.__name__, kind.__qualname__, kind.__module__ = original.__name__, original.__qualname__, original.__module__
    return kind


class WatchedLock(Lock[S]):
    """A `Lock` that tells the host when its block begins."""

    __slots__ = ()

    def __enter__(self) -> Lease[S]:
        scope = watched_scope_of(self._data_store)
        return told(scope, "lock", lambda name: super(WatchedLock, self).__enter__(), (self._asked.name,))


as_if(WatchedLock, Lock)


class WatchedAgentDataStore(AgentDataStore):
    """An `AgentDataStore` whose calls are told to the host."""

    __slots__ = ()

    def use_namespace(self, namespace: str) -> Self:
        """See `AgentDataStore.use_namespace`. It makes no request, so there is only something to tell if it fails."""
        try:
            return super().use_namespace(namespace)
        except BaseException as error:
            scope = watched_scope_of(self)
            call = scope.begin("use_namespace", (), {})
            if call is not None:
                call.namespace = shown_key(namespace)
                scope.end(call, error)
            raise

    def lock(self, name: str, *, ttl: float | timedelta = 30.0, timeout: float | timedelta = 30.0) -> Lock[Self]:
        """See `AgentDataStore.lock`. It makes no request; what its block takes when it begins is told then."""
        try:
            lock = super().lock(name, ttl=ttl, timeout=timeout)
        except BaseException as error:
            scope = watched_scope_of(self)
            call = scope.begin("lock", (name,), {})
            if call is not None:
                scope.end(call, error)
            raise
        return WatchedLock(self, lock._asked)

    @property
    def blobs(self) -> Blobs:
        """See `AgentDataStore.blobs`."""
        from datastore.watching_beside import WatchedBlobs  # imported here, because few need it

        return WatchedBlobs(scope_of(self))

    @property
    def memory(self) -> Memory:
        """See `AgentDataStore.memory`."""
        from datastore.watching_beside import WatchedMemory  # imported here, because few need it

        return WatchedMemory(scope_of(self))

    @property
    def runs(self) -> Runs:
        """See `AgentDataStore.runs`."""
        from datastore.watching_beside import WatchedRuns  # imported here, because few need it

        return WatchedRuns(scope_of(self), type(self))


def calls_of(kind: type) -> dict[str, Callable[..., Any]]:
    """Return the calls of a class, by name: what is told of, but for `use_namespace` and `lock`.

    `log` and `vector_vault` make no requests, and the calls of what they return are told of by those that these make.
    """
    return {
        name: function
        for name, function in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and name not in ("use_namespace", "lock", "log", "vector_vault")
    }


for _name, _function in calls_of(AgentDataStore).items():
    setattr(WatchedAgentDataStore, _name, (telling_stream if _name == "iter_records" else telling)(_name, _function))
WatchedScope.stand_in = as_if(WatchedAgentDataStore, AgentDataStore)


def first_parameter(function: Callable[..., Any]) -> str | None:
    """Return the first parameter of a method, after ``self``."""
    return next(iter([*inspect.signature(function).parameters][1:]), None)


FIRST: dict[str, str | None] = {
    name: first_parameter(function) for name, function in inspect.getmembers(AgentDataStore, inspect.isfunction)
} | {"lease_renew": "name", "lease_release": "name"}
"""The first parameter of each call. `datastore.watching_beside` and `datastore.server.running`
add those of their own."""


def bound(core: Core, user_id: str, agent: str | None, namespace: str, token: str | None = None) -> AgentDataStore:
    """Bind an agent's store, one that is watched if somebody watches.

    Args:
        core: The store's, or that of an agent with grants.
        user_id: As `datastore.DataStore.agent`.
        agent: The same; ``None`` for the host.
        namespace: The same.
        token: The label of the token that it is bound with, if there is one.
    """
    if core.watcher is None:
        return AgentDataStore(Scope(core, user_id, agent, namespace))
    return AgentDataStore(WatchedScope(core, user_id, agent, namespace, core.watcher, token))


def watch(core: Core, on_call: Callable[[CallEvent], object] | None, telemetry: bool | Telemetry = False) -> None:
    """Tell somebody of the calls of all agents that are bound from now on, besides whoever is told already.

    Args:
        core: The store's: ``store._core``.
        on_call: Called with each `CallEvent`.
        telemetry: Whether, or where, to make spans and metrics of the calls.

    Raises:
        ConfigurationError: If ``on_call`` cannot be called, or OpenTelemetry is asked for and not installed.
    """
    if on_call is not None and not callable(on_call):
        raise ConfigurationError(
            f"on_call is {kind_of(on_call)}; it must be a function that takes a CallEvent, such as datastore.audit"
        )
    if type(telemetry) is not bool and not is_a(telemetry, Telemetry):
        raise ConfigurationError(f"telemetry is {kind_of(telemetry)}; it must be True, False, or a Telemetry")
    core = core.root
    watcher = core.watcher
    if watcher is None:
        watcher = core.watcher = Watcher(core.backend.name)
    if on_call is not None:
        watcher.callbacks += (on_call,)
    if telemetry is not False:
        from datastore.telemetry import instruments  # imported here, because it needs OpenTelemetry

        watcher.telemetry = instruments(Telemetry() if telemetry is True else telemetry, watcher.backend)


def tell(core: Core, event: CallEvent) -> None:
    """Tell whoever watches a store of a call that no agent's object has made, such as one that a server has refused.

    Args:
        core: The store's: ``store._core``.
        event: The call.
    """
    watcher = core.root.watcher
    if watcher is not None:
        watcher.tell(event)
