"""Every call of an agent's store that reaches the database, once, for the tests that apply to all calls.

A new call gets one line here. From then on, it is tested against outages, closed stores, lost answers and deadlines.
Each parameter that it shares with other calls (`taking`) is tested against invalid keys, prefixes, values and times.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from datastore import AgentDataStore, UnsupportedError

Call: TypeAlias = Callable[[Any], object]
CallWith: TypeAlias = Callable[[Any, Any], object]


def _unchanged(value: object) -> object:
    return value


_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "get": ("key",),
    "get_record": ("key",),
    "set": ("key", 1),
    "add": ("new", 1),
    "create": (1,),
    "delete": ("key",),
    "exists": ("key",),
    "modify": ("key", _unchanged),
    "increment": ("key",),
    "append": ("list", 1),
    "pop": ("key",),
    "touch": ("key",),
    "claim": ({"a": 1},),
    "find_one_and_update": ({"a": 1}, {"$set": {"b": 1}}),
    "get_or_set": ("key", dict),
    "lease": ("work",),
    "lock": ("work",),
    "update": ("object", {"field": 1}),
    "get_many": (["key", "other"],),
    "get_records": (["key", "other"],),
    "add_many": ({"new": 1},),
    "set_many": ({"key": 1, "other": 2},),
    "delete_many": (["key", "other"],),
    "get_all": (),
    "clear": (),
    "list_keys": (),
    "first": (),
    "last": (),
    "list_namespaces": (),
    "count": (),
    "scan": (),
    "iter_records": (),
    "find": ({"a": 1},),
    "find_in": ("", {"a": 1}),
    "namespace_stats": (),
    "find_records": ({"a": {"$gt": 1}},),
    "delete_where": ({"a": 1},),
    "update_where": ({"a": 1}, {"$set": {"b": 1}}),
    "explain": ({"a": 1},),
    "log_append": ("log", 1),
    "log_read": ("log",),
    "log_trim": ("log",),
    "list_logs": (),
}
"""The parameters of each call, by its name."""
_OPTIONS: dict[str, dict[str, Any]] = {
    "touch": {"ttl": 60},
    "claim": {"ttl": 60},
    "log_trim": {"before": 2},
}
"""Those that are given by name."""


def _called(data_store: Any, name: str, arguments: dict[str, Any]) -> object:
    bound = inspect.signature(getattr(AgentDataStore, name)).bind(
        data_store, *_ARGUMENTS[name], **_OPTIONS.get(name, {})
    )
    bound.arguments.update(arguments)
    result = getattr(data_store, name)(*bound.args[1:], **bound.kwargs)
    return list(result) if isinstance(result, Iterator) else result


def _call(name: str, **arguments: Any) -> Call:
    return lambda data_store: _called(data_store, name, arguments)


def _purge(data_store: Any) -> object:
    """Purge; where the database does that by itself, there is nothing to call, and this counts instead."""
    try:
        return data_store.purge_expired()
    except UnsupportedError:
        return data_store.count()


def _held(name: str) -> Call:
    """Return a call that takes a lease, and releases it."""

    def held(data_store: Any) -> object:
        taken: Any = _called(data_store, name, {})
        with taken as lease:
            return lease.name

    return held


CALLS: dict[str, Call] = {
    **{name: _call(name) for name in _ARGUMENTS},
    "lease": _held("lease"),
    "lock": _held("lock"),
    "purge_expired": _purge,
    "in": lambda data_store: "key" in data_store,
    "clear-prefix": _call("clear", prefix="ke"),
    "count-filter": _call("count", filter={"a": 1}),
    "find_records": _call("find_records", meta={"createdByAgent": "x"}),
    "iter_records-namespaces": _call("iter_records", namespace_prefix=""),
}
"""The calls by name. The records ``key`` (a number), ``other``, ``list`` (an array) and ``object`` may exist, and
``new`` may not."""

READS = frozenset({"get", "get_many", "get_all", "find", "get_or_set"})
"""The calls that count an access for each record that they return."""

WRITES = frozenset(
    {
        *("set", "add", "create", "delete", "modify", "increment", "append", "pop", "touch", "claim"),
        *("find_one_and_update", "get_or_set", "update", "add_many", "set_many", "delete_many", "clear"),
        *("clear-prefix", "delete_where", "update_where", "purge_expired", "lease", "lock", "log_append", "log_trim"),
    }
)
"""The calls that write, or can."""

ACROSS = frozenset({"list_namespaces", "find_in", "namespace_stats", "purge_expired", "iter_records-namespaces"})
"""The calls that are about several namespaces, whichever the store is bound to."""


def taking(parameter: str, given: Callable[[Any], Any] = _unchanged) -> dict[str, CallWith]:
    """Return the calls that have a parameter, by name. Each is a function of a store and of the argument.

    Args:
        parameter: The parameter's name.
        given: Makes the call's argument from the given one, for a call that takes it inside something.
    """

    def taken(name: str) -> CallWith:
        return lambda data_store, value: _called(data_store, name, {parameter: given(value)})

    named = {name: inspect.signature(getattr(AgentDataStore, name)).parameters.get(parameter) for name in _ARGUMENTS}
    return {
        name: taken(name)
        for name, found in named.items()
        if found is not None and found.kind is not found.VAR_POSITIONAL
    }
