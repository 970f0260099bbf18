"""Leases: their requests, and what a hash remembers of them."""

import pytest

from datastore.backend import Delete, Fence
from datastore.conformance.documents import at, id_of, put

pytestmark = pytest.mark.server("redis")


def test_taking_renewing_and_releasing_take_2_1_and_1(agent, wire):
    agent.lease("work", renew=False).release()
    taken = []
    assert wire.of(lambda: taken.append(agent.lease("work", renew=False))) == 2
    assert wire.of(taken[0].renew) == 1
    assert wire.of(taken[0].release) == 1


def test_what_a_record_remembers_is_a_field_of_it_even_when_it_is_deleted(backend, ask):
    key = backend._session.names.record(id_of("key"))
    backend.write([put("key", 1)])
    assert ask("HGET", key, "fences") is None
    backend.write([put("key", 1)._replace(fence=Fence("0" * 16, 7))])
    assert ask("HGET", key, "fences") == b"0000000000000000:000000000007"
    backend.write([Delete(id_of("key"), at(1), fence=Fence("f" * 16, 8))])
    assert ask("HMGET", key, "fences", "value", "expiresAt") == [
        b"ffffffffffffffff:000000000008 0000000000000000:000000000007", b"null", b"1970-01-01T00:00:00.000000Z",
    ]  # fmt: skip
    assert 86_000_000 < ask("PTTL", key) <= 86_400_000
