"""Versions of the format: refused, and told apart."""

import pytest

import datastore
from datastore import BackendUnusableError, ConfigurationError
from datastore.formats import FORMAT

pytestmark = pytest.mark.server("redis")


@pytest.mark.parametrize(
    ("stored", "error"),
    [(str(FORMAT + 1), BackendUnusableError), ("1", ConfigurationError)],
)
def test_another_format_is_refused_and_left_as_it_was(url, ask, agent, backend, stored, error):
    agent.set("k", 1)
    name = backend._session.names.format
    ask("SET", name, stored)
    with pytest.raises(error, match="left untouched"):
        datastore.connect(url)
    assert ask("GET", name) == stored.encode()


@pytest.mark.parametrize("options", ["", "?create=false"])
def test_a_store_that_was_emptied_can_be_opened_while_another_one_writes_on(url, ask, agent, backend, options):
    """No earlier version knew Redis: records without a format are of this one."""
    agent.set("k", 1)
    ask("FLUSHALL")
    agent.set("k", 2)
    with datastore.connect(url + options) as store:
        assert store.agent("ann", "planner", agent.namespace).get("k") is None
        assert store.agent(agent.user_id, "planner", agent.namespace).get("k") == 2
    assert ask("GET", backend._session.names.format) == (None if options else str(FORMAT).encode())


def test_what_another_program_keeps_under_the_name_of_the_users_is_no_store(url, ask, backend):
    names = backend._session.names
    ask("DEL", names.format)
    ask("SADD", names.users, "ann")
    with pytest.raises(ConfigurationError, match="left untouched"):
        datastore.connect(url)
    assert ask("GET", names.format) is None
