"""What the interfaces ask of the backend: no more than the calls below them."""

from __future__ import annotations

from collections import Counter

import pytest

from datastore import DataStore, InvalidNameError
from datastore.conformance.faults import Untouchable, Wrapped
from datastore.errors import BackendUnavailableError
from datastore_memory import MemoryBackend


class Counting(Wrapped):
    """Counts the calls that reach the backend."""

    def __init__(self, inner):
        super().__init__(inner)
        self.calls = Counter()

    def read(self, *args, **kwargs):
        self.calls["read"] += 1
        return super().read(*args, **kwargs)

    def write(self, writes):
        self.calls["write"] += 1
        return super().write(writes)

    def scan(self, *args, **kwargs):
        self.calls["scan"] += 1
        return super().scan(*args, **kwargs)


@pytest.fixture(name="backend")
def make_backend():
    return Counting(MemoryBackend())


@pytest.fixture(name="data_store")
def bind(backend):
    with DataStore(backend, flush_interval=3_600) as store:
        yield store.agent("ann", "assistant")


def calls(backend, call):
    backend.calls.clear()
    call()
    return dict(backend.calls)


def test_listing_entities_costs_their_number_and_not_that_of_their_keys(data_store, backend):
    kv = data_store.key_value(scopes={"run": "1"})
    for entity in ("a", "b", "c"):
        for n in range(50):
            kv.insert(f"key {n}", n, entity)
            kv.insert(f"$run.key {n}", n, entity)
    assert calls(backend, kv.list_entities) == {"scan": 4}


def test_the_vault_asks_no_more_than_the_calls_below_it(data_store, backend):
    vault = data_store.vault
    assert calls(backend, lambda: vault.store("carts", {"a": 1})) == {"write": 1}
    assert calls(backend, lambda: vault.store("carts", {"a": 1}, "key")) == {"write": 1}
    assert calls(backend, lambda: vault.retrieve("carts", "key")) == {"read": 1}
    assert calls(backend, lambda: vault.retrieve("carts")) == {"scan": 1}
    assert calls(backend, lambda: vault.query("carts", {"a": 1})) == {"scan": 1}
    assert calls(backend, lambda: vault.query("carts", {"$or": [{"_id": "key"}, {"a": 1}]})) == {"scan": 1}
    assert calls(backend, lambda: vault.query("carts", {"_id": "key"})) == {"read": 1}
    assert calls(backend, lambda: vault.query("carts", {"_id": {"$in": ["key", "x"]}, "a": 1})) == {"read": 1}
    assert calls(backend, lambda: vault.query("carts", {"_id": "key"}, sort="a", limit=1, skip=3)) == {"read": 1}
    assert calls(backend, lambda: vault.count("carts", {"$and": [{"_id": "key"}, {"a": 1}]})) == {"read": 1}
    assert calls(backend, lambda: vault.query("carts", {"_id": {"$in": []}})) == {}
    many = [str(n) for n in range(2 * backend.capabilities.read_batch)]
    assert calls(backend, lambda: vault.query("carts", {"_id": {"$in": many}})) == {"read": 2}
    assert calls(backend, lambda: vault.update("carts", "key", {"a": 2})) == {"read": 1, "write": 1}
    assert calls(backend, lambda: vault.update("carts", "other", {"a": 2})) == {"read": 1}
    assert calls(backend, lambda: vault.delete("carts", "key")) == {"write": 1}


def test_the_key_value_store_asks_no_more_than_the_calls_below_it(data_store, backend):
    kv = data_store.key_value
    assert calls(backend, lambda: kv.insert("key", [1], "entity")) == {"write": 1}
    assert calls(backend, lambda: kv.retrieve("key", "entity")) == {"read": 1}
    assert calls(backend, lambda: kv.pop("key", entity_id="entity")) == {"read": 1, "write": 1}
    assert calls(backend, lambda: kv.pop("key", entity_id="entity")) == {"read": 1}
    assert calls(backend, lambda: data_store.key_value(scopes={"run": "1"})) == {}


def test_mistakes_reach_no_database():
    with DataStore(Untouchable(MemoryBackend())) as store:
        data_store = store.agent("ann", "assistant")
        kv = data_store.key_value(scopes={"run": "1"})
        for call in (
            lambda: kv.insert("", 1),
            lambda: kv.insert(1, 1),
            lambda: kv.insert("key", 1, "e" * 255),
            lambda: kv.insert("key", 1, 17),
            lambda: kv.retrieve("$flow.key"),
            lambda: kv.list_keys(None, ""),
            lambda: kv.remove(None),
            lambda: kv.clear_entity(""),
            lambda: kv.end_scope("task"),
            lambda: kv.end_scope("session"),
            lambda: data_store.key_value(scopes=["run"]),
            lambda: data_store.key_value(scopes={"run": 1}),
            lambda: data_store.vault.store("", {}),
            lambda: data_store.vault.retrieve("carts", ""),
        ):
            with pytest.raises(InvalidNameError):
                call()


def test_health_tells_of_an_outage_instead_of_raising_it():
    class Away(Wrapped):
        def read(self, *args, **kwargs):
            raise BackendUnavailableError("the connection was refused")

    with DataStore(Away(MemoryBackend()), retry_seconds=0) as store:
        report = store.agent("ann", "assistant").vault.health()
    assert report.pop("error").endswith("on memory: the connection was refused")
    assert report == {"backend": "memory", "ok": False, "latency": None, "collections": None}


def test_what_an_agent_is_given_shows_whose_it_is_and_no_more(data_store):
    bound = "AgentDataStore(user_id='ann', agent='assistant', namespace='default')"
    assert repr(data_store.vault) == f"Vault({bound})"
    assert repr(data_store.key_value(scopes={"run": "1"})) == f"KeyValueStore({bound}, {{'run': '1'}})"
