"""Every call of an agent's store that reaches the database, for the tests that hold for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from datastore import AgentDataStore

Call: TypeAlias = Callable[[Any], object]

_ALL: dict[str, Call] = {
    "get": lambda data_store: data_store.get("key"),
    "get_record": lambda data_store: data_store.get_record("key"),
    "set": lambda data_store: data_store.set("key", 1),
    "add": lambda data_store: data_store.add("new", 1),
    "create": lambda data_store: data_store.create(1),
    "delete": lambda data_store: data_store.delete("key"),
    "exists": lambda data_store: data_store.exists("key"),
    "in": lambda data_store: "key" in data_store,
    "modify": lambda data_store: data_store.modify("key", lambda value: value),
    "increment": lambda data_store: data_store.increment("key"),
    "append": lambda data_store: data_store.append("list", 1),
    "update": lambda data_store: data_store.update("object", {"field": 1}),
    "get_many": lambda data_store: data_store.get_many(["key", "other"]),
    "set_many": lambda data_store: data_store.set_many({"key": 1, "other": 2}),
    "delete_many": lambda data_store: data_store.delete_many(["key", "other"]),
    "get_all": lambda data_store: data_store.get_all(),
    "clear": lambda data_store: data_store.clear(),
    "clear-prefix": lambda data_store: data_store.clear("ke"),
    "list_keys": lambda data_store: data_store.list_keys(),
    "list_namespaces": lambda data_store: data_store.list_namespaces(),
    "count": lambda data_store: data_store.count(),
    "scan": lambda data_store: data_store.scan(),
    "iter_records": lambda data_store: list(data_store.iter_records()),
    "find": lambda data_store: data_store.find({"a": 1}),
    "find_records": lambda data_store: data_store.find_records({"a": {"$gt": 1}}, meta={"createdByAgent": "x"}),
    "count-filter": lambda data_store: data_store.count({"a": 1}),
    "delete_where": lambda data_store: data_store.delete_where({"a": 1}),
    "update_where": lambda data_store: data_store.update_where({"a": 1}, {"$set": {"b": 1}}),
    "explain": lambda data_store: data_store.explain({"a": 1}),
}

CALLS: dict[str, Call] = {
    name: call
    for name, call in _ALL.items()
    if name in ("in", "clear-prefix", "count-filter") or hasattr(AgentDataStore, name)
}
"""By name. The records ``key`` (a number), ``other``, ``list`` (an array) and ``object`` may exist; ``new`` may not."""

READS = frozenset({"get", "get_many", "get_all", "find"})
"""The calls that count an access for each record that they return."""
