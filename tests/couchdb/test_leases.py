"""Leases: their requests, counted at the transport, and what of them lies in the database."""

import pytest

from datastore.backend import Delete, Fence
from datastore.conformance.documents import at, id_of, put

pytestmark = pytest.mark.server("couchdb")


def test_taking_renewing_and_releasing_take_2_1_and_1(agent, asked):
    with asked() as requests:
        lease = agent.lease("work", renew=False)
    assert requests == ["GET db/doc", "POST _bulk_docs"]
    for call in (lease.renew, lease.release):
        with asked() as requests:
            call()
        assert requests == ["POST _bulk_docs"]


def test_a_write_under_a_lease_takes_as_many_as_without(agent, stranger, asked):
    lease = agent.lease("work", renew=False)
    for store in (agent, lease.data_store):
        stranger.set("k", 1)
        for call, expected in (
            (lambda one: one.set("k", 2), ["POST _bulk_docs", "GET db/doc", "POST _bulk_docs"]),
            (lambda one: one.set("k", 3), ["POST _bulk_docs"]),
            (lambda one: one.touch("k", ttl=60), ["GET db/doc", "POST _bulk_docs"]),
            (lambda one: one.set_many({"k": 1, "l": 1}), ["POST _bulk_docs"]),
            (lambda one: one.delete("k"), ["POST _bulk_docs"]),
            (lambda one: one.delete("k"), ["GET db/doc"]),
        ):
            with asked() as requests:
                call(store)
            assert requests == expected
        store.delete("l")


def test_what_a_document_remembers_is_a_field_of_it(backend):
    def server_document(key):
        rows = backend._session.get("_all_docs", {"include_docs": True})["rows"]
        return next(row["doc"] for row in rows if row["id"] == id_of(key))

    backend.write([put("key", 1)])
    assert "fences" not in server_document("key")
    backend.write([put("key", 1)._replace(fence=Fence("0" * 16, 7))])
    assert server_document("key")["fences"] == "0000000000000000:000000000007"
    backend.write([Delete(id_of("key"), at(1), fence=Fence("f" * 16, 8))])
    found = server_document("key")
    assert found["fences"] == "ffffffffffffffff:000000000008 0000000000000000:000000000007"
    assert (found["value"], found["metadata"], found["expiresAt"]) == (None, {}, "1970-01-01T00:00:00.000000Z")
