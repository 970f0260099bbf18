"""Served use: agents that reach the store through a server, with its application and its client as they are.

The server is a process of the world like others: it has a clock of its own, its threads wait in simulated time, its
requests to the database suffer bad luck, and it is killed and started again. Between it and the agents are connections
(`served_wire`), on which requests and answers are lost, cut, and late. Some processes of a run have a store over the
database itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from random import Random
from types import SimpleNamespace
from typing import Any

from datastore import AgentDataStore, connect, tokens
from datastore.backend import Backend
from datastore.blobs import steps, uploads
from datastore.calls import lending
from datastore.conformance.simulation.around.memory import EMBEDDER
from datastore.conformance.simulation.databases import Closing, Database
from datastore.conformance.simulation.history import SERVED_AGENT, Call
from datastore.conformance.simulation.names import SPACE
from datastore.conformance.simulation.network import Client
from datastore.conformance.simulation.plans import ProcessPlan, ThreadPlan
from datastore.conformance.simulation.scheduling import Task
from datastore.conformance.simulation.world import GRID, MAX_SECONDS, Process, World
from datastore.remote import addresses, answers, connections, leases, runs, served, transport
from datastore.remote import blobs as remote_blobs
from datastore.remote.agent import RemoteAgentDataStore
from datastore.scope import scope_of
from datastore.server import access, app, fairness, running
from datastore.server.app import Application, create_app
from datastore.server.settings import ServerLimits
from datastore.wire import answered
from tests.simulation import loops
from tests.simulation.loops import Loop, here
from tests.simulation.served_wire import Poll, Request, Wire
from tests.simulation.tokens import TokenDatabase

_SERVED = 0.75
"""So many of the processes are served."""
_URL = "http+unix:///store.sock"
_HOSTS = frozenset({"copy", "import", "ensure_index", "vault_add", "vault_vectors", "vault_delete", "vault_similar"})
"""The calls that are the host's alone."""
_TIMED = (access, answered, app, fairness, lending, running)
_TIMED += (answers, connections, leases, runs, transport)
"""The modules that look at a clock, of the server and of its client."""

_serving: ContextVar[Request | None] = ContextVar("serving", default=None)
"""The request that a coroutine or a thread of the server is at work for."""


class ServedDatabase:
    """A database with a server before it.

    Args:
        application: The class of the server's application.
        more: What else is replaced in a run: a module, a name in it, and the replacement.
        inner: The database.
    """

    connects = True

    def __init__(
        self,
        application: type[Application] = Application,
        more: Iterable[tuple[Any, str, Any]] = (),
        inner: Callable[[], Database] = TokenDatabase,
    ) -> None:
        self._application = application
        self._more = tuple(more)
        self.inner = inner()
        # With the tokens, which the host has made, everybody would lose what it reaches the store with.
        self.faults = self.inner.faults - {"made anew"} | {"answer cut"}
        self.limits = self.inner.limits
        self.server: Server | None = None
        self.secrets: dict[str, str] = {}
        """The tokens, by their user."""
        self.loops: list[Loop] = []
        self.expected = 0
        """How many requests have not arrived yet."""
        self.is_ending = False

    def adapter(self, client: Client) -> Backend:
        """See `Database.adapter`."""
        return self.inner.adapter(client)

    def process(self, world: World, plan: ProcessPlan) -> Process:
        """See `Peopled.process`."""
        is_served = Random(f"{world.plan.seed} served {plan.number}").random() < _SERVED
        return (Sandbox if is_served else Process)(world, plan)

    def begin(self, world: World) -> None:
        """See `Peopled.begin`."""
        random = Random(f"{world.plan.seed} server")
        differ = any(process.skew for process in world.plan.processes)
        options = {"tracking": random.choice(("deferred", "immediate")), "flush_interval": random.choice((0.01, 1.0))}
        Server(world, ProcessPlan(GRID - 2, random.uniform(-5.0, 5.0) if differ else 0.0, options, ())).start({})

    def end(self) -> None:
        """See `Peopled.end`."""
        self.is_ending = True
        if self.server is not None:
            self.server.wake()

    def replaced(self, world: World) -> Iterator[tuple[Any, str, Any]]:
        """See `Replacing.replaced`."""
        scheduler = world.scheduler

        def reach(address: addresses.Address, timeout: float | None) -> Wire:
            task = scheduler._me()
            process, server = task.owner, self.server
            if server is None or not server.listens:
                scheduler.sleep(world.luck.delay(task.random))
                raise ConnectionRefusedError(111, "Connection refused")
            wire = Wire(Client(world, process), server)
            process.wires[wire] = None
            return wire

        yield from loops.replaced(scheduler)
        times = loops.times_of(scheduler)
        for module in _TIMED:
            yield module, "time", times
        yield served, "time", SimpleNamespace(time=here(scheduler, lambda: scheduler._me().owner.clock(), time.time))
        bits = Random(f"{world.plan.seed} tokens")
        yield tokens, "os", SimpleNamespace(urandom=here(scheduler, bits.randbytes, tokens.os.urandom))
        yield addresses.Address, "open", reach
        yield connections, "select", SimpleNamespace(poll=Poll, POLLIN=1)
        yield app, "Application", self._application
        for module in (remote_blobs, steps):  # as in `seams`
            yield module, "PART", uploads.PART
        yield steps, "REQUEST", uploads.REQUEST
        inner: Callable[[World], Iterable[tuple[Any, str, Any]]] | None = getattr(self.inner, "replaced", None)
        yield from () if inner is None else inner(world)
        yield from self._more

    def left_open(self, process: Process) -> int:
        """See `Connected.left_open`."""
        return len(process.wires) if isinstance(process, Sandbox) else 0

    def close(self) -> None:
        """See `Closing.close`."""
        for loop in self.loops:
            loop.give_up()
        if isinstance(self.inner, Closing):
            self.inner.close()


