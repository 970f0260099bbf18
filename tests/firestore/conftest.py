"""A separate database for each test on the emulator, which is started once in a session."""

import uuid

import pytest

import datastore
from tests.firestore.network import to_the_emulator
from tests.firestore.recording import Recorder


@pytest.fixture(scope="session", name="network")
def make_network():
    """The way to the emulator."""
    network = to_the_emulator()
    yield network
    network.cut()


@pytest.fixture(autouse=True)
def _no_other_emulator(monkeypatch):
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)


@pytest.fixture(name="recorder")
def make_recorder():
    """What the adapter asks of Firestore, and faults to answer with."""
    return Recorder()


@pytest.fixture(name="url")
def make_url(network):
    """A database of this test's own."""
    return f"firestore://test-{uuid.uuid4().hex}/agent_data_store?emulator={network.address}"


@pytest.fixture(name="store")
def open_store(url, recorder):
    """A store that counts accesses only when told to, with the recorder between it and the emulator."""
    with datastore.connect(url, flush_interval=3_600, max_pending=100_000, interceptors=[recorder]) as store:
        recorder.clear()
        yield store


@pytest.fixture(name="agent")
def bind_agent(store):
    """What an agent gets."""
    return store.agent("u", "a")


class Clock:
    def __init__(self):
        self.now = 1_790_000_000.0

    def __call__(self):
        self.now += 1e-6
        return self.now


@pytest.fixture(name="two")
def open_two(url):
    """Two processes' stores on one database, on one clock."""
    clock = Clock()
    with (
        datastore.connect(url, flush_interval=3_600, clock=clock) as first,
        datastore.connect(url, flush_interval=3_600, clock=clock) as second,
    ):
        yield first.agent("u", "first"), second.agent("u", "second"), clock, first, second


@pytest.fixture(name="backend")
def get_backend(store):
    return store.backend


@pytest.fixture(name="other")
def open_another(url):
    """The same database in another process."""
    with datastore.connect(url, flush_interval=3_600, tracking="off") as store:
        yield store.agent("u", "b")
