"""Changes without races: read, apply a function, and write, without losing anybody's change."""

from __future__ import annotations

from typing import Any

import pytest

from datastore import AgentDataStore, DataStore, InvalidValueError, QueryError, ValueTooLargeError
from datastore.conformance.samples import same
from datastore.conformance.topic import Topic
from datastore.conformance.topics.records import record_of


class Changes(Topic):
    """``modify``, ``increment``, ``append``, ``update``."""

    def test_modify_applies_a_function(self, data_store: AgentDataStore) -> None:
        """It returns what was stored."""
        data_store.set("key", [1])
        assert data_store.modify("key", lambda value: [*value, 2]) == [1, 2]
        assert data_store.get("key") == [1, 2]

    def test_modify_begins_with_the_default(self, data_store: AgentDataStore) -> None:
        """The default is ``None``, unless the caller gives one. It does not replace a stored null."""
        seen = []
        assert data_store.modify("one", lambda value: seen.append(value), allow_none=True) is None
        assert data_store.modify("two", lambda value: {**value, "b": 2}, {"a": 1}) == {"a": 1, "b": 2}
        assert data_store.modify("one", lambda value: [value], "default") == [None]
        assert seen == [None]

    def test_a_function_that_returns_nothing_changes_nothing(self, data_store: AgentDataStore) -> None:
        """What it changed in place is a copy. To store null, a function must say so."""
        data_store.set("key", [1])
        before = record_of(data_store)
        for key, default in (("key", None), ("new", []), ("other", None)):
            with pytest.raises(InvalidValueError, match="result is None: return the new value"):
                data_store.modify(key, lambda value: None if value is None else value.append(2), default)
        assert record_of(data_store) == before
        assert data_store.list_keys() == ["key"]
        assert data_store.modify("key", lambda value: None, allow_none=True) is None
        assert data_store.get("key", "missing") is None
        data_store.set("key", None)
        assert data_store.modify("key", lambda value: [value]) == [None]

    def test_modify_leaves_the_default_alone(self, data_store: AgentDataStore) -> None:
        """A function that changes its argument does not change the caller's object."""
        default: list[int] = []

        def append(value: list[int]) -> list[int]:
            value.append(1)
            return value

        data_store.modify("key", append, default)
        data_store.modify("other", append, default)
        assert default == []
        assert data_store.get_all() == {"key": [1], "other": [1]}

    def test_modify_starts_over_after_a_conflict(self, data_store: AgentDataStore) -> None:
        """It continues with the value that another writer has stored meanwhile."""
        data_store.set("key", 1)
        seen = []

        def add_ten(value: int) -> int:
            seen.append(value)
            if len(seen) == 1:
                data_store.set("key", 2)
            return value + 10

        assert data_store.modify("key", add_ten) == 12
        assert seen == [1, 2]

    def test_modify_starts_over_if_the_record_is_made_meanwhile(self, data_store: AgentDataStore) -> None:
        """It does not overwrite the other writer's record."""
        seen = []

        def change(value: Any) -> Any:
            seen.append(value)
            if len(seen) == 1:
                data_store.add("key", "theirs")
            return [value]

        assert data_store.modify("key", change) == ["theirs"]

    def test_modify_starts_over_if_the_record_goes_meanwhile(self, data_store: AgentDataStore) -> None:
        """It then begins with the default, and the new record is really new."""
        data_store.set("key", "old", {"source": "web"})
        seen = []

        def change(value: Any) -> Any:
            seen.append(value)
            if len(seen) == 1:
                data_store.delete("key")
            return [value]

        assert data_store.modify("key", change, "default") == ["default"]
        assert record_of(data_store).metadata == {}

    def test_an_error_of_the_function_changes_nothing(self, data_store: AgentDataStore) -> None:
        """The error reaches the caller unchanged."""
        data_store.set("key", 1)
        before = record_of(data_store)
        with pytest.raises(ZeroDivisionError):
            data_store.modify("key", lambda value: value / 0)
        with pytest.raises(InvalidValueError, match="function"):
            data_store.modify("key", lambda value: {value})

        def refuse(value: int) -> int:
            raise InvalidValueError("as I say")

        with pytest.raises(InvalidValueError, match=r"^as I say$"):
            data_store.modify("key", refuse)
        assert record_of(data_store) == before

    def test_a_change_is_no_access(self, store: DataStore, data_store: AgentDataStore) -> None:
        """Its reads do not count."""
        data_store.modify("key", lambda value: {})
        data_store.update("key", {"a": 1})
        data_store.increment("number")
        data_store.append("list", 1)
        store.flush()
        assert [record.access_count for record in data_store.iter_records()] == [0, 0, 0]

    def test_increment_adds(self, data_store: AgentDataStore) -> None:
        """It begins at 0 if there is no record, and returns the sum."""
        assert data_store.increment("key") == 1
        assert data_store.increment("key") == 2
        assert data_store.increment("key", 40) == 42
        assert data_store.increment("key", -43) == -1
        assert same(data_store.get("key"), -1)

    def test_increment_takes_numbers_of_any_size(self, data_store: AgentDataStore) -> None:
        """Integers stay exact, and floats stay floats."""
        data_store.set("integer", 2**70)
        assert same(data_store.increment("integer"), 2**70 + 1)
        data_store.set("large", 2**53)
        assert same(data_store.increment("large"), 2**53 + 1)
        data_store.set("float", 1.5)
        assert same(data_store.increment("float", 0.5), 2.0)
        assert same(data_store.get("float"), 2.0)
        assert same(data_store.increment("new", 0.5), 0.5)

    def test_increment_refuses_what_is_no_number(self, data_store: AgentDataStore) -> None:
        """Both the stored value and the amount must be numbers; booleans are not numbers."""
        stored: Any
        for stored in ("1", True, None, [1], {}):
            data_store.set("key", stored)
            with pytest.raises(InvalidValueError):
                data_store.increment("key")
            assert same(data_store.get("key"), stored)
        by: Any
        for by in ("1", True, None, float("nan"), float("inf")):
            with pytest.raises(InvalidValueError, match="by"):
                data_store.increment("number", by)
        assert not data_store.exists("number")

    def test_append_adds_to_the_end(self, data_store: AgentDataStore) -> None:
        """It begins with an empty array if there is no record, and returns the array."""
        assert data_store.append("key", 1) == [1]
        assert data_store.append("key", [2], None) == [1, [2], None]
        assert data_store.append("key") == [1, [2], None]
        assert data_store.get("key") == [1, [2], None]

    def test_append_refuses_what_is_no_array(self, data_store: AgentDataStore) -> None:
        """A text is not an array."""
        stored: Any
        for stored in ("text", 1, None, {}):
            data_store.set("key", stored)
            with pytest.raises(InvalidValueError):
                data_store.append("key", 1)
            assert same(data_store.get("key"), stored)

    def test_update_merges_fields(self, data_store: AgentDataStore) -> None:
        """It merges shallowly, and returns the object."""
        assert data_store.update("key", {"a": 1, "deep": {"x": 1}}) == {"a": 1, "deep": {"x": 1}}
        assert data_store.update("key", {"b": None, "deep": {"y": 2}}) == {"a": 1, "b": None, "deep": {"y": 2}}
        assert data_store.get("key") == {"a": 1, "b": None, "deep": {"y": 2}}

    def test_update_refuses_what_is_no_object(self, data_store: AgentDataStore) -> None:
        """Both the stored value and the changes must be objects, with field names that a path can lead to."""
        stored: Any
        for stored in ("text", 1, None, []):
            data_store.set("key", stored)
            with pytest.raises(InvalidValueError):
                data_store.update("key", {"a": 1})
            assert same(data_store.get("key"), stored)
        data_store.set("key", {"a": {"b": 1}})
        for name in ("a.b", "", "a.", "$a"):
            with pytest.raises(QueryError, match=r"^changes: "):
                data_store.update("key", {name: 2, "c": 3})
        assert data_store.get("key") == {"a": {"b": 1}}
        changes: Any
        for changes in (None, 1, "a", [("a", 1)]):
            with pytest.raises(InvalidValueError, match="changes"):
                data_store.update("new", changes)

    def test_a_change_that_grows_too_large_changes_nothing(self, data_store: AgentDataStore) -> None:
        """The record stays as it was."""
        data_store.set("list", ["x" * 600_000])
        data_store.set("object", {"a": "x" * 600_000})
        with pytest.raises(ValueTooLargeError):
            data_store.append("list", "x" * 600_000)
        with pytest.raises(ValueTooLargeError):
            data_store.update("object", {"b": "x" * 600_000})
        assert data_store.get_all() == {"list": ["x" * 600_000], "object": {"a": "x" * 600_000}}