class Sandbox(Process):
    """A process that reaches the store through the server, with a token for each of its users."""

    def __init__(self, world: World, plan: ProcessPlan, lives: int = 0) -> None:
        super().__init__(world, plan, lives)
        self.wires: dict[Wire, None] = {}
        """Its connections."""
        self._stores: dict[str, RemoteAgentDataStore] = {}
        self._database: ServedDatabase = world.database  # type: ignore[assignment]  # it has made this

    @property
    def timekeeper(self) -> Process:
        """See `Process.timekeeper`."""
        assert self._database.server is not None
        return self._database.server

    @property
    def is_served(self) -> bool:
        """See `Process.is_served`."""
        return True

    def open(self) -> None:
        """See `Process.open`."""
        while not self._database.secrets:
            self.world.scheduler.sleep(0.01)
        for user in sorted({thread.user for thread in self.plan.threads} - self._stores.keys()):
            opened = connect(_URL, token=self._database.secrets[user], max_seconds=MAX_SECONDS)
            assert isinstance(opened, RemoteAgentDataStore)
            self._stores[user] = opened
            self.cores += (core := scope_of(opened).core.root,)
            self.world.cores.append(core)
        self.store = None  # type: ignore[assignment]  # that is the host's
        self.begin()

    def agent(self, thread: ThreadPlan, name: str) -> AgentDataStore:
        """See `Process.agent`."""
        store = self._stores[thread.user]
        return store if thread.namespace == store.namespace else store.use_namespace(thread.namespace)

    def close(self) -> None:
        """See `Process.close`."""
        for store in self._stores.values():
            store.close()

    def makes(self, name: str) -> bool:
        """See `Process.makes`."""
        return name not in _HOSTS

    def calls_of(self, task: Task) -> Iterable[Call]:
        """See `Process.calls_of`: it is at work for none, since the server is."""
        return ()

    def fork(self, goes_on: str) -> None:
        """See `Process.fork`."""
        super().fork(goes_on)
        if goes_on == "child":
            for core in self.cores:
                served.transport_of(core).after_fork()


