"""A pool of simulated threads, in place of `concurrent.futures.ThreadPoolExecutor`."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from datastore.conformance.simulation.scheduling import Task
from datastore.conformance.simulation.world import World


class Pool:
    """Carries out functions in tasks of the process that asks. They belong to the call that asks: what happens to them
    happens to it. No more than a given number run at once."""

    def __init__(self, world: World, most: int) -> None:
        self._world = world
        self._most = most
        self._running = 0
        self._waiting: list[tuple[Promise, Callable[[], Any], Task]] = []

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Promise:
        """Let a task call a function, and return what will be its result."""
        promise = Promise(self._world)
        self._waiting.append((promise, lambda: function(argument), self._world.scheduler._me()))
        self._go_on()
        return promise

    def shutdown(self) -> None:
        """Nothing is left to do: no task waits for further work."""

    def _go_on(self) -> None:
        while self._waiting and self._running < self._most:
            self._running += 1
            self._begin(*self._waiting.pop(0))

    def _begin(self, promise: Promise, work: Callable[[], Any], parent: Task) -> None:
        world = self._world
        parent.helpers += 1
        task = parent.owner.task(f"{parent.name}+{parent.helpers}")
        task.label = f"{parent.label}+{parent.helpers}"  # by its place in the call, as a request of the call itself
        task.random = Random(f"{world.plan.seed} {task.label}")

        def run() -> None:
            if (call := world.calls.get(parent)) is not None:
                world.calls[task] = call
            try:
                promise.settle(work(), None)
            except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
                promise.settle(None, error)
            finally:
                world.calls.pop(task, None)
            self._running -= 1
            self._go_on()

        world.scheduler.spawn(task, run)


class Promise:
    """As `concurrent.futures.Future`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: list[Task] = []
        self._settled = False
        self._result: Any = None
        self._error: Exception | None = None

    def settle(self, result: Any, error: Exception | None) -> None:
        """Give it its result."""
        self._settled, self._result, self._error = True, result, error
        for task in self._waiting:
            self._world.scheduler.wake(task)

    def exception(self) -> Exception | None:
        """Wait, and return what was raised."""
        scheduler = self._world.scheduler
        while not self._settled:
            self._waiting.append(scheduler._me())
            scheduler.block()
        return self._error

    def result(self) -> Any:
        """Wait, and return the result."""
        if (error := self.exception()) is not None:
            raise error
        return self._result
