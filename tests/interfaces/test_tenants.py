"""Isolation by database: the names of tenants' databases, and their files."""

from __future__ import annotations

import sqlite3
from functools import partial
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

import datastore
from datastore import BackendUnavailableError, ClosedError, ConfigurationError, InvalidNameError
from datastore.backend import Fields
from datastore.conformance.races import race
from datastore.conformance.samples import ODD_NAMES
from datastore.ids import decode_id
from datastore.moving import copy, digest_of
from datastore.tenants.names import decode_tenant, encode_tenant


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_name_decodes_to_what_it_was_made_of(user_id):
    name = encode_tenant(user_id)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert decode_tenant(name) == user_id


def test_no_two_odd_names_share_a_database_even_where_case_does_not_count():
    assert len({encode_tenant(user_id).lower() for user_id in ODD_NAMES}) == len(ODD_NAMES)


@pytest.mark.parametrize("name", ["", "a-b", "A", "_", "_4", "_4G", "_61", "_ff", "_c3", "a.b", "a\n"])
def test_a_name_that_was_not_made_here_is_nobodys(name):
    with pytest.raises(ValueError):
        decode_tenant(name)


def test_each_tenant_is_a_file_beside_the_one_that_the_url_names(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/my-agents.db?isolation=database") as store:
        assert list(tmp_path.iterdir()) == []
        store.agent("ann@example.com", "a").set("k", "ann")
        store.agent("Bob", "a").set("k", "bob")
    files = {"my-agents-ann_40example_2ecom.db": "ann", "my-agents-_42ob.db": "bob"}
    assert {path.name for path in tmp_path.iterdir()} == set(files)
    for name, value in files.items():
        connection = sqlite3.connect(tmp_path / name)
        assert connection.execute("SELECT value FROM agent_data_store").fetchall() == [(f'"{value}"',)]
        connection.close()


def test_dropping_leaves_no_file_of_the_tenant_and_all_others(tmp_path):
    others = ["agents-anne.db", "agents-ann.db.bak", "agents-ann-1.db", "agents.db", "ann.db"]
    for name in others:
        (tmp_path / name).write_text("something else")
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db", isolation="database") as store:
        store.agent("ann", "a").set("k", 1)
        assert store.tenants() == ["ann"], "the others only have names like it"
        assert store.drop_tenant("ann", confirm="ann")
        assert {path.name for path in tmp_path.iterdir()} == set(others)


def test_two_stores_whose_names_begin_alike_do_not_take_each_others_tenants(tmp_path):
    with (
        datastore.connect(f"sqlite:///{tmp_path}/app.db", isolation="database") as app,
        datastore.connect(f"sqlite:///{tmp_path}/app-test.db", isolation="database") as test,
    ):
        app.agent("test-bob", "a").set("k", "app")
        test.agent("bob", "a").set("k", "test")
        assert (app.tenants(), test.tenants()) == (["test-bob"], ["bob"])
        assert app.drop_tenant("test-bob", confirm="test-bob")
        assert test.agent("bob", "a").get("k") == "test"


def test_the_longest_user_id_that_fits_a_file_name_works_and_one_more_is_refused(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db", isolation="database") as store:
        room = 255 - len("agents-.db-journal")
        store.agent("u" * room, "a").set("k", 1)
        with pytest.raises(InvalidNameError, match=f"name of {room + 8} bytes; sqlite allows {room + 7}"):
            store.agent("u" * (room + 1), "a")
        assert store.tenants() == ["u" * room]


def test_create_false_makes_no_tenant(tmp_path):
    with (
        datastore.connect(f"sqlite:///{tmp_path}/agents.db", isolation="database", create=False) as store,
        pytest.raises(ConfigurationError, match="create=false"),
    ):
        store.agent("ann", "a").set("k", 1)
    assert list(tmp_path.iterdir()) == []


def test_closing_closes_every_tenant_and_what_comes_later_is_refused(tmp_path):
    store = datastore.connect(f"sqlite:///{tmp_path}/agents.db", isolation="database")
    agents = [store.agent(user, "a") for user in ("ann", "bob")]
    for agent in agents:
        agent.set("k", 1)
        agent.get("k")
    store.close()
    assert {path.name for path in tmp_path.iterdir()} == {"agents-ann.db", "agents-bob.db"}, "a connection is open"
    for call in (lambda: agents[0].get("k"), store.tenants, lambda: store.drop_tenant("ann", confirm="ann")):
        with pytest.raises(ClosedError):
            call()


def test_tenants_in_use_are_not_closed_for_want_of_room(tmp_path):
    store = datastore.connect(f"sqlite:///{tmp_path}/agents.db", isolation="database")
    store.backend.opened.databases.most_open = 1

    def work(user):
        for _ in range(30):
            store.agent(user, "a").increment("n")

    race(*(partial(work, f"user {n % 3}") for n in range(6)))
    assert [store.agent(f"user {n}", "a").get("n") for n in range(3)] == [60] * 3
    store.close()


def test_records_of_all_tenants_are_copied_out_and_in_exactly(tmp_path):
    url = f"sqlite:///{tmp_path}/agents.db"
    with (
        datastore.connect(url) as shared,
        datastore.connect(url, isolation="database") as isolated,
        datastore.connect("sqlite://:memory:") as back,
    ):
        for number, user in enumerate(["ann", "bob", "Ann", "a:b"]):
            for namespace in ("x", "y"):
                data_store = shared.agent(user, "planner", namespace)
                data_store.set_many({f"key {n}": [user, n] for n in range(number * 5)}, {"by": user})
                data_store.get_many(["key 1"])
        shared.flush()
        assert copy(shared, isolated).written == 2 * 5 * (1 + 2 + 3)
        assert isolated.tenants() == ["Ann", "a:b", "bob"], "who has no record needs no database"
        assert copy(isolated, back).written == 2 * 5 * (1 + 2 + 3)
        assert digest_of(back) == digest_of(shared) == digest_of(isolated)


def test_pages_of_all_tenants_hold_every_record_once(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db", isolation="database") as store:
        expected = set()
        for number, user in enumerate(["a", "b", "c", "d"]):
            keys = {f"key {n}" for n in range([7, 0, 14, 3][number])}
            store.agent(user, "planner").set_many(dict.fromkeys(keys, 1))
            expected |= {(user, key) for key in keys}
        store.agent("b", "planner").clear()
        backend, found, after = store.backend, [], None
        while True:
            page = backend.all_documents(Fields.KEY, 7, after)
            found += [(decode_id(document.id).user_id, decode_id(document.id).key) for document in page.documents]
            after = page.after
            if after is None:
                break
        assert len(found) == len(expected)
        assert set(found) == expected
        assert backend.document_count() == len(expected)


def test_a_store_of_tenants_can_be_dropped_as_a_whole(tmp_path):
    store = datastore.connect(f"sqlite:///{tmp_path}/agents.db", isolation="database")
    (tmp_path / "agents-of-others.db").write_text("something else")
    for user in ("ann", "bob"):
        store.agent(user, "planner").set("k", 1)
    store.backend.drop()
    assert [path.name for path in tmp_path.iterdir()] == ["agents-of-others.db"]
    store.close()


def test_a_directory_that_is_not_there_is_noticed_at_once(tmp_path):
    with pytest.raises(ConfigurationError, match="create it first"):
        datastore.connect(f"sqlite:///{tmp_path}/none/agents.db", isolation="database")


def test_counts_that_one_tenant_cannot_take_do_not_hold_up_the_others(tmp_path, caplog):
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db", isolation="database", flush_interval=3600) as store:
        agents = [store.agent(user, "a") for user in ("ann", "bob")]
        for agent in agents:
            agent.set("k", 1)
            agent.get("k")
        tenants = store.backend.opened._entries
        with patch.object(tenants["ann"].backend, "record_access", side_effect=BackendUnavailableError("away")):
            store.flush()
        assert "access counts of a tenant were lost: away" in caplog.text
        assert [agent.get_record("k").access_count for agent in agents] == [0, 1]
        agents[0].get("k")
        away = patch.object(tenants["ann"].backend, "record_access", side_effect=BackendUnavailableError("away"))
        with away, pytest.raises(BackendUnavailableError):
            store.flush()
        assert agents[0].get_record("k").access_count == 1, "kept for the next flush"


def test_an_adapter_that_knows_no_isolation_refuses_it(tmp_path):
    with pytest.raises(ConfigurationError, match="isolation"):
        datastore.connect("memory://?isolation=table")
