"""Awaited calls in simulated time: an event loop in one of the scheduler's threads, and what the workers wait with."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Any

from datastore.asynchronous import bound, gathering, store, workers
from datastore.conformance.simulation.scheduling import LOOK, Scheduler, SimulatedThread, Task


class Loop(asyncio.BaseEventLoop):
    """asyncio's own loop, which waits for nothing but time and other threads: no socket belongs to it."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self.set_debug(False)
        self._selector = self  # what the base class waits with
        self._scheduler = scheduler
        self._thread: Task | None = None
        """The simulated thread that waits for something to do."""
        self._woken = False
        self._begun: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._begin)

    def _begin(self, _: Any, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=self, **more)
        self._begun.append(task)
        return task

    def time(self) -> float:
        """See `AbstractEventLoop.time`."""
        return self._scheduler.now

    def select(self, timeout: float | None) -> list[Any]:
        """Wait until there is something to do. Others may go on meanwhile, also if there is something already."""
        scheduler = self._scheduler
        me = scheduler._me()
        if self._woken or timeout == 0:
            self._woken = False
            scheduler.sleep(me.random.random() * LOOK)
            return []
        self._thread = me
        try:
            scheduler.block(timeout)
        finally:
            self._thread, self._woken = None, False
        return []

    def _process_events(self, _: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        self._woken = True
        if self._thread is not None:
            self._scheduler.wake(self._thread)

    def from_outside(self, function: Any, *arguments: Any) -> None:
        """Call a function on the loop, whoever has the baton: nothing of that thread goes with it."""
        self.call_soon_threadsafe(function, *arguments, context=Context())

    def __del__(self) -> None:
        """Warn of nothing: there is nothing that could have been closed."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Say nothing: this is called for what was under way when the process was killed."""

    def give_up(self) -> None:
        """Let nothing be left of what was under way when its process was killed. After the run."""
        logger = logging.getLogger("datastore")
        was_disabled, logger.disabled = logger.disabled, True
        try:
            for task in self._begun:
                if not task.done():
                    coroutine: Any = task.get_coro()
                    with contextlib.suppress(BaseException):  # whatever it does when it is given up
                        coroutine.throw(asyncio.CancelledError)  # `close` would leave its generators where they are
                    with contextlib.suppress(BaseException):
                        coroutine.close()
            self._begun.clear()
        finally:
            logger.disabled = was_disabled


class Queue:
    """As `queue.SimpleQueue`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._items: deque[Any] = deque()
        self._waiting: list[Task] = []

    def put(self, item: Any) -> None:
        """Add something."""
        self._items.append(item)
        if self._waiting:
            self._scheduler.wake(self._waiting.pop(0))

    def get_nowait(self) -> Any:
        """Return what comes next, if there is something."""
        if not self._items:
            raise Empty
        return self._items.popleft()

    def get(self) -> Any:
        """Wait for something, and return it."""
        scheduler = self._scheduler
        while not self._items:
            me = scheduler._me()
            self._waiting.append(me)
            try:
                scheduler.block()
            finally:
                if me in self._waiting:
                    self._waiting.remove(me)
        return self._items.popleft()

    def empty(self) -> bool:
        """Return whether there is nothing."""
        return not self._items


_current_thread = threading.current_thread


def here(scheduler: Scheduler, simulated: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is the simulated one in a scheduler's threads, and the real one elsewhere."""
    return lambda *args, **kwargs: (simulated if scheduler.is_here else real)(*args, **kwargs)


def times_of(scheduler: Scheduler) -> SimpleNamespace:
    """Return what stands for the module `time`."""
    look = here(scheduler, scheduler.look, time.monotonic)
    sleep = here(scheduler, scheduler.sleep, time.sleep)
    return SimpleNamespace(monotonic=look, perf_counter=look, sleep=sleep, time=time.time)


def replaced(scheduler: Scheduler) -> Iterator[tuple[Any, str, Any]]:
    """Yield what awaited calls take from outside: a module, a name in it, and the replacement."""

    def thread(target: Callable[..., object], name: str, daemon: bool, args: tuple[Any, ...] = ()) -> SimulatedThread:
        return SimulatedThread(scheduler, target, args, name)

    times = times_of(scheduler)
    for module in (bound, gathering, workers):
        yield module, "time", times
    threads = SimpleNamespace(
        Lock=threading.Lock,  # it is tried, and never waited for
        Thread=here(scheduler, thread, threading.Thread),
        current_thread=here(
            scheduler, lambda: scheduler.current and (scheduler.current.thread or scheduler.current), _current_thread
        ),
    )
    for module in (store, workers):
        yield module, "threading", threads
    yield workers, "SimpleQueue", here(scheduler, lambda: Queue(scheduler), SimpleQueue)
