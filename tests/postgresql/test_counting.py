"""Accesses: counted once whatever happens, in the server."""

import pytest

from tests.adapters.connections import CountedOnce

pytestmark = pytest.mark.server("postgresql")


class TestCountedOnce(CountedOnce):
    pass


def test_what_is_known_of_a_record_stays_known_when_it_is_counted(store, agent, wire):
    """So the next write needs no read before it."""
    agent.set_many({"a": 1, "b": 2}, {"by": "us"})
    agent.get_many(["a", "b"])
    store.flush()
    assert wire.of(lambda: agent.set_many({"a": 3, "b": 4}, {"more": True})) == 1
    assert [one.access_count for one in agent.get_records(["a", "b"]).values()] == [1, 1]
