"""Values: they are read back as written, type for type, and what is not JSON is refused before any I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID

import pytest

from datastore import AgentDataStore, InvalidValueError, ValueTooLargeError
from datastore.conformance.calls import CallWith, taking
from datastore.conformance.faults import Untouchable
from datastore.conformance.samples import VALUES, nested, of_size, same
from datastore.conformance.topic import Topic, Wrapper


class _Member(IntEnum):
    ONE = 1


NOT_JSON: dict[str, tuple[Any, str, str]] = {
    "datetime": (datetime(2026, 1, 31, tzinfo=UTC), "value", "datetime"),
    "date": (date(2026, 1, 31), "value", "date"),
    "timedelta": (timedelta(1), "value", "timedelta"),
    "set": ({1}, "value", "set"),
    "frozenset": (frozenset({1}), "value", "frozenset"),
    "bytes": (b"x", "value", "bytes"),
    "bytearray": (bytearray(b"x"), "value", "bytearray"),
    "decimal": (Decimal(1), "value", "Decimal"),
    "complex": (1j, "value", "complex"),
    "uuid": (UUID(int=1), "value", "UUID"),
    "object": (object(), "value", "object"),
    "function": (len, "value", "builtin_function_or_method"),
    "range": (range(3), "value", "range"),
    "enum": (_Member.ONE, "value", "_Member"),
    "nan": (math.nan, "value", "nan"),
    "infinity": (math.inf, "value", "inf"),
    "minus-infinity": (-math.inf, "value", "-inf"),
    "surrogate": ("a\ud800", "value", "surrogate"),
    "deep": ({"items": [0, 1, 2, {"when": datetime(2026, 1, 31, tzinfo=UTC)}]}, "value.items[3].when", "datetime"),
    "under-an-odd-key": ({"a.b": [{1}]}, 'value["a.b"][0]', "set"),
    "number-as-key": ({"a": {1: 2}}, "value.a", "int"),
    "null-as-key": ([{None: 2}], "value[0]", "NoneType"),
    "surrogate-in-a-key": ({"\udfff": 2}, "value", "surrogate"),
    "nan-inside": ([{"a": math.nan}], "value[0].a", "nan"),
    "in-a-tuple": ((1, {2}), "value[1]", "set"),
    "too-deep": (nested(201), "value[0][0]", "deeper than 200"),
}
"""Each with the path that the error names, and what the error says."""

WRITES: dict[str, CallWith] = {
    **taking("value"),
    **taking("items", lambda value: {"good": 1, "key": value}),
    **taking("function", lambda value: lambda *_: value),
    "append": lambda data_store, value: data_store.append("key", 1, value),
    **taking("changes", lambda value: {"good": 1, "field": value}),
    **{
        f"metadata-of-{name}": call
        for name, call in taking("metadata", lambda value: {"good": 1, "field": value}).items()
    },
}
"""The calls that take values."""


def _itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


class Values(Topic):
    """Types, sizes, copies and refusals."""

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
    def test_a_value_comes_back_type_for_type(self, data_store: AgentDataStore, value: Any) -> None:
        """1, 1.0 and True stay different, integers have any size, empty containers stay, and keys are any text."""
        data_store.set("key", value)
        assert same(data_store.get("key"), value), "get"
        assert same(data_store.get_many(["key"]), {"key": value}), "get_many"
        assert same(data_store.get_all(), {"key": value}), "get_all"

    @pytest.mark.parametrize(
        "wrap", [lambda value: value, lambda value: {"field": [value, {"": value}]}], ids=["bare", "deep"]
    )
    def test_values_in_a_batch_come_back_type_for_type(
        self, data_store: AgentDataStore, wrap: Callable[[Any], Any]
    ) -> None:
        """Batches and whole records take another path than single values. No type leaks from a neighbour."""
        data_store.set_many({key: wrap(value) for key, value in VALUES.items()})
        everything = data_store.get_all()
        for record in data_store.iter_records():
            value = wrap(VALUES[record.key])
            assert same(record.value, value), record.key
            assert same(everything[record.key], value), record.key
        assert everything.keys() == VALUES.keys()

    def test_a_value_can_change_its_type(self, data_store: AgentDataStore) -> None:
        """The new value does not inherit the type of the old one."""
        for value in (1, 1.0, True, "1", [1], {"1": 1}, None, {}, [], 1):
            data_store.set("key", value)
            assert same(data_store.get("key"), value)

    def test_tuples_are_arrays(self, data_store: AgentDataStore) -> None:
        """This is how Python's JSON treats them."""
        data_store.set("key", (1, (2, {"a": (3,)})))
        assert same(data_store.get("key"), [1, [2, {"a": [3]}]])

    def test_nesting_of_200_levels_works(self, data_store: AgentDataStore) -> None:
        """This is the deepest that is allowed, for arrays and for objects."""
        data_store.set("array", nested(200))
        assert data_store.get("array") == nested(200)
        value: Any = 1
        for _ in range(200):
            value = {"a": value}
        data_store.set("object", value)
        assert data_store.get("object") == value

    @pytest.mark.parametrize("size", [399_000, 401_000, 999_000, 1_000_000])
    def test_a_large_value_comes_back_whole(self, data_store: AgentDataStore, size: int) -> None:
        """It may have 1,000,000 bytes of JSON, whatever the database's own limit is."""
        text, records = of_size(size), {"items": [{"n": n, "text": "é" * 20} for n in range(size // 65)]}
        data_store.set("text", text)
        data_store.set("records", records)
        assert data_store.get("text") == text
        assert data_store.get("records") == records
        assert data_store.get_many(["text", "records"]) == {"text": text, "records": records}

    def test_a_value_grows_and_shrinks_across_the_limits_of_databases(self, data_store: AgentDataStore) -> None:
        """Nothing of a large value is left after a small one is written, or the other way round."""
        for size in (10, 1_000_000, 401_000, 10, 399_000, 999_000, 2):
            data_store.set("key", of_size(size))
            assert data_store.get("key") == of_size(size)
        assert data_store.list_keys() == ["key"]
        assert data_store.list_namespaces() == ["default"]
        assert data_store.delete("key")
        assert data_store.get("key", "gone") == "gone"
        assert data_store.count() == 0

    @pytest.mark.parametrize("call", list(WRITES.values())[:4], ids=list(WRITES)[:4])
    def test_one_byte_too_many_is_refused(self, wrapped: Wrapper, call: CallWith) -> None:
        """It is refused before any I/O, and the message has the limit."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        with pytest.raises(ValueTooLargeError, match="1,000,000"):
            call(data_store, of_size(1_000_001))

    def test_size_is_counted_in_bytes_of_utf8(self, data_store: AgentDataStore) -> None:
        """It is not counted in characters, and not with escapes."""
        data_store.set("key", "é" * 499_999)
        assert data_store.get("key") == "é" * 499_999
        with pytest.raises(ValueTooLargeError):
            data_store.set("key", "é" * 499_999 + "a")
        assert data_store.get("key") == "é" * 499_999

    def test_metadata_is_limited_to_16000_bytes(self, data_store: AgentDataStore) -> None:
        """The braces and names count too."""
        largest = {"note": of_size(16_000 - len('{"note":}'))}
        data_store.set("key", 1, largest)
        record = data_store.get_record("key")
        assert record is not None
        assert record.metadata == largest
        with pytest.raises(ValueTooLargeError, match="metadata"):
            data_store.set("other", 1, {"note": largest["note"] + "x"})
        assert not data_store.exists("other")

    @pytest.mark.parametrize(("value", "path", "problem"), NOT_JSON.values(), ids=NOT_JSON.keys())
    def test_what_is_not_json_is_refused_with_its_path(
        self, wrapped: Wrapper, value: Any, path: str, problem: str
    ) -> None:
        """It is refused before any I/O. The message says where it is and what it is."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        with pytest.raises(InvalidValueError, match=rf"{re.escape(path)}.* .*{re.escape(problem)}"):
            data_store.set("key", value)

    @pytest.mark.parametrize("call", WRITES.values(), ids=WRITES.keys())
    def test_every_write_refuses_what_is_not_json(self, data_store: AgentDataStore, call: CallWith) -> None:
        """Nothing is written, not even the valid part."""
        for value in ({1}, math.nan, [datetime(2026, 1, 31, tzinfo=UTC)], {"a": {1: 2}}, "\ud800", _itself()):
            with pytest.raises(InvalidValueError):
                call(data_store, value)
        assert data_store.list_keys() == []

    def test_metadata_is_an_object(self, wrapped: Wrapper) -> None:
        """Anything else is refused before any I/O."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        metadata: Any
        for metadata in ("text", 1, ["a"], [("a", 1)], {1: 2}):
            with pytest.raises(InvalidValueError, match="metadata"):
                data_store.set("key", 1, metadata)
            with pytest.raises(InvalidValueError, match="metadata"):
                data_store.set_many({"key": 1}, metadata)

    def test_changing_what_was_set_changes_nothing_stored(self, data_store: AgentDataStore) -> None:
        """The store keeps a copy of value and metadata."""
        value: dict[str, Any] = {"list": [1], "object": {"a": 1}}
        metadata: dict[str, Any] = {"tags": ["a"]}
        data_store.set("one", value, metadata)
        data_store.set_many({"two": value}, metadata)
        data_store.modify("three", lambda _: value)
        value["list"].append(2)
        value["object"]["b"] = 2
        metadata["tags"].append("b")
        for record in data_store.iter_records():
            assert record.value == {"list": [1], "object": {"a": 1}}, record.key
            assert record.metadata == ({} if record.key == "three" else {"tags": ["a"]}), record.key

    def test_changing_what_was_read_changes_nothing_stored(self, data_store: AgentDataStore) -> None:
        """Every read returns a new copy."""
        data_store.set("key", {"list": [1], "object": {"a": 1}}, {"tags": ["a"]})

        def spoil(value: Any) -> None:
            value["list"].append(2)
            value["object"].clear()

        def spoil_record(record: Any) -> None:
            spoil(record.value)
            record.metadata["tags"].append("b")

        spoil(data_store.get("key"))
        spoil(data_store.get_many(["key"])["key"])
        spoil(data_store.get_all()["key"])
        spoil_record(data_store.get_record("key"))
        spoil_record(data_store.scan().records[0])
        spoil_record(next(data_store.iter_records()))
        record = data_store.get_record("key")
        assert record is not None
        assert record.value == {"list": [1], "object": {"a": 1}}
        assert record.metadata == {"tags": ["a"]}

    def test_changing_what_a_change_returned_changes_nothing_stored(self, data_store: AgentDataStore) -> None:
        """``modify``, ``append`` and ``update`` also return copies."""
        data_store.modify("modified", lambda value: [1]).append(2)
        data_store.append("appended", 1).append(2)
        data_store.update("updated", {"a": 1}).clear()
        assert data_store.get_all() == {"modified": [1], "appended": [1], "updated": {"a": 1}}
