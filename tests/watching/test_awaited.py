"""What a host is told of awaited calls: the same, one event for each call, also of reads that leave together."""

import asyncio
import gc
import logging
import threading

import pytest

import datastore
from datastore import AsyncAgentDataStore, CallEvent
from datastore.conformance.calls import CALLS
from datastore.loops import _Warned
from datastore.scope import scope_of
from datastore.watching import calls_of, watch
from tests.asynchronous.looped import LoopedStore
from tests.watching.test_events import COMES_TO, SIZE, told


@pytest.fixture
def events():
    return []


@pytest.fixture
def looped(events):
    """A synchronous store, each of whose calls is made by the awaited twin on a loop."""
    with LoopedStore(datastore.connect("memory://", on_call=events.append)) as store:
        data_store = store.agent("ann", "planner")
        data_store.set("plan", {"goal": "sell"})
        data_store.set("list", [])
        events.clear()
        yield data_store


def on_a_loop(function):
    """Open a store, and call a coroutine function with an agent's awaited store and the events."""

    async def run():
        events = []
        async with datastore.connect_async("memory://", on_call=events.append) as store:
            ann = store.agent("ann", "planner")
            await ann.set_many({"plan": {"goal": "sell"}, "list": []})
            events.clear()
            await function(ann, events)

    asyncio.run(run())


@pytest.mark.parametrize("case", COMES_TO)
def test_an_awaited_call_comes_to_the_same(looped, events, case):
    call, expected = COMES_TO[case]
    call(looped)
    assert told(events) == [expected]


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"lease", "lock"}))
def test_each_call_of_the_kit_is_one_event(looped, events, name):
    try:
        CALLS[name](looped)
    except datastore.DataStoreError as error:
        expected = type(error).__name__
    else:
        expected = None
    (event,) = events
    assert event.call == {"in": "exists"}.get(name, name.partition("-")[0])
    assert event.error == expected


def test_each_read_that_leaves_with_others_is_an_event_of_its_own():
    async def run(ann, events):
        reads = []
        backend = scope_of(ann.sync).core.backend
        read = backend.read
        backend.read = lambda ids, fields: reads.append(list(ids)) or read(ids, fields)
        await asyncio.gather(
            ann.get("plan"),
            ann.get("plan"),
            ann.get("no"),
            ann.exists("list"),
            ann.get_many(iter(["list", "plan", "x"])),
        )
        assert len(reads) == 1
        assert sorted(told(events), key=str) == sorted(
            [
                ("get", "plan", None, 1, SIZE, None),
                ("get", "plan", None, 1, SIZE, None),
                ("get", "no", None, 0, 0, None),
                ("exists", "list", None, 1, 0, None),
                ("get_many", None, 3, 2, SIZE + 2, None),
            ],
            key=str,
        )

    on_a_loop(run)


def test_agents_of_several_users_whose_reads_leave_together_are_told_apart():
    async def run(ann, events):
        store = datastore.connect("memory://", on_call=events.append).asynchronous
        users = [store.agent(f"user-{number}", f"agent-{number}") for number in range(20)]
        await asyncio.gather(*(user.get("k") for user in users))
        assert sorted((event.user, event.agent) for event in events) == sorted(
            (user.user_id, user.agent) for user in users
        )
        await store.aclose()

    on_a_loop(run)


def test_what_a_read_together_with_others_fails_with_is_told_of_each():
    async def run(ann, events):
        results = await asyncio.gather(ann.get("plan", type=int), ann.get(""), ann.get("list"), return_exceptions=True)
        assert [type(result).__name__ for result in results] == ["InvalidValueError", "InvalidNameError", "list"]
        assert {(event.key, event.error) for event in events} == {
            ("plan", "InvalidValueError"),
            ("", "InvalidNameError"),
            ("list", None),
        }

    on_a_loop(run)


def test_a_call_that_is_cancelled_is_told_of_as_that():
    async def run(ann, events):
        reading = asyncio.create_task(ann.get("plan"))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert told(events) == [("get", "plan", None, None, 0, "CancelledError")]

    on_a_loop(run)


