"""Optional abilities: every call means the same with and without them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from datastore import DataStore, UnsupportedError
from datastore.backend import (
    ABILITIES,
    Ability,
    Backend,
    Delete,
    Document,
    Fields,
    IdRange,
    Outcome,
    Plan,
    Query,
    Restore,
    WouldWaitError,
)
from datastore.conformance.clock import Clock
from datastore.conformance.documents import RANGE, USER_RANGE, apply, at, id_of, is_stored, put
from datastore.conformance.faults import Wrapped
from datastore.conformance.samples import in_order
from datastore.conformance.topic import Topic, Wrapper, not_applicable
from datastore.contents import without_content
from datastore.ids import area_prefix, encode_key
from datastore.tenants import TenantBackend

NAMESPACES = ["a", "a:", "a:b", "ab", "_", "é", "🔑", "\uffee", "expired", "half"]


def fill(store: DataStore, clock: Clock) -> None:
    """Store live and expired records of two users in several namespaces."""
    for user in ("user_1", "user_10"):
        for number, namespace in enumerate(NAMESPACES):
            data_store = store.agent(user, "agent_1", namespace)
            if namespace != "expired":
                data_store.set_many({f"key {n}": n for n in range(number + 1)})
            if namespace in ("expired", "half"):
                data_store.set_many({f"old {n}": n for n in range(3)}, ttl=60)
    clock.advance(60)


ANSWERS: dict[str, Callable[[Any], object]] = {
    "list_namespaces": lambda data_store: data_store.list_namespaces(),
    "list_namespaces-prefix": lambda data_store: [data_store.list_namespaces(p) for p in ("a", "a:", "é", "x")],
    "count": lambda data_store: [data_store.use_namespace(name).count() for name in (*NAMESPACES, "none")],
    "clear": lambda data_store: [data_store.use_namespace(name).clear() for name in (*NAMESPACES, "none")],
    "clear-prefix": lambda data_store: [data_store.use_namespace("half").clear(p) for p in ("key", "old", "x", "")],
}
"""Calls that some backends can answer in a faster way."""


def require(backend: Backend, ability: Ability) -> None:
    """End the test as not applicable unless the backend has an optional method."""
    if not backend.capabilities.supports(ability):
        not_applicable(f"the backend does not have {ability!r}")


class Abilities(Topic):
    """The optional methods of `Backend`."""

    def test_the_capabilities_say_which_optional_methods_there_are(self, backend: Backend) -> None:
        """It names the methods that exist, and no others."""
        own = backend.overridden()
        assert backend.capabilities.abilities <= own, "declared, but missing"
        if not isinstance(backend, TenantBackend):  # it has the abilities of the backends that it opens
            assert own <= backend.capabilities.abilities, "exists, but is not declared: the store does not use it"

    def test_an_optional_method_that_is_not_there_says_so(self, backend: Backend) -> None:
        """It raises, and never returns a placeholder."""
        calls: dict[Ability, Callable[[], object]] = {
            "namespaces": lambda: backend.namespaces(USER_RANGE, at(0)),
            "users": lambda: backend.users(1),
            "namespace_stats": lambda: backend.namespace_stats(USER_RANGE, at(0)),
            "count": lambda: backend.count(RANGE, at(0)),
            "clear": lambda: backend.clear(RANGE, at(0)),
            "forget": lambda: backend.forget(USER_RANGE, at(0)),
            "find": lambda: backend.find(RANGE, Plan(Query(), Query(), None), Fields.ALL, 1),
            "ensure_index": lambda: backend.ensure_index([("a",)], None),
            "nearest": lambda: backend.nearest(RANGE, b"\0\0\x80\x3f", 1, "cosine"),
            "ensure_vectors": lambda: backend.ensure_vectors(RANGE, 1),
            "purge": lambda: backend.purge(at(0)),
            "all_documents": lambda: backend.all_documents(Fields.ALL, 1),
            "restore": lambda: backend.restore([]),
            "drop": lambda: backend.drop(),
            "database": lambda: backend.database("user"),
            "tenants": lambda: backend.tenants(),
            "drop_tenant": lambda: backend.drop_tenant("user"),
            "read_at_once": lambda: backend.read_at_once(id_of("key"), 1_000),
        }
        assert calls.keys() == set(ABILITIES)
        for ability in set(ABILITIES) - backend.capabilities.abilities:
            if isinstance(backend, TenantBackend) and ability != "ensure_index":
                continue
            with pytest.raises(UnsupportedError):
                calls[ability]()

    @pytest.mark.parametrize("ask", ANSWERS.values(), ids=ANSWERS.keys())
    def test_an_ability_changes_no_answer(
        self, store: DataStore, wrapped: Wrapper, clock: Clock, ask: Callable[[Any], object]
    ) -> None:
        """Two users have the same data; one is served with the abilities, the other without."""
        fill(store, clock)
        without = wrapped(Wrapped)
        assert ask(store.agent("user_1", "agent_1")) == ask(without.agent("user_10", "agent_1"))
        mine, theirs = store.agent("user_1", "agent_1"), store.agent("user_10", "agent_1")
        for namespace in NAMESPACES:
            assert mine.use_namespace(namespace).get_all() == theirs.use_namespace(namespace).get_all(), namespace

    def test_namespaces_are_those_with_a_live_document(self, backend: Backend) -> None:
        """They are given as prefixes of ids, within the range."""
        require(backend, "namespaces")
        apply(backend, [put("key", 1, namespace=namespace) for namespace in ("a", "b", "b:c", "é")])
        apply(backend, [put("key", 1, namespace="expired", expires_at=at(10))])
        apply(backend, [put("key", 1, namespace="a", user="user2")])
        live = ["user:a:", "user:b%3Ac:", "user:b:", "user:é:"]
        assert sorted(backend.namespaces(USER_RANGE, at(10))) == live
        assert sorted(backend.namespaces(USER_RANGE, at(9))) == sorted([*live, "user:expired:"])
        beginning_with_b = IdRange("user:b", "user:c")
        assert sorted(backend.namespaces(beginning_with_b, at(10))) == ["user:b%3Ac:", "user:b:"]

    def test_what_is_read_at_once_is_what_is_read(self, backend: Backend) -> None:
        """It sees every write that was acknowledged, and reads no value that is larger than it may be."""
        require(backend, "read_at_once")
        most = 20_000
        apply(backend, [put("small", {"a": [1, 2.5, None, "é🔑", 2**70]}), put("old", 1, expires_at=at(10))])
        apply(backend, [put("large", "x" * 2 * most), put("large metadata", 1, metadata={"a": "x" * 9_000})])
        for name in ("small", "old", "large metadata", "missing"):
            id = id_of(name)
            assert backend.read_at_once(id, most) == backend.read([id], Fields.VALUE).get(id), name
        with pytest.raises(WouldWaitError):
            backend.read_at_once(id_of("large"), most)
        apply(backend, [put("small", 2), put("large", 3), Delete(id_of("old"), at(0))])
        found = [backend.read_at_once(id_of(name), most) for name in ("small", "large", "old")]
        assert [document and document.value for document in found] == [2, 3, None]

    def test_a_content_is_bytes_and_the_base64_of_them(self, backend: Backend) -> None:
        """Every read shows it as a value like any other; only who asks for the bytes gets them."""
        if not backend.capabilities.content:
            not_applicable("content is not declared")
        for content in (b"", bytes(range(256)) * 1_200, b"\x00" * 300_000):
            digest = sha256(content).hexdigest()
            write = put("part", {"sha256": digest}, user="user%.", namespace="ns")
            write = write._replace(id=area_prefix("user:ns:", "blobs") + encode_key("part"), content=content)
            plain = without_content(write)
            assert write.size == len(plain.json)
            apply(backend, [write])
            expected = {"data": b64encode(content).decode(), "sha256": digest}
            for fields in (Fields.VALUE, Fields.ALL):
                assert backend.read([write.id], fields)[write.id].value == expected
            page = backend.scan(IdRange(write.id, write.id + "!"), Fields.ALL, 1)
            assert [document.value for document in page.documents] == [expected]
            found = backend.read([write.id], Fields.CONTENT)[write.id]
            assert found.value == {"data": content, "sha256": digest}
            assert type(found.value["data"]) is bytes
            other = put("other", 1)
            apply(backend, [write, other])
            assert backend.read([other.id, write.id], Fields.CONTENT)[other.id].value == 1
            apply(backend, [plain._replace(revision=put("part").revision)])
            assert backend.read([write.id], Fields.CONTENT)[write.id].value == plain.value
            (document,) = backend.read([write.id], Fields.ALL).values()
            apply(backend, [Delete(write.id, at(0))])
            if backend.capabilities.supports("restore"):
                restore = Restore(document, "user%.", "blobs:ns", "part", plain.json, at(1))
                assert backend.restore([restore]) == [Outcome(True)]
                assert backend.read([write.id], Fields.ALL) == {write.id: document}
                assert backend.read([write.id], Fields.CONTENT)[write.id].value["data"] == content

    def test_a_bare_value_is_read_with_its_times(self, backend: Backend) -> None:
        """One or several, whether or not they expire."""
        if not backend.capabilities.bare_values:
            not_applicable("bare_values is not declared")
        apply(backend, [put("a", {"a": [1]}), put("b", None, expires_at=at(10)), put("c", "c" * 100_000)])
        keys = ("a", "b", "c", "missing")
        whole = backend.read([id_of(key) for key in keys], Fields.ALL)
        together = backend.read([id_of(key) for key in keys], Fields.BARE_VALUE)
        one_by_one: dict[str, Document] = {}
        for key in keys:
            one_by_one.update(backend.read([id_of(key)], Fields.BARE_VALUE))
        for found in (together, one_by_one):
            assert {id: _as_bare(document) for id, document in found.items()} == {
                id: _as_bare(document) for id, document in whole.items()
            }

    def test_entries_are_read_with_what_they_are_made_of(self, backend: Backend) -> None:
        """Few or many together, forward and backward: each field is as in a read of the whole, and none is shared."""
        if not backend.capabilities.entries:
            not_applicable("entries is not declared")
        for number in range(20):
            metadata = {"count": [number]} if number % 3 else None
            value: Any = ({"a": [number]}, [], "text", None)[number % 4]
            apply(backend, [put(f"key {number:02}", value, metadata=metadata)])
        apply(backend, [put("key 99", 1, expires_at=at(10))])
        for limit, reverse in ((3, False), (3, True), (30, False), (30, True)):
            whole = backend.scan(RANGE, Fields.ALL, limit, None, reverse)
            for _ in range(2):
                page = backend.scan(RANGE, Fields.ENTRY, limit, None, reverse)
                assert (len(page.documents), page.after) == (len(whole.documents), whole.after)
                assert list(map(_as_entry, page.documents)) == list(map(_as_entry, whole.documents))
                assert _as_entry(page.documents[-1]) == _as_entry(whole.documents[-1])
                assert list(map(_as_entry, page.documents[1:3])) == list(map(_as_entry, whole.documents[1:3]))
                for document in page.documents:
                    assert document.metadata is not None
                    document.metadata["changed"] = True  # what was handed over is the caller's own

    def test_counting_a_range_counts_live_documents(self, backend: Backend) -> None:
        """It counts only within the range."""
        require(backend, "count")
        apply(backend, [put(f"key {number}", 1) for number in range(5)])
        apply(backend, [put("expired", 1, expires_at=at(10)), put("key", 1, namespace="ns2")])
        assert backend.count(RANGE, at(9)) == 6
        assert backend.count(RANGE, at(10)) == 5
        assert backend.count(USER_RANGE, at(10)) == 6

    def test_clearing_a_range_removes_everything_and_counts_what_was_live(self, backend: Backend) -> None:
        """Documents in neighbouring ranges stay."""
        require(backend, "clear")
        apply(backend, [put(f"key {number}", 1) for number in range(5)])
        apply(backend, [put("expired", 1, expires_at=at(10)), put("key", 1, namespace="ns2")])
        assert backend.clear(RANGE, at(10)) == 5
        assert not is_stored(backend, "key 0")
        assert not is_stored(backend, "expired")
        assert backend.clear(USER_RANGE, at(10)) == 1

    def test_forgetting_removes_all_that_there_is_of_a_user(self, store: DataStore, clock: Clock) -> None:
        """Expired records are removed too, even in namespaces without live ones, and all parts of large values."""
        fill(store, clock)
        data_store = store.agent("user_1", "agent_1", "large")
        data_store.set("large", "x" * 900_000)
        data_store.set("expired", "x" * 900_000, ttl=1)
        clock.advance(1)
        records = sum(range(1, len(NAMESPACES) + 1)) - NAMESPACES.index("expired") - 1 + 1
        assert store.forget("user_1") == (records, 3 + 3 + 1)
        assert data_store.list_namespaces() == []
        assert store.forget("user_1") == (0, 0)
        other = store.agent("user_10", "agent_1")
        assert other.list_namespaces() == in_order(set(NAMESPACES) - {"expired"})

    def test_without_the_ability_forgetting_does_the_same(self, wrapped: Wrapper, clock: Clock) -> None:
        """It removes record by record."""
        store = wrapped(Wrapped)
        fill(store, clock)
        records = sum(range(1, len(NAMESPACES) + 1)) - NAMESPACES.index("expired") - 1
        assert store.forget("user_1") == (records, 3 + 3)
        assert store.agent("user_1", "agent_1").list_namespaces() == []
        assert store.forget("user_1") == (0, 0)

    def test_purging_removes_what_is_expired(self, store: DataStore, backend: Backend, clock: Clock) -> None:
        """It removes those of all users and nothing else, and returns their number."""
        require(backend, "purge")
        apply(backend, [put("past", 1, expires_at=at(10)), put("now", 1, expires_at=at(20))])
        apply(backend, [put("later", 1, expires_at=at(30)), put("never", 1)])
        assert backend.purge(at(20)) == 2
        assert [is_stored(backend, key) for key in ("past", "now", "later", "never")] == [False, False, True, True]
        fill(store, clock)
        assert store.purge_expired() == 2 * 6 + 1, "three in each of two namespaces of two users, and one more"
        assert store.purge_expired() == 0
        assert store.agent("user_1", "agent_1", "half").count() == len(NAMESPACES)

    def test_without_the_ability_purging_says_so(self, store: DataStore, backend: Backend, wrapped: Wrapper) -> None:
        """It does not pretend that nothing is expired."""
        with pytest.raises(UnsupportedError):
            wrapped(Wrapped).host("user_1").purge_expired()
        if not backend.capabilities.supports("purge"):
            with pytest.raises(UnsupportedError):
                store.purge_expired()


def _as_bare(document: Document) -> tuple[object, ...]:
    return document.id, document.created_at, document.expires_at, document.value


def _as_entry(document: Document) -> tuple[object, ...]:
    return (
        *(document.id, document.created_at, document.expires_at),
        *(document.value, document.metadata, document.created_by_agent),
    )
