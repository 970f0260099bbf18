"""Memory of an agent in a sandbox: what leaves it, what it needs, and what it may ask of the host's embedder."""

import asyncio
import inspect
import os
import subprocess
import sys
import threading
from array import array
from dataclasses import replace

import pytest

import datastore
from datastore import (
    Embedder,
    Item,
    LeaseLostError,
    Memory,
    Part,
    PermissionDeniedError,
    QueryError,
    Splitter,
    UnsupportedError,
)
from datastore.conformance.faults import backend_of
from datastore.conformance.topics.memory import SIZE, WORDS, words
from datastore.errors import InvalidValueError
from datastore.server import ServerLimits, create_app
from datastore.server.openapi import document
from datastore.wire.calls import CALLS, IN_STEPS
from tests.memory.lagging import Lagging
from tests.remote.serving import serving


@pytest.fixture
def store():
    with datastore.connect("memory://", embedder=WORDS) as store:
        yield store


@pytest.fixture
def memory(data_store):
    return data_store.memory


def test_each_call_is_one_request(memory, requests):
    key = memory.add("a cat")
    memory.add_many(["a dog", Item("bird", "a bird", {"m": 1}, 60)])
    memory.edit(key, metadata={"m": 2})
    assert memory.get(key).metadata == {"m": 2}
    assert len(list(memory.items())) == 3
    assert [match.key for match in memory.search("bird", 1)] == ["bird"]
    assert memory.search_across({"default": 1}, "cat", 1)[0].key == key
    assert memory.explain("cat")["vectors_compared"] == 3
    assert memory.delete(key)
    assert memory.reembed() == 0
    memory.add("A cat sat.\n\nA dog barked.", key="parts", split=Splitter(16))
    assert memory.search("barked.", 1)[0].part == Part(12, 25, "A dog barked.")
    assert requests == [
        *("memory_add", "memory_add_many", "memory_edit", "memory_get", "memory_items", "memory_search"),
        *("memory_search_across", "memory_explain", "memory_delete", "memory_reembed", "memory_add", "memory_search"),
    ]


def test_what_is_wrong_is_refused_before_a_request_if_it_cannot_be_sent(memory, requests):
    good = [1.0] * SIZE
    for call, message in (
        (lambda: memory.add("text", vector=[float("nan")]), r"vector\[0\] is not a finite number"),
        (lambda: memory.add_many(["a"], vectors=["x"]), r"vectors\[0\] is a str"),
        (lambda: memory.add({"a": object()}, vector=good), r"text\.a is an object"),
        (lambda: memory.add_many([Item("k", {1: 2})], vectors=[good]), r"texts\[0\] has a key that is an int"),
        (lambda: memory.search("a", filter={"a": object()}), "object"),
        (lambda: memory.search(object()), "text_or_vector is an object"),
        (lambda: memory.add("a", split=Splitter(16, count=len)), "split counts by a function"),
        (lambda: memory.embed(["a"], split={"size": 16}), "split is a dict"),
        (lambda: memory.reembed(7), "progress is an int"),
        (lambda: memory.ensure_index(7), "progress is an int"),
    ):
        with pytest.raises((InvalidValueError, QueryError), match=message):
            call()
    with pytest.raises(TypeError, match="unexpected keyword argument 'vektor'"):
        memory.add("a", vektor=good)
    assert requests == []


def test_every_form_of_a_vector_is_the_one_that_is_stored(memory, store):
    import numpy

    numbers = [0.1 * place for place in range(1, SIZE + 1)]
    forms = [numbers, tuple(numbers), array("d", numbers), numpy.array(numbers), numpy.array(numbers, "float32")]
    memory.add_many({f"k{place}": str(place) for place in range(len(forms))}, vectors=forms)
    found = store.agent("ann", "other").memory.search(numbers)
    assert [(one.key, one.score) for one in found] == [(f"k{place}", found[0].score) for place in range(len(forms))]
    there = memory.search(array("f", numbers))
    assert [(one.key, one.score, one.text, one.metadata) for one in there] == [one[:4] for one in found]
    assert [one.record.revision for one in there] == [one.record.revision for one in found]


