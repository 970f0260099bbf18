"""Exceptions that arrive between two lines: Ctrl-C in a notebook, a timeout by signal, a worker's soft limit.

An interrupted call has done something either completely or not at all. The next call, of any thread and any process,
works as if nothing had happened: no lock is taken, no transaction is open, and no connection is missing.
"""

import contextlib
import dis
import gc
import random
import signal
import socket
import sqlite3
import sys
import threading
import tracemalloc  # noqa: F401 - pytest imports it where something is raised in vain, and no interrupt may come then

import pytest

import datastore
from tests.full import times
from tests.patience import PATIENCE

pytestmark = [
    # What is raised inside of others' callbacks is lost there, and a connection that is left behind is closed by the
    # garbage collector, of which Python 3.13 warns.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

URLS = ["sqlite:///{path}", "sqlite:///{path}?isolation=database", "sqlite://:memory:", "memory://"]


class Interrupt(BaseException):
    pass


CALLS = {
    "set": lambda store, agent, i: agent.set("v", i),
    "set with metadata": lambda store, agent, i: agent.set("v", i, {"i": i}),
    "set_many": lambda store, agent, i: agent.set_many({"v": i, "w": i}),
    "increment": lambda store, agent, i: agent.increment("counter"),
    "delete": lambda store, agent, i: agent.delete("gone"),
    "get": lambda store, agent, i: agent.get("k1"),
    "get_record": lambda store, agent, i: agent.get_record("k1"),
    "scan": lambda store, agent, i: agent.scan(limit=3),
    "find": lambda store, agent, i: agent.find({"n": {"$gt": 3}}),
    "flush": lambda store, agent, i: (agent.get("k1"), store.flush()),
    "clear": lambda store, agent, i: agent.use_namespace("other").clear(),
    "list_namespaces": lambda store, agent, i: agent.list_namespaces(),
}
SETS = ("set", "set with metadata", "set_many")


@pytest.fixture(params=URLS)
def store(request, tmp_path):
    url = request.param.format(path=tmp_path / "a.db")
    with datastore.connect(url, flush_interval=3_600, retry_seconds=0) as store:
        agent = store.agent("u", "a")
        agent.set_many({f"k{i}": {"n": i} for i in range(6)})
        for (
            call
        ) in CALLS.values():  # what is imported late is imported now: Python itself does not survive an interrupt
            call(store, agent, 0)  # in the middle of an import, which leaves the lock of imports taken
        yield store
    gc.collect()  # now, where what it says of connections that are left behind is expected


def check_others(store, tmp_path, number):
    """See that another thread can read and write, and another process write, at once."""
    for file in tmp_path.glob("*.db"):
        with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=5)) as plain:
            plain.execute("BEGIN IMMEDIATE")  # of another process there would be no lock of this one to wait for
            plain.execute("ROLLBACK")
    found = []

    def other():
        agent = store.agent("u", "other")
        agent.set("other", number)
        found.append(agent.get("other"))

    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert found == [number], "another thread is shut out"


@pytest.mark.parametrize(
    "call", ["set", "set with metadata", "set_many", "increment", "delete", "get", "flush", "clear"]
)
def test_an_interrupt_at_any_bytecode_leaves_nothing_behind(store, tmp_path, call):
    agent = store.agent("u", "a")
    kept = []  # as a notebook keeps the last traceback, and all that its frames hold
    executed, number = 1, 0
    while executed > number:
        number += times(3, 1)  # every third bytecode is tried in each run, every one in a full one
        agent.set("gone", 1)
        before = agent.get("v")
        handled = sys.exception()
        try:
            executed = interrupted_at(number, lambda number=number: CALLS[call](store, agent, number))
        except Interrupt as interrupt:
            kept[:] = [interrupt]
            executed = number + 1
        assert sys.exception() is handled, "it would be the context of all later errors of this thread"
        agent.set("own", number)
        assert agent.get("own") == number
        assert agent.get("v") in (before, number), "half of a write"
        if number % 10 < 3:
            check_others(store, tmp_path, number)
    assert number > 100, "the call must have been followed through the adapter"


