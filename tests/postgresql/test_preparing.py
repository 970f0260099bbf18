"""Statements that are prepared where the URL says so: a session that forgets them is found out, and costs no call."""

import pytest

import datastore

pytestmark = pytest.mark.server("postgresql")


@pytest.fixture(name="prepared")
def open_one_that_prepares(url):
    with datastore.connect(f"{url}?prepare=true") as store:
        yield store


def prepared_in(store):
    ((number,),) = store.backend._session.ask("SELECT count(*) FROM pg_prepared_statements")
    return number


def use(store):
    agent = store.agent("ann", "planner")
    for number in range(5):
        agent.set(f"k{number}", number)
        assert agent.get(f"k{number}") == number
    return agent


def test_statements_are_prepared_where_the_url_says_so_and_nowhere_else(url, prepared):
    use(prepared)
    assert prepared_in(prepared) >= 2
    with datastore.connect(url) as plain:
        use(plain)
        assert prepared_in(plain) == 0


def test_a_session_that_has_forgotten_what_was_prepared_is_left(prepared):
    """As after ``DISCARD ALL`` of a pooler, or behind one that hands the next request to another server session."""
    forget = "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"  # the client does not look into it
    agent = use(prepared)
    prepared.backend._session.ask(forget)
    assert agent.get("k0") == 0
    assert prepared_in(prepared) == 0  # it is another connection
    use(prepared)
    prepared.backend._session.ask(forget)
    assert agent.increment("n") == 1
    assert agent.get("n") == 1
