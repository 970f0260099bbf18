"""A separate database for each test on the emulator, which is started once in a session."""

import uuid

import pytest

import datastore
from tests.firestore import databases
from tests.firestore.network import Network
from tests.firestore.recording import Recorder
from tests.servers.firestore import server


@pytest.fixture(scope="session", name="network")
def make_network():
    """The way to the emulator."""
    network = Network(server().port)
    databases.address = network.address
    databases.network = network
    yield network
    databases.address = databases.network = None
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
