"""`Runs` and `Run`, awaited."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from datastore.asynchronous.bound import (
    Hidden,
    Walk,
    hide,
    inside_of,
    leaves,
    reads,
    reads_long,
    takes,
    twin_of,
    walked,
    writes,
    writes_long,
)
from datastore.runs.calling import catching
from datastore.runs.entries import Branch, HistoryEntry, RunInfo
from datastore.runs.run import Run, effecting, stepping
from datastore.runs.runs import Runs
from datastore.runs.state import State
from datastore.scope import OfOneProcess

if TYPE_CHECKING:
    from datastore.asynchronous.agent import AsyncAgentDataStore


@twin_of(Runs)
class AsyncRuns(Hidden, OfOneProcess):
    """The runs of one namespace, with calls that are awaited. From ``data_store.runs``; see `Runs`."""

    __slots__ = ()

    def __new__(cls, owner: Hidden, runs: Runs) -> Self:
        """Bind a new object to the runs of an agent's store."""
        self = super().__new__(cls)
        hide(self, inside_of(owner)._replace(twin=runs, line=None))
        return self

    @property
    def sync(self) -> Runs:
        """The same runs, with calls that block."""
        return cast(Runs, inside_of(self).twin)

    async def start(
        self,
        id: str | None = None,
        input: Any = None,
        *,
        ttl: float | timedelta | None = None,
        lease: float | timedelta = 30.0,
    ) -> AsyncRun:
        return AsyncRun(self, await takes(self, Runs.start, id, input, ttl=ttl, lease=lease))

    async def resume(self, id: str, *, lease: float | timedelta = 30.0) -> AsyncRun:
        return AsyncRun(self, await takes(self, Runs.resume, id, lease=lease))

    async def get(self, id: str) -> RunInfo | None:
        return await reads(self, Runs.get, id)

    async def result(self, id: str) -> Any:
        return await reads(self, Runs.result, id)

    async def list(self, status: str | None = None, *, limit: int | None = None) -> list[RunInfo]:
        return await reads_long(self, Runs.list, status, limit=limit)

    async def due(self, limit: int | None = None) -> builtins.list[str]:
        return await writes_long(self, Runs.due, limit)

    async def signal(self, id: str, name: str, payload: Any = None) -> bool:
        return await writes(self, Runs.signal, id, name, payload)

    async def cancel(self, id: str) -> None:
        return await writes(self, Runs.cancel, id)

    async def retry(self, id: str) -> None:
        return await writes(self, Runs.retry, id)

    async def fork(self, id: str, *, at: int, new_id: str | None = None) -> str:
        return await writes(self, Runs.fork, id, at=at, new_id=new_id)

    async def history(
        self, id: str, *, limit: int | None = None, reverse: bool = False, before: int | None = None
    ) -> builtins.list[HistoryEntry]:
        return await reads_long(self, Runs.history, id, limit=limit, reverse=reverse, before=before)

    async def prune(self, *, keep: float | timedelta | None = None, limit: int | None = None) -> int:
        return await writes_long(self, Runs.prune, keep=keep, limit=limit)

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"


@twin_of(Run)
class AsyncRun(Hidden, OfOneProcess):
    """A run that this worker holds, with calls that are awaited: ``async with``. See `Run`.

    The functions of `step` and `effect` may be coroutine functions.
    """

    __slots__ = ()

    def __new__(cls, owner: Hidden, run: Run) -> Self:
        """Bind a new object to a run."""
        self = super().__new__(cls)
        hide(self, inside_of(owner)._replace(twin=run, line=None))
        return self

    @property
    def sync(self) -> Run:
        """The same run, with calls that block."""
        return cast(Run, inside_of(self).twin)

    @property
    def id(self) -> str:
        return self.sync.id

    @property
    def input(self) -> Any:
        return self.sync.input

    @property
    def state(self) -> State:
        return self.sync.state

    @property
    def data_store(self) -> AsyncAgentDataStore:
        return self.sync.data_store.asynchronous

    @property
    def number(self) -> int:
        return self.sync.number

    @property
    def is_replaying(self) -> bool:
        return self.sync.is_replaying

    async def step(
        self,
        name: str,
        function: Callable[..., Any] | Callable[..., Awaitable[Any]],
        *args: Any,
        retries: int = 0,
        backoff: float | timedelta = 1.0,
    ) -> Any:
        return await walked(self, *_stepping(self, name, function, args, retries, backoff), limited=False)

    async def effect(
        self,
        name: str,
        function: Callable[..., Any] | Callable[..., Awaitable[Any]],
        *args: Any,
        unknown: Callable[..., Any] | Callable[..., Awaitable[Any]] | None = None,
    ) -> Any:
        return await walked(self, *_effecting(self, name, function, args, unknown), limited=False)

    async def wait_for(self, name: str, timeout: float | timedelta | str | None = None) -> Any:
        return await writes(self, Run.wait_for, name, timeout)

    async def branch(self, number: int) -> Branch:
        return await writes_long(self, Run.branch, number)

    async def fork(self, at: int | None = None, id: str | None = None) -> str:
        return await writes(self, Run.fork, at, id)

    async def join(self, children: Sequence[str], *, raises: bool = True) -> list[Any]:
        return await writes_long(self, Run.join, children, raises=raises)

    async def checkpoint(self, every: int = 1) -> bool:
        return await writes(self, Run.checkpoint, every)

    async def finish(self, result: Any = None) -> None:
        return await writes(self, Run.finish, result)

    async def history(
        self, *, limit: int | None = None, reverse: bool = False, before: int | None = None
    ) -> list[HistoryEntry]:
        return await reads_long(self, Run.history, limit=limit, reverse=reverse, before=before)

    async def release(self) -> None:
        return await leaves(self, Run.release)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return await leaves(self, Run.__exit__, kind, error, traceback)

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"


# What follows is no coroutine, whose frame could be looked into.


def _stepping(
    self: AsyncRun,
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    retries: int,
    backoff: float | timedelta,
) -> tuple[Walk, Callable[..., Any]]:
    made = catching(function, awaits=True)
    return Walk(stepping(self.sync, name, args, retries, backoff), made), made


def _effecting(
    self: AsyncRun,
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    unknown: Callable[..., Any] | None,
) -> tuple[Walk, Callable[..., Any]]:
    steps, made = effecting(self.sync, name, function, args, unknown, awaits=True)
    return Walk(steps, made), made
