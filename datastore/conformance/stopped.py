"""A holder of a lease that the system stops (``SIGSTOP``), and that goes on writing when others have the lease.

It is in a process of its own, and does not look at clocks: it takes its lease for held until the database refuses a
write. So what is tested is the database's check alone, at whatever moment the process was stopped.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from datastore import AgentDataStore, BackendUnavailableError, DataStore, DataStoreError, DeadlineExceededError
from datastore.deadlines import within
from datastore.holding import Held

CAN_STOP = hasattr(signal, "SIGSTOP")
"""Whether this system has the signal."""
_PATIENCE = 120
"""After this many seconds, a process that says nothing fails the test."""
_FREE_WITHIN = 1.0
"""In this many seconds another process can write, unless the stopped one is in the middle of a transaction."""
_PAUSE = 0.002  # seconds between two writes, at most
_NAME, _KEY, _FREE = "stopped", "written by the holder", "free"


class Said(NamedTuple):
    """What a stopped holder says when it goes on, and what it has left."""

    error: str
    """The name of the error with which its writing ended."""
    writes: int
    """How often it has written before."""
    overwritten: bool
    """Whether it has written over what the next holder wrote."""
    numbers: tuple[int, int]
    """Its number, and that of the next holder."""


class StoppedHolder:
    """The process."""

    def __init__(self, open_store: Callable[[], DataStore], ttl: float) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_hold, args=(open_store, ttl, there), daemon=True)
        self._process.start()
        there.close()

    def round(self, other: AgentDataStore, after: float = 0.0) -> Said:
        """Let the process take the lease and write, stop it, take the lease over, and let the process go on.

        Args:
            other: The store of the next holder.
            after: How many seconds it writes before it is stopped.
        """
        self._here.send("again")
        number = self._hear()
        time.sleep(after)
        try:
            self._stop(other)
            with other.lock(_NAME, ttl=600, timeout=_PATIENCE) as lease:
                lease.data_store.set(_KEY, "next holder")
                self._signal(signal.SIGCONT)
                error, writes = self._hear()
                return Said(error, writes, other.get(_KEY) != "next holder", (number, lease.number))
        finally:
            self._signal(signal.SIGCONT)

    def _stop(self, other: AgentDataStore) -> None:
        """Stop the process, at a moment at which others can write: in an embedded database it may keep them out."""
        while True:
            self._signal(signal.SIGSTOP)
            os.waitpid(self._process.pid or 0, os.WUNTRACED)  # until it has stopped
            try:
                with within(_FREE_WITHIN):
                    other.set(_FREE, True)
            except (BackendUnavailableError, DeadlineExceededError):
                self._signal(signal.SIGCONT)
                time.sleep(random.uniform(0, _PAUSE))
            else:
                return

    def _signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def _hear(self) -> Any:
        if not self._here.poll(_PATIENCE):
            raise AssertionError("the process that holds the lease says nothing")
        return self._here.recv()

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


@contextmanager
def stopped_holder(open_store: Callable[[], DataStore], ttl: float) -> Iterator[StoppedHolder]:
    """Start a holder that can be stopped, and end it.

    Args:
        open_store: Opens its store; it can be pickled.
        ttl: For how many seconds it takes the lease each time. It does not renew it.
    """
    holder = StoppedHolder(open_store, ttl)
    try:
        yield holder
    finally:
        holder.end()


def _hold(open_store: Callable[[], DataStore], ttl: float, said: Connection) -> None:
    Held.is_over = property(lambda self: False)  # type: ignore[assignment, method-assign]  # it does not know
    with open_store() as store:
        data_store = store.agent("user_1", "stopped")
        while True:
            said.recv()
            with data_store.lock(_NAME, ttl=ttl, timeout=_PATIENCE) as lease:
                said.send(lease.number)
                writes = 0
                try:
                    while True:
                        lease.data_store.set(_KEY, writes)
                        writes += 1
                        time.sleep(random.uniform(0, _PAUSE))
                except DataStoreError as error:
                    said.send((type(error).__name__, writes))
