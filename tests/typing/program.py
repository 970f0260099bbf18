"""A program of a user of this package, as mypy and pyright see it: what they must accept, and what they must find.

Every line that must be an error says so to both of them: ``type: ignore[...]`` for mypy, ``pyright: ignore[...]`` for
pyright. Both report an ignore that is not needed. So if one of them no longer finds such an error, it reports that.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, assert_type

from pydantic import BaseModel
from typing_extensions import TypedDict  # Pydantic wants this one before Python 3.12

import datastore
from datastore import (
    AgentDataStore,
    AsyncAgentDataStore,
    AsyncDataStore,
    AsyncLog,
    Blob,
    Capabilities,
    DataStore,
    Entry,
    Item,
    KeyValueStore,
    Lease,
    Log,
    Match,
    Memory,
    MemoryItem,
    NamespaceStats,
    Page,
    Part,
    Record,
    Run,
    Splitter,
    Vault,
    VectorVault,
)


class Plan(BaseModel):
    goal: str
    steps: list[str] = []


@dataclass
class Visit:
    city: str
    days: int


class Price(TypedDict):
    amount: float
    currency: str


async def awaited(data_store: AsyncAgentDataStore, store: AsyncDataStore) -> None:
    assert_type(await data_store.set("plan", {"goal": "buy"}), str)
    assert_type(await data_store.get("plan", type=Plan), Plan | None)
    assert_type(await data_store.get("plan", Plan(goal=""), type=Plan), Plan)
    assert_type(await data_store.get_many(["plan"], type=Plan), dict[str, Plan])
    assert_type(await data_store.find({"goal": "buy"}, type=Plan), dict[str, Plan])
    assert_type(await data_store.exists("plan"), bool)
    assert_type(await data_store.find_records(), Page)
    assert_type([record async for record in data_store.find_records()], list[Record])
    assert_type([record async for record in data_store.iter_records()], list[Record])
    assert_type(await data_store.namespace_stats(), list[NamespaceStats])
    assert_type(data_store.sync, AgentDataStore)
    assert_type(store.agent("ann", "planner"), AsyncAgentDataStore)
    assert_type([user async for user in store.users()], list[str])
    assert_type(await data_store.vault.retrieve("books", "emma"), dict[str, Any] | None)
    assert_type(data_store.log("events"), AsyncLog)
    assert_type(await data_store.log("events").append({"did": "search"}, 1), int)
    assert_type(await data_store.log_read("events", after=1), list[Entry])
    assert_type(await datastore.connect_async("memory://"), AsyncDataStore)
    async with datastore.connect_async("http+unix:///run/s", token_fd=3) as remote:
        assert_type(await remote.get("plan", type=Plan), Plan | None)
        assert_type(await remote.modify("plan", list), Any)
        agents: AsyncAgentDataStore = remote
    await agents.set("plan", 1)
    assert_type(await data_store.set("plan", 1, vector=(0.5, 1.0)), str)
    async with datastore.connect_async("memory://", workers=2) as opened:
        assert_type(opened, AsyncDataStore)
    await data_store.set(1, 2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await data_store.set("plan")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def one_record(data_store: AgentDataStore) -> None:
    assert_type(data_store.asynchronous, AsyncAgentDataStore)
    revision = data_store.set("plan", {"goal": "buy"}, {"model": "large"}, ttl=timedelta(days=1))
    assert_type(data_store.set("plan", {"goal": "buy"}, vector=[0.5, 1]), str)
    assert_type(revision, str)
    assert_type(data_store.add("new", 1, ttl=60.0), str)
    assert_type(data_store.create({"step": 1}, prefix="log/"), str)
    assert_type(data_store.get_record("plan"), Record | None)
    assert_type(data_store.exists("plan"), bool)
    assert_type("plan" in data_store, bool)
    assert_type(data_store.get_record("plan", count=True), Record | None)
    assert_type(data_store.touch("plan", ttl=None), bool)
    assert_type(data_store.delete("new", if_revision=None), bool)
    assert_type(data_store.pop("plan", 0), Any)


def values(data_store: AgentDataStore) -> None:
    assert_type(data_store.get("plan"), Any)
    assert_type(data_store.get("name", ""), Any | str)
    names = data_store.get("names", [])  # needs no annotation
    assert_type(names, Any | list[Any])
    assert_type(data_store.get("plan", type=Plan), Plan | None)
    assert_type(data_store.get("plan", Plan(goal="none"), type=Plan), Plan)
    assert_type(data_store.get("visit", type=Visit), Visit | None)
    assert_type(data_store.get("visit", 0, type=Visit), Visit | int)
    assert_type(data_store.get("price", type=Price), Price | None)
    assert_type(data_store.get("plans", type=list[Plan]), list[Plan] | None)
    assert_type(data_store.get("plan", touch=60), Any)
    assert_type(data_store.get("visit", type=Visit, touch=timedelta(days=1)), Visit | None)
    assert_type(data_store.get_or_set("rate", lambda: 1.5, ttl=60, refresh=5), Any)
    with data_store.lease("nightly", ttl=60) as lease:
        assert_type(lease, Lease[AgentDataStore])
        assert_type(lease.data_store, AgentDataStore)
        assert_type(lease.number, int)
    with data_store.runs.start("report", {"a": 1}) as run:
        assert_type(run, Run)
        assert_type(run.data_store, AgentDataStore)
        assert_type(run.branch(2).children, list[str])
    assert_type(data_store.runs.due(), list[str])
    with data_store.lock("plan", timeout=5) as lease:
        assert_type(lease.data_store.set("lines", 1), str)


def changes(data_store: AgentDataStore) -> None:
    assert_type(data_store.increment("runs"), int | float)
    assert_type(data_store.increment("runs", ttl=60, touch=True), int | float)
    assert_type(data_store.append("log", 1, "two", {"three": 3}), list[Any])
    assert_type(data_store.update("plan", {"$set": {"goal": "sell"}}), dict[str, Any])
    assert_type(data_store.modify("plans", sorted, []), Any)


def batches(data_store: AgentDataStore) -> None:
    assert_type(data_store.set_many({"a": 1, "b": None}, ttl=60), int)
    assert_type(data_store.set_many([("a", 1)]), int)
    assert_type(data_store.set_many([Item("a", 1, {"b": 2}, ttl=60), ("b", 1)]), int)
    assert_type(data_store.add_many([Item("c", 1, namespace="other")]), int)
    assert_type(data_store.get_records(["a", "b"]), dict[str, Record])
    assert_type(data_store.get_many(["a", "b"]), dict[str, Any])
    assert_type(data_store.get_many(["plan"], type=Plan), dict[str, Plan])
    assert_type(data_store.delete_many(key for key in ("a", "b")), int)


def listings(data_store: AgentDataStore) -> None:
    assert_type(data_store.list_keys("a"), list[str])
    assert_type(data_store.list_keys(start="a", end="b", reverse=True, limit=3), list[str])
    assert_type(data_store.first("a"), Record | None)
    assert_type(data_store.last(start="a"), Record | None)
    assert_type(data_store.list_namespaces(limit=2, reverse=True), list[str])
    assert_type(data_store.namespace_stats(), list[NamespaceStats])
    assert_type(data_store.purge_expired(), int)
    page = data_store.scan(limit=2)
    assert_type(page, Page)
    records, cursor = page
    assert_type(records, list[Record])
    assert_type(cursor, str | None)
    assert_type(data_store.iter_records(), Iterator[Record])
    assert_type(data_store.get_all(), dict[str, Any])
    assert_type(data_store.get_all(type=Plan), dict[str, Plan])
    assert_type(data_store.get_all("a", reverse=True, type=Plan), dict[str, Plan])
    assert_type(data_store.clear("a"), int)


def queries(data_store: AgentDataStore) -> None:
    order = [("price", -1)]
    assert_type(data_store.find({"price": {"$lt": 5}}, sort=order, limit=3, skip=1, fields=["price"]), dict[str, Any])
    assert_type(data_store.find({"city": "Bath"}, type=Visit), dict[str, Visit])
    assert_type(
        data_store.find_records(meta={"createdByAgent": "planner"}, sort="-$updatedAt", skip=1).cursor, str | None
    )
    assert_type(data_store.count({"price": 2}), int)
    assert_type(data_store.explain({"price": 2}), dict[str, Any])
    assert_type(data_store.update_where({"price": 2}, {"$inc": {"price": 1}}), int)
    assert_type(data_store.delete_where({"price": 3}), int)
    assert_type(data_store.find_in("", {"price": 3}, sort="-price", limit=2), list[Record])
    assert_type(data_store.find_one_and_update({"price": 3}, {"$inc": {"price": 1}}), Record | None)
    assert_type(data_store.claim({"price": 3}, ttl=60), Record | None)


def around(data_store: AgentDataStore) -> None:
    assert_type(data_store.use_namespace("other"), AgentDataStore)
    assert_type((data_store.user_id, data_store.agent, data_store.namespace), tuple[str, str, str])
    assert_type(data_store.vault, Vault)
    assert_type(data_store.key_value, KeyValueStore)
    assert_type(data_store.log("events"), Log)
    assert_type(data_store.log("events").append({"did": "search"}, 1), int)
    assert_type(data_store.log("events").read(after=1, limit=10, reverse=True), list[Entry])
    assert_type(data_store.log("events").last(2)[0].at, datetime)
    assert_type(data_store.log("events").trim(before=1), int)
    assert_type(data_store.log_append("events", 1), int)
    assert_type(data_store.log_trim("events", before=1), int)
    assert_type(data_store.list_logs("ev"), list[str])
    assert_type(data_store.blobs.put("a", b"a", "image/png", {"page": 1}, ttl=60, grace=0), Blob)
    assert_type(data_store.blobs.get("a"), bytes | None)
    assert_type(data_store.blobs.get("a", b""), bytes)
    assert_type(data_store.blobs.open("a"), io.BufferedReader)
    assert_type(data_store.blobs.list("a", limit=1), list[Blob])


def remembers(data_store: AgentDataStore) -> None:
    memory = data_store.memory
    assert_type(memory, Memory)
    assert_type(memory.add("a cat", {"lang": "en"}, key="k", ttl=60), str)
    assert_type(memory.add({"a": 1}, vector=[1.0, 2.0]), str)
    assert_type(memory.add_many(["a", Item("k", "b")], {"lang": "en"}, vectors=[[1.0], [2.0]]), list[str])
    assert_type(memory.add("a long text", split=Splitter(1_000, overlap=100)), str)
    assert_type(memory.add_many(["a long text"], split=Splitter(size=256)), list[str])
    assert_type(memory.edit("k", "a dog", {"lang": None}, split=None), bool)
    assert_type(memory.get("k"), MemoryItem | None)
    assert_type(memory.items("k"), Iterator[MemoryItem])
    assert_type(memory.search("a cat", 3, meta={"metadata.lang": "en"}, min_score=0.5, metric="dot"), list[Match])
    assert_type(memory.search_across({"legal": 3, "support": None}, [1.0, 2.0], 10), list[Match])
    assert_type(memory.search("a", keywords=True)[0].score, float)
    assert_type(memory.search("a")[0].part, Part | None)
    assert_type(memory.reembed(print), int)
    assert_type(memory.search("a", exact=False), list[Match])
    assert_type(memory.explain("a", exact=False), dict[str, Any])
    assert_type(memory.ensure_index(print), str)
    assert_type(memory.embed(["a", "b"], split=Splitter(16)), dict[str, bool])
    support = data_store.vector_vault("customer_support")
    assert_type(support, VectorVault)
    assert_type(support.add("a text", {"lang": "en"}, name="first"), int)
    assert_type(support.get_vectors(), int)
    assert_type(support.save(), None)
    assert_type(support.get_similar("a text", n=4), list[dict[str, Any]])
    assert_type(support.get_similar_from_vaults("a text", 10, {"legal": 3, "support": None}), list[dict[str, Any]])
    assert_type(support.get_items([0, 1]), list[dict[str, Any] | None])
    assert_type(support.edit_item(0, "another text"), bool)
    assert_type(support.delete_items([0]), int)
    assert_type(support.get_vaults(), list[str])


def host() -> None:
    with datastore.connect("memory://", tracking="immediate", max_seconds=5, clock=time.time, mode="rw") as store:
        assert_type(store, DataStore)
        assert_type(store.capabilities, Capabilities)
        assert_type(datastore.__version__, str)
        assert_type(store.host("ann"), AgentDataStore)
        assert_type(store.users(), Iterator[str])
        assert_type(store.records(), Iterator[Record])
        assert_type(store.purge_expired("ann"), int)
        assert_type(datastore.limits.shorten_name("a" * 300), str)
        data_store = store.agent("ann", "planner", grants={"*": "write", "shared/*": "read"})
        data_store.set_many({"plan": {"goal": "buy"}, "plans": [], "price": {"amount": 1, "currency": "EUR"}})
        data_store.set("visit", {"city": "Bath", "days": 2})
        values(data_store)
        changes(data_store.use_namespace("changes"))
        batches(data_store)
        one_record(data_store.use_namespace("records"))
        listings(data_store.use_namespace("empty"))
        queries(data_store.use_namespace("prices"))
        around(data_store)


def served() -> None:
    with datastore.connect("http+unix:///run/s", token="dst_x") as data_store:
        agent: AgentDataStore = data_store
        assert_type(data_store.get("plan", type=Plan), Plan | None)
        assert_type(data_store.set("plan", 1), str)
        assert_type(list(data_store.iter_records()), list[Record])
        assert_type(data_store.vault, Vault)
    with datastore.connect(token_file="/run/token", max_seconds=5) as data_store:
        agent = data_store
    agent.exists("plan")
    datastore.connect("http+unix:///run/s", token=b"x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def mistakes(store: DataStore, data_store: AgentDataStore) -> None:
    """Is never called."""
    datastore.connect("memory://", tracking="offf")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    datastore.connect("memory://", mode="read")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    datastore.connect("memory://", max_pending="9")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    datastore.connect("memory://", clock=0.0)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    datastore.conect("memory://")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    store.agent("a", "b", grants={"c": "all"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    store.agent("ann")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    data_store.get(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    data_store.gett("plan")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    data_store.set("plan")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    data_store.set("plan", 1, ttl="1h")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    data_store.user_id = "bob"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    plan = data_store.get("plan", type=Plan)
    print(plan.goal)  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    name: int = data_store.get("name", "")  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    days: int = data_store.increment("days")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(name, days)


if __name__ == "__main__":
    host()
