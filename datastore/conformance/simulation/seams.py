"""Replaces what the package takes from outside (time, chance, threads) with what a world has of it.

Nothing in the package knows of the simulation. What is replaced are the names of modules inside its modules: a new
module that waits, draws or starts threads gets its line in `_replaced`. Threads that have no
part in the simulation, such as those of another test's store, go on with the real things.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any

from datastore import access, core, deadlines, holding, ids, reminders, retry, scope, turns
from datastore.adapters import remembering
from datastore.blobs import heads, uploads
from datastore.calls import leases, paging
from datastore.conformance.simulation.scheduling import Event, Lock, Scheduler, SimulatedThread
from datastore.runs import stepping

_PART = 16  # bytes
_SELDOM = 50_000
"""After so many new objects the garbage collector looks; a run leaves some thousands."""


@contextmanager
def simulated(scheduler: Scheduler, seed: str, more: Iterable[tuple[Any, str, Any]] = ()) -> Iterator[None]:
    """Let the package take time, chance and threads from a scheduler.

    Args:
        scheduler: The scheduler.
        seed: What all chance comes from that is not a task's own.
        more: What else is replaced: a module, a name in it, and the replacement.
    """
    before = []
    for module, name, replacement in (*_replaced(scheduler, seed), *more):
        own = vars(module)  # of a class: a static method as such
        before.append((module, name, own[name] if name in own else getattr(module, name)))
        setattr(module, name, replacement)
    try:
        with without_collecting():
            yield
    finally:
        for module, name, original in before:
            setattr(module, name, original)


@contextmanager
def without_collecting() -> Iterator[None]:
    """Keep the garbage collector away: it could close another store, in the middle of a task."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def collect_seldom() -> None:
    """Let the garbage collector look once in some dozen runs, which then takes a fifth of the time, and at them alone.

    For a process that does nothing but play.
    """
    gc.freeze()
    gc.set_threshold(_SELDOM)


def _replaced(scheduler: Scheduler, seed: str) -> Iterator[tuple[Any, str, Any]]:
    def here(simulated: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that is the simulated one here, and the real one in threads that have no part in this."""
        return lambda *args, **kwargs: (simulated if scheduler.is_here else real)(*args, **kwargs)

    look, me, real_time = scheduler.look, threading.get_ident, time.monotonic

    def monotonic() -> float:  # as `here`, without its detours: this is called most often
        return look() if me() == scheduler.holder else real_time()

    def chance() -> Random:
        assert scheduler.current is not None
        return scheduler.current.random

    def thread(target: Callable[..., object], args: tuple[Any, ...], name: str, daemon: bool) -> SimulatedThread:
        return SimulatedThread(scheduler, target, args, name)

    times = SimpleNamespace(monotonic=monotonic, sleep=here(scheduler.sleep, time.sleep))
    for module in (retry, turns, deadlines, access, core, holding, leases, stepping):
        yield module, "time", times
    threads = SimpleNamespace(
        Lock=here(lambda: Lock(scheduler), threading.Lock),
        Event=here(lambda: Event(scheduler), threading.Event),
        Thread=here(thread, threading.Thread),
        current_thread=here(
            lambda: scheduler.current and (scheduler.current.thread or scheduler.current), threading.current_thread
        ),
        get_ident=threading.get_ident,
    )
    for module in (turns, access, holding):
        yield module, "threading", threads
    # The package imports these where it needs them.
    yield random, "uniform", here(lambda low, high: chance().uniform(low, high), random.uniform)
    yield random, "shuffle", here(lambda items: chance().shuffle(items), random.shuffle)
    numbers = itertools.count(1)
    for module in (scope, holding, leases, reminders):
        revision = here(lambda: f"r{next(numbers)}", module.new_revision)  # short, because people read them
        yield module, "new_revision", revision
    marks, real_marks = Random(f"{seed} marks"), remembering._random
    yield remembering, "_random", SimpleNamespace(getrandbits=here(marks.getrandbits, real_marks.getrandbits))
    # A blob of some dozen bytes has several parts, and more than one request of them.
    yield uploads, "PART", _PART
    yield uploads, "REQUEST", heads.TOGETHER * _PART
    bits = Random(f"{seed} bits")
    for module in (ids, paging):
        yield module, "os", SimpleNamespace(urandom=here(bits.randbytes, os.urandom))
