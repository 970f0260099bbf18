"""How long a call may take, where an interrupt has ended an earlier one of the same thread before it could clean up."""

import sys
import time

import pytest

import datastore
from datastore import DeadlineExceededError, deadlines
from datastore.backend import Backend


@pytest.fixture(autouse=True)
def interrupted():
    """Leave the time of a call behind that has ended, and is over, as an interrupt between two lines does."""

    def call():
        deadlines.begin(-1, sys._getframe())

    before = deadlines._current.call
    call()
    yield
    deadlines.end(before)


class Checking(Backend):
    """Looks at the time in each method that is called without one, as adapters do before a request."""

    def __init__(self, inner):
        self.name = inner.name
        self.capabilities = inner.capabilities
        self._inner = inner

    def __getattribute__(self, name):
        found = object.__getattribute__(self, name)
        if name in ("record_access", "close"):
            deadlines.check()
        return found

    def read(self, ids, fields):
        return self._inner.read(ids, fields)

    def write(self, writes):
        return self._inner.write(writes)

    def scan(self, *arguments):
        return self._inner.scan(*arguments)

    def record_access(self, accesses):
        self._inner.record_access(accesses)

    def close(self):
        """Leave it open: the test looks what it holds."""


def test_the_time_of_the_call_is_over():
    with pytest.raises(DeadlineExceededError):
        deadlines.check()


def test_connecting_does_not_take_it_over(monkeypatch):
    checked = []
    adapter = datastore.connecting._adapter

    def checking(url):
        open_backend = adapter(url)
        return lambda url: (deadlines.check(), checked.append(url), open_backend(url))[2]

    monkeypatch.setattr("datastore.connecting._adapter", checking)
    datastore.connect("memory://").close()
    assert checked


def test_counting_and_closing_do_not_take_it_over():
    with datastore.connect("memory://") as memory:
        store = datastore.DataStore(Checking(memory.backend), flush_interval=600)
        agent = store.agent("ann", "a")
        agent.set("k", 1)
        agent.get("k")
        store.flush()
        agent.get("k")
        store.close()
        assert memory.host("ann").get_record("k").access_count == 2


def test_a_call_around_keeps_its_time():
    with deadlines.within(1):
        until = deadlines.until()
        with deadlines.unlimited():
            assert deadlines.until() == until < time.monotonic() + 2
        assert deadlines.until() == until
