"""A store whose synchronous calls are made by its awaited twin on an event loop in another thread.

It is how tests that know only synchronous calls run through the twin: the whole conformance kit does so.
"""

import asyncio
import functools
import io
import os
import threading
from collections.abc import Awaitable, Iterator
from inspect import isawaitable

from datastore import (
    AgentDataStore,
    AsyncAgentDataStore,
    AsyncDataStore,
    Blobs,
    DataStore,
    KeyValueStore,
    Log,
    Memory,
    Runs,
    Tokens,
    Vault,
    VectorVault,
)
from datastore.scope import Stream, scope_of

_SEPARATE = frozenset(
    {"agent", "host", "use_namespace", "vault", "key_value", "blobs", "memory", "runs", "asynchronous"}
)
"""What makes no request. (Properties are left alone as well.)"""


LOOP = "the tests' loop"


@functools.cache
def _loop_of(process: int) -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=LOOP, daemon=True).start()
    return loop


def on_the_loop(awaitable: Awaitable):
    """Await something on the loop of this process, and return or raise what it returns or raises."""

    async def awaited():
        return await awaitable

    assert threading.current_thread().name != LOOP, "the loop would wait for itself"
    return asyncio.run_coroutine_threadsafe(awaited(), _loop_of(os.getpid())).result()


def later_on_the_loop(coroutine) -> None:
    """Let the loop of this process run something, without waiting for it."""
    asyncio.run_coroutine_threadsafe(coroutine, _loop_of(os.getpid()))


def _items(items) -> Iterator:
    while True:
        try:
            yield on_the_loop(anext(items))
        except StopAsyncIteration:
            return


def _call(name: str, original):
    @functools.wraps(original)
    def call(self, *args, **kwargs):
        result = getattr(self._twin(), name)(*args, **kwargs)
        return on_the_loop(result) if isawaitable(result) else Stream(_items(result))

    return call


def looped(kind: type) -> type:
    """Replace every call that a class has from its base by one through the twin."""
    for name, original in {name: getattr(kind, name) for name in dir(kind)}.items():
        if not name.startswith("_") and name not in {*_SEPARATE, *vars(kind)} and callable(original):
            setattr(kind, name, _call(name, original))
    return kind


@looped
class LoopedAgent(AgentDataStore):
    __slots__ = ()

    def _twin(self) -> AsyncAgentDataStore:
        return AsyncAgentDataStore(AgentDataStore(scope_of(self)))

    def __contains__(self, key):
        return self.exists(key)

    def lease(self, *args, **kwargs):
        return LoopedLease(on_the_loop(self._twin().lease(*args, **kwargs)), type(self))

    def lock(self, *args, **kwargs):
        return LoopedLock(self._twin().lock(*args, **kwargs), type(self))

    def log(self, name):
        return LoopedLog(AgentDataStore(scope_of(self)), name)

    @property
    def runs(self):
        return LoopedRuns(scope_of(self), AgentDataStore)

    def vector_vault(self, name):
        return LoopedVectorVault(AgentDataStore(scope_of(self)), name)

    @property
    def vault(self):
        return LoopedVault(AgentDataStore(scope_of(self)), "")

    @property
    def key_value(self):
        return LoopedKeyValue(AgentDataStore(scope_of(self)))

    @property
    def blobs(self):
        return LoopedBlobs(AgentDataStore(scope_of(self)))

    @property
    def memory(self):
        return LoopedMemory(AgentDataStore(scope_of(self)))


@looped
class LoopedMemory(Memory):
    __slots__ = ("_agent",)

    def __new__(cls, agent: AgentDataStore):
        self = super().__new__(cls, scope_of(agent))
        self._agent = agent
        return self

    def _twin(self):
        return self._agent.asynchronous.memory


@looped
class LoopedBlobs(Blobs):
    __slots__ = ("_agent",)

    def __new__(cls, agent: AgentDataStore):
        self = super().__new__(cls, scope_of(agent))
        self._agent = agent
        return self

    def _twin(self):
        return self._agent.asynchronous.blobs

    def open(self, name):
        return io.BufferedReader(LoopedReader(on_the_loop(self._twin().open(name))))