def test_a_function_that_is_awaited_may_call_the_store_as_well():
    async def run(ann, events):
        async def read(value):
            return await ann.get("list")

        await ann.modify("plan", read)
        assert told(events) == [("get", "list", None, 1, 2, None), ("modify", "plan", None, None, 2, None)]
        await ann.get_or_set("new", lambda: {"a": 1})
        assert told(events) == [("get_or_set", "new", None, 0, 7, None)]

    on_a_loop(run)


@pytest.mark.parametrize("within", ["modify", "get_or_set", "blob_put", "memory_search"])
@pytest.mark.parametrize(
    "call",
    [
        lambda ann, other, store: ann.log("log").append(1),
        lambda ann, other, store: ann.vault.query("none"),
        lambda ann, other, store: ann.key_value.increment("n"),
        lambda ann, other, store: other.get_record("plan"),
        lambda ann, other, store: other.scan(limit=1),
        lambda ann, other, store: store.tokens.mint("bob", "worker"),
        lambda ann, other, store: store.purge_expired("bob"),
        lambda ann, other, store: _read_a_blob(ann),
    ],
    ids=["log", "vault", "key_value", "not watched", "not watched, a page", "tokens", "store", "open blob"],
)
def test_what_is_awaited_within_a_call_is_no_part_of_it(within, call):
    """Also if it is told of by its twin, in a worker, or is no call of an agent and so not told of at all."""

    async def run():
        events = []

        async def vectors(texts):
            return await meanwhile([[1.0, 0.0]] * len(texts))

        embedder = datastore.Embedder(vectors, 2, "model")
        async with datastore.connect_async("memory://", embedder=embedder) as store:
            other = store.agent("ann", "other")  # bound before anybody watches
            await other.set("plan", {"goal": "sell"})
            await other.blobs.put("blob", b"content")
            await other.memory.add("text", vector=[1.0, 0.0], key="text")
            watch(store.sync._core, events.append)
            ann = store.agent("ann", "planner")

            async def meanwhile(result):
                await call(ann, other, store)
                return result

            async def pieces():
                yield b"123"
                yield await meanwhile(b"45678")

            await {
                "modify": lambda: ann.modify("plan", meanwhile),
                "get_or_set": lambda: ann.get_or_set("new", lambda: meanwhile({"a": 1})),
                "blob_put": lambda: ann.blobs.put("new", pieces()),
                "memory_search": lambda: ann.memory.search("words"),
            }[within]()
        return events[-1]

    event = asyncio.run(run())
    assert (event.call, event.found, event.bytes, event.error) == {
        "modify": ("modify", None, SIZE, None),
        "get_or_set": ("get_or_set", 0, len('{"a":1}'), None),
        "blob_put": ("blob_put", None, 8, None),
        "memory_search": ("memory_search", 1, len('"text"'), None),
    }[within]


async def _read_a_blob(ann):
    async with await ann.blobs.open("blob") as blob:
        assert await blob.read() == b"content"


def test_records_that_are_found_page_by_page_are_one_event():
    async def run(ann, events):
        await ann.set_many({f"{number:03}": number for number in range(600)})
        events.clear()
        assert len([record async for record in ann.find_records({"$nor": [{"goal": "sell"}]}, prefix="0")]) == 100
        assert told(events) == [("find_records", None, None, 100, 190, None)]
        assert len([record async for record in ann.find_records()]) == 602
        assert told(events)[0][:4] == ("find_records", None, None, 602)
        page = await ann.find_records(limit=10)
        assert len(page.records) == 10
        assert told(events)[0][:4] == ("find_records", None, None, 10)

    on_a_loop(run)


def test_two_who_iterate_over_the_same_records_are_two_events():
    async def run(ann, events):
        found = ann.find_records()

        async def count():
            return len([record async for record in found])

        assert await asyncio.gather(count(), count()) == [2, 2]
        assert told(events) == [("find_records", None, None, 2, SIZE + 2, None)] * 2

    on_a_loop(run)


