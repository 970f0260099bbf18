"""The contract of `Backend.record_access`, tested on the adapter itself."""

from __future__ import annotations

from datastore.backend import Access, Backend, Delete, Document, Fields
from datastore.conformance.documents import RANGE, apply, at, id_of, is_stored, put, read, stored
from datastore.conformance.topic import Topic


def access(key: str, number: int = 1, agent: str = "reader", seconds: float = 5, created: float = 0) -> Access:
    """Return some accesses to a document."""
    return Access(id_of(key), at(created), number, agent, at(seconds))


def accesses_of(document: Document) -> tuple[int, str | None, str | None]:
    """Return how often a document was accessed, and the last agent and time."""
    return document.access_count, document.last_accessed_by_agent, document.last_accessed_at


class Accesses(Topic):
    """Counting changes the access fields of existing documents, and nothing else."""

    def test_counts_are_added(self, backend: Backend) -> None:
        """The numbers are added to what is stored; the last agent and time are replaced."""
        apply(backend, [put("key", 1)])
        backend.record_access([access("key", 2, "first", 5)])
        backend.record_access([access("key", 3, "second", 6)])
        document = stored(backend, "key")
        assert accesses_of(document) == (5, "second", at(6))

    def test_nothing_else_is_touched(self, backend: Backend) -> None:
        """Value, metadata, revision, expiry and the other times stay."""
        apply(backend, [put("key", {"a": [1, 1.0]}, metadata={"b": 1}, expires_at=at(3600))])
        before = stored(backend, "key")
        backend.record_access([access("key")])
        after = stored(backend, "key")
        assert after.access_count == 1
        assert before == after._replace(access_count=0, last_accessed_by_agent=None, last_accessed_at=None)

    def test_a_later_put_keeps_the_counts(self, backend: Backend) -> None:
        """Counts belong to the document and not to its value."""
        apply(backend, [put("key", 1)])
        backend.record_access([access("key", 4)])
        apply(backend, [put("key", 2, metadata={"a": 1}, at=at(10))])
        apply(backend, [put("key", 3, at=at(11), if_revision=stored(backend, "key").revision)])
        document = stored(backend, "key")
        assert accesses_of(document) == (4, "reader", at(5))

    def test_a_document_that_is_gone_is_not_made_again(self, backend: Backend) -> None:
        """Neither a deleted document nor one that never existed is created."""
        apply(backend, [put("deleted", 1), put("there", 1)])
        apply(backend, [Delete(id_of("deleted"), at(1))])
        backend.record_access([access("deleted"), access("missing"), access("there")])
        assert not is_stored(backend, "deleted")
        assert not is_stored(backend, "missing")
        assert stored(backend, "there").access_count == 1
        assert [document.id for document in backend.scan(RANGE, Fields.KEY, 10).documents] == [id_of("there")]

    def test_a_document_created_at_another_time_is_another_one(self, backend: Backend) -> None:
        """Its accesses belong to the document before it."""
        apply(backend, [put("key", 1, at=at(1))])
        backend.record_access([access("key", created=0), access("missing", created=0)])
        document = stored(backend, "key")
        assert accesses_of(document) == (0, None, None)

    def test_the_last_access_never_goes_back(self, backend: Backend) -> None:
        """An older access still counts, but does not become the last one."""
        apply(backend, [put("key", 1)])
        backend.record_access([access("key", 1, "later", 10)])
        backend.record_access([access("key", 1, "earlier", 5)])
        document = stored(backend, "key")
        assert accesses_of(document) == (2, "later", at(10))

    def test_a_thousand_documents_are_counted_in_one_call(self, backend: Backend) -> None:
        """That is as many as the store passes at once; some are deleted, and some are newer documents."""
        names = [f"key {number}" for number in range(1_000)]
        apply(backend, [put(name, 1) for name in names])
        apply(backend, [Delete(id_of(name), at(1)) for name in names[:100]])
        backend.record_access([access(name, 2, created=1 if number >= 900 else 0) for number, name in enumerate(names)])
        found = read(backend, [id_of(name) for name in names])
        counts = {id: document.access_count for id, document in found.items()}
        expected = {id_of(name): 2 if number < 900 else 0 for number, name in enumerate(names) if number >= 100}
        assert counts == expected

    def test_odd_names_are_counted(self, backend: Backend) -> None:
        """Ids and agents may hold quotes, separators and anything else."""
        agents = ['"quoted"', "a'b", "a\\b", "a\0b", "🔑", "%s", "a,b", "[1]", "\u2028", "NULL"]
        namespaces = ["'", '"', "\\", "🔑", "[", ",", "é", "a b", "$", "."]
        ids = [id_of("key", namespace) for namespace in namespaces]
        apply(backend, [put("key", 1, namespace=namespace) for namespace in namespaces])
        backend.record_access([Access(id, at(0), 1, agent, at(5)) for id, agent in zip(ids, agents, strict=True)])
        found = read(backend, ids)
        assert [found[id].last_accessed_by_agent for id in ids] == agents
        assert [found[id].access_count for id in ids] == [1] * 10
