"""Modules that are imported when something of them is first used, and calls that look for no module."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import datastore
from datastore.agent import AgentDataStore
from datastore.late import Late


def test_what_is_used_once_is_kept() -> None:
    """An attribute is that of the module, and is there afterwards without the module being looked for."""
    late = Late("datastore.ids")
    assert vars(late) == {"_name": "datastore.ids"}
    assert late.decode_key is datastore.ids.decode_key
    assert vars(late)["decode_key"] is datastore.ids.decode_key


def test_what_the_module_does_not_have_is_no_attribute() -> None:
    """A wrong name fails as it does on the module."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = Late("datastore.ids").nothing


@pytest.mark.parametrize("backend", ["memory", "sqlite"])
@pytest.mark.parametrize(
    "call",
    [
        lambda agent: agent.get("key"),
        lambda agent: agent.set("key", {"number": 2}),
        lambda agent: agent.find({"number": 2}),
        lambda agent: agent.count({"number": 2}),
        lambda agent: agent.find_records({"number": 2}),
        lambda agent: agent.get_record("key"),
        lambda agent: agent.get_records(["key"]),
        lambda agent: agent.last(),
        lambda agent: agent.scan(limit=10),
        lambda agent: agent.get_all(limit=10),
        lambda agent: agent.list_keys(limit=10),
        lambda agent: agent.log_append("log", 1),
        lambda agent: agent.log_read("log", limit=10, reverse=True),
    ],
    ids=[
        *("get", "set", "find", "count", "find_records", "get_record", "get_records", "last", "scan", "get_all"),
        *("list_keys", "log_append", "log_read"),
    ],
)
def test_hot_calls_import_nothing(
    backend: str, call: Callable[[AgentDataStore], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import statement takes as long as parsing a filter: after the first call these have none."""
    imported: list[str] = []
    bare = builtins.__import__

    def noting(name: str, *others: Any, **named: Any) -> ModuleType:
        imported.append(name)
        return bare(name, *others, **named)

    url = "memory://" if backend == "memory" else f"sqlite:///{tmp_path}/store.db"
    with datastore.connect(url, tracking="off") as store:
        agent = store.agent("ann", "tests")
        agent.set("key", {"number": 2})
        if backend == "sqlite":
            store.ensure_index(["number"])
        for _ in range(2):
            call(agent)
        with monkeypatch.context() as patch:
            patch.setattr(builtins, "__import__", noting)
            call(agent)
    assert imported == []
