"""Restoring: a page of documents is one statement, and its outcomes are those of one document after the other."""

from __future__ import annotations

import pytest

from datastore.backend import Document, Fields, Outcome, Restore
from datastore.conformance.documents import at, id_of, put
from datastore.values import encode
from tests.sqlite.files import connect

DONE = Outcome(True)


@pytest.fixture
def backend(tmp_path):
    with connect(tmp_path / "a.db") as store:
        yield store.backend


def restoring(key, revision="restored", if_revision=None):
    whole = Document(id_of(key), at(0), revision, None, key, {"a": key}, "creator", at(1), 7, "reader", at(2), "writer")
    return Restore(whole, "user", "ns", key, encode(key), at(5), if_revision)


def found(backend, *keys):
    there = backend.read([id_of(key) for key in keys], Fields.ALL)
    return [there.get(id_of(key)) for key in keys]


def test_new_documents_are_written_whole(backend):
    restores = [restoring(key) for key in "abc"]
    assert backend.restore(restores) == [DONE] * 3
    assert found(backend, *"abc") == [restore.document for restore in restores]


def test_an_expired_document_counts_as_missing(backend):
    backend.write([put("b", "old", expires_at=at(4))])
    assert backend.restore([restoring(key) for key in "abc"]) == [DONE] * 3
    assert found(backend, "b") == [restoring("b").document]


@pytest.mark.parametrize("live", ["a", "b", "c", "ac", "abc"])
def test_one_that_is_there_is_left_and_told_from_the_others(backend, live):
    backend.write([put(key, "old", revision=f"of {key}") for key in live])
    outcomes = backend.restore([restoring(key) for key in "abc"])
    assert outcomes == [Outcome(False, f"of {key}") if key in live else DONE for key in "abc"]
    for key, document in zip("abc", found(backend, *"abc"), strict=True):
        assert (document.value, document.metadata) == (("old", {}) if key in live else (key, {"a": key}))


def test_documents_to_replace_are_told_from_new_ones(backend):
    backend.write([put("b", "old", revision="first"), put("c", "old", revision="other")])
    outcomes = backend.restore([restoring("a"), restoring("b", if_revision="first"), restoring("c", if_revision="x")])
    assert outcomes == [DONE, DONE, Outcome(False, "other")]
    assert [document.value for document in found(backend, *"abc")] == ["a", "b", "old"]


def test_a_page_of_new_documents_is_one_transaction(backend):
    statements = []
    connection = backend._writer._connections.take(None)
    connection.set_trace_callback(statements.append)
    backend._writer._connections.give_back(connection)
    backend.restore([restoring(f"k{number}") for number in range(500)])
    assert sum(statement.startswith("BEGIN") for statement in statements) == 1
    assert not any("SELECT" in statement for statement in statements)
