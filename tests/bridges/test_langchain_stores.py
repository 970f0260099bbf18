"""LangChain's stores, judged by LangChain's standard tests, and what these leave out."""

import asyncio
from datetime import timedelta

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.stores import InMemoryByteStore
from langchain_tests.integration_tests.base_store import BaseStoreAsyncTests, BaseStoreSyncTests

from datastore import DamagedRecordError, DataStoreError, InvalidNameError, InvalidValueError, connect
from datastore.bridges.langchain_stores import DataStoreByteStore, DataStoreStore
from datastore.conformance.clock import Clock
from tests.bridges.counting import counted
from tests.bridges.places import ON_SERVERS_ALONE

BYTES = (b"text", b"\xff\x00", "ü".encode())
VALUES = ({"a": [1, 2.0, None]}, "text", 7)


AWAITED = pytest.mark.filterwarnings("ignore:The test <Function test_no_overrides")  # which is no coroutine


class _OfValues:
    @pytest.fixture
    def kv_store(self, data_store):
        return DataStoreStore(data_store)

    @pytest.fixture
    def three_values(self):
        return VALUES


class _OfBytes:
    @pytest.fixture
    def kv_store(self, data_store):
        return DataStoreByteStore(data_store)

    @pytest.fixture
    def three_values(self):
        return BYTES


class TestValues(_OfValues, BaseStoreSyncTests):
    pass


@AWAITED
@pytest.mark.asyncio
class TestValuesAwaited(_OfValues, BaseStoreAsyncTests):
    pass


class TestBytes(_OfBytes, BaseStoreSyncTests):
    pass


@AWAITED
@pytest.mark.asyncio
class TestBytesAwaited(_OfBytes, BaseStoreAsyncTests):
    pass


def test_keys_are_those_of_the_store_in_memory(data_store):
    ours, theirs = DataStoreByteStore(data_store), InMemoryByteStore()
    for store in (ours, theirs):
        store.mset([(key, b"v") for key in ("b", "a/1", "a/2", "ä", "a%", "A")])
        store.mdelete(["b", "none"])
    for prefix in (None, "", "a", "a/", "ä", "z"):
        assert list(ours.yield_keys(prefix=prefix)) == sorted(theirs.yield_keys(prefix=prefix))
    assert ours.mget(["a/1", "none", "a/1"]) == theirs.mget(["a/1", "none", "a/1"])


@pytest.mark.parametrize(
    "value", [b"", b"\x00", b"\xed\xa0\x80", b"\xef\xbb\xbfbom", bytes(range(256)), b"x" * 740_000]
)
def test_bytes_come_back_as_they_are(data_store, value):
    store = DataStoreByteStore(data_store)
    store.mset([("k", value)])
    assert store.mget(["k"]) == [value]


def test_text_can_be_read_by_people_and_damage_is_named(data_store):
    DataStoreByteStore(data_store).mset([("k", b'{"page": 1}')])
    assert data_store.get("k") == {"text": '{"page": 1}'}
    data_store.set("k", "by somebody else")
    with pytest.raises(DamagedRecordError):
        DataStoreByteStore(data_store).mget(["k"])


def test_what_is_wrong_is_refused_and_nothing_is_stored(data_store):
    for pairs, error in (
        ([("a", b"v"), ("b", "text")], InvalidValueError),
        ([("a", b"v"), ("", b"v")], InvalidNameError),
        ([("a", b"v"), ("b", b"\xff" * 800_000)], DataStoreError),
    ):
        with pytest.raises(error):
            DataStoreByteStore(data_store).mset(pairs)
    assert data_store.list_keys() == []
    for ttl in (0, -1, "1", float("nan")):
        with pytest.raises(InvalidValueError, match="ttl"):
            DataStoreStore(data_store, ttl=ttl)


def test_what_is_stored_expires(tmp_path):
    clock = Clock()
    with connect(f"sqlite:///{tmp_path}/s.db", clock=clock) as opened:
        store = DataStoreStore(opened.agent("ann", "a"), ttl=timedelta(seconds=10))
        store.mset([("k", 1)])
        clock.advance(9)
        assert store.mget(["k"]) == [1]
        clock.advance(2)
        assert store.mget(["k"]) == [None]
        assert list(store.yield_keys()) == []


def test_coroutines_never_block_their_loop(data_store):
    async def running():
        store = DataStoreByteStore(data_store.asynchronous)
        with blockbuster_ctx():
            await store.amset([("a", b"1"), ("b", b"\xff")])
            assert await store.amget(["a", "none", "b"]) == [b"1", None, b"\xff"]
            await store.amdelete(["a"])
            assert [key async for key in store.ayield_keys()] == ["b"]

    asyncio.run(running())


@ON_SERVERS_ALONE
def test_calls_ask_what_those_of_the_store_ask(place, url):
    with counted(place, url) as asked:
        store = DataStoreByteStore(asked.store.agent("ann", "a"))
        keys = [f"{number:02}" for number in range(20)]
        assert asked.by(lambda: store.mset([(key, b"v") for key in keys])) == 1
        assert asked.by(lambda: store.mget(keys)) == 1
        assert asked.by(lambda: list(store.yield_keys(prefix="1"))) == 1
