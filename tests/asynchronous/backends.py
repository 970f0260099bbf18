"""Backends whose reads and writes a test can count, and can hold back until it lets them go."""

import asyncio
import threading

from datastore import AsyncDataStore, DataStore
from datastore.conformance.faults import Wrapped
from datastore_memory import MemoryBackend
from tests.patience import PATIENCE


class Held(Wrapped):
    """Counts what is asked of a backend, and lets a read or a write wait at its beginning.

    While ``hold`` is ``"read"`` or ``"write"``, such a call waits for `release`; ``entered`` is set when one does.
    """

    def __init__(self, inner=None) -> None:
        super().__init__(inner or MemoryBackend())
        self.reads: list[list[str]] = []
        self.writes: list[list[object]] = []
        self.hold = ""
        self.entered = threading.Event()
        self._free = threading.Semaphore(0)

    def read(self, ids, fields):
        self.reads.append(list(ids))
        self._wait("read")
        return super().read(ids, fields)

    def write(self, writes):
        self.writes.append(list(writes))
        self._wait("write")
        return super().write(writes)

    def _wait(self, kind: str) -> None:
        if self.hold == kind:
            self.entered.set()
            assert self._free.acquire(timeout=PATIENCE), "nobody released it"

    def release(self, number: int = 1) -> None:
        """Let calls that wait go on, or those that will wait."""
        self._free.release(number)

    async def until_entered(self) -> None:
        """Wait until a call waits; then be ready for the next one."""
        while not self.entered.is_set():
            await asyncio.sleep(0.001)
        self.entered.clear()


def opened(backend, **options) -> AsyncDataStore:
    """Return an awaited store on a backend, which writes no access counts by itself."""
    workers = options.pop("workers", None)
    return AsyncDataStore(DataStore(backend, **{"flush_interval": 3600, **options}), workers=workers)


async def turns(number: int = 20) -> None:
    """Let everything that is ready on the loop run."""
    for _ in range(number):
        await asyncio.sleep(0)
