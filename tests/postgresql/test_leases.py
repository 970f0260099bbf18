"""Leases: their requests, and what a row remembers of them."""

import pytest

from datastore.backend import Delete, Fence
from datastore.conformance.documents import at, id_of, put

pytestmark = pytest.mark.server("postgresql")


def test_taking_renewing_and_releasing_take_2_1_and_1(agent, wire):
    agent.lease("work", renew=False).release()
    taken = []
    assert wire.of(lambda: taken.append(agent.lease("work", renew=False))) == 2
    assert wire.of(taken[0].renew) == 1
    assert wire.of(taken[0].release) == 1


def test_what_a_record_remembers_is_a_column_of_it_even_when_it_is_deleted(backend, sql):
    def stored():
        return sql('SELECT "fences", "value", "expiresAt" FROM agent_data_store')

    backend.write([put("key", 1)])
    assert stored() == [(None, 1, None)]
    backend.write([put("key", 1)._replace(fence=Fence("0" * 16, 7))])
    assert stored() == [("0000000000000000:000000000007", 1, None)]
    backend.write([Delete(id_of("key"), at(1), fence=Fence("f" * 16, 8))])
    both = "ffffffffffffffff:000000000008 0000000000000000:000000000007"
    assert stored() == [(both, None, "1970-01-01T00:00:00.000000Z")]
