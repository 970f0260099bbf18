"""A world: one database, several processes with threads, a network between them, and what each call came to.

A `Plan` says who calls what (`plans`). It is drawn from a seed and can be cut down; `World.run` plays it. Whatever is
drawn during the run (delays, faults) is drawn for one call by its place in the whole plan. So what is cut away changes
nothing for the others, except that it is no longer there.
"""

from __future__ import annotations

import functools
import logging
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any, Protocol

from datastore import AgentDataStore, DataStore, DataStoreError, forks
from datastore.backend import Backend
from datastore.calls.leases import Lease
from datastore.conformance.simulation.databases import Database, MadeAnew
from datastore.conformance.simulation.history import BEGAN, Call
from datastore.conformance.simulation.interrupts import LINES, Interrupted, forget_results
from datastore.conformance.simulation.luck import Luck
from datastore.conformance.simulation.network import Client
from datastore.conformance.simulation.plans import CallPlan, Plan, ProcessPlan, Seen, ThreadPlan
from datastore.conformance.simulation.scheduling import Killed, Scheduler, Task
from datastore.conformance.simulation.seams import simulated
from datastore.core import Core

GRID = 64
"""Clocks show multiples of this many microseconds, plus one of their own. So no two records are created at the same
time, by which the store tells a record from its successor."""
MAX_SECONDS = 30.0
"""The deadline of a call."""
_BAD_CONNECTIONS = 3
_LOOKS = 0.0005  # seconds between two looks at the threads, before a fork


