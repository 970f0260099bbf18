"""The binding of an agent's object to one user, one agent and one namespace, out of the agent's reach."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import wraps
from typing import Any, NoReturn, Protocol, Self, TypeVar, cast

from datastore.arguments import as_text, check_name
from datastore.backend import Document, Fields, Put
from datastore.core import Core
from datastore.deadlines import begin, end
from datastore.errors import NotPicklableError
from datastore.frozen import NamedTuple
from datastore.ids import area_prefix, check_agent, encode_key, encode_name, namespace_prefix
from datastore.revisions import new_revision
from datastore.times import expiry, format_time
from datastore.values import checked

T = TypeVar("T")


class Moment(NamedTuple):
    """The times of a write, as documents hold them."""

    at: str
    expires_at: str | None


class Notes(Protocol):
    """Where accesses are noted."""

    def note(self, document: Document, agent: str) -> None:
        """Note one access of a document that was read."""

    def note_all(self, documents: Iterable[Document], agent: str) -> None:
        """Note one access of each document."""


class _NoNotes:
    def note(self, document: Document, agent: str) -> None:
        pass

    def note_all(self, documents: Iterable[Document], agent: str) -> None:
        pass


NO_NOTES: Notes = _NoNotes()
"""Notes nothing."""


class Scope:
    """The user, the agent and the namespace that all calls of an `AgentDataStore` work with."""

    __slots__ = ("agent", "core", "encoded_user", "namespace", "prefix", "tracker", "user_id")

    stand_in: type[Any] | None = None
    """The class that stands for `AgentDataStore`, if the host is told of each call (`datastore.watching`)."""

    def __init__(self, core: Core, user_id: str, agent: str | None, namespace: str) -> None:
        user_id, namespace = check_name(user_id, "user_id"), check_name(namespace, "namespace")
        self.encoded_user = encode_name(user_id, "user_id")
        self.prefix = namespace_prefix(self.encoded_user, encode_name(namespace, "namespace"))
        self.agent = "" if agent is None else check_agent(agent)
        """Empty for the host, which is no agent."""
        self.core = core
        self.tracker: Notes = NO_NOTES if agent is None else core.tracker
        """Counts what is read; nothing if it is the host that reads."""
        self.user_id = user_id
        self.namespace = namespace

    def within(self, namespace: str) -> Scope:
        """Return the same user and agent in another namespace."""
        scope = self._copy()
        scope.prefix = namespace_prefix(self.encoded_user, encode_name(namespace, "namespace"))
        scope.namespace = as_text(namespace)
        scope.tracker = self.core.tracker if self.agent else NO_NOTES
        return scope

    def area(self, area: str) -> Scope:
        """Return the same user and agent in one of the `datastore.ids.AREAS` of the namespace. No access is counted."""
        scope = self.uncounted()
        scope.namespace = f"{area}:{self.namespace}"
        scope.prefix = area_prefix(self.prefix, area)
        return scope

    def uncounted(self) -> Scope:
        """Return the same, but no access is counted of what is read."""
        scope = self._copy()
        scope.tracker = NO_NOTES
        return scope

    def through(self, core: Core) -> Self:
        """Return the same, whose calls pass another core on their way."""
        scope = self._copy()
        scope.core = core
        return scope

    def _copy(self) -> Self:
        """Return a copy, in a tenth of the time that `copy.copy` takes for an object with slots."""
        copy = type(self).__new__(type(self))
        copy.agent, copy.core, copy.encoded_user = self.agent, self.core, self.encoded_user
        copy.namespace, copy.prefix = self.namespace, self.prefix
        copy.tracker, copy.user_id = self.tracker, self.user_id
        return copy

    def fetch(self, key: str, fields: Fields) -> Document | None:
        """Return the live document under a key."""
        return self.core.read_one(self.prefix + encode_key(key), fields)

    def fitting(self, type: type[T]) -> Callable[[str, Any], T]:
        """Return a function that turns the value under a key into an object of a type; see `datastore.validating`."""
        from datastore.validating import fitting  # imported here, because few give a type

        return fitting(type, self.namespace, self.core.backend.name)

    def moment(self, ttl: float | timedelta | None = None, parameter: str = "ttl") -> Moment:
        """Return the current time, and the time when a record that is written now expires."""
        now = self.core.clock()
        return Moment(format_time(now), None if ttl is None else expiry(ttl, now, parameter))

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
        """Check a key and a value, and return the write; ``metadata`` must have been checked before."""
        id = self.prefix + encode_key(key)
        value, json = checked(value, name)
        return Put(
            id,
            self.user_id,
            self.namespace,
            as_text(key),
            value,
            json,
            metadata,
            self.agent,
            moment.at,
            new_revision(),
            moment.expires_at,
            if_absent,
        )

    def stores(self, size: int) -> None:
        """Note that so many bytes of the content of a blob are stored; for whoever watches."""

    def telling(self, call: str, name: str, make: Callable[[], T]) -> T:
        """Make a call of an object that is no store; whoever watches is told of it.

        Args:
            call: What it is called.
            name: What it is about.
            make: Makes it.
        """
        return make()


class Bound:
    """Holds a `Scope` in a slot that has no name.

    No attribute of an instance leads to the scope, so none leads to the backend or to another user. The scope cannot be
    replaced either, by calling ``__init__`` again or otherwise. Python cannot promise more within one process: code
    that searches for the scope finds it, through the garbage collector, the modules (``__globals__`` of a method) or
    the frames in the traceback of an error.
    """

    __slots__ = ("_scope",)


class OfOneProcess:
    """An agent's object: a copy is the object itself, and it cannot be pickled, for it leads to open connections."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError(type(self).__name__, "connect in the other process, and bind an agent's store there")


Call = TypeVar("Call", bound=Callable[..., Any])


def bounded(call: Call) -> Call:
    """Limit the time of a call to the ``max_seconds`` that `connect` was given."""

    @wraps(call)
    def within_its_time(self: Bound, /, *args: Any, **kwargs: Any) -> Any:
        before = begin(scope_of(self).core.max_seconds, sys._getframe())
        try:
            return call(self, *args, **kwargs)
        finally:
            end(before)

    return cast(Call, within_its_time)


_slot = cast(Any, Bound.__dict__["_scope"])
delattr(Bound, "_scope")

scope_of: Callable[[Bound], Scope] = _slot.__get__
"""Returns the scope of an instance."""
bind: Callable[[Bound, Scope], None] = _slot.__set__
"""Sets the scope of a new instance."""


class Stream(Iterator[T]):
    """Yields what another iterator yields, and has no attribute that leads to that iterator.

    A generator would have one: the local variables of its frame (``gi_frame.f_locals``) include the backend.
    """

    __slots__ = ("_next",)

    def __new__(cls, items: Iterator[T]) -> Self:
        """Wrap an iterator."""
        self = super().__new__(cls)
        _next_slot.__set__(self, items.__next__)
        return self

    def __next__(self) -> T:
        return _next_of(self)()


_next_slot = cast(Any, Stream.__dict__["_next"])
delattr(Stream, "_next")
_next_of: Callable[[Stream[T]], Callable[[], T]] = _next_slot.__get__
