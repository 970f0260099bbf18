"""Leases: their requests, counted at the channel, and what of them lies in the collection."""

import pytest

from datastore.backend import Delete, Fence
from datastore.conformance.documents import at, id_of, put

pytestmark = pytest.mark.server("firestore")


def requests(recorder, call):
    recorder.clear()
    call()
    return recorder.requests


def test_taking_renewing_and_releasing_take_2_1_and_1(agent, recorder):
    taken = []
    lookup = requests(recorder, lambda: taken.append(agent.lease("work", renew=False)))
    assert lookup == ["BatchGetDocuments", "Commit"]
    assert requests(recorder, taken[0].renew) == ["Commit"]
    assert requests(recorder, taken[0].release) == ["Commit"]


def test_a_set_under_a_lease_takes_as_many_as_without(agent, recorder):
    lease = agent.lease("work", renew=False)
    for store, key in ((agent, "a"), (lease.data_store, "b")):
        for call in (
            lambda: store.set(key, 1),  # noqa: B023 - called at once
            lambda: store.set(key, 2, {"m": 1}),  # noqa: B023 - as above
            lambda: store.touch(key, ttl=60),  # noqa: B023 - as above
            lambda: store.delete(key),  # noqa: B023 - as above
        ):
            assert requests(recorder, call) == ["Commit"]


def test_a_delete_under_a_lease_of_a_record_that_is_not_known_takes_2(agent, store, recorder):
    lease = agent.lease("work", renew=False)
    agent.set("k", 1)
    store.backend._assemble()
    assert requests(recorder, lambda: lease.data_store.delete("k")) == ["BatchGetDocuments", "Commit"]


def test_what_a_document_remembers_is_a_field_of_it(backend, store):
    def stored(id):
        connection = store.backend._connection
        name = connection._settings.prefix + id
        return connection.batch_get([name], None)[name].fields

    backend.write([put("key", 1)])
    assert "fences" not in stored(id_of("key"))
    backend.write([put("key", 1)._replace(fence=Fence("0" * 16, 7))])
    assert stored(id_of("key"))["fences"].string_value == "0000000000000000:000000000007"
    backend.write([Delete(id_of("key"), at(1), fence=Fence("f" * 16, 8))])
    found = stored(id_of("key"))
    assert found["fences"].string_value == "ffffffffffffffff:000000000008 0000000000000000:000000000007"
    assert found["expiresAt"].timestamp_value.seconds == 0
