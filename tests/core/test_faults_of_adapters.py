"""What an adapter or its client should not raise: it becomes one typed error with the cause chained, in every call."""

import logging
import pickle

import pytest

import datastore
from datastore import DataStore, InternalError, PermissionDeniedError
from datastore.backend import Outcome
from datastore.errors import BackendUnavailableError, DataStoreError
from tests.core.faults import FaultyBackend

SECRET = "4111-1111"


@pytest.fixture
def backend():
    return FaultyBackend()


@pytest.fixture
def store(backend):
    with DataStore(backend, flush_interval=3_600, retry_seconds=3_600) as store:
        store.agent("u", "a").set("k", 1)
        yield store
        backend.faults.clear()


CALLS = {
    "get": ("read", lambda agent: agent.get("k")),
    "get_record": ("read", lambda agent: agent.get_record("k")),
    "get_many": ("read", lambda agent: agent.get_many(["k"])),
    "exists": ("read", lambda agent: agent.exists("k")),
    "set": ("write", lambda agent: agent.set("k", 2)),
    "add": ("write", lambda agent: agent.add("l", 2)),
    "delete": ("write", lambda agent: agent.delete("k")),
    "set_many": ("write", lambda agent: agent.set_many({"k": 2, "l": 3})),
    "delete_many": ("write", lambda agent: agent.delete_many(["k"])),
    "increment": ("read", lambda agent: agent.increment("k")),
    "modify": ("write", lambda agent: agent.modify("k", lambda value: 2)),
    "update_where": ("scan", lambda agent: agent.update_where({}, {"a": 1}, meta={"createdByAgent": "a"})),
    "get_all": ("scan", lambda agent: agent.get_all()),
    "list_keys": ("scan", lambda agent: agent.list_keys()),
    "list_namespaces": ("scan", lambda agent: agent.list_namespaces()),
    "scan": ("scan", lambda agent: agent.scan()),
    "iter_records": ("scan", lambda agent: list(agent.iter_records())),
    "find": ("scan", lambda agent: agent.find({"a": 1})),
    "count": ("scan", lambda agent: agent.count()),
    "clear": ("scan", lambda agent: agent.clear()),
    "vault": ("scan", lambda agent: agent.vault.retrieve("default")),
    "key_value": ("read", lambda agent: agent.key_value.retrieve("k")),
}
FAULTS = [KeyError(SECRET), ValueError(SECRET), OSError(SECRET), TypeError(SECRET), RecursionError(SECRET)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize(("method", "call"), CALLS.values(), ids=CALLS)
def test_a_fault_of_the_adapter_is_an_internal_error(store, backend, method, call, fault):
    """With the cause, and without its text, which may quote what is stored; it is not tried again."""
    agent = store.agent("u", "a")
    backend.calls.clear()
    backend.fail(method, fault)
    with pytest.raises(InternalError, match=type(fault).__name__) as caught:
        call(agent)
    assert type(caught.value.__cause__) is type(fault)
    assert caught.value.backend == "memory"
    assert caught.value.operation
    assert SECRET not in str(caught.value)
    assert backend.calls.count(method) == 1


def test_a_fault_after_an_outage_is_an_internal_error_too(store, backend):
    backend.fail("read", BackendUnavailableError("the connection was reset"), KeyError(SECRET))
    with pytest.raises(InternalError):
        store.agent("u", "a").get("k")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
@pytest.mark.parametrize(("method", "call"), CALLS.values(), ids=CALLS)
def test_what_is_about_the_process_passes(store, backend, method, call, error):
    def fault(method, *arguments):
        raise error

    backend.fail(method, fault)
    with pytest.raises(error):
        call(store.agent("u", "a"))


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("clearing namespace 'default'", lambda store: store.agent("u", "a").clear()),
        ("forgetting a user", lambda store: store.forget("u")),
    ],
)
def test_a_document_that_cannot_be_removed_is_no_smaller_number(store, backend, operation, call):
    backend.fail("write", lambda method, writes: [Outcome(False, error=PermissionDeniedError("no")) for _ in writes])
    with pytest.raises(PermissionDeniedError, match=operation):
        call(store)
    assert store.agent("u", "a").get("k") == 1


@pytest.mark.parametrize("prefix", [None, "k", "key"])
def test_a_clear_asks_the_adapter_to_leave_what_another_program_has_written(store, backend, prefix):
    """For a listing of keys need not say whose a document is."""
    sent = []

    def write(method, writes):
        sent.extend(writes)
        return method(writes)

    agent = store.agent("u", "clears")
    agent.set("key", 1)
    backend.fail("write", write)
    assert agent.clear(prefix) == len(sent) > 0
    assert all(delete.only_own for delete in sent)


def test_a_fault_while_accesses_are_counted_does_not_reach_the_reader(store, backend, caplog):
    agent = store.agent("u", "a")
    agent.get("k")
    backend.fail("record_access", KeyError(SECRET))
    with pytest.raises(InternalError, match="KeyError") as caught:
        store.flush()
    assert caught.value.operation == "counting accesses"
    store.flush()
    assert agent.get_record("k").access_count == 1, "the counts are kept"
    with DataStore(backend, tracking="immediate", retry_seconds=0) as immediate:
        backend.fail("record_access", KeyError(SECRET))
        with caplog.at_level(logging.ERROR, "datastore"):
            assert immediate.agent("u", "a").get("k") == 1
    assert "broke its contract" in caplog.text


def test_a_fault_while_the_last_counts_are_written_still_closes_the_backend(caplog):
    backend = FaultyBackend()
    store = DataStore(backend, flush_interval=3_600)
    agent = store.agent("u", "a")
    agent.set("k", 1)
    agent.get("k")
    backend.fail("record_access", KeyError(SECRET))
    with caplog.at_level(logging.ERROR, "datastore"):
        store.close()
    assert backend.calls[-1] == "close"
    assert "the last counts are lost" in caplog.text


def test_a_fault_of_closing_is_an_internal_error():
    backend = FaultyBackend()
    store = DataStore(backend)
    backend.fail("close", KeyError(SECRET))
    with pytest.raises(InternalError, match="KeyError"):
        store.close()


def test_a_fault_of_connecting_is_an_internal_error(monkeypatch):
    def connect(url):
        raise KeyError(SECRET)

    monkeypatch.setattr("datastore.connecting._adapter", lambda url: connect)
    with pytest.raises(InternalError, match=r"connecting on memory: .*KeyError"):
        datastore.connect("memory://")


def test_nothing_that_holds_a_connection_can_be_pickled(store):
    """A `TypeError`, which is Python's protocol, and an error of the store, which says what to do."""
    agent = store.agent("u", "a")
    for thing in (store, agent, agent.vault, agent.key_value):
        for kind in (TypeError, DataStoreError):
            with pytest.raises(kind, match=rf"an? {type(thing).__name__} cannot be pickled: .*in the other process"):
                pickle.dumps(thing)


def test_no_message_is_longer_than_people_read():
    assert len(str(InternalError("x" * 1_000_000))) < 3_000
