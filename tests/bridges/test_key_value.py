"""py-key-value's contract, which ships no suite: cases written from it, and from what its own store in memory does."""

import asyncio
from datetime import datetime, timedelta

import pytest
from blockbuster import blockbuster_ctx
from key_value.aio.protocols.key_value import (
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValue,
)
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.wrappers.prefix_collections import PrefixCollectionsWrapper

from datastore import DamagedRecordError, InvalidNameError, InvalidValueError, connect
from datastore.bridges.key_value import DataStoreKeyValue
from datastore.conformance.clock import Clock
from tests.bridges.counting import counted
from tests.bridges.places import ON_SERVERS, ON_SERVERS_ALONE


@ON_SERVERS
def test_what_is_done_gives_what_it_gives_in_memory(data_store):
    async def done(store):
        seen = [await store.get("a"), await store.ttl("a"), await store.delete("a")]
        await store.put("a", {"n": 1, "nested": {"list": [1, 2.5, None, True]}})
        await store.put("a", {"n": 2}, collection="other")
        seen += [await store.get("a"), await store.get("a", collection="other"), await store.ttl("a")]
        await store.put("a", {"n": 3})
        await store.put_many(["b", "c", "a/d"], [{"b": 1}, {}, {"d": "ü"}])
        seen += [await store.get_many(["c", "none", "b", "a", "c"]), await store.get_many([])]
        seen += [await store.ttl_many(["a/d", "none"]), await store.delete_many(["b", "none", "c"])]
        seen += [await store.delete("a"), await store.delete("a"), await store.get("a/d")]
        seen += [await store.get("a", collection="other"), sorted(await store.keys()), await store.delete_many([])]
        seen += [sorted(await store.keys("other")), sorted(await store.collections())]
        return seen

    async def compared():
        ours, theirs = DataStoreKeyValue(data_store), MemoryStore()
        assert await done(ours) == await done(theirs)
        assert await ours.destroy_collection("other")
        assert not await ours.destroy_collection("other")
        assert await ours.get("a", collection="other") is None
        assert await ours.get("a/d") == {"d": "ü"}
        assert await ours.destroy()

    asyncio.run(compared())
    assert data_store.list_namespaces() == []


def test_every_protocol_is_there(data_store):
    for protocol in (
        AsyncKeyValue, AsyncCullProtocol, AsyncEnumerateKeysProtocol, AsyncEnumerateCollectionsProtocol,
        AsyncDestroyCollectionProtocol, AsyncDestroyStoreProtocol,
    ):  # fmt: skip
        assert isinstance(DataStoreKeyValue(data_store), protocol)


def test_collections_never_meet_and_are_those_of_one_user(store):
    async def running():
        names = ["a", "a/b", "a%2Fb", "a:b", "%", "a.b", " "]
        ours = DataStoreKeyValue(store.agent("ann", "x"))
        inner = DataStoreKeyValue(store.agent("ann", "x", namespace="default/a"))
        for name in names:
            await ours.put("k", {"name": name}, collection=name)
            await inner.put("k", {"inner": name}, collection=name)
        for name in names:
            assert await ours.get("k", collection=name) == {"name": name}
            assert await inner.get("k", collection=name) == {"inner": name}
        assert sorted(await inner.collections()) == sorted(names)
        assert sorted(await ours.collections()) == sorted(names)
        assert len(await ours.collections(limit=2)) == 2
        await ours.destroy()
        assert sorted(await inner.collections()) == sorted(names)
        assert await DataStoreKeyValue(store.agent("bob", "x")).collections() == []

    asyncio.run(running())


def test_what_expires_says_when_and_is_culled(tmp_path):
    async def running(clock, store):
        ours = DataStoreKeyValue(store.agent("ann", "x"))
        await ours.put("a", {"n": 1}, ttl=100)
        await ours.put("b", {"n": 2}, ttl=timedelta(seconds=50).total_seconds())
        await ours.put_many(["c", "d"], [{}, {}], ttl=200.5)
        (_, left), (value, none) = await ours.ttl_many(["a", "e"])
        assert left == pytest.approx((await ours.ttl("b"))[1] + 50, abs=1)
        assert value is none is None
        clock.advance(100)
        assert await ours.get("a") is await ours.get("b") is None
        assert await ours.keys() == ["c", "d"]
        await ours.put("c", {"kept": True})
        await ours.cull()
        clock.advance(200)
        assert await ours.ttl_many(["c", "d"]) == [({"kept": True}, None), (None, None)]

    clock = Clock()
    with connect(f"sqlite:///{tmp_path}/s.db", clock=clock) as store:
        asyncio.run(running(clock, store))


def test_what_is_wrong_is_refused(data_store):
    async def running():
        ours = DataStoreKeyValue(data_store)
        for error, call in (
            (InvalidValueError, ours.put("a", ["a list"])),
            (InvalidValueError, ours.put("a", {"when": datetime(2026, 1, 1)})),
            (InvalidValueError, ours.put("a", {}, ttl=0)),
            (InvalidValueError, ours.put("a", {}, ttl="soon")),
            (InvalidValueError, ours.put_many(["a", "b"], [{}])),
            (InvalidNameError, ours.put("", {})),
            (InvalidNameError, ours.put("a", {}, collection="")),
            (InvalidNameError, ours.get(7)),
        ):
            with pytest.raises(error):
                await call
        assert await ours.collections() == []
        await data_store.use_namespace("default/c").asynchronous.set("k", "text")
        with pytest.raises(DamagedRecordError):
            await ours.get("k", collection="c")

    asyncio.run(running())


def test_wrappers_of_the_package_work_on_it_and_no_call_blocks_the_loop(data_store):
    async def running():
        with blockbuster_ctx():
            wrapped = PrefixCollectionsWrapper(DataStoreKeyValue(data_store.asynchronous), prefix="mcp")
            await wrapped.put("k", {"n": 1}, collection="tokens", ttl=60)
            assert await wrapped.get("k", collection="tokens") == {"n": 1}

    asyncio.run(running())
    assert data_store.list_namespaces() == ["default/mcp__tokens"]


@ON_SERVERS_ALONE
def test_calls_ask_what_those_of_the_store_ask(place, url):
    with counted(place, url) as asked:
        ours = DataStoreKeyValue(asked.store.agent("ann", "a"))
        keys = [f"{number:02}" for number in range(20)]
        for coroutine in (
            lambda: ours.put("k", {"n": 1}),
            lambda: ours.get("k"),
            lambda: ours.ttl("k"),
            lambda: ours.put_many(keys, [{}] * 20),
            lambda: ours.get_many(keys),
            lambda: ours.keys(limit=3),
        ):
            assert asked.by(lambda coroutine=coroutine: asyncio.run(coroutine())) == 1
