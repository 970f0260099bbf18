"""System records: their ids begin with a user's name and `SYSTEM`, and no listing of records has them."""

import pytest

import datastore
from datastore.backend import Access, Delete, Fields, IdRange, Outcome, Touch
from datastore.conformance.documents import at, id_of, put
from datastore.ids import EVERYTHING, SYSTEM, encode_key, system_prefix, system_range
from datastore_couchdb.flags import flag_of, flag_text, is_flag
from datastore_couchdb.schema import RECORD_VIEWS
from datastore_couchdb.writing import bulk_docs
from tests.servers import couchdb

pytestmark = pytest.mark.server("couchdb")

LEASES = IdRange(system_prefix("alice", "leases"), f"alice{SYSTEM}:leases;")
PAST = "2020-01-01T00:00:00.000000Z"


def lease(key, value=1, **more):
    new = put(key, value, user="alice", namespace="leases", **more)
    return new._replace(id=LEASES.start + encode_key(key))


def ids(page):
    return [document.id for document in page.documents]


def raw(backend):
    """Return the ids of all documents but design documents."""
    return [row["id"] for row in backend._session.get("_all_docs")["rows"] if not row["id"].startswith("_")]


def plant_flag(backend, id):
    """Write the flag of a record that does not exist."""
    bulk_docs(backend._session, [flag_of(id)], [flag_text(id)])


def test_they_are_read_written_counted_listed_and_removed_as_others_are(backend):
    writes = [lease(key) for key in ("a", "b", "c")]
    assert all(outcome.done for outcome in backend.write(writes))
    assert backend.write([Touch(writes[0].id, at(0), at(60))]) == [Outcome(True)]
    backend.record_access([Access(writes[1].id, at(0), 3, "reader", at(1))])
    found = backend.read([write.id for write in writes], Fields.ALL)
    assert [found[write.id].expires_at for write in writes] == [at(60), None, None]
    assert found[writes[1].id].access_count == 3
    for fields in (Fields.KEY, Fields.VALUE, Fields.ALL):
        assert ids(backend.scan(LEASES, fields, 10)) == [write.id for write in writes]
        assert ids(backend.scan(LEASES, fields, 2, reverse=True)) == [writes[2].id, writes[1].id]
    assert backend.purge(at(90), LEASES) == 1
    assert backend.write([Delete(writes[1].id, at(0), writes[1].revision, certain=True)]) == [Outcome(True)]
    assert ids(backend.scan(LEASES, Fields.KEY, 10)) == [writes[2].id]


@pytest.mark.parametrize("number", [3, 30], ids=["few", "many"])
def test_a_listing_of_them_knows_when_they_expire(backend, url, number):
    """By their ids, or by the index, which has them under the user's name."""
    backend.write([lease(f"k{each:02}", expires_at=at(60)) for each in range(number)])
    with datastore.connect(url) as other:
        page = other.backend.scan(LEASES, Fields.KEY, 100)
    assert [document.expires_at for document in page.documents] == [at(60)] * number


@pytest.mark.parametrize("views", [True, False], ids=["views", "no views"])
def test_no_call_of_an_agent_meets_them_and_forgetting_the_user_removes_them(store, backend, views):
    """Nor one of a user who is called as their ids begin."""
    if not views:
        couchdb.remove_design(store, RECORD_VIEWS)
        backend._schema.indexes -= {RECORD_VIEWS}
    agent, namesake = store.agent("alice", "a", "leases"), store.agent("alice%.", "a", "leases")
    agent.set("k", {"n": 1})
    backend.write([lease("k", {"n": 1}), lease("old", expires_at=PAST), lease("other", {"n": 1}, expires_at=at(60))])
    assert agent.get_record("k").created_by_agent == "a"
    assert agent.get_all() == agent.find({"n": 1}) == agent.find(meta={"key": "k"}) == {"k": {"n": 1}}
    assert (agent.count(), agent.list_namespaces()) == (1, ["leases"])
    assert (namesake.count(), namesake.list_namespaces(), namesake.list_keys()) == (0, [], [])
    assert agent.purge_expired() == 1
    assert agent.clear() == 1
    assert agent.list_namespaces() == []
    assert sorted(ids(backend.scan(LEASES, Fields.KEY, 10))) == sorted(lease(key).id for key in ("k", "other"))
    agent.set("k", 1)
    namesake.set("k", 1)
    assert store.forget("alice") == (1, 0)
    assert ids(backend.scan(LEASES, Fields.KEY, 10)) == []
    assert [id for id in raw(backend) if not is_flag(id)] == ["alice%25.:leases:" + encode_key("k")]


def test_the_index_of_a_declared_field_shows_none(store, backend):
    agent = store.agent("alice", "a", "leases")
    store.ensure_index(["n"])
    agent.set("k", {"n": 1})
    backend.write([lease("k", {"n": 1}), lease("other", {"n": 1})])
    assert agent.find({"n": 1}) == {"k": {"n": 1}}


def test_a_purge_of_all_users_removes_those_that_are_expired_and_their_flags(store, backend):
    backend.write([lease("old", expires_at=PAST), lease("new")])
    plant_flag(backend, lease("gone").id)
    assert raw(backend) == sorted(
        [flag_of(lease("gone").id), lease("new").id, lease("old").id, flag_of(lease("old").id)]
    )
    store.purge_expired()
    assert raw(backend) == [lease("new").id]


def test_a_flag_that_has_outlived_its_system_record_is_no_record(backend):
    plant_flag(backend, lease("gone").id)
    for fields in (Fields.KEY, Fields.VALUE, Fields.ALL):
        page = backend.scan(LEASES, fields, 10)
        assert (list(page.documents), list(page.damaged)) == ([], [])
    assert backend.forget(system_range("alice"), at(0)) == (0, 0)
    assert raw(backend) == []


@pytest.mark.parametrize("fields", [Fields.KEY, Fields.VALUE, Fields.ALL])
@pytest.mark.parametrize("reverse", [False, True])
def test_neither_design_documents_nor_flags_disturb_listings_of_all_users(store, backend, fields, reverse):
    """Page by page, whatever the size of the pages."""
    users = ["ALICE", "_under", "alice", "zoe"]
    for user in users:
        store.agent(user, "a").set("k", 1)
        store.agent(user, "a").set("expiring", 1, ttl=3_600)
    backend.write([lease("k"), lease("expiring", expires_at=at(60))])
    plant_flag(backend, id_of("gone", "default", "bob"))
    store.ensure_index(["n"])
    expected = sorted(id for id in raw(backend) if not is_flag(id))
    assert len(expected) == 2 * len(users) + 2
    for limit in (1, 2, 3, 100):
        found, after = [], None
        while True:
            page = backend.scan(EVERYTHING, fields, limit, after, reverse)
            assert not page.damaged
            found += ids(page)
            after = page.after
            if after is None:
                break
        assert found == (expected[::-1] if reverse else expected)


def test_users_and_records_are_of_records_alone(store, backend):
    for user in ("ALICE", "zoe"):
        store.agent(user, "a").set("k", 1, ttl=3_600)
    backend.write([lease("k")])
    plant_flag(backend, id_of("gone", "default", "bob"))
    assert sorted(store.users()) == ["ALICE", "zoe"]
    assert sorted(record.user_id for record in store.records()) == ["ALICE", "zoe"]
    beyond = IdRange("ALICE;", EVERYTHING.end)
    assert ids(backend.scan(beyond, Fields.ALL, 100)) == [lease("k").id, id_of("k", "default", "zoe")]
