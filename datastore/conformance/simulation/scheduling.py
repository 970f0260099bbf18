"""Threads that run one at a time, in an order and in a time that are simulated.

Each `Task` has a real thread, and only the one that has the baton runs. It hands the baton on wherever it waits or
looks at a clock. Who gets it depends on the simulated time alone: the task that is due first. How long something
takes is drawn from the seed by whoever waits, so the seed alone decides the order.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any, ClassVar

from datastore import deadlines

LOOK = 20e-6
"""The longest time that a look at a clock takes, in seconds."""
_MOST_STEPS = 250_000
_PATIENCE = 120.0
"""Seconds by the clock without an end, in which almost no processor time was used: something waits outside the
simulation. Or so many seconds of processor time."""
_ALMOST_NONE = 0.001  # seconds of processor time; a process that others leave no processor gets more in that time


class Killed(BaseException):
    """The process of this task was killed. It is no `Exception`, so that no code of the process goes on.

    From here on no interrupt arrives in the task either: it would take the place of this.
    """

    def __init__(self) -> None:
        super().__init__()
        sys.settrace(None)


class _Worker:
    """A real thread that carries out one task after another: to start one takes longer than most tasks do."""

    idle: ClassVar[list[_Worker]] = []

    def __init__(self) -> None:
        self.baton = threading.Lock()
        self.baton.acquire()
        self.body: Callable[[], bool]
        threading.Thread(target=self._work, name="simulated", daemon=True).start()

    def _work(self) -> None:
        while True:
            self.baton.acquire()
            if not self.body():
                return

    @classmethod
    def take(cls, body: Callable[[], bool]) -> _Worker:
        """Return one that carries out a function when it gets the baton, and is idle again if that returns ``True``."""
        worker = cls.idle.pop() if cls.idle else cls()
        worker.body = body
        return worker


class Task:
    """One simulated thread."""

    def __init__(self, name: str, owner: Any, random: Random) -> None:
        self.name = name
        self.owner = owner
        """Its process."""
        self.random = random
        """What this task draws from. While it executes a call, it is that call's own."""
        self.label = name
        """What it is doing, for naming faults."""
        self.requests = 0
        """How many requests it has sent under this label."""
        self.helpers = 0
        """How many tasks have helped it under this label."""
        self.killed = False
        self.vanished = False
        """Whether it is a thread that a forked child does not have."""
        self.done = False
        self.thread: object = None
        """The `SimulatedThread` that the code in the task takes itself for."""
        self.baton: threading.Lock
        """What its thread waits for."""
        self.ident: int | None = None
        """The identifier of its real thread, once it has begun."""
        self.ticket = 0
        self.joining: list[Task] = []


