"""Accesses: counted once whatever happens, in the server."""

import pytest

from datastore import BackendUnavailableError
from datastore.backend import Access, Fields
from datastore.conformance.documents import at, id_of, put

pytestmark = pytest.mark.server("postgresql")


def accesses(backend, number, moment=1):
    found = backend.read([id_of("k0"), id_of("k1")], Fields.VALUE)
    return [Access(id, one.created_at, number, "reader", at(moment)) for id, one in found.items()]


def test_an_answer_that_is_lost_counts_nothing_twice(backend, wire):
    backend.write([put("k0", 1), put("k1", 1)])
    some = accesses(backend, 2)
    wire.meet("unanswered")
    backend.record_access(some)
    wire.meet("unanswered", "unanswered")
    with pytest.raises(BackendUnavailableError):
        backend.record_access(some)
    backend.record_access([one._replace(number=5) for one in some])
    found = backend.read([id_of("k0"), id_of("k1")], Fields.ALL)
    assert [one.access_count for one in found.values()] == [7, 7]


def test_the_last_access_never_goes_back_and_a_later_record_is_not_counted(backend):
    backend.write([put("k0", 1), put("k1", 1)])
    some = accesses(backend, 1, 5)
    backend.record_access(some)
    backend.record_access([one._replace(at=at(3), agent="late") for one in some])
    found = backend.read([id_of("k0")], Fields.ALL)[id_of("k0")]
    assert (found.access_count, found.last_accessed_at, found.last_accessed_by_agent) == (2, at(5), "reader")
    backend.record_access([one._replace(created_at=at(9)) for one in some])
    assert backend.read([id_of("k0")], Fields.ALL)[id_of("k0")] == found
