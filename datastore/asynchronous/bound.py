"""What the awaited objects share: where they keep what an agent must not reach, and how they make a call."""

from __future__ import annotations

import atexit
import inspect
import time
import weakref
from asyncio import CancelledError, sleep
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from functools import partial
from itertools import islice
from typing import Any, ClassVar, Concatenate, NamedTuple, ParamSpec, Self, TypeVar, cast

from datastore.asynchronous.gathering import Line
from datastore.asynchronous.workers import AT_ONCE, OVER_A_NETWORK, Job, Workers, outcome
from datastore.calls.steps import Steps
from datastore.core import Core
from datastore.errors import DeadlineExceededError

S = TypeVar("S")
T = TypeVar("T")
C = TypeVar("C", bound=type)
P = ParamSpec("P")

_AT_ONCE, _MORE = 16, 256  # records that a stream fetches at first, and later


class Machinery:
    """The workers and the gathering reads of one store, for all its awaited objects. It is a `datastore.core.Twin`."""

    def __init__(self, core: Core, most: int | None) -> None:
        capabilities = core.backend.capabilities
        self.workers = Workers(most or (AT_ONCE if capabilities.at_once else OVER_A_NETWORK))
        self._separate = capabilities.supports("database")
        self._lines: weakref.WeakValueDictionary[str, Line] = weakref.WeakValueDictionary()
        # If it is collected, perhaps on the thread of a loop, nobody waits for the workers: they have nothing to do.
        weakref.finalize(self, self.workers.stop, wait=False).atexit = False
        if not _all:
            atexit.unregister(_at_exit)
            atexit.register(_at_exit)  # what is registered last comes first: stores are closed after this
        _all.add(self)

    def line(self, user: str, core: Core) -> Line:
        """Return where the reads of a user gather: with those of all others, unless each has a database of its own.

        Those of an agent with grants gather with one another alone: its core is the one that checks them.
        """
        key = core.line + (user if self._separate else "")
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(self.workers)
        return line

    def stop(self) -> None:
        """See `datastore.core.Twin`."""
        self.workers.stop()

    def after_fork(self) -> None:
        """See `datastore.core.Twin`."""
        self.workers.reset()
        for line in self._lines.values():
            line.reset()


_all: weakref.WeakSet[Machinery] = weakref.WeakSet()


def _at_exit() -> None:
    """Wait for the calls under way: a write that has begun is not broken off by the end of the interpreter."""
    for machinery in list(_all):
        machinery.stop()


class Inside(NamedTuple):
    """What an awaited object is made of."""

    twin: Any
    """The object whose calls it makes."""
    core: Core
    machinery: Machinery
    line: Line | None
    """Where its reads gather, if they do."""


class Hidden:
    """Holds an `Inside` in a slot that has no name, as `datastore.scope.Bound` does and for the same reason."""

    __slots__ = ("_inside",)

    _made_by: ClassVar[type | None] = None
    """The class whose methods make the calls, where it is not the one that `reads` and `writes` are given."""

    def _measured(self, call: Callable[[], T]) -> Callable[[], T]:
        """Return a call as a worker makes it; see `datastore.asynchronous.watching`."""
        return call


_slot = cast(Any, Hidden.__dict__["_inside"])
delattr(Hidden, "_inside")

inside_of: Callable[[Hidden], Inside] = _slot.__get__
"""Returns what an object is made of."""
hide: Callable[[Hidden, Inside], None] = _slot.__set__
"""Sets it, in a new object."""


def machinery_of(core: Core, most: int | None = None) -> Machinery:
    """Return the machinery of a store; there is one for each, however many awaited objects it has."""
    core = core.root
    if core.twin is None:
        core.twin = machinery = Machinery(core, most)
        if core.is_closed:
            machinery.stop()
    return cast(Machinery, core.twin)


# Coroutines can be looked into: `cr_frame.f_locals` has their local variables. So the functions that know the workers
# are no coroutines, and what those of this package have in their frames leads no further than the object itself.


def _begin(self: Hidden, call: Callable[[], Any], *, writes: bool, limited: bool) -> Job:
    core, workers = inside_of(self).core, inside_of(self).machinery.workers
    job = Job(self._measured(call), writes=writes, seconds=core.max_seconds if limited else None)
    workers.submit_job(job)
    return job


def _made(self: Hidden, method: Callable[..., T], *args: Any, **kwargs: Any) -> Callable[[], T]:
    """Return the call of a method of the twin."""
    made_by = self._made_by
    if made_by is not None:
        if isinstance(method, partial):
            kwargs = {**method.keywords, **kwargs}
            method = method.func
        method = getattr(made_by, method.__name__)
    return partial(method, inside_of(self).twin, *args, **kwargs)


