"""Versions of the format: refused, and told apart."""

import pytest

import datastore
from datastore import BackendUnusableError, ConfigurationError
from datastore.formats import FORMAT

pytestmark = pytest.mark.server("redis")


@pytest.mark.parametrize(
    ("stored", "error"),
    [(str(FORMAT + 1), BackendUnusableError), ("1", ConfigurationError), (None, ConfigurationError)],
)
def test_another_format_is_refused_and_left_as_it_was(url, ask, agent, backend, stored, error):
    agent.set("k", 1)
    name = backend._session.names.format
    ask("DEL", name) if stored is None else ask("SET", name, stored)
    with pytest.raises(error, match="left untouched"):
        datastore.connect(url)
    assert ask("GET", name) == (None if stored is None else stored.encode())
