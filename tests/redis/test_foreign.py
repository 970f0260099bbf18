"""What other programs have in the same Redis: it is neither read nor harmed."""

import pytest

import datastore
from datastore import ConfigurationError, DamagedRecordError
from datastore.ids import encode_id
from tests.servers import redis

pytestmark = pytest.mark.server("redis")


def test_keys_beside_the_stores_are_not_the_stores(url, store, agent, ask):
    ask("SET", "agents", "theirs")
    ask("HSET", "agent_data_store", "theirs", 1)
    agent.set("k", 1)
    assert store.backend.users(10) == ["u"]
    store.forget("u")
    store.backend.drop()
    with datastore.connect(url) as again:
        assert again.backend._session.ask(("GET", "agents"), ("HLEN", "agent_data_store")) == [b"theirs", 1]


@pytest.mark.parametrize("plant", [("SET",), ("RPUSH",), ("HSET", "theirs")], ids=lambda plant: plant[0])
def test_something_else_under_the_key_of_a_record(store, agent, backend, ask, plant):
    id = encode_id("u", "default", "k")
    key = backend._session.names.record(id)
    command, *names = plant
    ask(command, key, *names, "x")
    for call in (lambda: agent.set("k", 1), lambda: agent.add("k", 1), lambda: agent.set_many({"k": 1})):
        with pytest.raises((DamagedRecordError, datastore.BatchError), match=r"another program|not one that the store"):
            call()
    if command != "HSET":
        with pytest.raises(DamagedRecordError, match="another program"):
            agent.get("k")
    assert agent.clear() == 0
    assert store.forget("u") == (0, 0)
    assert ask("EXISTS", key) == 1


def test_two_stores_of_one_database_do_not_meet(url):
    other = redis.borrow()
    with datastore.connect(url) as first, datastore.connect(other) as second:
        first.agent("u", "a").set("k", 1)
        assert second.agent("u", "a").get("k") is None
        second.backend.drop()
        assert first.agent("u", "a").get("k") == 1


def test_a_store_that_may_not_be_made_is_not(url):
    for how in ({"create": "false"}, {"mode": "ro"}):
        with pytest.raises(ConfigurationError, match="may not be made"):
            datastore.connect(url, **how)
    with datastore.connect(url) as store:
        assert store.backend._session.ask(("KEYS", "*")) == [[store.backend._session.names.format.encode()]]
    with datastore.connect(url, create=False) as store:
        store.agent("u", "a").set("k", 1)
