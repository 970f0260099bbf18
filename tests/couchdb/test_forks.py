"""A fork goes on with nothing of what its parent has sent."""

from __future__ import annotations

import pytest

from datastore import BackendUnavailableError
from datastore.backend import Access, Delete, Fields
from datastore.conformance.documents import at, id_of, put
from tests.servers.strict_couchdb import meanwhile, reset

pytestmark = pytest.mark.server("couchdb")
OWN_DATABASES = True  # who is cut off from an answer does not know when the server is done


def test_what_is_remembered_of_lost_answers_is_forgotten_after_a_fork(backend, proxy):
    writer, counter = backend._writer, backend._counter
    backend.write([put(f"k{number}", 1) for number in range(3)])
    documents = backend.read([id_of(f"k{number}") for number in range(3)], Fields.ALL)
    proxy.fail("POST _bulk_docs", reset)
    proxy.fail("POST _bulk_get", reset)
    with pytest.raises(BackendUnavailableError):
        backend.write([Delete(id, at(1)) for id in documents])
    assert len(writer.unanswered) == 3
    proxy.clear_faults()
    proxy.fail("POST _bulk_docs", reset)
    proxy.fail("POST _bulk_get", meanwhile(lambda: None), reset)
    with pytest.raises(BackendUnavailableError):
        counter.record([Access(id, one.created_at, 1, "a", at(1)) for id, one in documents.items()])
    assert len(counter.accounts) == 3
    backend.after_fork()
    assert not writer.unanswered
    assert not counter.accounts
