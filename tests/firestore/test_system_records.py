"""System records: their ids begin with a user's, and lie in no range of that user."""

import pytest

from datastore.backend import Delete, Fields, IdRange, Touch
from datastore.conformance.documents import at, put
from datastore.ids import EVERYTHING, SYSTEM, encode_key

pytestmark = pytest.mark.server("firestore")

LEASES = IdRange(f"alice{SYSTEM}:leases:", f"alice{SYSTEM}:leases;")


def lease(key, value=1):
    return put(key, value, user="alice", namespace="leases")._replace(id=LEASES.start + encode_key(key))


def ids(page):
    return [document.id for document in page.documents]


def test_they_are_read_written_listed_and_removed_as_others_are(backend):
    writes = [lease(key) for key in ("a", "b", "c")]
    assert all(outcome.done for outcome in backend.write(writes))
    assert backend.write([Touch(writes[0].id, at(0), at(60))])[0].done
    found = backend.read([write.id for write in writes], Fields.ALL)
    assert [found[write.id].expires_at for write in writes] == [at(60), None, None]
    assert ids(backend.scan(LEASES, Fields.ALL, 10)) == [write.id for write in writes]
    assert ids(backend.scan(LEASES, Fields.ALL, 2, reverse=True)) == [writes[2].id, writes[1].id]
    assert backend.purge(at(90), LEASES) == 1
    assert backend.write([Delete(writes[1].id, at(0), writes[1].revision, certain=True)])[0].done
    assert ids(backend.scan(LEASES, Fields.KEY, 10)) == [writes[2].id]


def test_no_call_of_an_agent_meets_them_and_forgetting_the_user_removes_them(store, backend):
    agent = store.agent("alice", "a", "leases")
    agent.set("k", {"n": 1})
    backend.write([lease("k", {"n": 1})])
    assert agent.get_record("k").created_by_agent == "a"
    assert agent.get_all() == agent.find({"n": 1}) == agent.find(meta={"key": "k"}) == {"k": {"n": 1}}
    assert (agent.count(), agent.list_namespaces()) == (1, ["leases"])
    store.ensure_index(["n"])
    store.ensure_index(["m", "n"])
    assert agent.find({"n": {"$gt": 0}}) == {"k": {"n": 1}}
    assert agent.clear() == 1
    assert ids(backend.scan(LEASES, Fields.KEY, 10)) == [lease("k").id]
    agent.set("k", 1)
    assert store.forget("alice") == (1, 0)
    assert ids(backend.scan(LEASES, Fields.KEY, 10)) == []


def test_a_listing_of_all_users_shows_them_so_that_it_can_go_past_them(store, backend):
    store.agent("alice", "a").set("k", 1)
    backend.write([lease("k")])
    page = backend.scan(EVERYTHING, Fields.KEY, 1)
    assert ids(page) == [lease("k").id]
    beyond = IdRange(page.documents[0].id.partition(":")[0] + ";", EVERYTHING.end)
    assert ids(backend.scan(beyond, Fields.KEY, 1)) == ["alice:default:" + encode_key("k")]
