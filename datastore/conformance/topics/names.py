"""User ids, namespaces, agents and keys: every text is valid, and no two are ever confused."""

from __future__ import annotations

from typing import Any

import pytest

from datastore import AgentDataStore, DataStore, InvalidNameError
from datastore.conformance.calls import CallWith, taking
from datastore.conformance.faults import Untouchable
from datastore.conformance.samples import NO_TEXT, ODD_NAMES, in_order
from datastore.conformance.topic import Topic, Wrapper

LONGEST_NAMES = {
    "ascii": "n" * 255,
    "two-byte": "é" * 127 + "e",
    "three-byte": "鍵" * 85,
    "four-byte": "🔑" * 63 + "abc",
    "encoded": ":" * 85,
    "control": "\0" * 85,
    "leading-underscore": "_" + "n" * 252,
}
"""255 bytes each, where an encoded character counts as three."""

LONGEST_KEYS = {
    "ascii": "k" * 512,
    "two-byte": "é" * 256,
    "three-byte": "鍵" * 170 + "ab",
    "four-byte": "🔑" * 128,
    "colons": ":" * 512,
    "nul": "\0" * 512,
}
"""512 bytes each. In keys, every character counts as it is."""

BY_KEY: dict[str, CallWith] = {
    **taking("key"),
    **taking("keys", lambda key: ["good", key]),
    **taking("items", lambda key: [("good", 1), (key, 1)]),
    "in": lambda data_store, key: key in data_store,
}
"""The calls that take a key."""

BY_PREFIX: dict[str, CallWith] = taking("prefix")
"""The calls that take a prefix."""


def cases(samples: dict[str, Any], name: str) -> pytest.MarkDecorator:
    """Parametrise a test with named samples."""
    return pytest.mark.parametrize(name, samples.values(), ids=samples.keys())