class Scheduler:
    """Hands the baton from task to task."""

    def __init__(self) -> None:
        self.now = 0.0
        """The simulated time, in seconds."""
        self.current: Task | None = None
        """Who has the baton."""
        self.steps = 0
        self.problem: str | None = None
        """Why the run did not end by itself."""
        self.crashed: BaseException | None = None
        """What a task raised."""
        self._tasks: dict[Task, None] = {}
        self._vanished: list[Task] = []
        self._due: list[tuple[float, int, Task | None, Any]] = []
        self._number = 0
        self.holder = threading.get_ident()
        """The real thread that has the baton."""
        self._ended = threading.Lock()
        self._ended.acquire()

    @property
    def is_here(self) -> bool:
        """Whether the real thread that asks takes part in this simulation, and has the baton."""
        return threading.get_ident() == self.holder

    def spawn(self, task: Task, run: Callable[[], object], delay: float = 0.0) -> None:
        """Begin a task after some time."""

        def body() -> bool:
            self.holder = task.ident = threading.get_ident()
            try:
                if not task.killed:
                    run()
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001 - the run reports it
                if not task.killed:  # in a process that is no more nothing is raised
                    self.crashed = self.crashed or error
                    self.problem = self.problem or f"{task.name} raised {type(error).__name__}: {error}"
            task.done = True
            del self._tasks[task]
            for other in task.joining:
                self.wake(other)
            is_sound = not task.killed  # after a death in the middle of a call something may be left in the thread
            if is_sound:
                _Worker.idle.append(worker)
            self._hand_on()
            return is_sound

        worker = _Worker.take(body)
        task.baton = worker.baton
        self._tasks[task] = None
        self._push(self.now + delay, task)

    def run(self) -> None:
        """Let the tasks run until all of them have ended and nothing is left to happen."""
        me = threading.get_ident()
        began = before = time.process_time()
        self._hand_on()
        while not self._ended.acquire(timeout=_PATIENCE):
            now = time.process_time()
            if now - before < _ALMOST_NONE or now - began > _PATIENCE:
                raise RuntimeError(f"{self.current and self.current.name} waits for something that is not simulated")
            before = now
        self.holder = me

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something after some time, whoever runs then. It must not wait."""
        self._number += 1
        heappush(self._due, (self.now + seconds, self._number, None, action))

    def sleep(self, seconds: float) -> None:
        """Let the current task go on after some time."""
        me = self._me()
        when = self.now + max(seconds, 0.0)
        if self._due and self._due[0][0] <= when:
            self._push(when, me)
            self._switch(me)
        else:
            self.now = when

    def doze(self, step: float, until: float) -> None:
        """Let the current task wait in steps, until another one has gone on, or for some time."""
        steps = self.steps
        while self.steps == steps and self.now <= until:
            self.sleep(step)

    def look(self) -> float:
        """Let the current task look at a clock, and return the time."""
        me = self.current
        if me is None:
            return self.now
        when = self.now + me.random.random() * LOOK
        if me.killed or (self._due and self._due[0][0] <= when):
            self.sleep(when - self.now)
        else:
            self.now = when  # as `sleep` does: nobody else is due, which is so most of the time
        return self.now

    def block(self, seconds: float | None = None) -> None:
        """Let the current task wait until somebody wakes it, or for some time."""
        me = self._me()
        if seconds is None:
            me.ticket += 1
        else:
            when = self.now + max(seconds, 0.0)
            if not self._due or self._due[0][0] > when:
                # Nobody else is due, as when a thread that has nothing to do looks for work for simulated hours.
                me.ticket += 1
                self.now = when
                self._step()
                if me.killed:
                    raise Killed
                return
            self._push(when, me)
        self._switch(me)

    def wake(self, task: Task) -> None:
        """Let a task go on now."""
        if not task.done and not task.vanished:
            self._push(self.now, task)

    def vanish(self, task: Task) -> None:
        """Let a task be gone where it is, with all that it holds: a forked child has only the thread that forked."""
        if not task.done:
            task.vanished = True
            task.ticket += 1
            del self._tasks[task]
            self._vanished.append(task)

    def kill(self, task: Task) -> None:
        """Let a task go no further than where it is."""
        task.killed = True
        if task is not self.current:
            self.wake(task)

    def _me(self) -> Task:
        me = self.current
        assert me is not None, "only a task can wait"
        if me.killed:
            raise Killed
        return me

    def _push(self, when: float, task: Task) -> None:
        task.ticket += 1  # whatever it was due for before no longer counts
        self._number += 1
        heappush(self._due, (when, self._number, task, task.ticket))

    def _switch(self, me: Task) -> None:
        following = self._next()
        self.current = following
        if following is not me:
            (self._ended if following is None else following.baton).release()
            me.baton.acquire()
            self.holder = threading.get_ident()
        if me.killed:
            raise Killed

    def _hand_on(self) -> None:
        following = self.current = self._next()
        (self._ended if following is None else following.baton).release()

    def _next(self) -> Task | None:
        self.current = None
        while True:
            while self._due:
                when, _, task, what = heappop(self._due)
                self.now = max(self.now, when)
                if task is None:
                    _act(what)
                elif task.ticket == what and not task.done:
                    self._step()
                    return task
            if not self._tasks:
                if not self._vanished:
                    return None
                # The run is over. What has vanished ends now, so that no real thread waits for ever.
                task = self._vanished.pop()
                task.vanished, task.killed = False, True
                self._tasks[task] = None
                return task
            if self.problem is None:
                self.problem = f"{', '.join(task.name for task in self._tasks)} wait for ever"
            for task in self._tasks:
                self.kill(task)

    def _step(self) -> None:
        self.steps += 1
        if self.steps == _MOST_STEPS:
            self.stop(f"no end after {_MOST_STEPS} steps")

    def stop(self, problem: str) -> None:
        """End the run."""
        self.problem = self.problem or problem
        for task in self._tasks:
            self.kill(task)


def _act(what: Callable[[], object]) -> None:
    """Do what was to happen later, which has nothing to do with the call of the thread that does it, or its time.

    Nor does an interrupt of that call arrive here. What happens may use the package, as a process does that begins; and
    nobody has the baton meanwhile, so an interrupt would let a task go on that the scheduler knows nothing of.
    """
    tracing = sys.gettrace()
    if tracing is not None:
        sys.settrace(None)
    before = deadlines.begin(math.inf, sys._getframe())
    deadlines.end(None)
    try:
        what()
    finally:
        deadlines.end(before)
        if tracing is not None:
            sys.settrace(tracing)


class Lock:
    """As `threading.Lock`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._locked = False
        self._waiting: list[Task] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        scheduler = self._scheduler
        until = None if timeout < 0 else scheduler.now + timeout
        while self._locked:
            if not blocking or (until is not None and scheduler.now >= until):
                return False
            me = scheduler._me()
            self._waiting.append(me)
            try:
                scheduler.block(None if until is None else until - scheduler.now)
            finally:
                self._waiting.remove(me)
        self._locked = True
        return True

    def release(self) -> None:
        if not self._locked:
            raise RuntimeError("release unlocked lock")
        self._locked = False
        for task in self._waiting[:1]:
            self._scheduler.wake(task)


class Event:
    """As `threading.Event`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False
        self._waiting: list[Task] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        for task in self._waiting:
            self._scheduler.wake(task)

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        scheduler = self._scheduler
        if not self._set:
            me = scheduler._me()
            self._waiting.append(me)
            try:
                scheduler.block(timeout)
            finally:
                self._waiting.remove(me)
        return self._set


class SimulatedThread:
    """As `threading.Thread`, for code that starts threads of its own: they belong to the process that started them."""

    def __init__(
        self, scheduler: Scheduler, target: Callable[..., object], args: tuple[Any, ...] = (), name: str = "thread"
    ) -> None:
        self._scheduler = scheduler
        self._run = lambda: target(*args)
        self._name = name
        self._task: Task | None = None

    def start(self) -> None:
        parent = self._scheduler._me()
        name = f"{parent.owner.name}.{self._name}"
        task = self._task = parent.owner.task(name)
        task.thread = self
        self._scheduler.spawn(task, self._run)

    def join(self) -> None:
        if self._task is None:
            raise RuntimeError("cannot join thread before it is started")
        while not self._task.done:
            self._task.joining.append(self._scheduler._me())
            self._scheduler.block()

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.done