def reads(self: Hidden, method: Callable[Concatenate[S, P], T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
    """Make a call of the twin that changes nothing, within ``max_seconds``: if it is cancelled it is forgotten."""
    return outcome(_begin(self, _made(self, method, *args, **kwargs), writes=False, limited=True))


def reads_long(self: Hidden, method: Callable[Concatenate[S, P], T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
    """Make a call of the twin that changes nothing and may take as long as it does."""
    return outcome(_begin(self, _made(self, method, *args, **kwargs), writes=False, limited=False))


def writes(self: Hidden, method: Callable[Concatenate[S, P], T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
    """Make a call of the twin that changes something, within ``max_seconds``: its outcome is always waited for."""
    return outcome(_begin(self, _made(self, method, *args, **kwargs), writes=True, limited=True))


def writes_long(
    self: Hidden, method: Callable[Concatenate[S, P], T], *args: P.args, **kwargs: P.kwargs
) -> Awaitable[T]:
    """Make a call of the twin that changes something and may take as long as it does."""
    return outcome(_begin(self, _made(self, method, *args, **kwargs), writes=True, limited=False))


def takes(self: Hidden, method: Callable[Concatenate[S, P], T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
    """As `writes`, for a call that takes a lease or a run: if the caller is cancelled meanwhile it is released."""
    return _taken(self, _begin(self, _made(self, method, *args, **kwargs), writes=True, limited=True))


def leaves(self: Hidden, method: Callable[Concatenate[S, P], T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
    """Make a call of the twin that gives something up: it is made even if the caller is cancelled before it begins."""
    job = Job(self._measured(_made(self, method, *args, **kwargs)), writes=True, seconds=None, certain=True)
    inside_of(self).machinery.workers.submit(job)
    return outcome(job)


async def _taken(self: Hidden, job: Job) -> Any:
    try:
        return await outcome(job)
    except CancelledError:
        if (given_back := _give_back(self, job)) is not None:
            await given_back
        raise


def _give_back(self: Hidden, job: Job) -> Awaitable[None] | None:
    """Let a worker release what a call has taken for a caller who is gone; ``None`` if it has taken nothing."""
    taken = job.unclaimed()
    if isinstance(taken, _Next):
        taken = taken.result
    if taken is None:
        return None
    release = Job(taken.release, writes=True, seconds=None, certain=True)
    inside_of(self).machinery.workers.submit(release)
    return outcome(release)


class _Next(NamedTuple):
    """Where a call of `Steps` stands when a worker hands it back."""

    wait: float | None = None
    awaitable: Awaitable[Any] | None = None
    arguments: tuple[Any, ...] | None = None
    result: Any = None


class _Steps:
    def __init__(self, steps: Steps, function: Callable[..., Any]) -> None:
        self.steps = steps
        self.function = function
        self.unawaited: Any = None

    def end(self) -> None:
        if inspect.iscoroutine(self.unawaited):
            self.unawaited.close()  # if it was awaited this does nothing
        self.steps.close()


class Walk:
    """The steps of a call, with no attribute that leads to them; see `datastore.scope.Stream`.

    Args:
        steps: The call.
        function: The caller's function: a plain one, which a worker calls, or one that returns an awaitable.
    """

    __slots__ = ("_steps",)

    def __new__(cls, steps: Steps, function: Callable[..., Any]) -> Self:
        """Hide the steps."""
        self = super().__new__(cls)
        _steps_slot.__set__(self, _Steps(steps, function))
        return self

    def on(self, made: Any) -> _Next:
        """Take what was made, and go on until something is to be awaited, or until the end. In a worker."""
        hidden = _steps_of(self)
        try:
            while True:
                try:
                    step = hidden.steps.send(made)
                except StopIteration as end:
                    return _Next(result=end.value)
                if not isinstance(step, tuple):
                    return _Next(wait=step.delay() or 0.0)
                if inspect.iscoroutinefunction(hidden.function):
                    return _Next(arguments=step)
                made = hidden.function(*step)
                if inspect.isawaitable(made):
                    hidden.unawaited = made
                    return _Next(awaitable=made)
        except BaseException:
            hidden.end()
            raise

    def end(self) -> None:
        """Give up what the call holds. In a worker."""
        _steps_of(self).end()

    def is_over(self) -> bool:
        """Return whether the call holds nothing any more, as after an error of its own."""
        return inspect.getgeneratorstate(_steps_of(self).steps) == inspect.GEN_CLOSED


_steps_slot = cast(Any, Walk.__dict__["_steps"])
delattr(Walk, "_steps")
_steps_of: Callable[[Walk], _Steps] = _steps_slot.__get__


def _step(self: Hidden, walk: Walk, made: Any, began: float | None, *, takes: bool) -> Awaitable[_Next]:
    """Let a worker take the next steps of a call, within the time that the call has in all."""
    inside = inside_of(self)
    seconds = None if began is None else inside.core.max_seconds
    job = Job(partial(walk.on, made), writes=True, seconds=seconds, began=began)
    inside.machinery.workers.submit_job(job)
    return _taken(self, job) if takes else outcome(job)


def _end(self: Hidden, walk: Walk) -> Coroutine[Any, Any, None]:
    """Let a worker give up what a call holds, even if the caller is cancelled once more."""
    job = Job(walk.end, writes=True, seconds=None, certain=True)
    inside_of(self).machinery.workers.submit(job)
    return outcome(job)


async def walked(self: Hidden, walk: Walk, function: Callable[..., Any], *, limited: bool, takes: bool = False) -> Any:
    """Follow the steps of a call: the store's and plain functions in workers, awaitables and waiting here.

    Args:
        self: Whose call it is.
        walk: Its steps.
        function: What they call.
        limited: Whether it has ``max_seconds`` in all.
        takes: Whether it takes a lease, which is released if the caller is cancelled meanwhile.
    """
    began = time.monotonic() if limited else None
    made = None
    try:
        while True:
            now = await _step(self, walk, made, began, takes=takes)
            made = None
            if now.wait is not None:
                await sleep(now.wait)
            elif now.arguments is not None:
                made = await function(*now.arguments)
            elif now.awaitable is not None:
                made = await now.awaitable
            else:
                return now.result
    except BaseException as error:
        if not walk.is_over():
            ended = _end(self, walk)
            if isinstance(error, DeadlineExceededError):
                ended.close()  # a worker does it all the same, and this call has no time left to wait for one
            else:
                await ended
        raise


class Records(AsyncIterator[T]):
    """Yields what an iterator of the store yields, and has no attribute that leads to it.

    A worker fetches some items at once: first a few, so that the first one comes early.
    """

    __slots__ = ("_source",)

    def __new__(cls, owner: Hidden, make: Callable[[], Iterator[T]]) -> Self:
        """Wrap what makes an iterator."""
        self = super().__new__(cls)
        _source_slot.__set__(self, _Source(owner, make))
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if _source_of(self).is_empty():
            await _fetch(self)
        return cast(T, _source_of(self).take())


class _Source:
    def __init__(self, owner: Hidden, make: Callable[[], Iterator[Any]]) -> None:
        self.owner = owner
        self._items = make()
        self._fetched: list[Any] = []
        self._size = _AT_ONCE
        self._ended = False
        self._error: BaseException | None = None

    def is_empty(self) -> bool:
        """Return whether more must be fetched."""
        return not self._fetched and not self._ended and self._error is None

    def fetch(self) -> None:
        """Fetch more. In a worker."""
        size, self._size = self._size, _MORE
        found = list[Any]()
        try:
            for item in islice(self._items, size):
                found.append(item)  # what came before an error is handed out
            self._ended = len(found) < size
        except BaseException as error:  # noqa: BLE001 - raised when its turn comes
            self._error = error
        self._fetched = found[::-1]

    def take(self) -> Any:
        """Return the next item."""
        inside_of(self.owner).core.check_open()
        if self._fetched:
            return self._fetched.pop()
        error, self._error = self._error, None
        self._ended = True
        if error is not None:
            raise error
        raise StopAsyncIteration


_source_slot = cast(Any, Records.__dict__["_source"])
delattr(Records, "_source")
_source_of: Callable[[Records[Any]], _Source] = _source_slot.__get__


def _fetch(records: Records[Any]) -> Awaitable[None]:
    source = _source_of(records)
    return outcome(_begin(source.owner, source.fetch, writes=False, limited=False))


def twin_of(original: type) -> Callable[[C], C]:
    """Give the calls of a class the docstrings of another, whose calls it makes: they are written once.

    A call that has its own docstring keeps it. Signatures are written out, for type checkers and editors.
    """

    def documented(twin: C) -> C:
        for name, member in vars(twin).items():
            if name.startswith("_") or member.__doc__ is not None:
                continue
            found = getattr(original, name)
            if isinstance(member, property):
                setattr(twin, name, property(member.fget, doc=found.__doc__))
            else:
                member.__doc__ = found.__doc__
        return twin

    return documented
