"""Statements are prepared where no pooler is in between. A session that forgets them is left, at no cost to a call."""

import pytest

import datastore
from datastore_postgresql import client
from tests.servers import postgresql

pytestmark = pytest.mark.server("postgresql")


def prepared_in(store):
    ((number,),) = store.backend._session.ask("SELECT count(*) FROM pg_prepared_statements")
    return number


def use(store):
    agent = store.agent("ann", "planner")
    for number in range(5):
        agent.set(f"k{number}", number)
        assert agent.get(f"k{number}") == number
    return agent


@pytest.mark.parametrize(("asked", "prepares"), [("", True), ("?prepare=true", True), ("?prepare=false", False)])
def test_statements_are_prepared_unless_the_url_says_otherwise(url, asked, prepares):
    with datastore.connect(url + asked) as store:
        use(store)
        assert (prepared_in(store) >= 2) is prepares


@pytest.mark.server("pgbouncer")
@pytest.mark.parametrize(("asked", "prepares"), [("", False), ("&prepare=true", True)])
def test_behind_a_pooler_they_are_only_if_the_url_says_so(url, asked, prepares, monkeypatch):
    """It tells its clients processes that are not the server's."""
    opened = []
    connect = client.Connection.connect

    def noted(**options):
        opened.append(connect(**options))
        return opened[-1]

    monkeypatch.setattr(client.Connection, "connect", noted)
    pooled = url.replace(str(postgresql.server().port), str(postgresql.pooler().port))
    with datastore.connect(f"{pooled}?pool=1{asked}") as store:
        use(store)
        assert [bool(one._names) for one in opened] == [prepares]


def test_a_connection_keeps_some_statements_prepared_and_those_that_are_used(url, monkeypatch):
    monkeypatch.setattr(client, "_MOST_PREPARED", 3)
    with datastore.connect(url) as store:
        session = store.backend._session
        for number in range(12):
            for _ in range(4):
                assert session.ask("SELECT 1", ()) == [(1,)]
                assert session.ask(f"SELECT {number}, %s", (None,)) == [(number, None)]
        names = session.ask("SELECT statement FROM pg_prepared_statements")
        assert len(names) == 3
        assert ("SELECT 1",) in names
        assert ("SELECT 11, $1",) in names


def test_a_session_that_has_forgotten_what_was_prepared_is_left(store):
    """As after ``DISCARD ALL`` of a pooler, or behind one that hands the next request to another server session."""
    forget = "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"  # the client does not look into it
    agent = use(store)
    store.backend._session.ask(forget)
    assert agent.get("k0") == 0
    assert prepared_in(store) == 0  # it is another connection
    use(store)
    store.backend._session.ask(forget)
    assert agent.increment("n") == 1
    assert agent.get("n") == 1