class Server(Process):
    """The process of the server."""

    def __init__(self, world: World, plan: ProcessPlan, lives: int = 0) -> None:
        super().__init__(world, plan, lives)
        self.name = "server" + "'" * lives
        self.wires: dict[Wire, None] = {}
        """The connections to it."""
        self.listens = False
        self._database: ServedDatabase = world.database  # type: ignore[assignment]  # it has made this
        self._database.server = self
        self._requests: dict[Request, None] = {}
        """Those that it is at work at."""
        self._loop = Loop(world.scheduler)
        self._database.loops.append(self._loop)
        self._application: Application

    @property
    def is_spared(self) -> bool:  # type: ignore[override]  # of others it is a variable
        """See `Process.is_spared`. What it does for a process that is spared is spared as well."""
        request = _serving.get()
        return self._mints or (request is not None and request.is_spared)

    @is_spared.setter
    def is_spared(self, spared: bool) -> None:
        self._mints = spared

    def start(self, places: dict[int, int]) -> None:
        """See `Process.start`."""
        self.places = places
        if not self._database.is_ending:
            self.world.processes.append(self)
            task = self.task(f"{self.name}.loop")
            self.world.scheduler.spawn(task, self._serve)

    def task(self, name: str) -> Task:
        """See `Process.task`. Its threads have one name, and are told apart by their number."""
        task = super().task(name)
        task.label = f"{name}.{self._made}"
        return task

    def _serve(self) -> None:
        world, database = self.world, self._database
        random = Random(f"{world.plan.seed} {self.name}")
        self.keep(database.adapter(Client(world, self)))
        self.store._core.embedder = EMBEDDER
        if not database.secrets:
            self.is_spared = True  # nothing begins before
            database.secrets = {user: self.store.tokens.mint(user, SERVED_AGENT, SPACE) for user in world.users}
            self.is_spared = False
        limits = ServerLimits(token_seconds=random.choice((0.0, 0.05, 1.0)), calls_at_once=random.choice((1, 2, 16)))
        self._application = create_app(self.store, limits=limits, describe=False)
        self.listens = True
        world.tell(self.name, "listens")
        self._loop.run_until_complete(self._until_the_end())
        self.listens = False
        self._application.stop()
        self.store.close()
        self.has_ended = True
        world.faults += [f"{self.name} holds on to {what}" for what in self._left()]

    async def _until_the_end(self) -> None:
        while not self._database.is_ending or self._requests or self._database.expected:
            self._changed = self._loop.create_future()
            await self._changed

    def _left(self) -> Iterator[str]:
        """Yield what is left of the requests, when all have been answered."""
        if self._application._bodies:
            yield "bodies"
        for holder in self._application.access._holders.values():
            family = holder.family
            if family.bodies or family.answers_bytes:
                yield "bytes of a token"
            if any(one.active or one.waiting for one in (family.short, family.long, family.embedding, family.listings)):
                yield "places of a token"

    def wake(self) -> None:
        """Let it look whether it has ended, from any thread."""
        if self.listens:
            self._loop.from_outside(self._look)

    def _look(self) -> None:
        if not self._changed.done():
            self._changed.set_result(None)

    def expect(self, request: Request, seconds: float) -> None:
        """Let a request arrive after some time, whatever has become of the server by then."""
        self._database.expected += 1

        def arrives() -> None:
            self._database.expected -= 1
            if self.listens:
                self._requests[request] = None
                self._loop.from_outside(self._begin, request)
            else:
                request.dropped()
                if self._database.server is not None:
                    self._database.server.wake()

        self.world.scheduler.later(seconds, arrives)

    def _begin(self, request: Request) -> None:
        self._loop.create_task(self._answer(request))

    async def _answer(self, request: Request) -> None:
        _serving.set(request)
        try:
            await self._application(request.scope, request.receive, request.send)
        except Exception as error:  # noqa: BLE001 - the application answers whatever happens
            self.world.faults.append(f"{self.name} failed at {request.path}: {type(error).__name__}: {error}")
        finally:
            self._requests.pop(request, None)
            self._look()

    def calls_of(self, task: Task) -> Iterable[Call]:
        """See `Process.calls_of`. Reads that have gathered, and what is done besides, are for all of them."""
        request = _serving.get()
        requests = list(self._requests) if request is None else (request,)
        return [one.call for one in requests if one.call is not None]

    def crash(self) -> None:
        """Let it be killed by somebody else."""
        if not self.is_dead and not self.has_ended:
            self.die()

    def die(self) -> None:
        """See `Process.die`."""
        self.listens = False
        self._requests.clear()
        for wire in list(self.wires):
            wire.hang_up()
        super().die()
