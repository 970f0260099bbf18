"""Listings: complete, sorted, and of one namespace only."""

from __future__ import annotations

import pytest

from datastore import AgentDataStore, DataStore
from datastore.conformance.samples import ODD_NAMES, in_order
from datastore.conformance.topic import Opener, Topic

PREFIXES = ["", "a", "ab", "abc", "abcd", "abcdef", "b", "é", "ab_", "ab%", "_", "%", "*", "zz", "Ab", "🔑", "\0"]
KEYS = [
    "a", "ab", "abc", "abcd", "abcdefg", "abcdéf", "abd", "ab_", "ab_c", "ab%", "ab%c", "abXc", "Ab", "AB", "b", "ba",
    "é", "éa", "e", "_", "_a", "%", "%a", "*", "*a", "🔑", "🔑a", "\0", "\0a", "zzz",
]  # fmt: skip


class Listings(Topic):
    """``list_keys``, ``get_all``, ``list_namespaces``, ``count``, ``clear``."""

    def test_an_empty_namespace_lists_nothing(self, data_store: AgentDataStore) -> None:
        """This is not an error."""
        assert data_store.list_keys() == []
        assert data_store.get_all() == {}
        assert data_store.list_namespaces() == []
        assert data_store.count() == 0
        assert data_store.clear() == 0
        assert data_store.scan() == ([], None)
        assert list(data_store.iter_records()) == []

    def test_keys_and_values_are_sorted_by_key(self, data_store: AgentDataStore) -> None:
        """The order in which they were set makes no difference."""
        for key in ["b", "c", "a", "B", "10", "9", "ab"]:
            data_store.set(key, key)
        assert data_store.list_keys() == ["10", "9", "B", "a", "ab", "b", "c"]
        assert list(data_store.get_all().items()) == [(key, key) for key in ["10", "9", "B", "a", "ab", "b", "c"]]

    def test_twelve_thousand_records_are_listed_and_cleared_completely(self, open_store: Opener) -> None:
        """No page of the database is taken for the last one, and no batch is too large.

        It has as many records as the harness says (`Harness.many`).
        """
        many, a_part = type(self).harness.many, type(self).harness.many // 4
        # Reads are not counted: closing would send the counts of all these records, which do not exist any more.
        data_store = open_store(tracking="off").agent("user_1", "agent_1")
        items = {f"key {number:05}": number for number in range(many)}
        data_store.use_namespace("sibling").set("key", 1)
        assert data_store.set_many(items) == many
        assert data_store.count() == many, "count"
        assert data_store.list_keys() == list(items), "list_keys"
        assert list(data_store.get_all().items()) == list(items.items()), "get_all"
        some = {key: items[key] for key in list(items)[::5]}
        assert data_store.get_many(some) == some, "get_many"
        assert sorted(record.key for record in data_store.iter_records()) == list(items), "iter_records"
        assert len(data_store.list_keys("key 01")) == 1_000, "list_keys with a prefix"
        assert data_store.list_namespaces() == ["default", "sibling"], "list_namespaces"
        assert data_store.clear("key 01") == 1_000, "clear with a prefix"
        assert data_store.delete_many(list(items)[-a_part:]) == a_part, "delete_many"
        assert data_store.clear() == many - 1_000 - a_part, "clear"
        assert data_store.count() == 0, "count, once all is cleared"
        assert data_store.list_namespaces() == ["sibling"], "list_namespaces, once all is cleared"

    @pytest.mark.parametrize("prefix", PREFIXES)
    def test_a_prefix_narrows_the_listing(self, data_store: AgentDataStore, prefix: str) -> None:
        """It is text and not a pattern. It may have any length, and case matters."""
        data_store.set_many({key: key for key in KEYS})
        expected = sorted(key for key in KEYS if key.startswith(prefix))
        assert data_store.list_keys(prefix) == expected
        assert sorted(record.key for record in data_store.iter_records(prefix)) == expected
        assert sorted(record.key for record in data_store.scan(prefix).records) == expected

    @pytest.mark.parametrize("prefix", PREFIXES)
    def test_a_prefix_narrows_the_clearing(self, data_store: AgentDataStore, prefix: str) -> None:
        """Other records stay, in this namespace and in others."""
        data_store.set_many({key: key for key in KEYS})
        sibling = data_store.use_namespace("sibling")
        sibling.set(prefix + "x", 1)
        expected = sorted(key for key in KEYS if not key.startswith(prefix))
        assert data_store.clear(prefix) == len(KEYS) - len(expected)
        assert data_store.list_keys() == expected
        assert sibling.count() == 1

    def test_every_odd_key_is_a_prefix(self, data_store: AgentDataStore) -> None:
        """No character in a prefix has a special meaning."""
        data_store.set_many(dict.fromkeys(ODD_NAMES, 1))
        for prefix in ODD_NAMES:
            expected = sorted(key for key in ODD_NAMES if key.startswith(prefix))
            assert data_store.list_keys(prefix) == expected, f"under the prefix {prefix!r}"

    def test_a_listing_is_of_one_namespace(self, data_store: AgentDataStore) -> None:
        """It shows neither another namespace nor another user."""
        for namespace in ["files", "files2", "file"]:
            data_store.use_namespace(namespace).set(f"in {namespace}", 1)
        assert data_store.use_namespace("files").list_keys() == ["in files"]
        assert data_store.list_keys() == []

    def test_namespaces_are_those_that_hold_a_record(self, data_store: AgentDataStore) -> None:
        """Using a namespace does not create it, and deleting its last record removes it."""
        notes, plans = data_store.use_namespace("notes"), data_store.use_namespace("plans")
        assert data_store.list_namespaces() == []
        notes.set_many({"a": 1, "b": 2})
        plans.set("a", 1)
        assert data_store.list_namespaces() == ["notes", "plans"]
        notes.delete("a")
        assert data_store.list_namespaces() == ["notes", "plans"]
        notes.delete("b")
        assert data_store.list_namespaces() == ["plans"]
        plans.clear()
        assert data_store.list_namespaces() == []

    def test_namespaces_are_those_of_one_user(self, store: DataStore) -> None:
        """They are the same for every agent and in every namespace of the user."""
        store.agent("user_1", "agent_1", "one").set("key", 1)
        store.agent("user_1", "agent_2", "two").set("key", 1)
        store.agent("user_2", "agent_1", "three").set("key", 1)
        assert store.agent("user_1", "agent_3", "four").list_namespaces() == ["one", "two"]

    def test_a_hundred_namespaces_are_listed(self, data_store: AgentDataStore) -> None:
        """They are large and small, and do not hide their neighbours."""
        names = [f"namespace {number:03}" for number in range(100)]
        for number, name in enumerate(names):
            data_store.use_namespace(name).set_many({f"key {n}": n for n in range(1 + number % 3)})
        data_store.use_namespace(names[50]).set_many({f"key {n}": n for n in range(1_001)})
        assert data_store.list_namespaces() == names

    def test_a_prefix_narrows_the_namespaces(self, data_store: AgentDataStore) -> None:
        """This includes encoded characters and the ends of the alphabet."""
        names = [
            "a",
            "a.",
            "a.b",
            "a:",
            "a:b",
            "a/",
            "a/b",
            "a0",
            "a%",
            "ab",
            "b",
            "_",
            "_a",
            "%",
            "é",
            "🔑",
            "🔑a",
            "\U0010ffff",
            "\ud7ff",
        ]
        for name in names:
            data_store.use_namespace(name).set("key", 1)
        for prefix in ["", "a", "a.", "a:", "a/", "ab", "_", "%", "%2", "é", "🔑", "\U0010ffff", "\ud7ff", "zz", "A"]:
            expected = in_order(name for name in names if name.startswith(prefix))
            assert data_store.list_namespaces(prefix) == expected, f"under the prefix {prefix!r}"

    def test_clear_leaves_everything_else(self, store: DataStore) -> None:
        """Other namespaces and other users keep their records."""
        places = [("user_1", "default"), ("user_1", "default2"), ("user_1", "other"), ("user_10", "default")]
        for user, namespace in places:
            store.agent(user, "agent_1", namespace).set_many({"a": 1, "b": 2})
        assert store.agent("user_1", "agent_1").clear() == 2
        for user, namespace in places[1:]:
            assert store.agent(user, "agent_1", namespace).count() == 2, (user, namespace)

    def test_a_cleared_namespace_can_be_filled_again(self, data_store: AgentDataStore) -> None:
        """Its new records are listed."""
        data_store.set("key", 1, {"source": "web"})
        data_store.clear()
        data_store.set("key", 2)
        record = data_store.get_record("key")
        assert record is not None
        assert (record.value, record.metadata) == (2, {})

    def test_large_values_are_listed_completely(self, data_store: AgentDataStore) -> None:
        """Databases end a page by its bytes, often before its number of records."""
        items = {f"key {number:02}": str(number) * 300_000 for number in range(30)}
        for key, value in items.items():
            data_store.set(key, value)
        assert data_store.list_keys() == list(items)
        assert data_store.get_all() == items
        assert data_store.count() == 30
        assert sorted(record.key for record in data_store.iter_records()) == list(items)
        assert data_store.clear() == 30
