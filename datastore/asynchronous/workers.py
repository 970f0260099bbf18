"""Threads in which the awaited calls do their work, and how a coroutine waits for one of them.

A call goes to a worker through one queue and comes back through `call_soon_threadsafe`. That is half the way of
`asyncio.to_thread`, which makes two futures and a lock for each call. The threads belong to the store alone: the event
loop's own executor has few, and whatever else the program does in threads fills it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from asyncio import AbstractEventLoop, CancelledError, Future, TimerHandle
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any, Protocol, cast

from datastore import deadlines

AT_ONCE = 4
"""Workers for a database in this process: more would only wait for each other."""
OVER_A_NETWORK = 24
"""Workers for a database that is asked over a network: most of them wait for its answers."""


_LOOK, _LOOKS = 0.001, 5_000
"""Seconds between two looks whether a thread has been started, and how many there are: an interrupt may prevent it."""


class Task(Protocol):
    """Something for a worker to do."""

    def run(self) -> None:
        """Do it. It raises nothing."""


class Workers:
    """Threads that take tasks in the order of their arrival; each is started when it is first needed.

    Args:
        most: How many threads there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.reset()

    def reset(self) -> None:
        """Begin again without threads: a forked child does not have those of its parent."""
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._idle: deque[None] = deque()  # one element for each thread that waits for a task
        self._threads: list[threading.Thread] = []
        self._stopped = False

    def submit(self, task: Task) -> bool:
        """Let a worker do a task as soon as one is free, and return whether one is.

        If the workers were stopped it is done here and now: the store was closed, and a call only says so.
        """
        self._tasks.put(task)
        is_free = True
        try:
            self._idle.pop()
        except IndexError:
            is_free = len(self._threads) < self._most and not self._stopped
            if is_free:
                self._start()
        if self._stopped:
            self._do_the_rest()
        return is_free

    def submit_job(self, job: Job) -> None:
        """As `submit`, from the loop of whoever awaits the job, who waits for a worker as long as it has time."""
        if not self.submit(job):
            job.give_up_in_time()

    def is_free(self) -> bool:
        """Return whether no task waits for a worker."""
        return self._tasks.empty()

    def stop(self, *, wait: bool = True) -> None:
        """Let the workers finish what was submitted so far, and then end. Idempotent.

        Args:
            wait: Whether to wait until they have ended.
        """
        self._stopped = True
        threads = list(self._threads)
        for _ in threads:
            self._tasks.put(None)
        for thread in threads:
            if wait and thread is not threading.current_thread():
                self._join(thread)
        if wait:
            self._do_the_rest()

    def _join(self, thread: threading.Thread) -> None:
        for _ in range(_LOOKS):
            try:
                thread.join()
            except RuntimeError:  # another thread is about to start it
                if thread not in self._threads:
                    return  # and could not
                time.sleep(_LOOK)
            else:
                return

    def _start(self) -> None:
        # As daemons, since the interpreter would otherwise wait at its exit for those that have nothing to do.
        thread = threading.Thread(
            target=_work, args=(self._tasks, self._idle), name="datastore-asynchronous", daemon=True
        )
        self._threads.append(thread)
        try:
            thread.start()
        except RuntimeError:  # there can be no more threads; those that there are do the work
            self._threads.remove(thread)
            if not self._threads:
                raise
        if self._stopped:  # meanwhile, in another thread
            self._tasks.put(None)

    def _do_the_rest(self) -> None:
        ends = 0
        while True:
            try:
                task = self._tasks.get_nowait()
            except Empty:
                break
            if task is None:
                ends += 1
            else:
                task.run()
        for _ in range(ends):  # each ends one thread, and this may not be the one that it was for
            self._tasks.put(None)


def _work(tasks: SimpleQueue[Task | None], idle: deque[None]) -> None:
    while True:
        try:
            task = tasks.get_nowait()
        except Empty:
            idle.append(None)
            task = tasks.get()
        if task is None:
            return
        task.run()
        del task  # while the thread waits it keeps no store alive


