"""What an agent in a sandbox holds: the calls of `AgentDataStore`, made by a server on the host."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import wraps
from types import FunctionType, TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from datastore.agent import AgentDataStore
from datastore.arguments import as_text
from datastore.calls.changes import RESULT, copy_of, forgotten, modifying, outpaced
from datastore.calls.claims import computing, pausing
from datastore.calls.listings import Page
from datastore.calls.steps import Steps, follow
from datastore.errors import DataStoreError
from datastore.remote.answers import streamed
from datastore.remote.blobs import ServedBlobs
from datastore.remote.leases import asked_under, leases_of
from datastore.remote.requests import accepted, body_of
from datastore.retry import Backoff
from datastore.scope import Scope, Stream, bounded, scope_of
from datastore.values import checked, decode
from datastore.wire.calls import CALLS, MISSING, Result

if TYPE_CHECKING:
    from datastore.asynchronous.remote import AsyncRemoteAgentDataStore
    from datastore.record import Record
    from datastore.remote.memory import ServedMemory
    from datastore.runs import Runs

_FIRST_DELAY, _LONGEST_DELAY = 0.001, 0.1  # seconds; as `datastore.calls.changes`
_UNLIMITED = frozenset({"namespace_stats", "purge_expired"})
"""The calls that take as long as the database does."""
_UNCOUNTED = '"count":false'


class RemoteAgentDataStore(AgentDataStore):
    """An `AgentDataStore` whose calls a server makes, within the limits of a token. `datastore.connect` returns it.

    Every call means what it means in process, and takes, returns and raises the same. Close it, or use it as a context
    manager; what `use_namespace` returns is closed with it. Safe to share between threads, and usable after a fork.

    Requests are those to the server: 1 for each call. `modify` makes 2 for each attempt, because its function runs
    here. `get_or_set` makes 1 if the value is there, and 2 if it computes it. With a ``type``, a call that counts
    accesses makes 1 more, after it has made the values fit.
    """

    __slots__ = ()

    @property
    def asynchronous(self) -> AsyncRemoteAgentDataStore:
        """The same store, with calls that are awaited."""
        from datastore.asynchronous.remote import AsyncRemoteAgentDataStore  # imported here, because few need asyncio

        return AsyncRemoteAgentDataStore(self)

    def close(self) -> None:
        """Close the connections to the server. Idempotent; any other call then raises `ClosedError`."""
        scope_of(self).core.root.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # What follows has no docstrings of its own: they are those of `AgentDataStore`.

    @property
    def blobs(self) -> ServedBlobs:
        return ServedBlobs(scope_of(self))

    @property
    def memory(self) -> ServedMemory:
        from datastore.remote.memory import ServedMemory  # imported here, because few need it

        return ServedMemory(scope_of(self))

    @property
    def runs(self) -> Runs:
        from datastore.remote.runs import ServedRuns  # imported here, because few need it

        return ServedRuns(scope_of(self), type(self))

    def iter_records(self, *args: Any, **kwargs: Any) -> Iterator[Record]:
        AgentDataStore.iter_records(self, *args, **kwargs)  # makes no request, and raises what is wrong
        scope, call = scope_of(self), AgentDataStore.iter_records
        body = body_of(scope, _bound("iter_records", self, args, kwargs), call)
        return Stream(streamed(scope.core, CALLS["iter_records"], body))

    @bounded
    def modify(
        self,
        key: str,
        function: Callable[[Any], Any],
        default: Any = None,
        *,
        allow_none: bool = False,
        ttl: float | timedelta | None = None,
        touch: bool = False,
    ) -> Any:
        steps = modifying_there(scope_of(self), key, function, default, allow_none=allow_none, ttl=ttl, touch=touch)
        return follow(steps, function)

    def get_or_set(
        self,
        key: str,
        function: Callable[[], Any],
        *,
        metadata: dict[str, Any] | None = None,
        ttl: float | timedelta | None = None,
        refresh: float | timedelta | None = None,
        lease: float | timedelta = 60.0,
    ) -> Any:
        steps = computing_there(scope_of(self), key, function, metadata=metadata, ttl=ttl, refresh=refresh, lease=lease)
        return follow(steps, function)


# --------------------------------------------------------------------------------------- calls that are one request


def _bound(name: str, self: AgentDataStore, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, without those that have their default.

    Raises:
        TypeError: If the call does not take them.
    """
    positional, defaults, takes_more = _PARAMETERS[name]
    arguments = dict(zip(positional, args, strict=False))
    if (
        (len(args) > len(positional) and not takes_more)
        or not (kwargs.keys() <= defaults.keys() and kwargs.keys().isdisjoint(arguments.keys()))
        or takes_more in kwargs
    ):
        _SIGNATURES[name].bind(self, *args, **kwargs)  # raises
    arguments |= kwargs
    if takes_more:  # all others of `append`
        arguments[takes_more] = args[len(positional) :]
    told = dict[str, Any]()
    for parameter, default in defaults.items():
        if parameter in arguments:
            value = arguments[parameter]
            if value is not default:
                told[parameter] = value
        elif default is inspect.Parameter.empty:
            _SIGNATURES[name].bind(self, *args, **kwargs)  # raises
    return told


_NEVER = object()
"""The default of what is always sent."""


def _parameters(signature: inspect.Signature) -> tuple[list[str], dict[str, Any], str | None]:
    parameters = list(signature.parameters.values())[1:]
    positional = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    more = next((one.name for one in parameters if one.kind is one.VAR_POSITIONAL), None)
    return positional, {one.name: _NEVER if one.name == more else one.default for one in parameters}, more