def interrupted_at(number, call):
    """Run a call, raise at a bytecode of the store's own code, and return how many it executed if that are fewer.

    If no interrupt can come at this bytecode, it comes at the next one at which it can.
    """
    executed = 0

    def trace(frame, event, _):
        nonlocal executed
        name = frame.f_globals.get("__name__", "")
        if not name.startswith(("datastore.", "datastore_", "contextlib")):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            executed += 1
            if executed >= number and may_be_interrupted(frame):
                sys.settrace(None)
                raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return executed


def may_be_interrupted(frame):
    """Return whether Python can raise at this bytecode.

    It cannot where it begins or ends the handling of an exception. It looks for signals at calls and jumps only, and
    does not clean up after a trace function that raises there: the exception remains the one that is handled.
    """
    code, place = frame.f_code.co_code, frame.f_lasti
    here, next = (dis.opname[byte] for byte in (code[place : place + 4] + bytes(4))[:4:2])
    return here not in ("PUSH_EXC_INFO", "POP_EXCEPT") and (here, next) != ("COPY", "POP_EXCEPT")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers that send signals")
def test_interrupts_at_random_moments_lose_nothing_that_was_acknowledged(store, tmp_path):
    chance = random.Random(7)
    agent = store.agent("u", "a")
    acknowledged, possible = agent.get("v"), set()  # what stands when no `set` gets through at first
    added = tried = agent.get("counter")
    interrupts = number = 0

    def interrupt(*_):
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        while interrupts < times(300, 10_000):
            number += 1
            call = chance.choice(list(CALLS))
            if call in SETS:
                possible.add(number)
            tried += call == "increment"
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.random() * chance.choice((0.0001, 0.0005, 0.003)) + 1e-6)
                CALLS[call](store, agent, number)
                signal.setitimer(signal.ITIMER_REAL, 0)
                if call in SETS:
                    acknowledged, possible = number, {number}
                added += call == "increment"
            except Interrupt:
                interrupts += 1
            with contextlib.suppress(Interrupt):
                signal.setitimer(signal.ITIMER_REAL, 0)
            if number % 20 == 0:
                check_others(store, tmp_path, number)
                assert agent.get("v") in {acknowledged, *possible}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert added <= agent.get("counter") <= tried


class SoftLimit(Exception):  # noqa: N818 - an event, not an error
    """What Celery, for one, raises in the middle of a task: an ordinary exception."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers that send signals")
def test_what_a_signal_handler_raises_passes_as_it_is(store):
    """Even where it looks like a fault of the adapter: whoever set the limit catches it."""
    agent, chance, limited = store.agent("u", "a"), random.Random(5), 0

    def limit(*_):
        raise SoftLimit

    before = signal.signal(signal.SIGALRM, limit)
    try:
        while limited < times(100, 2_000):
            call = chance.choice(list(CALLS))
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.random() * chance.choice((0.0001, 0.0005)) + 1e-6)
                CALLS[call](store, agent, 1)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except SoftLimit:
                limited += 1
            with contextlib.suppress(SoftLimit):
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers that send signals")
def test_a_write_that_is_interrupted_while_it_waits_for_another_process_leaves_no_transaction_open(tmp_path):
    """While SQLite waits, Python cannot handle the signal: the write gets the lock first."""

    def interrupt(*_):
        raise Interrupt

    path = tmp_path / "a.db"
    before = signal.signal(signal.SIGALRM, interrupt)
    arrived, arriving = socket.socketpair()
    arriving.setblocking(False)
    told_before = signal.set_wakeup_fd(arriving.fileno())  # of the signal itself, whenever it is handled
    try:
        with arrived, arriving, datastore.connect(f"sqlite:///{path}", timeout=60) as store:
            agent = store.agent("u", "a")
            agent.set("k", 0)
            other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            other.execute("BEGIN IMMEDIATE")
            end = threading.Thread(target=lambda: (arrived.recv(1), other.execute("COMMIT")))
            end.start()
            with pytest.raises(Interrupt):  # noqa: PT012 - it may come as soon as the timer is set
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                agent.set_many({"a": 1, "b": 2})
            end.join()
            signal.set_wakeup_fd(told_before)
            agent.set("k", "acknowledged")
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
            other.close()
    finally:
        signal.signal(signal.SIGALRM, before)
    with datastore.connect(f"sqlite:///{path}") as store:
        assert store.agent("u", "a").get("k") == "acknowledged"