class LoopedReader(io.RawIOBase):
    """Reads by an `AsyncBlobReader`."""

    def __init__(self, reader) -> None:
        self._reader = reader

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        return on_the_loop(self._reader.seek(offset, whence))

    def tell(self):
        return on_the_loop(self._reader.tell())

    def readinto(self, buffer):
        some = on_the_loop(self._reader.read(len(buffer)))
        buffer[: len(some)] = some
        return len(some)

    def close(self):
        """Close it there, without waiting: the garbage collector calls this too, and on the loop as well."""
        if not self.closed:
            later_on_the_loop(self._reader.close())
        super().close()


class LoopedLease:
    """An awaited lease, whose store makes its calls on the loop as well."""

    def __init__(self, lease, kind):
        self._lease = lease
        self._kind = kind

    @property
    def data_store(self):
        return self._kind(scope_of(self._lease.data_store.sync))

    def __getattr__(self, name):
        member = getattr(self._lease, name)
        return (lambda: on_the_loop(member())) if name in ("renew", "release") else member

    def __enter__(self):
        return self

    def __exit__(self, *_):
        on_the_loop(self._lease.__aexit__(None, None, None))


class LoopedLock:
    """An awaited lock."""

    def __init__(self, lock, kind):
        self._lock = lock
        self._kind = kind

    def __enter__(self):
        return LoopedLease(on_the_loop(self._lock.__aenter__()), self._kind)

    def __exit__(self, *_):
        on_the_loop(self._lock.__aexit__(None, None, None))


@looped
class LoopedRuns(Runs):
    __slots__ = ()

    agents = LoopedAgent

    def _twin(self):
        return self._store(scope_of(self)).asynchronous.runs

    def start(self, *args, **kwargs):
        return LoopedRun(on_the_loop(self._twin().start(*args, **kwargs)), self.agents)

    def resume(self, *args, **kwargs):
        return LoopedRun(on_the_loop(self._twin().resume(*args, **kwargs)), self.agents)


class LoopedRun:
    """An awaited run."""

    def __init__(self, run, agents):
        self._run = run
        self._agents = agents

    @property
    def data_store(self):
        return self._agents(scope_of(self._run.data_store.sync))

    def __getattr__(self, name):
        member = getattr(self._run, name)
        if not callable(member):
            return member
        return lambda *args, **kwargs: on_the_loop(member(*args, **kwargs))

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        return on_the_loop(self._run.__aexit__(*raised))


@looped
class LoopedVault(Vault):
    __slots__ = ()

    def _twin(self):
        return self._records.asynchronous.vault


@looped
class LoopedVectorVault(VectorVault):
    __slots__ = ()

    def _twin(self):
        return self._store.asynchronous.vector_vault(self._name)


@looped
class LoopedKeyValue(KeyValueStore):
    __slots__ = ()

    def _twin(self):
        return self._records.asynchronous.key_value(self._scopes)

    def __call__(self, scopes=None):
        return LoopedKeyValue(self._records, scopes)


@looped
class LoopedLog(Log):
    __slots__ = ()

    def _twin(self):
        return self._logs.asynchronous.log(self._name)


@looped
class LoopedTokens(Tokens):
    __slots__ = ("_plain",)

    def __init__(self, core, store: DataStore) -> None:
        super().__init__(core)
        self._plain = store

    def _twin(self):
        return self._plain.asynchronous.tokens

    def agent(self, token):
        return LoopedAgent(scope_of(on_the_loop(self._twin().agent(token)).sync))


@looped
class LoopedStore(DataStore):
    def __init__(self, store: DataStore) -> None:
        self.__dict__.update(vars(store))
        self._plain = store

    def _twin(self) -> AsyncDataStore:
        return AsyncDataStore(self._plain)

    def _bound(self, *arguments):
        return LoopedAgent(scope_of(super()._bound(*arguments)))

    @property
    def tokens(self):
        return LoopedTokens(self._core, self._plain)

    def close(self):
        on_the_loop(self._twin().aclose())
