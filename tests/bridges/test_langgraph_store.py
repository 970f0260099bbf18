"""LangGraph's store: cases written from its contract; filters next to LangGraph's own store in memory."""

import asyncio
from itertools import product

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.embeddings import Embeddings
from langgraph.store.base import GetOp, InvalidNamespaceError, ListNamespacesOp, MatchCondition, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from datastore import EmbedderError, InvalidValueError, QueryError, connect
from datastore.bridges.langgraph_names import Names
from datastore.bridges.langgraph_store import DataStoreStore
from datastore.conformance.clock import Clock
from tests.bridges.counting import counted
from tests.bridges.places import ON_SERVERS, ON_SERVERS_ALONE


class Letters(Embeddings):
    """A vector has how often each letter occurs: texts with the same letters are near."""

    def embed_documents(self, texts):
        return [[1.0 + text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]

    def embed_query(self, text):
        return self.embed_documents([text])[0]


INDEX = {"dims": 26, "embed": Letters(), "fields": ["text"]}


@pytest.fixture
def ours(data_store):
    return DataStoreStore(data_store)


@ON_SERVERS
class TestOnEveryDatabase:
    def test_items_come_back_and_keep_when_they_were_created(self, ours):
        ours.put(("users", "ann"), "likes", {"tea": 1})
        first = ours.get(("users", "ann"), "likes")
        ours.put(("users", "ann"), "likes", {"tea": 2})
        item = ours.get(("users", "ann"), "likes")
        assert (item.namespace, item.key, item.value) == (("users", "ann"), "likes", {"tea": 2})
        assert item.created_at == first.created_at
        assert item.updated_at > first.updated_at
        ours.delete(("users", "ann"), "likes")
        assert ours.get(("users", "ann"), "likes") is None
        ours.delete(("users", "ann"), "likes")

    def test_a_search_is_that_of_a_prefix_of_labels(self, ours):
        for namespace in (("a",), ("a", "b"), ("ab",), ("a", "b", "c"), ("b", "a")):
            ours.put(namespace, "key", {"at": list(namespace)})
        found = [item.value["at"] for item in ours.search(("a",))]
        assert found == [["a"], ["a", "b"], ["a", "b", "c"]]
        assert len(ours.search(())) == 5
        assert [item.value["at"] for item in ours.search(("a",), limit=1, offset=1)] == [["a", "b"]]

    def test_a_search_with_a_query_is_by_meaning(self, data_store):
        store = DataStoreStore(data_store, index=INDEX)
        texts = {"one": "tea tea tea", "two": "zebra zoo", "three": "seat", "four": "quiz"}
        store.batch([PutOp(("m", key), key, {"text": text, "n": len(text)}) for key, text in texts.items()])
        store.put(("m", "unseen"), "unseen", {"text": "tea"}, index=False)
        found = store.search(("m",), query="eat", limit=3)
        assert [item.key for item in found][:2] == ["three", "one"]
        assert found[0].score > found[1].score > found[2].score
        assert [item.key for item in store.search(("m",), query="eat", limit=1, offset=1)] == ["one"]
        assert [item.key for item in store.search(("m",), query="eat", filter={"n": {"$gt": 10}})] == ["one"]
        store.put(("m", "three"), "three", {"text": "fizz"})
        assert store.search(("m",), query="eat", limit=1)[0].key == "one"

    def test_namespaces_are_listed_by_prefix_suffix_wildcard_and_depth(self, ours):
        every = [("a", "b", "c"), ("a", "b", "d"), ("a", "x", "c"), ("b", "b", "c"), ("a-", "b")]
        ours.batch([PutOp(namespace, "k", {}) for namespace in every])
        assert sorted(ours.list_namespaces()) == sorted(every)
        assert ours.list_namespaces(prefix=("a", "b")) == [("a", "b", "c"), ("a", "b", "d")]
        assert ours.list_namespaces(prefix=("a", "*", "c")) == [("a", "b", "c"), ("a", "x", "c")]
        assert sorted(ours.list_namespaces(suffix=("b", "c"))) == [("a", "b", "c"), ("b", "b", "c")]
        assert sorted(ours.list_namespaces(suffix=("b", "*"))) == [("a", "b", "c"), ("a", "b", "d"), ("b", "b", "c")]
        assert ours.list_namespaces(prefix=("a",), max_depth=2) == [("a", "b"), ("a", "x")]
        assert ours.list_namespaces(prefix=("a",), limit=1, offset=1) == [("a", "b", "d")]


def test_a_limit_counts_what_matches_and_no_lists_before_it(ours):
    """Lists that hold the number are found with it, and left out; they must not take the places of others."""
    for number, value in enumerate([[1], [1, 2], 1, 2, 1]):
        ours.put(("a",), str(number), {"n": value})
    for asked, keys in ((1, ["2", "4"]), ({"$gte": 1, "$lt": 2}, ["2", "4"]), ({"$gt": 0}, ["2", "3", "4"])):
        for limit in range(1, 5):
            assert [item.key for item in ours.search(("a",), filter={"n": asked}, limit=limit)] == keys[:limit]
        assert [item.key for item in ours.search(("a",), filter={"n": asked}, offset=1)] == keys[1:]


ITEMS = [
    {},
    {"n": 1},
    {"n": 2.5, "s": "x"},
    {"n": None},
    {"n": [1, 2]},
    {"n": [[1, 2]]},
    {"n": {"m": 1, "o": 2}},
    {"n": [{"m": 1}]},
    {"s": "y", "b": True},
    {"s": ["x"]},
]
FILTERS = [
    {},
    {"n": 1},
    {"n": None},
    {"n": [1, 2]},
    {"n": {"m": 1}},
    {"n": {"m": None}},
    {"n": {"m": {"$eq": 1}}},
    {"s": "x"},
    {"s": {"$eq": "x"}},
    {"s": {"$ne": "x"}},
    {"n": {"$ne": 1}, "s": "y"},
    {"n": {"$ne": [1, 2]}},
    {"b": True},
    {"s": "x", "n": 2.5},
]


@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_a_filter_means_what_it_means_in_memory(ours, filter):
    theirs = InMemoryStore()
    for number, value in enumerate(ITEMS):
        for store in (ours, theirs):
            store.put(("f",), f"{number}", value)
    found = [[item.key for item in store.search(("f",), filter=filter, limit=100)] for store in (ours, theirs)]
    assert found[0] == found[1]


def test_numbers_are_compared_with_numbers(ours):
    for number, value in enumerate([1, 2, 3, None, "4", [5]]):
        ours.put(("f",), f"{number}", {"n": value})
    for operator, expected in (("$gt", "2"), ("$gte", "12"), ("$lt", "0"), ("$lte", "01")):
        found = ours.search(("f",), filter={"n": {operator: 2}})
        assert "".join(item.key for item in found) == expected
    for filter in ({"n": {"$regex": "x"}}, {"a.b": 1}, {"$where": 1}, {"n": {"": 1}}):
        with pytest.raises(QueryError):
            ours.search(("f",), filter=filter)


def test_no_two_namespaces_meet(store):
    """Of every pair of labels that an encoding could mix up, in every namespace of the host."""
    labels = ["a", "b", "a/b", "a:b", "a%2Fb", "%", "/", "a b", "ä", "*"]
    tuples = [*((one,) for one in labels), *product(labels[:6], repeat=2)]
    encoded = {Names(root).encoded(one): (root, one) for root in ("r", "r:a", "s") for one in tuples}
    assert len(encoded) == 3 * len(tuples)
    for name, (root, one) in encoded.items():
        assert Names(root).decoded(name) == one
    ours = DataStoreStore(store.agent("ann", "a"))
    for one in tuples:
        ours.put(one, "k", {"labels": list(one)})
    for one in tuples:
        assert ours.get(one, "k").value == {"labels": list(one)}
    assert DataStoreStore(store.agent("bob", "a")).list_namespaces() == []
    for bad in (("a.b",), ("",), ("a", 1), ()):
        with pytest.raises(InvalidNamespaceError):
            ours.put(bad, "k", {})
    with pytest.raises(InvalidNamespaceError):
        ours.batch([GetOp(("a.b",), "k")])


def test_a_batch_is_answered_in_order_and_reads_before_it_writes(ours):
    ours.put(("a",), "k", {"old": True})
    answers = ours.batch(
        [
            PutOp(("a",), "k", {"new": 1}),
            GetOp(("a",), "k"),
            SearchOp(("a",)),
            PutOp(("a",), "k", {"new": 2}),
            ListNamespacesOp((MatchCondition("prefix", ("a",)),)),
            GetOp(("b",), "k"),
            PutOp(("a",), "gone", None),
        ]
    )
    assert answers[1].value == {"old": True}
    assert [item.value for item in answers[2]] == [{"old": True}]
    assert answers[4] == [("a",)]
    assert [answers[at] for at in (0, 3, 5, 6)] == [None] * 4
    assert ours.get(("a",), "k").value == {"new": 2}


def test_what_is_read_lives_on_and_the_rest_expires(tmp_path):
    clock = Clock()
    with connect(f"sqlite:///{tmp_path}/s.db", clock=clock) as store:
        ours = DataStoreStore(store.agent("ann", "a"), ttl={"default_ttl": 10, "refresh_on_read": True})
        for key in ("got", "found", "looked at", "idle"):
            ours.put(("t", key), key, {"v": key})
        ours.put(("t", "kept"), "kept", {}, ttl=None)
        for _ in range(3):
            clock.advance(400)  # seconds, and each lives for 10 minutes
            assert ours.get(("t", "got"), "got") is not None
            assert len(ours.search(("t", "found"))) == 1
            ours.get(("t", "looked at"), "looked at", refresh_ttl=False)
        assert {item.key for item in ours.search(("t",), refresh_ttl=False)} == {"got", "found", "kept"}
        ours.put(("t", "got"), "got", {}, ttl=None)
        clock.advance(1_000)
        assert {item.key for item in ours.search(("t",))} == {"got", "kept"}


def test_what_cannot_be_stored_or_embedded_is_an_error_of_the_store(data_store):
    with pytest.raises(InvalidValueError):
        DataStoreStore(data_store).put(("a",), "k", {"when": object()})

    def failing(texts):
        raise RuntimeError("secret")

    store = DataStoreStore(data_store, index={"dims": 3, "embed": failing})
    with pytest.raises(EmbedderError, match="RuntimeError") as raised:
        store.put(("a",), "k", {"text": "t"})
    assert "secret" not in str(raised.value)
    assert store.get(("a",), "k") is None


def test_coroutines_never_block_their_loop(ours, data_store):
    async def running():
        with blockbuster_ctx():
            await ours.aput(("a", "b"), "k", {"v": 1}, ttl=5)
            assert (await ours.aget(("a", "b"), "k")).value == {"v": 1}
            assert len(await ours.asearch(("a",), filter={"v": 1})) == 1
            assert await ours.alist_namespaces() == [("a", "b")]
            indexed = DataStoreStore(data_store.asynchronous, index=INDEX)
            await indexed.aput(("i",), "k", {"text": "tea"})
            assert [item.key for item in await indexed.asearch(("i",), query="eat")] == ["k"]
            await ours.adelete(("a", "b"), "k")
            assert await ours.aget(("a", "b"), "k") is None

    asyncio.run(running())


@ON_SERVERS_ALONE
def test_calls_ask_what_they_are_said_to_ask(place, url):
    with counted(place, url) as asked:
        ours = DataStoreStore(asked.store.agent("ann", "assistant"))
        for others in (0, 30):
            ours.batch([PutOp(("other", f"{number}"), "k", {}) for number in range(others)])
            at = ("a", f"{others}")
            for call in (
                lambda at: ours.put(at, "k", {"v": 1}),
                lambda at: ours.get(at, "k"),
                lambda at: ours.batch([GetOp(at, key) for key in "klm"]),
                lambda at: ours.search(at, filter={"v": 1}, limit=1),
                lambda at: ours.batch([PutOp((*at, f"{number}"), "k", {}) for number in range(20)]),
            ):
                assert asked.by(lambda call=call, at=at: call(at)) == 1


def test_what_stands_beside_it_is_not_found(data_store, ours):
    """Other namespaces of the user whose names begin in the same way hold no items."""
    for namespace in ("default:x/y", "default:x:y.", "default:x", "default/x", "default"):
        data_store.use_namespace(namespace).set("k", {"a": 1})
    ours.put(("x",), "k", {"a": 1})
    assert [item.namespace for item in ours.search(())] == [("x",)]
    assert ours.list_namespaces() == ours.list_namespaces(limit=1) == [("x",)]
