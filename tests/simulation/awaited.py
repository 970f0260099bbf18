"""Awaited use: every call is made on an event loop, by the awaited twin of the store, in processes with one loop each.

The threads of a plan hand their calls to the loop of their process, and wait for what comes of them
(`tests.asynchronous.looped`). So reads that come together gather, calls wait for a worker, and what happens to one does
not keep the loop from the others. An interrupt cancels the call that it arrives in.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from random import Random
from typing import Any

from datastore import AgentDataStore, AsyncDataStore
from datastore.asynchronous.bound import machinery_of
from datastore.backend import Backend
from datastore.conformance.simulation.databases import Closing, Database
from datastore.conformance.simulation.history import Call
from datastore.conformance.simulation.interrupts import Interrupted
from datastore.conformance.simulation.names import ALL
from datastore.conformance.simulation.network import Client
from datastore.conformance.simulation.plans import ProcessPlan, ThreadPlan
from datastore.conformance.simulation.scheduling import Killed, Task
from datastore.conformance.simulation.world import Process, World
from datastore.scope import scope_of
from tests.asynchronous import looped
from tests.simulation import loops
from tests.simulation.loops import Loop, here
from tests.simulation.tokens import TokenDatabase

_WORKERS = (1, 2, 24)
"""How many workers a process may have."""
_TOGETHER = 0.5
"""So many reads of a value are made together with others."""

_asking: ContextVar[Task | None] = ContextVar("asking", default=None)
"""The thread of the plan for which a coroutine or a worker is at work."""


class AwaitedDatabase:
    """A database all of whose processes await their calls.

    Args:
        more: What else is replaced in a run: a module, a name in it, and the replacement.
        inner: The database.
    """

    connects = False

    def __init__(
        self, more: Iterable[tuple[Any, str, Any]] = (), inner: Callable[[], Database] = TokenDatabase
    ) -> None:
        self._more = tuple(more)
        self.inner = inner()
        self.faults = self.inner.faults | {"interrupted"}
        self.limits = self.inner.limits
        self._processes: list[Awaiting] = []
        make_anew = getattr(self.inner, "make_anew", None)
        if make_anew is not None:
            self.make_anew = make_anew

    def adapter(self, client: Client) -> Backend:
        """See `Database.adapter`."""
        return self.inner.adapter(client)

    def process(self, world: World, plan: ProcessPlan) -> Process:
        """See `Peopled.process`."""
        return Awaiting(world, plan)

    def begin(self, world: World) -> None:
        """See `Peopled.begin`."""

    def end(self) -> None:
        """See `Peopled.end`."""

    def add(self, process: Awaiting) -> None:
        """Remember a process, for `close`."""
        self._processes.append(process)

    def replaced(self, world: World) -> Iterator[tuple[Any, str, Any]]:
        """See `Replacing.replaced`."""
        scheduler = world.scheduler

        def on_the_loop(awaitable: Any) -> Any:
            try:
                me = scheduler._me()
            except Killed:
                _drop(awaitable)
                raise
            return me.owner.awaits(me, awaitable)

        def later_on_the_loop(coroutine: Any) -> None:
            me = scheduler.current
            if me is None or me.killed:  # what the garbage collector closes then is gone with its process
                _drop(coroutine)
            else:
                me.owner.awaits(me, coroutine)

        yield from loops.replaced(scheduler)
        yield looped, "on_the_loop", here(scheduler, on_the_loop, looped.on_the_loop)
        yield looped, "later_on_the_loop", here(scheduler, later_on_the_loop, looped.later_on_the_loop)
        inner: Callable[[World], Iterable[tuple[Any, str, Any]]] | None = getattr(self.inner, "replaced", None)
        yield from () if inner is None else inner(world)
        yield from self._more

    def close(self) -> None:
        """See `Closing.close`."""
        for process in self._processes:
            process.give_up()
        if isinstance(self.inner, Closing):
            self.inner.close()


class Together(looped.LoopedAgent):
    """An agent whose reads often come together with two that nobody asks for, and that count no access."""

    __slots__ = ()

    def get(self, key: str, default: Any = None) -> Any:  # type: ignore[override]  # no more is drawn
        random = Random(f"{key} {scope_of(self).core.root.clock()}")
        others = random.sample(ALL, 2) if random.random() < _TOGETHER else []

        async def together() -> Any:
            twin = self._twin()
            found, *_ = await asyncio.gather(twin.get(key, default), *map(twin.exists, others))
            return found

        return looped.on_the_loop(together())


class Awaiting(Process):
    """A process that awaits its calls."""

    def __init__(self, world: World, plan: ProcessPlan, lives: int = 0) -> None:
        super().__init__(world, plan, lives)
        self._loops: list[Loop] = []
        self._asked: dict[Task, asyncio.Task[Any] | None] = {}
        """The threads that wait for a call, and the coroutine that makes it once it has begun."""
        self._handed: dict[int, Any] = {}
        """What was handed to the loop and has not begun."""
        database: AwaitedDatabase = world.database  # type: ignore[assignment]  # it has made this
        database.add(self)

    def open(self) -> None:
        """See `Process.open`."""
        self.keep(self.world.database.adapter(Client(self.world, self)))
        chance = Random(f"{self.world.plan.seed} workers {self.plan.number}")
        machinery_of(self.store._core, chance.choice(_WORKERS))
        self._begin_loop()
        self.begin()

    def _begin_loop(self) -> None:
        loop = Loop(self.world.scheduler)
        self._loops.append(loop)
        self.world.scheduler.spawn(self.task(f"{self.name}.loop"), loop.run_forever)

    def agent(self, thread: ThreadPlan, name: str) -> AgentDataStore:
        """See `Process.agent`."""
        return Together(scope_of(looped.LoopedStore(self.store).agent(thread.user, name, thread.namespace)))

    def close(self) -> None:
        """See `Process.close`."""
        looped.on_the_loop(AsyncDataStore(self.store).aclose())
        self._loops[-1].from_outside(self._loops[-1].stop)

    def task(self, name: str) -> Task:
        """See `Process.task`. Workers have one name, and are told apart by their number."""
        task = super().task(name)
        task.label = f"{name}.{self._made}"
        return task

    def awaits(self, me: Task, awaitable: Any) -> Any:
        """Let the loop await something for a thread, and return or raise what it returns or raises."""
        loop, scheduler = self._loops[-1], self.world.scheduler
        answer: list[tuple[Any, BaseException | None]] = []

        async def awaited() -> None:
            del self._handed[id(awaitable)]
            _asking.set(me)
            self._asked[me] = asyncio.current_task()
            try:
                answer.append((await awaitable, None))
            except Killed:
                raise
            except BaseException as error:  # noqa: BLE001 - raised below
                answer.append((None, error))
            finally:
                self._asked.pop(me, None)
                scheduler.wake(me)

        self._handed[id(awaitable)] = awaitable
        self._asked[me] = None
        loop.from_outside(lambda: loop.create_task(awaited()))
        while not answer:
            scheduler.block()
        result, error = answer[0]
        if isinstance(error, asyncio.CancelledError):
            raise Interrupted
        if error is not None:
            raise error
        return result

    def calls_of(self, task: Task) -> Iterable[Call]:
        """See `Process.calls_of`. Reads that have gathered are for all that wait."""
        calls = self.world.calls
        if task in calls:
            return (calls[task],)
        asking = _asking.get()
        return [calls[one] for one in (self._asked if asking is None else (asking,)) if one in calls]

    def interrupt(self, task: Task) -> None:
        """See `Process.interrupt`: the call is cancelled."""
        if task in self.world.calls:
            super().interrupt(task)
            return
        asking = _asking.get()
        calls = [one for one in (self._asked if asking is None else (asking,)) if one in self.world.calls]
        cancelled = self._asked.get(calls[0]) if calls else None
        if cancelled is not None:
            self.world.scheduler.later(self.world.luck.delay(task.random), lambda: self._cancel(cancelled))

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        if not self.is_dead and not task.done():
            self._loops[-1].from_outside(task.cancel)

    def fork(self, goes_on: str) -> None:
        """See `Process.fork`. The loop's thread is the parent's, so a child begins another one."""
        super().fork(goes_on)
        if goes_on == "child":
            self._asked.clear()
            self._begin_loop()

    def give_up(self) -> None:
        """Let nothing be left of what was under way when it was killed. After the run."""
        for awaitable in self._handed.values():
            _drop(awaitable)
        self._handed.clear()
        for loop in self._loops:
            loop.give_up()


def _drop(awaitable: Any) -> None:
    """Let something never be awaited, without a warning."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()