def test_its_calls_are_those_of_memory_with_a_schema_for_each_parameter():
    """So a new call or parameter fails here until it is served."""
    public = {name for name, _ in inspect.getmembers(Memory, inspect.isfunction) if not name.startswith("_")}
    public -= {"ensure_index"}  # it costs what the host pays
    assert {f"memory_{name}" for name in public} == set(IN_STEPS["memory"])
    described = document("1")["paths"]
    for name in public:
        own = set(inspect.signature(getattr(Memory, name)).parameters) - {"self", "progress"}
        assert set(CALLS[f"memory_{name}"].parameters) == own
        schema = described[f"/v1/memory_{name}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert set(schema["properties"]["arguments"]["properties"]) == own


def test_the_sandbox_needs_no_numpy_and_no_event_loop(served, store):
    store.agent("ann", "other").memory.add("a cat", key="cat")
    code = """
import sys, datastore
for name in ("numpy", "httpx", "boto3"):
    sys.modules[name] = None
memory = datastore.connect(sys.argv[1], token=sys.argv[2]).memory
memory.add("a dog", key="dog")
print([one.key for one in memory.search("cat", 1)], "asyncio" in sys.modules)
"""
    arguments = [sys.executable, "-c", code, served, store.tokens.mint("ann", "planner")]
    ran = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert ran.stdout == "['cat'] False\n"


def test_progress_is_told_and_what_the_function_raises_ends_the_call_but_loses_nothing(data_store, store):
    data_store.memory.add_many({f"k{number:03}": "a cat" for number in range(450)})
    store._core.embedder = Embedder(words, SIZE, "other", batch=100)

    def stops(done, total):
        raise LookupError(f"{done} of {total}")

    with pytest.raises(LookupError, match="100 of 450"):
        data_store.memory.reembed(stops)
    told = list[tuple[int, int]]()
    assert data_store.memory.reembed(lambda *at: told.append(at)) <= 450
    assert told == [(100, 450), (200, 450), (300, 450), (400, 450), (450, 450)]
    assert len(data_store.memory.search("cat", 1000)) == 450


def test_progress_comes_while_the_rest_is_made(data_store, store):
    data_store.memory.add_many({f"k{number:03}": "a cat" for number in range(250)})
    seen, calls = threading.Event(), 0

    def waits(texts):
        nonlocal calls
        calls += 1
        assert calls < 3 or seen.wait(60)  # the first pair has come to the client before the last ones are made
        return words(texts)

    store._core.embedder = Embedder(waits, SIZE, "other", batch=100)
    assert data_store.memory.reembed(lambda *_: seen.set()) == 250


def test_a_lease_that_is_over_lets_nothing_be_written(data_store, store):
    lease = data_store.lease("work", 60, renew=False)
    memory = lease.data_store.memory
    memory.add("a cat", key="k")
    clock = store._core.clock
    store._core.clock = lambda: clock() + 67
    store.agent("ann", "other").lease("work")
    for call in (lambda: memory.add("a dog"), lambda: memory.edit("k", "a dog"), lambda: memory.delete("k")):
        with pytest.raises(LeaseLostError):
            call()
    assert [item.text for item in data_store.memory.items()] == ["a cat"]


def test_a_token_allows_memory_as_it_allows_blobs(store, served):
    store.agent("ann", "other").memory.add("a cat", key="k")
    gets = store.tokens.mint("ann", "reader", calls=["get"])
    with (
        datastore.connect(served, token=gets) as reader,
        pytest.raises(PermissionDeniedError, match="does not allow the call 'memory_search'"),
    ):
        reader.memory.search("cat")
    reads = store.tokens.mint("ann", "reader", grants={"default": "read"}, calls=["memory"])
    with datastore.connect(served, token=reads) as reader:
        assert [one.key for one in reader.memory.search("cat")] == ["k"]
        for call in (lambda: reader.memory.add("x"), lambda: reader.memory.reembed()):
            with pytest.raises(PermissionDeniedError, match="no grant to write"):
                call()
        with pytest.raises(PermissionDeniedError, match="'get'"):
            reader.get("k")


def test_a_search_uses_the_index_that_the_host_has_declared_and_only_the_host_declares_one(store):
    index = Lagging(backend_of(store))
    host = datastore.DataStore(index, embedder=WORDS)
    url = serving(os.getpid()).add(create_app(host))
    with datastore.connect(url, token=host.tokens.mint("ann", "planner")) as agent:
        agent.memory.add("a cat", key="cat")
        for declares in (agent.memory.ensure_index, lambda: asyncio.run(awaited(agent))):
            with pytest.raises(UnsupportedError, match="not served: an index of vectors is created, and paid for, by"):
                declares()
        assert "declared" in agent.memory.explain("cat", exact=False)["why_exact"]
        assert index.for_the_index == {}
        host.agent("ann", "host").memory.ensure_index()
        agent.memory.add("a dog", key="dog")
        assert len(index.for_the_index) == 2
        assert not agent.memory.explain("cat", exact=False)["exact"]
        assert [one.key for one in agent.memory.search("cat", 1, exact=False)] == ["cat"]
        assert agent.memory.search_across({"default": 1}, "dog", 1, exact=False)[0].key == "dog"
        assert index.searches == 3
    serving(os.getpid()).remove(url)


async def awaited(agent):
    await agent.asynchronous.memory.ensure_index()


# ------------------------------------------------------------------------------------------ what it may ask of the host


@pytest.fixture
def limited(store):
    """A store whose server answers ten matches and takes three texts at once."""
    url = serving(0).add(create_app(store, limits=ServerLimits(nearest=10, texts=3)))
    with datastore.connect(url, token=store.tokens.mint("ann", "planner")) as data_store:
        yield data_store.memory
    serving(0).remove(url)


def test_what_asks_for_too_much_is_refused_before_the_embedder_or_the_database(limited, store):
    limited.add_many(["a", "b", "c"])
    assert len(limited.search("a", 10)) == 3
    asked = list[str]()
    store._core.embedder = replace(WORDS, function=lambda texts: asked.extend(texts) or words(texts))
    for call, message in (
        (lambda: limited.search("a", 11), "n asks for more than 10 matches"),
        (lambda: limited.explain("a", 11), "n asks for more than 10 matches"),
        (lambda: limited.search_across({"a": 6, "b": 5}, "a", 1), "n asks for more than 10 matches"),
        (lambda: limited.search_across(dict.fromkeys("abcd"), "a"), "namespaces has 4, and this server takes 3"),
        (lambda: limited.add_many(["a"] * 4), "texts has 4, and this server takes 3"),
        (lambda: limited.add_many(dict.fromkeys("abcd", "a")), "texts has 4, and this server takes 3"),
        (lambda: limited.add("x" * 64, split=Splitter(16)), "split makes up to 5 parts, and this server takes 3"),
        (lambda: limited.add_many({"d": "x" * 40, "e": "x"}, split=Splitter(16)), "split makes up to 4 parts"),
    ):
        with pytest.raises((QueryError, InvalidValueError), match=message):
            call()
    assert asked == []


def test_an_embedder_that_hangs_holds_up_no_call_that_needs_none(served, store):
    """Of anybody, and however many wait for it: twice as many tokens as there are places."""
    hangs, goes_on = threading.Event(), threading.Event()

    def waits(texts):
        hangs.set()
        assert goes_on.wait(60)
        return words(texts)

    store.agent("ben", "honest").memory.add("a cat", key="k")
    store._core.embedder = replace(WORDS, function=waits)
    hostile = [datastore.connect(served, token=store.tokens.mint("ann", f"agent{number}")) for number in range(20)]
    honest = datastore.connect(served, token=store.tokens.mint("ben", "honest"))
    threads = [threading.Thread(target=one.memory.add, args=("text",)) for one in hostile]
    for thread in threads:
        thread.start()
    try:
        assert hangs.wait(60)
        assert honest.memory.get("k").text == "a cat"
        assert [one.key for one in honest.memory.search([1.0] * SIZE)] == ["k"]  # a vector needs no embedder
        assert honest.find({}) == {"k": "a cat"}
        assert hostile[0].list_keys() == []
    finally:
        goes_on.set()
        for thread in threads:
            thread.join()
        for one in hostile:
            one.close()
        honest.close()
    assert len(store.host("ann").list_keys()) == 20


def test_what_the_hosts_function_says_stays_on_the_host(memory, store):
    def fails(texts):
        raise OSError("key sk-123 refused by https://models.example")

    store._core.embedder = replace(WORDS, function=fails)
    with pytest.raises(datastore.EmbedderError, match="the embedder failed with OSError") as caught:
        memory.add("a")
    assert "sk-123" not in str(caught.value)
    assert caught.value.__cause__ is None