class Job:
    """One call that a worker makes for a coroutine. Await it with `outcome`.

    A coroutine holds it in its frame, where an agent can find it. So it has no attribute that leads to the workers.

    Args:
        call: The call.
        writes: Whether it changes something, so that its outcome must be waited for once it has begun.
        seconds: How long it may take, with its waiting for a worker; ``None`` for no limit.
        began: When that time began, in seconds of `time.monotonic`; ``None`` for now.
        certain: Whether it cannot be taken back.
    """

    __slots__ = (
        "_began",
        "_call",
        "_context",
        "_loop",
        "_result",
        "_seconds",
        "_taken",
        "_timer",
        "certain",
        "error",
        "is_done",
        "waiter",
        "writes",
    )

    def __init__(
        self,
        call: Callable[[], Any],
        *,
        writes: bool,
        seconds: float | None,
        began: float | None = None,
        certain: bool = False,
    ) -> None:
        self._call: Callable[[], Any] | None = call
        self._context = copy_context()
        self._loop = asyncio.get_running_loop()
        self._taken = threading.Lock()
        self._seconds = seconds
        self._began = time.monotonic() if began is None else began
        self._timer: TimerHandle | None = None
        self._result: Any = None
        self.error: BaseException | None = None
        self.is_done = False
        self.waiter: Future[None] | None = None
        self.writes = writes
        self.certain = certain

    def withdraw(self) -> bool:
        """Take it back, and return whether no worker had begun it. It is then not done at all."""
        if not self._taken.acquire(blocking=False):
            return False
        self._call = None
        self._stop_timer()
        return True

    def give_up_in_time(self) -> None:
        """Take it back when its time is over, if no worker has begun it by then: they may all be busy for longer."""
        if self._seconds is not None and not self.is_done:
            left = self._began + self._seconds - time.monotonic()
            self._timer = self._loop.call_later(max(left, 0.0), self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        if self.withdraw():
            self._finish(None, deadlines.exceeded(self._seconds))

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def run(self) -> None:
        """See `Task`."""
        if not self._taken.acquire(blocking=False):
            return
        call, self._call = cast("Callable[[], Any]", self._call), None
        result, error = None, None
        before = None
        try:
            if self._seconds is not None:
                before = deadlines.begin(self._seconds, sys._getframe(), self._began)
                deadlines.check()
            result = self._context.run(call)
        except BaseException as raised:  # noqa: BLE001 - raised in the coroutine
            error = raised
        finally:
            deadlines.end(before)
        self._deliver(result, error)

    def result(self) -> Any:
        """Return what the call returned, or raise what it raised."""
        error, self.error = self.error, None
        if error is None:
            return self._result
        try:
            raise error
        finally:
            del error  # it refers to this frame: this breaks the cycle

    def unclaimed(self) -> Any:
        """Return what the call returned although nobody waits for it any more; ``None`` if it did not."""
        return self._result if self.is_done and self.error is None else None

    def _deliver(self, result: Any, error: BaseException | None) -> None:
        call_soon(self._loop, self._finish, result, error)

    def _finish(self, result: Any, error: BaseException | None) -> None:
        self._stop_timer()
        self._result, self.error, self.is_done = result, error, True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


def call_soon(loop: AbstractEventLoop, function: Callable[..., object], *arguments: Any) -> None:
    """Call a function on a loop, from any thread, if the loop is still there."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:  # the loop was closed, and with it whoever waited
        if not loop.is_closed():
            raise


async def outcome(job: Job) -> Any:
    """Wait for a job, and return its result or raise its error.

    If the waiting coroutine is cancelled, a job that has not begun is taken back, and one that only reads is forgotten.
    One that writes is waited for, however often the coroutine is cancelled meanwhile; then `CancelledError` is raised,
    with the error of the job as its cause if there was one.
    """
    cancelled: CancelledError | None = None
    while not job.is_done:
        job.waiter = asyncio.get_running_loop().create_future()
        try:
            await job.waiter
        except CancelledError as error:
            if not job.certain and (job.withdraw() or not job.writes):
                raise
            cancelled = cancelled or error
    if cancelled is None:
        return job.result()
    try:
        raise cancelled from job.error
    finally:
        del cancelled  # it refers to this frame: this breaks the cycle
