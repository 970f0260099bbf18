"""What a namespace keeps beside its records (`datastore.ids.AREAS`): whoever may use the namespace, and nobody else."""

import pytest

import datastore
from datastore import PermissionDeniedError, Quota, QuotaExceededError
from datastore.agent import AgentDataStore
from datastore.scope import scope_of


def kept(agent, area="logs"):
    """Return a store for what is kept in an area of the agent's namespace."""
    return AgentDataStore(scope_of(agent).area(area))


@pytest.fixture
def store():
    with datastore.connect("memory://") as store:
        yield store


def test_no_listing_shows_it(store):
    agent = store.agent("ann", "a", "notes")
    kept(agent).set("one", 1)
    assert kept(agent).list_keys() == ["one"]
    assert kept(agent, "blobs").list_keys() == agent.list_keys() == []
    assert agent.list_namespaces() == list(store.records()) == []
    assert kept(agent.use_namespace("other")).get("one") is None


def test_a_grant_for_the_namespace_is_one_for_its_areas(store):
    agent = store.agent("ann", "a", grants={"mine": "write", "shared": "read"})
    kept(agent.use_namespace("mine")).set("one", 1)
    assert kept(agent.use_namespace("mine")).get_all() == {"one": 1}
    assert kept(agent.use_namespace("shared")).get_all() == {}
    with pytest.raises(PermissionDeniedError, match="no grant to write namespace 'shared'"):
        kept(agent.use_namespace("shared")).set("one", 1)
    for read in (lambda inner: inner.get("one"), lambda inner: inner.list_keys(), lambda inner: inner.count()):
        with pytest.raises(PermissionDeniedError, match="no grant to read namespace 'other'"):
            read(kept(agent.use_namespace("other")))


def test_it_counts_against_the_quota(store):
    agent = store.agent("ann", "a", quota=Quota(records=2))
    agent.set("record", 1)
    kept(agent).set("one", 1)
    with pytest.raises(QuotaExceededError):
        kept(agent).set("two", 2)
    another = store.agent("ann", "b", quota=Quota(records=2))
    kept(another).delete("one")
    agent.delete("record")
    kept(another).set_many({"one": 1, "two": 2})
    with pytest.raises(QuotaExceededError):
        another.set("record", 1)


def test_an_error_names_the_namespace(store, monkeypatch):
    agent = store.agent("ann", "a", "notes")
    monkeypatch.setattr(store.backend, "read", lambda *_: (_ for _ in ()).throw(datastore.DataStoreError("broken")))
    with pytest.raises(datastore.DataStoreError, match="reading the logs of namespace 'notes'"):
        kept(agent).get("one")


def test_forgetting_the_user_removes_it(store):
    agent = store.agent("ann", "a", "notes")
    kept(agent).set("one", 1)
    store.forget("ann")
    assert kept(agent).get_all() == {}