_METHODS = {name: getattr(AgentDataStore, name) for name, call in CALLS.items() if call.step is None}
_SIGNATURES = {name: inspect.signature(method) for name, method in _METHODS.items()}
_PARAMETERS = {name: _parameters(signature) for name, signature in _SIGNATURES.items()}


def _made_there(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method that makes a call by one request."""
    call, limited = CALLS[name], name not in _UNLIMITED

    @wraps(method)
    def made_there(self: RemoteAgentDataStore, /, *args: Any, **kwargs: Any) -> Any:
        scope = scope_of(self)
        arguments = _bound(name, self, args, kwargs)
        default, type = arguments.pop("default", None), arguments.pop("type", None)
        fit = None if type is None else scope.fitting(type)
        leases = leases_of(scope) if call.writes or "touch" in arguments else ""
        body = body_of(scope, arguments, method, "" if fit is None else _UNCOUNTED, leases)
        result = asked_under(scope, call, body, limited=limited)
        match call.result:
            case Result.FOUND if result is MISSING:
                return default
            case Result.FOUND if fit is not None:
                key = as_text(arguments["key"])
                fitted = fit(key, result)
                _note(scope, [key])
                return fitted
            case Result.VALUES if fit is not None:
                fitted = {key: fit(key, value) for key, value in result}
                if fitted:
                    _note(scope, list(fitted))
                return fitted
            case Result.VALUES | Result.KEYED_RECORDS:
                return dict(result)
            case Result.PAGE:
                return Page(*result)
        return result

    function = cast(FunctionType, made_there)
    function.__code__ = function.__code__.replace(co_name=name)  # for tracebacks, and `datastore.loops`
    return made_there


def _note(scope: Scope, keys: list[str]) -> None:
    """Count an access for each of some records, whose values fit."""
    _step(scope, "note", AgentDataStore.get_many, keys=keys)


for _name, _method in _METHODS.items():
    if _name not in vars(RemoteAgentDataStore):
        setattr(RemoteAgentDataStore, _name, _made_there(_name, _method))
for _name in ("iter_records", "modify", "get_or_set", "blobs", "memory", "runs"):
    vars(RemoteAgentDataStore)[_name].__doc__ = getattr(AgentDataStore, _name).__doc__


# ------------------------------------------------------------------ calls of which a function of the caller is a part


def _step(scope: Scope, name: str, method: Callable[..., object], **arguments: Any) -> Any:
    """Make a part of a call."""
    return asked_under(scope, CALLS[name], body_of(scope, arguments, method, leases=leases_of(scope)))


def modifying_there(
    scope: Scope,
    key: str,
    function: Callable[[Any], Any],
    default: Any,
    *,
    allow_none: bool,
    ttl: float | timedelta | None,
    touch: bool,
) -> Steps:
    """Return the steps of `modify`; whoever follows them calls the function."""
    modifying(scope, key, function, default, allow_none=allow_none, ttl=ttl, touch=touch)  # raises what is wrong
    return _modifying(scope, key, default, allow_none, {"ttl": ttl, "touch": touch})


def _modifying(scope: Scope, key: str, default: Any, allow_none: bool, expiry: dict[str, Any]) -> Steps:
    def is_asked(data_store: AgentDataStore, key: str, **expiry: Any) -> None:
        data_store.modify(key, lambda value: value, **expiry)

    seconds = scope.core.max_seconds
    backoff = Backoff(seconds, _FIRST_DELAY, _LONGEST_DELAY)
    while True:
        seen = _step(scope, "modify_begin", is_asked, key=key, **expiry)
        value = yield (copy_of(default) if seen is None else seen.value,)
        if value is None and not allow_none:
            raise forgotten()
        value, json = checked(value, RESULT)
        revision = None if seen is None else seen.revision
        written = _step(scope, "modify_end", accepted, key=key, value=value, revision=revision, **expiry)
        if written.done:
            return decode(json)
        if not backoff.wait():
            raise outpaced(scope, as_text(key), seconds, written.revision)


def computing_there(
    scope: Scope,
    key: str,
    function: Callable[[], Any],
    *,
    metadata: dict[str, Any] | None,
    ttl: float | timedelta | None,
    refresh: float | timedelta | None,
    lease: float | timedelta,
) -> Steps:
    """Return the steps of `get_or_set`; whoever follows them calls the function, and does the waiting."""
    computing(scope, key, function, metadata=metadata, ttl=ttl, refresh=refresh, lease=lease)  # raises what is wrong
    return _computing(scope, as_text(key), metadata, ttl, {"refresh": refresh, "lease": lease})


def _computing(
    scope: Scope,
    key: str,
    metadata: dict[str, Any] | None,
    ttl: float | timedelta | None,
    looking: dict[str, Any],
) -> Steps:
    pauses = pausing()
    while True:
        begun = _step(scope, "compute_begin", accepted, key=key, **looking)
        if begun.lease is not None:
            try:
                value, json = checked((yield ()), RESULT)
                stored = {"value": value, "revision": begun.revision, "metadata": metadata, "ttl": ttl}
                is_stored = _step(scope, "compute_end", accepted, key=key, lease=begun.lease, **stored)
            except BaseException:
                with suppress(DataStoreError):  # it expires by itself
                    _step(scope, "compute_abandon", accepted, key=key, lease=begun.lease)
                raise
            if is_stored:
                return decode(json)
        elif begun.found:
            return begun.value
        else:
            yield pauses
