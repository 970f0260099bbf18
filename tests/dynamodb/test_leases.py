"""Leases: their requests, counted at the client, and what of them lies in the table."""

import pytest

from datastore.backend import Delete, Fence
from datastore.conformance.documents import at, id_of, put
from datastore_dynamodb.items import key_of

pytestmark = pytest.mark.server("dynamodb")


def operations(wire, call):
    wire.requests.clear()
    call()
    return wire.operations


def test_taking_renewing_and_releasing_take_2_1_and_1(agent, wire):
    lease = agent.lease("work", renew=False)
    lease.release()
    taken = []
    assert operations(wire, lambda: taken.append(agent.lease("work", renew=False))) == ["GetItem", "UpdateItem"]
    assert operations(wire, taken[0].renew) == ["UpdateItem"]
    assert operations(wire, taken[0].release) == ["UpdateItem"]


def test_a_set_under_a_lease_takes_1_whatever_is_known_of_the_record(agent, stranger, wire):
    lease = agent.lease("work", renew=False)
    stranger.set("k", 1)
    for store in (agent, lease.data_store):
        assert operations(wire, lambda store=store: store.set("k", 2)) == ["UpdateItem"]
        assert operations(wire, lambda store=store: store.set("k", 3)) == ["UpdateItem"]
        assert operations(wire, lambda store=store: store.set_many({"k": 1, "l": 1})) == ["TransactWriteItems"]


def test_after_another_lease_a_set_takes_2_more(agent, wire):
    first, second = agent.lease("first", renew=False), agent.lease("second", renew=False)
    first.data_store.set("k", 1)
    expected = ["UpdateItem", "UpdateItem"]
    assert operations(wire, lambda: second.data_store.set("k", 2)) == expected
    assert agent.get("k") == 2


def test_a_delete_and_a_touch_under_a_lease_take_2(agent, wire):
    lease = agent.lease("work", renew=False)
    lease.data_store.set("k", 1)
    assert operations(wire, lambda: lease.data_store.touch("k", ttl=60)) == ["GetItem", "UpdateItem"]
    assert operations(wire, lambda: lease.data_store.delete("k")) == ["GetItem", "PutItem"]
    assert operations(wire, lambda: lease.data_store.delete("k")) == ["GetItem"]


def test_what_an_item_remembers_is_an_attribute_of_it(backend, client, store):
    def item():
        return client.get_item(TableName=backend._connection.settings.table, Key=key_of(id_of("key")))["Item"]

    backend.write([put("key", 1)])
    assert "fences" not in item()
    backend.write([put("key", 1)._replace(fence=Fence("0" * 16, 7))])
    assert item()["fences"] == {"S": "0000000000000000:000000000007"}
    backend.write([Delete(id_of("key"), at(1), fence=Fence("f" * 16, 8))])
    found = item()
    assert found["fences"] == {"S": "ffffffffffffffff:000000000008 0000000000000000:000000000007"}
    assert (found["value"], found["expiresAt"]) == ({"NULL": True}, {"S": "1970-01-01T00:00:00.000000Z"})
