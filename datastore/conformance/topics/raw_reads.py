"""The contract of `Backend.read` and `Backend.scan`, tested on the adapter itself."""

from __future__ import annotations

import pytest

from datastore.backend import Backend, Delete, Document, Fields, IdRange
from datastore.conformance.documents import RANGE, USER_RANGE, apply, at, id_of, put, read, stored
from datastore.conformance.samples import VALUES, of_size, same
from datastore.conformance.topic import Topic


def scan_all(
    backend: Backend, range: IdRange, limit: int, fields: Fields = Fields.KEY, *, reverse: bool = False
) -> list[Document]:
    """Return the documents of a range, read page by page."""
    found: list[Document] = []
    after = None
    while True:
        page = backend.scan(range, fields, limit, after, reverse)
        assert len(page.documents) <= limit, "a page is longer than its limit"
        found += page.documents
        if page.after is None:
            return found
        assert after is None or (page.after < after if reverse else page.after > after), "the scan does not move on"
        after = page.after


def keys(*names: str) -> list[str]:
    """Return the ids of keys, in id order."""
    return sorted(map(id_of, names))


class RawReads(Topic):
    """Reading documents by id and by range."""

    def test_read_returns_the_documents_that_exist(self, backend: Backend) -> None:
        """They are returned by id, without those that are missing."""
        apply(backend, [put("a", 1), put("b", 2)])
        assert set(backend.read(keys("a", "missing", "b"), Fields.KEY)) == {id_of("a"), id_of("b")}
        assert backend.read(keys("missing"), Fields.ALL) == {}

    def test_read_takes_as_many_ids_as_declared(self, backend: Backend) -> None:
        """It takes ``capabilities.read_batch`` ids in one call."""
        number = backend.capabilities.read_batch
        names = [f"key {n}" for n in range(number)]
        apply(backend, [put(name, name) for name in names])
        found = backend.read([id_of(name) for name in names], Fields.VALUE)
        assert {id: document.value for id, document in found.items()} == {id_of(name): name for name in names}

    def test_read_fills_in_every_field(self, backend: Backend) -> None:
        """With `Fields.ALL`, these are the fields that were written, and those that follow from them."""
        one = put("key", {"a": [1]}, metadata={"source": "web"}, expires_at=at(3600))
        apply(backend, [one])
        document = stored(backend, "key")
        assert document == Document(
            id=one.id,
            created_at=at(0),
            revision=one.revision,
            expires_at=at(3600),
            value={"a": [1]},
            metadata={"source": "web"},
            created_by_agent="agent",
            updated_at=at(0),
            access_count=0,
            last_accessed_by_agent=None,
            last_accessed_at=None,
            updated_by_agent="agent",
        )

    @pytest.mark.parametrize("fields", [Fields.KEY, Fields.VALUE, Fields.ALL])
    def test_read_and_scan_fill_in_what_was_asked(self, backend: Backend, fields: Fields) -> None:
        """It always fills in id and expiry, and from `Fields.VALUE` on also creation, revision and value."""
        one = put("key", [1], expires_at=at(3600))
        apply(backend, [one])
        (scanned,) = backend.scan(RANGE, fields, 10).documents
        for document in (backend.read([one.id], fields)[one.id], scanned):
            assert document.id == one.id
            if fields >= Fields.VALUE:
                assert document[:5] == (one.id, at(0), one.revision, at(3600), [1])
            else:
                assert document.expires_at == at(3600)

    def test_every_read_returns_a_new_copy(self, backend: Backend) -> None:
        """The caller may change the copy."""
        apply(backend, [put("key", {"a": [1]}, metadata={"tags": ["a"]})])
        for _ in range(2):
            document = stored(backend, "key")
            scanned = backend.scan(RANGE, Fields.ALL, 10).documents[0]
            for copy in (document, scanned):
                assert (copy.value, copy.metadata) == ({"a": [1]}, {"tags": ["a"]})
                copy.value["a"].append(2)
                assert copy.metadata is not None
                copy.metadata["tags"].append("b")

    def test_a_scan_returns_a_range_in_id_order(self, backend: Backend) -> None:
        """The start of a range is included, and its end is not."""
        apply(backend, [put(name, name) for name in ("d", "a", "c", "b", "e")])
        found = backend.scan(IdRange(id_of("b"), id_of("e")), Fields.VALUE, 10)
        assert [document.value for document in found.documents] == ["b", "c", "d"]
        assert found.after is None

    def test_a_scan_keeps_to_its_range(self, backend: Backend) -> None:
        """Neighbours whose ids begin alike are left out."""
        places = [("user", "ns"), ("user", "ns2"), ("user", "n"), ("user2", "ns"), ("use", "ns"), ("user", "Ns"),
                  ("user", "ns:"), ("user", "é"), ("User", "ns"), ("user", "ns;"), ("user:ns", "ns")]  # fmt: skip
        ids = [id_of(key, namespace, user) for user, namespace in places for key in ("a", "b")]
        apply(backend, [put(key, 1, namespace=name, user=user) for user, name in places for key in ("a", "b")])
        for range in (RANGE, USER_RANGE, IdRange(id_of("a"), id_of("b")), IdRange("user:x", "user:y")):
            expected = sorted(id for id in ids if range.start <= id < range.end)
            assert [document.id for document in scan_all(backend, range, 100)] == expected, range
            backward = scan_all(backend, range, 100, reverse=True)
            assert [document.id for document in backward] == expected[::-1], range

    def test_a_scan_is_in_the_order_of_code_points(self, backend: Backend) -> None:
        """This is the order of UTF-8, not that of UTF-16 or of a language."""
        names = ["a", "B", "Z", "z", "_", "é", "e", "~", "\uffee", "🔑", "10", "9", "a:", "a.", "a0"]
        ids = sorted(id_of("key", name) for name in names)
        apply(backend, [put("key", 1, namespace=name) for name in names])
        assert [document.id for document in scan_all(backend, USER_RANGE, 100)] == ids
        assert [document.id for document in scan_all(backend, USER_RANGE, 1)] == ids
        for limit in (1, 100):
            backward = scan_all(backend, USER_RANGE, limit, reverse=True)
            assert [document.id for document in backward] == ids[::-1]
        end = IdRange("user:\uffee", "user;")
        assert [document.id for document in scan_all(backend, end, 5)] == ids[-2:]

    @pytest.mark.parametrize("limit", [1, 2, 9, 10, 11, 1_000])
    def test_paged_scans_hold_everything_once(self, backend: Backend, limit: int) -> None:
        """Each document is in them once, and the pages come to an end."""
        names = [f"key {number}" for number in range(10)]
        apply(backend, [put(name, name) for name in names])
        assert [document.id for document in scan_all(backend, RANGE, limit)] == keys(*names)
        assert [document.id for document in scan_all(backend, RANGE, limit, reverse=True)] == keys(*names)[::-1]

    def test_after_is_behind_a_document(self, backend: Backend) -> None:
        """It makes no difference whether that document still exists, or where it is."""
        apply(backend, [put(name) for name in ("a", "b", "c", "d")])
        apply(backend, [Delete(id_of("b"), at(0))])

        def ids_after(after: str) -> list[str]:
            return [document.id for document in backend.scan(RANGE, Fields.KEY, 10, after).documents]

        assert ids_after(id_of("a")) == keys("c", "d")
        assert ids_after(id_of("b")) == keys("c", "d")
        assert ids_after(id_of("d")) == []
        assert backend.scan(RANGE, Fields.KEY, 10, id_of("d")).after is None
        assert ids_after(id_of("a", "a")) == keys("a", "c", "d"), "an id before the range means its beginning"
        assert ids_after(id_of("a", "z")) == [], "after an id beyond the range there is nothing"

    def test_after_is_before_a_document_where_the_order_is_reversed(self, backend: Backend) -> None:
        """Whether that is still there or not, and wherever it lies; the end of a range never belongs to it."""
        apply(backend, [put(name) for name in ("a", "b", "c", "d")])
        apply(backend, [Delete(id_of("c"), at(0))])

        def ids_after(after: str | None, range: IdRange = RANGE, limit: int = 10) -> list[str]:
            return [document.id for document in backend.scan(range, Fields.KEY, limit, after, True).documents]

        assert ids_after(None) == keys("a", "b", "d")[::-1]
        assert ids_after(id_of("d")) == keys("a", "b")[::-1]
        assert ids_after(id_of("c")) == keys("a", "b")[::-1]
        assert ids_after(id_of("a")) == []
        assert ids_after(id_of("a", "z")) == keys("a", "b", "d")[::-1], "after an id after the range is its end"
        assert ids_after(id_of("a", "a")) == [], "after an id before the range is nothing"
        up_to_d = IdRange(id_of("a"), id_of("d"))
        assert ids_after(None, up_to_d) == keys("a", "b")[::-1]
        assert ids_after(None, up_to_d, 1) == keys("b")
        assert ids_after(None, IdRange(id_of("a"), id_of("a"))) == [], "an empty range"

    def test_a_scan_of_large_documents_is_complete(self, backend: Backend) -> None:
        """A page may be shorter than its limit, and only the last page says that it is the last."""
        names = [f"key {number:02}" for number in range(14)]
        for name in names:
            apply(backend, [put(name, name + of_size(900_000))])
        for fields in (Fields.KEY, Fields.VALUE, Fields.ALL):
            found = scan_all(backend, RANGE, 1_000, fields)
            assert [document.id for document in found] == keys(*names), fields.name
            if fields >= Fields.VALUE:
                assert all(document.value.endswith("x" * 1_000) for document in found)

    def test_values_are_whole_in_every_read(self, backend: Backend) -> None:
        """They are the same by id and by range, type for type."""
        apply(backend, [put(f"key {number:03}", value) for number, value in enumerate(VALUES.values())])
        by_id = read(backend, [id_of(f"key {number:03}") for number in range(len(VALUES))])
        by_range = {document.id: document for document in scan_all(backend, RANGE, 1_000, Fields.VALUE)}
        for number, name in enumerate(VALUES):
            id = id_of(f"key {number:03}")
            assert same(by_id[id].value, VALUES[name]), f"{name} by id"
            assert same(by_range[id].value, VALUES[name]), f"{name} by range"