class Names(Topic):
    """What a valid name is, and that names are never confused."""

    def test_every_text_is_a_key(self, data_store: AgentDataStore) -> None:
        """Odd keys exist side by side, each with its own value."""
        values = {key: number for number, key in enumerate(ODD_NAMES)}
        for key, value in values.items():
            data_store.set(key, value)
        for key, value in values.items():
            assert data_store.get(key) == value, f"the key {key!r} has another key's value"
        assert data_store.get_many(ODD_NAMES) == values
        assert data_store.list_keys() == sorted(ODD_NAMES)

    def test_an_odd_key_is_deleted_alone(self, data_store: AgentDataStore) -> None:
        """Similar keys stay."""
        data_store.set_many(dict.fromkeys(ODD_NAMES, 1))
        left = sorted(ODD_NAMES)
        for key in ODD_NAMES:
            assert data_store.delete(key), f"the key {key!r} does not exist"
            left.remove(key)
        assert left == data_store.list_keys() == []

    def test_every_text_is_a_namespace(self, data_store: AgentDataStore) -> None:
        """Odd namespaces exist side by side. Listing returns the same names, sorted by code point."""
        for number, namespace in enumerate(ODD_NAMES):
            data_store.use_namespace(namespace).set("key", number)
        for number, namespace in enumerate(ODD_NAMES):
            assert data_store.use_namespace(namespace).get_all() == {"key": number}, f"in the namespace {namespace!r}"
        assert data_store.list_namespaces() == in_order(ODD_NAMES)

    def test_every_text_is_a_user_id(self, store: DataStore) -> None:
        """Odd users have their own data, and no other user's."""
        for number, user in enumerate(ODD_NAMES):
            store.agent(user, "agent_1").set("key", number)
        for number, user in enumerate(ODD_NAMES):
            data_store = store.agent(user, "agent_1")
            assert data_store.get_all() == {"key": number}, f"of the user {user!r}"
            assert data_store.list_namespaces() == ["default"], f"of the user {user!r}"
            record = data_store.get_record("key")
            assert record is not None
            assert record.user_id == user

    def test_every_text_is_an_agent(self, store: DataStore) -> None:
        """Provenance returns an odd agent's name unchanged."""
        for agent in ODD_NAMES:
            data_store = store.agent("user_1", agent)
            data_store.set(agent, 1)
            data_store.get(agent)
        store.flush()
        for record in store.agent("user_1", "agent_1").iter_records():
            assert record.created_by_agent == record.key
            assert record.last_accessed_by_agent == record.key

    def test_a_joined_separator_cannot_be_forged(self, store: DataStore) -> None:
        """User ``a`` in the namespace ``b:c`` is not user ``a:b`` in the namespace ``c``."""
        places = [("a", "b:c"), ("a:b", "c"), ("a:b:c", "d"), ("a", "b:c:d"), ("a%3Ab", "c"), ("a", "b%3Ac")]
        for number, (user, namespace) in enumerate(places):
            store.agent(user, "agent_1", namespace).set("key", number)
        for number, (user, namespace) in enumerate(places):
            assert store.agent(user, "agent_1", namespace).get_all() == {"key": number}, (user, namespace)

    def test_a_key_does_not_reach_into_another_namespace(self, store: DataStore) -> None:
        """The namespace ``a`` with the key ``b:c`` is not the namespace ``a:b`` with the key ``c``."""
        places = [("a", "b:c"), ("a:b", "c"), ("a/b", "c"), ("a", "b/c")]
        for number, (namespace, key) in enumerate(places):
            store.agent("user_1", "agent_1", namespace).set(key, number)
        for number, (namespace, key) in enumerate(places):
            data_store = store.agent("user_1", "agent_1", namespace)
            assert data_store.get(key) == number, (namespace, key)
            assert data_store.list_keys() == sorted(k for n, k in places if n == namespace)

    def test_a_namespace_does_not_hold_those_that_begin_like_it(self, data_store: AgentDataStore) -> None:
        """``files`` and ``files:x``: listing, counting and clearing one does not touch the other."""
        siblings = ["files", "files:", "files:x", "files/x", "files;", "files_x", "files%", "file", "Files"]
        for namespace in siblings:
            data_store.use_namespace(namespace).set(namespace, 1)
        files = data_store.use_namespace("files")
        assert files.list_keys() == ["files"]
        assert files.count() == 1
        assert files.clear() == 1
        siblings.remove("files")
        assert data_store.list_namespaces() == in_order(siblings)

    def test_a_user_does_not_hold_those_that_begin_like_it(self, store: DataStore) -> None:
        """``user_1`` and ``user_10``: each has their own namespaces."""
        users = ["user_1", "user_10", "user_1:", "user_1;", "user", "user_1:default", "User_1"]
        for user in users:
            store.agent(user, "agent_1", user).set("key", user)
        for user in users:
            data_store = store.agent(user, "agent_1", user)
            assert data_store.list_namespaces() == [user]
            assert data_store.get_all() == {"key": user}

    @cases(LONGEST_NAMES, "name")
    def test_a_name_of_255_bytes_works(self, store: DataStore, name: str) -> None:
        """It is used as user id, agent and namespace at once, with the longest key."""
        key = "k" * 512
        data_store = store.agent(name, name, name)
        data_store.set(key, 1)
        assert data_store.get(key) == 1
        assert data_store.list_namespaces() == [name]
        assert data_store.list_keys() == [key]
        assert data_store.get_all() == {key: 1}
        assert [record.namespace for record in data_store.iter_records()] == [name]

    @cases(LONGEST_KEYS, "key")
    def test_a_key_of_512_bytes_works(self, data_store: AgentDataStore, key: str) -> None:
        """It exists beside a key that differs only in its last character."""
        sibling = key[:-1] + "z"
        data_store.set(key, 1)
        data_store.set(sibling, 2)
        assert data_store.get(key) == 1
        assert data_store.list_keys() == sorted([key, sibling])
        assert data_store.list_keys(key) == [key]
        assert data_store.delete(key)
        assert data_store.get_all() == {sibling: 2}

    def test_keys_are_sorted_by_code_point(self, data_store: AgentDataStore) -> None:
        """The order is not that of UTF-16, of a language, or of the encoding in ids."""
        keys = ["\uffee", "🔑", "Z", "a", "B", "é", "e", "a?", "a>", "a~", "ab", "10", "9"]
        data_store.set_many(dict.fromkeys(keys, 1))
        assert data_store.list_keys() == sorted(keys)
        assert list(data_store.get_all()) == sorted(keys)

    def test_namespaces_are_sorted_by_code_point(self, data_store: AgentDataStore) -> None:
        """Some of their characters are encoded in ids, but this does not change the order."""
        namespaces = ["\uffee", "🔑", "Z", "a", "a:", "a.", "a0", "_a", "_", "\0", "é", "e", "10", "9", "~"]
        for namespace in namespaces:
            data_store.use_namespace(namespace).set("key", 1)
        assert data_store.list_namespaces() == in_order(namespaces)

    @pytest.mark.parametrize("parameter", ["user_id", "agent", "namespace"])
    def test_what_is_no_name_is_refused(self, store: DataStore, parameter: str) -> None:
        """It is empty, too long, or has a lone surrogate. The error names the parameter."""
        for name in ["", "n" * 256, "é" * 128, "a\ud800"]:
            with pytest.raises(InvalidNameError, match=parameter):
                names: dict[str, Any] = {"user_id": "user_1", "agent": "agent_1", "namespace": "default"}
                store.agent(**{**names, parameter: name})

    @pytest.mark.parametrize("parameter", ["user_id", "agent", "namespace"])
    def test_a_name_that_is_not_text_is_a_type_error(self, store: DataStore, parameter: str) -> None:
        """It is also an `InvalidNameError`, like every invalid name."""
        for name in NO_TEXT:
            names: dict[str, Any] = {"user_id": "user_1", "agent": "agent_1", "namespace": "default", parameter: name}
            with pytest.raises(InvalidNameError, match=parameter) as caught:
                store.agent(**names)
            assert isinstance(caught.value, TypeError), f"for {name!r}"

    def test_an_encoded_character_counts_three(self, store: DataStore) -> None:
        """The limit applies to a name as it is in an id."""
        for name in [":" * 86, "%" * 86, "/" * 86, "\0" * 86, "_" + "n" * 253]:
            with pytest.raises(InvalidNameError):
                store.agent(name, "agent_1")
            with pytest.raises(InvalidNameError):
                store.agent("user_1", "agent_1", name)

    def test_use_namespace_checks_the_name(self, data_store: AgentDataStore) -> None:
        """It does so in the same way as binding an agent."""
        not_text: Any = None
        for namespace in ["", "n" * 256, "a\ud800", not_text]:
            with pytest.raises(InvalidNameError, match="namespace"):
                data_store.use_namespace(namespace)

    @cases(BY_KEY, "call")
    def test_what_is_no_key_is_refused_before_any_io(self, wrapped: Wrapper, call: CallWith) -> None:
        """It is empty, too long, or has a lone surrogate."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        for key in ["", "k" * 513, "é" * 257, "\ud800", "a\udfffb"]:
            with pytest.raises(InvalidNameError, match="key"):
                call(data_store, key)

    @cases(BY_KEY, "call")
    def test_a_key_that_is_not_text_is_a_type_error(self, wrapped: Wrapper, call: CallWith) -> None:
        """It is refused before any I/O."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        for key in [None, 1, 1.5, True, b"key", ("a", "b")]:
            with pytest.raises(InvalidNameError, match="key") as caught:
                call(data_store, key)
            assert isinstance(caught.value, TypeError), f"for {key!r}"

    @cases(BY_PREFIX, "call")
    def test_what_is_no_prefix_is_refused_before_any_io(self, wrapped: Wrapper, call: CallWith) -> None:
        """It is too long, has a lone surrogate, or is not text at all."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        for prefix in ["p" * 513, "\ud800"]:
            with pytest.raises(InvalidNameError):
                call(data_store, prefix)
        for not_text in [1, b"p", ["p"]]:
            with pytest.raises(InvalidNameError) as caught:
                call(data_store, not_text)
            assert isinstance(caught.value, TypeError), f"for {not_text!r}"

    def test_keys_in_one_text_are_refused(self, wrapped: Wrapper) -> None:
        """A str is a sequence of str, but that is never what was meant."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        with pytest.raises(InvalidNameError):
            data_store.get_many("abc")
        with pytest.raises(InvalidNameError):
            data_store.delete_many("abc")
