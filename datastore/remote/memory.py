"""Memory of an agent in a sandbox: the host keeps the vectors, compares them, and has the embedder.

A vector that the agent gives goes as float32, as it is stored. Nothing here needs numpy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

from datastore.agent import AgentDataStore
from datastore.errors import UnsupportedError
from datastore.memory import Memory, MemoryItem
from datastore.memory.calls import check_progress
from datastore.memory.items import match_of
from datastore.remote.answers import streamed
from datastore.remote.leases import asked_under, leases_of, noting_lost
from datastore.remote.requests import body_of
from datastore.scope import Scope, Stream, scope_of
from datastore.wire.calls import CALLS, IN_STEPS, Call, Result

if TYPE_CHECKING:
    from datastore.record import Record


class ServedMemory(Memory):
    """The `Memory` of a namespace that a server has. Its calls take, return and raise the same."""

    __slots__ = ()

    def items(self, *args: Any, **kwargs: Any) -> Iterator[MemoryItem]:
        """See `Memory.items`."""
        Memory.items(self, *args, **kwargs)  # makes no request, and raises what is wrong
        scope, call = scope_of(self), CALLS["memory_items"]
        return Stream(map(_item, streamed(scope.core, call, _body(scope, call, self, args, kwargs))))

    def reembed(self, *args: Any, **kwargs: Any) -> int:
        """See `Memory.reembed`."""
        scope, call = scope_of(self), CALLS["memory_reembed"]
        bound = _bound(self, "reembed", args, kwargs)
        progress = check_progress(bound.pop("progress", None))
        made = 0
        with noting_lost(scope.core):
            body = body_of(scope, bound, _refusing("reembed"), leases=leases_of(scope))
            last: tuple[int, int] | None = None
            for done, total in streamed(scope.core, call, body, limited=False):
                if last is not None and progress is not None:
                    progress(*last)
                last, made = (done, total), done
        return made

    def ensure_index(self, progress: Callable[[int, int], object] | None = None) -> str:
        """Raise `UnsupportedError`: an index costs what the host pays, so the host declares it. It needs no request."""
        check_progress(progress)
        core = scope_of(self).core
        core.check_open()
        raise UnsupportedError(
            "memory.ensure_index is not served: an index of vectors is created, and paid for, by the host. Let it "
            "declare one for the namespace; memory.explain says whether a search uses it",
            backend=core.backend.name,
        )


def _item(record: Record) -> MemoryItem:
    return MemoryItem(record.key, record.value if isinstance(record.value, str) else None, record.metadata, record)


def _returned(call: Call, result: Any) -> Any:
    match call.result:
        case Result.RECORD:
            return None if result is None else _item(result)
        case Result.MATCHES:
            return [match_of(*one) for one in result]
    return result


def _bound(self: Memory, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, without those that have their default.

    Raises:
        TypeError: If the call does not take them.
    """
    signature = _SIGNATURES[name]
    given = signature.bind(self, *args, **kwargs).arguments
    given.pop("self")
    return {key: value for key, value in given.items() if value is not signature.parameters[key].default}


def _refusing(name: str) -> Callable[..., object]:
    """Return the call in process: it refuses arguments that cannot be sent, with its own words."""

    def refuses(data_store: AgentDataStore, **arguments: Any) -> None:
        getattr(Memory, name)(Memory(scope_of(data_store)), **arguments)

    return refuses


def _body(scope: Scope, call: Call, memory: Memory, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    name = call.name.removeprefix(_PREFIX)
    leases = leases_of(scope) if call.writes else ""
    return body_of(scope, _bound(memory, name, args, kwargs), _refusing(name), leases=leases)


def _made_there(name: str) -> Callable[..., Any]:
    """Return the method that makes a call by one request."""
    call = CALLS[_PREFIX + name]

    @wraps(getattr(Memory, name))
    def made_there(self: ServedMemory, /, *args: Any, **kwargs: Any) -> Any:
        scope = scope_of(self)
        # The embedder takes as long as it does.
        return _returned(call, asked_under(scope, call, _body(scope, call, self, args, kwargs), limited=False))

    function = cast(FunctionType, made_there)
    function.__code__ = function.__code__.replace(co_name=name)  # for tracebacks, and `datastore.loops`
    return made_there


_PREFIX = "memory_"
_NAMES = [name.removeprefix(_PREFIX) for name in IN_STEPS["memory"]]
_SIGNATURES = {name: inspect.signature(getattr(Memory, name)) for name in _NAMES}
for _name in _NAMES:
    if _name not in vars(ServedMemory):
        setattr(ServedMemory, _name, _made_there(_name))