def test_a_stream_that_is_given_up_is_told_of():
    async def run(ann, events):
        async for _ in ann.iter_records():
            break
        gc.collect()
        assert [(event.call, event.error) for event in events] == [("iter_records", None)]
        events.clear()
        found = ann.find_records()
        async for _ in found:
            break
        for _ in range(3):  # the loop closes the generator
            await asyncio.sleep(0)
        assert [(event.call, event.error) for event in events] == [("find_records", None)]

    on_a_loop(run)


def test_a_vault_and_a_key_value_store_are_told_of_by_the_calls_that_they_make():
    async def run(ann, events):
        await ann.vault.store("people", {"name": "Ann"}, "a")
        await ann.key_value.insert("k", 1, "job")
        assert [(event.call, event.namespace, event.key) for event in events] == [
            ("set", "people", "a"),
            ("set", "kv!default!job", "k"),
        ]

    on_a_loop(run)


def test_a_token_and_a_namespace_are_told():
    async def run(ann, events):
        async with datastore.connect_async("memory://", on_call=events.append) as store:
            token = await store.tokens.mint("bob", "worker", label="run 7", grants={"jobs": "write"})
            bob = await store.tokens.agent(token)
            await bob.use_namespace("jobs").get("k")
            with pytest.raises(datastore.PermissionDeniedError):
                bob.use_namespace("secret")
        assert [(event.token, event.user, event.call, event.namespace, event.error) for event in events] == [
            ("run 7", "bob", "get", "jobs", None),
            ("run 7", "bob", "use_namespace", "secret", "PermissionDeniedError"),
        ]

    on_a_loop(run)


def test_the_host_is_told_on_the_loop_and_what_it_raises_affects_no_call(caplog):
    threads = []

    def failing(event):
        threads.append(threading.current_thread())
        raise RuntimeError

    async def run():
        async with datastore.connect_async("memory://", on_call=failing) as store:
            ann = store.agent("ann", "a")
            await ann.set("k", 1)
            assert await ann.get("k") == 1

    asyncio.run(run())
    assert threads == [threading.main_thread()] * 2
    assert len(caplog.records) == 1


def test_a_store_that_nobody_watches_has_the_plain_class():
    async def run(ann, events):
        async with datastore.connect_async("memory://") as store:
            plain = store.agent("ann", "planner")
            assert type(plain) is AsyncAgentDataStore
        assert type(ann) is not AsyncAgentDataStore
        assert isinstance(ann, AsyncAgentDataStore)
        assert repr(ann) == repr(plain)
        for name in set(calls_of(AsyncAgentDataStore)) - {"iter_records", "find_records"}:
            assert asyncio.iscoroutinefunction(getattr(ann, name)), name

    on_a_loop(run)


def test_no_value_is_told(caplog):
    caplog.set_level(logging.INFO, "datastore.audit")

    async def run(ann, events):
        await ann.set("k", "s3cr3t", {"m": "s3cr3t"})
        await asyncio.gather(ann.get("k", "s3cr3t"), ann.get_many(["k"]))
        await ann.find({"a": "s3cr3t"})
        assert len(events) == 4
        for event in events:
            assert type(event) is CallEvent
            datastore.audit(event)
        assert "s3cr3t" not in repr(events) + caplog.text

    on_a_loop(run)


@pytest.mark.parametrize(
    ("name", "call"),
    [("AgentDataStore.set", lambda ann: ann.set("k", 1)), ("Blobs.put", lambda ann: ann.blobs.put("b", b"1"))],
)
def test_the_warning_of_a_blocked_loop_names_the_call(monkeypatch, name, call):
    monkeypatch.setattr(_Warned, "yet", False)

    async def run():
        with datastore.connect("memory://", on_call=lambda event: None) as store:
            store._core._warns = True  # as if the database were asked over a network
            call(store.agent("ann", "a"))

    with pytest.warns(datastore.BlockingCallWarning, match=rf"^{name} was called on a running event loop"):
        asyncio.run(run())
