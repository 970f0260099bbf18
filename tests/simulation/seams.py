"""Replaces what the package takes from outside (time, chance, threads) with what a world has of it.

Nothing in the package knows of the simulation. What is replaced are the names of modules inside its modules: a new
module that waits, draws or starts threads gets its line in `_replaced`.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any

from datastore import access, core, deadlines, ids, retry, scope, turns
from datastore.adapters import remembering
from datastore.calls import claims, paging
from tests.simulation.scheduling import Event, Lock, Scheduler, SimulatedThread


@contextmanager
def simulated(scheduler: Scheduler, seed: str) -> Iterator[None]:
    """Let the package take time, chance and threads from a scheduler."""
    before = []
    for module, name, replacement in _replaced(scheduler, seed):
        before.append((module, name, getattr(module, name)))
        setattr(module, name, replacement)
    try:
        yield
    finally:
        for module, name, original in before:
            setattr(module, name, original)


def _replaced(scheduler: Scheduler, seed: str) -> Iterator[tuple[Any, str, Any]]:
    def monotonic() -> float:
        scheduler.look()
        return scheduler.now

    time = SimpleNamespace(monotonic=monotonic, sleep=scheduler.sleep)
    threads = SimpleNamespace(
        Lock=lambda: Lock(scheduler),
        Event=lambda: Event(scheduler),
        Thread=lambda target, args, name, daemon: SimulatedThread(scheduler, target, args, name),
        current_thread=lambda: scheduler.current and (scheduler.current.thread or scheduler.current),
        get_ident=threading.get_ident,
    )
    for module in (retry, turns, deadlines, access, core):
        yield module, "time", time
    for module in (turns, access):
        yield module, "threading", threads
    chance = SimpleNamespace(
        uniform=lambda low, high: _chance(scheduler).uniform(low, high),
        shuffle=lambda items: _chance(scheduler).shuffle(items),
    )
    for module in (retry, claims):
        yield module, "random", chance
    numbers = itertools.count(1)
    for module in (scope, claims):
        yield module, "new_revision", lambda: f"r{next(numbers)}"  # short, because people read them
    yield remembering, "_random", Random(f"{seed} marks")
    bits = Random(f"{seed} bits")
    for module in (ids, paging):
        yield module, "os", SimpleNamespace(urandom=bits.randbytes)


def _chance(scheduler: Scheduler) -> Random:
    assert scheduler.current is not None
    return scheduler.current.random