class Sight(dict[str, str]):
    """What a thread knows: the revision at which it has last seen each key, and the store of its process."""

    def __init__(
        self,
        host: DataStore,
        clock: Callable[[], float],
        fork: Callable[[str], None],
        wait: Callable[[float], object] = lambda seconds: None,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        super().__init__()
        self.host = host
        self.clock = clock
        self.fork = fork
        """See `Process.fork`."""
        self.wait = wait
        """Does nothing for some seconds."""
        self.now = now
        """Returns the simulated time."""
        self.lease: Lease[AgentDataStore] | None = None
        """The lease that the thread has, or had."""
        self.notes: dict[str, Any] = {}
        """What the current call has found out, whatever becomes of it."""


class Doing(Protocol):
    """Makes a call: given the agent's store, what its thread has seen, and the arguments."""

    def __call__(self, store: AgentDataStore, seen: Sight, *arguments: Any) -> Any:
        """Return what the history is to have as its result."""


def said_by(error: DataStoreError) -> str:
    """Return an error as the story tells it."""
    return _without_path(f"{type(error).__name__}: {error.message}")


def _without_path(text: str) -> str:
    """Return a text without a path of this machine, which is another one in each run."""
    return re.sub(r"/\S*/(\w+\.db)", r"\1", text)


def _came_to(call: Call, is_audit: bool) -> str:
    """Return the line of the story for a call that has ended."""
    said = f"-> {call.result!r}" if call.error is None else f"-> {said_by(call.error)}"
    return f"{call} {said}" if is_audit else f"{call.name} {said}"[:300]


class Process:
    """One process: a store over the database, a clock, and threads."""

    def __init__(self, world: World, plan: ProcessPlan, lives: int = 0) -> None:
        self.world = world
        self.plan = plan
        self.name = f"p{plan.number}" + "'" * lives
        self.offset = plan.skew
        self.lives = lives
        self.is_dead = False
        self.has_ended = False
        self.is_spared = False
        """Whether nothing happens to its requests for the time being."""
        self.is_child = False
        """Whether it goes on as the child of a fork, to which the connections of its parent do not belong."""
        self._tasks: list[Task] = []
        self.store: DataStore
        self.cores: tuple[Core, ...] = ()
        """What its stores are made of."""
        self._running = 0
        self._made = 0
        self._shown = 0

    def start(self, places: dict[int, int]) -> None:
        """Open the store and begin the threads.

        Args:
            places: With which of its calls each thread goes on, by the thread's number.
        """
        self.places = places
        self.world.processes.append(self)
        if self.world.database.connects:
            task = self.task(f"{self.name}.open")
            self.world.scheduler.spawn(task, lambda: self._connect(task))
        else:
            self.open()

    def _connect(self, task: Task) -> None:
        """Connect to the database. If that fails again and again, it is spared further faults."""
        world = self.world
        attempts = self.lives
        task.label = f"p{self.plan.number}.open{self.lives or ''}"
        while True:
            self.is_spared = attempts >= _BAD_CONNECTIONS
            attempts += 1
            made = world.made_anew
            try:
                self.open()
            except DataStoreError as error:
                world.tell(task.name, f"connect -> {said_by(error)}"[:300])
                # While somebody makes the database again, the error may say to connect again, and so it is done.
                if self.is_spared and not error.retryable and world.made_anew == made:
                    world.faults.append(f"{task.name} cannot connect: {said_by(error)}")
                    world.ended()
                    return
                world.scheduler.sleep(1.0)
            else:
                self.is_spared = False
                return

    def open(self) -> None:
        """Open the store, and begin the threads."""
        self.keep(self.world.database.adapter(Client(self.world, self)))
        self.begin()

    def keep(self, backend: Backend, **options: Any) -> None:
        """Make its store, over a backend."""
        options = self.plan.options | options
        self.store = DataStore(backend, clock=self.clock, max_seconds=MAX_SECONDS, **options)
        self.cores = (self.store._core,)
        self.world.cores += self.cores

    def agent(self, thread: ThreadPlan, name: str) -> AgentDataStore:
        """Return the store that a thread works with."""
        return self.store.agent(thread.user, name, thread.namespace)

    def close(self) -> None:
        """Close what it has opened."""
        self.store.close()

    def makes(self, name: str) -> bool:
        """Return whether a call can be made in this process."""
        return True

    def calls_of(self, task: Task) -> Iterable[Call]:
        """Return the calls that a task of this process is at work for."""
        call = self.world.calls.get(task)
        return () if call is None else (call,)

    def interrupt(self, task: Task) -> None:
        """Let an interrupt arrive soon in the call that a task is at work for."""
        if task in self.world.calls:
            self.world.interrupting[task] = int(task.random.expovariate(1 / LINES))

    @property
    def timekeeper(self) -> Process:
        """The process whose clock its calls go by."""
        return self

    @property
    def is_served(self) -> bool:
        """Whether a server makes its calls."""
        return False

    def begin(self) -> None:
        """Begin the threads."""
        world = self.world
        self._running = len(self.plan.threads)
        for thread in self.plan.threads:
            task = self.task(f"{self.name}.t{thread.number}")
            world.scheduler.spawn(task, functools.partial(self._live, thread, task))

    def task(self, name: str) -> Task:
        """Return a new task of this process."""
        self._made += 1
        task = Task(name, self, Random(f"{self.world.plan.seed} {name} {self._made}"))
        self._tasks.append(task)
        return task

    def shows(self) -> int:
        """Return what its clock shows now to whoever looks first, in microseconds since the epoch."""
        return int((BEGAN + self.world.scheduler.now + self.offset) * 1e6) // GRID * GRID + self.plan.number

    def clock(self) -> float:
        """Return the time, as this process has it."""
        world = self.world
        world.scheduler.look()
        shown = self.shows()
        while shown in world.shown:
            shown += GRID
        world.shown.add(shown)
        task = world.scheduler.current
        if task is not None:
            for call in self.calls_of(task):
                call.low, call.high = min(call.low, shown), max(call.high, shown)
        return shown / 1e6

    def kill(self) -> None:
        """End this process where it is, and start it again later."""
        self.die()
        raise Killed

    def die(self) -> None:
        """End this process, which may be another one than the current task's, and start it again later."""
        world = self.world
        if not self.is_dead:
            self.is_dead = True
            world.killed += 1
            world.tell(self.name, "is killed")
            for task in self._tasks:
                if not task.done and not task.vanished:
                    world.scheduler.kill(task)
            again = type(self)(world, self.plan, self.lives + 1)
            again.offset = self.offset
            world.scheduler.later(0.5, lambda: again.start(dict(self.places)))

    def fork(self, goes_on: str) -> None:
        """Fork as `datastore.forks` does, with the store of this process; no real fork takes place.

        Args:
            goes_on: ``"parent"``: the child ends at once, and nothing is seen of it. ``"child"``: the parent ends at
                once, as a daemon's does. The child has the parent's store as it was, and of its threads this one alone.
        """
        scheduler, cores = self.world.scheduler, self.cores
        me, until = scheduler._me(), scheduler.now + forks.SECONDS
        for core in cores:
            core.hold()
        clean = True
        while self._others_are_inside(me):
            if scheduler.now > until:
                clean = False
                break
            scheduler.doze(_LOOKS, until)
        if clean:
            for core in cores:
                core.before_fork()
        if goes_on == "parent":
            for core in cores:
                core.resume()
            return
        self.world.killed += 1  # what the parent had counted and not written is lost
        for task in self._tasks:
            if task is not me and not task.done and not task.vanished:
                scheduler.vanish(task)
        self._running = 1
        self.is_child = True
        for core in cores:
            core.after_fork(clean)

    def _others_are_inside(self, me: Task) -> bool:
        # A call under way may start a thread, as the first of a lease does: who was there before is not enough.
        frames = sys._current_frames()
        return any(
            not task.done and not task.vanished and forks._is_inside(frames.get(task.ident or 0), core)
            for task in self._tasks
            if task is not me
            for core in self.cores
        )

    def _live(self, plan: ThreadPlan, task: Task) -> None:
        world = self.world
        seen = Sight(self.store, self.clock, self.fork, world.scheduler.sleep, lambda: world.scheduler.now)
        store = self.agent(plan, task.name)
        while self.places[plan.number] < len(plan.calls):
            call = plan.calls[self.places[plan.number]]
            task.label = f"p{self.plan.number}.t{plan.number}.{call.number}"
            task.random, task.requests, task.helpers = Random(f"{world.plan.seed} {task.label}"), 0, 0
            world.scheduler.sleep(call.pause)
            self.places[plan.number] += 1
            if self.makes(call.name):
                world.make(task, store, seen, plan, call)
        self._running -= 1
        if not self._running:
            task.label, task.requests = f"p{self.plan.number}.close", 0
            self.close()
            self.has_ended = True
            left_open: Callable[[Process], int] | None = getattr(world.database, "left_open", None)
            if left_open is not None and not self.is_child and (connections := left_open(self)):
                world.faults.append(f"{self.name} has left {connections} connections open")
            world.ended()


class World:
    """Everything of one run."""

    def __init__(self, plan: Plan, database: Database, doing: Callable[[str], Doing]) -> None:
        self.plan = plan
        self.luck = plan.luck
        self.database = database
        self.doing = doing
        self.scheduler = Scheduler()
        self.calm = False
        """Whether nothing goes wrong any more."""
        self.killed = 0
        """How many processes were killed."""
        self.uncounted = 0
        """How many times accesses were given up."""
        self.happened: dict[str, str] = {}
        """The requests that something happened to, and what."""
        self.down_until = 0.0
        """Until when the database is down."""
        self.restarts = 0
        """How often it was stopped."""
        self.made_anew = 0
        """How often it was removed and made again."""
        self.history: list[Call] = []
        self.calls: dict[Task, Call] = {}
        """What each task is doing now."""
        self.interrupting: dict[Task | None, int] = {}
        """After how many lines an interrupt arrives in a task, when its request has ended."""
        self.shown: set[int] = set()
        self.processes: list[Process] = []
        """All that have begun, the dead ones among them."""
        self.cores: list[Core] = []
        """What all stores are made of, so that the garbage collector closes none of them."""
        self.left = len(plan.processes)
        """How many processes of the plan have not ended."""
        self.story: list[tuple[float, str, str | Callable[[], str]]] = []
        self.faults: list[str] = []
        """What no run may have."""
        self._moment = 0

    @property
    def may_be_interrupted(self) -> bool:
        """Whether an interrupt may arrive, which makes a difference between one line of the package and the next."""
        faults = self.luck.rates if self.plan.faults is None else self.plan.faults.values()
        return "interrupted" in faults

    def tell(self, who: str, what: str | Callable[[], str]) -> None:
        """Add a line to the story, or a function that returns one."""
        self.story.append((self.scheduler.now, who, what))

    def note(self, task: Task, fault: str) -> None:
        """Note what happened to a request of a call."""
        for call in task.owner.calls_of(task):
            call.faults.append(fault)

    def strike(self, task: Task, fault: str) -> None:
        """Note what happened to a request of a call on its way to a server."""
        if (call := self.calls.get(task)) is not None:
            call.strikes.append(fault)

    def ended(self) -> None:
        """Note that a process of the plan has ended."""
        self.left -= 1
        end: Callable[[], None] | None = getattr(self.database, "end", None)
        if not self.left and end is not None:
            end()

    def restart(self, how: float) -> None:
        """Stop the database, and start it again. It keeps what it has acknowledged.

        Args:
            how: From -20 to 20: how long that takes.
        """
        self.restarts += 1
        self.down_until = self.scheduler.now + abs(how) / 10
        self.tell("database", "is stopped")

    def make_anew(self) -> None:
        """Let an administrator remove the database, and make one that is empty."""
        assert isinstance(self.database, MadeAnew)
        if not self.database.make_anew():
            return
        self.made_anew += 1
        self.tell("database", "is made anew")
        self.killed += 1  # accesses are lost with what they were counted of
        for user in self.users:
            self.happens("(made anew)", (), user, {})

    def happens(self, name: str, arguments: tuple[Any, ...], user: str, notes: dict[str, Any]) -> None:
        """Note something that happens to the database, in the history as a call that nobody makes."""
        moment = self._moment_now()
        call = Call("database", "database", user, "ns", name, arguments, moment, self.scheduler.now, limits=frozenset())
        call.returned, call.ended, call.notes = self._moment_now(), self.scheduler.now, notes
        call.low = call.high = BEGAN * 1e6
        self.history.append(call)

    @property
    def users(self) -> list[str]:
        """The users of the run."""
        return sorted({thread.user for process in self.plan.processes for thread in process.threads})

    def make(self, task: Task, store: AgentDataStore, seen: Sight, who: ThreadPlan, plan: CallPlan) -> None:
        """Make a call, and note what it comes to."""
        arguments = tuple(
            seen.get(argument.key, "r0") if isinstance(argument, Seen) else argument for argument in plan.arguments
        )
        call = Call(
            task.owner.name,
            task.name,
            who.user,
            who.namespace,
            plan.name,
            arguments,
            self._moment_now(),
            self.scheduler.now,
            limits=self.database.limits,
            served=task.owner.is_served,
        )
        self.history.append(call)
        self.calls[task] = call
        seen.notes = call.notes
        if not self.calm:
            self.tell(task.name, lambda: f"{call} for {who.user}")
        clock = task.owner.timekeeper.shows()
        try:
            try:
                call.result = self.doing(plan.name)(store, seen, *arguments)
            finally:
                # An interrupt may have come too late. What notes the end of the call is no part of it, and uses the
                # package as well: a second interrupt would be raised there, in the place of the first.
                sys.settrace(None)
        except DataStoreError as error:
            call.error = error
        except Interrupted:
            call.error = DataStoreError("it was interrupted")
        except Exception as error:  # noqa: BLE001 - no call may raise anything else
            self.faults.append(f"{call} of {task.name} raised {type(error).__name__}: {error}")
            call.error = DataStoreError("")
        finally:
            del self.calls[task]
        call.returned, call.ended = self._moment_now(), self.scheduler.now
        if call.error is None and call.low > call.high:
            # Whoever does not look at the clock must not see what has expired either.
            call.low, call.high = sorted((clock, task.owner.timekeeper.shows()))
        if call.name.startswith(
            "blob_"
        ):  # whoever puts a blob also removes what has expired by the clock of its process
            call.reaped = max(call.reaped, max(self.shown, default=call.reaped))
        self.tell(task.name, functools.partial(_came_to, call, self.calm))

    def _replaced(self) -> Iterable[tuple[Any, str, Any]]:
        replaced: Callable[[World], Iterable[tuple[Any, str, Any]]] | None = getattr(self.database, "replaced", None)
        return () if replaced is None else replaced(self)  # `isinstance` of a protocol takes 20 µs

    def _moment_now(self) -> float:
        self._moment += 1
        return self._moment

    def run(self) -> None:
        """Play the plan, and then look at what is there."""
        if self.may_be_interrupted:
            forget_results()
        logger = logging.getLogger("datastore")
        handler = _Reporting(self)
        propagates, logger.propagate = logger.propagate, False
        logger.addHandler(handler)
        try:
            with simulated(self.scheduler, self.plan.seed, self._replaced()):
                make: Callable[[World, ProcessPlan], Process] = getattr(self.database, "process", Process)
                begin: Callable[[World], None] | None = getattr(self.database, "begin", None)
                if begin is not None:
                    begin(self)
                for process in self.plan.processes:
                    make(self, process).start({thread.number: 0 for thread in process.threads})
                self.scheduler.run()
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagates
            for core in self.cores:
                core._left.detach()
        if self.scheduler.problem is not None:
            self.faults.append(self.scheduler.problem)

    def look(self, places: Sequence[tuple[str, str]], calls: Sequence[CallPlan]) -> None:
        """Let one more process make calls when all others have ended, and nothing goes wrong any more.

        Args:
            places: The users with the namespaces in which to make them.
            calls: The calls. Their results are in the history.
        """
        scheduler = Scheduler()
        scheduler.now = self.scheduler.now + MAX_SECONDS
        self.scheduler, self.calm, self.luck = scheduler, True, Luck({}, 0.0)
        threads = tuple(ThreadPlan(number, *place, tuple(calls)) for number, place in enumerate(places))
        with simulated(scheduler, f"{self.plan.seed} audit", self._replaced()):
            process = Process(self, ProcessPlan(GRID - 1, 0.0, {"tracking": "off"}, threads))
            process.name = "audit"
            process.start({thread.number: 0 for thread in threads})
            scheduler.run()
        for core in self.cores:
            core._left.detach()
        if scheduler.problem is not None:
            self.faults.append(scheduler.problem)


class _Reporting(logging.Handler):
    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        message = _without_path(record.getMessage())
        self._world.tell("log", message)
        if record.levelno >= logging.ERROR:
            cause = "" if record.exc_info is None else f": {record.exc_info[1]!r}"
            self._world.faults.append(f"logged: {message}{cause}")
        elif "lost" in message or "dropped" in message:
            self._world.uncounted += 1
