"""A record knows its last writes and counts, in two fields that nobody else ever sees."""

from __future__ import annotations

import pytest

from datastore.adapters.remembering import REMEMBERED
from datastore.conformance.documents import id_of, put, stored

pytestmark = pytest.mark.server("couchdb")


@pytest.mark.parametrize("others", [0, REMEMBERED - 1])
def test_documents_without_marks_know_the_write_that_comes_next(backend, others):
    """They were written before there were marks, or by hand."""
    backend.write([put("k", 1, revision="first")])
    session = backend._session
    document = session.get_document(id_of("k"))
    document.pop("recentWrites")
    session.post("_bulk_docs", {"docs": [document]})
    mine = put("k", "mine", if_revision="first")
    assert backend.write([mine])[0].done
    for number in range(others):
        assert backend.write([put("k", number)])[0].done
    assert backend.write([mine])[0].done
    assert stored(backend, "k").value == (others - 1 if others else "mine")


def test_marks_are_in_the_document_and_in_nothing_that_is_handed_out(store, agent):
    agent.set("k", 1)
    agent.get("k")
    store.flush()
    document = store.backend._session.get_document(id_of("k", "default", "u"))
    assert (len(document["recentWrites"]), len(document["recentCounts"])) == (8, 8)
    assert "recent" not in agent.get_record("k").model_dump_json(by_alias=True)
    for number in range(20):
        agent.set("k", number)
        agent.get("k")
        store.flush()
    document = store.backend._session.get_document(id_of("k", "default", "u"))
    assert (len(document["recentWrites"]), len(document["recentCounts"])) == (128, 128)
