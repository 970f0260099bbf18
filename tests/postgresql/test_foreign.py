"""What other programs have in the same database: it is neither read nor harmed."""

import pytest

import datastore
from datastore import ConfigurationError, DamagedRecordError
from datastore.ids import encode_id
from tests.servers import postgresql

pytestmark = pytest.mark.server("postgresql")


def test_tables_beside_the_stores_stay(url, store, agent, sql):
    sql("CREATE TABLE theirs (n int)")
    agent.set("k", 1)
    store.forget("u")
    store.backend.drop()
    assert sql("SELECT count(*) FROM theirs") == [(0,)]
    with datastore.connect(url) as again:
        assert again.agent("u", "a").list_keys() == []


def test_a_store_that_is_dropped_leaves_nothing(url, store, sql):
    store.backend.drop()
    assert sql("SELECT count(*) FROM pg_namespace WHERE nspname = %s", url.rpartition("/")[2]) == [(0,)]


def test_a_row_of_another_program(store, agent, sql):
    sql('INSERT INTO agent_data_store ("_id", "value") VALUES (%s, \'1\')', encode_id("u", "default", "k"))
    for call in (lambda: agent.set("k", 1), lambda: agent.add("k", 1), lambda: agent.set_many({"k": 1})):
        with pytest.raises((DamagedRecordError, datastore.BatchError), match=r"another program|not one that the store"):
            call()
    with pytest.raises(DamagedRecordError, match="another program"):
        agent.get("k")
    assert agent.clear() == 0
    assert store.forget("u") == (0, 0)
    assert sql("SELECT count(*) FROM agent_data_store") == [(1,)]
    assert agent.delete("k")


def test_two_stores_of_one_database_do_not_meet(url):
    other = postgresql.borrow()
    with datastore.connect(url) as first, datastore.connect(other) as second:
        first.agent("u", "a").set("k", 1)
        assert second.agent("u", "a").get("k") is None
        second.backend.drop()
        assert first.agent("u", "a").get("k") == 1


def test_a_store_that_may_not_be_made_is_not(url, sql):
    for how in ({"create": "false"}, {"mode": "ro"}):
        with pytest.raises(ConfigurationError, match="may not be made"):
            datastore.connect(url, **how)
    assert sql("SELECT to_regnamespace(%s) IS NULL", url.rpartition("/")[2]) == [(True,)]
    datastore.connect(url).close()
    with datastore.connect(url, create=False) as store:
        store.agent("u", "a").set("k", 1)
